"""Allowed values of resizing and stain normalisation options."""

from __future__ import annotations

from typing import Literal

Resize = Literal["squash", "crop"]
"""Both sides to a square, or the short side scaled and the centre cut out."""

StainMethod = Literal["none", "macenko", "published", "fitted", "slide", "reinhard", "white-balance"]
"""How colours are normalised; see :class:`~harness.config.data_settings.PixelSettings`."""
