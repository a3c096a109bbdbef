"""Threshold trees: who has to agree.

A tree is a `Holder` (one party) or a `Threshold` (k of its members agree). Its leaves are *positions*; each
holds one share. Before binding a leaf names a symbol (str), after binding a party id (32 bytes); everything
here works on both. The same holder may stand in several positions and then counts in each of them.

Bounds, so that no tree can hurt who reads it: thresholds nest at most 16 deep, a threshold has 2 to 254
members (the indices of a Shamir share on SLIP-39's layout), a tree has at most 1,024 positions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, Generic, TypeVar

from attrs import field, frozen

from medchain.errors import PolicyError
from medchain.policy.names import check_word

MAX_DEPTH = 16
MAX_MEMBERS = 254
MAX_POSITIONS = 1024

H = TypeVar("H", bound=str | bytes)
G = TypeVar("G", bound=str | bytes)


@frozen
class Position(Generic[H]):
    """One leaf of a tree: the member indices that lead to it from the root, and who holds it."""

    path: tuple[int, ...]
    holder: H


class Tree(ABC, Generic[H]):
    """A threshold tree. Use `Holder` and `Threshold`, or the builders `all_of`, `any_of`, `k_of`."""

    __slots__ = ()

    @property
    @abstractmethod
    def depth(self) -> int:
        """How deep thresholds nest: 0 for a single holder."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of positions."""

    @abstractmethod
    def positions(self) -> Iterator[Position[H]]:
        """The leaves in tree order: depth first, members from left to right."""

    @abstractmethod
    def map(self, name: Callable[[H], G]) -> Tree[G]:
        """The same tree with each holder replaced by ``name(holder)``."""

    @abstractmethod
    def text(self, name: Callable[[H], str], *, inside: bool = False) -> str:
        """The tree in the policy language; `inside` puts parentheses where an operand needs them."""

    @abstractmethod
    def _open(self, given: Collection[H], never: Collection[H]) -> list[H] | None:
        """Holders of open positions; empty if satisfied, None if `never` makes it impossible."""

    @property
    def holders(self) -> tuple[H, ...]:
        """Who holds a position, each once, in tree order."""
        return tuple(dict.fromkeys(position.holder for position in self.positions()))

    def satisfied_by(self, holders: Iterable[H]) -> bool:
        """Whether these holders together reach the threshold.

        >>> tree = all_of("owner", k_of(1, "dr_wu", "guardian"))
        >>> tree.satisfied_by(["owner", "guardian"]), tree.satisfied_by(["dr_wu", "guardian"])
        (True, False)
        """
        return self._open(frozenset(holders), ()) == []

    def waiting_for(self, given: Iterable[H], *, never: Iterable[H] = ()) -> tuple[H, ...]:
        """Whose agreement still counts after that of `given`, in tree order.

        These are the holders of all positions that belong to some smallest set of further positions that
        satisfies the tree. Holders in `never` do not count, whether given or not. Empty if the tree is
        satisfied, or if it cannot be satisfied without `never`.

        >>> k_of(2, "ann", "bob", all_of("cy", "dee")).waiting_for(["cy"])
        ('ann', 'bob', 'dee')
        """
        return tuple(dict.fromkeys(self._open(frozenset(given), frozenset(never)) or ()))

    def possible_without(self, never: Iterable[H]) -> bool:
        """Whether the tree can still be satisfied when the holders in `never` are lost or excluded."""
        return self._open((), frozenset(never)) is not None

    def __str__(self) -> str:
        return self.text(_short)

    def _repr_svg_(self) -> str:
        from medchain.policy.display import tree_svg

        return tree_svg(self, _short)


def _short(holder: str | bytes) -> str:
    return holder if isinstance(holder, str) else holder.hex()[:8]


def check_holder(value: object) -> None:
    """Refuse what is neither a symbol nor a party id."""
    if isinstance(value, bytes):
        if len(value) != 32:
            raise PolicyError(f"a party id has 32 bytes, not {len(value)}")
    else:
        check_word("symbol", value)


def _holder(_instance: Any, _attribute: Any, value: Any) -> None:
    check_holder(value)


