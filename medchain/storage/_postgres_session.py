"""Sessions of a PostgreSQL server for a `PostgresStore`: its statements, its errors, and what a fork does to them."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, cast
from weakref import WeakSet

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from medchain.errors import Locked, NewerFormat, NotAChain, StorageError, StorageFull
from medchain.storage._sql import LAST, Pair, statements
from medchain.storage.api import Batch, DeleteRange
from medchain.storage.lock import WHAT_OTHERS_DO

__all__ = ["Place", "PostgresSession", "PostgresWriter", "parameters_of"]

VERSION: Final = 1
WRITER: Final = 0x6D656463
"""Class of the advisory lock that the writer of a schema holds; the next number is that of whoever creates one."""

PATIENCE_MS: Final = 2_000
"""How long to wait for the lock: a server notices only after a moment that the client before was killed."""

PUT_BYTES: Final = 8 << 20
PUT_ROWS: Final = 10_000
"""Bounds of one statement; a batch may take several, all in one round trip."""

Connection = psycopg.Connection[tuple[Any, ...]]


def parameters_of(conninfo: str) -> dict[str, Any]:
    """Read a connection string; ValueError if it is none. Its text is not repeated, for it may hold a password."""
    try:
        return conninfo_to_dict(conninfo)
    except psycopg.Error:
        raise ValueError("the connection string is malformed") from None


class Place:
    """A schema in a database, and the statements on it. Raises ValueError if `conninfo` is no connection string."""

    def __init__(self, conninfo: str, schema: str, *, writable: bool) -> None:
        defaults = {"fallback_application_name": f"medchain process {os.getpid()}"}
        if writable:
            # Of several hosts read that which is written to, or a commit would not be seen at once.
            defaults["target_session_attrs"] = "read-write"
        self.parameters: dict[str, Any] = defaults | parameters_of(conninfo)
        self.schema = schema
        self.sql: Mapping[str, sql.Composed] = {
            name: sql.SQL(text).format(schema=sql.Identifier(schema))
            for name, text in statements("postgres.sql").items()
        }

    def connect(self) -> Connection:
        """Open a connection."""
        try:
            connection = psycopg.connect(**self.parameters, autocommit=True)
        except psycopg.Error as error:
            raise _translated(error, self.schema) from error
        _connections.add(connection)
        return connection

    def __repr__(self) -> str:
        where = [f"{self.parameters[name]}" for name in ("host", "dbname") if self.parameters.get(name)]
        return "/".join([*where, self.schema])


class _Session:
    """A connection, its lock, and whether the server is still there."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._lock = threading.Lock()
        self._closed = False
        self.lost = self.busy = False
        self._connection = place.connect()

    def close(self) -> None:
        """Let the connection go."""
        with self._lock:
            with suppress(psycopg.Error):
                self._connection.close()
            self._closed = True

    @contextmanager
    def _using(self) -> Iterator[Connection]:
        with self._lock, self._noticing():
            if self._closed:
                raise ValueError("the store is closed")
            yield self._connection

    @contextmanager
    def _noticing(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            self.lost = self.lost or _is_lost(error, self._connection)
            raise _translated(error, self._place.schema) from error

    def check_format(self) -> None:
        """Refuse a schema without a store, or with one of a newer format: NotAChain, NewerFormat."""
        with self._using():
            _, store = self._exists()
            rows = self._execute("version").fetchall() if store else []
        if not rows:
            raise NotAChain(f"the database has no store in a schema {self._place.schema}")
        if rows != [(VERSION,)]:
            raise NewerFormat(
                f"the store in schema {self._place.schema} has the format {rows[0][0]}; this version reads {VERSION}"
            )

    def _exists(self) -> tuple[bool, bool]:
        """Tell whether the schema is there, and whether a store is in it."""
        schema = self._place.schema
        [(there, store)] = self._execute("exists", schema, f"{schema}.medchain_store")
        return there, store

    def _execute(self, name: str, *parameters: Any) -> psycopg.Cursor[tuple[Any, ...]]:
        return self._connection.execute(self._place.sql[name], parameters or None, binary=True)


class PostgresSession(_Session):
    """A connection for reading. Raises NotAChain, NewerFormat where there is nothing to read."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        try:
            self.check_format()
        except BaseException:
            self.close()
            raise

    def begin(self) -> None:
        """Stay at the present moment, until `end`."""
        self.busy = True
        with self._using() as connection:
            # Two statements in one message, which the server therefore cannot prepare.
            connection.execute(self._place.sql["begin_reading"], prepare=False)

    def end(self) -> None:
        """Leave the moment."""
        with self._using():
            self._execute("rollback")
            self.busy = False

    def get(self, key: bytes) -> bytes | None:
        """Give a value."""
        with self._using():
            row = self._execute("get", key).fetchone()
            return None if row is None else row[0]

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Give values, all of one moment, in one round trip."""
        with self._using():
            return [value for (value,) in self._execute("get_many", list(keys))]

    def page(self, start: bytes, end: bytes, reverse: bool, count: int) -> list[Pair]:
        """Give the first pairs from `start` on and before `end`, or the last ones backwards."""
        with self._using():
            return cast(
                list[Pair],
                self._execute("page_backwards" if reverse else "page", start, end, count).fetchall(),
            )


class PostgresWriter(_Session):
    """The one connection of a schema that writes. It holds an advisory lock, and is never replaced by another.

    With `create`, a store is made where there is none. Raises NotAChain if there is none, or other tables are in its
    place; Locked if another session holds the lock; StorageError if the server does not make commits durable.
    """

    def __init__(self, place: Place, *, create: bool) -> None:
        super().__init__(place)
        try:
            if create:
                with self._using():
                    self._create()
            self.check_format()
            with self._using():
                self._require_durability()
                self._backend = self._take_lock()
        except BaseException:
            self.close()
            raise

    def _create(self) -> None:
        schema = self._place.schema
        self._execute("begin_creating")
        self._execute("one_creator", WRITER + 1, schema)
        there, store = self._exists()
        if not store:
            if not there:
                self._execute("create_schema")
            [(tables,)] = self._execute("occupied", schema)
            if tables:
                raise NotAChain(f"the schema {schema} holds other tables, but no store")
            for statement in ("create_pairs", "store_plainly", "create_version"):
                self._execute(statement)
            self._execute("insert_version", VERSION)
        self._execute("commit")

    def _require_durability(self) -> None:
        [(fsync, synchronous_commit)] = self._execute("durable")
        if not fsync:
            raise StorageError(
                "the server runs with fsync off: what is committed would not survive a power cut"
            )
        if not synchronous_commit:
            self._execute("be_durable")

    def _take_lock(self) -> int:
        """Wait a little for the lock; gives the process of the server that holds it for us."""
        self._execute("wait_a_little", f"{PATIENCE_MS}ms")
        try:
            locked = self._execute("lock", WRITER, self._place.schema).fetchone()
        except psycopg.errors.LockNotAvailable:
            holder, session = self._execute("holder", self._place.schema, WRITER).fetchone() or (None, None)
            raise Locked(
                f"schema {self._place.schema} is open for writing in {holder or 'another session'}"
                f" (session {session} of the server); there can be only one. {WHAT_OTHERS_DO}"
            ) from None
        if locked is None:
            raise NotAChain(f"the database has no schema {self._place.schema}")
        self._execute("wait_a_little", "0")
        return cast(int, locked[1])

    def apply(self, batch: Batch) -> None:
        """Write the whole batch durably, or nothing.

        Raises StorageError, also if the connection is lost on the way: then nobody here knows what the server did.
        """
        if self.lost:
            raise StorageError(
                f"the connection that held schema {self._place.schema} for writing is lost; open the store again"
            )
        committing = False
        try:
            with self._using() as connection:
                try:
                    with connection.pipeline():
                        self._execute("begin_writing")
                        self._send(batch)
                        backend = self._execute("backend")
                    if backend.fetchone() != (self._backend,):
                        raise StorageError(
                            "a connection pooler gave this commit to a session without the lock"
                        )
                    committing = True
                    if self._execute("commit").statusmessage != "COMMIT":
                        raise StorageError("the server did not commit")
                except BaseException:
                    self._roll_back(connection)
                    raise
        except StorageError as error:
            if committing and self.lost:
                raise StorageError(
                    f"the server was lost while it committed, so whether it did is not known: {error}."
                    " Open the store again and look"
                ) from error
            raise

    def _send(self, batch: Batch) -> None:
        for step in batch.steps():
            if isinstance(step, DeleteRange):
                self._execute("delete_range", step.start, LAST if step.end is None else step.end)
                continue
            if step.deletes:
                self._execute("delete", list(step.deletes))
            for keys, values in _runs(step.puts):
                self._execute("put", keys, values)

    def _roll_back(self, connection: Connection) -> None:
        try:
            connection.execute(self._place.sql["rollback"])
        except psycopg.Error:
            self.lost = True
            connection.close()

    def release(self) -> None:
        """Give the lock back, so that it is free when this returns, and let the connection go."""
        try:
            with suppress(StorageError, ValueError), self._using():
                if not self.lost:
                    self._execute("unlock")
        finally:
            self.close()


def _runs(puts: Mapping[bytes, bytes]) -> Iterator[tuple[list[bytes], list[bytes]]]:
    """Keys and values, in order, as much at a time as one statement should carry."""
    keys: list[bytes] = []
    values: list[bytes] = []
    size = 0
    for key in sorted(puts):
        value = puts[key]
        if keys and (size + len(value) > PUT_BYTES or len(keys) == PUT_ROWS):
            yield keys, values
            keys, values, size = [], [], 0
        keys.append(key)
        values.append(value)
        size += len(key) + len(value)
    if keys:
        yield keys, values


def _is_lost(error: psycopg.Error, connection: Connection) -> bool:
    """Tell whether the session has ended: the server said so, or does not say anything any more."""
    return (
        connection.closed
        or error.diag.severity_nonlocalized in ("FATAL", "PANIC")
        or (isinstance(error, psycopg.OperationalError) and error.sqlstate is None)
    )


def _translated(error: psycopg.Error, schema: str) -> StorageError:
    text = str(error).strip().partition("\n")[0]
    if isinstance(error, psycopg.errors.DiskFull):
        return StorageFull(f"no room for the store in schema {schema}: {text}")
    return StorageError(f"the store in schema {schema} fails: {text}")


_connections: WeakSet[Connection] = WeakSet()


def _after_fork() -> None:
    # psycopg leaves a parent's connections alone. But while a child has them open, the server would not notice that
    # the parent has died, and keep its lock.
    for connection in list(_connections):
        with suppress(psycopg.Error, OSError):
            os.close(connection.fileno())
    _connections.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
