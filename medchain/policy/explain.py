"""A bound policy in plain sentences, for the person who is asked to agree to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from medchain.policy.bound import BoundClause, BoundPolicy
from medchain.policy.format import format_period
from medchain.policy.model import Mark
from medchain.policy.moments import format_duration
from medchain.policy.names import Role
from medchain.policy.tree import H, Holder, Threshold, Tree

__all__ = ["explain", "explain_clause", "joined", "tree_words"]


def explain(bound: BoundPolicy) -> str:
    """One sentence for each clause, one each for erasure and labels."""
    sentences = [explain_clause(bound, clause) for clause in bound.clauses]
    if bound.erasure is not None:
        agrees = _agrees(bound.erasure)
        sentences.append(
            f"It is erased when {tree_words(bound.erasure, bound.name)} {agrees} to an order to erase it."
        )
    if bound.labels:
        sentences.append(f"Without opening it, a single holder may see: {joined(bound.labels)}.")
    return "\n".join(sentences)


def explain_clause(bound: BoundPolicy, clause: BoundClause) -> str:
    """What one clause says, in one sentence."""
    kind = {None: "Clause", Mark.EMERGENCY: "Emergency clause", Mark.RECOVERY: "Recovery clause"}[clause.mark]
    counted = ", the asker not counted" if clause.separate_asker else ""
    who = tree_words(clause.tree, bound.name)
    parts = [
        f"{_askers(bound, clause)} may ask for {joined(clause.purposes, 'or')}",
        f"it opens when {who} {_agrees(clause.tree)}{counted}{_gate(bound, clause)}",
        *_limits(clause),
        *_around(bound, clause),
    ]
    return f"{kind} {clause.name}: {'; '.join(parts)}."


def _askers(bound: BoundPolicy, clause: BoundClause) -> str:
    if clause.askers is None:
        return "anyone"
    words = [
        f"whoever {one.contract} knows as {one.name}" if isinstance(one, Role) else bound.name(one)
        for one in clause.askers
    ]
    return joined(words, "or")


def _gate(bound: BoundPolicy, clause: BoundClause) -> str:
    if not clause.gated or bound.gate is None:
        return ", and no record of it is forced (unlogged)"
    names = [bound.name(member) for member in bound.gate.members]
    if len(names) == 1:
        gate = "the gate" if names == ["gate"] else f"the gate ({names[0]})"
    else:
        gate = f"the gate ({bound.gate.threshold} of {', '.join(names)})"
    return f", and {gate} has the decision on record"


def _limits(clause: BoundClause) -> list[str]:
    parts = []
    if clause.not_before is not None or clause.not_after is not None:
        parts.append(f"only {format_period(clause.not_before, clause.not_after)}")
    if clause.uses is not None:
        parts.append("once only" if clause.uses == 1 else f"at most {clause.uses} times")
    return parts


def _around(bound: BoundPolicy, clause: BoundClause) -> list[str]:
    parts = []
    if clause.notify:
        told = [bound.name(party) for party in clause.notify]
        parts.append(f"{joined(told)} {'is' if len(told) == 1 else 'are'} told")
    if clause.reviewer is not None and clause.review_within is not None:
        parts.append(
            f"{bound.name(clause.reviewer)} reviews it within {format_duration(clause.review_within)}"
        )
    if clause.waiting is not None:
        objectors = joined([bound.name(party) for party in clause.objectors], "or") or "nobody"
        parts.append(f"it waits {format_duration(clause.waiting)}, in which {objectors} may object")
    return parts


def tree_words(tree: Tree[H], name: Callable[[H], str], *, inside: bool = False) -> str:
    """A tree in words: ``owner and (dr_wu or guardian)``, ``any 2 of (ann, bob, cy)``."""
    if isinstance(tree, Holder):
        return name(tree.holder)
    assert isinstance(tree, Threshold)
    if 1 < tree.k < len(tree.members):
        return f"any {tree.k} of ({', '.join(tree_words(member, name) for member in tree.members)})"
    joint = " or " if tree.k == 1 else " and "
    words = joint.join(tree_words(member, name, inside=True) for member in tree.members)
    return f"({words})" if inside else words


def _agrees(tree: Tree[H]) -> str:
    single = isinstance(tree, Holder) or (isinstance(tree, Threshold) and tree.k == 1)
    return "agrees" if single else "agree"


def joined(words: Iterable[str], last: str = "and") -> str:
    """``a, b and c``.

    >>> joined(["ann", "bob", "cy"], "or")
    'ann, bob or cy'
    """
    *others, final = words if (words := list(words)) else [""]
    return f"{', '.join(others)} {last} {final}" if others else final
