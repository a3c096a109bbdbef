"""Connections to the database file of a `SqliteStore`: its statements, its errors, and what a fork does to them."""

from __future__ import annotations

import ctypes
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote
from weakref import WeakSet

from medchain.errors import Locked, NewerFormat, NotAChain, StorageError, StorageFull
from medchain.storage._guard import nearly_full
from medchain.storage._sql import LAST, Pair, statements
from medchain.storage.api import Batch, DeleteRange

__all__ = ["APPLICATION", "VERSION", "SqliteSession", "build"]

SQL: Final = statements("sqlite.sql")
APPLICATION: Final = 0x6D656463
VERSION: Final = 1
PATIENCE: Final = 30.0
"""Seconds to wait for what another connection does in passing, such as recovering the log after a crash."""


class _Connection(sqlite3.Connection):
    """A connection that a forked child can find."""


def _connect(file: Path, mode: str) -> _Connection:
    connection = sqlite3.connect(
        f"file:{quote(str(file.absolute()))}?mode={mode}",
        uri=True,
        timeout=PATIENCE,
        isolation_level=None,
        check_same_thread=False,  # each session has a lock of its own
        factory=_Connection,
    )
    _connections.add(connection)
    return connection


def build(file: Path) -> None:
    """Make an empty store where there is no file yet."""
    with _translating(file):
        connection = _connect(file, "rwc")
        try:
            connection.executescript(SQL["create"])
        finally:
            connection.close()


class SqliteSession:
    """One connection to the database `file`, for the one who writes or for a reader."""

    def __init__(self, file: Path, *, writable: bool = False) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._closed = False
        self.lost = self.busy = False
        with _translating(file):
            self._connection = _connect(file, "rw" if writable else "ro")
            try:
                self._connection.executescript(SQL["configure"])
                self._check_format()
                if writable:
                    self._connection.executescript(SQL["configure_writer"])
                    self._check_journal()
            except BaseException:
                self._connection.close()
                raise

    def _check_format(self) -> None:
        [(application,)] = self._connection.execute(SQL["application"])
        [(version,)] = self._connection.execute(SQL["version"])
        if application != APPLICATION:
            raise NotAChain(f"{self._file.parent} holds an SQLite database, but no medchain store")
        if version != VERSION:
            raise NewerFormat(
                f"the store at {self._file.parent} has the format {version}; this version reads {VERSION}"
            )

    def _check_journal(self) -> None:
        [(mode,)] = self._connection.execute(SQL["journal"])
        if mode != "wal":
            raise StorageError(
                f"the store at {self._file.parent} cannot use a write-ahead log here, only {mode}"
            )

    # Reading

    def begin(self) -> None:
        """Stay at the present moment, until `end`."""
        self.busy = True
        with self._using() as connection:
            connection.execute(SQL["begin_reading"])
            connection.execute(SQL["fix_moment"]).fetchone()

    def end(self) -> None:
        """Leave the moment."""
        with self._using() as connection:
            connection.rollback()
            self.busy = False

    def get(self, key: bytes) -> bytes | None:
        """Give a value."""
        with self._using() as connection:
            return self._value(connection, key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Give values, all of one moment."""
        if self.busy:
            with self._using() as connection:
                return [self._value(connection, key) for key in keys]
        self.begin()
        try:
            return self.get_many(keys)
        finally:
            self.end()

    def _value(self, connection: _Connection, key: bytes) -> bytes | None:
        row = connection.execute(SQL["get"], (key,)).fetchone()
        return None if row is None else self._checked(row)[0]

    def page(self, start: bytes, end: bytes, reverse: bool, count: int) -> list[Pair]:
        """Give the first pairs from `start` on and before `end`, or the last ones backwards."""
        statement = SQL["page_backwards" if reverse else "page"]
        with self._using() as connection:
            return [self._checked(row) for row in connection.execute(statement, (start, end, count))]

    def _checked(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        # A column's type is stored with each value, so that damage can change it.
        if not all(type(item) is bytes for item in row):
            raise StorageError(f"the store at {self._file.parent} is damaged; restore it from a copy")
        return row

    # Writing

    def apply(self, batch: Batch) -> None:
        """Write the whole batch durably, or nothing."""
        with self._using() as connection:
            try:
                connection.execute(SQL["begin_writing"])
                for step in batch.steps():
                    if isinstance(step, DeleteRange):
                        connection.execute(
                            SQL["delete_range"], (step.start, LAST if step.end is None else step.end)
                        )
                        continue
                    connection.executemany(SQL["delete"], ((key,) for key in step.deletes))
                    connection.executemany(SQL["put"], sorted(step.puts.items()))
                connection.execute(SQL["commit"])
            except BaseException:
                connection.rollback()  # nothing, where SQLite has done it already
                raise

    def close(self) -> None:
        """Let the connection go; the last one of all processes that may write moves the log into the file."""
        with self._lock:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._closed = True

    @contextmanager
    def _using(self) -> Iterator[_Connection]:
        with self._lock:
            if self._closed:
                raise ValueError("the store is closed")
            with _translating(self._file):
                yield self._connection


@contextmanager
def _translating(file: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise _translated(error, file.parent) from error


def _translated(error: sqlite3.Error, path: Path) -> StorageError:
    # The primary result code, without what the extended one adds; none, if the error is of Python's module.
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_FULL:
            return StorageFull(f"no room for the store at {path}: {error}")
        case sqlite3.SQLITE_IOERR if nearly_full(path):
            return StorageFull(f"no room for the store at {path}: {error}")
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return Locked(f"another program uses the database of the store at {path}: {error}")
        case sqlite3.SQLITE_NOTADB:
            return NotAChain(f"{path} holds no store: {error}")
        case sqlite3.SQLITE_CORRUPT:
            return StorageError(f"the store at {path} is damaged ({error}); restore it from a copy")
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM | sqlite3.SQLITE_READONLY:
            return StorageError(
                f"no permission for the store at {path}; readers too must be able to write there"
            )
        case _:
            return StorageError(f"the store at {path} fails: {error}")


_connections: WeakSet[_Connection] = WeakSet()


def _after_fork() -> None:
    # Closing a connection in a child would take the parent's log for its own, and remove it at a bad moment. Python
    # closes what it lets go of, at the latest when it ends; so it never may.
    for connection in list(_connections):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
    _connections.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
