"""The hand-kept version of everything that turns a schedule and images into weights."""

TRAINING_VERSION = 2
"""Raise it when a change to this package changes trained weights; finished cells and stages then become stale."""
