"""Smallest quorums of a tree, listed without ever exploding.

A tree of 127 of 254 has more quorums than there are atoms. So at most `limit` are kept at every step, the
smallest first. Where no holder stands in two positions the result is exactly the `limit` smallest; where one
does, a longer list may hide a smaller quorum once something was cut, and `complete` is False. Then the larger the
tree, the fewer combinations are tried at every step, so that any policy is analysed in about a second.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Generic

from attrs import frozen

from medchain.policy.tree import H, Holder, Threshold, Tree

__all__ = ["Quorums", "alone", "indispensable", "smallest_quorums"]

_WORK = 1 << 16
"""About how many combinations are tried in all where holders stand in several positions."""
_LEAST = 4
"""How far down its lists a step looks at least."""


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
    """Quorums as numbers, so that the better one is the smaller number: their size, and below it the complement of
    a bit mask in which the first holder has the highest bit. The number of two quorums without a common holder
    is the sum of theirs.
    """

    def __init__(self, tree: Tree[H], limit: int) -> None:
        self.tree = tree
        self.limit = limit
        self.holders = tree.holders
        self.width = len(self.holders)
        self.all = (1 << self.width) - 1
        self.bit = {holder: 1 << (self.width - 1 - index) for index, holder in enumerate(self.holders)}
        self.repeated = tree.size > len(self.holders)
        self.reach = min(limit**2, max(_LEAST, _WORK // _steps(tree))) if self.repeated else limit
        self.cut = False

    def result(self) -> Quorums[H]:
        found = [self.members(quorum) for quorum in self.best(self.tree)]
        if self.repeated and self.cut:
            found = list(dict.fromkeys(self.reduced(quorum) for quorum in found))
        return Quorums(tuple(found), not self.cut)

    def number(self, mask: int) -> int:
        return (mask.bit_count() << self.width) - mask

    def members(self, number: int) -> tuple[H, ...]:
        mask = -number & self.all
        return tuple(holder for holder in self.holders if self.bit[holder] & mask)

    def best(self, node: Tree[H]) -> list[int]:
        """The smallest quorums of `node`: picks[j] are those of j members among the ones seen so far."""
        if isinstance(node, Holder):
            return [self.number(self.bit[node.holder])]
        assert isinstance(node, Threshold)
        picks: list[list[int]] = [[0], *([] for _ in range(node.k))]
        for index, member in enumerate(node.members):
            options = self.best(member)
            still_to_come = len(node.members) - index - 1
            for j in range(min(index + 1, node.k), max(1, node.k - still_to_come) - 1, -1):
                picks[j] = self.smallest(picks[j] + self.combined(picks[j - 1], options))
        return picks[node.k]

    def combined(self, some: list[int], more: list[int]) -> list[int]:
        """One of `some` with one of `more`, in all ways that can matter.

        The pair of the i-th and the j-th, counted from 1, has i · j - 1 better ones before it where no holder stands
        in two positions: beyond `limit` it need not be looked at. Elsewhere `reach` says how far is looked.
        """
        pairs = [(one, other) for i, one in enumerate(some, 1) for other in more[: self.reach // i]]
        if len(pairs) < len(some) * len(more):
            self.cut = True
        if not self.repeated:
            return [one + other for one, other in pairs]
        return [self.number((-one | -other) & self.all) for one, other in pairs]

    def smallest(self, numbers: list[int]) -> list[int]:
        ordered = self.minimal(sorted(set(numbers))) if self.repeated else sorted(numbers)
        if len(ordered) > self.limit:
            self.cut = True
        return ordered[: self.limit]

    def minimal(self, ordered: list[int]) -> list[int]:
        """Those that contain no other one, and of them no more than show that there are too many."""
        found: list[int] = []
        smaller: list[int] = []  # masks of those found that have fewer holders: no other one can be contained
        same: list[int] = []
        size = 0
        for number in ordered:
            mask = -number & self.all
            if mask.bit_count() > size:
                smaller += same
                same, size = [], mask.bit_count()
            for other in smaller:
                if other & mask == other:
                    break
            else:
                found.append(number)
                same.append(mask)
                if len(found) > self.limit:
                    break
        return found

    def reduced(self, quorum: tuple[H, ...]) -> tuple[H, ...]:
        """Drop whoever is superfluous: a cut list may have lost the smaller set that shows it."""
        kept = list(quorum)
        for holder in reversed(quorum):
            fewer = [other for other in kept if other != holder]
            if self.tree.satisfied_by(fewer):
                kept = fewer
        return tuple(kept)


def _steps(tree: Tree[H]) -> int:
    """In how many steps the quorums of a tree are put together."""
    if not isinstance(tree, Threshold):
        return 1
    return tree.k * (len(tree.members) - tree.k + 1) + sum(map(_steps, tree.members))
