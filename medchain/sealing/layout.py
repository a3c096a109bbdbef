"""Who holds what of a clause: its tree and the gate, as seats with positions.

A clause is sealed as tree AND gate: the root is 2 of 2, the tree stands under member 0 and the gate, its
threshold of its members, under member 1. An ungated clause is its tree alone, still under member 0. A
position is the path from that root.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable

from attrs import field, frozen

from medchain.policy import BoundClause, BoundPolicy, Holder, Tree, k_of

__all__ = ["GATE", "TREE", "Layout", "Path", "Seat", "layout_of"]

Path = tuple[int, ...]

TREE, GATE = 0, 1
"""Where tree and gate stand under the root."""


@frozen
class Seat:
    """One holder's place in a clause: all of its positions in the tree, or that in the gate."""

    holder: bytes
    gate: bool
    positions: tuple[Path, ...]


@frozen
class Layout:
    """The sealed form of one clause: its subtrees (tree, and gate if it has one) and its seats."""

    clause: BoundClause
    trees: tuple[Tree[bytes], ...]
    seats: tuple[Seat, ...] = field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        seats: list[Seat] = []
        for side, tree in enumerate(self.trees):
            held: dict[bytes, list[Path]] = {}
            for position in tree.positions():
                held.setdefault(position.holder, []).append((side, *position.path))
            seats += [Seat(holder, side == GATE, tuple(paths)) for holder, paths in held.items()]
        object.__setattr__(self, "seats", tuple(seats))

    def seat(self, holder: bytes, *, gate: bool | None = None) -> Seat | None:
        """The seat of `holder`: in the tree or in the gate as `gate` says, or (None) in either, the tree first."""
        for seat in self.seats:
            if seat.holder == holder and gate in (None, seat.gate):
                return seat
        return None

    def missing(self, seats: Iterable[Seat]) -> tuple[bytes, ...]:
        """Whose share could still complete a quorum beside these seats; empty if they are one."""
        seats = tuple(seats)
        waiting: list[bytes] = []
        for side, tree in enumerate(self.trees):
            waiting += tree.waiting_for(seat.holder for seat in seats if seat.gate == (side == GATE))
        return tuple(dict.fromkeys(waiting))


@functools.lru_cache(maxsize=64)
def layout_of(policy: BoundPolicy, clause: str) -> Layout:
    """The layout of the clause called `clause`. PolicyError if there is none."""
    bound = policy.clause(clause)
    if not bound.gated:
        return Layout(bound, (bound.tree,))
    assert policy.gate is not None
    members = [Holder(member) for member in policy.gate.members]
    return Layout(bound, (bound.tree, k_of(policy.gate.threshold, *members)))
