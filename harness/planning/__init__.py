"""What a run will do: its models, images, splits, cells and their keys."""
