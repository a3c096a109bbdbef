"""A store in memory: for tests, notebooks and chains that need not last."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import ClassVar

from medchain.storage.api import Batch, Delete, DeleteRange, Put, Snapshot, Store

__all__ = ["MemoryStore"]


class _Version:
    """Pairs and their sorted keys; changed in place until a snapshot holds them, then copied first."""

    __slots__ = ("keys", "pairs", "readers")

    def __init__(self, pairs: dict[bytes, bytes], keys: list[bytes]) -> None:
        self.pairs = pairs
        self.keys = keys
        self.readers = 0

    def copy(self) -> _Version:
        return _Version(self.pairs.copy(), self.keys.copy())

    def span(self, start: bytes, end: bytes | None) -> tuple[int, int]:
        return bisect_left(self.keys, start), len(self.keys) if end is None else bisect_left(self.keys, end)

    def apply(self, batch: Batch) -> None:
        """Change the pairs at once, the keys at the end: sorting a sorted list with a tail is linear."""
        before: dict[bytes, bool] = {}
        for operation in batch:
            match operation:
                case Put(key, value):
                    before.setdefault(key, key in self.pairs)
                    self.pairs[key] = value
                case Delete(key):
                    before.setdefault(key, key in self.pairs)
                    self.pairs.pop(key, None)
                case DeleteRange(start, end):
                    low, high = self.span(start, end)
                    new = [key for key in before if key >= start and (end is None or key < end)]
                    for key in (*self.keys[low:high], *new):
                        before.setdefault(key, key in self.pairs)
                        self.pairs.pop(key, None)
        removed = {key for key, was in before.items() if was and key not in self.pairs}
        added = [key for key, was in before.items() if not was and key in self.pairs]
        if removed:
            self.keys = [key for key in self.keys if key not in removed]
        if added:
            self.keys += sorted(added)
            self.keys.sort()


class _MemorySnapshot(Snapshot):
    def __init__(self, store: MemoryStore, version: _Version) -> None:
        super().__init__(store)
        self._version = version
        self._lock = store._lock

    def _get(self, key: bytes) -> bytes | None:
        return self._version.pairs.get(key)

    def _scan(
        self, start: bytes, end: bytes | None, reverse: bool, limit: int | None
    ) -> Iterator[tuple[bytes, bytes]]:
        version = self._version
        low, high = version.span(start, end)
        positions = range(high - 1, low - 1, -1) if reverse else range(low, high)
        for position in islice(positions, limit):
            key = version.keys[position]
            yield key, version.pairs[key]

    def _close(self) -> None:
        with self._lock:
            self._version.readers -= 1


class MemoryStore(Store):
    """A `Store` that lives as long as its handle. A forked child has a copy of its own."""

    bound_to_process: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self._version = _Version({}, [])
        self._lock = threading.RLock()  # reentrant, for a forgotten snapshot may be collected at any moment

    def _snapshot(self) -> Snapshot:
        with self._lock:
            self._version.readers += 1
            return _MemorySnapshot(self, self._version)

    def _get(self, key: bytes) -> bytes | None:
        with self._lock:
            return self._version.pairs.get(key)

    def _get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        with self._lock:
            return list(map(self._version.pairs.get, keys))

    def _commit(self, batch: Batch) -> None:
        with self._lock:
            version = self._version.copy() if self._version.readers else self._version
            version.apply(batch)
            self._version = version

    def _close(self) -> None:
        self._version = _Version({}, [])

    def __repr__(self) -> str:
        return f"<MemoryStore: {len(self._version.pairs)} keys>"
