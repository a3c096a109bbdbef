"""What a bound policy amounts to, found out before anything is sealed under it.

Findings are data: a stable code, a severity, the clause and the parties concerned, and a sentence. An *error*
means that content can be lost for good as the policy stands, a *warning* that somebody can do more or less
than a reader of the policy would expect, a *note* is worth knowing.

What keys alone guarantee is the tree of a clause. That a decision is logged before content opens, and that
purpose, period, number of uses and waiting times are kept, is guaranteed by an honest gate only.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterator, Mapping

from attrs import field, frozen

from medchain.policy.bound import BoundClause, BoundPolicy
from medchain.policy.explain import joined
from medchain.policy.model import Mark
from medchain.policy.names import Role
from medchain.policy.quorums import Quorums, alone, indispensable, smallest_quorums

__all__ = ["Analysis", "ClauseAnalysis", "Finding", "Severity", "analyse"]


class Severity(enum.StrEnum):
    """How much a finding matters."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@frozen
class Finding:
    """One thing to know about a policy.

    `code` is stable, `text` is for people; `clause` is None for the whole.
    """

    code: str
    severity: Severity
    clause: str | None
    parties: tuple[bytes, ...] = field(repr=lambda ids: f"[{', '.join(party.hex()[:8] for party in ids)}]")
    text: str

    def __str__(self) -> str:
        return f"{self.severity} [{self.code}] {f'{self.clause}: ' if self.clause else ''}{self.text}"


@frozen
class ClauseAnalysis:
    """What one clause comes to.

    Attributes:
        fires: whether the clause can ever be used.
        quorums: the smallest sets of parties that satisfy its tree; the gate comes on top.
        alone: who satisfies the tree without anybody else.
        indispensable: without whose keys the clause never opens, members of the gate included.
    """

    name: str
    fires: bool
    quorums: Quorums[bytes]
    alone: tuple[bytes, ...]
    indispensable: tuple[bytes, ...]


