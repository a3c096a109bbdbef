"""Findings, explanations and drawings."""

from __future__ import annotations

import html.parser

import pytest
from hypothesis import given, settings

from medchain.errors import PolicyError
from medchain.policy import GateSet, Policy, Severity, all_of
from medchain.policy.display import tree_svg
from medchain.testing.policies import bound_policies, stand_in

KEEPER = stand_in("keeper")


def bind(text, gate=KEEPER, **same):
    """Bind every symbol to a party of its own, but those in `same` to the party that is named there."""
    policy = Policy.parse(text)
    return policy.bind(gate=gate, **{symbol: stand_in(same.get(symbol, symbol)) for symbol in policy.symbols})


def findings(text, gate=KEEPER, **same):
    return {(one.code, one.clause): one.severity for one in bind(text, gate, **same).analyse()}


SOUND = """
    t for TREAT: owner and 1 of (b, c), separate asker
    recovery r for R: 2 of (b, c, d), separate asker, notify owner, wait 14 days, objection by owner, ungated
"""


def test_a_sound_policy_has_nothing_but_what_an_ungated_recovery_costs():
    assert findings(SOUND) == {("unlogged", "r"): Severity.WARNING, ("unenforced", "r"): Severity.WARNING}


@pytest.mark.parametrize(
    ("text", "code", "clause", "severity"),
    [
        ("t for T: owner", "owner-loss", None, "error"),
        ("t for T: owner", "alone", "t", "note"),
        ("t for T: owner\nemergency e for E: b and c", "no-recovery", None, "warning"),
        ("t for T: b", "no-owner", None, "note"),
        ("t for T: b", "alone", "t", "warning"),
        ("t for T: b and c", "lockout", None, "warning"),
        ("t for T: b and c", "gate-lockout", None, "warning"),
        ("t for T: b and c", "self-approval", "t", "note"),
        ("t for T: b or c", "self-approval", "t", "warning"),
        ("t for T: owner\nu for T: b and c", "owner-missing", "u", "warning"),
        ("t for T: b, ungated", "unlogged", "t", "warning"),
        ("t for T: b, ungated, at most 2 uses", "unenforced", "t", "warning"),
        ("t for T: 2 of (b, b, c)", "counts-twice", "t", "warning"),
        ("t for T: b and c, asked by b, separate asker", "never-fires", "t", "warning"),
        ("t for T: b and c, asked by b, separate asker", "locked-out", None, "error"),
        ("t for T: b, from 2026-02-02 until 2026-02-01", "never-fires", "t", "warning"),
        ("emergency t for T: b", "no-review", "t", "warning"),
        ("emergency t for T: b and c, review by b", "reviewer-inside", "t", "warning"),
        ("emergency t for T: b, asked by c, d, review by c", "reviewer-inside", "t", "warning"),
        ("u for T: owner\nemergency t for T: b, review by c", "owner-not-told", "t", "note"),
        ("recovery t for T: b", "no-waiting", "t", "warning"),
        ("recovery t for T: b, wait 2 days", "no-objection", "t", "warning"),
        (
            "u for U: owner\nrecovery t for T: b, wait 2 days, objection by c",
            "owner-cannot-object",
            "t",
            "warning",
        ),
    ],
)
def test_findings(text, code, clause, severity):
    assert findings(text).get((code, clause)) == severity


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("t for T: owner and b\nrecovery r for R: b and c", "owner-loss"),
        ("t for T: owner and b\nrecovery r for R: b and c", "no-recovery"),
        ("t for T: b and c, separate asker", "self-approval"),
        ("t for T: b and c, asked by d", "self-approval"),
        ("t for T: b and c, asked by b, d, separate asker", "never-fires"),
        ("t for T: b and c, asked by b, role(x:y), separate asker", "never-fires"),
        ("t for T: 1 of (b, c)", "lockout"),
        ("t for T: b and c\nrecovery r for T: b, ungated", "gate-lockout"),
        ("t for T: b and owner", "owner-missing"),
        ("emergency t for T: owner and b, review by c", "owner-not-told"),
    ],
)
def test_findings_that_are_not_made(text, code):
    assert code not in bind(text).analyse().codes


def test_one_party_under_two_symbols_is_seen():
    analysis = bind("t for T: b and c", c="b").analyse()
    assert {"counts-twice", "alone"} <= analysis.codes


