"""Smallest quorums of a tree, listed without ever exploding.

A tree of 127 of 254 has more quorums than there are atoms. So at most `limit` are kept at every step, the
smallest first. Where no holder stands in two positions the result is exactly the `limit` smallest; where one
does, a longer list may hide a smaller quorum once something was cut, and `complete` is False.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Generic

from attrs import frozen

from medchain.policy.tree import H, Holder, Threshold, Tree

__all__ = ["Quorums", "alone", "indispensable", "smallest_quorums"]


@frozen
class Quorums(Generic[H]):
    """Sets of holders that satisfy a tree and of whom nobody is superfluous: smallest first, then in tree
    order."""

    sets: tuple[tuple[H, ...], ...]
    complete: bool
    """True if there is no other such set."""


def smallest_quorums(tree: Tree[H], limit: int = 20) -> Quorums[H]:
    """The smallest quorums of `tree`, at most `limit` of them.

    >>> from medchain.policy import k_of
    >>> smallest_quorums(k_of(2, "ann", "bob", "cy")).sets
    (('ann', 'bob'), ('ann', 'cy'), ('bob', 'cy'))
    """
    if limit < 1:
        raise ValueError("limit is at least 1")
    return _Search(tree, limit).result()


def alone(tree: Tree[H]) -> tuple[H, ...]:
    """Who satisfies the tree without anybody else, in tree order."""
    return _decisive(tree, lambda node: node.k)


def indispensable(tree: Tree[H]) -> tuple[H, ...]:
    """Without whom the tree cannot be satisfied, in tree order."""
    return _decisive(tree, lambda node: len(node.members) - node.k + 1)


def _decisive(node: Tree[H], needed: Callable[[Threshold[H]], int]) -> tuple[H, ...]:
    """Holders that decide alone over at least `needed` members of a threshold decide over the threshold."""
    if isinstance(node, Holder):
        return (node.holder,)
    assert isinstance(node, Threshold)
    votes = Counter(holder for member in node.members for holder in _decisive(member, needed))
    return tuple(holder for holder, count in votes.items() if count >= needed(node))


class _Search(Generic[H]):
    """Quorums as bit masks; the first holder has the highest bit, so that a larger mask comes earlier in
    tree order."""

    def __init__(self, tree: Tree[H], limit: int) -> None:
        self.tree = tree
        self.limit = limit
        self.holders = tree.holders
        top = len(self.holders) - 1
        self.bit = {holder: 1 << (top - index) for index, holder in enumerate(self.holders)}
        self.repeated = tree.size > len(self.holders)
        self.cut = False

    def result(self) -> Quorums[H]:
        found = [self.members(mask) for mask in self.best(self.tree)]
        if self.repeated and self.cut:
            found = list(dict.fromkeys(self.reduced(quorum) for quorum in found))
        return Quorums(tuple(found), not self.cut)

    def members(self, mask: int) -> tuple[H, ...]:
        return tuple(holder for holder in self.holders if self.bit[holder] & mask)

    def best(self, node: Tree[H]) -> list[int]:
        """The smallest quorums of `node`: picks[j] are those of j members among the ones seen so far."""
        if isinstance(node, Holder):
            return [self.bit[node.holder]]
        assert isinstance(node, Threshold)
        picks: list[list[int]] = [[0], *([] for _ in range(node.k))]
        for index, member in enumerate(node.members):
            options = self.best(member)
            still_to_come = len(node.members) - index - 1
            for j in range(min(index + 1, node.k), max(1, node.k - still_to_come) - 1, -1):
                with_member = {one | more for one in picks[j - 1] for more in options}
                picks[j] = self.smallest(with_member.union(picks[j]))
        return picks[node.k]

    def smallest(self, masks: set[int]) -> list[int]:
        ordered = sorted(masks, key=lambda mask: (mask.bit_count(), -mask))
        if self.repeated:
            minimal: list[int] = []
            for mask in ordered:
                if len(minimal) > self.limit:
                    break
                if not any(smaller & mask == smaller for smaller in minimal):
                    minimal.append(mask)
            ordered = minimal
        if len(ordered) > self.limit:
            self.cut = True
        return ordered[: self.limit]

    def reduced(self, quorum: tuple[H, ...]) -> tuple[H, ...]:
        """Drop whoever is superfluous: a cut list may have lost the smaller set that shows it."""
        kept = list(quorum)
        for holder in reversed(quorum):
            fewer = [other for other in kept if other != holder]
            if self.tree.satisfied_by(fewer):
                kept = fewer
        return tuple(kept)
