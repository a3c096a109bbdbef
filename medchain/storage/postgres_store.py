"""A store in a PostgreSQL database: one writing session for a schema, readers on any machine. Extra ``postgres``."""

from __future__ import annotations

import re
from contextlib import suppress
from types import ModuleType
from typing import TYPE_CHECKING, Any

from medchain.errors import StorageError
from medchain.storage._guard import guarded
from medchain.storage._sql import SqlStore
from medchain.storage.api import Batch

if TYPE_CHECKING:
    from medchain.storage._postgres_session import PostgresSession, PostgresWriter

__all__ = ["PostgresStore", "parameters"]

_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")


class PostgresStore(SqlStore):
    """A `Store` in the schema `schema` of a PostgreSQL database (10 or later); needs psycopg 3 (extra ``postgres``).

    `conninfo` is a connection string of libpq: ``postgresql://…`` or ``host=… dbname=…``. One handle writes, through
    one session that holds an advisory lock; another, on whatever machine, gets Locked after 2 seconds. Any number of
    handles opened with ``read_only=True`` read beside it, with a session for each open snapshot. With ``create`` (the
    default of a writing handle) a missing schema is made, or an empty one taken; one schema holds one store.

    Commits are on the server's disk when they return; a server that runs with ``fsync`` off is refused. After a
    server was restarted, reads go on by new sessions, snapshots of before are lost, and a writing handle has to be
    opened again, since its lock is lost. A commit during which the server was lost raises StorageError and may have
    been carried out: opening the store again shows it. Connect to the server itself, or through a pooler that pools
    sessions; the lock means nothing in one that pools transactions.

    In a forked child every operation raises Locked; it may open a store of its own.

    Raises NotAChain where there is no store, Locked where there is a writer, NewerFormat, or StorageError where the
    server cannot be reached or refuses; ValueError for a schema's name that is not lower-case letters, digits and
    ``_`` (at most 63), or a malformed connection string; ImportError without psycopg.
    """

    def __init__(
        self, conninfo: str, *, schema: str, read_only: bool = False, create: bool | None = None
    ) -> None:
        super().__init__(read_only=read_only)
        self._writer: PostgresWriter | None = None
        if _SCHEMA.fullmatch(schema) is None:
            raise ValueError(
                f"the name of a schema has lower-case letters, digits and _, at most 63: not {schema!r}"
            )
        if create and read_only:
            raise ValueError("a store that is opened for reading cannot be created")
        driver = _driver()
        self._place = driver.Place(conninfo, schema, writable=not read_only)
        with guarded(f"open the store in schema {schema}"):
            try:
                if read_only:
                    self._give_back(self._take()[0])
                else:
                    self._writer = driver.PostgresWriter(self._place, create=create is not False)
            except BaseException:
                self.close()
                raise

    @property
    def schema(self) -> str:
        """The schema's name."""
        return str(self._place.schema)

    def _connect(self) -> PostgresSession:
        session: PostgresSession = _driver().PostgresSession(self._place)
        return session

    def _commit(self, batch: Batch) -> None:
        assert self._writer is not None
        self._writer.apply(batch)

    def _close_writer(self) -> None:
        if self._writer is not None:
            self._writer.release()

    def __del__(self) -> None:
        with suppress(AttributeError, StorageError):  # half-built, or its server is gone
            self.close()

    def __repr__(self) -> str:
        return f"<PostgresStore: {self._place}{', read only' if self.read_only else ''}>"


def parameters(conninfo: str) -> dict[str, Any]:
    """What a connection string of libpq says, by name; ValueError if it is malformed, ImportError without psycopg."""
    said: dict[str, Any] = _driver().parameters_of(conninfo)
    return said


def _driver() -> ModuleType:
    try:
        from medchain.storage import _postgres_session
    except ImportError as error:
        raise ImportError(
            f"PostgresStore needs psycopg 3: pip install 'medchain[postgres]' ({error})"
        ) from error
    return _postgres_session
