"""The default store on disk: LMDB, one writing process, any number of reading ones."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice, takewhile
from pathlib import Path

import lmdb

from medchain.errors import NotAChain, StorageError
from medchain.storage import _lmdb_env
from medchain.storage._folders import LOCK_FILE, create_folder, holds_store
from medchain.storage._guard import guarded
from medchain.storage._lmdb_env import DATA_FILE, SharedEnvironment, Txn, translated
from medchain.storage.api import Batch, DeleteRange, Snapshot, Store
from medchain.storage.lock import WHAT_OTHERS_DO, FileLock

__all__ = ["LmdbStore"]


class LmdbStore(Store):
    """A `Store` in the directory `path`, on LMDB.

    One handle writes, in one process: `writer.lock` keeps others out. Any number of handles opened with
    ``read_only=True`` read beside it, in this process and in others; they need write permission on
    ``lock.mdb``. Commits are on disk when they return. With ``create`` (the default of a writing handle) a
    missing or empty directory becomes an empty store.

    It maps 1 TB of address space, for LMDB's map cannot grow while this process has snapshots open. Where
    addresses are scarce (32 bits, a limit like that of ``ulimit -v``, Windows) the map grows with the store: a
    commit that needs more room waits 10 seconds for snapshots to be closed, then raises StorageBusy. In a
    forked child every operation raises Locked, opening the same path anew included: LMDB allows one opening in
    a process, and the child inherited it.

    Raises NotAChain where there is no store, Locked where there is a writer, NewerFormat, or StorageError
    where files are damaged or cannot be read.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, read_only: bool = False, create: bool | None = None
    ) -> None:
        super().__init__(read_only=read_only)
        self._shared: SharedEnvironment | None = None
        self._lock: FileLock | None = None
        self.path = Path(path)
        if create and read_only:
            raise ValueError("a store that is opened for reading cannot be created")
        with guarded(f"open the store at {self.path}"):
            if not holds_store(self.path, DATA_FILE):
                if read_only or create is False:
                    raise NotAChain(f"{self.path} holds no store")
                create_folder(self.path, DATA_FILE, _build)
            self._open()

    def _open(self) -> None:
        try:
            if not self._read_only:
                self._lock = FileLock(self.path / LOCK_FILE, WHAT_OTHERS_DO)
            self._shared = SharedEnvironment.acquire(self.path, writable=not self._read_only)
        except lmdb.Error as error:
            raise translated(error, self.path) from error
        finally:
            if self._shared is None and self._lock is not None:
                self._lock.release()

    @property
    def _environment(self) -> SharedEnvironment:
        assert self._shared is not None
        return self._shared

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except lmdb.Error as error:
            raise translated(error, self.path) from error

    def _snapshot(self) -> Snapshot:
        with self._translating():
            return _LmdbSnapshot(self, self._environment)

    def _commit(self, batch: Batch) -> None:
        environment = self._environment

        def apply(txn: Txn) -> None:
            with environment.cursor(txn) as cursor:
                for step in batch.steps():
                    if isinstance(step, DeleteRange):
                        _delete_range(cursor, step.start, step.end)
                        continue
                    for key in step.deletes:
                        txn.delete(key)
                    cursor.putmulti(step.puts.items())  # a third faster than putting one by one

        with self._translating():
            environment.write(apply, size=batch.size, changes=len(batch))

    def _close(self) -> None:
        try:
            shared, self._shared = self._shared, None
            if shared is not None:
                shared.release()
        finally:
            if self._lock is not None:
                self._lock.release()

    def __del__(self) -> None:
        with suppress(AttributeError, StorageError):  # half-built, or its directory is gone
            self.close()

    def __repr__(self) -> str:
        return f"<LmdbStore: {self.path}{', read only' if self.read_only else ''}>"


class _LmdbSnapshot(Snapshot):
    def __init__(self, store: LmdbStore, environment: SharedEnvironment) -> None:
        self._environment = environment
        self._txn = environment.begin()
        super().__init__(store)
        self._path = store.path

    def _get(self, key: bytes) -> bytes | None:
        try:
            return self._txn.get(key)
        except lmdb.Error as error:
            raise translated(error, self._path) from error

    def _get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        try:
            return list(map(self._txn.get, keys))  # measured faster than a cursor's getmulti
        except lmdb.Error as error:
            raise translated(error, self._path) from error

    def _scan(
        self, start: bytes, end: bytes | None, reverse: bool, limit: int | None
    ) -> Iterator[tuple[bytes, bytes]]:
        try:
            with self._environment.cursor(self._txn) as cursor:
                yield from islice(_walk(cursor, start, end, reverse), limit)
        except lmdb.Error as error:
            raise translated(error, self._path) from error

    def _hand_over(self, thread: int) -> None:
        self._environment.hand_over(self._txn, thread)

    def _close(self) -> None:
        self._environment.end(self._txn)
        del self._txn  # LMDB keeps the reader's slot as long as the object lives


def _walk(
    cursor: lmdb.Cursor[bytes], start: bytes, end: bytes | None, reverse: bool
) -> Iterator[tuple[bytes, bytes]]:
    if reverse:
        found = cursor.prev() if end is not None and cursor.set_range(end) else cursor.last()
        pairs = cursor.iterprev() if found else iter(())
        yield from takewhile(lambda pair: pair[0] >= start, pairs)
    elif cursor.set_range(start) if start else cursor.first():
        pairs = cursor.iternext()
        yield from pairs if end is None else takewhile(lambda pair: pair[0] < end, pairs)


def _delete_range(cursor: lmdb.Cursor[bytes], start: bytes, end: bytes | None) -> None:
    found = cursor.set_range(start) if start else cursor.first()
    while found and (end is None or cursor.key() < end):
        cursor.delete()
        found = bool(cursor.key())


def _build(draft: Path) -> None:
    try:
        _lmdb_env.create_environment(draft)
    except lmdb.Error as error:
        raise translated(error, draft) from error
