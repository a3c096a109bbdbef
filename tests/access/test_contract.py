"""The rules on chain: every code, by the message that earns it. What is refused changes nothing but the log."""

from __future__ import annotations

import secrets
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from clinic import CONTENT, DAY, HOUR, PARTS, POLICY, Clinic

import medchain as mc
from medchain.access import AccessContract, Gate, Record, Request
from medchain.access.messages import (
    PARTS_LIMIT,
    AddRecord,
    Approve,
    Complain,
    Decision,
    Decline,
    Erase,
    Judge,
    LiftBlock,
    Notice,
    Oppose,
    Overdue,
    RequestAccess,
    ReviewDue,
    Settle,
)
from medchain.access.rules import HOLDERS_LIMIT
from medchain.encoding import encode
from medchain.errors import InvalidTransaction, PolicyError, Refused
from medchain.identity import Parties
from medchain.ledger import check
from medchain.ledger.governance import AddGateMember, Governance, RemoveGateMember, SetGateThreshold
from medchain.ledger.transition import EVENTS_LIMIT
from medchain.policy import BoundPolicy
from medchain.policy.bound import BoundGate
from medchain.policy.model import MAX_LIST
from medchain.records import to_value
from medchain.sealing import Part
from medchain.testing import wallets


def refused(house: Clinic, message: Any, *names: str) -> str:
    """The code with which the contract refuses, and nothing of its state has changed."""
    before = rows(house)
    with pytest.raises(Refused) as error:
        house.chain.send(AccessContract, message, by=[house[name] for name in names])
    assert rows(house) == before
    assert error.value.receipt.code == error.value.reason
    return error.value.reason


def rows(house: Clinic) -> list[tuple[str, Any]]:
    tables = AccessContract.tables
    return [(name, list(house.chain.table(table).items())) for name, table in tables.items()]


def added(house: Clinic, text: str = POLICY) -> AddRecord:
    fields = {name: secrets.token_bytes(32) for name in ("record", "object", "header", "dealing")}
    return AddRecord(subject=house.party("owner").id, policy=bytes(house.bind(text)), **fields)


def asked(house: Clinic, record: bytes | None = None, **changes: Any) -> RequestAccess:
    record = record or house.add().id
    row = house.chain.table(AccessContract.records).get(record)
    request = RequestAccess(
        record=record,
        policy=bytes(32) if row is None else row.policy,
        clause="treatment",
        purpose="TREAT",
        parts=None,
        nonce=bytes(32),
        recipient_key=bytes(1216),
        expiry=house.clock.now + DAY,
    )
    return evolve(request, **changes)


def approval(request: Request | bytes, house: Clinic, **changes: Any) -> Approve:
    id = request if isinstance(request, bytes) else request.id
    row = house.chain.table(AccessContract.requests).get(id)
    policy = bytes(32) if row is None else row.policy
    return evolve(Approve(id, policy, None, bytes(32)), **changes)


def test_it_is_a_contract_and_its_digest_is_stable() -> None:
    check(AccessContract)
    assert AccessContract.digest() == AccessContract.digest()


# Adding.

SAFE = "\nrecovery r for PATRQT: guardian"
ADDING: dict[str, Callable[[Clinic, AddRecord], tuple[AddRecord, Iterable[str]]]] = {
    "wrong-signers": lambda house, message: (message, ("hospital", "guardian", "owner")),
    "wrong-subject": lambda house, message: (message, ("owner", "hospital")),
    "bad-policy": lambda house, message: (evolve(message, policy=b"\xa0"), ("hospital", "owner")),
    "owner-missing": lambda house, message: (
        added(house, "research for HRESCH: dr_wu"),
        ("hospital", "owner"),
    ),
    "reviewer-inside": lambda house, message: (
        added(house, "emergency e for ETREAT: er_desk, review by er_desk"),
        ("hospital", "owner"),
    ),
}


