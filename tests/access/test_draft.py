"""Drafts and reviews over bytes: server and devices share nothing but bytes and the trust file."""

from __future__ import annotations

import pytest
from access.devices import CONTENT, PARTS, Device, Server, record_of
from attrs import evolve

import medchain as mc
from medchain.access import AccessContract
from medchain.access.draft import Draft
from medchain.access.messages import Approve
from medchain.errors import EncodingError, InvalidTransaction, Refused, VerificationError
from medchain.merkle import Head
from medchain.records import from_value


@pytest.fixture
def server() -> Server:
    return Server()


def test_everything_from_record_to_content_over_bytes(server: Server) -> None:
    clinic, phone, doctor, asker = map(server.device, ("hospital", "patient", "dr_wu", "dr_lee"))

    by = [clinic.wallet.party, phone.wallet.party]
    draft = bytes(server.access.draft.add(PARTS, server.bound, by=by, since=None))
    half = clinic.sign(draft)
    assert [ref.party for ref in mc.Signed.from_bytes(half).missing] == [phone.wallet.party.id]
    record = record_of(server.submit(phone.sign(draft, onto=half)))

    draft = bytes(
        server.access.draft.request(
            record, "treatment", purpose="TREAT", by=asker.wallet.party, since=asker.seen
        )
    )
    request = server.submit(asker.sign(draft)).id

    for device in (phone, doctor):
        [waiting] = server.access.pending(holder=device.wallet.party)
        draft = bytes(server.access.draft.approve(waiting, by=device.wallet.party, since=device.seen))
        assert server.submit(device.sign(draft)).ok

    kit = bytes(server.access.release(request, to=asker.wallet.party, since=asker.seen))
    opened = asker.open(kit)
    assert opened.raw == b"".join(CONTENT)
    assert opened.decision.quorum == (phone.wallet.party.id, doctor.wallet.party.id)
    proof = server.chain.prove(opened.decision)
    assert mc.verify(proof, mc.Decision, trust=asker.trust).value == opened.decision


def test_the_sketch_of_the_design_runs_as_it_stands(server: Server) -> None:
    request, seen, access, chain = server.ask(server.add()), None, server.access, server.chain
    trust, patient, dr_lee = mc.Trust.parse(server.trust), server.patient, server.wallets["dr_lee"]
    draft = access.draft.approve(request, by=patient.party, since=seen)
    signed = draft.review(trust).sign(patient)
    receipt = chain.submit(signed).result(timeout=5)
    assert receipt.ok
    access.approve(request, by=server.wallets["dr_wu"])
    kit = access.release(request, to=dr_lee.party, since=seen)
    assert kit.open(dr_lee, trust=trust).raw == b"".join(CONTENT)


def test_the_text_says_what_signing_does(server: Server) -> None:
    request = server.ask(server.add(), parts=(1, 3))
    server.access.approve(request, by=server.wallets["dr_wu"], parts=(1,))
    review = server.draft(request).review(mc.Trust.parse(server.trust))
    text = " ".join(str(review).split())
    for words in (
        "Approve: dr_lee asks to open a record",
        "a person vouched for by hospital",
        "of you, added 2026-05-28 20:26:40 UTC by hospital",
        '2 of 3: 1 ("text/plain", 5 bytes) and 3 ("application/octet-stream", 5 bytes)',
        "TREAT (treatment)",
        "until 2026-06-04 20:26:40 UTC",
        f"it opens when you and (dr_wu or party:{server.wallets['guardian'].party.id[:4].hex()}) agree",
        "agreed dr_wu (other parts)",
        "it still takes dr_wu or party:",
        "as of this checkpoint",
    ):
        assert words in text
    narrow = server.draft(request, parts=(1,)).review(mc.Trust.parse(server.trust))
    text = " ".join(narrow.text.split())
    assert '1 of 3: 1 ("text/plain", 5 bytes) asked it asked for 2 of 3' in text
    assert "agreed dr_wu then nobody else is needed: it opens once you have signed" in text
    assert "<pre" in narrow._repr_html_()
    assert "dr_lee" not in repr(narrow)


def test_texts_of_requests_records_and_refusals(server: Server) -> None:
    trust = mc.Trust.parse(server.trust)
    by = [server.hospital.party, server.patient.party]
    added = server.access.draft.add(PARTS, server.bound, by=by, since=None)
    assert "made by hospital, on the log" in added.review(trust).text
    assert [ref.party for ref in added.signers] == [party.id for party in by]
    record = server.add()
    asker = server.wallets["dr_lee"].party
    ask = server.access.draft.request(record, "treatment", purpose="TREAT", by=asker, parts=[2], since=None)
    assert '1 of 3: 2 ("application/octet-stream", 80 bytes)' in ask.review(trust).text
    request = server.ask(record)
    no = server.access.draft.decline(request, by=server.patient.party, since=None)
    assert "No key leaves this device" in no.review(trust).text
    signed = Draft.from_bytes(bytes(no)).review(trust).sign(server.patient)
    assert not signed.attachments
    server.submit(bytes(signed))
    assert server.access.status(request).state == "refused"


