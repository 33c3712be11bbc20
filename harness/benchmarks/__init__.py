"""Benchmarks against plain training loops and plain ways to prepare images."""