@pytest.mark.parametrize("code", ADDING)
def test_a_record_is_refused(house: Clinic, code: str) -> None:
    message, names = ADDING[code](house, added(house))
    assert refused(house, message, *names) == code


def test_a_subject_is_the_owner_of_the_policy(house: Clinic) -> None:
    message = evolve(added(house), subject=house.party("guardian").id)
    assert refused(house, message, "hospital", "guardian") == "wrong-subject"


def test_everybody_in_a_policy_is_a_live_party(house: Clinic) -> None:
    message = added(house)
    Parties(house.chain).revoke(house.party("auditor"), by=house["hospital"])
    assert refused(house, message, "hospital", "owner") == "unknown-party"


@pytest.mark.parametrize("names", [("stranger",), ("hospital",), ("keeper", "hospital")])
def test_the_gate_is_the_chains(house: Clinic, names: tuple[str, ...]) -> None:
    bound = house.bind()
    assert bound.gate is not None
    members = tuple(house.party(name).id for name in names)
    message = evolve(added(house), policy=bytes(evolve(bound, gate=BoundGate(1, members))))
    assert refused(house, message, "hospital", "owner") == "foreign-gate"


def test_the_gate_is_the_one_of_now(house: Clinic) -> None:
    """All its members and no others, with its threshold, as governance has them when the record is added."""
    bound, early = house.bind(), added(house)
    assert bound.gate is not None
    keeper, stranger = house.party("keeper").id, house.party("stranger").id
    for members in ((stranger,), (keeper, stranger)):
        foreign = evolve(bound, gate=evolve(bound.gate, members=members))
        message = evolve(added(house), policy=bytes(foreign))
        assert refused(house, message, "hospital", "owner") == "foreign-gate"
    house.chain.send(Governance, AddGateMember(stranger), by=[house["hospital"]])
    assert refused(house, early, "hospital", "owner") == "foreign-gate"
    assert house.chain.gate is not None
    assert {party.id for party in house.chain.gate.parties} == {keeper, stranger}
    house.add()
    house.chain.send(Governance, SetGateThreshold(2), by=[house["hospital"]])
    one_of_two = evolve(bound, gate=evolve(bound.gate, members=(keeper, stranger)))
    message = evolve(early, policy=bytes(one_of_two))
    assert refused(house, message, "hospital", "owner") == "foreign-gate"
    house.add()


def test_who_leaves_the_gate_keeps_the_records_that_name_it(house: Clinic) -> None:
    """A removed member holds its shares for old records, and is bound to no new ones."""
    old = house.decided()
    house.chain.send(Governance, AddGateMember(house.party("auditor").id), by=[house["hospital"]])
    house.chain.send(Governance, RemoveGateMember(house.party("keeper").id), by=[house["hospital"]])
    with pytest.raises(PolicyError, match="another gate"):
        house.access.add(PARTS, old_bound(house), by=[house["hospital"], house["owner"]])
    new = house.decided()
    assert house.access.open(old, by=house["dr_lee"]).raw == CONTENT
    with pytest.raises(Refused, match="no-gate"):
        house.access.open(new, by=house["dr_lee"])
    later = mc.Access(house.chain, gate=Gate(house["auditor"], clock=house.clock), clock=house.clock)
    assert later.open(new, by=house["dr_lee"]).raw == CONTENT


def old_bound(house: Clinic) -> BoundPolicy:
    """The clinic's policy as it was bound before the gate changed."""
    policy = mc.Policy.parse(POLICY)
    gate = mc.GateSet(1, (house.party("keeper"),))
    return policy.bind(gate=gate, **{each: house.party(each) for each in {*policy.symbols, "owner"}})


