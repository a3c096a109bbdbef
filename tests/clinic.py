"""A small clinic for tests: a chain in memory with a clock that is set by hand, parties, a policy, a record."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from attrs import define

import medchain as mc
from medchain.access import Gate, Record, Request
from medchain.policy import BoundPolicy
from medchain.sealing import Part
from medchain.storage import BlobStore
from medchain.testing import wallets

START = 1_800_000_000_000
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000

POLICY = """
    treatment for TREAT: owner and 1 of (dr_wu, guardian), separate asker
    emergency night for ETREAT: er_desk and guardian, notify owner, review by auditor within 2 days
    recovery lost for PATRQT: guardian and dr_wu, wait 7 days, objection by owner, auditor
"""
PARTS = (Part(b"alpha", label="one"), Part(b"beta", label="two"), Part(b"gamma", label="three"))
CONTENT = b"alphabetagamma"


class Clock:
    """The time now, in ms, set by hand."""

    def __init__(self, now: int = START) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


@define
class Clinic:
    """Everything in one place; `wallet` by name, `record` and `request` made when asked for."""

    chain: mc.Chain
    clock: Clock
    gate: Gate
    access: mc.Access
    wallets: dict[str, mc.Wallet]

    def __getitem__(self, name: str) -> mc.Wallet:
        return self.wallets[name]

    def party(self, name: str) -> mc.Party:
        return self.wallets[name].party

    def bind(self, text: str = POLICY) -> BoundPolicy:
        policy = mc.Policy.parse(text)
        return policy.bind(
            gate=self.chain.gate, **{each: self.party(each) for each in {*policy.symbols, "owner"}}
        )

    def add(self, text: str = POLICY, *, force: bool = False) -> Record:
        return self.access.add(PARTS, self.bind(text), by=[self["hospital"], self["owner"]], force=force)

    def ask(
        self,
        record: Record,
        clause: str = "treatment",
        purpose: str = "TREAT",
        by: str = "dr_lee",
        parts: tuple[int, ...] | None = None,
        expires_in: int | None = None,
    ) -> Request:
        return self.access.request(
            record, clause, purpose=purpose, by=self[by], parts=parts, expires_in=expires_in
        )

    def approve(self, request: Request, *names: str, parts: tuple[int, ...] | None = None) -> None:
        for name in names:
            self.access.approve(request, by=self[name], parts=parts)

    def decided(self, record: Record | None = None) -> Request:
        """A request that two holders have approved."""
        request = self.ask(record or self.add())
        self.approve(request, "owner", "dr_wu")
        return request

    def wait(self, ms: int) -> None:
        """Let time pass; what is due by then happens."""
        self.clock.now += ms
        self.chain.checkpoint(fresh=True)


NAMES = ("owner", "guardian", "dr_wu", "dr_lee", "er_desk", "auditor", "stranger")


@contextmanager
def clinic(blobs: BlobStore | None = None) -> Iterator[Clinic]:
    """A new clinic; its chain is closed at the end."""
    hospital, keeper, phone, *people = wallets("hospital", "keeper", "phone", *NAMES[1:])
    clock = Clock()
    with mc.Chain.in_memory(authority=hospital, gate=keeper.party, blobs=blobs, clock=clock) as chain:
        owner = phone.persona(toward=hospital.party, chain=chain.tag)
        named = {
            "hospital": hospital,
            "keeper": keeper,
            "owner": owner,
            **dict(zip(NAMES[1:], people, strict=True)),
        }
        mc.Parties(chain).register(named["auditor"], by=hospital, kind="organisation")
        mc.Parties(chain).register(*(named[name] for name in NAMES), by=hospital)
        gate = Gate(keeper, clock=clock)
        yield Clinic(chain, clock, gate, mc.Access(chain, gate=gate, clock=clock), named)
