"""Where chains lie, as one text says it, and the store that lies there.

- ``clinic.medchain``: a folder; which store is in it is found out, and a new chain gets LMDB;
- ``sqlite:clinic.medchain`` or ``lmdb:…``: a folder, and which store is meant;
- ``postgresql://…?schema=ehr``: a connection string of libpq, and the schema that the chain has there.

A path object is always a folder, and so is a text that begins otherwise: ``./sqlite:x``.
"""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from attrs import field, frozen

from medchain.errors import NotAChain, StorageError
from medchain.storage._folders import LMDB_FILE, SQLITE_FILE
from medchain.storage._guard import guarded
from medchain.storage.api import Store

__all__ = ["FolderPlace", "Place", "ServerPlace", "without_passwords"]

STORE: Final = "store"
"""Where in its folder a chain has its store."""

FILES: Final = {"lmdb": LMDB_FILE, "sqlite": SQLITE_FILE}
"""The stores that are folders, and by which file each is known."""

NAMES: Final = {"lmdb": "LMDB", "sqlite": "SQLite"}
DEFAULT: Final = "lmdb"

_KIND = re.compile(rf"({'|'.join(FILES)}):(.+)", re.DOTALL)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,31})://")
_SERVER = re.compile(r"(postgres(?:ql)?://)(?:([^@/]*)@)?([^?]*)\??(.*)", re.DOTALL)
"""As libpq takes a connection string apart: scheme, user and password, hosts and database, parameters."""

_SHOWN: Final = ("user", "host", "hostaddr", "port", "dbname", "service")
"""Parameters of a connection string that say where and who, and hold no secret."""

_SECRETS = re.compile(r"(?i)(://[^:@/\s]*):\S*@|(\b(?:ssl)?password=)('[^']*'|[^\s&]*)")


def without_passwords(text: str) -> str:
    """`text` with ``***`` where connection strings in it have passwords, rather more than less."""
    return _SECRETS.sub(lambda found: f"{found[1]}:***@" if found[1] else f"{found[2]}***", text)


class Place(ABC):
    """Where a chain lies. `Place.parse` reads it; its text shows no password, so that it may stand in messages."""

    @staticmethod
    def parse(place: str | os.PathLike[str] | Place) -> Place:
        """Read what names a place, see `medchain.storage.places`. No store is opened.

        Raises:
            ValueError: it is of a kind that there is not, or a connection string that is malformed or names no schema.
                Its text is not repeated.
        """
        if isinstance(place, Place):
            return place
        if not isinstance(place, str):
            return FolderPlace.at(Path(place))
        if server := _SERVER.fullmatch(place):
            return ServerPlace.of(*server.groups(""))
        if scheme := _SCHEME.match(place):
            raise ValueError(
                f"no chain lies at {scheme[1]}://…; places are FOLDER, lmdb:FOLDER, sqlite:FOLDER and"
                " postgresql://…?schema=NAME"
            )
        named = _KIND.fullmatch(place)
        return FolderPlace.at(Path(named[2]), named[1]) if named else FolderPlace.at(Path(place))

    @property
    @abstractmethod
    def folder(self) -> Path | None:
        """The chain's folder, where its sealed data lies unless said otherwise; None if it has none."""

    @property
    @abstractmethod
    def key(self) -> str:
        """Never equal for two places, and equal for two names of one where that can be told. It holds no password.

        Raises:
            StorageError: the place cannot be looked at, or holds several stores or another one than is said.
            ImportError: as for `open`.
        """

    @abstractmethod
    def open(self, *, create: bool = False, read_only: bool = False) -> Store:
        """Open the store that lies here, or with `create` make one where there is none.

        Raises:
            NotAChain: there is none and none is to be made, or another one than is said, or several. The message says
                what was found and what to do.
            Locked: another process is writing.
            StorageError: one is to be made where something else is, or the place cannot be reached.
            ImportError: a package that this kind of store needs is not installed; the message names the extra.
        """


