"""Pure rules of access control: which policies a chain takes, and when a quorum has approved."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping

from medchain.access.messages import Parts
from medchain.errors import ContractError, EncodingError
from medchain.ledger.governance.rows import GateRow
from medchain.policy.bound import BoundClause, BoundPolicy
from medchain.policy.model import Mark
from medchain.policy.tree import Holder, Threshold, Tree

__all__ = [
    "HOLDERS_LIMIT",
    "check_gate",
    "check_policy",
    "erasers",
    "load_policy",
    "meet",
    "quorum_of",
    "within",
]

HOLDERS_LIMIT = 64
"""Most parties in the tree of one clause, so that every quorum fits into a decision."""

SIGNERS_LIMIT = 16
"""Most signers of one transaction: an order to erase must not need more."""


@functools.lru_cache(maxsize=256)
def load_policy(data: bytes) -> BoundPolicy:
    """A bound policy from its encoding; ContractError ``bad-policy`` if it is none."""
    try:
        return BoundPolicy.from_bytes(data)
    except EncodingError as error:
        raise ContractError("bad-policy", str(error)) from error


def check_policy(policy: BoundPolicy, subject: bytes) -> None:
    """Whether a chain takes a policy for a record of `subject`.

    Raises:
        ContractError: ``wrong-subject``: the owner is somebody else, or nobody; ``owner-missing``: an ordinary clause
            opens without the owner; ``reviewer-inside``: a reviewer may ask or agree; ``unsupported-policy``: it asks
            for what this version cannot keep.
    """
    if policy.owner != subject:
        raise ContractError("wrong-subject", "the record's subject is not the policy's owner")
    for clause in policy.clauses:
        if clause.mark is None and not clause.requires(subject):
            raise ContractError("owner-missing", f"clause {clause.name} opens without the owner")
        if clause.reviewer is not None and clause.reviewer in (*clause.tree.holders, *(clause.askers or ())):
            raise ContractError("reviewer-inside", f"the reviewer of clause {clause.name} may ask or agree")
        if len(clause.tree.holders) > HOLDERS_LIMIT:
            raise ContractError(
                "unsupported-policy", f"clause {clause.name} has more than {HOLDERS_LIMIT} holders"
            )
    if fewest(erasers(policy)) > SIGNERS_LIMIT:
        raise ContractError("unsupported-policy", f"erasure takes more than {SIGNERS_LIMIT} signers")


def check_gate(policy: BoundPolicy, gate: GateRow | None) -> None:
    """Whether a policy's gate is the chain's: the same members, as many of whom have to release. No gate is allowed.

    A gate of fewer or other parties would leave the promise to log before opening to whoever chose them.

    Args:
        policy: what is to be sealed under.
        gate: the row of ``Governance.gate``; None where the chain has no gate.

    Raises:
        ContractError: ``foreign-gate``: it is another one.
    """
    if policy.gate is None:
        return
    wanted = None if gate is None else (gate.threshold, set(gate.members))
    if (policy.gate.threshold, set(policy.gate.members)) != wanted:
        raise ContractError("foreign-gate", "the policy is bound to another gate than the chain's")


def erasers(policy: BoundPolicy) -> Tree[bytes]:
    """Who may order erasure: the policy's tree, or else the owner."""
    if policy.erasure is not None:
        return policy.erasure
    assert policy.owner is not None
    return Holder(policy.owner)


def fewest(tree: Tree[bytes]) -> int:
    """How many positions are needed at least to satisfy a tree: never fewer than the parties needed."""
    if isinstance(tree, Threshold):
        return sum(sorted(map(fewest, tree.members))[: tree.k])
    return 1


def meet(left: Parts, right: Parts) -> Parts:
    """The parts in both sets; an empty tuple if there are none."""
    if left is None or right is None:
        return left if right is None else right
    return tuple(sorted(set(left) & set(right)))


def within(inner: Parts, outer: Parts) -> bool:
    """Whether all parts of `inner` belong to `outer`."""
    return outer is None or (inner is not None and set(inner) <= set(outer))


def quorum_of(
    clause: BoundClause, asked: Parts, approvals: Mapping[bytes, Parts], asker: bytes
) -> tuple[tuple[bytes, ...], Parts] | None:
    """The quorum that has approved, and the parts for which *all* of it has; None if there is none yet.

    Where several quorums have approved different parts, the one with the most parts counts. Part 1 from one holder and
    part 2 from another is no quorum.

    Args:
        clause: whose tree has to be satisfied.
        asked: the requested parts.
        approvals: what each holder has approved; None: all that was asked for. Others than holders do not count.
        asker: does not count where the clause says so.
    """
    order = {holder: at for at, holder in enumerate(clause.tree.holders)}
    covered = {holder: meet(asked, parts) for holder, parts in approvals.items() if holder in order}
    best: tuple[tuple[bytes, ...], Parts] | None = None
    for holders in _groups(asked, covered):
        if not clause.satisfied_by(holders, asker=asker):
            continue
        quorum = _reduced(
            clause, asker, sorted(holders, key=lambda one: (-_extent(covered[one]), order[one]))
        )
        parts = functools.reduce(meet, (covered[holder] for holder in quorum))
        if best is None or _extent(parts) > _extent(best[1]):
            best = tuple(sorted(quorum, key=order.__getitem__)), parts
    return best


def _groups(asked: Parts, covered: Mapping[bytes, Parts]) -> Iterable[tuple[bytes, ...]]:
    """For each part that somebody approved, who did; for the object as a whole likewise. Each group once."""
    groups: dict[tuple[bytes, ...], None] = {}
    if asked is None:
        groups[tuple(holder for holder, parts in covered.items() if parts is None)] = None
    by_part: dict[int, list[bytes]] = {part: [] for parts in covered.values() for part in parts or ()}
    for holder, parts in covered.items():
        for part in by_part if parts is None else parts:
            by_part[part].append(holder)
    for part in sorted(by_part):
        groups[tuple(by_part[part])] = None
    return groups


def _reduced(clause: BoundClause, asker: bytes, holders: list[bytes]) -> list[bytes]:
    """A smallest quorum within one; who has approved the fewest parts is left out first."""
    kept = list(holders)
    for holder in reversed(holders):
        fewer = [other for other in kept if other != holder]
        if clause.satisfied_by(fewer, asker=asker):
            kept = fewer
    return kept


def _extent(parts: Parts) -> int:
    return 1 << 62 if parts is None else len(parts)


def is_emergency(clause: BoundClause) -> bool:
    """Whether a clause is marked ``emergency``."""
    return clause.mark is Mark.EMERGENCY
