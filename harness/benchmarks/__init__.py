"""Benchmarks against a plain training loop and naive preparation of images."""
