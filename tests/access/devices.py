"""A server, and devices that get nothing from it but bytes."""

from __future__ import annotations

from collections.abc import Iterator

import medchain as mc
from medchain.access.draft import Draft
from medchain.access.handles import Opened
from medchain.access.kit import ReleaseKit
from medchain.access.messages import RecordAdded
from medchain.access.review import Review
from medchain.sealing import Part

START = 1_780_000_000_000
CONTENT = (b"alpha", b"beta" * 20, b"gamma")
PARTS = [
    Part(CONTENT[0], "text/plain", "one"),
    Part(CONTENT[1], label="two"),
    Part(CONTENT[2], label="three"),
]
POLICY = """
    treatment for TREAT: owner and 1 of (dr_wu, guardian), separate asker
    own for PATRQT: owner, ungated
    recovery lost for PATRQT: dr_wu and guardian, wait 14 days, ungated
"""
NAMES = ("hospital", "phone", "dr_wu", "guardian", "dr_lee", "mallory", "keeper")
WALLETS = {name: mc.Wallet.from_seed(bytes([number]) * 32) for number, name in enumerate(NAMES, 1)}


class Server:
    """Chain, gate and access client. It answers devices in bytes."""

    def __init__(self, policy: str = POLICY) -> None:
        self.now = START
        self.hospital, keeper = WALLETS["hospital"], WALLETS["keeper"]
        self.chain = mc.Chain.in_memory(
            origin="clinic.example/ehr", authority=self.hospital, gate=keeper.party, clock=self.clock
        )
        self.patient = WALLETS["phone"].persona(toward=self.hospital.party, chain=self.chain.tag)
        self.wallets = {**WALLETS, "patient": self.patient}
        others = (self.wallets[name] for name in ("dr_wu", "guardian", "dr_lee", "mallory"))
        mc.Parties(self.chain).register(self.patient, *others, by=self.hospital)
        self.access = mc.Access(self.chain, gate=mc.Gate(keeper, clock=self.clock), clock=self.clock)
        symbols = {name: self.wallets[name].party for name in ("dr_wu", "guardian") if name in policy}
        self.bound = mc.Policy.parse(policy).bind(gate=self.chain.gate, owner=self.patient.party, **symbols)

    def clock(self) -> int:
        return self.now

    @property
    def trust(self) -> str:
        """What the hospital hands out beside the application, with the names that it knows."""
        names = {self.wallets[name].party.id: name for name in ("hospital", "dr_wu", "dr_lee")}
        pinned = self.chain.trust
        return str(mc.Trust(pinned.log_keys, pinned.chain, pinned.tag, names))

    def device(self, name: str) -> Device:
        return Device(self.wallets[name], self.trust)

    def submit(self, signed: bytes) -> mc.Receipt:
        return self.chain.submit(mc.Signed.from_bytes(signed)).result(timeout=5)

    # The short way for what a test is not about.

    def add(self) -> bytes:
        return self.access.add(PARTS, self.bound, by=[self.hospital, self.patient]).id

    def ask(self, record: bytes, *, by: str = "dr_lee", parts: tuple[int, ...] | None = None) -> bytes:
        wallet = self.wallets[by]
        return self.access.request(record, "treatment", purpose="TREAT", by=wallet, parts=parts).id

    def draft(self, request: bytes, name: str = "patient", **options: object) -> Draft:
        """A draft of an approval, as it is after its way over a wire."""
        since = options.pop("since", None)
        made = self.access.draft.approve(request, by=self.wallets[name].party, since=since, **options)
        return Draft.from_bytes(bytes(made))

    def decided(self) -> bytes:
        request = self.ask(self.add())
        for name in ("patient", "dr_wu"):
            self.access.approve(request, by=self.wallets[name])
        return request

    def kit(self, request: bytes, **options: object) -> ReleaseKit:
        asker = self.wallets["dr_lee"].party
        return ReleaseKit.from_bytes(
            bytes(self.access.release(request, to=asker, since=options.get("since")))
        )


class Device:
    """A wallet, a trust file, and the largest checkpoint that it has seen."""

    def __init__(self, wallet: mc.Wallet, trust: str) -> None:
        self.wallet = wallet
        self.trust = mc.Trust.parse(trust)
        self.seen: mc.ledger.Checkpoint | None = None

    def review(self, draft: bytes) -> Review:
        found = Draft.from_bytes(draft).review(self.trust, since=self.seen)
        self.seen = found.seen
        return found

    def sign(self, draft: bytes, onto: bytes | None = None) -> bytes:
        started = None if onto is None else mc.Signed.from_bytes(onto)
        return bytes(self.review(draft).sign(self.wallet, onto=started))

    def open(self, kit: bytes) -> Opened:
        received = ReleaseKit.from_bytes(kit)
        opened = received.open(self.wallet, trust=self.trust, since=self.seen)
        self.seen = received.seen
        return opened


def record_of(receipt: mc.Receipt) -> bytes:
    [event] = receipt.events
    added: RecordAdded = event.read(RecordAdded)
    return added.record


def flips(data: bytes, step: int = 1) -> Iterator[bytes]:
    """`data` with one bit of one byte flipped, for every `step`-th byte; which bit goes round."""
    for at in range(0, len(data), step):
        altered = bytearray(data)
        altered[at] ^= 1 << at // step % 8
        yield bytes(altered)
