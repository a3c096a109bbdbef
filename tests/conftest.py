"""Settings for all tests."""

from __future__ import annotations

import postgres
import pytest
from hypothesis import settings

# A busy machine is no failure: without a deadline only wrong answers are.
settings.register_profile("medchain", deadline=None)
settings.load_profile("medchain")


def pytest_configure(config: pytest.Config) -> None:
    """Choose where the session's PostgreSQL would lie."""
    postgres.begin_session(config)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop it, if a test has started it."""
    postgres.end_session(config)
