"""Views of the rows: overlays that collect what a transaction or a block changes before anything is stored."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import islice

from medchain._native import sha256_many
from medchain.ledger.tables import Rows

__all__ = ["NO_ROWS", "Overlay"]


class _NoRows:
    """The rows before the genesis."""

    def get(self, key: bytes) -> bytes | None:
        return None

    def scan(
        self, start: bytes, end: bytes | None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        return iter(())


NO_ROWS: Rows = _NoRows()
"""A view without any row, for an overlay that holds all there is."""


class Overlay:
    """Rows as they would be with some changes over `base`, which is left alone.

    A transaction runs on an overlay over its block's, which lies over the store: what is refused is dropped with its
    overlay, what is accepted is taken over.
    """

    __slots__ = ("_base", "_map_keys", "_sorted", "changes")

    def __init__(self, base: Rows) -> None:
        self._base = base
        self._sorted: list[bytes] = []
        self.changes: dict[bytes, bytes | None] = {}
        self._map_keys: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        """The row under an order key, or None."""
        if key in self.changes:
            return self.changes[key]
        return self._base.get(key)

    def set(self, key: bytes, value: bytes | None, map_key: bytes) -> None:
        """Change a row (None deletes it); `map_key` is its key in the state map."""
        self.changes[key] = value
        self._map_keys[key] = map_key

    def scan(
        self, start: bytes, end: bytes | None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Rows with start <= key < end in order, as of now: later changes do not show in a running scan."""
        keys = self._sorted_keys()
        low = bisect_left(keys, start)
        own = keys[low:] if end is None else keys[low : bisect_left(keys, end, low)]
        base = self._base.scan(start, end, reverse=reverse)
        if not own:
            return base
        if reverse:
            own.reverse()
        return _merged([(key, self.changes[key]) for key in own], base, reverse)

    def _sorted_keys(self) -> list[bytes]:
        """The keys of all changes. A key never leaves `changes`, so only those since the last call are new."""
        if len(self._sorted) < len(self.changes):
            self._sorted += islice(self.changes, len(self._sorted), None)
            self._sorted.sort()
        return self._sorted

    def take(self, other: Overlay) -> None:
        """Apply the changes of an overlay that lies over this one."""
        self.changes.update(other.changes)
        self._map_keys.update(other._map_keys)

    def replaced(self) -> Iterator[tuple[bytes, bytes]]:
        """The rows of the base that have changed, as (key in the state map, row before)."""
        for key, map_key in self._map_keys.items():
            before = self._base.get(key)
            if before is not None:
                yield map_key, before

    def map_changes(self) -> dict[bytes, bytes | None]:
        """What has changed in the state map: the hash of each row by its key there, None where it is deleted."""
        hashes = sha256_many([row for row in self.changes.values() if row is not None])
        each = (hashes[start : start + 32] for start in range(0, len(hashes), 32))
        return {self._map_keys[key]: None if row is None else next(each) for key, row in self.changes.items()}


def _merged(
    own: list[tuple[bytes, bytes | None]], base: Iterator[tuple[bytes, bytes]], reverse: bool
) -> Iterator[tuple[bytes, bytes]]:
    """Two ordered runs as one, `own` before `base` where both have a key."""
    position = 0
    for key, value in base:
        while position < len(own) and own[position][0] != key and (own[position][0] < key) != reverse:
            if (changed := own[position][1]) is not None:
                yield own[position][0], changed
            position += 1
        if position < len(own) and own[position][0] == key:
            changed = own[position][1]
            position += 1
            if changed is not None:
                yield key, changed
        else:
            yield key, value
    for key, changed in own[position:]:
        if changed is not None:
            yield key, changed
