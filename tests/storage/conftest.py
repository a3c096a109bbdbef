"""What the tests of stores share."""

from __future__ import annotations

from pathlib import Path

import pytest
from processes import forked, start
from stores import LASTING, Place

__all__ = ["forked", "path", "place", "start"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A place for a store."""
    return tmp_path / "store"


@pytest.fixture(params=LASTING)
def place(request: pytest.FixtureRequest, path: Path) -> Place:
    """A place for a store of each kind that outlives a process; an empty one is there."""
    found = Place(request.param, path)
    found.open().close()
    return found
