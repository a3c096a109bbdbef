"""Long scans by pages, so that nothing stays open between two pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

__all__ = ["Page", "Pair", "paged"]

FIRST_PAGE: Final = 32
LARGEST_PAGE: Final = 1_024
PAGE_BYTES: Final = 1 << 20
"""Pages grow to about this size, whatever the size of the values."""

Pair = tuple[bytes, bytes]
Page: TypeAlias = Callable[[bytes, bytes | None, int], list[Pair]]
"""Gives at most so many pairs from a key on and before another (None: to the last); of a reverse scan, the last ones
backwards."""


def paged(
    page: Page, start: bytes, end: bytes | None, *, reverse: bool, limit: int | None = None
) -> Iterator[Pair]:
    """Yield the pairs of a range in order, by asking for one page after another."""
    count = FIRST_PAGE
    while limit is None or limit > 0:
        asked = count if limit is None else min(count, limit)
        pairs = page(start, end, asked)
        yield from pairs
        if len(pairs) < asked:
            return
        if limit is not None:
            limit -= asked
        if reverse:
            end = pairs[-1][0]
        else:
            start = pairs[-1][0] + b"\0"
        count = _next_count(pairs)


def _next_count(pairs: list[Pair]) -> int:
    """Pairs for the next page: more than in this one, as long as that makes no large answer."""
    average = sum(len(key) + len(value) for key, value in pairs) // len(pairs) + 1
    return max(1, min(2 * len(pairs), LARGEST_PAGE, PAGE_BYTES // average))
