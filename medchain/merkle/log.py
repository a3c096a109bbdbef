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
        self._levels[0] += leaf_hash(leaf)
        self._complete()
        return index

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Append leaves in order."""
        for chunk in _chunks(leaves):
            self._levels[0] += _native.leaf_hashes(chunk)
            self._complete()

    def node(self, level: int, index: int) -> bytes:
        """The hash of the complete node at (level, index). IndexError if it is not complete."""
        if level >= len(self._levels) or not 0 <= index < len(self._levels[level]) // 32:
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

    def _complete(self) -> None:
        """Hash every pair of nodes that has become complete, upwards."""
        for level in itertools.count():
            below = self._levels[level]
            pairs = len(below) // 64
            if pairs == 0:
                return
            if level + 1 == len(self._levels):
                self._levels.append(bytearray())
            above = self._levels[level + 1]
            done = len(above) // 32
            if pairs == done:
                return
            if pairs - done < _FEW:
                for pair in range(done, pairs):
                    above += node_hash(self.node(level, 2 * pair), self.node(level, 2 * pair + 1))
            else:
                above += _native.node_hashes(memoryview(below)[64 * done : 64 * pairs])

    def __repr__(self) -> str:
        return f"LogTree(size={len(self)}, root={self.root.hex()[:12]}…)"

    def _repr_svg_(self) -> str:
        return tree_svg(len(self), self.node)


def _chunks(leaves: Iterable[bytes]) -> Iterator[list[bytes]]:
    iterator = iter(leaves)
    while chunk := list(itertools.islice(iterator, _CHUNK)):
        yield chunk
