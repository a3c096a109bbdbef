"""The log tree in memory: every complete node, level by level."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from medchain import _native
from medchain.merkle.arithmetic import leaf_hash, node_hash
from medchain.merkle.display import tree_svg
from medchain.merkle.proofs import (
    ConsistencyProof,
    Head,
    InclusionProof,
    prove_consistency,
    prove_inclusion,
    root_of,
)

__all__ = ["LogTree"]

_CHUNK = 4096
"""Leaves hashed in one call: enough to make the call itself free, few enough to stay in the processor's cache."""

_FEW = 8
"""From this many nodes on, hashing them in C beats a loop over `hashlib`."""


class LogTree:
    """An append-only RFC 9162 tree that keeps hashes, 64 bytes a leaf, and not the leaves themselves.

    >>> leaves = [b"a", b"b", b"c", b"d", b"e", b"f"]
    >>> tree = LogTree(leaves)
    >>> tree.prove_inclusion(5).verify(leaves[5], index=5, head=tree.head)
    b'f'
    >>> tree.prove_consistency(3).verify(old=tree.head_at(3), new=tree.head) == tree.head
    True
    """

    def __init__(self, leaves: Iterable[bytes] = ()) -> None:
        self._levels: list[bytearray] = [bytearray()]
        self.extend(leaves)

    def __len__(self) -> int:
        return len(self._levels[0]) // 32

    @property
    def root(self) -> bytes:
        """The root over all leaves."""
        return root_of(len(self), self.node)

    @property
    def head(self) -> Head:
        """Size and root: what a reader must know to check proofs."""
        return self.head_at(len(self))

    def head_at(self, size: int) -> Head:
        """The head that the tree had when it had `size` leaves."""
        self._expect_size(size)
        return Head(size, root_of(size, self.node))

    def append(self, leaf: bytes) -> int:
        """Append one leaf and give its index."""
        index = len(self)
        self._grow(leaf_hash(leaf))
        return index

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Append leaves in order. If this is interrupted, some first of them may have been appended, each wholly."""
        for chunk in _chunks(leaves):
            self._grow(_native.leaf_hashes(chunk))

    def node(self, level: int, index: int) -> bytes:
        """The hash of the complete node at (level, index). IndexError if it is not complete."""
        if level < 0 or not 0 <= index < len(self) >> level:
            raise IndexError(f"no complete node {index} at level {level}")
        return bytes(self._levels[level][32 * index : 32 * index + 32])

    def prove_inclusion(self, index: int, size: int | None = None) -> InclusionProof:
        """Prove leaf `index` in the tree as it was with `size` leaves, or as it is."""
        return prove_inclusion(index, self._expect_size(size), self.node)

    def prove_consistency(self, old: int, new: int | None = None) -> ConsistencyProof:
        """Prove that the tree of `new` leaves, or as it is, only adds to what it was with `old` leaves."""
        return prove_consistency(old, self._expect_size(new), self.node)

    def _expect_size(self, size: int | None) -> int:
        if size is None:
            return len(self)
        if not 0 <= size <= len(self):
            raise ValueError(f"the tree has {len(self)} leaves and never had {size}")
        return size

    def _grow(self, hashes: bytes) -> None:
        """Append leaf hashes and every node that they complete.

        The leaves come last and are what counts: whatever an interrupted call has left above them is not looked at
        and is overwritten by the next one.
        """
        size = len(self)
        grown = [hashes]
        while pairs := self._pairs(grown[-1], len(grown) - 1, size >> len(grown) - 1):
            grown.append(_parents(pairs))
        while len(self._levels) < len(grown):
            self._levels.append(bytearray())
        for level in reversed(range(len(grown))):
            self._levels[level][32 * (size >> level) :] = grown[level]

    def _pairs(self, nodes: bytes, level: int, first: int) -> bytes:
        """Those of the nodes from index `first` on that are pairs, with the older node that completes the first."""
        whole = self.node(level, first - 1) + nodes if first % 2 else nodes
        return whole[: len(whole) // 64 * 64]

    def __repr__(self) -> str:
        return f"LogTree(size={len(self)}, root={self.root.hex()[:12]}…)"

    def _repr_svg_(self) -> str:
        return tree_svg(len(self), self.node)


def _parents(pairs: bytes) -> bytes:
    """The hashes over pairs of nodes."""
    if len(pairs) >= 64 * _FEW:
        return _native.node_hashes(pairs)
    return b"".join(
        [node_hash(pairs[at : at + 32], pairs[at + 32 : at + 64]) for at in range(0, len(pairs), 64)]
    )


def _chunks(leaves: Iterable[bytes]) -> Iterator[list[bytes]]:
    iterator = iter(leaves)
    while chunk := list(itertools.islice(iterator, _CHUNK)):
        yield chunk
