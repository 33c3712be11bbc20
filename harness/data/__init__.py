"""Image files, from their names to the uint8 tensors that models see."""
