"""Who may register, rotate and revoke whose keys, and what those keys then may sign."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from ledger.counting import Add, Counting
from ledger.world import START, World, wallet

from medchain.errors import InvalidTransaction
from medchain.keys.party import Party
from medchain.keys.wallet import Wallet
from medchain.ledger.draft import Signed
from medchain.ledger.keys import Keys, Register, Revoke, Rotate, SigningRow
from medchain.ledger.transition import Receipt


def register(new: Wallet, kind: str = "person") -> Register:
    return Register(kind, new.party.signing_key, new.party.recipient_key)


def send(world: World, message: Any, *by: Wallet) -> Receipt:
    body = world.body(message, *by, of=Keys)
    return world.chain.submit(Signed.start(body).sign(*by)).receipt(10)


def left_out(world: World, message: Any, *by: Wallet) -> str:
    size = world.chain.head.size
    with pytest.raises(InvalidTransaction) as caught:
        send(world, message, *by)
    assert world.chain.head.size == size
    return caught.value.reason


class Rotated(Wallet):
    """A wallet whose party keeps its id over a rotation."""


def rotated(old: Wallet, name: str) -> Wallet:
    """A wallet with other keys that speaks for the party of `old`."""
    new = wallet(name)

    class Renewed:
        party = Party(new.party.signing_key, new.party.recipient_key, old.party.id)
        sign = staticmethod(new.sign)

    return Renewed()  # type: ignore[return-value]


class TestRegistration:
    def test_a_person(self, world: World) -> None:
        ann = wallet("ann")
        assert world.chain.party(ann.party.id) is None
        receipt = send(world, register(ann), world.authority, ann)
        assert receipt.ok
        assert world.chain.party(ann.party.id) == ann.party
        row = world.chain.table(Keys.parties)[ann.party.id]
        assert (row.kind, row.sponsor, row.since) == ("person", world.authority.party.id, START)
        assert world.send(Add(1), ann).ok
        assert send(world, register(ann), world.authority, ann).code == "already-registered"

    def test_an_organisation_sponsors(self, world: World) -> None:
        clinic = world.register("clinic", "organisation")
        assert world.register("ann", sponsor=clinic)

    @pytest.mark.parametrize("kind", ["person", "pseudonym"])
    def test_others_do_not(self, world: World, kind: str) -> None:
        ann, bob = world.register("ann", kind), wallet("bob")
        assert send(world, register(bob), ann, bob).code == "not-a-sponsor"

    @pytest.mark.parametrize("kind", ["authority", "gate", "king"])
    def test_kinds_that_nobody_gives(self, world: World, kind: str) -> None:
        ann = wallet("ann")
        assert send(world, register(ann, kind), world.authority, ann).code == "unknown-kind"

    def test_strangers_leave_nothing_behind(self, world: World) -> None:
        ann, bob = wallet("ann"), wallet("bob")
        assert left_out(world, register(ann), ann) == "unknown-signer"
        assert left_out(world, register(ann), ann, bob) == "unknown-signer"
        assert left_out(world, register(bob), ann, bob) == "unknown-signer"
        assert left_out(world, register(ann), ann, world.authority) == "unknown-signer"

    def test_the_newcomer_signs_with_its_own_key(self, world: World) -> None:
        ann, bob = wallet("ann"), wallet("bob")
        body = world.body(register(ann), world.authority, ann, of=Keys)
        with pytest.raises(InvalidTransaction, match="bad-signature"):
            world.chain.submit(world.sign(body, world.authority, bob)).result(10)
        assert left_out(world, register(bob), world.authority, ann) == "unknown-signer"
        mixed = Register("person", ann.party.signing_key, bob.party.recipient_key)
        assert left_out(world, mixed, world.authority, ann) == "unknown-signer"

    def test_number_of_signers(self, world: World) -> None:
        ann, bob = wallet("ann"), world.register("bob")
        assert send(world, register(ann), world.authority).code == "wrong-signers"
        assert send(world, register(ann), world.authority, ann, bob).code == "wrong-signers"
        assert send(world, register(ann), world.authority, bob).code == "wrong-signers"

    def test_keys_that_are_none(self, world: World) -> None:
        bob = world.register("bob")
        message = Register("person", bytes(32), bob.party.recipient_key)
        assert send(world, message, world.authority, bob).code == "bad-key"


class TestRotation:
    def test_the_old_key_signs_nothing_afterwards(self, world: World) -> None:
        ann = world.register("ann")
        new = rotated(ann, "new ann")
        world.clock.now += 5
        message = Rotate(new.party.signing_key, new.party.recipient_key)
        assert send(world, message, ann, new).ok
        assert world.chain.party(ann.party.id) == new.party
        with pytest.raises(InvalidTransaction, match="unknown-signer"):
            world.send(Add(1), ann)
        assert world.send(Add(1), new).ok
        rows = world.chain.table(Keys.signing)
        assert rows[ann.party.id, ann.party.key_id] == SigningRow(ann.party.signing_key, START, START + 5)
        assert rows[ann.party.id, new.party.key_id] == SigningRow(new.party.signing_key, START + 5, None)
        back = Rotate(ann.party.signing_key, ann.party.recipient_key)
        assert left_out(world, back, new, ann) == "unknown-signer"

    def test_both_keys_must_be_new(self, world: World) -> None:
        ann, other = world.register("ann"), wallet("other")
        half = rotated(ann, "other")
        message = Rotate(other.party.signing_key, ann.party.recipient_key)
        body = world.body(message, ann, half, of=Keys)
        assert world.chain.submit(world.sign(body, ann, half)).receipt(10).code == "already-registered"

    def test_old_and_new_key_sign_in_that_order(self, world: World) -> None:
        ann = world.register("ann")
        new = rotated(ann, "new ann")
        message = Rotate(new.party.signing_key, new.party.recipient_key)
        assert left_out(world, message, new, ann) == "unknown-signer"
        assert left_out(world, message, new) == "unknown-signer"
        assert send(world, message, ann).code == "wrong-signers"
        body = world.body(message, ann, new, of=Keys)
        with pytest.raises(InvalidTransaction, match="bad-signature"):
            world.chain.submit(world.sign(body, ann, ann)).result(10)

    def test_nobody_rotates_another(self, world: World) -> None:
        ann, bob = world.register("ann"), world.register("bob")
        new = rotated(ann, "new ann")
        message = Rotate(new.party.signing_key, new.party.recipient_key)
        assert left_out(world, message, bob, new) == "unknown-signer"
        assert left_out(world, message, world.authority, new) == "unknown-signer"

    def test_the_new_key_signs_nothing_else_yet(self, world: World) -> None:
        ann = world.register("ann")
        new = rotated(ann, "new ann")
        body = evolve(world.body(Add(1), ann, new), contract=Counting.name)
        with pytest.raises(InvalidTransaction, match="unknown-signer"):
            world.chain.submit(world.sign(body, ann, new)).result(10)


class TestRevocation:
    def test_by_oneself_and_by_the_sponsor(self, world: World) -> None:
        clinic = world.register("clinic", "organisation")
        for name, by_sponsor in (("ann", False), ("bob", True)):
            person = world.register(name, sponsor=clinic)
            world.clock.now += 1
            assert send(world, Revoke(person.party.id), clinic if by_sponsor else person).ok
            assert world.chain.party(person.party.id) is None
            row = world.chain.table(Keys.signing)[person.party.id, person.party.key_id]
            assert row.until == world.clock.now
            with pytest.raises(InvalidTransaction, match="unknown-signer"):
                world.send(Add(1), person)
            assert send(world, Revoke(person.party.id), clinic).code == "unknown-party"
            assert send(world, register(person), clinic, world.authority).code == "wrong-signers"

    def test_by_nobody_else(self, world: World) -> None:
        clinic, ann = world.register("clinic", "organisation"), world.register("ann")
        assert send(world, Revoke(ann.party.id), clinic).code == "not-yours"
        assert send(world, Revoke(bytes(32)), clinic).code == "unknown-party"

    def test_the_revoked_do_not_come_back(self, world: World) -> None:
        ann = world.register("ann")
        send(world, Revoke(ann.party.id), ann)
        assert left_out(world, register(ann), world.authority, ann) == "unknown-signer"
        new = rotated(ann, "new ann")
        assert (
            left_out(world, Rotate(new.party.signing_key, new.party.recipient_key), ann, new)
            == "unknown-signer"
        )
