"""Typed tables over ordered rows: what contracts read and write.

A table maps keys (``bytes``, ``str``, ``int`` or tuples of them) to records. In a store its rows lie in the order of
their keys, because `order_key` writes a key so that bytes compare as the keys do. In the state map a row has the key
H(label ‖ enc[contract, table, key]) and the value hash H(enc[key, record]).
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from typing import Any, Generic, Protocol, TypeVar, overload

from medchain._codecs import Codec, codec
from medchain.encoding import decode, encode
from medchain.errors import EncodingError
from medchain.storage.api import prefix_end

__all__ = [
    "ROW_LABEL",
    "Key",
    "OwnRows",
    "Rows",
    "Table",
    "TableView",
    "WritableRows",
    "key_in_order",
    "map_key",
    "order_key",
    "plain_key",
    "read_key",
    "read_row",
    "row_prefix",
]

ROW_LABEL = b"medchain/row/v1"
KEY_LIMIT = 400
"""Most bytes of a key in order form; stores take keys of 511 bytes, table and contract names included."""

ROW_LIMIT = 1 << 20
"""Most bytes of one row."""

RECENT_ROWS, RECENT_BYTES = 512, 512
"""How many rows a table remembers as records, and how long they are at most: a row that a block has just written is
often read by the next transaction. Only records that nobody can change are shared so."""

_INT, _BYTES, _TEXT, _TUPLE = b"\x01", b"\x02", b"\x03", b"\x04"

Key = bytes | str | int | tuple[bytes | str | int, ...]
V = TypeVar("V")


class Rows(Protocol):
    """Rows by their order key: a block's overlay over a store, or a store alone."""

    def get(self, key: bytes) -> bytes | None: ...

    def scan(
        self, start: bytes, end: bytes | None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]: ...


class WritableRows(Rows, Protocol):
    """Rows of which a handler may change its own."""

    def set(self, key: bytes, value: bytes | None, map_key: bytes) -> None: ...


class OwnRows:
    """What a running contract has of the rows: a way to its own tables, and to no others."""

    def __init__(self, rows: WritableRows, contract: str) -> None:
        self._rows = rows
        self._contract = contract

    def of(self, table: Table[Any]) -> WritableRows:
        """All rows, for a view of one of the contract's tables; TypeError for the table of another."""
        if table.contract != self._contract:
            raise TypeError(
                f"{self._contract} reads {table.contract}.{table.name} by context.read, if it is public"
            )
        return self._rows


def row_prefix(contract: str, table: str) -> bytes:
    """The beginning of every order key of one table."""
    return b"r" + contract.encode() + b"\0" + table.encode() + b"\0"


def order_key(key: Key) -> bytes:
    """Bytes that compare as keys of one type do; ints as signed 64-bit numbers, tuples by their items.

    Different keys have different bytes, keys of different types too. Each item begins with a byte for its type; the
    items of a tuple follow one another, so the bytes of a tuple begin with those of its first items.

    >>> order_key(-1) < order_key(0) < order_key(7)
    True
    >>> order_key((b"a", 2)) < order_key((b"a", 10)) < order_key((b"a\\0", 1))
    True

    Raises:
        TypeError: it is no key.
        ValueError: an int of more than 64 bits.
    """
    if isinstance(key, tuple):
        return _TUPLE + b"".join(map(_item_key, key))
    return _item_key(key)


def _item_key(item: Any) -> bytes:
    if type(item) is bytes:
        return _BYTES + item.replace(b"\0", b"\0\xff") + b"\0\0"
    if type(item) is int:
        if not -(1 << 63) <= item < 1 << 63:
            raise ValueError("an int in a table key has at most 64 bits")
        return _INT + (item + (1 << 63)).to_bytes(8, "big")
    if type(item) is str:
        return _TEXT + item.encode().replace(b"\0", b"\0\xff") + b"\0\0"
    raise TypeError(f"a table key is bytes, str, int or a tuple of them, not {type(item).__name__}")


def key_in_order(data: bytes) -> Key:
    """The key that `order_key` has written as these bytes.

    >>> key_in_order(order_key((b"a\\0", -7, "b")))
    (b'a\\x00', -7, 'b')
    """
    if data[:1] != _TUPLE:
        return _item_in_order(data, 0)[0]
    items: list[bytes | str | int] = []
    at = 1
    while at < len(data):
        item, at = _item_in_order(data, at)
        items.append(item)
    return tuple(items)


