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
from itertools import chain
from threading import Lock
from typing import Final

from attrs import field, frozen

from medchain._native.packed import (
    BRANCH,
    BUCKET,
    LEVELS,
    Damaged,
    Made,
    MapBatch,
    Path,
    Way,
    map_prove,
    map_top_size,
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
_MADE_BYTES: Final = 16 << 20
"""What a version has made stays in memory twice until it is built on; of more than this only the top does."""


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


class _Top:
    """Branches near the root, kept from version to version: 4,369 at most, some 4 MB, and less of a small map.

    They are those of one line of versions. When a map is built on that is not the next of the line, a new one begins.
    """

    def __init__(self) -> None:
        self.lock = Lock()
        self.branches = bytearray()
        self._kept: object = None

    def keep(
        self, made: Made | None, root: bytes, version: int, rows: int, line: tuple[object, object]
    ) -> None:
        """Keep the branches that a version has made, which is to be built on.

        `line` tells it and the version before it from all others.
        """
        this, before = line
        if self._kept is this:
            return
        levels = sum(rows > 16 ** (level + 1) for level in range(LEVELS))
        size = max(map_top_size(levels), len(self.branches))
        if self._kept is not before:
            self.branches = bytearray(size)
        elif len(self.branches) < size:
            self.branches = self.branches + bytes(size - len(self.branches))
        self._kept = this
        if made:
            made.keep(self.branches, root, version)


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

    __slots__ = ("_fresh", "_line", "_load", "_made", "_rows", "_top", "oldest", "root", "version")

    def __init__(
        self,
        version: int,
        root: bytes,
        rows: int,
        oldest: int,
        load: Load,
        fresh: Mapping[bytes, bytes],
        made: Made | None,
        top: _Top,
        before: object = None,
    ) -> None:
        self.version = version
        self.root = root
        """32 bytes that commit to every row, and to the absence of every other."""
        self.oldest = oldest
        """The least version among the nodes of this tree: what was written before it, this map does not need."""
        self._rows = rows
        self._load = load
        self._fresh = fresh  # the nodes of this very version, which may not be stored yet
        self._made = made  # the same as C has written them, or the branches that a top may keep
        self._top = top  # of versions that were built on: shared with the maps before and after
        self._line = (object(), before)

    @classmethod
    def empty(cls, load: Load) -> PackedMap:
        """The map without rows, before any version."""
        return cls(-1, EMPTY_MAP, 0, 0, load, {node_key(0, b""): _EMPTY_ROOT}, None, _Top())

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
        fresh = {node_key(version, b""): node}
        return cls(version, root, rows, least_version(node, version), load, fresh, Made.of([node]), _Top())

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
            with self._top.lock:
                self._top.keep(self._made, self.root, self._root_version, self._rows, self._line)
                batch = MapBatch(
                    self._top.branches, self.root, self._root_version, self._rows, rows, bar, touch
                )
                after = batch.change(self._needed(batch), version)
        except Damaged:
            raise _damaged(self.version) from None
        nodes, made = after.made.pairs(), after.made
        if made.size > _MADE_BYTES:
            made = Made.of([node for key, node in nodes if len(key) < 8 + LEVELS and node[0] == BRANCH])
        tree, load, top = (after.root, after.rows, after.oldest), self._load, self._top
        return MapUpdate(PackedMap(version, *tree, load, dict(nodes), made, top, self._line[0]), nodes)

    @property
    def _root_version(self) -> int:
        return max(0, self.version)  # that of the map before any version is under 0

    def _needed(self, batch: MapBatch) -> list[bytes]:
        """The nodes that a batch reads and that are not at hand: level by level, each in one call."""
        wanted, more = batch.missing(())
        nodes = self._nodes(wanted)
        found = dict(zip(wanted, nodes, strict=True))
        while more:
            wanted, more = batch.missing(nodes)
            if not found.keys().isdisjoint(wanted):
                raise Damaged  # what lies there says that it lies elsewhere
            found.update(zip(wanted, self._nodes(wanted), strict=True))
            nodes = [found[key] for key in sorted(found, key=_path)]
        return nodes

    def _nodes(self, keys: Sequence[bytes]) -> list[bytes]:
        found: list[bytes | None] = [self._fresh.get(key) for key in keys]
        if None in found:
            loaded = iter(self._load([key for key, node in zip(keys, found, strict=True) if node is None]))
            found = [next(loaded) if node is None else node for node in found]
        if None in found:
            raise Damaged
        return found  # type: ignore[return-value]  # no None is left

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
        wanted = [node_key(self._root_version, b"")] if self.version > version else []
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
                wanted += [node_key(wrote, path) for path, wrote in _below(node) if wrote > version]
        return rows

    def _way(self, key_hash: bytes) -> Way:
        version, path, nodes = self._root_version, b"", list[bytes]()
        while True:
            try:
                nodes += self._nodes([node_key(version, path)])
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


def _path(key: bytes) -> Path:
    return key[8:]


def _packed(changes: Mapping[bytes, bytes | None]) -> bytes:
    """Changes as C takes them: in order of their keys, end to end."""
    keys = sorted(changes)
    values = [_REMOVED if (value := changes[key]) is None else value for key in keys]
    if not {len(part) for part in chain(keys, values)} <= {32}:
        raise ValueError("row keys and hashes of values have 32 bytes")
    if _REMOVED in changes.values():
        raise ValueError("no value has the hash of 32 zero bytes")
    return b"".join(chain.from_iterable(zip(keys, values, strict=True)))


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
