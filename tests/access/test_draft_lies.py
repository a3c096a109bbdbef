"""A server that lies in a draft: whatever it swaps, hides or changes, the review refuses or says so in its text."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from access.devices import PARTS, POLICY, Server, flips
from attrs import evolve

import medchain as mc
from medchain.access.draft import Draft
from medchain.access.wording import names_for
from medchain.errors import EncodingError, RootMismatch, SealingError, VerificationError
from medchain.ledger.entry import parse_leaf
from medchain.ledger.governance import GATE, GateRow, Governance
from medchain.ledger.proof import LogProof, extra_bytes, read_extra
from medchain.ledger.transaction import Body, Transaction
from medchain.merkle import Head
from medchain.sealing import Complaint

REFUSED = (VerificationError, EncodingError, SealingError)


@pytest.fixture(scope="module")
def server() -> Server:
    return Server()


@pytest.fixture(scope="module")
def record(server: Server) -> bytes:
    return server.add()


@pytest.fixture
def draft(server: Server, record: bytes) -> Draft:
    return server.draft(server.ask(record, parts=(1, 2)))


def refused(
    draft: Draft, server: Server, match: str | None = None, kind: type[Exception] = VerificationError
) -> None:
    with pytest.raises(kind, match=match):
        Draft.from_bytes(bytes(draft)).review(server.chain.trust)


def changed(draft: Draft, **fields: object) -> Draft:
    """The draft with other fields in its message."""
    name, given = draft.body.message
    return evolve(draft, body=evolve(draft.body, message=[name, given | fields]))


def test_another_request(server: Server, record: bytes, draft: Draft) -> None:
    other = server.draft(server.ask(record, by="mallory"))
    refused(evolve(draft, body=other.body), server, "another row")
    refused(changed(draft, request=other.body.message[1]["request"]), server, "another row")
    refused(evolve(draft, request=other.request), server)
    refused(evolve(draft, asker=other.asker), server)


def test_another_askers_key_in_the_request(server: Server, draft: Draft) -> None:
    """The server puts its own recipient key into the request that it shows."""
    assert draft.request is not None
    proof = LogProof.parse(draft.request.entry)
    extra = read_extra(proof.extra)
    entry = parse_leaf(extra.leaf)
    transaction = Transaction.from_bytes(entry.content)
    name, fields = transaction.body.message
    own_key = server.wallets["mallory"].request_key(bytes(32)).public
    body = evolve(transaction.body, message=[name, fields | {"recipient_key": own_key}])
    forged = evolve(entry, content=bytes(Transaction.build(body, transaction.signatures)))
    shown = bytes(evolve(proof, extra=extra_bytes(evolve(extra, leaf=forged.leaf))))
    refused(evolve(draft, request=evolve(draft.request, entry=shown)), server, "root", RootMismatch)


def test_another_askers_signing_key(server: Server, record: bytes, draft: Draft) -> None:
    other = server.draft(server.ask(record, by="mallory"))
    assert draft.asker is not None
    assert other.asker is not None
    refused(evolve(draft, asker=evolve(draft.asker, key=other.asker.key)), server, "another row")
    refused(evolve(draft, asker=evolve(draft.asker, party=other.asker.party)), server, "another row")


def test_another_records_documents(server: Server, draft: Draft) -> None:
    other = server.draft(server.ask(server.add()))
    refused(
        evolve(draft, bundle=other.bundle),
        server,
        "not the sealed documents|contradicts",
        (SealingError, VerificationError),
    )
    refused(evolve(draft, record=other.record), server, "another row")
    both = evolve(draft, record=other.record, bundle=other.bundle)
    refused(both, server, "another row")


def test_proofs_of_two_moments(server: Server, record: bytes) -> None:
    request = server.ask(record)
    old = server.draft(request)
    server.access.approve(request, by=server.wallets["dr_wu"])
    new = server.draft(request)
    assert old.request is not None
    assert new.request is not None
    # The approval that was given meanwhile is hidden by older proofs, one by one or all of them.
    hidden = evolve(new.request, approvals=old.request.approvals)
    refused(evolve(new, request=hidden), server, "not proved as of the one checkpoint")
    refused(evolve(new, request=evolve(new.request, approvals=())), server, "not one proof for each holder")
    refused(evolve(new, request=old.request), server, "one checkpoint")
    refused(evolve(new, record=old.record), server, "one checkpoint")
    refused(evolve(new, replay=old.replay), server, "one checkpoint")
    seen = new.review(server.chain.trust).seen
    with pytest.raises(VerificationError, match="rolled back"):
        old.review(server.chain.trust, since=seen)


def test_a_forked_log(server: Server, record: bytes) -> None:
    request = server.ask(record)
    fork = Head(server.chain.head.size, bytes(32))
    draft = server.draft(request, since=fork)
    with pytest.raises(RootMismatch):
        draft.review(server.chain.trust, since=fork)
    server.add()
    draft = server.draft(request, since=fork)
    with pytest.raises(RootMismatch):
        draft.review(server.chain.trust, since=fork)
    with pytest.raises(VerificationError, match="nothing proves"):
        server.draft(request).review(server.chain.trust, since=fork)


def test_a_revoked_asker() -> None:
    server = Server()
    request = server.ask(server.add())
    before = server.draft(request)
    assert before.review(server.chain.trust)
    mc.Parties(server.chain).revoke(server.wallets["dr_lee"].party, by=server.hospital)
    after = server.draft(request)
    refused(after, server, "revoked")
    refused(evolve(after, asker=before.asker), server, "not proved as of the one checkpoint")
    seen = server.chain.checkpoint()
    with pytest.raises(VerificationError, match="rolled back"):
        before.review(server.chain.trust, since=seen)


def test_a_rotated_asker_stays_who_it_is() -> None:
    server = Server()
    request = server.ask(server.add())
    old = server.wallets["dr_lee"]
    new = mc.Wallet.from_seed(old.reveal_seed(), generation=1)
    server.now += 1
    mc.Parties(server.chain).rotate(old, new)
    assert server.draft(request).review(server.chain.trust).sign(server.patient)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"policy": bytes(32)}, VerificationError),
        ({"parts": [1, 2, 3]}, VerificationError),
        ({"parts": [3]}, VerificationError),
        ({"parts": []}, EncodingError),
        ({"share": bytes(32)}, EncodingError),
        ({"purpose": "HMARKT"}, EncodingError),
        ({"request": None}, EncodingError),
    ],
)
def test_another_message(server: Server, draft: Draft, fields: dict[str, object], error: type) -> None:
    refused(changed(draft, **fields), server, None, error)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda body: evolve(body, chain=bytes(32)), "another chain"),
        (lambda body: evolve(body, contract="keys"), "another contract"),
        (lambda body: evolve(body, version=2), "another contract"),
        (lambda body: evolve(body, message=["erase", body.message[1]]), "no drafts of"),
        (lambda body: evolve(body, message=["decline", {"request": bytes(32)}]), "another row"),
        (lambda body: evolve(body, seq=body.seq + 2_000), "sequence number"),
        (lambda body: evolve(body, not_after=1), "expired"),
    ],
)
def test_another_body(server: Server, draft: Draft, change: Callable[[Body], Body], match: str) -> None:
    refused(evolve(draft, body=change(draft.body)), server, match)


def test_another_signer(server: Server, record: bytes, draft: Draft) -> None:
    other = server.draft(server.ask(record), "dr_wu")
    refused(evolve(draft, body=evolve(draft.body, signers=other.body.signers)), server, "another row")
    both = evolve(draft.body, signers=draft.body.signers + other.body.signers)
    refused(evolve(draft, body=both), server, "one signer")
    mallory = evolve(draft.body.signers[0], party=server.wallets["mallory"].party.id)
    refused(evolve(draft, body=evolve(draft.body, signers=(mallory,))), server)


def test_a_used_sequence_number(server: Server, record: bytes) -> None:
    draft = server.draft(server.ask(record))
    signed = draft.review(server.chain.trust).sign(server.patient)
    server.submit(bytes(signed))
    again = server.draft(server.ask(record))
    refused(evolve(again, body=evolve(again.body, seq=draft.body.seq)), server, "sequence number")


def test_requests_that_cannot_be_answered(record: bytes) -> None:
    server = Server()
    record = server.add()
    request = server.ask(record)
    server.submit(bytes(server.draft(request).review(server.chain.trust).sign(server.patient)))
    refused(server.draft(request), server, "approved already")
    server.access.approve(request, by=server.wallets["dr_wu"])
    refused(server.draft(request, "guardian"), server, "cannot be answered: decided")
    late = server.ask(record)
    server.now += 8 * 86_400_000
    refused(server.draft(late), server, "expired")


def test_parts_that_the_object_does_not_have(server: Server, record: bytes) -> None:
    refused(server.draft(server.ask(record, parts=(1, 9))), server, "parts that there are not", SealingError)


def test_drafts_of_requests(server: Server, record: bytes) -> None:
    trust, asker = server.chain.trust, server.wallets["dr_lee"].party
    draft = server.access.draft.request(record, "treatment", purpose="TREAT", by=asker, since=None)
    refused(changed(draft, purpose="HMARKT"), server, "does not allow this purpose")
    refused(changed(draft, clause="nothing"), server, "no clause|refuse")
    refused(changed(draft, policy=bytes(32)), server, "another policy")
    refused(changed(draft, expiry=server.now), server, "expire at once")
    refused(changed(draft, expiry=1 << 62), server, "far too late")
    refused(changed(draft, parts=[9]), server, "parts that the object")
    refused(changed(draft, record=bytes(32)), server, "another row")
    refused(changed(draft, nonce=bytes(32)), server, "null in a draft", EncodingError)
    refused(evolve(draft, record=None), server, "proofs of the record", EncodingError)
    # What is allowed but not what the person meant stands in the text.
    later = changed(draft, expiry=draft.body.message[1]["expiry"] + 86_400_000).review(trust)
    assert "2026-06-05" in later.text
    assert "2026-06-04" in draft.review(trust).text
    narrowed = changed(draft, parts=[3]).review(trust)
    assert "1 of 3" in narrowed.text


def test_drafts_of_records(server: Server) -> None:
    by = [server.hospital.party, server.patient.party]
    draft = server.access.draft.add(PARTS, server.bound, by=by, since=None)
    other = server.access.draft.add(PARTS, server.bound, by=by, since=None)
    refused(evolve(draft, bundle=other.bundle), server, "other documents")
    refused(changed(draft, header=bytes(32)), server, "other documents")
    refused(changed(draft, subject=server.hospital.party.id), server, "author and then its subject")
    turned = evolve(draft.body, signers=draft.body.signers[::-1])
    refused(evolve(draft, body=turned), server, "another row")


def test_the_owner_is_not_talked_out_of_the_own_policy(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that skips its own check proposes a record that opens without the owner."""
    monkeypatch.setattr("medchain.access.draft.check_addable", lambda *_, **__: None)
    policy = mc.Policy.parse("treatment for TREAT: dr_wu").bind(
        gate=server.chain.gate, owner=server.patient.party, dr_wu=server.wallets["dr_wu"].party
    )
    by = [server.hospital.party, server.patient.party]
    draft = server.access.draft.add(PARTS, policy, by=by, since=None)
    refused(draft, server, "opens without the owner")


