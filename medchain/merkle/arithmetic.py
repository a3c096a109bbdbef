"""The arithmetic of an RFC 9162 tree: which nodes make up a root or a proof, and what becomes of them.

A node is named ``(level, index)`` and covers the leaves ``index << level`` up to ``(index + 1) << level``. Only
*complete* nodes, whose leaves all exist, have a name: their hash never changes while the tree grows, so that is what a
tree keeps and a store serves. Everything else is folded from complete nodes when asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import TypeAlias

from attrs import frozen

__all__ = [
    "EMPTY_ROOT",
    "Node",
    "Plan",
    "consistency_nodes",
    "cover",
    "fold",
    "inclusion_nodes",
    "leaf_hash",
    "node_hash",
    "path_shape",
]

Node: TypeAlias = tuple[int, int]
"""Level (0 for leaves) and index, from the left."""

EMPTY_ROOT = sha256(b"").digest()
"""The root of the tree without leaves."""


def leaf_hash(data: bytes) -> bytes:
    """H(0x00 ‖ data), the hash of a leaf (RFC 9162, section 2.1.1)."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """H(0x01 ‖ left ‖ right), the hash of an inner node (RFC 9162, section 2.1.1)."""
    return sha256(b"\x01" + left + right).digest()


def cover(begin: int, end: int) -> list[Node]:
    """The fewest complete nodes whose leaves are those from `begin` to `end`, from left to right.

    >>> cover(0, 7)
    [(2, 0), (1, 2), (0, 6)]
    """
    nodes = []
    while begin < end:
        room = (end - begin).bit_length() - 1
        level = min(room, (begin & -begin).bit_length() - 1) if begin else room
        nodes.append((level, begin >> level))
        begin += 1 << level
    return nodes


def fold(hashes: Sequence[bytes]) -> bytes:
    """The hash over complete nodes of falling size, as `cover` gives them for a range that starts a subtree."""
    if not hashes:
        return EMPTY_ROOT
    result = hashes[-1]
    for left in hashes[-2::-1]:
        result = node_hash(left, result)
    return result


@frozen
class Plan:
    """What a proof is made of: the complete nodes to fetch, of which those from `begin` to `end` become one hash."""

    nodes: tuple[Node, ...]
    begin: int
    end: int

    def rehash(self, hashes: Iterable[bytes]) -> tuple[bytes, ...]:
        """The path of the proof, out of the hashes of `nodes` in their order."""
        found = tuple(hashes)
        if len(found) != len(self.nodes):
            raise ValueError(f"{len(found)} hashes for {len(self.nodes)} nodes")
        if self.begin == self.end:
            return found
        return (*found[: self.begin], fold(found[self.begin : self.end]), *found[self.end :])


def inclusion_nodes(index: int, size: int) -> Plan:
    """The nodes that prove leaf `index` in a tree of `size` leaves (RFC 9162, section 2.1.3)."""
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of size {size}")
    return _path_nodes(0, index, size)


def consistency_nodes(old: int, new: int) -> Plan:
    """The nodes that prove a tree of `old` leaves to be the beginning of one of `new` (RFC 9162, section 2.1.4).

    The empty tree begins every tree, so its root says nothing and no proof starts from it.
    """
    if old == new >= 0:
        return Plan((), 0, 0)
    if not 0 < old < new:
        raise ValueError(f"nothing proves a tree of size {old} to begin one of size {new}")
    # The proof runs through the largest complete node that ends the old tree. Its hash goes first, unless it is the
    # whole old tree: then the verifier knows it as the old root.
    level = (old & -old).bit_length() - 1
    index = (old - 1) >> level
    plan = _path_nodes(level, index, new)
    if index == 0:
        return plan
    return Plan(((level, index), *plan.nodes), plan.begin + 1, plan.end + 1)


def path_shape(index: int, size: int, level: int = 0) -> tuple[int, int]:
    """How many siblings a path has below and above the point where it joins the tree's right border.

    Below that point, a sibling stands on the side that the bit of the index tells; above, always on the left.
    """
    inner = (index ^ (size - 1) >> level).bit_length()
    return inner, (index >> inner).bit_count()


def _path_nodes(level: int, index: int, size: int) -> Plan:
    """The siblings on the way from a complete node to the root of the tree of `size` leaves, upwards."""
    inner, _ = path_shape(index, size, level)
    nodes: list[Node] = [(level + i, index >> i ^ 1) for i in range(inner - 1)]
    begin = end = len(nodes)
    if inner:
        # Where the path joins the border its sibling is on the right and may be incomplete.
        top = inner - 1
        first_leaf = (index >> top ^ 1) << level + top
        nodes += cover(first_leaf, size)
        end = len(nodes)
    upper = index >> inner
    nodes += [(level + inner + i, (upper >> i) - 1) for i in range(upper.bit_length()) if upper >> i & 1]
    return Plan(tuple(nodes), begin, end)
