"""Stores that fail on command: wrap a store, say which write goes wrong and how.

A fault is a function of the write that it spoils: it is given ``write(fraction)``, which carries out the
write or a part of it, and may call it, raise, or wait. `fail`, `tear`, `lose_answer` and `delay` make the
usual ones.

>>> from medchain.storage import Batch, MemoryStore
>>> store = FaultStore(MemoryStore(), {2: fail()})
>>> batch = Batch()
>>> batch.put(b"key", b"value")
>>> store.commit(batch)
>>> store.commit(batch)
Traceback (most recent call last):
    ...
medchain.errors.StorageError: cannot commit: [Errno 5] Input/output error
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TypeAlias

from medchain.storage.api import Batch, Delete, DeleteRange, Put, Snapshot, Store
from medchain.storage.blobs import BlobStore, BlobWriter

__all__ = ["Fault", "FaultBlobs", "FaultStore", "delay", "fail", "lose_answer", "tear"]

Fault: TypeAlias = Callable[[Callable[[float], None]], None]


def fail(code: int = errno.EIO) -> Fault:
    """Make a fault that writes nothing and raises ``OSError(code)``; ``errno.ENOSPC`` is a full disk."""

    def fault(write: Callable[[float], None]) -> None:
        raise OSError(code, os.strerror(code))

    return fault


def tear(fraction: float = 0.5, code: int = errno.EIO) -> Fault:
    """Make a fault that carries out a part of the write and fails then, as broken stores do."""

    def fault(write: Callable[[float], None]) -> None:
        write(fraction)
        raise OSError(code, os.strerror(code))

    return fault


def lose_answer(code: int = errno.EIO) -> Fault:
    """Make a fault that carries the write out and fails all the same, as a broken connection does."""
    return tear(1.0, code)


def delay(seconds: float) -> Fault:
    """Make a fault that only takes its time."""

    def fault(write: Callable[[float], None]) -> None:
        time.sleep(seconds)
        write(1.0)

    return fault


class _Script:
    """Counts writes from 1 on, and spoils those that have a fault."""

    def __init__(self, faults: Mapping[int, Fault]) -> None:
        self._faults = dict(faults)
        self._lock = threading.Lock()
        self.writes = 0

    def run(self, write: Callable[[float], None]) -> None:
        with self._lock:
            self.writes += 1
            fault = self._faults.get(self.writes)
        if fault is None:
            write(1.0)
        else:
            fault(write)


class FaultStore(Store):
    """A `Store` around another that spoils chosen commits: `faults` maps their numbers, from 1 on, to faults.

    Closing it closes the other.
    """

    def __init__(self, store: Store, faults: Mapping[int, Fault]) -> None:
        super().__init__(read_only=store.read_only)
        self._inner = store
        self._script = _Script(faults)

    @property
    def writes(self) -> int:
        """Commits so far, spoiled ones included."""
        return self._script.writes

    def _snapshot(self) -> Snapshot:
        return self._inner.snapshot()

    def _commit(self, batch: Batch) -> None:
        self._script.run(partial(self._commit_part, batch))

    def _commit_part(self, batch: Batch, fraction: float) -> None:
        part = Batch()
        for operation in list(batch)[: round(len(batch) * fraction)]:
            match operation:
                case Put(key, value):
                    part.put(key, value)
                case Delete(key):
                    part.delete(key)
                case DeleteRange(start, end):
                    part.delete_range(start, end)
        self._inner.commit(part)

    def _close(self) -> None:
        self._inner.close()


class FaultBlobs(BlobStore):
    """A `BlobStore` around another that spoils chosen writes, or is down.

    Each chunk of a blob, each commit of one and each erasure counts as a write. A torn commit stores nothing.
    While `down` is set, every operation fails as on a disk that is gone.
    """

    def __init__(self, blobs: BlobStore, faults: Mapping[int, Fault] | None = None) -> None:
        self._blobs = blobs
        self._script = _Script(faults or {})
        self.down = False

    @property
    def writes(self) -> int:
        """Writes so far, spoiled ones included."""
        return self._script.writes

    @property
    def _inner(self) -> BlobStore:
        if self.down:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return self._blobs

    def _writer(self, object_id: bytes) -> BlobWriter:
        return _FaultWriter(self, self._inner._writer(object_id))

    def _read(self, object_id: bytes, digest: bytes, offset: int, length: int) -> bytes:
        return self._inner._read(object_id, digest, offset, length)

    def _size(self, object_id: bytes, digest: bytes) -> int:
        return self._inner._size(object_id, digest)

    def _list(self, object_id: bytes) -> Iterable[bytes]:
        return self._inner._list(object_id)

    def _objects(self) -> Iterable[bytes]:
        return self._inner._objects()

    def _erase(self, object_id: bytes) -> int:
        counts: list[int] = []

        def erase(fraction: float) -> None:
            if fraction == 1.0:
                counts.append(self._inner._erase(object_id))

        self._script.run(erase)
        return sum(counts)

    def _erased(self, object_id: bytes) -> bool:
        return self._inner._erased(object_id)

    def _tombstones(self) -> Iterable[bytes]:
        return self._inner._tombstones()


class _FaultWriter(BlobWriter):
    def __init__(self, store: FaultBlobs, writer: BlobWriter) -> None:
        self._store = store
        self._writer = writer

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._run(lambda fraction: self._writer.write(data[: round(len(data) * fraction)]))

    def commit(self, digest: bytes) -> None:
        def commit(fraction: float) -> None:
            if fraction == 1.0:
                self._writer.commit(digest)

        self._run(commit)

    def abort(self) -> None:
        self._writer.abort()

    def _run(self, write: Callable[[float], None]) -> None:
        if self._store.down:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self._store._script.run(write)
