"""The processes in which plugins run: what goes to them, what comes back, and what becomes of a bad one."""
