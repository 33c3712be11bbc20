"""The version of how files become pixels."""

PIXEL_VERSION = 3
"""Raise it when decoding, resizing or normalising changes what comes out; arrays and cells then become stale."""
