"""Settings for all tests."""

from __future__ import annotations

from collections.abc import Iterator

import buckets
import postgres
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


def pytest_configure(config: pytest.Config) -> None:
    """Choose where the session's PostgreSQL would lie."""
    postgres.begin_session(config)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop it, if a test has started it."""
    postgres.end_session(config)
