"""How a chain lies in its store: the keys of what is stored, and the small records (docs/spec/store.md)."""

from __future__ import annotations

from attrs import frozen

from medchain.errors import EncodingError, InvalidBlock
from medchain.ledger.tables import map_key, order_key, read_row
from medchain.merkle import CompactRange

__all__ = [
    "COPY",
    "FORMAT",
    "TARGET",
    "TILE_HEIGHT",
    "TILE_WIDTH",
    "UNKNOWN",
    "Base",
    "StoredTip",
    "height_key",
    "leaf_key",
    "pin_key",
    "read_number",
    "row_map_key",
    "stored_number",
    "tile_key",
]

FORMAT = 1
TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT
UNKNOWN = bytes(32)
"""Stands in a tile of a restored chain for a hash from before."""

COPY, TARGET = b"mcopy", b"mtarget"
"""Keys of a verified copy of a published log: what kind it is, and the signed note up to which it is catching up."""


@frozen
class StoredTip:
    """Size and nodes of the log, and where its last header is."""

    size: int
    nodes: tuple[bytes, ...]
    header: int

    def __attrs_post_init__(self) -> None:
        CompactRange(self.size, self.nodes)  # ValueError if they do not belong together

    @property
    def log(self) -> CompactRange:
        """The log's compact range."""
        return CompactRange(self.size, self.nodes)


@frozen
class Base:
    """Where a chain that was restored from a snapshot begins: the size of the log, and the height of its last block."""

    size: int
    height: int


def stored_number(value: int) -> bytes:
    """A log index as it is stored, in keys and in values."""
    return value.to_bytes(8, "big")


def leaf_key(index: int) -> bytes:
    """Where leaf data lies."""
    return b"e" + stored_number(index)


def height_key(height: int) -> bytes:
    """Where the log index of a header lies."""
    return b"h" + stored_number(height)


def tile_key(level: int, index: int) -> bytes:
    """Where a tile lies."""
    return b"t" + bytes([level]) + stored_number(index)


def pin_key(level: int, index: int) -> bytes:
    """Where a node lies that no tile of a restored chain has."""
    return b"p" + bytes([level]) + stored_number(index)


def row_map_key(key: bytes, data: bytes) -> bytes:
    """The key in the state map of a row that lies under an order key.

    Raises:
        InvalidBlock: it is damaged, or lies where it does not belong.
    """
    contract, _, rest = key[1:].partition(b"\0")
    table, _, tail = rest.partition(b"\0")
    try:
        row_key, _ = read_row(data)
        if order_key(row_key) != tail:
            raise EncodingError("it lies under another key than its own")
        return map_key(contract.decode(), table.decode(), row_key)
    except (EncodingError, UnicodeDecodeError) as error:
        raise InvalidBlock(f"a stored row of {contract!r} {table!r} is damaged: {error}") from error


def read_number(data: bytes) -> int:
    """A stored log index; InvalidBlock if it is none."""
    if len(data) != 8:
        raise InvalidBlock("a stored index is damaged: it is no log index")
    return int.from_bytes(data, "big")
