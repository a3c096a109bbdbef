"""A clinic for each test of access control."""

from __future__ import annotations

from collections.abc import Iterator

import clinic
import pytest


@pytest.fixture
def house() -> Iterator[clinic.Clinic]:
    with clinic.clinic() as made:
        yield made
