"""Proofs of the sparse map: that a row has a value, or that there is no such row.

The map is a binary tree over 256-bit row keys, most significant bit first. An empty subtree is 32 zero bytes, a subtree
with one row is that row's leaf H(0x00 ‖ row key ‖ H(value)), any other is H(0x01 ‖ left ‖ right). The root depends on
the rows alone, not on how they came in.
"""

from __future__ import annotations

import hmac
from hashlib import sha256

from attrs import field, frozen

from medchain.errors import MalformedProof, RootMismatch
from medchain.merkle.arithmetic import node_hash
from medchain.records import decode_record, encode_record, length, short

__all__ = ["EMPTY_MAP", "MapProof", "map_leaf"]

EMPTY_MAP = bytes(32)
"""The root of the map without rows, and the hash of every empty subtree."""

_WIRE_LIMIT = 1 << 14
"""256 siblings of 34 encoded bytes, and room for the rest."""


def map_leaf(key_hash: bytes, value_hash: bytes) -> bytes:
    """H(0x00 ‖ row key ‖ H(value)), the hash of a row."""
    return sha256(b"\x00" + key_hash + value_hash).digest()


@frozen
class MapProof:
    """What stands at one row key of a sparse map: a value, or nothing.

    Absence shows in one of two ways: the path ends in an empty subtree, or in the only row of its subtree, which is
    another one, the `neighbour`.
    """

    key_hash: bytes = field(validator=length(32), repr=short)
    value_hash: bytes | None = field(validator=length(32), repr=short)
    """H(value) of the row, or None if there is no such row."""
    neighbour: bytes | None = field(validator=length(64), repr=short)
    """Row key ‖ H(value) of the row that stands in the way, if one proves the absence."""
    siblings: tuple[bytes, ...] = field(repr=lambda path: f"<{len(path)} hashes>")
    """From the root down."""

    def verify(self, key: bytes, value: bytes | None = None, *, root: bytes) -> bytes | None:
        """Check that the map of `root` has `value` under `key`, or with None that it has no such key; returns `value`.

        For maps whose row keys and leaves hash the plain key and value, as `SparseMap` does from plain items.

        Raises:
            MalformedProof: the proof is about another key or says something else about it.
            RootMismatch: the path leads to another root.
        """
        self.verify_hashed(sha256(key).digest(), None if value is None else sha256(value).digest(), root=root)
        return value

    def verify_hashed(self, key_hash: bytes, value_hash: bytes | None, *, root: bytes) -> bytes | None:
        """As `verify`, for a row key and the hash of a value; returns `value_hash`."""
        if key_hash != self.key_hash:
            raise MalformedProof(f"the proof is about row {short(self.key_hash)}, not {short(key_hash)}")
        if value_hash != self.value_hash:
            claimed = "absence" if value_hash is None else "a value"
            raise MalformedProof(f"the proof does not show {claimed} at row {short(key_hash)}, but otherwise")
        computed = self.root()
        if not hmac.compare_digest(root, computed):
            raise RootMismatch("map", expected=root, computed=computed)
        return value_hash

    def root(self) -> bytes:
        """The root that the path leads to. MalformedProof if the proof contradicts itself."""
        depth = len(self.siblings)
        if depth > 256:
            raise MalformedProof(f"a path of {depth} steps in a map of 256-bit keys")
        if any(len(sibling) != 32 for sibling in self.siblings):
            raise MalformedProof("a hash in the proof has not 32 bytes")
        result, turns = self._end(depth), int.from_bytes(self.key_hash, "big") >> 256 - depth
        for i, sibling in enumerate(reversed(self.siblings)):
            result = node_hash(sibling, result) if turns >> i & 1 else node_hash(result, sibling)
        return result

    def _end(self, depth: int) -> bytes:
        """The hash in which the path ends, `depth` steps below the root."""
        if self.value_hash is not None:
            if self.neighbour is not None:
                raise MalformedProof("the proof shows a row and a neighbour in its place")
            return map_leaf(self.key_hash, self.value_hash)
        if self.neighbour is None:
            return EMPTY_MAP
        other = self.neighbour[:32]
        apart = int.from_bytes(self.key_hash, "big") ^ int.from_bytes(other, "big")
        if apart == 0 or apart >> 256 - depth:
            raise MalformedProof("the neighbour does not stand in the way of the row")
        return map_leaf(other, self.neighbour[32:])

    def __bytes__(self) -> bytes:
        return encode_record(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> MapProof:
        """Read what ``bytes(proof)`` wrote. EncodingError if it is anything else."""
        return decode_record(cls, data, limit=_WIRE_LIMIT)

    def _repr_html_(self) -> str:
        what = "no value" if self.value_hash is None else f"value <code>{short(self.value_hash)}</code>"
        return f"row <code>{short(self.key_hash)}</code>: {what}, {len(self.siblings)} steps below the root"
