"""Worker processes, in which plugins run."""