def test_no_gate_of_fewer_members_or_a_lower_threshold() -> None:
    hospital, owner, friend, *keepers = wallets("hospital", "owner", "friend", "k1", "k2", "k3")
    ids = tuple(keeper.party.id for keeper in keepers)
    gates = mc.GateSet(2, tuple(keeper.party for keeper in keepers))
    policy = mc.Policy.parse("treatment for TREAT: owner\nrecovery lost for PATRQT: friend, wait 1 day")
    with mc.Chain.in_memory(authority=hospital, gate=gates) as chain:
        mc.Parties(chain).register(owner, friend, by=hospital)
        bound = policy.bind(gate=chain.gate, owner=owner.party, friend=friend.party)
        for gate in (BoundGate(1, ids[:1]), BoundGate(2, ids[:2]), BoundGate(1, ids), BoundGate(3, ids)):
            swapped = evolve(bound, gate=gate)
            with pytest.raises(PolicyError, match="another gate"):
                mc.Access(chain).add([Part(b"data")], swapped, by=[hospital, owner])
            fields = {name: secrets.token_bytes(32) for name in ("record", "object", "header", "dealing")}
            message = AddRecord(subject=owner.party.id, policy=bytes(swapped), **fields)
            with pytest.raises(Refused, match="foreign-gate"):
                chain.send(AccessContract, message, by=[hospital, owner])
        turned = evolve(bound, gate=BoundGate(2, ids[::-1]))
        assert mc.Access(chain).add([Part(b"data")], turned, by=[hospital, owner])


def test_a_chain_without_gate_takes_no_gate(tmp_path: Path) -> None:
    hospital, owner, friend = wallets("hospital", "owner", "friend")
    policy = mc.Policy.parse("treatment for TREAT: owner\nrecovery lost for PATRQT: friend, wait 1 day")
    ungated = mc.Policy.parse(
        "treatment for TREAT: owner, ungated\nrecovery lost for PATRQT: friend, wait 1 day, ungated"
    )
    place = {"origin": "clinic.example/ehr", "mark": tmp_path / "mark"}
    with mc.Chain.create(tmp_path / "chain", authority=hospital, gate=None, **place) as chain:
        mc.Parties(chain).register(owner, friend, by=hospital)
        people = {"owner": owner.party, "friend": friend.party}
        with pytest.raises(PolicyError, match="another gate"):
            mc.Access(chain).add(
                [Part(b"data")], policy.bind(gate=hospital.party, **people), by=[hospital, owner]
            )
        assert mc.Access(chain).add([Part(b"data")], ungated.bind(gate=None, **people), by=[hospital, owner])


def test_more_than_a_transaction_can_keep_is_refused(house: Clinic) -> None:
    crowd = [f"p{number}" for number in range(65)]
    house.wallets |= dict(zip(crowd, _crowd(len(crowd)), strict=True))
    Parties(house.chain).register(*(house[name] for name in crowd), by=house["hospital"])
    many = f"treatment for TREAT: owner and 2 of ({', '.join(crowd)})" + SAFE
    assert refused(house, added(house, many), "hospital", "owner") == "unsupported-policy"
    all_of = f"treatment for TREAT: owner{SAFE}\nerasure by 17 of ({', '.join(crowd)})"
    assert refused(house, added(house, all_of), "hospital", "owner") == "unsupported-policy"


def _crowd(count: int) -> list[Any]:
    return list(wallets(*(f"crowd-{number}" for number in range(count))))


def test_the_largest_decision_that_can_be_made_fits_into_its_entry() -> None:
    ids = [bytes([number]) * 32 for number in range(HOLDERS_LIMIT)]
    parts = tuple(range((1 << 16) - PARTS_LIMIT, 1 << 16))
    year = 1 << 42
    decision = Decision(*ids[:4], "c" * 32, "P" * 32, parts, tuple(ids), ids[0], 1, year, uses_left=10**9)
    events: list[Any] = [
        decision,
        Notice(ids[0], ids[1], "c" * 32, tuple(ids[:MAX_LIST])),
        ReviewDue(ids[0], ids[1], year),
    ]
    values = [{"contract": "access", "name": "review-due", "value": to_value(event)} for event in events]
    assert len(encode(values)) <= EVENTS_LIMIT


