"""A chain with three authorities of whom two decide, and short ways to propose, approve and look."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from attrs import define
from ledger.counting import Add, Counting, Other
from ledger.world import Clock, World, wallet

from medchain.chain import Chain
from medchain.keys.party import Party
from medchain.keys.wallet import Wallet
from medchain.ledger.contract import Contract
from medchain.ledger.draft import Signed
from medchain.ledger.entry import Entry, Kind
from medchain.ledger.governance import AddAuthority, Approve, Governance, ProposalRow, SetParameter, Withdraw
from medchain.ledger.keys import Keys, Register
from medchain.ledger.registry import Registry
from medchain.ledger.transition import Receipt
from medchain.policy import GateSet
from medchain.testing import wallets


@define
class Council(World):
    """`anna`, `berta` and `clara` govern; two of them decide."""

    @property
    def anna(self) -> Wallet:
        return self.authority

    @property
    def berta(self) -> Wallet:
        return wallet("berta")

    @property
    def clara(self) -> Wallet:
        return wallet("clara")

    def govern(self, message: Any, *by: Wallet) -> Receipt:
        """The receipt of a governance message, whatever the contract says."""
        body = self.body(message, *by, of=Governance)
        return self.chain.submit(Signed.start(body).sign(*by)).receipt(10)

    def decide(self, message: Any) -> Receipt:
        """The receipt of a decision of anna and berta, which must go through."""
        receipt = self.govern(message, self.anna, self.berta)
        assert receipt.ok, receipt.code
        return receipt

    def propose(self, message: Any, *by: Wallet) -> bytes:
        """The id of a new proposal, by anna unless others are named."""
        receipt = self.govern(message, *(by or (self.anna,)))
        assert names(receipt) == ["proposed"], receipt.code
        return receipt.id

    def approve(self, proposal: bytes, *by: Wallet) -> Receipt:
        return self.govern(Approve(proposal), *by)

    def withdraw(self, proposal: bytes, *by: Wallet) -> Receipt:
        return self.govern(Withdraw(proposal), *by)

    @property
    def authorities(self) -> set[bytes]:
        return set(self.chain.table(Governance.authorities))

    @property
    def proposals(self) -> dict[bytes, ProposalRow]:
        return dict(self.chain.table(Governance.proposals).items())

    @property
    def approvals(self) -> set[tuple[bytes, bytes]]:
        return set(self.chain.table(Governance.approvals))

    def parameter(self, name: str) -> int | None:
        row = self.chain.table(Governance.parameters).get(name)
        return None if row is None else row.value


@contextmanager
def council(
    contracts: Sequence[type[Contract]] = (Counting, Other), gate: Party | GateSet | None = None
) -> Iterator[Council]:
    """A new chain, audited at the end."""
    authority, clock = wallet("authority"), Clock()
    with Chain.in_memory(authority=authority, contracts=contracts, gate=gate, clock=clock) as chain:
        made = Council(chain, clock, authority)
        for new in (made.berta, made.clara):
            chain.send(
                Keys, Register("person", new.party.signing_key, new.party.recipient_key), by=[authority, new]
            )
            assert made.govern(AddAuthority(new.party.id), authority).ok
        assert made.govern(SetParameter("authority_threshold", 2), authority).ok
        yield made
        chain.audit()


def names(receipt: Receipt) -> list[str]:
    """The names of the events of an accepted transaction."""
    return [event.name for event in receipt.events]


def strangers(count: int) -> tuple[Wallet, ...]:
    return wallets(*(f"stranger {number}" for number in range(count)))


def install(world: World, *contracts: type[Contract]) -> None:
    """Let the node of a chain have other contracts from here on."""
    assert world.chain._writer is not None
    world.chain._registry = world.chain._writer._registry = Registry(contracts)


def timers(world: World) -> list[Entry]:
    """The timers that have run, whether a block was cut for them or one came along; one more block is made first."""
    world.send(Add(1), world.authority)
    return [entry for _, entry in world.chain.entries() if entry.kind is Kind.TIMER]


def last_timer(world: World) -> Entry:
    """The last one of them."""
    return timers(world)[-1]
