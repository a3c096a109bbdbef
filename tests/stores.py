"""The stores that outlive a process, by name: where each lies, how it is opened here and in other processes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from urllib.parse import quote

import postgres
from attrs import frozen

from medchain.storage import LmdbStore, MemoryStore, PostgresStore, SqliteStore, Store

FILES = ("lmdb", "sqlite")
LASTING = (*FILES, "postgres")
ALL = ("memory", *LASTING)


@frozen
class Place:
    """Where a store of some kind lies; PostgreSQL has a schema for each path."""

    kind: str
    path: Path

    def open(self, *, read_only: bool = False) -> Store:
        """Open it; the test is skipped by name where PostgreSQL is missing."""
        match self.kind:
            case "memory":
                return MemoryStore()
            case "lmdb":
                return LmdbStore(self.path, read_only=read_only)
            case "sqlite":
                return SqliteStore(self.path, read_only=read_only)
            case "postgres":
                return PostgresStore(postgres.shared_conninfo(), schema=self.schema, read_only=read_only)
        raise AssertionError(self.kind)

    def code(self, *, read_only: bool = False) -> str:
        """The expression by which another process opens it."""
        if self.kind == "postgres":
            return f"PostgresStore({postgres.shared_conninfo()!r}, schema={self.schema!r}, read_only={read_only})"
        name = {"lmdb": "LmdbStore", "sqlite": "SqliteStore"}[self.kind]
        return f"{name}({str(self.path)!r}, read_only={read_only})"

    @property
    def text(self) -> str:
        """The text by which a chain that lies here is opened, see `medchain.storage.places`."""
        if self.kind != "postgres":
            return f"{self.kind}:{self.path}"
        reached = dict(each.split("=", 1) for each in postgres.shared_conninfo().split())
        host = quote(reached["host"], safe="")
        return f"postgresql://{reached['user']}@/{reached['dbname']}?host={host}&schema={self.schema}"

    @property
    def schema(self) -> str:
        """The name of the path's schema."""
        return f"test_{hashlib.sha256(str(self.path).encode()).hexdigest()[:20]}"
