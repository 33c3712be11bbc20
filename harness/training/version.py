"""The training version of the harness."""

TRAINING_VERSION = 3
"""Raise it when a change to this package changes trained weights; finished cells and stages then become stale."""
