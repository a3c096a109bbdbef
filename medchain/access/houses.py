"""What a policy amounts to on one chain: who reviews an emergency may be of the house that asks.

A party's house, its organisation, stands in the chain's rows of `keys`, so a policy alone cannot tell. The contract
refuses a reviewer of a named asker's house when the record is added. Where a clause names no askers it can only refuse
the request, and that is at night.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import evolve

from medchain.ledger.keys import PartyRow, organisation
from medchain.policy.analysis import Analysis, Finding, Severity
from medchain.policy.bound import BoundClause, BoundPolicy
from medchain.policy.explain import joined

__all__ = ["HOUSE", "analyse_among", "named_of_house"]

HOUSE = "reviewer-of-house"
"""Code of the finding."""


def analyse_among(bound: BoundPolicy, parties: Mapping[bytes, PartyRow]) -> Analysis:
    """What the policy amounts to among these parties of a chain: `BoundPolicy.analyse`, and who cannot ask.

    Args:
        bound: the policy.
        parties: rows of ``Keys.parties``, of those whom the policy names; who is missing is not looked at.
    """
    found = bound.analyse()
    order = list(Severity)
    findings = sorted(
        [*found.findings, *_findings(bound, parties)], key=lambda finding: order.index(finding.severity)
    )
    return evolve(found, findings=tuple(findings))


def named_of_house(clause: BoundClause, parties: Mapping[bytes, PartyRow]) -> tuple[bytes, ...]:
    """The named askers of a clause that are of its reviewer's house. The contract refuses such a record."""
    return _of_house(clause, parties, [one for one in clause.askers or () if isinstance(one, bytes)])


def _findings(bound: BoundPolicy, parties: Mapping[bytes, PartyRow]) -> Iterator[Finding]:
    for clause in bound.clauses:
        named = clause.askers is not None
        inside = named_of_house(clause, parties) if named else _holders_of_house(bound, clause, parties)
        if not inside:
            continue
        assert clause.reviewer is not None
        who = joined([bound.name(party) for party in inside])
        text = (
            f"{who} cannot ask: {bound.name(clause.reviewer)}, who reviews, is of the same organisation."
            " Let one review that is registered as an organisation, or by another one"
        )
        yield Finding(HOUSE, Severity.WARNING, clause.name, inside, text)


def _holders_of_house(
    bound: BoundPolicy, clause: BoundClause, parties: Mapping[bytes, PartyRow]
) -> tuple[bytes, ...]:
    """Those who agree and would be let ask, if it were not for the reviewer: they are who is there at night."""
    able = [
        holder
        for holder in clause.tree.holders
        if holder in parties and (parties[holder].kind != "pseudonym" or holder == bound.owner)
    ]
    return _of_house(clause, parties, able)


def _of_house(
    clause: BoundClause, parties: Mapping[bytes, PartyRow], candidates: list[bytes]
) -> tuple[bytes, ...]:
    reviewer = clause.reviewer
    if reviewer is None or reviewer not in parties:
        return ()
    house = organisation(reviewer, parties[reviewer])
    return tuple(
        one
        for one in candidates
        if one != reviewer and one in parties and organisation(one, parties[one]) == house
    )
