"""The shared training loop for PyTorch models."""