def test_a_gate_that_approves_is_seen():
    assert findings("t for T: b and c", stand_in("b"))[("gate-inside", "t")] == "warning"
    wide = GateSet(2, (stand_in("b"), KEEPER))
    assert findings("t for T: b and c", wide)[("gate-inside", "t")] == "note"


def test_lockout_counts_the_gate():
    bound = bind("t for T: b and c\nu for U: b")
    assert bound.analyse().lockout == (stand_in("b").id, KEEPER.id)
    pair = GateSet(1, (KEEPER, stand_in("other")))
    assert bind("t for T: b or c", pair).analyse().lockout == ()
    assert "gate-lockout" in bind("t for T: b or c", pair).analyse().codes


def test_errors_come_first_and_the_text_is_complete():
    analysis = bind("t for TREAT: owner and 1 of (b, c), at most 2 uses, ungated").analyse()
    assert str(analysis) == (
        "t: opens by owner + b | owner + c\n"
        "  error [owner-loss] if the owner's wallet is lost, nothing opens any more: add a recovery clause\n"
        "  warning [unlogged] t: no gate: whoever satisfies the tree can open without leaving a record\n"
        "  warning [unenforced] t: no gate: only the good will of those who agree keeps to the number of uses\n"
        "  note [self-approval] t: owner, b and c can ask and count among those who agree; `separate asker` prevents it"
    )
    assert [finding.code for finding in analysis.errors] == ["owner-loss"]
    assert repr(analysis) == "<Analysis of 1 clauses: 1 errors, 2 warnings, 1 notes>"


def test_explanations_are_one_sentence_each():
    bound = bind("""
        treatment for TREAT, HPAYMT: owner and 1 of (dr_wu, guardian), separate asker, until 2026-06-30, at most 1 use
        emergency night for ETREAT: er_desk and guardian, asked by role(credentials:physician),
            notify owner, review by auditor
        recovery lost for RECOVER: 2 of (dr_wu, guardian, er_desk), wait 14 days, objection by owner, guardian, ungated
        erasure by owner
        show label, media_type
    """)
    assert bound.explain() == (
        "Clause treatment: anyone may ask for TREAT or HPAYMT; it opens when owner and (dr_wu or guardian) agree, the"
        " asker not counted, and the gate has the decision on record; only until 2026-06-30; once only.\n"
        "Emergency clause night: whoever credentials knows as physician may ask for ETREAT; it opens when er_desk and"
        " guardian agree, and the gate has the decision on record; owner is told; auditor reviews it within 3 days.\n"
        "Recovery clause lost: anyone may ask for RECOVER; it opens when any 2 of (dr_wu, guardian, er_desk) agree, and"
        " no record of it is forced (unlogged); it waits 14 days, in which owner or guardian may object.\n"
        "It is erased when owner agrees to an order to erase it.\n"
        "Without opening it, a single holder may see: label and media_type."
    )


class Balanced(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def check(markup):
    parser = Balanced()
    parser.feed(markup)
    parser.close()
    assert parser.open == []


@given(bound_policies())
@settings(max_examples=60)
def test_every_policy_can_be_analysed_explained_and_drawn(bound):
    analysis = bound.analyse()
    assert len(bound.explain().split("\n")) >= len(bound.clauses)
    for clause, result in zip(bound.clauses, analysis.clauses, strict=True):
        for quorum in result.quorums.sets:
            assert clause.satisfied_by(quorum)
        for party in result.indispensable:
            inside = clause.requires(party)
            assert inside or party in bound.gate.members
    for markup in (bound._repr_html_(), analysis._repr_html_()):
        check(markup)


def test_drawings_escape_names_and_leave_out_what_is_too_large():
    policy = Policy.parse("t for T: b and 2 of (c, d, e), notify b")
    check(policy._repr_html_())
    assert "2 of 3" in policy._repr_html_()
    drawn = tree_svg(policy.clauses[0].tree, lambda symbol: f"<{symbol}>")
    assert "<b>" not in drawn
    assert "&lt;b&gt;" in drawn
    assert tree_svg(all_of(*["b"] * 200), str).startswith("<pre>")


def test_there_is_no_clause_of_another_name():
    with pytest.raises(PolicyError, match="no clause `u`: there is t"):
        bind("t for T: b").clause("u")
