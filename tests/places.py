"""Where real images lie beside a checkout, for the tests that use them where they are."""

from pathlib import Path

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