def test_the_owner_is_not_given_another_gate(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that skips its own check proposes itself as the gate: then it would open without a record."""
    monkeypatch.setattr("medchain.access.draft.check_addable", lambda *_, **__: None)
    by = [server.hospital.party, server.patient.party]
    policy = mc.Policy.parse(POLICY)
    people = {"dr_wu": server.wallets["dr_wu"].party, "guardian": server.wallets["guardian"].party}
    swapped = policy.bind(gate=server.hospital.party, owner=server.patient.party, **people)
    draft = server.access.draft.add(PARTS, swapped, by=by, since=None)
    refused(draft, server, "another gate than the chain's")
    # Nor is the state of another chain, in which it is the gate, a proof of that.
    other = mc.Chain.in_memory(origin=server.chain.origin, authority=server.hospital)
    shown = other.prove_state(Governance.gate, GATE, fresh=True)
    refused(evolve(draft, gate=shown), server)
    refused(evolve(draft, gate=draft.replay), server, "not a proof about a row of governance.gate")


def test_only_the_gate_of_the_chain_is_called_so(server: Server, draft: Draft) -> None:
    bound = server.bound
    assert bound.gate is not None
    row = GateRow(1, bound.gate.members)
    trust, keeper = server.chain.trust, bound.gate.members[0]
    assert names_for(draft.body, trust, bound, row)[keeper] == "gate"
    for other in (GateRow(1, (bytes(32),)), GateRow(1, (keeper, b"\xff" * 32)), None):
        assert names_for(draft.body, trust, bound, other)[keeper] == f"party:{keeper[:4].hex()}"


def same_meaning(draft: Draft, flipped: Draft) -> bool:
    """Whether two drafts differ at most in the number and the time limit of the transaction."""
    mine, other = draft.body, flipped.body
    return evolve(other, seq=mine.seq, not_after=mine.not_after) == mine and flipped.bundle == draft.bundle


@pytest.mark.parametrize("step", [23, pytest.param(1, marks=pytest.mark.slow)])
def test_every_flipped_byte(step: int) -> None:
    server = Server(
        "own for TREAT: owner\nrecovery lost for PATRQT: dr_wu and guardian, wait 14 days, ungated"
    )
    record = server.access.add([mc.sealing.Part(b"x")], server.bound, by=[server.hospital, server.patient])
    request = server.access.request(record, "own", purpose="TREAT", by=server.wallets["dr_lee"])
    draft = server.draft(request.id)
    trust, data = server.chain.trust, bytes(draft)
    text = draft.review(trust).text
    for altered in flips(data, step):
        try:
            flipped = Draft.from_bytes(altered)
            review = flipped.review(trust)
        except REFUSED:
            continue
        assert review.text == text
        assert same_meaning(draft, flipped)


def test_nothing_is_signed_over_a_wrong_envelope(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dealer seals the owner's shares to another key: documents and chain agree, and only the owner can tell."""
    server = Server()
    thief, owner = server.wallets["mallory"].party, server.patient.party
    cheated = mc.Party(owner.signing_key, thief.recipient_key, owner.id)
    bound = evolve(server.bound, parties={**server.bound.parties, owner.id: cheated})
    for module in ("client", "draft"):
        monkeypatch.setattr(f"medchain.access.{module}.with_parties", lambda bound, chain: bound)
    by = [server.hospital.party, owner]
    added = server.access.draft.add(PARTS, bound, by=by, since=None).review(server.chain.trust)
    with pytest.raises(SealingError, match="another recipient key") as found:
        added.sign(server.patient)
    assert isinstance(found.value.evidence, Complaint)
    # Had the owner signed all the same, an approval would stop there, too.
    record = server.access.add(PARTS, bound, by=[server.hospital, server.patient])
    review = server.draft(server.ask(record.id)).review(server.chain.trust)
    with pytest.raises(SealingError, match="another recipient key"):
        review.sign(server.patient)