def _item_in_order(data: bytes, at: int) -> tuple[bytes | str | int, int]:
    """An item that begins at an offset, and the offset behind it."""
    kind, start = data[at : at + 1], at + 1
    if kind == _INT:
        return int.from_bytes(data[start : start + 8], "big") - (1 << 63), start + 8
    end = data.index(b"\0", start)
    while data[end + 1] == 0xFF:
        end = data.index(b"\0", end + 2)
    raw = data[start:end].replace(b"\0\xff", b"\0")
    return raw if kind == _BYTES else raw.decode(), end + 2


def map_key(contract: str, table: str, key: Key) -> bytes:
    """The key of a row in the state map."""
    return hashlib.sha256(_map_prefix(contract, table) + encode(plain_key(key))).digest()


def _map_prefix(contract: str, table: str) -> bytes:
    """What is hashed before the key: label, the head of a list of three, contract and table."""
    return ROW_LABEL + b"\x83" + encode(contract) + encode(table)


def plain_key(key: Key) -> Any:
    """A key as a plain value: a tuple is a list."""
    return list(key) if isinstance(key, tuple) else key


_TEXTS = frozenset((bytes, str))


def _is_text(key: Key) -> bool:
    """Whether a key is of bytes and text only, so that no other key is its equal (1 is that of True)."""
    if type(key) is tuple:
        return _TEXTS.issuperset(map(type, key))
    return type(key) in _TEXTS


def read_key(value: Any) -> Any:
    """A key from its plain value, in which a tuple is a list.

    Raises:
        EncodingError: the value is no key's.
    """
    key = tuple(value) if type(value) is list else value
    for item in key if type(key) is tuple else (key,):
        if type(item) not in (bytes, str, int):
            raise EncodingError(
                f"a table key is bytes, text, an integer or a list of them, not {type(item).__name__}"
            )
    return key


def read_row(data: bytes) -> tuple[Any, Any]:
    """Key and record, the latter as a plain value, of a stored row of any table.

    Raises:
        EncodingError: it is no row.
    """
    pair = decode(data, limit=ROW_LIMIT)
    if type(pair) is not list or len(pair) != 2:
        raise EncodingError("a row is [key, record]")
    return read_key(pair[0]), pair[1]


class Table(Generic[V]):
    """The declaration of a table in a contract class; in a running handler it is a `TableView` of its rows.

    Args:
        value: the record class of its rows.
        public: other contracts may read it.
    """

    def __init__(self, value: type[V], *, public: bool = False) -> None:
        self.value = value
        self.public = public
        self.name = ""
        self.contract = ""
        self._recent: dict[bytes, tuple[Any, V]] = {}
        self._places: dict[Key, tuple[bytes, bytes]] = {}

    def __set_name__(self, owner: Any, name: str) -> None:
        self.name = name
        self.contract = getattr(owner, "name", "")  # `check` refuses a contract without a name
        value: Any = self.value
        value.__tables__ = (*value.__dict__.get("__tables__", ()), (self.contract, name))

    @overload
    def __get__(self, instance: None, owner: type) -> Table[V]: ...

    @overload
    def __get__(self, instance: Any, owner: type) -> TableView[V]: ...

    def __get__(self, instance: Any, owner: type) -> Table[V] | TableView[V]:
        if instance is None:
            return self
        view = instance.__dict__[self.name] = self.view(instance._rows)  # found before this from now on
        return view

    @functools.cached_property
    def prefix(self) -> bytes:
        """The beginning of the order keys of its rows."""
        return row_prefix(self.contract, self.name)

    def view(self, rows: Rows | OwnRows) -> TableView[V]:
        """The rows of this table in `rows`; writable only if `rows` is."""
        return TableView(rows.of(self) if isinstance(rows, OwnRows) else rows, self)

    @functools.cached_property
    def _codec(self) -> Codec:
        return codec(self.value)

    @functools.cached_property
    def _map_prefix(self) -> bytes:
        return _map_prefix(self.contract, self.name)

    def order_key(self, key: Key) -> bytes:
        """The key under which a row lies in a store; ValueError if it is too long."""
        if _is_text(key) and (place := self._places.get(key)) is not None:
            return place[0]
        tail = order_key(key)
        if len(tail) > KEY_LIMIT:
            raise ValueError(f"a table key has at most {KEY_LIMIT} bytes, this one {len(tail)}")
        return self.prefix + tail

    def map_key(self, key: Key) -> bytes:
        """The key of one of its rows in the state map."""
        return hashlib.sha256(self._map_prefix + encode(plain_key(key))).digest()

    def place(self, key: Key) -> tuple[bytes, bytes]:
        """The keys of a row in a store and in the state map; remembered, since rows that change, change again."""
        if not _is_text(key):
            return self.order_key(key), self.map_key(key)
        found = self._places.get(key)
        if found is None:
            if len(self._places) >= RECENT_ROWS:
                self._places.clear()
            found = self._places[key] = self.order_key(key), self.map_key(key)
        return found

    def read(self, data: bytes) -> tuple[Any, V]:
        """Key and record of a stored row.

        Raises:
            EncodingError: it is no row of this table.
        """
        found: tuple[Any, V] | None = self._recent.get(data)
        if found is None:
            key, plain = read_row(data)
            found = key, self._codec.load(plain)
            self._remember(data, found)
        return found

    def write(self, key: Key, record: V) -> bytes:
        """A row as it is stored.

        Raises:
            TypeError: it is no record of this table, or holds another type than it declares.
            ValueError: it is too large.
        """
        if type(record) is not self.value:
            raise TypeError(
                f"{self.contract}.{self.name} takes {self.value.__name__}, not {type(record).__name__}"
            )
        data = encode([plain_key(key), self._codec.dump(record)])
        if len(data) > ROW_LIMIT:
            raise ValueError(f"a row has at most {ROW_LIMIT} bytes, this one {len(data)}")
        self._remember(data, (tuple(key) if isinstance(key, tuple) else key, record))
        return data

    def _remember(self, data: bytes, row: tuple[Any, V]) -> None:
        if len(data) <= RECENT_BYTES and self._codec.lasting:
            if len(self._recent) >= RECENT_ROWS:
                self._recent.clear()
            self._recent[data] = row


