"""The sparse Merkle map: rows under hashed keys, a root that depends on the rows alone, old versions that stay.

A map is never changed: an update shares all that it leaves alone with the map before it. Inside, a subtree is None if
it is empty, a row ``(hash, key hash, value hash)`` if it holds one, else a branch ``(hash, left, right, None)``: plain
tuples, since a ledger makes a hundred thousand of them a second.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import TypeAlias

from medchain.merkle.mapproof import EMPTY_MAP, MapProof, map_leaf

__all__ = ["SparseMap"]

_Row: TypeAlias = tuple[bytes, bytes, bytes]
_Branch: TypeAlias = "tuple[bytes, _Tree, _Tree, None]"
_Tree: TypeAlias = "_Row | _Branch | None"
_Changes: TypeAlias = list[tuple[bytes, bytes | None]]


class SparseMap:
    """An immutable map from keys to values with a Merkle root. It keeps hashes, not the keys and values themselves.

    >>> rows = SparseMap({b"k": b"v"})
    >>> rows.prove(b"k").verify(b"k", b"v", root=rows.root)
    b'v'
    >>> rows.prove_absent(b"x").verify(b"x", root=rows.root)
    >>> rows.updated({b"k": None}).root == SparseMap().root
    True
    """

    __slots__ = ("_size", "_tree")

    def __init__(self, items: Mapping[bytes, bytes] | None = None) -> None:
        self._tree: _Tree = None
        self._size: int | None = None
        if items:
            self._tree = _update(None, _sorted(_hashed(items)), 0)

    @classmethod
    def from_hashed(cls, items: Mapping[bytes, bytes]) -> SparseMap:
        """The map with these rows, given by row key and hash of the value, 32 bytes each."""
        return cls().updated_hashed(items)

    @property
    def root(self) -> bytes:
        """32 bytes that commit to every row, and to the absence of every other."""
        return _hash(self._tree)

    def updated(self, changes: Mapping[bytes, bytes | None]) -> SparseMap:
        """The map after `changes`: a value sets a key, None removes it. Removing what is not there changes nothing."""
        return self.updated_hashed(_hashed(changes))

    def updated_hashed(self, changes: Mapping[bytes, bytes | None]) -> SparseMap:
        """As `updated`, for row keys and hashes of values, 32 bytes each."""
        result = SparseMap()
        result._tree = _update(self._tree, _sorted(changes), 0)
        return result

    def get_hashed(self, key_hash: bytes) -> bytes | None:
        """The hash of the value at a row key, or None."""
        row = _descend(self._tree, key_hash)[0]
        return row[2] if row is not None and row[1] == key_hash else None

    def prove(self, key: bytes) -> MapProof:
        """Prove the value of `key`. KeyError if there is none."""
        proof = self.prove_hashed(sha256(key).digest())
        if proof.value_hash is None:
            raise KeyError(key)
        return proof

    def prove_absent(self, key: bytes) -> MapProof:
        """Prove that `key` has no value. ValueError if it has one."""
        proof = self.prove_hashed(sha256(key).digest())
        if proof.value_hash is not None:
            raise ValueError("the key is in the map")
        return proof

    def prove_hashed(self, key_hash: bytes) -> MapProof:
        """Prove what stands at a row key: its value, or that there is none."""
        if len(key_hash) != 32:
            raise ValueError(f"a row key has 32 bytes, not {len(key_hash)}")
        row, siblings = _descend(self._tree, key_hash)
        if row is None:
            return MapProof(key_hash, None, None, siblings)
        if row[1] == key_hash:
            return MapProof(key_hash, row[2], None, siblings)
        return MapProof(key_hash, None, row[1] + row[2], siblings)

    def rows(self) -> Iterator[tuple[bytes, bytes]]:
        """All rows as (row key, hash of the value), in order of the row key."""
        stack = [self._tree]
        while stack:
            tree = stack.pop()
            if tree is None:
                continue
            if len(tree) == 3:
                yield tree[1], tree[2]
            else:
                stack += (tree[2], tree[1])

    def __contains__(self, key: bytes) -> bool:
        return self.get_hashed(sha256(key).digest()) is not None

    def __len__(self) -> int:
        """How many rows there are: counted at the first call."""
        if self._size is None:
            self._size = sum(1 for _ in self.rows())
        return self._size

    def __eq__(self, other: object) -> bool:
        return self.root == other.root if isinstance(other, SparseMap) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.root)

    def __repr__(self) -> str:
        return f"SparseMap(root={self.root.hex()[:12]}…)"

    def _repr_html_(self) -> str:
        return f"<code>{len(self):,}</code> rows under <code>{self.root.hex()[:12]}…</code>"


def _hashed(changes: Mapping[bytes, bytes | None]) -> dict[bytes, bytes | None]:
    return {
        sha256(key).digest(): None if value is None else sha256(value).digest()
        for key, value in changes.items()
    }


def _sorted(changes: Mapping[bytes, bytes | None]) -> _Changes:
    for key_hash, value_hash in changes.items():
        if len(key_hash) != 32 or (value_hash is not None and len(value_hash) != 32):
            raise ValueError("row keys and hashes of values have 32 bytes")
    return sorted(changes.items())


def _hash(tree: _Tree) -> bytes:
    return EMPTY_MAP if tree is None else tree[0]


def _join(left: _Tree, right: _Tree) -> _Tree:
    """The subtree over two halves: a branch, unless at most one row is left in both."""
    if left is None:
        if right is None or len(right) == 3:
            return right
        return sha256(b"\x01" + EMPTY_MAP + right[0]).digest(), None, right, None
    if right is None:
        if len(left) == 3:
            return left
        return sha256(b"\x01" + left[0] + EMPTY_MAP).digest(), left, None, None
    return sha256(b"\x01" + left[0] + right[0]).digest(), left, right, None


def _update(tree: _Tree, changes: _Changes, depth: int) -> _Tree:
    """The subtree at `depth` after `changes`, which are sorted and all lie in it."""
    if len(changes) == 1:
        return _update_one(tree, *changes[0], depth)
    if not changes:
        return tree
    if tree is None:
        return _build([(key, value) for key, value in changes if value is not None], depth)
    if len(tree) == 3:
        merged = {tree[1]: tree[2], **dict(changes)}
        return _build(sorted((key, value) for key, value in merged.items() if value is not None), depth)
    middle = _middle(changes, depth)
    return _join(_update(tree[1], changes[:middle], depth + 1), _update(tree[2], changes[middle:], depth + 1))


def _update_one(tree: _Tree, key_hash: bytes, value_hash: bytes | None, depth: int) -> _Tree:
    """As `_update`, for one change: down to where it belongs, and up again. Most of the work of a small batch."""
    before = tree
    passed: list[tuple[bool, _Tree]] = []
    while tree is not None and len(tree) == 4:
        _, left, right, _ = tree
        if key_hash[depth >> 3] << (depth & 7) & 0x80:
            passed.append((True, left))
            tree = right
        else:
            passed.append((False, right))
            tree = left
        depth += 1
    if tree is not None and tree[1] != key_hash:
        if value_hash is None:
            return before
        tree = _build(sorted([(tree[1], tree[2]), (key_hash, value_hash)]), depth)
    elif value_hash is not None:
        tree = map_leaf(key_hash, value_hash), key_hash, value_hash
    elif tree is None:
        return before
    else:
        tree = None
    for went_right, sibling in reversed(passed):
        tree = _join(sibling, tree) if went_right else _join(tree, sibling)
    return tree


def _build(rows: list[tuple[bytes, bytes]], depth: int) -> _Tree:
    """The subtree at `depth` that holds `rows`, which are sorted."""
    if not rows:
        return None
    if len(rows) == 1:
        key_hash, value_hash = rows[0]
        return map_leaf(key_hash, value_hash), key_hash, value_hash
    middle = _middle(rows, depth)
    return _join(_build(rows[:middle], depth + 1), _build(rows[middle:], depth + 1))


def _middle(rows: Sequence[tuple[bytes, bytes | None]], depth: int) -> int:
    """Where the keys turn right at `depth`."""
    byte, mask = depth >> 3, 0x80 >> (depth & 7)
    return bisect_left(rows, mask, key=lambda row: row[0][byte] & mask)


def _descend(tree: _Tree, key_hash: bytes) -> tuple[_Row | None, tuple[bytes, ...]]:
    """The row (of this or another key) or empty place where the path of `key_hash` ends, and the siblings passed."""
    siblings: list[bytes] = []
    while tree is not None and len(tree) == 4:
        depth = len(siblings)
        _, left, right, _ = tree
        if key_hash[depth >> 3] << (depth & 7) & 0x80:
            siblings.append(_hash(left))
            tree = right
        else:
            siblings.append(_hash(right))
            tree = left
    return tree, tuple(siblings)
