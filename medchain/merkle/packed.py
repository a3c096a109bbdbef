"""The sparse Merkle map at scale: nodes that lie in a store, of which a batch of changes reads and writes few.

The tree persists nothing. It is given a way to load nodes, and an update gives the new ones, which whoever keeps the
map stores together with what they belong to. Nodes are never changed: each is known by the version that wrote it and by
its path, so a store writes the nodes of one version side by side, and old versions stay readable until their nodes are
deleted. The root is that of `medchain.merkle.SparseMap`, for it depends on the rows alone.

=========  ===========================================================================================
node       what it is
=========  ===========================================================================================
bucket     a subtree of at most 32 rows, in order of their keys
branch     a larger one: up to sixteen subtrees, each with its hash, the version of its node, the least
           version below, and the number of its rows
=========  ===========================================================================================

An update may also *touch* old nodes: write them anew, unchanged, so that versions before them can be deleted as a
range.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from attrs import field, frozen

from medchain._native.packed import (
    BRANCH,
    BUCKET,
    Damaged,
    NodeId,
    Path,
    Way,
    map_change,
    map_missing,
    map_prove,
)
from medchain.errors import InvalidBlock
from medchain.merkle.mapproof import EMPTY_MAP, MapProof

__all__ = ["Load", "MapUpdate", "PackedMap", "least_version", "node_key"]

Load = Callable[[Sequence[bytes]], Sequence[bytes | None]]
"""Gives the nodes under these keys (`node_key`), None for those that are not there."""

_EMPTY_ROOT: Final = bytes([BUCKET, 0])
_REMOVED: Final = bytes(32)
_CHILD: Final = 56
_ROW: Final = 64
_TOP: Final = 3
"""Nodes of at most so many nibbles are kept at hand: 4,369 at most, some 4 MB."""


def node_key(version: int, path: Path) -> bytes:
    """The key of a node: keys of one version lie together, a branch before what is below it."""
    return version.to_bytes(8, "big") + path


@frozen
class MapUpdate:
    """What a batch of changes makes.

    Attributes:
        map: after the changes.
        nodes: its new nodes, (key, bytes) in the order of their keys.
    """

    map: PackedMap
    nodes: tuple[tuple[bytes, bytes], ...] = field(repr=lambda nodes: f"<{len(nodes)} nodes>")


class PackedMap:
    """One version of a map whose nodes are loaded as they are needed. Immutable; safe to use from several threads.

    >>> stored = {}
    >>> empty = PackedMap.empty(lambda keys: [stored.get(key) for key in keys])
    >>> update = empty.updated_hashed({bytes([i] * 32): bytes([1] * 32) for i in range(40)}, version=0)
    >>> stored.update(update.nodes)
    >>> len(update.map), len(update.nodes)
    (40, 4)
    >>> update.map.prove_hashed(bytes(32)).verify_hashed(bytes(32), bytes([1] * 32), root=update.map.root)[:1]
    b'\\x01'
    """

    __slots__ = ("_fresh", "_load", "_rows", "_top", "oldest", "root", "version")

    def __init__(
        self,
        version: int,
        root: bytes,
        rows: int,
        oldest: int,
        load: Load,
        fresh: Mapping[Path, bytes],
        top: dict[Path, tuple[int, bytes]],
    ) -> None:
        self.version = version
        self.root = root
        """32 bytes that commit to every row, and to the absence of every other."""
        self.oldest = oldest
        """The least version among the nodes of this tree: what was written before it, this map does not need."""
        self._rows = rows
        self._load = load
        self._fresh = fresh  # the nodes of this very version, which may not be stored yet
        self._top = top  # of versions that were built on: shared with the maps before and after

    @classmethod
    def empty(cls, load: Load) -> PackedMap:
        """The map without rows, before any version."""
        return cls(-1, EMPTY_MAP, 0, 0, load, {b"": _EMPTY_ROOT}, {})

    @classmethod
    def at(cls, version: int, root: bytes, load: Load) -> PackedMap:
        """A stored version, whose root is known from elsewhere.

        Raises:
            InvalidBlock: its nodes are not stored, or damaged.
        """
        node = _checked(load([node_key(version, b"")])[0], version, b"")
        try:
            map_prove([node], root, EMPTY_MAP)  # of whatever key: it compares the hash of the node
        except Damaged:
            raise _damaged(version) from None
        rows = sum(rows for _, rows in _children(node)) if node[0] == BRANCH else (len(node) - 2) // _ROW
        return cls(version, root, rows, least_version(node, version), load, {b"": node}, {})

    def updated_hashed(
        self, changes: Mapping[bytes, bytes | None], version: int, *, bar: int = 0, touch: int = 0
    ) -> MapUpdate:
        """The map after `changes`: row keys and hashes of values, 32 bytes each; None removes a row.

        Args:
            changes: removing what is not there changes nothing.
            version: of the nodes that are written; larger than any before it. The root is always among them.
            bar: nodes of versions up to this are touched,
            touch: but at most so many.

        Raises:
            ValueError: a key or hash of another size, a hash of zeros, or a version that is not new.
            InvalidBlock: a stored node is missing or not what was hashed.
        """
        if version <= self.version:
            raise ValueError(f"version {version} is not after {self.version}")
        rows = _packed(changes)
        try:
            nodes = self._needed(rows, bar, touch)
            made = map_change(nodes, self.root, self._rows, rows, version, bar, touch)
        except Damaged:
            raise _damaged(self.version) from None
        self._settle()
        fresh = {node[2 : 2 + node[1]]: node for node in made.nodes}
        after = PackedMap(version, made.root, made.rows, made.oldest, self._load, fresh, self._top)
        return MapUpdate(after, tuple((node_key(version, path), fresh[path]) for path in sorted(fresh)))

    def _needed(self, rows: bytes, bar: int, touch: int) -> dict[Path, bytes]:
        """The nodes that a batch reads: level by level, each in one call."""
        wanted: list[NodeId] = [(self.version, b"")]
        nodes: dict[Path, bytes] = {}
        while wanted:
            nodes.update(zip((path for _, path in wanted), self._nodes(wanted), strict=True))
            wanted = map_missing(nodes, self._rows, rows, bar, touch)
        return nodes

    def _settle(self) -> None:
        """Keep the top of this version at hand for those built on it."""
        for path, node in self._fresh.items():
            if len(path) <= _TOP:
                self._top[path] = self.version, node

    def _nodes(self, wanted: Sequence[NodeId]) -> list[bytes]:
        found = [self._at_hand(version, path) for version, path in wanted]
        absent = [i for i, node in enumerate(found) if node is None]
        loaded = self._load([node_key(*wanted[i]) for i in absent]) if absent else ()
        for i, node in zip(absent, loaded, strict=True):
            found[i] = _checked(node, *wanted[i])
        return found  # type: ignore[return-value]  # no None is left

    def _at_hand(self, version: int, path: Path) -> bytes | None:
        if version == self.version and (node := self._fresh.get(path)) is not None:
            return node
        kept = self._top.get(path)
        return kept[1] if kept is not None and kept[0] == version else None

    def get_hashed(self, key_hash: bytes) -> bytes | None:
        """The hash of the value at a row key, or None. InvalidBlock as for `prove_hashed`."""
        return self.prove_hashed(key_hash).value_hash

    def prove_hashed(self, key_hash: bytes) -> MapProof:
        """Prove what stands at a row key: its value, or that there is none.

        Raises:
            InvalidBlock: a stored node is missing or not what was hashed; also if this version is deleted meanwhile.
        """
        if len(key_hash) != 32:
            raise ValueError(f"a row key has 32 bytes, not {len(key_hash)}")
        way = self._way(key_hash)
        if way.end is None:
            return MapProof(key_hash, None, None, way.siblings)
        if way.end[:32] == key_hash:
            return MapProof(key_hash, way.end[32:], None, way.siblings)
        return MapProof(key_hash, None, way.end, way.siblings)

    def since(self, version: int) -> dict[bytes, bytes]:
        """Row keys and hashes of values in what was written after `version`: all that came or changed, and their like.

        Raises:
            InvalidBlock: a stored node is missing or damaged.
        """
        rows: dict[bytes, bytes] = {}
        wanted: list[NodeId] = [(self.version, b"")] if self.version > version else []
        while wanted:
            nodes = self._nodes(wanted)
            wanted = []
            for node in nodes:
                if node[0] == BUCKET:
                    body = node[2 + node[1] :]
                    if len(body) % _ROW:
                        raise _damaged(self.version)
                    rows.update(
                        (body[at : at + 32], body[at + 32 : at + _ROW]) for at in range(0, len(body), _ROW)
                    )
                wanted += [(wrote, path) for path, wrote in _below(node) if wrote > version]
        return rows

    def _way(self, key_hash: bytes) -> Way:
        version, path, nodes = self.version, b"", list[bytes]()
        while True:
            nodes += self._nodes([(version, path)])
            try:
                found = map_prove(nodes, self.root, key_hash)
            except Damaged:
                raise _damaged(version) from None
            if isinstance(found, Way):
                return found
            version, path = found.version, path + bytes([found.nibble])

    def __len__(self) -> int:
        """How many rows there are."""
        return self._rows

    def __eq__(self, other: object) -> bool:
        return self.root == other.root if isinstance(other, PackedMap) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.root)

    def __repr__(self) -> str:
        return f"PackedMap(root={self.root.hex()[:12]}…, version={self.version}, {self._rows} rows)"


def _packed(changes: Mapping[bytes, bytes | None]) -> bytes:
    """Changes as C takes them: in order of their keys, end to end."""
    parts: list[bytes] = []
    for key_hash, value_hash in sorted(changes.items()):
        if len(key_hash) != 32 or (value_hash is not None and len(value_hash) != 32):
            raise ValueError("row keys and hashes of values have 32 bytes")
        if value_hash == _REMOVED:
            raise ValueError("no value has the hash of 32 zero bytes")
        parts += (key_hash, _REMOVED if value_hash is None else value_hash)
    return b"".join(parts)


def least_version(root: bytes, version: int) -> int:
    """The least version among the nodes of a tree, whose root node is of `version`.

    Raises:
        InvalidBlock: it is no root node.
    """
    return min([version, *(oldest for oldest, _ in _children(_checked(root, version, b"")))])


def _children(node: bytes) -> list[tuple[int, int]]:
    """Least version and number of rows of each child of a branch; none for a bucket."""
    if node[0] != BRANCH:
        return []
    numbers = range(4 + node[1] + 40, len(node), _CHILD)
    return [
        (int.from_bytes(node[at : at + 8], "big"), int.from_bytes(node[at + 8 : at + 16], "big"))
        for at in numbers
    ]


def _below(node: bytes) -> list[tuple[Path, int]]:
    """Path of each child of a branch, and the version that wrote it; none for a bucket."""
    if node[0] != BRANCH:
        return []
    start = 4 + node[1]
    path, there = node[2 : start - 2], int.from_bytes(node[start - 2 : start], "big")
    nibbles = [nibble for nibble in range(16) if there >> (15 - nibble) & 1]
    places = range(start + 32, start + _CHILD * len(nibbles), _CHILD)
    return [
        (path + bytes([nibble]), int.from_bytes(node[at : at + 8], "big"))
        for nibble, at in zip(nibbles, places, strict=True)
    ]


def _checked(node: bytes | None, version: int, path: Path) -> bytes:
    """A loaded node, if it is one at this path; what is in it is checked where it is used."""
    head = 2 + len(path)
    if (
        node is None
        or len(node) < head
        or node[0] not in (BUCKET, BRANCH)
        or node[1:head] != bytes([len(path)]) + path
    ):
        raise _damaged(version)
    return node


def _damaged(version: int) -> InvalidBlock:
    return InvalidBlock("a stored node of the state map is missing or damaged", height=version)
