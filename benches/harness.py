"""Measuring one way of doing a thing against another, in one process, on the machine at hand.

A ratio survives a change of machine where a time does not. A bench is a test that asks for the fixture ``compare``::

    def test_root(compare):
        compare("root of 2^20 leaves", lambda: tree_root(leaves), lambda: loop(leaves), count=1 << 20, target=8)
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

from attrs import frozen

__all__ = ["Baseline", "Comparison", "compare", "table", "timed"]

Side = Callable[[], object]
Baseline = Side | float
"""What ours is measured against: something to run in turns with it, or a budget in seconds for one call."""


@frozen
class Comparison:
    """What came out: seconds for each side (the best of the rounds) and how much faster ours is."""

    name: str
    ours: float
    baseline: float
    count: int = 1
    """How many things one call does, for times per thing."""
    target: float | None = None
    """The least ratio that is asked for."""
    unit: str = "s"
    """Of both sides: seconds, or MB."""

    @property
    def ratio(self) -> float:
        return self.baseline / self.ours

    @property
    def met(self) -> bool:
        return self.target is None or self.ratio >= self.target

    def to_json(self) -> dict[str, Any]:
        """What goes into build/bench.json."""
        return {
            "name": self.name,
            "ratio": self.ratio,
            "target": self.target,
            "ours": self.ours / self.count,
            "baseline": self.baseline / self.count,
            "unit": self.unit,
            "count": self.count,
        }


def timed(side: Side) -> float:
    """Seconds that one call takes."""
    start = perf_counter()
    side()
    return perf_counter() - start


def compare(
    name: str,
    ours: Side,
    baseline: Baseline,
    *,
    count: int = 1,
    target: float | None = None,
    rounds: int = 5,
) -> Comparison:
    """Time both sides in turns, so that a busy moment of the machine hits both, and keep the best of each."""
    times = [
        (timed(ours), baseline if isinstance(baseline, float) else timed(baseline)) for _ in range(rounds)
    ]
    best_ours, best_baseline = (min(side) for side in zip(*times, strict=True))
    return Comparison(name, best_ours, best_baseline, count, target)


def table(results: list[Comparison]) -> list[str]:
    """The lines of one table over all results."""
    width = max((len(result.name) for result in results), default=0)
    lines = [f"{'bench':{width}}  {'ours':>9}  {'baseline':>9}  {'ratio':>7}  target"]
    for result in results:
        target = "" if result.target is None else f"{result.target:g}{'' if result.met else '  MISSED'}"
        lines.append(
            f"{result.name:{width}}  {_shown(result, result.ours):>9}"
            f"  {_shown(result, result.baseline):>9}  {result.ratio:>7.2f}  {target}".rstrip()
        )
    return lines


def _shown(result: Comparison, value: float) -> str:
    return _time(value / result.count) if result.unit == "s" else f"{value:.3g} {result.unit}"


def _time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"
