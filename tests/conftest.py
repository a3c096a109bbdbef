"""Settings for all tests."""

from __future__ import annotations

from hypothesis import settings

# A busy machine is no failure: without a deadline only wrong answers are.
settings.register_profile("medchain", deadline=None)
settings.load_profile("medchain")
