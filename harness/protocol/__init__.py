"""Protocols: splits of images, their fingerprint, and the gate against leaks."""
