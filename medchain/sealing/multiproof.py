"""Many leaves of one small Merkle tree at once: the root, and the siblings that some leaves need.

The tree is that of RFC 9162 over given leaf hashes. A path for each of 600 leaves would repeat most nodes;
here every sibling stands once, in the order in which going down from the root, left before right, meets it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence

from medchain.merkle import node_hash

__all__ = ["root_from", "sibling_count", "siblings", "tree_root"]


def tree_root(leaves: Sequence[bytes]) -> bytes:
    """The root over leaf hashes, of which there is at least one."""
    return _root(leaves, 0, len(leaves))


def siblings(leaves: Sequence[bytes], wanted: Sequence[int]) -> list[bytes]:
    """The hashes that the root needs beside the leaves at the ascending indices `wanted`."""
    return [_root(leaves, begin, end) for begin, end in _gaps(wanted, 0, len(leaves))]


def sibling_count(size: int, wanted: Sequence[int]) -> int:
    """How many hashes `siblings` gives for a tree of `size` leaves."""
    return sum(1 for _ in _gaps(wanted, 0, size))


def root_from(size: int, known: Mapping[int, bytes], others: Sequence[bytes]) -> bytes:
    """The root of a tree of `size` leaves from leaf hashes by ascending index and exactly their `siblings`."""
    return _climb(sorted(known), known, iter(others), 0, size)


def _root(leaves: Sequence[bytes], begin: int, end: int) -> bytes:
    if end - begin == 1:
        return leaves[begin]
    middle = _middle(begin, end)
    return node_hash(_root(leaves, begin, middle), _root(leaves, middle, end))


def _gaps(wanted: Sequence[int], begin: int, end: int) -> Iterator[tuple[int, int]]:
    """The largest subtrees without a wanted leaf, from left to right."""
    at = bisect_left(wanted, begin)
    if at == len(wanted) or wanted[at] >= end:
        yield begin, end
    elif end - begin > 1:
        middle = _middle(begin, end)
        yield from _gaps(wanted, begin, middle)
        yield from _gaps(wanted, middle, end)


def _climb(
    wanted: Sequence[int], known: Mapping[int, bytes], others: Iterator[bytes], begin: int, end: int
) -> bytes:
    at = bisect_left(wanted, begin)
    if at == len(wanted) or wanted[at] >= end:
        return next(others)
    if end - begin == 1:
        return known[begin]
    middle = _middle(begin, end)
    left = _climb(wanted, known, others, begin, middle)
    return node_hash(left, _climb(wanted, known, others, middle, end))


def _middle(begin: int, end: int) -> int:
    """Where RFC 9162 splits: after the largest power of two of leaves that leaves some on the right."""
    return begin + (1 << (end - begin - 1).bit_length() - 1)
