"""The compact range: all that appending to a log needs to know about what it holds already."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from medchain.encoding import decode, encode
from medchain.errors import EncodingError
from medchain.merkle.arithmetic import fold, node_hash
from medchain.merkle.proofs import Head

__all__ = ["CompactRange", "Created"]

Created: TypeAlias = tuple[int, int, bytes]
"""A complete node that came into being: level, index, hash."""

_WIRE_LIMIT = 1 << 12


class CompactRange:
    """Size and complete nodes of a log, largest first: one for each bit of the size.

    >>> from medchain.merkle import CompactRange, leaf_hash
    >>> log = CompactRange()
    >>> [node[:2] for node in log.append_many([leaf_hash(b"a"), leaf_hash(b"b")])]
    [(0, 0), (0, 1), (1, 0)]
    """

    __slots__ = ("_nodes", "_size")

    def __init__(self, size: int = 0, nodes: Iterable[bytes] = ()) -> None:
        """The range over `size` leaves with `nodes`, one of 32 bytes for each bit of `size`, largest first."""
        self._size = size
        self._nodes = list(nodes)
        if not 0 <= size < 1 << 63 or len(self._nodes) != size.bit_count():
            raise ValueError(f"{len(self._nodes)} nodes do not make a range of size {size}")
        if any(len(node) != 32 for node in self._nodes):
            raise ValueError("a node has 32 bytes")

    @property
    def size(self) -> int:
        """How many leaves there are."""
        return self._size

    @property
    def nodes(self) -> tuple[bytes, ...]:
        """The hashes of the complete nodes, largest first."""
        return tuple(self._nodes)

    @property
    def root(self) -> bytes:
        """The root of the log (RFC 9162, section 2.1.1)."""
        return fold(self._nodes)

    @property
    def head(self) -> Head:
        """Size and root."""
        return Head(self._size, self.root)

    def append(self, leaf_hash: bytes) -> list[Created]:
        """Append one leaf by its hash; gives the nodes that are complete now, the leaf first, upwards."""
        if len(leaf_hash) != 32:
            raise ValueError(f"a leaf hash has 32 bytes, not {len(leaf_hash)}")
        level, index, hash = 0, self._size, leaf_hash
        created = [(level, index, hash)]
        while index & 1:
            level, index, hash = level + 1, index >> 1, node_hash(self._nodes.pop(), hash)
            created.append((level, index, hash))
        self._nodes.append(hash)
        self._size += 1
        return created

    def append_many(self, leaf_hashes: Iterable[bytes]) -> list[Created]:
        """Append leaves by their hashes, in order; gives the nodes that are complete now."""
        return [node for hash in leaf_hashes for node in self.append(hash)]

    def copy(self) -> CompactRange:
        """An equal range that goes its own way."""
        return CompactRange(self._size, self._nodes)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CompactRange):
            return NotImplemented
        return self._size == other._size and self._nodes == other._nodes

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __bytes__(self) -> bytes:
        return encode([self._size, b"".join(self._nodes)])

    @classmethod
    def from_bytes(cls, data: bytes) -> CompactRange:
        """Read what ``bytes(range)`` wrote. EncodingError if it is anything else."""
        value = decode(data, limit=_WIRE_LIMIT)
        match value:
            case [int(size), bytes(nodes)] if size is not True and size is not False:
                pass
            case _:
                raise EncodingError("a compact range is a list of its size and its nodes")
        if len(nodes) % 32:
            raise EncodingError("the nodes of a compact range have 32 bytes each")
        try:
            return cls(size, (nodes[at : at + 32] for at in range(0, len(nodes), 32)))
        except ValueError as error:
            raise EncodingError(str(error)) from None

    def __repr__(self) -> str:
        return f"CompactRange(size={self._size}, root={self.root.hex()[:12]}…)"
