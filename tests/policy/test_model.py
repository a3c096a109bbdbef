"""What clauses and policies may say, and binding them to parties."""

from __future__ import annotations

import pytest
from attrs.exceptions import FrozenInstanceError

from medchain.errors import PolicyError
from medchain.policy import Clause, GateSet, Mark, Policy, Role, all_of
from medchain.testing.policies import stand_in

ANN, BOB, CY, KEEPER = map(stand_in, ("ann", "bob", "cy", "keeper"))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"name": "Night"}, "not of the form"),
        ({"name": "for"}, "reserved"),
        ({"name": "x" * 33}, "not of the form"),
        ({"purposes": ()}, "at least one purpose"),
        ({"purposes": ("treat",)}, "purpose `treat`"),
        ({"purposes": ("T", "T")}, "purposes name `T` twice"),
        ({"purposes": [f"P{at}" for at in range(33)]}, "at most 32 purposes"),
        ({"mark": "urgent"}, "neither `emergency` nor `recovery`"),
        ({"askers": ()}, "None for anyone"),
        ({"askers": ("asker",)}, "reserved"),
        ({"notify": ("b", "b")}, "notified name `b` twice"),
        ({"uses": 0}, "uses is 0"),
        ({"not_before": -1}, "not_before is -1"),
        ({"not_after": 1 << 60}, "not_after is"),
        ({"reviewer": "b"}, "only an emergency clause"),
        ({"mark": "emergency", "review_within": 5}, "go together"),
        ({"mark": "emergency", "reviewer": "b", "review_within": None}, "go together"),
        ({"waiting": 5}, "only a recovery clause"),
        ({"mark": "emergency", "objectors": "b"}, "only a recovery clause"),
        ({"mark": "recovery", "objectors": "b"}, "needs a waiting time"),
        ({"mark": "recovery", "waiting": 0}, "waiting is 0"),
    ],
)
def test_what_no_clause_may_say(options, text):
    with pytest.raises(PolicyError, match=text):
        Clause(**{"name": "a", "purposes": "T", "tree": "b", **options})


@pytest.mark.parametrize(
    "options",
    [
        {"uses": True},
        {"uses": "3"},
        {"not_before": 1.5},
        {"separate_asker": 1},
        {"gated": None},
        {"name": 5},
        {"purposes": 5},
        {"notify": 5},
        {"notify": (b"x" * 32,)},
        {"tree": all_of(b"x" * 32, b"y" * 32)},
        {"askers": (5,)},
    ],
)
def test_wrong_types_are_type_errors(options):
    with pytest.raises(TypeError):
        Clause(**{"name": "a", "purposes": "T", "tree": "b", **options})


def test_policies_are_frozen_and_their_clauses_have_unique_names():
    clause = Clause("a", "T", "b")
    with pytest.raises(PolicyError, match="two clauses have the name `a`"):
        Policy((clause, clause))
    with pytest.raises(PolicyError, match="1 to 32 clauses, not 0"):
        Policy(())
    many = [Clause(f"c{at}", "T", all_of(*["b"] * 200)) for at in range(6)]
    with pytest.raises(PolicyError, match="at most 1024 positions"):
        Policy(many)
    with pytest.raises(TypeError):
        Policy(("a for T: b",))
    with pytest.raises(FrozenInstanceError):
        clause.name = "b"
    assert Policy(clause) == Policy([clause])
    assert Policy(clause).clause("a") is clause
    with pytest.raises(PolicyError, match="no clause `z`: there is a"):
        Policy(clause).clause("z")


def test_separate_askers_do_not_count():
    clause = Clause("a", "T", all_of("owner", "dr_wu"), separate_asker=True)
    assert clause.satisfied_by({"owner", "dr_wu"})
    assert clause.satisfied_by({"owner", "dr_wu"}, asker="dr_lee")
    assert not clause.satisfied_by({"owner", "dr_wu"}, asker="dr_wu")
    assert clause.waiting_for({"owner"}, asker="dr_lee") == ("dr_wu",)
    assert clause.waiting_for({"owner"}, asker="dr_wu") == ()  # impossible
    assert Clause("a", "T", "owner").satisfied_by({"owner"}, asker="owner")


def test_periods_include_both_ends():
    clause = Clause("a", "T", "b", not_before=10, not_after=20)
    assert [clause.active_at(time) for time in (9, 10, 20, 21)] == [False, True, True, False]
    assert Clause("a", "T", "b").active_at(0)
    assert not Clause("a", "T", "b", not_after=0).active_at(1)