def test_records_and_objects_belong_to_one_record_for_ever(house: Clinic) -> None:
    message = added(house)
    house.chain.send(AccessContract, message, by=[house["hospital"], house["owner"]])
    other = secrets.token_bytes(32)
    for again in (evolve(message, object=other), evolve(message, record=other)):
        assert refused(house, again, "hospital", "owner") == "already-added"


# Asking.

ASKING: dict[str, dict[str, Any]] = {
    "denied": {"clause": "nowhere"},
    "stale-policy": {"policy": bytes(32)},
    "wrong-purpose": {"purpose": "HMARKT"},
    "bad-expiry": {"expiry": 1},
}


@pytest.mark.parametrize("code", ASKING)
def test_a_request_is_refused(house: Clinic, code: str) -> None:
    assert refused(house, asked(house, **ASKING[code]), "dr_lee") == code


def test_a_request_does_not_outlive_a_year(house: Clinic) -> None:
    assert refused(house, asked(house, expiry=house.clock.now + 367 * DAY), "dr_lee") == "bad-expiry"


def test_missing_and_forbidden_are_told_alike(house: Clinic) -> None:
    named = house.add("treatment for TREAT: owner, asked by dr_wu" + SAFE)
    assert refused(house, asked(house, named.id), "dr_lee") == "denied"
    assert refused(house, asked(house, bytes(32)), "dr_lee") == "denied"
    for message in (Erase(bytes(32)), Complain(bytes(32), "treatment")):
        assert refused(house, message, "dr_lee") == "denied"
    for message in (
        Decline(bytes(32)),
        Oppose(bytes(32)),
        Judge(bytes(32), True),
        approval(bytes(32), house),
    ):
        assert refused(house, message, "dr_lee") == "denied"
    assert refused(house, LiftBlock(named.id, "treatment", house.party("dr_lee").id), "er_desk") == "denied"


def test_askers_are_public_parties_or_the_subject(house: Clinic) -> None:
    record = house.add()
    nobody = house["guardian"].persona(toward=house.party("hospital"), chain=house.chain.tag)
    Parties(house.chain).register(nobody, by=house["hospital"])
    house.wallets["nobody"] = nobody
    assert refused(house, asked(house, record.id), "nobody") == "denied"
    house.chain.send(
        AccessContract, asked(house, record.id, clause="lost", purpose="PATRQT"), by=[house["owner"]]
    )


def test_a_role_that_nobody_answers_lets_nobody_in(house: Clinic) -> None:
    record = house.add("treatment for TREAT: owner, asked by role(credentials:physician), dr_wu" + SAFE)
    assert refused(house, asked(house, record.id), "dr_lee") == "role-unanswered"
    house.chain.send(AccessContract, asked(house, record.id), by=[house["dr_wu"]])


def test_a_request_that_nobody_may_grant_is_refused(house: Clinic) -> None:
    record = house.add("treatment for TREAT: owner, separate asker" + SAFE)
    assert refused(house, asked(house, record.id), "owner") == "no-quorum"


def test_a_request_has_one_signer(house: Clinic) -> None:
    assert refused(house, asked(house), "dr_lee", "dr_wu") == "wrong-signers"


def test_a_request_keeps_to_the_period(house: Clinic) -> None:
    record = house.add("treatment for TREAT: owner, from 2027-01-20 until 2027-01-25" + SAFE)
    assert refused(house, asked(house, record.id), "dr_lee") == "outside-period"
    house.wait(6 * DAY)
    assert (
        refused(house, asked(house, record.id, expiry=house.clock.now + 30 * DAY), "dr_lee")
        == "outside-period"
    )
    house.chain.send(AccessContract, asked(house, record.id), by=[house["dr_lee"]])


@pytest.mark.parametrize("parts", [(), (0,), (2, 1), (1, 1), (1 << 16,), tuple(range(1, 900))])
def test_parts_are_named_in_order(house: Clinic, parts: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="parts"):
        asked(house, parts=parts)