class TableView(Generic[V]):
    """A mapping over the rows of one table, in the order of its keys.

    Stored rows are enc[key, record], so that iteration gives the keys back.
    """

    __slots__ = ("_rows", "_table")

    def __init__(self, rows: Rows, table: Table[V]) -> None:
        self._rows = rows
        self._table = table

    def __repr__(self) -> str:
        return f"<table {self._table.contract}.{self._table.name} of {self._table.value.__name__}>"

    def get(self, key: Key) -> V | None:
        """The record under `key`, or None."""
        data = self._rows.get(self._table.order_key(key))
        return None if data is None else self._table.read(data)[1]

    def __getitem__(self, key: Key) -> V:
        found = self.get(key)
        if found is None:
            raise KeyError(key)
        return found

    def __contains__(self, key: Key) -> bool:
        return self._rows.get(self._table.order_key(key)) is not None

    def __setitem__(self, key: Key, record: V) -> None:
        rows: Any = self._rows
        stored, mapped = self._table.place(key)
        data = self._table.write(key, record)
        rows.set(stored, data, mapped)

    def __delitem__(self, key: Key) -> None:
        if key not in self:
            raise KeyError(key)
        rows: Any = self._rows
        stored, mapped = self._table.place(key)
        rows.set(stored, None, mapped)

    def items(
        self,
        start: Key | None = None,
        stop: Key | None = None,
        *,
        under: tuple[bytes | str | int, ...] | None = None,
        reverse: bool = False,
    ) -> Iterator[tuple[Any, V]]:
        """Pairs (key, record) in the order of their keys.

        Args:
            start: first key, if given.
            stop: the key to stop before, if given.
            under: only tuple keys that begin with these items, a tuple; `start` and `stop` narrow what is under it.
            reverse: from the last to the first.
        """
        base = self._table.prefix if under is None else self._table.order_key(under)
        low, high = base, prefix_end(base)
        if start is not None:
            low = max(low, self._table.order_key(start))
        if stop is not None:
            end = self._table.order_key(stop)
            high = end if high is None else min(high, end)
        for _, data in self._rows.scan(low, high, reverse=reverse):
            yield self._table.read(data)

    def keys(self, **bounds: Any) -> Iterator[Any]:
        """Keys in order; `bounds` as for `items`."""
        return (key for key, _ in self.items(**bounds))

    def values(self, **bounds: Any) -> Iterator[V]:
        """Records in the order of their keys; `bounds` as for `items`."""
        return (record for _, record in self.items(**bounds))

    def __iter__(self) -> Iterator[Any]:
        return self.keys()

    def __len__(self) -> int:
        prefix = self._table.prefix
        return sum(1 for _ in self._rows.scan(prefix, prefix_end(prefix)))
