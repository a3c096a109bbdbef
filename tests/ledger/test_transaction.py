"""Transactions: one form on the wire, and only what is signed as it says enters a block."""

from __future__ import annotations

import contextlib
import hashlib
from typing import Any

import pytest
from attrs import evolve
from ledger.counting import Add, Counting, Put
from ledger.world import World, wallet

from medchain._numbering import HOLD_MS
from medchain.encoding import decode, encode
from medchain.errors import EncodingError, InvalidTransaction, MedchainError, TooManyDrafts
from medchain.keys.wallet import Wallet
from medchain.ledger.draft import Attachment, Signed
from medchain.ledger.entry import Entry, Genesis, Header, Predecessor, parse_leaf
from medchain.ledger.system import WINDOW
from medchain.ledger.transaction import SIGNERS_LIMIT, TRANSACTION_LIMIT, Body, SignerRef, Transaction
from medchain.records import decode_record, encode_record


def refused(world: World, transaction: Transaction | bytes) -> str:
    size = world.chain.head.size
    with pytest.raises(InvalidTransaction) as caught:
        world.chain.submit(transaction).receipt(10)
    assert world.chain.head.size == size, "it was logged"
    return caught.value.reason


class TestWire:
    def test_round_trip(self, world: World) -> None:
        body = world.body(Add(1), world.authority)
        transaction = world.sign(body, world.authority)
        read = Transaction.from_bytes(bytes(transaction))
        assert read == transaction
        assert read.body == body == Body.from_bytes(bytes(body))
        assert read.id == body.id
        assert {read: 1}[transaction] == 1

    def test_every_flipped_byte(self, world: World) -> None:
        good = bytes(world.sign(world.body(Add(1), world.authority), world.authority))
        for at in range(len(good)):
            for flip in (0x01, 0x20, 0x80):
                bad = bytearray(good)
                bad[at] ^= flip
                assert refused(world, bytes(bad))
        assert world.chain.submit(good).result(10).ok

    @pytest.mark.parametrize(
        "signers",
        [
            (),
            (SignerRef(bytes(32), bytes(16)),) * 2,
            tuple(SignerRef(bytes(32), bytes([at] * 16)) for at in range(SIGNERS_LIMIT + 1)),
        ],
    )
    def test_signers(self, signers: tuple[SignerRef, ...]) -> None:
        with pytest.raises(ValueError):
            Body(bytes(32), signers, 1, None, "c", 1, ["m", None])

    @pytest.mark.parametrize("seq", [0, -1, 1 << 62])
    def test_seq(self, seq: int) -> None:
        with pytest.raises(ValueError, match="seq"):
            Body(bytes(32), (SignerRef(bytes(32), bytes(16)),), seq, None, "c", 1, ["m", None])

    @pytest.mark.parametrize("message", [None, [], ["m"], [b"m", None], ["m", None, None], {"m": 1}])
    def test_message(self, message: Any) -> None:
        with pytest.raises(ValueError, match="message"):
            Body(bytes(32), (SignerRef(bytes(32), bytes(16)),), 1, None, "c", 1, message)

    def test_too_large(self) -> None:
        with pytest.raises(InvalidTransaction) as caught:
            Transaction.from_bytes(bytes(TRANSACTION_LIMIT + 1))
        assert caught.value.reason == "too-large"

    def test_signatures_are_counted(self, world: World) -> None:
        body = world.body(Add(1), world.authority)
        signature = world.authority.sign(body.signed_bytes)
        with pytest.raises(ValueError):
            Transaction.build(body, [])
        for signatures in ([], [signature, signature], [signature[:-1]]):
            with pytest.raises(InvalidTransaction) as caught:
                Transaction.from_bytes(encode({"body": bytes(body), "signatures": list(signatures)}))
            assert caught.value.reason == "malformed"