# Answering.


def test_an_approval_is_refused(house: Clinic) -> None:
    record = house.add()
    request = house.ask(record, parts=(1, 2))
    assert refused(house, approval(request, house), "stranger") == "denied"
    assert refused(house, approval(request, house), "dr_lee") == "denied"
    assert refused(house, approval(request, house), "owner", "dr_wu") == "wrong-signers"
    assert refused(house, approval(request, house, policy=bytes(32)), "owner") == "stale-policy"
    assert refused(house, approval(request, house, parts=(2, 3)), "owner") == "bad-parts"
    house.approve(request, "owner")
    assert refused(house, approval(request, house), "owner") == "already-approved"
    assert refused(house, Decline(request.id), "owner") == "already-approved"
    house.access.decline(request, by=house["dr_wu"])
    assert refused(house, approval(request, house), "dr_wu") == "already-declined"
    house.approve(request, "guardian")
    assert refused(house, approval(request, house), "dr_wu") == "closed"
    assert refused(house, Oppose(request.id), "owner") == "denied"
    late = house.ask(record, expires_in=HOUR)
    house.wait(HOUR + 1)
    assert refused(house, approval(late, house), "owner") == "late"


def test_an_asker_does_not_approve_where_it_must_be_separate(house: Clinic) -> None:
    request = house.ask(house.add(), by="dr_wu")
    assert refused(house, approval(request, house), "dr_wu") == "asker-approves"


def test_nothing_is_asked_or_approved_of_what_is_erased(house: Clinic) -> None:
    record = house.add()
    request = house.ask(record)
    house.access.erase(record, by=[house["owner"]])
    assert refused(house, approval(request, house), "owner") == "erased"
    assert refused(house, asked(house, record.id), "dr_lee") == "erased"
    assert house.access.status(request).state == "erased"


def test_a_stripped_signature_never_enters(house: Clinic) -> None:
    from medchain.ledger import Signed, Transaction

    body = house.chain.prepare(AccessContract, added(house), [house.party("hospital"), house.party("owner")])
    signed = Signed.start(body).sign(house["hospital"], house["owner"])
    signatures = [each for each in signed.signatures if each is not None]
    size = house.chain.head.size
    for forged in (
        [signatures[0], signatures[0]],
        [signatures[1], signatures[0]],
        [signatures[0], bytes(64)],
    ):
        with pytest.raises(InvalidTransaction):
            house.chain.submit(Transaction.build(body, forged)).result()
    one_less = evolve(body, signers=body.signers[:1])
    with pytest.raises(InvalidTransaction):
        house.chain.submit(Transaction.build(one_less, signatures[:1])).result()
    assert house.chain.head.size == size
    assert house.chain.submit(signed).result().ok


# Timers and marks.


def test_timers_are_not_for_senders(house: Clinic) -> None:
    request = house.ask(house.add())
    for message in (Settle(request.id), Overdue(request.id)):
        assert refused(house, message, "dr_lee") == "wrong-signers"


def lost(house: Clinic) -> Request:
    request = house.ask(house.add(), "lost", "PATRQT", by="guardian")
    house.approve(request, "guardian", "dr_wu")
    return request


def test_a_recovery_waits_for_objections(house: Clinic) -> None:
    request = lost(house)
    status = house.access.status(request)
    assert (status.state, status.settles) == ("waiting", house.clock.now + 7 * DAY)
    assert "objections are possible" in str(status)
    with pytest.raises(Exception, match="objections"):
        house.access.open(request, by=house["guardian"])
    house.wait(7 * DAY - 1)
    assert house.access.status(request).state == "waiting"
    house.wait(HOUR)
    assert house.access.status(request).state == "decided"
    assert house.access.open(request, by=house["guardian"]).decision.clause == "lost"
    house.chain.audit()


