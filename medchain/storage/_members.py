"""One store among several that hold the same blobs: whether it answers, and what it has missed while it did not."""

from __future__ import annotations

import time

from attrs import define

from medchain.errors import StorageError
from medchain.storage.blobs import BlobStore

__all__ = ["Member"]

SLOW, PAUSE, LONGEST_PAUSE = 1.0, 20.0, 60.0
"""A store that took longer than `SLOW` seconds to fail is left alone for `PAUSE` times as long, at most
`LONGEST_PAUSE` seconds: a network store that is down costs the others one wait a minute, not one at each use."""


@define(eq=False)
class Member:
    """One store. It is away until the erasures that it may have missed are replayed, and after each failure."""

    position: int
    store: BlobStore
    away: bool = True
    rests_until: float = 0.0

    @property
    def rests(self) -> bool:
        """Whether it is away and is not to be asked again yet."""
        return self.away and time.monotonic() < self.rests_until

    @property
    def read_only(self) -> bool:
        """Whether it is only read: nothing is put, mended or erased there. Of one opened late, known once it is."""
        return self.store.read_only

    def rest(self, began: float) -> None:
        """Note that it has failed, and leave it alone for a while if it took its time to."""
        now = time.monotonic()
        self.away = True
        if now - began > SLOW:
            self.rests_until = now + min(PAUSE * (now - began), LONGEST_PAUSE)

    def graves(self) -> set[bytes] | None:
        """List what it has erased, or None if it does not answer."""
        began = time.monotonic()
        try:
            return set(self.store.tombstones())
        except StorageError:
            self.rest(began)
            return None

    def replay(self, erased: set[bytes]) -> bool:
        """Erase what others erased while it was away; tell whether it may be used now."""
        if self.read_only:
            return True
        began = time.monotonic()
        try:
            for object_id in sorted(erased):
                self.store.erase(object_id)
        except StorageError:
            self.rest(began)
            return False
        return True
