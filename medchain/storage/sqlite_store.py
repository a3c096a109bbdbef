"""A store on SQLite, which comes with Python: one writing process, any number of reading ones."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from medchain.errors import NotAChain, StorageError
from medchain.storage._folders import (
    LOCK_FILE,
    SQLITE_FILE,
    Identity,
    OpenFiles,
    create_folder,
    holds_store,
)
from medchain.storage._guard import guarded
from medchain.storage._sql import SqlStore
from medchain.storage._sqlite_session import SqliteSession, build
from medchain.storage.api import Batch
from medchain.storage.lock import WHAT_OTHERS_DO, FileLock

__all__ = ["SqliteStore"]

DATA_FILE: Final = SQLITE_FILE


class SqliteStore(SqlStore):
    """A `Store` in the directory `path`, on SQLite with a write-ahead log.

    One handle writes, through one connection in one process: `writer.lock` keeps others out. Any number of handles
    opened with ``read_only=True`` read beside it, in this process and in others; they need write permission on the
    directory, where SQLite keeps a file that all of them share. Commits are on disk when they return
    (``synchronous=FULL``). With ``create`` (the default of a writing handle) a missing or empty directory becomes an
    empty store.

    Readers never wait for the writer, nor it for them; but the log cannot be shortened while an old snapshot is open.
    Do not copy the files of an open store, nor open `data.sqlite` otherwise in the same process: a lock of SQLite ends
    with any handle on the file. In a forked child every operation raises Locked, opening the same path anew included.

    Raises NotAChain where there is no store, Locked where there is a writer, NewerFormat, or StorageError
    where files are damaged or cannot be read.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, read_only: bool = False, create: bool | None = None
    ) -> None:
        super().__init__(read_only=read_only)
        self._lock: FileLock | None = None
        self._writer: SqliteSession | None = None
        self._identity: Identity | None = None
        self.path = Path(path)
        if create and read_only:
            raise ValueError("a store that is opened for reading cannot be created")
        with guarded(f"open the store at {self.path}"):
            if not holds_store(self.path, DATA_FILE):
                if read_only or create is False:
                    raise NotAChain(f"{self.path} holds no store")
                create_folder(self.path, DATA_FILE, lambda draft: build(draft / DATA_FILE))
            try:
                self._open()
            except BaseException:
                self.close()
                raise

    def _open(self) -> None:
        if not self._read_only:
            self._lock = FileLock(self.path / LOCK_FILE, WHAT_OTHERS_DO)
        file = self.path / DATA_FILE
        with _open_files.lock:
            identity = _open_files.identify(file)
            _open_files.items[identity] = _open_files.items.get(identity, 0) + 1
            self._identity = identity
        if file.stat().st_size == 0:
            raise StorageError(
                f"the store at {self.path} is damaged: {DATA_FILE} is empty; restore it from a copy"
            )
        if self._read_only:
            self._give_back(self._take()[0])
        else:
            self._writer = SqliteSession(file, writable=True)

    def _connect(self) -> SqliteSession:
        return SqliteSession(self.path / DATA_FILE)

    def _commit(self, batch: Batch) -> None:
        assert self._writer is not None
        self._writer.apply(batch)

    def _close_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()
        identity, self._identity = self._identity, None
        if identity is not None:
            with _open_files.lock:
                _open_files.items[identity] -= 1
                if not _open_files.items[identity]:
                    del _open_files.items[identity]
        if self._lock is not None:
            self._lock.release()

    def __del__(self) -> None:
        with suppress(AttributeError, StorageError):  # half-built, or its directory is gone
            self.close()

    def __repr__(self) -> str:
        return f"<SqliteStore: {self.path}{', read only' if self.read_only else ''}>"


_open_files: OpenFiles[int] = OpenFiles()