def test_binding_gives_each_symbol_its_party():
    policy = Policy.parse("""
        a for T: owner and b, asked by c, role(credentials:physician), notify b
        recovery r for R: c, wait 2 days, objection by owner, b, ungated
        erasure by owner or c
        show label
    """)
    bound = policy.bind(gate=KEEPER, owner=ANN, b=BOB, c=CY)
    first, second = bound.clauses
    assert first.tree == all_of(ANN.id, BOB.id)
    assert first.askers == (CY.id, Role("credentials", "physician"))
    assert (first.notify, first.gated, first.mark) == ((BOB.id,), True, None)
    assert (second.mark, second.gated, second.objectors) == (Mark.RECOVERY, False, (ANN.id, BOB.id))
    assert bound.owner == ANN.id
    assert bound.erasure is not None
    assert bound.erasure.satisfied_by([CY.id])
    assert bound.gate is not None
    assert (bound.gate.threshold, bound.gate.members) == (1, (KEEPER.id,))
    assert bound.names == {ANN.id: "owner", BOB.id: "b", CY.id: "c", KEEPER.id: "gate"}
    assert bound.parties == {party.id: party for party in (ANN, BOB, CY, KEEPER)}
    assert bound.ids == (ANN.id, BOB.id, CY.id, KEEPER.id)
    assert repr(bound) == f"<BoundPolicy {bound.hash.hex()[:12]}: a, r>"


def test_binding_names_what_is_missing_and_what_is_unknown():
    policy = Policy.parse("a for T: owner and dr_wu, notify ungatd")
    with pytest.raises(PolicyError) as caught:
        policy.bind(gate=None, owner=ANN, dr_wo=BOB, stranger=CY)
    assert str(caught.value) == (
        "no party for dr_wu (given is dr_wo); no party for ungatd (or was `ungated` meant?); "
        "the policy has no symbol `dr_wo`; the policy has no symbol `stranger`"
    )


def test_binding_wants_parties_and_a_word_about_the_gate():
    class Wallet:
        party = ANN

    policy = Policy.parse("a for T: b")
    with pytest.raises(TypeError, match="gate"):
        policy.bind(b=ANN)
    with pytest.raises(
        TypeError, match=r"b is bound to a party, not to Wallet; name its public half, \.party"
    ):
        policy.bind(gate=None, b=Wallet())
    with pytest.raises(TypeError, match="gate"):
        policy.bind(gate="keeper", b=ANN)


def test_gate_none_leaves_every_clause_ungated():
    bound = Policy.parse("a for T: b").bind(gate=None, b=ANN)
    assert bound.gate is None
    assert not bound.clauses[0].gated


def test_the_owner_may_be_named_beyond_the_symbols():
    assert Policy.parse("a for T: b").bind(gate=None, b=ANN, owner=BOB).owner == BOB.id


def test_one_party_under_two_symbols_counts_in_both_places_and_is_listed_once():
    policy = Policy.parse("a for T: 2 of (b, c, d), notify b, c, asked by b, c")
    clause = policy.bind(gate=None, b=ANN, c=ANN, d=BOB).clauses[0]
    assert clause.satisfied_by([ANN.id])
    assert clause.tree.holders == (ANN.id, BOB.id)
    assert clause.notify == clause.askers == (ANN.id,)


@pytest.mark.parametrize(
    ("threshold", "parties"),
    [(0, (ANN,)), (2, (ANN,)), (1, ()), (1, (ANN, ANN)), (1, [stand_in(str(n)) for n in range(255)])],
)
def test_impossible_gates(threshold, parties):
    with pytest.raises(PolicyError, match="gate"):
        GateSet(threshold, parties)


def test_a_bound_policy_fits_into_an_entry():
    tree = all_of(*["b"] * 254)
    whole = Policy((Clause("a", "T", all_of(*[tree] * 4)), *(Clause(f"c{n}", "T", "b") for n in range(8))))
    assert len(bytes(whole.bind(gate=None, b=ANN))) < 49_152
    symbols = [f"s{at}" for at in range(32)]
    wide = Policy(
        tuple(Clause(f"c{n}", "T", all_of(*symbols), notify=symbols, askers=symbols) for n in range(20))
    )
    with pytest.raises(PolicyError, match="at most 49152"):
        wide.bind(gate=None, **{symbol: stand_in(symbol) for symbol in symbols})