class TestAdmission:
    def test_another_chain(self, world: World) -> None:
        body = evolve(world.body(Add(1), world.authority), chain=bytes(32))
        assert refused(world, world.sign(body, world.authority)) == "another-chain"

    @pytest.mark.parametrize(
        "changes",
        [{"contract": "nobody"}, {"version": 2}, {"message": ["nothing", {}]}, {"contract": "ledger"}],
    )
    def test_unknown_message(self, world: World, changes: dict[str, Any]) -> None:
        body = evolve(world.body(Add(1), world.authority), **changes)
        assert refused(world, world.sign(body, world.authority)) == "unknown-message"

    @pytest.mark.parametrize(
        "fields", [None, {}, {"amount": True, "concerns": []}, {"amount": 1, "concerns": [], "x": 1}]
    )
    def test_malformed_fields(self, world: World, fields: Any) -> None:
        body = evolve(world.body(Add(1), world.authority), message=["add", fields])
        assert refused(world, world.sign(body, world.authority)) == "malformed"

    def test_expired(self, world: World) -> None:
        now = world.clock.now
        world.clock.now += 1
        body = evolve(world.body(Add(1), world.authority), not_after=now)
        assert refused(world, world.sign(body, world.authority)) == "expired"
        body = evolve(world.body(Add(1), world.authority), not_after=now + 1)
        assert world.chain.submit(world.sign(body, world.authority)).result(10).ok

    def test_strangers(self, world: World) -> None:
        stranger = wallet("stranger")
        assert refused(world, world.sign(world.body(Add(1), stranger), stranger)) == "unknown-signer"

    def test_the_wrong_key(self, world: World) -> None:
        body = world.body(Add(1), world.authority)
        assert refused(world, world.sign(body, wallet("stranger"))) == "bad-signature"

    def test_order_of_signatures(self, world: World) -> None:
        ann = world.register("ann")
        body = world.body(Add(1), world.authority, ann)
        assert refused(world, world.sign(body, ann, world.authority)) == "bad-signature"

    def test_a_stripped_signature_burns_nothing(self, world: World) -> None:
        ann = world.register("ann")
        body = world.body(Add(1), world.authority, ann)
        whole = world.sign(body, world.authority, ann)
        alone = encode({"body": bytes(body), "signatures": [whole.signatures[0]]})
        assert refused(world, alone) == "malformed"
        shorter = evolve(world.body(Add(1), world.authority), seq=body.seq)
        forged = encode({"body": bytes(shorter), "signatures": [whole.signatures[0]]})
        assert refused(world, forged) == "bad-signature"
        assert world.chain.submit(whole).result(10).ok

    def test_the_same_bytes_give_the_first_receipt(self, world: World) -> None:
        accepted = world.sign(world.body(Add(1), world.authority), world.authority)
        denied = world.sign(world.body(Add(-1), world.authority), world.authority)
        for transaction in (accepted, denied):
            first = world.chain.submit(transaction).receipt(10)
            world.chain.send(Counting, Add(1), by=[world.authority])
            assert world.chain.submit(transaction).receipt(10) == first
            assert world.chain.submit(bytes(transaction)).receipt(10) == first

    def test_other_signatures_under_a_known_id_are_a_replay(self, world: World) -> None:
        body = world.body(Add(1), world.authority)
        world.chain.submit(world.sign(body, world.authority)).result(10)
        assert refused(world, Transaction.build(body, [bytes(64)])) == "replayed"

    def test_a_used_number(self, world: World) -> None:
        first = world.body(Add(1), world.authority)
        second = evolve(world.body(Add(2), world.authority), seq=first.seq)
        world.chain.submit(world.sign(first, world.authority)).result(10)
        assert refused(world, world.sign(second, world.authority)) == "replayed"

    def test_sending_takes_a_fresh_number_after_a_collision(self, world: World) -> None:
        draft = world.body(Add(1), world.authority)
        elsewhere = evolve(draft, seq=draft.seq + 1)  # the number that the next draft would have
        assert world.chain.submit(world.sign(elsewhere, world.authority)).result(10).ok
        assert world.chain.send(Counting, Add(1), by=[world.authority]).ok

    def test_abandoned_drafts_lock_nobody_out_for_longer_than_an_hour(self, world: World) -> None:
        for _ in range(WINDOW):
            world.chain.prepare(Counting, Add(1), [world.authority.party])
        with pytest.raises(TooManyDrafts):
            world.chain.prepare(Counting, Add(1), [world.authority.party])
        world.clock.now += HOLD_MS
        assert world.chain.send(Counting, Add(1), by=[world.authority]).ok


