"""Typed front of the packed sparse map in C: nodes in, nodes out. The layout of a node is in csrc/api.h.

A node lies under a key: its version in 8 bytes, and its path, a byte for each nibble.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

from medchain._native._ext import ffi, lib

__all__ = [
    "BRANCH",
    "BUCKET",
    "LEVELS",
    "Changed",
    "Damaged",
    "Made",
    "MapBatch",
    "Missing",
    "NextNode",
    "Path",
    "Way",
    "map_prove",
    "map_top_size",
]

BUCKET, BRANCH = 1, 2
ROW = 64

LEVELS = 4
"""So many levels of branches a top can hold."""

Path = bytes
"""Nibbles from the root down, a byte each."""

_room = ffi.new_allocator(should_clear_after_alloc=False)
"""Memory for C to write to: nobody reads what it has not written."""


class Damaged(Exception):
    """A node is not what the branch above it, or the root, says of it; or it is none."""


class Missing(NamedTuple):
    """Keys of nodes that a batch needs, as their paths compare, and whether there may be more below them."""

    keys: list[bytes]
    more: bool


class Made:
    """New nodes as C has written them."""

    def __init__(self, data: Any, spans: Any, size: int, count: int) -> None:
        self._data, self._spans, self._count = data, spans, count
        self.size = size
        """In bytes."""

    @classmethod
    def of(cls, nodes: Sequence[bytes]) -> Made:
        """Some nodes without their keys, as if C had written them; none without that above it."""
        data, offsets = b"".join(nodes), [0, *accumulate(map(len, nodes))]
        spans = [number for start, end in pairwise(offsets) for number in (start, start, end)]
        return cls(ffi.from_buffer("uint8_t[]", data), ffi.new("uint64_t[]", spans), len(data), len(nodes))

    def pairs(self) -> tuple[tuple[bytes, bytes], ...]:
        """Each node with its key, in the order of these."""
        data, numbers = ffi.buffer(self._data, self.size), iter(ffi.unpack(self._spans, 3 * self._count))
        return tuple(
            [
                (data[key:node], data[node:end])
                for key, node, end in zip(numbers, numbers, numbers, strict=True)
            ]
        )

    def keep(self, top: bytearray, root: bytes, version: int) -> None:
        """Keep the branches among them in a top; `root` and `version` are those of the root node."""
        lib.mc_map_keep(_into(top), len(top), self._data, self._spans, self._count, root, version)


class Changed(NamedTuple):
    """The map after a batch: its root, how many rows it has, the least version in its tree, and its new nodes."""

    root: bytes
    rows: int
    oldest: int
    made: Made


class NextNode(NamedTuple):
    """A node that a proof needs, too: its version, and its nibble below the last one."""

    version: int
    nibble: int


class Way(NamedTuple):
    """Where the path of a key leads: the siblings from the root down, and the row at its end (64 bytes) or None."""

    siblings: tuple[bytes, ...]
    end: bytes | None


class _Loaded:
    """Nodes end to end, in the order in which C reads them."""

    def __init__(self, nodes: Sequence[bytes]) -> None:
        self.data = b"".join(nodes)
        self.offsets = array("Q", accumulate(map(len, nodes), initial=0))
        self.arguments = (self.data, ffi.from_buffer("uint64_t[]", self.offsets), len(nodes))


_NONE = _Loaded(())


def map_top_size(levels: int) -> int:
    """How many bytes a top of so many levels has, `LEVELS` at most."""
    return lib.mc_map_top_size(levels)


class MapBatch:
    """Changes on one version of a map.

    Args:
        top: branches at hand.
        root, version, rows: of the map: its hash, the version of its root, how many rows it has.
        changes: rows of 64 bytes in order: row key, hash of the value or 32 zero bytes.
        bar: subtrees whose least version is at most this are written anew, too,
        budget: but no more than so many nodes.
    """

    def __init__(
        self, top: bytearray, root: bytes, version: int, rows: int, changes: bytes, bar: int, budget: int
    ) -> None:
        self._top, self._top_size = _into(top), len(top)
        self._root = root
        self._map = (version, rows)
        self._changes, self._count = changes, len(changes) // ROW
        self._touch = (bar, budget)
        touched = min(self._count + budget, 16 ** (LEVELS - 1))
        self._branches = min(2 * touched, len(top) // map_top_size(1))

    def missing(self, nodes: Sequence[bytes]) -> Missing:
        """Which nodes the changes need beside `nodes`: loaded, as their paths compare.

        Raises:
            Damaged: a loaded node is none.
        """
        data, offsets, count = _Loaded(nodes).arguments if nodes else _NONE.arguments
        numbers, room = ffi.new("uint64_t[3]", [*self._map, 0]), 16 * self._count + 1024
        while True:
            wanted = _room("uint8_t[]", room)
            size = lib.mc_map_missing(
                self._top, self._top_size, data, offsets, count, self._root, numbers, self._changes, self._count,
                *self._touch, wanted, room,
            )  # fmt: skip
            if size < 0:
                raise Damaged
            if size <= room:
                return Missing(_keys(ffi.buffer(wanted, size)[:]), numbers[2] > 0)
            room = size

    def change(self, nodes: Sequence[bytes], version: int) -> Changed:
        """Apply the changes, for which no node is missing; new nodes are of `version`.

        Raises:
            Damaged: a loaded node is not what was hashed.
        """
        data, offsets, count = _Loaded(nodes).arguments
        work, root = _room("uint8_t[]", len(data)), ffi.new("uint8_t[]", self._root)
        numbers = ffi.new("uint64_t[6]", [*self._map, version])
        size = len(data) + 1024 * self._branches + 96 * (self._count + len(nodes)) + 4096
        made = 2 * len(nodes) + self._branches + self._count + 64
        while True:
            out, spans = _room("uint8_t[]", size), _room("uint64_t[]", 3 * made)
            answer = lib.mc_map_change(
                self._top, self._top_size, data, offsets, count, work, root, numbers, self._changes, self._count,
                *self._touch, out, size, spans, made,
            )  # fmt: skip
            if answer < 0:
                raise Damaged
            if answer == 0:
                _, rows, _, oldest, size, made = numbers
                return Changed(ffi.buffer(root, 32)[:], rows, oldest, Made(out, spans, size, made))
            size, made = numbers[4], numbers[5]


def _keys(wanted: bytes) -> list[bytes]:
    keys, at = [], 0
    while at < len(wanted):
        end = at + 9 + wanted[at]
        keys.append(wanted[at + 1 : end])
        at = end
    return keys


def map_prove(nodes: Sequence[bytes], root: bytes, key: bytes) -> NextNode | Way:
    """Prove what stands at `key`, with the nodes on its way from the root down.

    Returns:
        The next node that is needed, or the whole way.

    Raises:
        Damaged: a node is not what was hashed.
    """
    loaded = _Loaded(nodes)
    path, end, numbers = bytearray(256 * 32), bytearray(ROW), array("Q", bytes(32))
    answer = lib.mc_map_prove(
        *loaded.arguments, root, key, _into(path), _into(end), ffi.from_buffer("uint64_t[]", numbers)
    )
    if answer < 0:
        raise Damaged
    if answer:
        return NextNode(numbers[2], numbers[3])
    siblings = tuple(bytes(path[at : at + 32]) for at in range(0, 32 * numbers[0], 32))
    return Way(siblings, bytes(end) if numbers[1] else None)


def _into(buffer: bytearray) -> object:
    return ffi.from_buffer("uint8_t[]", buffer, require_writable=True)