@frozen(repr=False)
class Holder(Tree[H]):
    """One holder: satisfied when it agrees."""

    holder: H = field(validator=_holder)

    @property
    def depth(self) -> int:
        return 0

    @property
    def size(self) -> int:
        return 1

    def positions(self) -> Iterator[Position[H]]:
        yield Position((), self.holder)

    def map(self, name: Callable[[H], G]) -> Holder[G]:
        return Holder(name(self.holder))

    def text(self, name: Callable[[H], str], *, inside: bool = False) -> str:
        return name(self.holder)

    def _open(self, given: Collection[H], never: Collection[H]) -> list[H] | None:
        if self.holder in never:
            return None
        return [] if self.holder in given else [self.holder]

    def __repr__(self) -> str:
        return f"Holder({_short(self.holder)!r})"


def _members(value: Iterable[Tree[H]]) -> tuple[Tree[H], ...]:
    return tuple(value)


@frozen(repr=False)
class Threshold(Tree[H]):
    """At least `k` of the `members` (2 to 254) are satisfied."""

    k: int
    members: tuple[Tree[H], ...] = field(converter=_members)
    depth: int = field(init=False, eq=False)
    size: int = field(init=False, eq=False)

    def __attrs_post_init__(self) -> None:
        if not all(isinstance(member, Tree) for member in self.members):
            raise TypeError("members of a Threshold are trees; all_of, any_of and k_of take symbols too")
        if type(self.k) is not int:
            raise TypeError(f"a threshold is an int, not {type(self.k).__name__}")
        count = len(self.members)
        if not 2 <= count <= MAX_MEMBERS:
            raise PolicyError(f"a threshold has 2 to {MAX_MEMBERS} members, not {count}")
        check_count(self.k, count)
        depth = 1 + max(member.depth for member in self.members)
        if depth > MAX_DEPTH:
            raise PolicyError(f"thresholds nest at most {MAX_DEPTH} deep")
        size = sum(member.size for member in self.members)
        if size > MAX_POSITIONS:
            raise PolicyError(f"a tree has at most {MAX_POSITIONS} positions, not {size}")
        object.__setattr__(self, "depth", depth)
        object.__setattr__(self, "size", size)

    def positions(self) -> Iterator[Position[H]]:
        for index, member in enumerate(self.members):
            for position in member.positions():
                yield Position((index, *position.path), position.holder)

    def map(self, name: Callable[[H], G]) -> Threshold[G]:
        return Threshold(self.k, tuple(member.map(name) for member in self.members))

    def text(self, name: Callable[[H], str], *, inside: bool = False) -> str:
        if self.k == len(self.members):
            joined = " and ".join(member.text(name, inside=True) for member in self.members)
            return f"({joined})" if inside else joined
        return f"{self.k} of ({', '.join(member.text(name) for member in self.members)})"

    def _open(self, given: Collection[H], never: Collection[H]) -> list[H] | None:
        done, waiting = 0, []
        for member in self.members:
            found = member._open(given, never)
            if found:
                waiting.append(found)
            elif found is not None:
                done += 1
        if done >= self.k:
            return []
        if done + len(waiting) < self.k:
            return None
        return [holder for found in waiting for holder in found]

    def __repr__(self) -> str:
        return f"Threshold({self.k}, {self.members!r})"


def check_count(k: int, count: int) -> None:
    """Refuse a threshold that asks for nobody or for more members than there are."""
    if k < 1:
        raise PolicyError(f"a threshold of {k} asks nobody: at least 1")
    if k > count:
        raise PolicyError(f"{k} of {count} can never be reached")


def as_tree(value: Tree[H] | H) -> Tree[H]:
    """A tree as it is; a symbol or party id as a `Holder`."""
    return value if isinstance(value, Tree) else Holder(value)


def k_of(k: int, *members: Tree[H] | H) -> Tree[H]:
    """At least `k` of the members. One member alone is that member: there is no threshold over one.

    Raises PolicyError if `k` is not between 1 and the number of members, or a bound of the module is passed.

    >>> print(k_of(2, "ann", "bob", all_of("cy", "dee")))
    2 of (ann, bob, cy and dee)
    """
    trees = tuple(as_tree(member) for member in members)
    if len(trees) == 1:
        check_count(k, 1)
        return trees[0]
    return Threshold(k, trees)


def all_of(*members: Tree[H] | H) -> Tree[H]:
    """All of the members: written ``a and b``."""
    return k_of(len(members), *members)


def any_of(*members: Tree[H] | H) -> Tree[H]:
    """Any one of the members: written ``1 of (a, b)`` or ``a or b``."""
    return k_of(1, *members)