def test_an_objection_stops_a_recovery(house: Clinic) -> None:
    request = lost(house)
    assert refused(house, Oppose(request.id), "dr_wu") == "denied"
    house.access.oppose(request, by=house["owner"])
    assert house.access.status(request).reason == "opposed"
    assert refused(house, Oppose(request.id), "auditor") == "closed"
    house.wait(8 * DAY)
    assert house.access.status(request).state == "refused"


def test_a_recovery_is_settled_as_things_stand_then(house: Clinic) -> None:
    erased, expired = lost(house), lost(house)
    house.access.erase(erased.record, by=[house["owner"]])
    house.wait(7 * DAY + HOUR)
    assert house.access.status(erased).reason == "erased"
    assert house.access.status(expired).state == "decided"


def test_a_recovery_does_not_outlive_its_request(house: Clinic) -> None:
    record = house.add()
    message = asked(house, record.id, clause="lost", purpose="PATRQT", expiry=house.clock.now + DAY)
    receipt = house.chain.send(AccessContract, message, by=[house["dr_lee"]])
    for name in ("guardian", "dr_wu"):
        house.chain.send(AccessContract, approval(receipt.id, house), by=[house[name]])
    house.wait(7 * DAY + HOUR)
    status = house.access.status(receipt.id)
    assert (status.state, status.reason) == ("refused", "late")


def emergency(house: Clinic, by: str = "er_desk", record: Record | None = None) -> Request:
    request = house.ask(record or house.add(), "night", "ETREAT", by=by)
    house.approve(request, "er_desk", "guardian")
    return request


def test_an_emergency_is_announced_and_reviewed(house: Clinic) -> None:
    request = emergency(house)
    decision = house.access.status(request).decision
    assert decision is not None
    assert decision.entry is not None
    entry = house.chain.entry(decision.entry)
    events = {event.name: event.value for event in entry.outcome.events}  # type: ignore[union-attr]
    assert events["notice"]["parties"] == [house.party("owner").id]
    assert events["review-due"]["due"] == house.clock.now + 2 * DAY
    assert refused(house, Judge(request.id, True), "owner") == "denied"
    house.access.judge(request, justified=False, by=house["auditor"])
    assert refused(house, Judge(request.id, True), "auditor") == "closed"
    house.wait(3 * DAY)
    house.ask(house.add(), "night", "ETREAT", by="er_desk")


def test_who_was_not_reviewed_in_time_asks_no_more_emergencies(house: Clinic) -> None:
    request = emergency(house)
    record = house.add()
    house.wait(2 * DAY + HOUR)
    asking = asked(house, record.id, clause="night", purpose="ETREAT")
    assert refused(house, asking, "er_desk") == "review-overdue"
    house.chain.send(AccessContract, asking, by=[house["dr_lee"]])
    house.ask(record, by="er_desk")
    house.access.judge(request, justified=True, by=house["auditor"])
    house.ask(record, "night", "ETREAT", by="er_desk")
    house.chain.audit()


def test_a_second_quorum_lifts_the_block(house: Clinic) -> None:
    record = house.add()
    request = emergency(house, by="dr_lee", record=record)
    lee = house.party("dr_lee")
    assert refused(house, LiftBlock(record.id, "night", lee.id), "er_desk", "guardian") == "not-due"
    house.wait(2 * DAY + HOUR)
    assert refused(house, LiftBlock(record.id, "night", lee.id), "er_desk") == "no-quorum"
    assert refused(house, LiftBlock(record.id, "treatment", lee.id), "owner", "dr_wu") == "denied"
    er_desk = house.party("er_desk").id
    assert refused(house, LiftBlock(record.id, "night", er_desk), "er_desk", "guardian") == "denied"
    house.access.lift(record, "night", lee, by=[house["er_desk"], house["guardian"]])
    assert (lee.id, request.id) not in house.chain.table(AccessContract.overdue)
    house.ask(record, "night", "ETREAT", by="dr_lee")


