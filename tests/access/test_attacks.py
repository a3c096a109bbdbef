"""Attacks on the way from approval to content: hostile blob servers, replayed and forged approvals, stolen data."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import clinic
import pytest
from attrs import evolve
from clinic import CONTENT, PARTS, Clinic

import medchain as mc
from medchain.access import AccessContract
from medchain.access.messages import Approve, RequestAccess
from medchain.access.proved import ProvedRequest, bind_request
from medchain.errors import (
    BlobDamaged,
    EncodingError,
    InvalidTransaction,
    MedchainError,
    Pending,
    SealingError,
    StorageError,
    VerificationError,
)
from medchain.ledger import Signed, Transaction
from medchain.sealing import Part, check_evidence, collect
from medchain.storage import FileBlobs, MemoryBlobs, ReplicatedBlobs

DOCUMENTED = (SealingError, VerificationError, StorageError, EncodingError)


class HostileBlobs(MemoryBlobs):
    """A server that answers with whatever it likes, and checks nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.lies: dict[bytes, bytes] = {}

    def get(self, object_id: bytes, digest: bytes, *, limit: int) -> bytes:
        return self.lies.get(digest) or super().get(object_id, digest, limit=limit)

    def read(self, object_id: bytes, digest: bytes, offset: int, length: int) -> bytes:
        if digest in self.lies:
            return self.lies[digest][offset : offset + length]
        return super().read(object_id, digest, offset, length)


@pytest.fixture
def hostile() -> Iterator[Clinic]:
    with clinic.clinic(HostileBlobs()) as house:
        yield house


def blobs_of(house: Clinic, record: mc.Record) -> dict[bytes, bytes]:
    store = house.chain.blobs
    return {hash: store.get(record.object, hash, limit=1 << 20) for hash in store.list(record.object)}


def open_with_lies(house: Clinic, request: mc.Request, lies: dict[bytes, bytes]) -> str:
    """What comes of opening while the server lies: the content, or the class of the error."""
    store = house.chain.blobs
    assert isinstance(store, HostileBlobs)
    store.lies = lies
    try:
        raw = house.access.open(request, by=house["dr_lee"]).raw
    except DOCUMENTED as error:
        return type(error).__name__
    finally:
        store.lies = {}
    assert raw == CONTENT, "altered content was given out"
    return "opened"


def test_no_answer_of_a_blob_server_gives_other_content(hostile: Clinic) -> None:
    record = hostile.add()
    request = hostile.decided(record)
    blobs = blobs_of(hostile, record)
    others = list(blobs_of(hostile, hostile.add()).values())
    for hash, data in blobs.items():
        answers = [data[:-1], b"\0" + data, data[1:], b"\0" * len(data), b"\xa0", *blobs.values(), *others]
        for answer in answers:
            if answer != data:
                assert open_with_lies(hostile, request, {hash: answer}) != "opened"
    assert open_with_lies(hostile, request, {}) == "opened"


@pytest.mark.slow
def test_each_flipped_byte_is_found(hostile: Clinic) -> None:
    """Every byte of header, dealing, each envelope, each re-sealed share and the payload; a small object has few."""
    bound = hostile.bind("own for TREAT: owner")
    record = hostile.access.add(
        [Part(CONTENT)], bound, by=[hostile["hospital"], hostile["owner"]], force=True
    )
    request = hostile.ask(record, clause="own")
    hostile.approve(request, "owner")
    assert open_with_lies(hostile, request, {}) == "opened"
    looked = 0
    for hash, data in blobs_of(hostile, record).items():
        for at in range(len(data)):
            altered = data[:at] + bytes([data[at] ^ (1 << at % 8)]) + data[at + 1 :]
            assert open_with_lies(hostile, request, {hash: altered}) != "opened", (hash.hex(), at)
            looked += 1
    assert looked > 5_000


