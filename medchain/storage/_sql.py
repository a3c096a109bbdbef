"""What stores over SQL share: statements in files, sessions for reading that serve one snapshot each, scans by pages.

A session is one connection to the database. It belongs to one snapshot, or to one short read, at a time, and its
operations hold its lock, so that closing the store ends it between two operations and never inside one.
"""

from __future__ import annotations

import re
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from importlib.resources import files
from typing import Final, Protocol, TypeVar

from medchain.errors import StorageError
from medchain.storage._paging import Pair, paged
from medchain.storage.api import MAX_KEY, Snapshot, Store

__all__ = ["LAST", "Pair", "Session", "SqlStore", "statements"]

LAST: Final = b"\xff" * (MAX_KEY + 1)
"""Greater than every key: the end of a range that has none."""

IDLE: Final = 4
"""Sessions that are kept open for the next snapshot."""

T = TypeVar("T")


def statements(file: str) -> dict[str, str]:
    """Read a file of medchain/storage/sql: statements by the names that lines ``-- name: …`` give them."""
    text = (files("medchain.storage") / "sql" / file).read_text(encoding="utf-8")
    _, *parts = re.split(r"^-- name: (\w+)$", text, flags=re.MULTILINE)
    bare = [re.sub(r"^--.*\n", "", part, flags=re.MULTILINE).strip() for part in parts[1::2]]
    return dict(zip(parts[::2], bare, strict=True))


class Session(Protocol):
    """One connection for reading. Raises StorageError; ValueError once it is closed."""

    lost: bool
    """Whether its server is gone."""

    busy: bool
    """Whether it may be at a moment: from the first step of `begin` to the last of `end`, if that is ever reached."""

    @abstractmethod
    def begin(self) -> None:
        """Stay at the present moment, until `end`."""

    @abstractmethod
    def end(self) -> None:
        """Leave the moment."""

    @abstractmethod
    def get(self, key: bytes) -> bytes | None:
        """Give a value."""

    @abstractmethod
    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Give values of one moment."""

    @abstractmethod
    def page(self, start: bytes, end: bytes, reverse: bool, count: int) -> list[Pair]:
        """Give the first pairs from `start` on and before `end`, or the last ones backwards."""

    @abstractmethod
    def close(self) -> None:
        """Let the connection go. Never raises."""


class SqlStore(Store):
    """A store whose reads go through sessions; implementations supply `_connect`, `_commit` and `_close_writer`."""

    def __init__(self, *, read_only: bool) -> None:
        super().__init__(read_only=read_only)
        self._sessions: set[Session] = set()
        self._idle: list[Session] = []
        # Reentrant, for a forgotten snapshot may be collected, and give its session back, at any moment.
        self._sessions_lock = threading.RLock()

    @abstractmethod
    def _connect(self) -> Session:
        """Open a new session for reading."""

    @abstractmethod
    def _close_writer(self) -> None:
        """Release what writes, and what keeps other writers out; as `Store._close`."""

    def _through_session(self, operation: Callable[[Session], T]) -> tuple[Session, T]:
        """Carry out a read, and leave the session taken; one that was lost while it lay idle is replaced."""
        while True:
            session, idle = self._take()
            try:
                return session, operation(session)
            except StorageError:
                stale = idle and session.lost
                self._give_back(session)
                if not stale:
                    raise
            except BaseException:  # an interrupt, for one, of which nobody knows what it broke off
                self._drop(session)
                raise

    def _take(self) -> tuple[Session, bool]:
        """Give a session to use, and whether it lay idle before."""
        with self._sessions_lock:
            if self._idle:
                return self._idle.pop(), True
        session = self._connect()
        with self._sessions_lock:
            if not self._closed:
                self._sessions.add(session)
                return session, False
        session.close()
        raise ValueError("the store is closed")

    def _give_back(self, session: Session) -> None:
        with self._sessions_lock:
            if not (self._closed or session.lost or session.busy) and len(self._idle) < IDLE:
                self._idle.append(session)
                return
        self._drop(session)

    def _drop(self, session: Session) -> None:
        session.close()
        with self._sessions_lock:
            self._sessions.discard(session)

    def _snapshot(self) -> Snapshot:
        session, _ = self._through_session(lambda session: session.begin())
        return _SqlSnapshot(self, session)

    def _get(self, key: bytes) -> bytes | None:
        session, value = self._through_session(lambda session: session.get(key))
        self._give_back(session)
        return value

    def _get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        session, values = self._through_session(lambda session: session.get_many(keys))
        self._give_back(session)
        return values

    def _close(self) -> None:
        try:
            with self._sessions_lock:
                self._idle.clear()
                sessions = list(self._sessions)
            for session in sessions:
                self._drop(session)
        finally:
            self._close_writer()


class _SqlSnapshot(Snapshot):
    def __init__(self, store: SqlStore, session: Session) -> None:
        self._sql_store = store
        self._session = session
        super().__init__(store)

    def _get(self, key: bytes) -> bytes | None:
        return self._session.get(key)

    def _get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return self._session.get_many(keys)

    def _scan(self, start: bytes, end: bytes | None, reverse: bool, limit: int | None) -> Iterator[Pair]:
        """Read page by page, so that a scan holds nothing open between two pairs, and several run side by side."""

        def page(start: bytes, end: bytes | None, count: int) -> list[Pair]:
            return self._session.page(start, LAST if end is None else end, reverse, count)

        return paged(page, start, end, reverse=reverse, limit=limit)

    def _close(self) -> None:
        try:
            if not self._sql_store.closed:
                with suppress(StorageError):  # then the session ends, and its moment with it
                    self._session.end()
        finally:
            self._sql_store._give_back(self._session)