def test_the_device_fills_in_what_is_its_own(server: Server) -> None:
    request = server.ask(server.add())
    draft = server.draft(request)
    assert draft.body.message[1]["share"] is None
    review = draft.review(server.chain.trust)
    first, second = review.sign(server.patient), review.sign(server.patient)
    assert first.attachments != second.attachments  # HPKE is randomised: only the device knows the hash
    message = from_value(Approve, first.content.message[1])
    server.submit(bytes(first))
    stored = server.chain.blobs.get(first.attachments[0].object, message.share, limit=1 << 20)
    assert stored == first.attachments[0].data
    with pytest.raises(InvalidTransaction, match="replayed"):
        server.submit(bytes(second))


def test_the_device_pins_what_it_has_seen(server: Server) -> None:
    device = server.device("patient")
    request = server.ask(server.add())
    old = bytes(server.access.draft.approve(request, by=server.patient.party, since=None))
    device.review(old)
    pinned = device.seen
    assert pinned is not None
    again = bytes(server.access.draft.approve(request, by=server.patient.party, since=pinned))
    device.review(again)  # nothing was logged meanwhile
    server.add()
    grown = server.access.draft.approve(request, by=server.patient.party, since=pinned.head)
    assert device.review(bytes(grown)).seen.size > pinned.size
    with pytest.raises(VerificationError, match="rolled back"):
        device.review(old)
    with pytest.raises(VerificationError, match="say by since="):
        Draft.from_bytes(bytes(grown)).review(device.trust)
    with pytest.raises(VerificationError, match="an old copy"):
        server.access.draft.approve(request, by=server.patient.party, since=Head(10_000, bytes(32)))
    with pytest.raises(TypeError, match="since is a Checkpoint"):
        server.access.draft.approve(request, by=server.patient.party, since=7)  # type: ignore[arg-type]


def test_only_signers_sign(server: Server) -> None:
    request = server.ask(server.add())
    review = server.draft(request).review(server.chain.trust)
    for wallet in (server.wallets["dr_wu"], server.wallets["phone"]):
        with pytest.raises(ValueError, match="not a signer of this draft"):
            review.sign(wallet)
    with pytest.raises(ValueError, match="name the wallet"):
        review.sign()
    other = server.draft(request).review(server.chain.trust).sign(server.patient)
    with pytest.raises(ValueError, match="another transaction"):
        review.sign(server.patient, onto=other)


def test_drafts_are_made_for_those_who_may_sign(server: Server) -> None:
    request = server.ask(server.add())
    with pytest.raises(Refused):
        server.access.draft.approve(request, by=server.wallets["mallory"].party, since=None)
    with pytest.raises(Refused):
        server.access.draft.approve(bytes(32), by=server.patient.party, since=None)


def test_signed_drafts_stripped_and_replayed(server: Server) -> None:
    request = server.ask(server.add())
    signed = server.draft(request).review(server.chain.trust).sign(server.patient)
    with pytest.raises(InvalidTransaction, match="unsigned"):
        server.submit(bytes(evolve(signed, signatures=(None,))))
    foreign = server.wallets["mallory"].sign(b"anything")
    with pytest.raises(InvalidTransaction):
        server.submit(bytes(evolve(signed, signatures=(foreign,))))
    narrowed = evolve(signed.content, message=["approve", signed.content.message[1] | {"parts": [1]}])
    with pytest.raises(InvalidTransaction):
        server.submit(bytes(evolve(signed, body=bytes(narrowed))))
    first = server.submit(bytes(signed))
    assert server.submit(bytes(signed)) == first
    assert len(server.chain.table(AccessContract.approvals)) == 1


def test_bytes_of_a_draft(server: Server) -> None:
    draft = server.draft(server.ask(server.add()))
    assert Draft.from_bytes(bytes(draft)) == draft
    assert repr(draft).startswith("<Draft approve for party:")
    for broken in (b"", bytes(draft)[:-1], bytes(draft) + b"\0"):
        with pytest.raises(EncodingError):
            Draft.from_bytes(broken)
    with pytest.raises(ValueError, match="format version 2"):
        evolve(draft, version=2)


def test_a_device_knows_no_other_chain(server: Server) -> None:
    draft = server.draft(server.ask(server.add()))
    with pytest.raises(VerificationError):
        draft.review(Server().chain.trust)
    assert isinstance(Device(server.patient, server.trust).review(bytes(draft)).text, str)