class TestSigned:
    def test_collects_signatures(self, world: World) -> None:
        ann = world.register("ann")
        note = Put(bytes(32).hex(), hashlib.sha256(b"data").hexdigest())
        body = world.body(note, world.authority, ann)
        signed = Signed.start(body, (Attachment(bytes(32), b"data"),))
        assert [ref.party for ref in signed.missing] == [world.authority.party.id, ann.party.id]
        with pytest.raises(InvalidTransaction, match="unsigned"):
            world.chain.submit(signed)
        half = signed.sign(ann)
        assert [ref.party for ref in half.missing] == [world.authority.party.id]
        read = Signed.from_bytes(bytes(half))
        assert read == half
        whole = read.sign(world.authority)
        assert not whole.missing
        assert world.chain.submit(whole).result(10).ok
        assert world.chain.blobs.list(bytes(32))

    def test_only_what_a_valid_message_names_is_stored(self, world: World) -> None:
        ann, thing = world.register("ann"), bytes([7] * 32)
        body = world.body(Put(thing.hex(), hashlib.sha256(b"data").hexdigest()), ann)
        good = Signed.start(body, (Attachment(thing, b"data"),)).sign(ann)
        stranger = evolve(good, signatures=(wallet("stranger").sign(body.signed_bytes),))
        elsewhere = Signed.start(evolve(body, chain=bytes(32)), good.attachments).sign(ann)
        unnamed = Signed.start(world.body(Add(1), ann), good.attachments).sign(ann)
        other_data = evolve(good, attachments=(*good.attachments, Attachment(thing, b"more")))
        other_object = evolve(good, attachments=(Attachment(bytes(32), b"data"),))
        for signed, reason in (
            (stranger, "bad-signature"),
            (elsewhere, "another-chain"),
            (unnamed, "foreign-attachment"),
            (other_data, "foreign-attachment"),
            (other_object, "foreign-attachment"),
        ):
            with pytest.raises(InvalidTransaction) as caught:
                world.chain.submit(signed)
            assert caught.value.reason == reason
            assert not list(world.chain.blobs.objects()), "it was stored"
        receipt = world.chain.submit(good).result(10)
        assert world.chain.blobs.list(thing) == [hashlib.sha256(b"data").digest()]
        assert world.chain.submit(good).result(10) == receipt

    def test_only_transactions_are_submitted(self, world: World) -> None:
        for thing in ("text", None, 7, world.body(Add(1), world.authority)):
            with pytest.raises(TypeError, match="are submitted, not"):
                world.chain.submit(thing)  # type: ignore[arg-type]

    def test_strangers_cannot_sign(self, world: World) -> None:
        with pytest.raises(ValueError, match="not a signer"):
            Signed.start(world.body(Add(1), world.authority)).sign(wallet("stranger"))

    @pytest.mark.parametrize("signatures", [[], [None, None], [bytes(63)], [7]])
    def test_malformed(self, world: World, signatures: list[Any]) -> None:
        plain: Any = decode(bytes(Signed.start(world.body(Add(1), world.authority))))
        with pytest.raises(EncodingError):
            Signed.from_bytes(encode({**plain, "signatures": signatures}))
        with pytest.raises(EncodingError):
            Signed.from_bytes(encode({**plain, "body": b"no body"}))


class TestPreparing:
    def test_callers_mistakes(self, world: World) -> None:
        with pytest.raises(ValueError, match="at least one signer"):
            world.chain.prepare(Counting, Add(1), [])
        with pytest.raises(TypeError, match="handles no"):
            world.chain.prepare(Counting, object(), [world.authority.party])
        with pytest.raises(TypeError, match="expected int"):
            world.chain.prepare(Counting, Add("1"), [world.authority.party])  # type: ignore[arg-type]


