"""A chain in memory with a clock set by hand, its authority, and people who are registered on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import define
from ledger.counting import Counting, Other

from medchain.chain import Chain
from medchain.keys.wallet import Wallet
from medchain.ledger.contract import Contract
from medchain.ledger.draft import Signed, signer_ref
from medchain.ledger.keys import Keys, Register
from medchain.ledger.transaction import Body, Transaction
from medchain.ledger.transition import Receipt
from medchain.records import to_value
from medchain.storage.memory import MemoryStore

START = 1_800_000_000_000
CONTRACTS = (Counting, Other)


def wallet(name: str) -> Wallet:
    """The same wallet for the same name, always."""
    return Wallet.from_seed(name.encode().ljust(32, b"."))


class Clock:
    """The time now, in ms."""

    def __init__(self, now: int = START) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


@define
class World:
    """A chain and who is on it; `register` brings people in."""

    chain: Chain
    clock: Clock
    authority: Wallet

    @classmethod
    def make(cls, contracts: Sequence[type[Contract]] = CONTRACTS) -> World:
        authority, clock = wallet("authority"), Clock()
        return cls(Chain.in_memory(authority=authority, contracts=contracts, clock=clock), clock, authority)

    def register(self, name: str, kind: str = "person", sponsor: Wallet | None = None) -> Wallet:
        new = wallet(name)
        message = Register(kind, new.party.signing_key, new.party.recipient_key)
        self.chain.send(Keys, message, by=[sponsor or self.authority, new])
        return new

    def send(self, message: Any, *by: Wallet) -> Receipt:
        """The receipt, whatever the contract says."""
        body = self.chain.prepare(Counting, message, [each.party for each in by])
        return self.chain.submit(Signed.start(body).sign(*by)).receipt(10)

    def sign(self, body: Body, *by: Wallet) -> Transaction:
        """A transaction with the signatures of `by`, whether they fit or not."""
        return Transaction.build(body, [each.sign(body.signed_bytes) for each in by])

    def body(self, message: Any, *by: Wallet, of: type[Contract] = Counting) -> Body:
        """A body to be signed by `by`; `attrs.evolve` makes it say something else."""
        return self.chain.prepare(of, message, [each.party for each in by])


def content(chain: Chain) -> dict[bytes, bytes]:
    """Every key and value that a chain has stored."""
    return dict(chain._archive.store.scan())


def copy(pairs: dict[bytes, bytes]) -> MemoryStore:
    """A store that holds these pairs."""
    from medchain.storage.api import Batch

    store, batch = MemoryStore(), Batch()
    for key, value in pairs.items():
        batch.put(key, value)
    store.commit(batch)
    return store


__all__ = ["CONTRACTS", "START", "Clock", "World", "content", "copy", "signer_ref", "to_value", "wallet"]
