"""The gate: no share leaves it before the decision is on the log, and never more than was decided."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from clinic import HOUR, MINUTE, Clinic

import medchain as mc
from medchain.access import Gate, Warrant, judge
from medchain.access.messages import Decision
from medchain.access.proved import ProvedRequest
from medchain.access.warrants import make_warrant
from medchain.errors import MedchainError, Refused, SealingError, StorageError, VerificationError
from medchain.identity import Parties
from medchain.ledger.keys import Keys
from medchain.ledger.proof import LogProof
from medchain.sealing import Part, SealedHeader
from medchain.sealing.holding import ResealedShare
from medchain.testing import wallets

Case = tuple[Warrant, SealedHeader, Decision]


def papers(house: Clinic, request: mc.Request, since: Any = None) -> Case:
    """What a client puts before the gate for a decided request."""
    decision = house.access.status(request).decision
    assert decision is not None
    proved, record = house.access._proved(request.id)
    return make_warrant(house.chain, proved, decision, since=since), house.access.bundle(record), decision


def decide(house: Clinic, case: Case, **options: Any) -> Any:
    warrant, bundle, _ = case
    options = {"trust": house.chain.trust, "seen": None, "now": house.clock.now, **options}
    return judge(warrant, bundle, **options)


def test_a_gate_releases_against_a_decision_and_remembers_it(house: Clinic) -> None:
    request = house.decided()
    warrant, bundle, decision = papers(house, request)
    assert Warrant.from_bytes(bytes(warrant)) == warrant
    first = house.gate.release(warrant, bundle)
    assert house.gate.release(papers(house, request, since=house.gate.seen)[0], bundle) == first
    [release] = house.gate.releases
    assert (release.decision, release.decision.entry) == (decision, decision.entry)
    assert release.time == house.clock.now


def test_no_share_leaves_before_the_decision_is_on_the_log(
    house: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A patched client that skips the decision: all it can show are proofs of something else."""
    record = house.add()
    real = house.decided(record)
    request = house.ask(record)
    house.approve(request, "owner")
    proved, row = house.access._proved(request.id)
    bundle = house.access.bundle(row)
    forged = evolve(
        house.access.status(real).decision,  # type: ignore[arg-type]
        request=request.id,
        quorum=(house.party("owner").id,),
    )
    with pytest.raises(MedchainError):
        house.gate.release(make_warrant(house.chain, proved, forged, since=None), bundle)
    invented = evolve(forged, entry=proved.as_of.index)
    with pytest.raises(VerificationError):
        house.gate.release(make_warrant(house.chain, proved, invented, since=None), bundle)
    monkeypatch.setattr(type(house.access), "_ready", lambda self, status: forged)
    with pytest.raises(MedchainError):
        house.access.open(request, by=house["dr_lee"])
    assert house.gate.releases == ()


def test_a_decision_does_not_serve_for_another_request(house: Clinic) -> None:
    record = house.add()
    decided, other = house.decided(record), house.ask(record)
    stranger = house.ask(record, by="stranger")
    warrant, bundle, decision = papers(house, decided)
    for request in (other, stranger):
        proof = house.chain.prove(request.entry)
        with pytest.raises(VerificationError, match="another one"):
            decide(house, (evolve(warrant, request=proof), bundle, decision))


SWAPS: dict[str, Callable[[Warrant, Warrant], Warrant]] = {
    field: (lambda mine, other, field=field: evolve(mine, **{field: getattr(other, field)}))  # type: ignore[misc]
    for field in ("decision", "live", "request", "record", "asker", "key")
}


@pytest.mark.parametrize("field", SWAPS)
def test_no_paper_of_another_case_passes(house: Clinic, field: str) -> None:
    first = house.decided()
    other = house.ask(house.add(), by="stranger")
    house.approve(other, "owner", "guardian")
    mine, bundle, decision = papers(house, first)
    theirs, _, _ = papers(house, other)
    with pytest.raises(VerificationError):
        decide(house, (SWAPS[field](mine, theirs), bundle, decision))


def test_the_documents_are_those_of_the_record(house: Clinic) -> None:
    mine, _, decision = papers(house, house.decided())
    _, others, _ = papers(house, house.decided())
    with pytest.raises(SealingError, match="not the sealed documents"):
        decide(house, (mine, others, decision))


