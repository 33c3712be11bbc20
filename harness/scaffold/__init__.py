"""Beginnings of plugins, for authors to go on from."""