def test_leaves_come_back(world: World) -> None:
    world.send(Add(1, (bytes(32),)), world.authority)
    for index in range(world.chain.head.size):
        leaf = world.chain._archive.leaf(index)
        read = parse_leaf(leaf)
        assert isinstance(read, Entry | Header)
        assert read.leaf == leaf
        for at in range(len(leaf)):
            bad = bytearray(leaf)
            bad[at] ^= 0x41
            with contextlib.suppress(MedchainError):
                assert parse_leaf(bytes(bad)) != read
    for bad_leaf in (b"", b"\4" + leaf[1:], b"\0", bytes(60_001)):
        with pytest.raises(EncodingError):
            parse_leaf(bad_leaf)
    below = leaf[:1] + encode(decode(leaf[1:]) | {"height": -1})
    with pytest.raises(EncodingError, match="no height"):
        parse_leaf(below)


def test_the_genesis_document(world: World) -> None:
    genesis = world.chain.genesis
    assert decode_record(Genesis, encode_record(genesis)) == genesis
    party = world.authority.party
    altered: tuple[dict[str, Any], ...] = (
        {"origin": ""},
        {"origin": "a b"},
        {"origin": "a+b"},
        {"origin": "a\u2003b"},
        {"origin": "a\x7f"},
        {"origin": "é" * 128},
        {"nonce": b""},
        {"time": -1},
        {"time": 1 << 53},
        {"authorities": ()},
        {"authorities": (party, party), "threshold": 2},
        {"threshold": 0},
        {"threshold": 2},
        {"gate_threshold": 2},
        {"gate": (), "gate_threshold": 1},
        {"gate_threshold": 0},
        {"contracts": {"no-version": bytes(32)}},
        {"contracts": {"x/0": bytes(32)}},
        {"contracts": {"x/1": b""}},
    )
    for changes in altered:
        with pytest.raises(ValueError):
            evolve(genesis, **changes)
    with_predecessor = evolve(genesis, predecessor=Predecessor("old.example", 7, bytes(32)))
    assert decode_record(Genesis, encode_record(with_predecessor)) == with_predecessor
    assert with_predecessor.id != genesis.id
    assert with_predecessor.tag == genesis.tag


class TestSize:
    """What is logged must be readable again for ever: the limit holds for whoever builds, submits or executes."""

    @staticmethod
    def filled(world: World, size: int, *by: Wallet) -> Body:
        """A body whose transaction has exactly `size` bytes."""
        start = world.body(Put("x", "x" * 40_000), *by)
        more = size - len(bytes(world.sign(start, *by)))
        return evolve(start, message=["put", {"name": "x", "text": "x" * (40_000 + more)}])

    @pytest.mark.parametrize("signers", [1, SIGNERS_LIMIT])
    def test_up_to_the_limit_the_chain_can_be_audited(self, world: World, signers: int) -> None:
        by = [world.authority, *(world.register(f"signer {number}") for number in range(1, signers))]
        for size in (TRANSACTION_LIMIT - 1, TRANSACTION_LIMIT):
            transaction = world.sign(self.filled(world, size, *by), *by)
            assert len(bytes(transaction)) == size
            assert world.chain.submit(transaction).result(10).ok
        assert world.chain.audit().head == world.chain.head

    @pytest.mark.parametrize("signers", [1, SIGNERS_LIMIT])
    def test_one_byte_more_is_refused_everywhere(self, world: World, signers: int) -> None:
        by = [world.authority, *(world.register(f"signer {number}") for number in range(1, signers))]
        body = self.filled(world, TRANSACTION_LIMIT, *by)
        longer = evolve(body, message=["put", {"name": "x", "text": body.message[1]["text"] + "x"}])
        signatures = [each.sign(longer.signed_bytes) for each in by]
        for attempt in (lambda: Transaction.build(longer, signatures), lambda: Signed.start(longer)):
            with pytest.raises(InvalidTransaction) as caught:
                attempt()
            assert caught.value.reason == "too-large"
        raw = encode({"body": bytes(longer), "signatures": signatures})
        assert len(raw) == TRANSACTION_LIMIT + 1
        made_by_hand = Transaction(raw, longer, tuple(signatures), bytes(longer))
        assert refused(world, made_by_hand) == refused(world, raw) == "too-large"
        assert world.chain.audit().head == world.chain.head