@frozen
class FolderPlace(Place):
    """A chain's folder, with an LMDB or SQLite store in its folder ``store``; or a folder that is such a store itself.

    Args:
        path: the folder.
        kind: ``lmdb`` or ``sqlite`` if it is said which one is meant.
    """

    path: Path
    kind: str | None = None

    @classmethod
    def at(cls, path: Path, kind: str | None = None) -> FolderPlace:
        """The place of a path, which may also lead to the chain's store, or to the data file in it."""
        with suppress(OSError):  # what cannot be looked at is said when it is opened
            for each, name in FILES.items():
                if path.name == name and path.is_file():
                    path, kind = path.parent, kind or each
            if path.name == STORE and _stores_in(path):
                path = path.parent
        return cls(path, kind)

    @property
    def folder(self) -> Path:
        """The folder itself."""
        return self.path

    @property
    def key(self) -> str:
        """What kind of store it is, and where it really lies."""
        kind, store = self._found() or self._new()
        return f"{kind}:{os.path.realpath(store)}"

    def open(self, *, create: bool = False, read_only: bool = False) -> Store:
        """Open or make the store; errors as for every place."""
        found = self._found()
        if found is None and not create:
            raise NotAChain(self._what_is_there())
        if found is None:
            self._make_folder()
        kind, store = found or self._new()
        if kind == "sqlite":
            from medchain.storage.sqlite_store import SqliteStore

            return SqliteStore(store, read_only=read_only, create=create)
        from medchain.storage.lmdb_store import LmdbStore

        return LmdbStore(store, read_only=read_only, create=create)

    def _new(self) -> tuple[str, Path]:
        return self.kind or DEFAULT, self.path / STORE

    def _found(self) -> tuple[str, Path] | None:
        """The store that is here: of what kind, and in which folder."""
        with guarded(f"look into {self.path}"):
            there = [(kind, at) for at in (self.path / STORE, self.path) for kind in _stores_in(at)]
        meant = [(kind, at) for kind, at in there if self.kind in (None, kind)]
        if there and not meant:
            kind, at = there[0]
            raise NotAChain(
                f"{at} holds a store on {NAMES[kind]}, none on {NAMES[self.kind or DEFAULT]}:"
                f" name it {kind}:{self.path}, or the folder alone"
            )
        if len(meant) > 1:
            stores = " and ".join(f"{kind}:{at}" for kind, at in meant)
            raise NotAChain(f"{self.path} holds several stores; say which one is meant: {stores}")
        return meant[0] if meant else None

    def _what_is_there(self) -> str:
        """Why no chain can be opened here, and what to do."""
        none, elsewhere = "no medchain chain", "a chain in PostgreSQL is opened by postgresql://…?schema=NAME"
        with guarded(f"look into {self.path}"):
            if not self.path.exists():
                return f"{self.path} holds {none}: it does not exist. Chain.create founds one"
            if not self.path.is_dir():
                return f"{self.path} holds {none}: it is a file, and a chain has a folder, or a schema in PostgreSQL"
            names = sorted(each.name for each in self.path.iterdir())
        if not names:
            return f"{self.path} holds {none}: it is empty. Chain.create founds one; {elsewhere}"
        if names == ["blobs"]:
            return f"{self.path} holds {none}, only sealed data in 'blobs': {elsewhere}"
        some = ", ".join(map(repr, names[:3])) + (f" and {len(names) - 3} more" if names[3:] else "")
        return (
            f"{self.path} holds {none}, but {some}. The folder of a chain has 'store' in it, with {LMDB_FILE} (LMDB)"
            f" or {SQLITE_FILE} (SQLite); {elsewhere}"
        )

    def _make_folder(self) -> None:
        """Make the folder; what an attempt that was broken off left there does not count."""
        path = self.path
        if path.exists() and not path.is_dir():
            raise StorageError(f"{path} is a file, not a folder for a chain")
        try:
            path.mkdir(parents=True, exist_ok=True)
            own = (STORE, f".{STORE}-", "blobs")
            others = [each.name for each in path.iterdir() if not each.name.startswith(own)]
        except OSError as error:
            raise StorageError(f"no chain can be made at {path}: {error}") from error
        if others:
            raise StorageError(
                f"{path} holds other files, like {min(others)!r}; a chain has a folder of its own"
            )

    def __str__(self) -> str:
        return str(self.path) if self.kind is None else f"{self.kind}:{self.path}"


@frozen
class ServerPlace(Place):
    """A schema in a PostgreSQL database. It has no folder, so blob stores have to be named.

    Args:
        conninfo: a connection string of libpq; it may hold a password.
        schema: the schema.
        shown: what messages call it.
    """

    conninfo: str = field(repr=False)
    schema: str
    shown: str

    @classmethod
    def of(cls, scheme: str, login: str, where: str, query: str) -> ServerPlace:
        """Put a connection string together again, without its parameter ``schema``.

        Raises:
            ValueError: it names no schema or several, or has an ``@`` or a port where there can be none, because one of
                a password's letters is not written as libpq wants it. Its text is not repeated.
        """
        ports = [host.rpartition("]")[2].partition(":")[2] for host in where.partition("/")[0].split(",")]
        if "@" in where or not all(port == "" or port.isdecimal() for port in ports):
            raise ValueError(
                "the connection string is malformed: it is postgresql://USER:PASSWORD@HOST:PORT/DATABASE?schema=NAME,"
                " and in user and password @ is written %40, / is %2F, : is %3A, % is %25"
            )
        schemas, others, shown = [], [], []
        for parameter in filter(None, query.split("&")):
            name, _, value = parameter.partition("=")
            if name == "schema":
                schemas.append(unquote(value))
            else:
                others.append(parameter)
            if name in _SHOWN:
                shown.append(parameter)
        if len(schemas) != 1:
            raise ValueError("a connection string names the schema of the chain: postgresql://…?schema=NAME")
        user = login.partition(":")[0]
        return cls(
            scheme + (f"{login}@" if login else "") + where + ("?" + "&".join(others) if others else ""),
            schemas[0],
            scheme + (f"{user}@" if user else "") + f"{where}?{'&'.join([*shown, f'schema={schemas[0]}'])}",
        )

    @property
    def folder(self) -> None:
        """None: files have no place in a database."""
        return None

    @property
    def key(self) -> str:
        """The schema, and all of the connection string that is no password."""
        from medchain.storage.postgres_store import parameters

        told = {name: each for name, each in parameters(self.conninfo).items() if "password" not in name}
        return f"postgresql:{sorted(told.items())}:{self.schema}"

    def open(self, *, create: bool = False, read_only: bool = False) -> Store:
        """Open or make the store; errors as for every place."""
        from medchain.storage.postgres_store import PostgresStore

        try:
            return PostgresStore(self.conninfo, schema=self.schema, read_only=read_only, create=create)
        except NotAChain as error:
            advice = "" if create else ". Chain.create founds one"
            raise NotAChain(f"{self} holds no medchain chain: {error}{advice}") from error

    def __str__(self) -> str:
        return self.shown


def _stores_in(folder: Path) -> list[str]:
    """Of what kinds there are stores in a folder: those whose data file is there."""
    return [kind for kind, name in FILES.items() if (folder / name).is_file()]