def test_the_quorum_of_another_record_lifts_nothing(house: Clinic) -> None:
    """Who is blocked has a friend add a record with an emergency clause that the friend satisfies alone."""
    first, second = house.add(), house.add()
    emergency(house, by="dr_lee", record=first)
    emergency(house, by="dr_lee", record=second)
    house.wait(2 * DAY + HOUR)
    lee = house.party("dr_lee").id
    friends = house.add("treatment for TREAT: owner\nemergency easy for ETREAT: stranger")
    assert refused(house, LiftBlock(friends.id, "easy", lee), "stranger") == "not-due"
    quorum = ("er_desk", "guardian")
    house.chain.send(AccessContract, LiftBlock(first.id, "night", lee), by=[house[name] for name in quorum])
    asking = asked(house, first.id, clause="night", purpose="ETREAT")
    assert refused(house, asking, "dr_lee") == "review-overdue"
    house.chain.send(AccessContract, LiftBlock(second.id, "night", lee), by=[house[name] for name in quorum])
    house.chain.send(AccessContract, asking, by=[house["dr_lee"]])


def test_a_reviewer_does_not_ask(house: Clinic) -> None:
    message = asked(house, clause="night", purpose="ETREAT")
    assert refused(house, message, "auditor") == "denied"


def test_a_reviewer_is_of_another_organisation_than_the_asker(house: Clinic) -> None:
    """Neither the asker's sponsor, nor who has the same, nor whose sponsor the asker is."""
    parties = Parties(house.chain)
    clinic, inside, nurse, lab = wallets("clinic", "inside", "nurse", "lab")
    house.wallets |= {"clinic": clinic, "inside": inside, "nurse": nurse, "lab": lab}
    parties.register(clinic, lab, by=house["hospital"], kind="organisation")
    parties.register(inside, nurse, by=clinic)
    text = "treatment for TREAT: owner\nemergency night for ETREAT: er_desk and guardian, review by "
    cases = [
        ("clinic", "nurse"),  # the sponsor
        ("inside", "nurse"),  # the same sponsor
        ("inside", "clinic"),  # who is its sponsor
        ("hospital", "dr_lee"),  # a party of the genesis is its own organisation
    ]
    for reviewer, asker in cases:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the hospital as a reviewer: see test_houses.py
            record = house.add(text + reviewer)
        asking = asked(house, record.id, clause="night", purpose="ETREAT")
        assert refused(house, asking, asker) == "reviewer-inside"
        house.chain.send(AccessContract, asking, by=[house["lab"]])
        named = added(house, f"{text}{reviewer}, asked by lab, {asker}")
        assert refused(house, named, "hospital", "owner") == "reviewer-inside"
    # Two organisations for which one authority vouches are still two.
    record = house.add(text + "auditor")
    for asker in ("lab", "clinic", "nurse", "dr_lee"):
        asking = asked(house, record.id, clause="night", purpose="ETREAT")
        house.chain.send(AccessContract, asking, by=[house[asker]])


def test_complaints_are_for_those_who_hold_something(house: Clinic) -> None:
    record = house.add()
    for name in ("owner", "dr_wu", "keeper"):
        assert house.access.complain(record, "treatment", by=house[name]).ok
    assert refused(house, Complain(record.id, "treatment"), "er_desk") == "denied"
    assert refused(house, Complain(record.id, "nowhere"), "owner") == "denied"


def test_everything_about_a_record_is_on_its_subjects_list(house: Clinic) -> None:
    record = house.add()
    refused(house, asked(house, record.id, purpose="HMARKT"), "stranger")
    refused(house, Erase(record.id), "stranger")
    refused(house, asked(house, bytes(32)), "stranger")
    steps = house.access.history(record)
    assert [(step.what, step.code) for step in steps] == [
        ("add-record", "ok"),
        ("request-access", "wrong-purpose"),
        ("erase", "denied"),
    ]
