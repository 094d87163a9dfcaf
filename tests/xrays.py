"""Where the real X-rays lie; the repository has one example. Without them their tests skip, loudly."""

from pathlib import Path

import pytest

FRACATLAS = Path(__file__).parents[2] / "shared" / "data" / "fracatlas"
XRAYS = FRACATLAS / "images"
needs_xrays = pytest.mark.skipif(
    not XRAYS.is_dir(), reason=f"REAL X-RAYS ARE MISSING: {XRAYS} is not there, so nothing real was analysed"
)
