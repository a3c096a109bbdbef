"""Copying a store into another: how a chain moves between LMDB, SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from medchain.errors import StorageError
from medchain.storage.api import Batch, Reader, Store

__all__ = ["copy_store"]

Progress: TypeAlias = Callable[[int, int | None], object]

SEAL: Final = b"mformat"
"""The key without which a store holds no chain (docs/spec/store.md): it is copied last."""

BATCH_BYTES: Final = 4 << 20
BATCH_PAIRS: Final = 10_000


def copy_store(source: Reader, target: Store, progress: Progress | None = None) -> int:
    """Copy every pair of a store, or of a snapshot, into an empty one; gives how many there were.

    All pairs are of one moment, and are copied in the order of their keys in batches of at most 4 MB (or one value).
    What makes a chain of them comes with the last: a copy that was broken off does not open as a chain, and a new
    one needs another empty store. Sealed data lies in blob stores and is not copied, nor is the mark, which the copy
    goes on with: stop the writer first if the copy is to take its place.

    Args:
        source: a store, or a snapshot of one, which stays open throughout.
        target: an empty store, open for writing.
        progress: called as ``progress(pairs done, None)`` after each batch.

    Raises:
        StorageError: the target is not empty; or reading or writing fails, and the target cannot be used.
    """
    if isinstance(source, Store):
        with source.snapshot() as moment:
            return copy_store(moment, target, progress)
    if next(iter(target.scan(limit=1)), None) is not None:
        raise StorageError("the store to copy to is not empty; a copy needs an empty one")
    copied = 0
    batch = Batch()
    for key, value in source.scan():
        if key == SEAL:
            continue
        if batch.size + len(key) + len(value) > BATCH_BYTES or len(batch) == BATCH_PAIRS:
            copied = _commit(batch, target, copied, progress)
            batch = Batch()
        batch.put(key, value)
    seal = source.get(SEAL)
    if seal is not None:
        batch.put(SEAL, seal)
    return _commit(batch, target, copied, progress)


def _commit(batch: Batch, target: Store, copied: int, progress: Progress | None) -> int:
    target.commit(batch)
    copied += len(batch)
    if progress is not None:
        progress(copied, None)
    return copied
