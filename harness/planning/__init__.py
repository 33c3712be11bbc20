"""The plan of a run: its models, images, splits, cells and their keys."""