@pytest.mark.slow
def test_each_altered_byte_of_a_paper_is_refused(house: Clinic) -> None:
    warrant, bundle, decision = papers(house, house.decided())
    for field in ("decision", "live", "request", "record", "asker", "key"):
        proof = getattr(warrant, field)
        for at in range(len(proof)):
            altered = proof[:at] + bytes([proof[at] ^ 1]) + proof[at + 1 :]
            with pytest.raises(MedchainError):
                decide(house, (evolve(warrant, **{field: altered}), bundle, decision))


def test_a_proof_that_the_gate_does_not_trust_is_nothing(house: Clinic) -> None:
    [other] = wallets("another authority")
    with mc.Chain.in_memory(authority=other, clock=house.clock) as chain:
        with pytest.raises(VerificationError):
            decide(house, papers(house, house.decided()), trust=chain.trust)
        gate = Gate(house["keeper"], chain.trust, clock=house.clock)
        with pytest.raises(VerificationError):
            mc.Access(house.chain, gate=gate, clock=house.clock).open(house.decided(), by=house["dr_lee"])
        assert gate.releases == ()


def test_a_gate_keeps_the_first_trust_that_it_is_given(house: Clinic) -> None:
    [other] = wallets("another authority")
    with mc.Chain.in_memory(authority=other, clock=house.clock) as chain:
        house.gate.attach(chain.trust)
        assert house.access.open(house.decided(), by=house["dr_lee"]).raw
    lone = Gate(house["keeper"])
    with pytest.raises(ValueError, match="no trust"):
        lone.release(*papers(house, house.decided())[:2])


def test_a_gate_asks_for_a_fresh_header(house: Clinic) -> None:
    case = papers(house, house.decided())
    for now in (house.clock.now + 2 * MINUTE + 1, house.clock.now - 2 * MINUTE - 1):
        with pytest.raises(Refused, match="stale"):
            decide(house, case, now=now)
    assert decide(house, case, now=house.clock.now + 2 * MINUTE).head == house.chain.head


def test_a_resting_chain_cuts_a_block_when_a_gate_asks(house: Clinic) -> None:
    request = house.decided()
    house.clock.now += 3 * HOUR
    assert house.access.open(request, by=house["dr_lee"]).raw


def test_a_gate_does_not_go_back(house: Clinic) -> None:
    old, bundle, _ = papers(house, house.decided())
    seen = house.chain.head
    house.ask(house.add())
    house.gate.release(*papers(house, house.decided())[:2])
    with pytest.raises(VerificationError, match="rolled back"):
        house.gate.release(old, bundle)
    newer = papers(house, house.decided(), since=seen)
    with pytest.raises(Refused, match="behind"):
        house.gate.release(*newer[:2])
    forked = evolve(house.gate.seen, root=bytes(32))  # type: ignore[arg-type]
    with pytest.raises(VerificationError):
        decide(house, papers(house, house.decided(), since=house.gate.seen), seen=forked)


def test_a_gate_that_is_started_again_knows_what_it_has_seen(house: Clinic, tmp_path: Path) -> None:
    """An old warrant, while fresh by the clock, is shown to it after the erasure that it has seen."""
    place, request, other = tmp_path / "keeper.mark", house.decided(), house.decided()
    old, bundle, _ = papers(house, request)
    first = Gate(house["keeper"], house.chain.trust, mark=place, clock=house.clock)
    house.access.erase(request.record, by=[house["owner"]])
    first.release(*papers(house, other)[:2])
    again = Gate(house["keeper"], house.chain.trust, mark=place, clock=house.clock)
    assert again.seen == first.seen == house.chain.head
    with pytest.raises(VerificationError, match="rolled back"):
        again.release(old, bundle)
    assert again.releases == ()
    # It goes on from there, attached like any other.
    access = mc.Access(
        house.chain, gate=Gate(house["keeper"], mark=place, clock=house.clock), clock=house.clock
    )
    assert access.open(house.decided(), by=house["dr_lee"]).raw
    # Without a mark it begins anew, as the documentation says.
    assert Gate(house["keeper"], house.chain.trust, clock=house.clock).release(old, bundle)


def test_nothing_leaves_a_gate_that_cannot_remember(house: Clinic, tmp_path: Path) -> None:
    place, warrant, bundle = tmp_path / "mark", *papers(house, house.decided())[:2]
    gate = Gate(house["keeper"], house.chain.trust, mark=place, clock=house.clock)
    twin = Gate(house["keeper"], house.chain.trust, mark=place, clock=house.clock)
    assert twin.release(warrant, bundle)
    with pytest.raises(StorageError, match="another"):
        gate.release(warrant, bundle)
    assert (gate.releases, gate.seen) == ((), None)
    [other] = wallets("another authority")
    with (
        mc.Chain.in_memory(authority=other) as chain,
        pytest.raises(StorageError, match="belongs to the chain"),
    ):
        Gate(house["keeper"], chain.trust, mark=place)
    place.write_bytes(b"rubbish")
    with pytest.raises(StorageError, match="damaged"):
        Gate(house["keeper"], house.chain.trust, mark=place)