@frozen(repr=False)
class Analysis:
    """All that was found. Iterate over it for the findings, the gravest first.

    Attributes:
        clauses: one `ClauseAnalysis` for each clause, in order.
        findings: the gravest first, then in order of clauses.
        lockout: parties whose loss locks everyone out of everything, members of the gate included.
    """

    clauses: tuple[ClauseAnalysis, ...]
    findings: tuple[Finding, ...]
    lockout: tuple[bytes, ...]
    names: Mapping[bytes, str] = field(eq=False)

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that say that content can be lost for good."""
        return tuple(finding for finding in self.findings if finding.severity is Severity.ERROR)

    @property
    def codes(self) -> frozenset[str]:
        """The codes of all findings."""
        return frozenset(finding.code for finding in self.findings)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __str__(self) -> str:
        lines = [f"{clause.name}: {self._quorums(clause)}" for clause in self.clauses]
        return "\n".join([*lines, *(f"  {finding}" for finding in self.findings)])

    def __repr__(self) -> str:
        counts = (f"{sum(one.severity is level for one in self.findings)} {level}s" for level in Severity)
        return f"<Analysis of {len(self.clauses)} clauses: {', '.join(counts)}>"

    def _repr_html_(self) -> str:
        from medchain.policy.display import analysis_html

        return analysis_html(self)

    def _quorums(self, clause: ClauseAnalysis) -> str:
        if not clause.fires:
            return "never opens"
        shown = [" + ".join(self.names[party] for party in quorum) for quorum in clause.quorums.sets[:6]]
        more = len(clause.quorums.sets) - len(shown)
        if more or not clause.quorums.complete:
            shown.append(f"{more} more" if clause.quorums.complete else "and others")
        return f"opens by {' | '.join(shown)}"


def analyse(bound: BoundPolicy) -> Analysis:
    """See `BoundPolicy.analyse`."""
    clauses = tuple(_clause(bound, clause) for clause in bound.clauses)
    live = [clause for clause in clauses if clause.fires]
    locking = [set(clause.indispensable) for clause in live]
    lockout = tuple(party for party in bound.ids if locking and all(party in lost for lost in locking))
    found = [*_whole(bound, live, lockout)]
    for clause, result in zip(bound.clauses, clauses, strict=True):
        found += _of_clause(bound, clause, result)
    order = list(Severity)
    found.sort(key=lambda finding: order.index(finding.severity))
    return Analysis(clauses, tuple(found), lockout, {party: bound.name(party) for party in bound.ids})


def _clause(bound: BoundPolicy, clause: BoundClause) -> ClauseAnalysis:
    lost = list(indispensable(clause.tree))
    if clause.gated and bound.gate is not None and bound.gate.threshold == len(bound.gate.members):
        lost += [member for member in bound.gate.members if member not in lost]
    return ClauseAnalysis(
        clause.name, _fires(clause), smallest_quorums(clause.tree), alone(clause.tree), tuple(lost)
    )


def _fires(clause: BoundClause) -> bool:
    """Whether there is a moment and an asker at which the clause can be satisfied."""
    if (
        clause.not_before is not None
        and clause.not_after is not None
        and clause.not_before > clause.not_after
    ):
        return False
    if not clause.separate_asker or clause.askers is None:
        return True
    return any(isinstance(one, Role) or clause.tree.possible_without((one,)) for one in clause.askers)


def _whole(bound: BoundPolicy, live: list[ClauseAnalysis], lockout: tuple[bytes, ...]) -> Iterator[Finding]:
    if not live:
        yield Finding("locked-out", Severity.ERROR, None, (), "no clause can ever open")
        return
    if bound.owner is None:
        yield Finding(
            "no-owner", Severity.NOTE, None, (), "there is no owner: no one party is asked each time"
        )
    else:
        yield from _owner_loss(bound, bound.owner, live)
    gate = bound.gate if all(bound.clause(clause.name).gated for clause in live) else None
    for party in lockout:
        if party != bound.owner and (gate is None or party not in gate.members):
            text = f"if the keys of {bound.name(party)} are lost, nothing opens any more"
            yield Finding("lockout", Severity.WARNING, None, (party,), text)
    if gate is not None:
        text = "if the gate is lost, nothing opens any more: back it up, or add a recovery clause, ungated"
        yield Finding("gate-lockout", Severity.WARNING, None, gate.members, text)


def _owner_loss(bound: BoundPolicy, owner: bytes, live: list[ClauseAnalysis]) -> Iterator[Finding]:
    surviving = [bound.clause(clause.name) for clause in live if owner not in clause.indispensable]
    if not surviving:
        text = "if the owner's wallet is lost, nothing opens any more: add a recovery clause"
        yield Finding("owner-loss", Severity.ERROR, None, (owner,), text)
    elif all(clause.mark is Mark.EMERGENCY for clause in surviving):
        text = "if the owner's wallet is lost, only emergencies open it: add a recovery clause"
        yield Finding("no-recovery", Severity.WARNING, None, (owner,), text)


def _of_clause(bound: BoundPolicy, clause: BoundClause, result: ClauseAnalysis) -> Iterator[Finding]:
    if not result.fires:
        text = "can never be used: " + _why_not(clause)
        yield Finding("never-fires", Severity.WARNING, clause.name, (), text)
    yield from _approvers(bound, clause, result)
    yield from _without_gate(clause)
    if bound.owner is not None:
        yield from _about_owner(bound, clause, bound.owner)
    if clause.mark is Mark.EMERGENCY:
        yield from _emergency(bound, clause)
    if clause.mark is Mark.RECOVERY:
        yield from _recovery(clause)


def _why_not(clause: BoundClause) -> str:
    if (
        clause.not_before is not None
        and clause.not_after is not None
        and clause.not_before > clause.not_after
    ):
        return "its period ends before it begins"
    return "whoever may ask is needed to agree, but an asker does not count"


def _approvers(bound: BoundPolicy, clause: BoundClause, result: ClauseAnalysis) -> Iterator[Finding]:
    name = clause.name
    for party in result.alone:
        severity = Severity.NOTE if party == bound.owner else Severity.WARNING
        yield Finding("alone", severity, name, (party,), f"{bound.name(party)} opens alone")
    askers = _self_approvers(clause)
    if askers:
        text = (
            f"{_names(bound, askers)} can ask and count among those who agree; `separate asker` prevents it"
        )
        grave = any(party in result.alone and party != bound.owner for party in askers)
        yield Finding("self-approval", Severity.WARNING if grave else Severity.NOTE, name, askers, text)
    positions = [position.holder for position in clause.positions()]
    twice = tuple(party for party in clause.tree.holders if positions.count(party) > 1)
    if twice:
        text = f"{_names(bound, twice)} stands in several places of the tree and counts in each of them"
        yield Finding("counts-twice", Severity.WARNING, name, twice, text)
    if clause.gated and bound.gate is not None:
        inside = tuple(member for member in bound.gate.members if member in clause.tree.holders)
        if inside:
            severity = Severity.WARNING if len(inside) >= bound.gate.threshold else Severity.NOTE
            text = (
                f"{_names(bound, inside)} can agree and belongs to the gate: the record is less independent"
            )
            yield Finding("gate-inside", severity, name, inside, text)


def _self_approvers(clause: BoundClause) -> tuple[bytes, ...]:
    if clause.separate_asker:
        return ()
    open_to_others = clause.askers is None or any(isinstance(one, Role) for one in clause.askers)
    return tuple(party for party in clause.tree.holders if open_to_others or party in (clause.askers or ()))


def _without_gate(clause: BoundClause) -> Iterator[Finding]:
    if clause.gated:
        return
    text = "no gate: whoever satisfies the tree can open without leaving a record"
    yield Finding("unlogged", Severity.WARNING, clause.name, (), text)
    limits = {
        "its period": clause.not_before is not None or clause.not_after is not None,
        "the number of uses": clause.uses is not None,
        "the waiting time": clause.waiting is not None,
    }
    loose = [what for what, is_set in limits.items() if is_set]
    if loose:
        text = f"no gate: only the good will of those who agree keeps to {joined(loose)}"
        yield Finding("unenforced", Severity.WARNING, clause.name, (), text)


def _about_owner(bound: BoundPolicy, clause: BoundClause, owner: bytes) -> Iterator[Finding]:
    if clause.requires(owner):
        return
    if clause.mark is None:
        text = "opens without the owner, though it is neither for emergencies nor for recovery"
        yield Finding("owner-missing", Severity.WARNING, clause.name, (owner,), text)
    if clause.mark is not None and owner not in clause.notify:
        text = "opens without the owner, who is not told: `notify owner`"
        yield Finding("owner-not-told", Severity.NOTE, clause.name, (owner,), text)
    if clause.mark is Mark.RECOVERY and clause.objectors and owner not in clause.objectors:
        text = "opens without the owner, who may not object"
        yield Finding("owner-cannot-object", Severity.WARNING, clause.name, (owner,), text)


def _emergency(bound: BoundPolicy, clause: BoundClause) -> Iterator[Finding]:
    if clause.reviewer is None:
        yield Finding(
            "no-review", Severity.WARNING, clause.name, (), "nobody reviews this emergency: `review by …`"
        )
        return
    roles = [("agree to it", clause.tree.holders), ("ask for it", clause.askers or ())]
    parts = [what for what, members in roles if clause.reviewer in members]
    if parts:
        text = f"{bound.name(clause.reviewer)} reviews what it can {joined(parts, 'or')}"
        yield Finding("reviewer-inside", Severity.WARNING, clause.name, (clause.reviewer,), text)


def _recovery(clause: BoundClause) -> Iterator[Finding]:
    if clause.waiting is None:
        text = "takes effect at once: `wait …` gives time to notice it"
        yield Finding("no-waiting", Severity.WARNING, clause.name, (), text)
    elif not clause.objectors:
        text = "waits, but nobody may object: `objection by …`"
        yield Finding("no-objection", Severity.WARNING, clause.name, (), text)


def _names(bound: BoundPolicy, parties: Collection[bytes]) -> str:
    shown = [bound.name(party) for party in list(parties)[:8]]
    more = len(parties) - len(shown)
    return joined([*shown, f"{more} others"] if more else shown)