def test_a_lying_server_does_not_frame_a_holder(hostile: Clinic) -> None:
    record = hostile.add()
    first, second = hostile.decided(record), hostile.decided(record)
    store = hostile.chain.blobs
    assert isinstance(store, HostileBlobs)
    approvals = hostile.chain.table(AccessContract.approvals)
    mine, other = (approvals[each.id, hostile.party("dr_wu").id].share for each in (first, second))
    store.lies = {mine: MemoryBlobs.get(store, record.object, other, limit=1 << 20)}
    with pytest.raises(MedchainError) as error:
        hostile.access.open(first, by=hostile["dr_lee"])
    assert getattr(error.value, "culprit", None) is None


def test_an_approver_is_not_shown_other_documents(hostile: Clinic) -> None:
    record = hostile.add()
    request = hostile.ask(record)
    store = hostile.chain.blobs
    assert isinstance(store, HostileBlobs)
    for hash, data in blobs_of(hostile, record).items():
        if data == blobs_of(hostile, record).get(_payload(hostile, record)):
            continue
        store.lies = {hash: data[:-1] + bytes([data[-1] ^ 1])}
        with pytest.raises(DOCUMENTED):
            hostile.approve(request, "owner")
        store.lies = {}
    assert hostile.access.status(request).approved_by == ()
    hostile.approve(request, "owner")


def _payload(house: Clinic, record: mc.Record) -> bytes:
    row = house.chain.table(AccessContract.records)[record.id]
    payload = house.access.bundle(row).payload[0]
    assert payload is not None
    return payload


# Copies that rot.

