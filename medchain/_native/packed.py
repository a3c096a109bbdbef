"""Typed front of the packed sparse map in C: nodes in, nodes out. The layout of a node is in csrc/api.h.

A node is known by version and path, a byte for each nibble. Loaded nodes are handed over as a dict from path to bytes.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

from medchain._native._ext import ffi, lib

__all__ = [
    "BRANCH",
    "BUCKET",
    "Changed",
    "Damaged",
    "NextNode",
    "NodeId",
    "Path",
    "Way",
    "map_change",
    "map_missing",
    "map_prove",
]

BUCKET, BRANCH = 1, 2
ROW = 64

Path = bytes
"""Nibbles from the root down, a byte each."""

NodeId = tuple[int, Path]
"""Version and path of a node."""


class Damaged(Exception):
    """A node is not what the branch above it, or the root, says of it; or it is none."""


class Changed(NamedTuple):
    """The map after a batch: its root, how many rows it has, the least version in its tree, and its new nodes."""

    root: bytes
    rows: int
    oldest: int
    nodes: list[bytes]


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


def _preorder(nodes: Mapping[Path, bytes]) -> _Loaded:
    return _Loaded([nodes[path] for path in sorted(nodes)])


def map_missing(
    nodes: Mapping[Path, bytes], rows: int, changes: bytes, bar: int, budget: int
) -> list[NodeId]:
    """Which nodes `changes` need beside `nodes`, in preorder; call again with them until nothing is missing.

    Args:
        nodes: loaded, the root among them.
        rows: in the whole map.
        changes: rows of 64 bytes in order: row key, hash of the value or 32 zero bytes.
        bar: subtrees whose least version is at most this are wanted, too,
        budget: but no more than so many nodes.

    Raises:
        Damaged: a loaded node is none.
    """
    loaded, count = _preorder(nodes), len(changes) // ROW
    wanted = bytearray(1 << 16)
    while True:
        size = lib.mc_map_missing(
            *loaded.arguments, rows, changes, count, bar, budget,
            ffi.from_buffer("uint8_t[]", wanted, require_writable=True), len(wanted),
        )  # fmt: skip
        if size < 0:
            raise Damaged
        if size <= len(wanted):
            return _node_ids(bytes(memoryview(wanted)[:size]))
        wanted = bytearray(size)


def _node_ids(wanted: bytes) -> list[NodeId]:
    ids, at = [], 0
    while at < len(wanted):
        end = at + 9 + wanted[at + 8]
        ids.append((int.from_bytes(wanted[at : at + 8], "big"), wanted[at + 9 : end]))
        at = end
    return ids


def map_change(
    nodes: Mapping[Path, bytes], root: bytes, rows: int, changes: bytes, version: int, bar: int, budget: int
) -> Changed:
    """Apply `changes`, for which no node is missing; new nodes are of `version`.

    Raises:
        Damaged: a loaded node is not what was hashed.
    """
    loaded, count = _preorder(nodes), len(changes) // ROW
    size, made = len(loaded.data) + 192 * count + 4096, 2 * len(nodes) + count + 64
    while True:
        out, ends = bytearray(size), array("Q", bytes(8 * made))
        new_root, numbers = bytearray(root), array("Q", [version, rows, 0, 0, 0])
        answer = lib.mc_map_change(
            *loaded.arguments, _into(new_root), ffi.from_buffer("uint64_t[]", numbers), changes, count, bar, budget,
            _into(out), size, ffi.from_buffer("uint64_t[]", ends), made,
        )  # fmt: skip
        if answer < 0:
            raise Damaged
        if answer == 0:
            _, rows, oldest, _, made = numbers
            return Changed(bytes(new_root), rows, oldest, _cut(out, ends[:made]))
        _, _, _, size, made = numbers


def _cut(data: bytearray, ends: Sequence[int]) -> list[bytes]:
    view, start, parts = memoryview(data), 0, []
    for end in ends:
        parts.append(bytes(view[start:end]))
        start = end
    return parts


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
