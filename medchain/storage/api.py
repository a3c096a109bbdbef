"""The interface of an ordered key-value store: reads on one moment, one atomic and durable write.

The public methods are concrete: they check arguments, refuse closed and forked handles, and turn whatever an
implementation raises into the errors of `medchain.errors`. An implementation supplies the methods with an
underscore and may trust what they are given.
"""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import ClassVar, Self

from medchain.errors import Locked
from medchain.storage._guard import guarded
from medchain.storage.batch import (
    MAX_KEY,
    MAX_VALUE,
    Batch,
    Changes,
    Delete,
    DeleteRange,
    Operation,
    Put,
    check_bounds,
    check_key,
    prefix_end,
)

__all__ = [
    "MAX_KEY",
    "MAX_VALUE",
    "Batch",
    "Changes",
    "Delete",
    "DeleteRange",
    "Operation",
    "Put",
    "Reader",
    "Snapshot",
    "Store",
    "prefix_end",
]

AHEAD, LARGE = 16, 1 << 16
"""Most pairs that a scan reads ahead of its reader; after a value of more than so many bytes it begins again at one."""


class Reader(ABC):
    """What can be read: the common part of `Store` and `Snapshot`."""

    @abstractmethod
    def _check_usable(self) -> None: ...

    @abstractmethod
    def _get(self, key: bytes) -> bytes | None: ...

    @abstractmethod
    def _scan(
        self, start: bytes, end: bytes | None, reverse: bool, limit: int | None
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield pairs in order of keys, descending if `reverse`, at most `limit` (None or positive)."""

    def _get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Give the value of each key, or None; a store that can asks for all of them at once."""
        return [self._get(key) for key in keys]

    def get(self, key: bytes) -> bytes | None:
        """Give the value of `key`, or None if it has none.

        Raises StorageError (Locked in a forked child); ValueError for a key of no or too many bytes, or a
        closed handle.
        """
        check_key(key)
        self._check_usable()
        with guarded("read"):
            return self._get(key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Give the value of each key, or None where it has none, in the order of `keys`; one may be there twice.

        All are of one moment, and where the store is a server they take one round trip. Raises as `get`.
        """
        for key in keys:
            check_key(key)
        self._check_usable()
        if not keys:
            return []
        with guarded("read"):
            return self._get_many(keys)

    def scan(
        self, start: bytes = b"", end: bytes | None = None, *, reverse: bool = False, limit: int | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """Iterate over the (key, value) pairs from `start` on and before `end`, in the order of their keys.

        `reverse` begins at the end of the same range, `limit` stops after so many pairs. All pairs are of one
        moment: that of the snapshot, or for a store that at which the first pair is asked for. Raises as
        `get`, also while iterating.
        """
        check_bounds(start, end)
        if limit is not None and limit < 0:
            raise ValueError(f"limit is {limit}; it cannot be negative")
        self._check_usable()
        if limit == 0 or (end is not None and start >= end):
            return iter(())
        return self._guarded_scan(start, end, reverse, limit)

    def _guarded_scan(
        self, start: bytes, end: bytes | None, reverse: bool, limit: int | None
    ) -> Iterator[tuple[bytes, bytes]]:
        # One guard around the loop would also translate what the caller's code throws into the generator.
        guard = guarded("scan")
        with guard:
            pairs = self._scan(start, end, reverse, limit)
        ahead = 1  # twice as many each time: a look at the first pair costs one, a long scan little for each
        while True:
            self._check_usable()
            with guard:
                run = list(islice(pairs, ahead))
            yield from run
            if len(run) < ahead:
                return
            ahead = 1 if len(run[-1][1]) > LARGE else min(2 * ahead, AHEAD)


class Snapshot(Reader):
    """A store as it was at one moment, whatever is committed afterwards. A context manager.

    Close it soon: it keeps old data on disk, and a store may have to wait for it. A snapshot serves one thread
    at a time. Closing the store ends its snapshots.
    """

    _closed = False

    def __init__(self, store: Store) -> None:
        self._store = store

    @abstractmethod
    def _close(self) -> None: ...

    def _hand_over(self, thread: int) -> None:
        """Note whose it is; a store that does not ask which thread opened a snapshot has nothing to do."""

    def hand_over(self, thread: int) -> None:
        """Say that another thread, by its `threading.get_ident()`, reads and closes it: a commit may wait for it."""
        self._check_usable()
        self._hand_over(thread)

    def _check_usable(self) -> None:
        if self._closed:
            raise ValueError("the snapshot is closed")
        self._store._check_usable()

    def close(self) -> None:
        """End the snapshot. Closing twice is allowed; in a forked child nothing is touched."""
        if self._closed:
            return
        self._closed = True
        if not self._store._forked:
            with guarded("close a snapshot"):
                self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_store"):
            self.close()


class Store(Reader):
    """An ordered mapping of byte keys to byte values that survives crashes.

    A context manager, safe to use from several threads. Implementations supply `_snapshot`, `_commit` and
    `_close`, and may replace `_get` and `_get_many` by something faster. The conformance suite
    `medchain.testing.StoreConformance` tells whether they keep the promises made here.
    """

    bound_to_process: ClassVar[bool] = True
    """Whether a forked child is refused; only a store without files or connections may say False."""

    def __init__(self, *, read_only: bool = False) -> None:
        self._read_only = read_only
        self._closed = False
        self._released = False
        self._pid = os.getpid()
        self._commit_lock = threading.Lock()

    @abstractmethod
    def _snapshot(self) -> Snapshot: ...

    @abstractmethod
    def _commit(self, batch: Batch) -> None:
        """Make the whole batch durable or change nothing. Called by one thread at a time; never empty."""

    @abstractmethod
    def _close(self) -> None:
        """Release everything. Called again if it failed, or an interrupt (Ctrl-C) has broken it off."""

    def _get(self, key: bytes) -> bytes | None:
        with self._snapshot() as snapshot:
            return snapshot._get(key)

    def _get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        with self._snapshot() as snapshot:
            return snapshot._get_many(keys)

    def _scan(
        self, start: bytes, end: bytes | None, reverse: bool, limit: int | None
    ) -> Iterator[tuple[bytes, bytes]]:
        with self._snapshot() as snapshot:
            yield from snapshot._scan(start, end, reverse, limit)

    @property
    def read_only(self) -> bool:
        """Whether this handle refuses to commit."""
        return self._read_only

    @property
    def closed(self) -> bool:
        """Whether `close` has been called."""
        return self._closed

    @property
    def _forked(self) -> bool:
        return self.bound_to_process and self._pid != os.getpid()

    def _check_usable(self) -> None:
        if self._closed:
            raise ValueError("the store is closed")
        if self._forked:
            raise Locked(
                f"this store was opened by process {self._pid} and came here through a fork;"
                " open stores after forking, or start workers by 'spawn'"
            )

    def snapshot(self) -> Snapshot:
        """Open a view of the store as it is now.

        Raises StorageError (Locked in a forked child); ValueError if closed.
        """
        self._check_usable()
        with guarded("open a snapshot"):
            return self._snapshot()

    def commit(self, batch: Batch) -> None:
        """Apply the batch, all or nothing; when this returns it is durable and every later read sees it.

        Raises StorageFull or another StorageError, after which the store is as it was before, and ValueError
        on a closed or read-only handle. Only a server that is lost while it commits leaves open which of the
        two holds; the StorageError says so, and opening the store again shows it.
        """
        if not isinstance(batch, Batch):
            raise TypeError(f"commit takes a Batch, not {type(batch).__name__}")
        self._check_usable()
        if self._read_only:
            raise ValueError("the store is open for reading only")
        if not len(batch):
            return
        with self._commit_lock:
            self._check_usable()
            with guarded("commit"):
                self._commit(batch)

    def close(self) -> None:
        """Release everything; a forked child leaves the parent's alone.

        Closing again is allowed, and goes on where it was broken off.
        """
        if self._released:
            return
        if self._forked:
            self._closed = True
            return
        with self._commit_lock:
            if not self._released:
                self._closed = True
                with guarded("close the store"):
                    self._close()
                self._released = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
