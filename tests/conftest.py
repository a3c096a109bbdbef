"""Settings for all tests."""

from __future__ import annotations

from collections.abc import Iterator

import buckets
import pytest
from hypothesis import settings

# A busy machine is no failure: without a deadline only wrong answers are.
settings.register_profile("medchain", deadline=None)
settings.load_profile("medchain")


@pytest.fixture(scope="session")
def object_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[buckets.ObjectServer]:
    """An S3 server of moto's, for the whole run; tests that need it are skipped where it is not installed."""
    buckets.need_servers()
    with buckets.object_server(tmp_path_factory.mktemp("moto")) as server:
        yield server