def test_an_older_proof_of_the_askers_key_is_as_good(house: Clinic) -> None:
    request = house.decided()
    asker = house.access._proved(request.id)[0].asker
    older = house.chain.prove_state(Keys.signing, (asker.party, asker.key), fresh=True)
    warrant, bundle, decision = papers(house, house.decided(house.access.record(request.record)))
    assert LogProof.parse(older).checkpoint != LogProof.parse(warrant.key).checkpoint
    assert decide(house, (evolve(warrant, key=older), bundle, decision)).decision == decision


def test_what_is_expired_is_not_released(house: Clinic) -> None:
    request = house.ask(house.add(), expires_in=MINUTE)
    house.approve(request, "owner", "dr_wu")
    case = papers(house, request)
    assert decide(house, case, now=request.expires).decision == case[2]
    with pytest.raises(Refused, match="expired"):
        decide(house, case, now=request.expires + 1)


def test_what_is_erased_is_not_released(house: Clinic) -> None:
    request = house.decided()
    proved, row = house.access._proved(request.id)
    bundle, decision = house.access.bundle(row), house.access.status(request).decision
    house.access.erase(request.record, by=[house["owner"]])
    assert decision is not None
    with pytest.raises(Refused, match="erased"):
        house.gate.release(make_warrant(house.chain, proved, decision, since=None), bundle)


def test_whose_keys_are_revoked_gets_nothing(house: Clinic) -> None:
    request = house.decided()
    Parties(house.chain).revoke(house.party("dr_lee"), by=house["hospital"])
    with pytest.raises(Refused, match="revoked"):
        house.access.open(request, by=house["dr_lee"])
    assert house.gate.releases == ()


def test_a_gate_gives_its_share_of_the_decided_parts_only(house: Clinic) -> None:
    request = house.ask(house.add(), parts=(1, 2))
    house.approve(request, "owner", parts=(2,))
    house.approve(request, "dr_wu")
    warrant, bundle, _ = papers(house, request)
    assert ResealedShare.from_bytes(house.gate.release(warrant, bundle)).parts == (0, 2)


def test_a_wallet_that_is_not_of_the_gate_has_nothing_to_give(house: Clinic) -> None:
    lone = Gate(house["stranger"], house.chain.trust, clock=house.clock)
    with pytest.raises(SealingError, match="no share"):
        lone.release(*papers(house, house.decided())[:2])


def test_two_of_three_gates_release() -> None:
    hospital, owner, doctor, friend, *keepers = wallets(
        "hospital", "owner", "doctor", "friend", "k1", "k2", "k3"
    )
    gates = mc.GateSet(2, tuple(keeper.party for keeper in keepers))
    with mc.Chain.in_memory(authority=hospital, gate=gates) as chain:
        mc.Parties(chain).register(owner, doctor, friend, by=hospital)
        policy = mc.Policy.parse("treatment for TREAT: owner\nrecovery lost for PATRQT: friend, wait 1 day")
        bound = policy.bind(gate=chain.gate, owner=owner.party, friend=friend.party)
        members = [Gate(keeper) for keeper in keepers]
        record = mc.Access(chain, gate=members).add([Part(b"data")], bound, by=[hospital, owner])
        request = mc.Access(chain).request(record, "treatment", purpose="TREAT", by=doctor)
        mc.Access(chain).approve(request, by=owner)
        with pytest.raises(Refused, match="no-gate"):
            mc.Access(chain, gate=members[:1]).open(request, by=doctor)
        assert mc.Access(chain, gate=members[1:]).open(request, by=doctor).raw == b"data"
        assert [len(member.releases) for member in members] == [0, 1, 1]


def test_proofs_are_made_under_one_checkpoint(house: Clinic) -> None:
    warrant, _, _ = papers(house, house.decided())
    fields = ("decision", "live", "request", "record", "asker", "key")
    heads = {LogProof.parse(getattr(warrant, field)).checkpoint.head for field in fields}
    assert heads == {house.chain.head}
    assert isinstance(decide(house, papers(house, house.decided())).request, ProvedRequest)
