"""The fixture ``compare`` and the table at the end of a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import harness
import pytest

_RESULTS: list[harness.Comparison] = []


@pytest.fixture
def compare(benchmark: Any) -> Callable[..., harness.Comparison]:
    """`harness.compare`, whose result goes into the table and, with the times of our side, into build/bench.json."""

    def measure(
        name: str, ours: harness.Side, baseline: harness.Baseline, **options: Any
    ) -> harness.Comparison:
        result = harness.compare(name, ours, baseline, **options)
        _RESULTS.append(result)
        benchmark.extra_info.update(result.to_json())
        benchmark.pedantic(ours, rounds=options.get("rounds", 5))
        return result

    return measure


@pytest.fixture
def weigh(benchmark: Any) -> Callable[[str, float, float], None]:
    """Megabytes that something takes against those that it may take, into the same table."""

    def measure(name: str, megabytes: float, budget: float) -> None:
        result = harness.Comparison(name, megabytes, budget, target=1, unit="MB")
        _RESULTS.append(result)
        benchmark.extra_info.update(result.to_json())
        benchmark.pedantic(int)

    return measure


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if _RESULTS:
        terminalreporter.write_line("")
        for line in harness.table(_RESULTS):
            terminalreporter.write_line(line)
