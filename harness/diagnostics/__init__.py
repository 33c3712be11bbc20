"""Diagnostics of a machine."""
