"""Activation of contract versions: by enough authorities, upwards, and only of what this node has."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from ledger.counting import Add, Counting, Other
from ledger.world import Clock, World, wallet

from medchain._writer import Writer
from medchain.errors import InvalidTransaction
from medchain.keys.wallet import Wallet
from medchain.ledger.archive import Archive
from medchain.ledger.contract import Context, Contract, handles
from medchain.ledger.draft import Signed
from medchain.ledger.entry import Genesis
from medchain.ledger.governance import Activate, Governance
from medchain.ledger.transition import Receipt, Registry, found
from medchain.ledger.versions import stored_nodes
from medchain.storage.memory import MemoryStore


class Counting2(Counting):
    """The next version, which counts double."""

    name = "counting"
    version = 2

    @handles(Add)
    def add(self, context: Context, message: Add) -> None:
        self._count(context, context.signers[0], 2 * message.amount)


class Newcomer(Contract):
    """A contract that the chain did not begin with."""

    name = "newcomer"

    @handles(Add)
    def add(self, context: Context, message: Add) -> None:
        """Accept."""


def make(*more: type[Contract]) -> World:
    """A chain founded with `Counting` and `Other` on a node that has more contracts by now."""
    world = World.make()
    world.chain._registry = world.chain._writer._registry = Registry([Counting, Other, *more])  # type: ignore[union-attr]
    return world


def activate(world: World, contract: type[Contract], *by: Wallet, **changes: Any) -> Receipt:
    message = evolve(Activate(contract.name, contract.version, contract.digest()), **changes)
    body = world.body(message, *(by or (world.authority,)), of=Governance)
    return world.chain.submit(Signed.start(body).sign(*(by or (world.authority,)))).receipt(10)


def test_a_newer_version_holds_from_the_next_block() -> None:
    world = make(Counting2)
    assert world.send(Add(1), world.authority).ok
    receipt = activate(world, Counting2)
    assert receipt.ok
    assert "counting/2" in world.chain.header(receipt.height).contracts
    assert "counting/1" not in world.chain.header(receipt.height).contracts
    with pytest.raises(InvalidTransaction, match="unknown-message"):
        world.send(Add(1), world.authority)
    world.chain.send(Counting2, Add(1), by=[world.authority])
    assert world.chain.table(Counting.totals)[world.authority.party.id].total == 3
    assert activate(world, Counting).code == "older-version"
    assert activate(world, Counting2).code == "older-version"
    world.chain.audit()


def test_within_one_block_the_old_version_goes_on() -> None:
    world = make(Counting2)
    message = Activate("counting", 2, Counting2.digest())
    with world.chain._writer.begin() as builder:  # type: ignore[union-attr]
        builder.add(world.sign(world.body(message, world.authority, of=Governance), world.authority))
        assert builder.add(world.sign(world.body(Add(1), world.authority), world.authority)).ok
        block = builder.close()
    world.chain._writer.commit(block)  # type: ignore[union-attr]
    assert "counting/2" in world.chain.header().contracts
    world.chain.audit()


def test_a_new_contract() -> None:
    world = make(Newcomer)
    assert activate(world, Newcomer).ok
    assert world.chain.send(Newcomer, Add(1), by=[world.authority]).ok


def test_what_is_not_installed_is_left_out() -> None:
    world = make()
    for changes in ({}, {"digest": bytes(32)}, {"version": 7}):
        with pytest.raises(InvalidTransaction, match="not installed") as caught:
            activate(world, Counting2, **changes)
        assert caught.value.reason == "internal"


def test_by_authorities_only() -> None:
    world = make(Counting2)
    ann = world.register("ann")
    assert activate(world, Counting2, ann).code == "not-enough-authorities"
    assert activate(world, Counting2, ann, world.authority).ok


def test_a_threshold_of_two() -> None:
    first, second = wallet("first"), wallet("second")
    registry = Registry([Counting, Counting2])
    genesis = Genesis(
        origin="two.example",
        nonce=bytes(32),
        time=1,
        log_key=first.log_key(bytes(32)).public,
        authorities=(first.party, second.party),
        threshold=2,
        gate=(),
        gate_threshold=0,
        parameters={},
        contracts={
            f"{contract.name}/{contract.version}": contract.digest()
            for contract in (Counting, Governance, *registry.classes.values())
            if contract is not Counting2
        },
        predecessor=None,
    )
    archive = Archive(MemoryStore())
    block = found(registry, genesis, stored_nodes(archive.store))
    archive.commit(block)
    writer = Writer(
        archive, registry, genesis, block.tip, log_key=first.log_key(bytes(32)), mark=None, clock=Clock()
    )
    message = Activate("counting", 2, Counting2.digest())
    from medchain.ledger.draft import signer_ref
    from medchain.ledger.transaction import Body
    from medchain.records import to_value

    for signers, code in (((first,), "not-enough-authorities"), ((first, second), "ok")):
        body = Body(
            genesis.id,
            tuple(signer_ref(each.party) for each in signers),
            writer.reserve(first.party),
            None,
            "governance",
            1,
            ["activate", to_value(message)],
        )
        assert writer.submit(Signed.start(body).sign(*signers).transaction).receipt(10).code == code
    writer.close()