MIB = 1 << 20
LARGE = bytes(range(256)) * (5 * MIB // 512)


def rot(places: list[Path], object_id: bytes, digest: bytes, at: int) -> None:
    """Flip one bit of a blob in each of some folders of blobs."""
    for place in places:
        [path] = [each for each in place.rglob(digest.hex()) if object_id.hex() in str(each)]
        data = bytearray(path.read_bytes())
        data[at] ^= 1
        path.chmod(0o600)
        path.write_bytes(data)


@pytest.mark.parametrize("at", [20, MIB, 2 * MIB, -1])
def test_one_good_copy_is_enough_to_open(tmp_path: Path, at: int) -> None:
    places = [tmp_path / name for name in "abc"]
    with clinic.clinic(ReplicatedBlobs([FileBlobs(place) for place in places], write_quorum=2)) as house:
        by = [house["hospital"], house["owner"]]
        record = house.access.add([Part(LARGE), Part(b"short")], house.bind(), by=by)
        request = house.decided(record)
        payload = _payload(house, record)
        rot(places[:2], record.object, payload, at)
        opened = house.access.open(request, by=house["dr_lee"])
        assert opened.parts[0].data == LARGE
        assert opened.parts[0].read(2 * MIB - 5, 2 * MIB + 5) == LARGE[2 * MIB - 5 : 2 * MIB + 5]
        assert opened.parts[1].data == b"short"
        for place in places:
            assert FileBlobs(place).check(record.object, payload)  # and the others are good again
        rot(places[:1], record.object, payload, at)  # after opening, before reading
        assert opened.raw == LARGE + b"short"
        rot(places[:1], record.object, payload, at)
        kit = house.access.release(request, to=house.party("dr_lee"), since=None)
        assert kit.open(house["dr_lee"], trust=house.chain.trust).raw == LARGE + b"short"
        rot(places, record.object, payload, at)
        with pytest.raises(SealingError, match="altered"):
            house.access.open(request, by=house["dr_lee"]).raw  # noqa: B018
        with pytest.raises(BlobDamaged):
            house.access.release(request, to=house.party("dr_lee"), since=None)


# Approvals that belong elsewhere.


def share_for(house: Clinic, request: mc.Request) -> bytes:
    """dr_wu's re-sealed share for a request, as it lies in the blob stores."""
    row = house.chain.table(AccessContract.approvals)[request.id, house.party("dr_wu").id]
    record = house.chain.table(AccessContract.records)[request.record]
    return house.chain.blobs.get(record.object, row.share, limit=1 << 20)


POLICY = """
    treatment for TREAT, COC: owner and dr_wu
    recovery lost for PATRQT: guardian and dr_wu, wait 7 days, objection by owner
"""


@pytest.mark.parametrize("elsewhere", ["request", "asker", "purpose", "parts", "record"])
def test_a_share_for_something_else_convicts_its_sender(house: Clinic, elsewhere: str) -> None:
    record = house.add(POLICY)
    changes: dict[str, Any] = {
        "request": {},
        "asker": {"by": "stranger"},
        "purpose": {"purpose": "COC"},
        "parts": {"parts": (1,)},
        "record": {},
    }
    source = house.ask(house.add(POLICY) if elsewhere == "record" else record, **changes[elsewhere])
    house.approve(source, "dr_wu")
    replayed = share_for(house, source)
    request = house.ask(record)
    house.approve(request, "owner")
    row = house.chain.table(AccessContract.records)[record.id]
    share = house.chain.blobs.put(row.object, replayed)
    house.chain.send(AccessContract, Approve(request.id, row.policy, None, share), by=[house["dr_wu"]])
    with pytest.raises(SealingError, match="dr_wu") as error:
        house.access.open(request, by=house["dr_lee"])
    assert error.value.culprit == house.party("dr_wu").id
    verdict = check_evidence(bytes(error.value.evidence))
    assert (verdict.approver, verdict.share) == (house.party("dr_wu").id, share)


def test_an_approval_is_not_replayed(house: Clinic) -> None:
    record = house.add()
    first, second = house.ask(record), house.ask(record)
    house.approve(first, "owner")
    signed = _approval_of(house, first)
    receipt = house.chain.submit(signed).result()
    size = house.chain.head.size
    assert house.chain.submit(signed).result() == receipt
    assert house.chain.head.size == size
    fields = {**signed.body.message[1], "request": second.id}
    for seq, code in ((signed.body.seq, "replayed"), (signed.body.seq + 1, "bad-signature")):
        moved = evolve(signed.body, seq=seq, message=[signed.body.message[0], fields])
        with pytest.raises(InvalidTransaction, match=code):
            house.chain.submit(Transaction.build(moved, signed.signatures)).result()
    assert house.access.status(second).approved_by == ()


def _approval_of(house: Clinic, request: mc.Request) -> Transaction:
    """The transaction with which a request was approved."""
    transactions = (Transaction.from_bytes(entry.content) for _, entry in house.chain.entries())
    return next(
        each
        for each in transactions
        if each.body.message_name == "approve" and each.body.message[1]["request"] == request.id
    )


def test_each_flipped_byte_of_an_approval_is_refused(house: Clinic) -> None:
    request = house.ask(house.add())
    policy = house.access.record(request.record).policy.hash
    body = house.chain.prepare(
        AccessContract, Approve(request.id, policy, None, bytes(32)), [house.party("owner")]
    )
    good = bytes(Signed.start(body).sign(house["owner"]).transaction)
    size = house.chain.head.size
    for at in range(len(good)):
        altered = good[:at] + bytes([good[at] ^ (1 << at % 8)]) + good[at + 1 :]
        with pytest.raises((EncodingError, InvalidTransaction)):
            house.chain.submit(Transaction.from_bytes(altered)).result()
    assert house.chain.head.size == size
    assert house.chain.submit(Transaction.from_bytes(good)).result().ok


def test_nobody_approves_in_the_name_of_another(house: Clinic) -> None:
    request = house.ask(house.add())
    policy = house.access.record(request.record).policy.hash
    message = Approve(request.id, policy, None, hashlib.sha256(b"").digest())
    body = house.chain.prepare(AccessContract, message, [house.party("owner")])
    for forger in ("stranger", "dr_wu", "hospital"):
        forged = Transaction.build(body, [house[forger].sign(body.signed_bytes)])
        with pytest.raises(InvalidTransaction, match="bad-signature"):
            house.chain.submit(forged).result()
    with pytest.raises(ValueError, match="not a signer"):
        Signed.start(body).sign(house["stranger"])
    assert house.access.status(request).approved_by == ()


# What a server can show.


def test_a_server_cannot_put_another_askers_key_in(house: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    record = house.add()
    meant, other = house.ask(record), house.ask(record, by="stranger")
    prove = house.chain.prove
    monkeypatch.setattr(house.chain, "prove", lambda what, **options: prove(other.entry, **options))
    with pytest.raises(VerificationError, match="another request"):
        house.approve(meant, "owner")
    monkeypatch.undo()
    assert house.access.status(meant).approved_by == ()


def test_a_server_cannot_make_up_a_chain(house: Clinic) -> None:
    with clinic.clinic() as fake:
        request = house.ask(house.add())
        access = mc.Access(house.chain, trust=fake.chain.trust, clock=house.clock)
        with pytest.raises(VerificationError):
            access.approve(request, by=house["owner"])


def test_a_request_that_its_asker_has_not_signed_is_not_answered(
    house: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even the log's own key cannot ask in somebody's name: the signature in the entry is checked again."""
    request = house.ask(house.add())
    real = ProvedRequest

    def forged(*arguments: Any, **named: Any) -> ProvedRequest:
        made = real(*arguments, **named)
        signatures = (house["stranger"].sign(made.transaction.signed_bytes),)
        return evolve(made, transaction=Transaction.build(made.transaction.body, signatures))

    monkeypatch.setattr("medchain.access.proved.ProvedRequest", forged)
    with pytest.raises(VerificationError):
        house.approve(request, "owner")


def test_a_request_for_parts_that_there_are_not_is_not_approved(house: Clinic) -> None:
    request = house.ask(house.add(), parts=(1, len(PARTS) + 1))
    with pytest.raises(SealingError, match="parts that there are not"):
        house.approve(request, "owner")


def test_stored_data_without_keys_opens_nothing(house: Clinic) -> None:
    """A thief has the chain, all blobs, all re-sealed shares, and wallets that the policy does not name."""
    request = house.decided()
    proved, row = house.access._proved(request.id)
    bundle = house.access.bundle(row)
    binding = bind_request(house.chain.id, proved.id, proved.message, bundle)
    approvals = house.chain.table(AccessContract.approvals)
    shares = {
        house.party(name).id: house.access._blob(row, approvals[request.id, house.party(name).id].share)
        for name in ("owner", "dr_wu")
    }
    for name in ("stranger", "hospital", "auditor"):
        key = house[name].request_key(proved.message.nonce)
        with pytest.raises(SealingError):
            collect(bundle, binding, shares, key.decrypt)


def test_a_quorum_without_the_gate_opens_nothing(house: Clinic) -> None:
    request = house.decided()
    proved, row = house.access._proved(request.id)
    bundle = house.access.bundle(row)
    key = house["dr_lee"].request_key(proved.message.nonce)
    approvals = house.chain.table(AccessContract.approvals)
    shares = {
        house.party(name).id: house.access._blob(row, approvals[request.id, house.party(name).id].share)
        for name in ("owner", "dr_wu")
    }
    binding = bind_request(house.chain.id, proved.id, proved.message, bundle)
    with pytest.raises(Pending) as waiting:
        collect(bundle, binding, shares, key.decrypt)
    assert waiting.value.waiting_for == (house.party("keeper").id,)


def test_a_malformed_message_is_no_crash(house: Clinic) -> None:
    record = house.add()
    good = house.chain.prepare(
        AccessContract,
        RequestAccess(record.id, bytes(32), "treatment", "TREAT", None, bytes(32), bytes(1216), 1),
        [house.party("dr_lee")],
    )
    fields = good.message[1]
    for name in fields:
        for wrong in (None, -1, [], {}, "x", b"", True):
            broken = evolve(good, message=[good.message[0], {**fields, name: wrong}])
            transaction = Signed.start(broken).sign(house["dr_lee"])
            with pytest.raises(MedchainError):
                house.chain.submit(transaction).result()
            good = evolve(good, seq=good.seq + 1)
