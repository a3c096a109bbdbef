"""The world that most tests of the ledger begin with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ledger.world import World


@pytest.fixture
def world() -> Iterator[World]:
    made = World.make()
    with made.chain:
        yield made
