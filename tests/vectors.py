"""Where the official vectors are: MEDCHAIN_VECTORS, or ../shared/vectors beside the checkout."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(os.environ.get("MEDCHAIN_VECTORS") or Path(__file__).resolve().parents[2] / "shared" / "vectors")


def path(name: str) -> Path:
    """The file or folder `name` below the vectors; skips the calling test by name when it is absent."""
    found = ROOT / name
    if not found.exists():
        pytest.skip(f"vectors {name} not present (set MEDCHAIN_VECTORS)")
    return found
