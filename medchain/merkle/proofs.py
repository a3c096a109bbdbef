"""Heads and proofs of the log tree: made from any source of nodes, verified with nothing but hashes.

A proof is bound to its index and size: it holds for one leaf place in one tree, and says so on the wire.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from typing import TypeAlias

from attrs import field, frozen

from medchain.errors import MalformedProof, RootMismatch
from medchain.merkle.arithmetic import (
    EMPTY_ROOT,
    consistency_nodes,
    cover,
    fold,
    inclusion_nodes,
    leaf_hash,
    node_hash,
    path_shape,
)
from medchain.merkle.display import path_html, path_svg
from medchain.records import decode_record, encode_record, length, short

__all__ = [
    "ConsistencyProof",
    "Fetch",
    "Head",
    "InclusionProof",
    "prove_consistency",
    "prove_inclusion",
    "root_of",
]

Fetch: TypeAlias = Callable[[int, int], bytes]
"""Gives the hash of the complete node at (level, index)."""

_WIRE_LIMIT = 1 << 13
"""A path has at most 64 hashes of 34 encoded bytes; the rest of a proof fits into what remains."""


def _short_path(path: tuple[bytes, ...]) -> str:
    return f"<{len(path)} hashes>"


@frozen
class Head:
    """Size and root of a log: together they fix every leaf and its place; a root alone fixes no position."""

    size: int = field()
    root: bytes = field(validator=length(32), repr=short)

    @size.validator
    def _check_size(self, attribute: object, value: int) -> None:
        if value < 0:
            raise ValueError(f"a tree has no size {value}")

    def __str__(self) -> str:
        return f"{self.size}:{self.root.hex()}"

    def _repr_html_(self) -> str:
        return f"<code>{self.size}</code> leaves under <code>{short(self.root)}</code>"


@frozen
class InclusionProof:
    """That a leaf stands at `index` in the tree of `size` leaves (RFC 9162, section 2.1.3).

    `path` holds the siblings, 32 bytes each, from the leaf up.
    """

    index: int
    size: int
    path: tuple[bytes, ...] = field(repr=_short_path)

    def verify(self, leaf: bytes, *, index: int, head: Head) -> bytes:
        """Check that `leaf` is the data at `index` under `head`, and return it.

        Raises:
            MalformedProof: the proof is for another index or size, or has not exactly the hashes it needs.
            RootMismatch: the path leads to another root.
        """
        self.verify_hash(leaf_hash(leaf), index=index, head=head)
        return leaf

    def verify_hash(self, hash: bytes, *, index: int, head: Head) -> bytes:
        """As `verify`, for the hash of a leaf, which is returned."""
        if (self.index, self.size) != (index, head.size):
            raise MalformedProof(
                f"the proof is for leaf {self.index} of {self.size}, not for leaf {index} of {head.size}"
            )
        if len(hash) != 32:
            raise ValueError(f"a leaf hash has 32 bytes, not {len(hash)}")
        _expect_root("inclusion", head.root, self.root_from(hash))
        return hash

    def _inner(self) -> int:
        """How many siblings stand below the right border of the tree; MalformedProof if the path is of wrong length."""
        if not 0 <= self.index < self.size:
            raise MalformedProof(f"leaf {self.index} is not in a tree of size {self.size}")
        inner, border = path_shape(self.index, self.size)
        _expect_path(self.path, inner + border)
        return inner

    def root_from(self, hash: bytes) -> bytes:
        """The root that the path leads to from the leaf hash `hash`. MalformedProof if it has a wrong length."""
        inner = self._inner()
        return _climb_border(_climb(hash, self.path[:inner], self.index), self.path[inner:])

    def root_up_to(self, hash: bytes) -> bytes:
        """The root of the tree that ends with this leaf: the one that the first `index` + 1 leaves of the tree make.

        The siblings on the left are what the leaves before hash to, so one path shows both trees. It says something
        only once `verify_hash` has accepted the leaf. MalformedProof if the path has a wrong length.
        """
        inner = self._inner()
        lefts = [sibling for i, sibling in enumerate(self.path[:inner]) if self.index >> i & 1]
        return _climb_border(hash, [*lefts, *self.path[inner:]])

    def __bytes__(self) -> bytes:
        return encode_record(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> InclusionProof:
        """Read what ``bytes(proof)`` wrote. EncodingError if it is anything else."""
        return decode_record(cls, data, limit=_WIRE_LIMIT)

    def _repr_html_(self) -> str:
        return path_html(self.index, self.size, self.path)

    def _repr_svg_(self) -> str:
        return path_svg(self.index, self.size, self.path)


@frozen
class ConsistencyProof:
    """That the first `old_size` leaves of the tree of `new_size` leaves are the old tree (RFC 9162, section 2.1.4)."""

    old_size: int
    new_size: int
    path: tuple[bytes, ...] = field(repr=_short_path)

    def verify(self, *, old: Head, new: Head) -> Head:
        """Check that the log of head `new` has only been appended to since head `old`, and return `new`.

        Raises:
            MalformedProof: the proof is for other sizes, or has not exactly the hashes it needs.
            RootMismatch: the path leads to another old or new root.
        """
        if (self.old_size, self.new_size) != (old.size, new.size):
            raise MalformedProof(
                f"the proof is for sizes {self.old_size} and {self.new_size}, not {old.size} and {new.size}"
            )
        if old.size == new.size:
            _expect_path(self.path, 0)
            root = new.root if new.size else EMPTY_ROOT
            _expect_root("old tree", old.root, root)
            _expect_root("new tree", new.root, root)
            return new
        if not 0 < old.size < new.size:
            raise MalformedProof(f"nothing proves a tree of size {old.size} to begin one of size {new.size}")
        old_root, new_root = self._roots(old)
        _expect_root("old tree", old.root, old_root)
        _expect_root("new tree", new.root, new_root)
        return new

    def _roots(self, old: Head) -> tuple[bytes, bytes]:
        """The old and the new root that the path leads to."""
        level = (old.size & -old.size).bit_length() - 1
        index = (old.size - 1) >> level
        inner, border = path_shape(index, self.new_size, level)
        start = 1 if index else 0
        _expect_path(self.path, start + inner + border)
        seed = self.path[0] if start else old.root
        below, above = self.path[start : start + inner], self.path[start + inner :]
        lefts = [hash for i, hash in enumerate(below) if index >> i & 1]
        return (
            _climb_border(_climb_border(seed, lefts), above),
            _climb_border(_climb(seed, below, index), above),
        )

    def __bytes__(self) -> bytes:
        return encode_record(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> ConsistencyProof:
        """Read what ``bytes(proof)`` wrote. EncodingError if it is anything else."""
        return decode_record(cls, data, limit=_WIRE_LIMIT)


def prove_inclusion(index: int, size: int, fetch: Fetch) -> InclusionProof:
    """Prove leaf `index` of the tree of `size` leaves whose complete nodes `fetch` gives."""
    plan = inclusion_nodes(index, size)
    return InclusionProof(index, size, plan.rehash(fetch(*node) for node in plan.nodes))


def prove_consistency(old: int, new: int, fetch: Fetch) -> ConsistencyProof:
    """Prove that the tree of `new` leaves, whose complete nodes `fetch` gives, begins with the one of `old`."""
    plan = consistency_nodes(old, new)
    return ConsistencyProof(old, new, plan.rehash(fetch(*node) for node in plan.nodes))


def root_of(size: int, fetch: Fetch) -> bytes:
    """The root of the tree of `size` leaves whose complete nodes `fetch` gives."""
    return fold([fetch(*node) for node in cover(0, size)])


def _climb(hash: bytes, siblings: Sequence[bytes], index: int) -> bytes:
    for i, sibling in enumerate(siblings):
        hash = node_hash(sibling, hash) if index >> i & 1 else node_hash(hash, sibling)
    return hash


def _climb_border(hash: bytes, lefts: Sequence[bytes]) -> bytes:
    for left in lefts:
        hash = node_hash(left, hash)
    return hash


def _expect_path(path: Sequence[bytes], count: int) -> None:
    if len(path) != count:
        raise MalformedProof(f"the proof has {len(path)} hashes where {count} belong")
    for hash in path:
        if len(hash) != 32:
            raise MalformedProof(f"the proof has a hash of {len(hash)} bytes")


def _expect_root(what: str, expected: bytes, computed: bytes) -> None:
    if not hmac.compare_digest(expected, computed):
        raise RootMismatch(what, expected=expected, computed=computed)
