"""Adding, asking, approving, deciding, opening: what an application lives on."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from clinic import CONTENT, DAY, PARTS, START, Clinic

import medchain as mc
from medchain.access import AccessContract, Decision
from medchain.encoding import encode
from medchain.errors import Erased, InvalidBlock, Pending, PolicyError, Refused, StorageFull
from medchain.ledger.entry import Concern, Entry, Kind, Outcome


def test_a_record_opens_when_its_clause_is_satisfied(house: Clinic) -> None:
    record = house.add()
    request = house.ask(record)
    with pytest.raises(Pending) as waiting:
        house.access.open(request, by=house["dr_lee"])
    assert waiting.value.waiting_for == tuple(house.party(name).id for name in ("owner", "dr_wu", "guardian"))
    assert "owner" in str(waiting.value)
    house.approve(request, "owner")
    assert house.access.status(request).waiting_for == (house.party("dr_wu").id, house.party("guardian").id)
    house.approve(request, "guardian")
    opened = house.access.open(request, by=house["dr_lee"])
    assert opened.raw == CONTENT
    assert [part.label for part in opened.parts] == ["one", "two", "three"]
    assert opened.decision.quorum == (house.party("owner").id, house.party("guardian").id)
    assert house.access.open(request, by=house["dr_lee"]).decision == opened.decision


def test_a_decision_is_proved_to_outsiders(house: Clinic) -> None:
    opened = house.access.open(house.decided(), by=house["dr_lee"])
    proof = house.chain.prove(opened.decision)
    found = mc.verify(proof, mc.Decision, trust=house.chain.trust)
    assert found.value == opened.decision
    assert found.as_of.index == opened.decision.entry
    state = house.chain.prove_state(AccessContract.decisions, opened.decision.request)
    row = mc.verify_state(state, AccessContract.decisions, opened.decision.request, trust=house.chain.trust)
    assert row.value is not None
    assert row.value.decision == opened.decision


def test_the_log_tells_requests_and_records_from_their_ids_alone(house: Clinic) -> None:
    record, fresh = house.add(), mc.Access(house.chain, clock=house.clock)
    request = house.ask(record)
    assert fresh.record(record.id) == record
    assert fresh.status(request.id).request == request
    entry = mc.verify(house.chain.prove(request), mc.Entry, trust=house.chain.trust)
    assert entry.value.outcome.ok


@pytest.mark.parametrize("wrong", [None, "name", 7, ["x"]])
def test_what_names_nothing_is_a_callers_mistake(house: Clinic, wrong: Any) -> None:
    access, lee = house.access, house["dr_lee"]
    for call in (
        lambda: access.status(wrong),
        lambda: access.record(wrong),
        lambda: access.history(wrong),
        lambda: access.request(wrong, "treatment", purpose="TREAT", by=lee),
        lambda: access.approve(wrong, by=lee),
        lambda: access.open(wrong, by=lee),
        lambda: access.erase(wrong, by=[lee]),
        lambda: access.draft.approve(wrong, by=lee.party, since=None),
    ):
        with pytest.raises(TypeError, match="bytes"):
            call()


def test_some_parts_can_be_asked_for_and_approved(house: Clinic) -> None:
    record = house.add()
    request = house.ask(record, parts=(3, 1))
    assert request.parts == (1, 3)
    house.approve(request, "owner", parts=(3,))
    house.approve(request, "dr_wu")
    opened = house.access.open(request, by=house["dr_lee"])
    assert opened.decision.parts == (3,)
    assert opened.raw == b"gamma"


def test_parts_of_different_holders_do_not_add_up(house: Clinic) -> None:
    request = house.ask(house.add())
    house.approve(request, "owner", parts=(1,))
    house.approve(request, "dr_wu", parts=(2,))
    assert house.access.status(request).state == "open"
    with pytest.raises(Pending):
        house.access.open(request, by=house["dr_lee"])
    house.approve(request, "guardian", parts=(1, 2))
    assert house.access.open(request, by=house["dr_lee"]).raw == b"alpha"


def test_the_inbox_shows_what_a_holder_can_still_answer(house: Clinic) -> None:
    record = house.add()
    late, soon = house.ask(record), house.ask(record, expires_in=DAY)
    wu = house.party("dr_wu")
    assert [each.id for each in house.access.pending(holder=wu)] == [soon.id, late.id]
    house.approve(late, "dr_wu")
    assert [each.id for each in house.access.pending(holder=wu)] == [soon.id]
    house.access.decline(soon, by=house["dr_wu"])
    assert house.access.pending(holder=wu) == ()
    assert len(house.access.pending(holder=house.party("owner"))) == 2
    house.wait(DAY + 1)
    assert [each.id for each in house.access.pending(holder=house.party("owner"))] == [late.id]
    assert house.access.pending(holder=house.party("dr_lee")) == ()


def test_an_asker_does_not_find_its_own_request_in_the_inbox(house: Clinic) -> None:
    record = house.add()
    house.ask(record, by="dr_wu")
    assert house.access.pending(holder=house.party("dr_wu")) == ()
    assert len(house.access.pending(holder=house.party("guardian"))) == 1


def test_a_no_refuses_when_nobody_can_make_up_for_it(house: Clinic) -> None:
    request = house.ask(house.add())
    house.access.decline(request, by=house["dr_wu"])
    assert house.access.status(request).state == "open"
    house.access.decline(request, by=house["owner"])
    status = house.access.status(request)
    assert (status.state, status.reason) == ("refused", "declined")
    with pytest.raises(Refused) as refused:
        house.access.open(request, by=house["dr_lee"])
    assert refused.value.reason == "declined"
    with pytest.raises(Refused, match="closed"):
        house.access.approve(request, by=house["guardian"])


def test_a_request_expires(house: Clinic) -> None:
    request = house.ask(house.add(), expires_in=DAY)
    house.approve(request, "owner")
    house.wait(DAY + 1)
    assert house.access.status(request).state == "expired"
    with pytest.raises(Refused, match="late"):
        house.approve(request, "dr_wu")
    with pytest.raises(Refused, match="expired"):
        house.access.open(request, by=house["dr_lee"])


def test_a_decision_expires(house: Clinic) -> None:
    request = house.decided()
    house.wait(8 * DAY)
    with pytest.raises(Refused, match="expired"):
        house.access.open(request, by=house["dr_lee"])
    assert house.gate.releases == ()


def test_uses_run_out(house: Clinic) -> None:
    record = house.add("once for TREAT: owner, at most 2 uses\nrecovery r for PATRQT: guardian")
    for left in (1, 0):
        request = house.ask(record, "once")
        house.approve(request, "owner")
        opened = house.access.open(request, by=house["dr_lee"])
        assert opened.decision.uses_left == left
        assert house.access.open(request, by=house["dr_lee"]).raw == CONTENT
    with pytest.raises(Refused, match="used-up"):
        house.ask(record, "once")


def test_the_last_use_goes_to_whoever_is_decided_first(house: Clinic) -> None:
    record = house.add("once for TREAT: owner, at most 1 use\nrecovery r for PATRQT: guardian")
    first, second = house.ask(record, "once"), house.ask(record, "once")
    house.approve(second, "owner")
    with pytest.raises(Refused, match="used-up"):
        house.approve(first, "owner")


def test_a_clause_has_its_period(house: Clinic) -> None:
    record = house.add("spell for TREAT: owner, until 2027-01-20\nrecovery r for PATRQT: guardian")
    request = house.ask(record, "spell", expires_in=60 * DAY)
    assert request.expires == record.policy.clause("spell").not_after
    house.wait(10 * DAY)
    with pytest.raises(Refused, match="outside-period"):
        house.access.request(record, "spell", purpose="TREAT", by=house["dr_lee"], expires_in=DAY)


def test_only_the_asker_opens(house: Clinic) -> None:
    request = house.decided()
    for name in ("dr_wu", "stranger", "owner"):
        with pytest.raises(Refused) as refused:
            house.access.open(request, by=house[name])
        assert refused.value.reason == "denied"


def test_without_a_gate_nothing_gated_opens(house: Clinic) -> None:
    request = house.decided()
    alone = mc.Access(house.chain, clock=house.clock)
    with pytest.raises(Refused) as refused:
        alone.open(request, by=house["dr_lee"])
    assert refused.value.reason == "no-gate"


def test_an_ungated_clause_opens_without_a_gate(house: Clinic) -> None:
    record = house.add("treatment for TREAT: owner, ungated\nrecovery r for PATRQT: guardian, ungated")
    request = house.ask(record)
    house.approve(request, "owner")
    assert mc.Access(house.chain, clock=house.clock).open(request, by=house["dr_lee"]).raw == CONTENT


def test_history_and_reason_are_for_people(house: Clinic) -> None:
    record = house.add()
    request = house.decided(record)
    opened = house.access.open(request, by=house["dr_lee"])
    steps = house.access.history(record)
    assert [step.what for step in steps] == ["add-record", "request-access", "approve", "approve"]
    assert [step.count for step in steps] == [1, 2, 3, 4]
    assert steps[-1].events == ("decision",)
    why = house.access.why(opened.decision)
    for word in ("owner", "dr_wu", "TREAT (treatment)", "treatment", "all parts"):
        assert word in why
    with pytest.raises(Refused, match="no such decision"):
        house.access.why(evolve(opened.decision, purpose="HMARKT"))


@pytest.mark.parametrize("content", [b"", b"\x80", encode([1, 2, 3, 4]), encode([1, b"", "access", [7, {}]])])
def test_a_damaged_timer_in_a_history(house: Clinic, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """What an IndexError, a ValueError or a TypeError told once."""
    subject = bytes(32)
    entry = Entry(3, 0, 0, content, Outcome("ok", (), (Concern(subject, 1),)), Kind.TIMER)
    monkeypatch.setattr(house.chain, "entries", lambda: [(7, entry)])
    with pytest.raises(InvalidBlock, match="stored timer is damaged") as caught:
        house.access.history(subject)
    assert caught.value.height == 3


def test_nothing_that_is_printed_shows_content(house: Clinic) -> None:
    record = house.add()
    request = house.ask(record)
    status = house.access.status(request)
    assert "waiting for owner, dr_wu, guardian" in str(status)
    assert "<table>" in status._repr_html_()
    house.approve(request, "owner", "dr_wu")
    opened = house.access.open(request, by=house["dr_lee"])
    shown = [
        record,
        request,
        house.access.status(request),
        opened,
        opened.decision,
        *opened.parts,
        house.gate,
    ]
    for each in [*shown, *house.access.history(record), house.access, *PARTS]:
        for text in (str(each), repr(each), getattr(each, "_repr_html_", str)()):
            assert not any(word in text for word in ("alpha", "beta", "gamma", "three"))


def test_erasure_takes_everything(house: Clinic) -> None:
    record = house.add()
    request = house.decided(record)
    assert len(house.chain.blobs.list(record.object)) > 5
    house.clock.now += 5
    with pytest.raises(Refused, match="denied"):
        house.access.erase(record, by=[house["hospital"]])
    report = house.access.erase(record, by=[house["owner"]])
    assert report.blobs > 5
    assert house.chain.blobs.list(record.object) == []
    with pytest.raises(Erased) as gone:
        house.access.open(request, by=house["dr_lee"])
    assert (gone.value.when, gone.value.by) == (START + 5, house.party("owner").id)
    with pytest.raises(Refused, match="erased"):
        house.ask(record)
    with pytest.raises(Refused, match="erased"):
        house.access.erase(record, by=[house["owner"]])
    assert house.access.sweep(record) == 0
    house.chain.audit()


def test_erasure_follows_the_policy(house: Clinic) -> None:
    record = house.add(
        "treatment for TREAT: owner\nrecovery r for PATRQT: guardian\nerasure by owner and 1 of (hospital, auditor)"
    )
    for names in (["owner"], ["hospital", "auditor"], ["owner", "hospital", "stranger"]):
        with pytest.raises(Refused, match="denied"):
            house.access.erase(record, by=[house[name] for name in names])
    house.access.erase(record, by=[house["auditor"], house["owner"]])


def test_a_policy_that_locks_out_is_taken_only_by_force(house: Clinic) -> None:
    alone = "treatment for TREAT: owner"
    with pytest.raises(PolicyError, match="lost"):
        house.add(alone)
    assert house.access.status(house.ask(house.add(alone, force=True))).state == "open"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("research for HRESCH: dr_wu\nrecovery r for PATRQT: guardian", "owner-missing"),
        ("treatment for CURE: owner\nrecovery r for PATRQT: guardian", "no HL7 purpose"),
        (
            "emergency e for ETREAT: er_desk, review by er_desk\nrecovery r for PATRQT: guardian",
            "reviewer-inside",
        ),
    ],
)
def test_a_policy_that_breaks_the_promise_is_refused_before_anything_is_written(
    house: Clinic, text: str, message: str
) -> None:
    with pytest.raises(PolicyError, match=message):
        house.add(text, force=True)
    assert list(house.chain.blobs.objects()) == []


def test_policies_name_registered_parties_and_the_chains_gate(house: Clinic) -> None:
    bound = mc.Policy.parse("treatment for TREAT: owner and x").bind(
        gate=house.chain.gate, owner=house.party("owner"), x=mc.Wallet.generate().party
    )
    by = [house["hospital"], house["owner"]]
    with pytest.raises(PolicyError, match="x is not registered"):
        house.access.add(PARTS, bound, by=by, force=True)
    foreign = mc.Policy.parse("treatment for TREAT: owner").bind(
        gate=house.party("stranger"), owner=house.party("owner")
    )
    with pytest.raises(PolicyError, match="another gate"):
        house.access.add(PARTS, foreign, by=by, force=True)


def test_the_owner_signs_last(house: Clinic) -> None:
    with pytest.raises(PolicyError, match="wrong-subject"):
        house.access.add(PARTS, house.bind(), by=[house["owner"], house["hospital"]])
    assert house.access.add(PARTS, house.bind(), by=[house["owner"]]).author == house.party("owner").id


def test_what_the_chain_refuses_leaves_no_blobs(house: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medchain.access.client.check_addable", lambda *_args, **_options: None)
    with pytest.raises(Refused, match="owner-missing"):
        house.add("research for HRESCH: dr_wu")
    assert list(house.chain.blobs.objects()) == []


def test_what_cannot_be_stored_is_not_added(house: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    size = house.chain.head.size
    real, calls = house.chain.blobs.put, iter(range(100))

    def failing(object_id: bytes, chunks: Any, **options: Any) -> bytes:
        if next(calls) == 3:
            raise StorageFull("the disk is full")
        return real(object_id, chunks, **options)

    monkeypatch.setattr(house.chain.blobs, "put", failing)
    with pytest.raises(StorageFull):
        house.add()
    assert list(house.chain.blobs.objects()) == []
    assert house.chain.head.size == size


def test_purposes_are_known_words(house: Clinic) -> None:
    record = house.add()
    with pytest.raises(PolicyError, match="TREAT"):
        house.ask(record, purpose="TREATMENT")
    with pytest.raises(Refused, match="wrong-purpose"):
        house.ask(record, purpose="HMARKT")


def test_a_reader_sees_what_the_writer_has_done(house: Clinic) -> None:
    decision = house.access.open(house.decided(), by=house["dr_lee"]).decision
    assert isinstance(decision, Decision)
    assert house.chain.audit().outcomes["access", "ok"] == 4
