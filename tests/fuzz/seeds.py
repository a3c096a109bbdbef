"""What the real writers write: the inputs that every mutation starts from.

Everything is made once, when it is first asked for. Nothing runs on afterwards, so that a process may fork.
"""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import clinic
from attrs import define, frozen
from ledger.world import copy
from sealing import world as offchain

import medchain as mc
from medchain import sealing
from medchain.access.rows import AccessTables
from medchain.access.warrants import make_warrant
from medchain.keys import Wallet, keystore
from medchain.keys.keystore import Cost
from medchain.ledger.archive import Archive
from medchain.ledger.entry import Entry, Genesis, Kind
from medchain.ledger.governance import (
    AddAuthority,
    Approve,
    Governance,
    GovernanceTables,
    SetParameter,
    Withdraw,
)
from medchain.ledger.keys import Keys
from medchain.ledger.snapshot import write_snapshot
from medchain.ledger.system import LedgerTables
from medchain.ledger.tables import Table
from medchain.merkle import CompactRange, Head, LogTree, SparseMap, leaf_hash
from medchain.sealing.evidence import BadDealing, BadShare, disclose
from medchain.sealing.holding import Complaint, ResealedShare, open_envelope
from medchain.sealing.openings import unseal
from medchain.storage.memory import MemoryStore

__all__ = [
    "PASSWORD",
    "POLICIES",
    "TABLES",
    "Chained",
    "chained",
    "heads",
    "keystore_file",
    "offchain_papers",
    "opened_shares",
    "parties",
    "recovery_words",
    "trees",
]

PASSWORD = "correct horse"
CHEAP = Cost(memory=1 << 13, iterations=1, lanes=1)

TABLES: dict[tuple[str, str], Table[Any]] = {
    (table.contract, table.name): table
    for owner in (AccessTables, Keys, GovernanceTables, LedgerTables)
    for table in vars(owner).values()
    if isinstance(table, Table)
}
"""Every table that there is, by contract and name."""

LIMITED = """
    limited for TREAT, HRESCH: owner and 2 of (dr_wu, guardian, er_desk), at most 3 uses, asked by dr_lee
    emergency rush for ETREAT: 2 of (dr_wu, guardian, er_desk), review by auditor within 1 day
"""


@frozen
class Chained:
    """A chain of which everything has happened once, and what passes between its server and devices.

    Attributes:
        genesis: of the chain.
        trust: the file that devices have, with names.
        store: a copy of what the chain has stored.
        wallets: of everybody, by name.
        now: the last block's time.
        seen: a head that a device has seen before the last drafts were made.
        bundle: the sealed documents of the record that kit and warrant are about.
        payload: its ciphertext.
        papers: bytes by what they are.
    """

    genesis: Genesis
    trust: mc.Trust
    store: MemoryStore
    wallets: dict[str, Wallet]
    now: int
    seen: Head
    bundle: sealing.SealedHeader
    payload: bytes
    papers: dict[str, tuple[bytes, ...]]

    @property
    def archive(self) -> Archive:
        """The chain's stored form, to read."""
        return Archive(self.store)

    def rows(self) -> list[tuple[str, str, bytes]]:
        """One row of each table: contract, table, enc[key, record]."""
        found: dict[tuple[str, str], bytes] = {}
        for key, data in self.store.scan(b"r", b"s"):
            contract, _, rest = key[1:].partition(b"\0")
            found.setdefault((contract.decode(), rest.partition(b"\0")[0].decode()), data)
        return [(*place, data) for place, data in found.items()]


@functools.cache
def chained() -> Chained:
    """See `Chained`."""
    with clinic.clinic() as house:
        return _Story(house).tell()


@define
class _Story:
    """What happens on the chain, in order."""

    house: clinic.Clinic

    def tell(self) -> Chained:
        house = self.house
        snapshot = self.snapshot()
        record = house.add()
        other = house.add(LIMITED, force=True)
        seen = house.chain.checkpoint()
        decided = house.ask(record, parts=(1, 3))
        drafts = [self.draft_record(), self.draft_request(record.id)]
        for number, name in enumerate(("owner", "dr_wu")):
            since = (None, seen)[number]
            drafts.append(house.access.draft.approve(decided, by=house.party(name), since=since))
            house.approve(decided, name)
        drafts.append(house.access.draft.decline(house.ask(record), by=house.party("owner"), since=seen))
        self.emergency_and_recovery(record, other)
        warrant, bundle = self.papers_for_the_gate(decided)
        kits = [
            house.access.release(decided, to=house.party("dr_lee"), since=since) for since in (None, seen)
        ]
        signed = [self.signed(draft) for draft in drafts]
        erased = house.add()
        house.access.erase(erased, by=[house["owner"]])
        self.govern()
        trust = mc.Trust(
            *self.pinned(), {house.party(name).id: f"Dr. {name}" for name in ("dr_wu", "dr_lee")}
        )
        store = copy(dict(house.chain._archive.store.scan()))
        payload_hash, _ = bundle.payload
        assert payload_hash is not None
        papers = {
            "draft": tuple(map(bytes, drafts)),
            "signed": tuple(map(bytes, signed)),
            "kit": tuple(map(bytes, kits)),
            "warrant": (bytes(warrant),),
            "proof": self.proofs(decided),
            "state": self.state_proofs(record.id),
            "growth": (house.chain.prove_consistency(seen),),
            "checkpoint": (bytes(house.chain.checkpoint()),),
            "policy": (bytes(record.policy), bytes(house.bind(LIMITED))),
            "snapshot": (snapshot,),
            "trust": (str(trust).encode(), str(house.chain.trust).encode()),
        }
        return Chained(
            genesis=house.chain.genesis,
            trust=trust,
            store=store,
            wallets=house.wallets,
            now=house.chain.header().time,
            seen=seen.head,
            bundle=bundle,
            payload=house.chain.blobs.get(bundle.object_id, payload_hash, limit=1 << 20),
            papers=papers | self.leaves(),
        )

    def pinned(self) -> tuple[Any, ...]:
        trust = self.house.chain.trust
        return trust.log_keys, trust.chain, trust.tag

    def draft_record(self) -> mc.Draft:
        house = self.house
        by = [house.party("hospital"), house.party("owner")]
        return house.access.draft.add(clinic.PARTS, house.bind(), by=by, since=None)

    def draft_request(self, record: bytes) -> mc.Draft:
        by = self.house.party("dr_lee")
        return self.house.access.draft.request(record, "treatment", purpose="TREAT", by=by, since=None)

    def emergency_and_recovery(self, record: mc.Record, other: mc.Record) -> None:
        """Timers, reviews, a block and its end, an objection, a refusal."""
        house = self.house
        late, later = (house.ask(other, "rush", "ETREAT", name) for name in ("er_desk", "dr_lee"))
        for request in (late, later):
            house.approve(request, "dr_wu", "guardian")
        lost = house.ask(record, "lost", "PATRQT", "dr_lee", expires_in=30 * clinic.DAY)
        house.approve(lost, "guardian", "dr_wu")
        house.wait(3 * clinic.DAY)
        house.access.oppose(lost, by=house["owner"])
        house.access.lift(other, "rush", house.party("er_desk"), by=[house["guardian"], house["dr_wu"]])
        house.access.judge(late, justified=True, by=house["auditor"])
        house.access.decline(house.ask(record), by=house["guardian"])
        house.access.complain(record, "treatment", by=house["dr_wu"])

    def snapshot(self) -> bytes:
        """Of the chain as it is now."""
        chain, pieces = self.house.chain, list[bytes]()
        chain.checkpoint()
        write_snapshot(chain._archive, pieces.append)
        return b"".join(pieces)

    def govern(self) -> None:
        """Three authorities of whom two decide; a proposal that is decided, one that is withdrawn, one that is open."""
        house, chain = self.house, self.house.chain
        hospital, doctor = house["hospital"], house["dr_wu"]
        for name in ("dr_wu", "auditor"):
            chain.send(Governance, AddAuthority(house.party(name).id), by=[hospital])
        chain.send(Governance, SetParameter("authority_threshold", 2), by=[hospital])
        decided, withdrawn, _ = (
            chain.send(Governance, SetParameter("timers_per_block", value), by=[hospital])
            for value in (900, 800, 700)
        )
        chain.send(Governance, Approve(decided.id), by=[doctor])
        chain.send(Governance, Withdraw(withdrawn.id), by=[hospital])

    def papers_for_the_gate(self, request: mc.Request) -> tuple[mc.Warrant, sealing.SealedHeader]:
        access = self.house.access
        decision = access.status(request).decision
        assert decision is not None
        proved, row = access._proved(request.id)
        return make_warrant(self.house.chain, proved, decision, since=None), access.bundle(row)

    def signed(self, draft: mc.Draft) -> mc.Signed:
        """What the first signer's device makes of a draft; the others are still missing."""
        house = self.house
        signer = next(each for each in house.wallets.values() if each.party.id == draft.signers[0].party)
        try:
            return draft.review(house.chain.trust).sign(signer)
        except mc.VerificationError:  # the request was answered meanwhile
            return mc.Signed.start(draft.body).sign(signer)

    def proofs(self, decided: mc.Request) -> tuple[bytes, ...]:
        """Of an entry with an event, of the genesis, of the last header."""
        chain, decision = self.house.chain, self.house.access.status(decided).decision
        return tuple(chain.prove(what) for what in (decision, 0, chain.head.size - 1))

    def state_proofs(self, record: bytes) -> tuple[bytes, ...]:
        chain = self.house.chain
        records = AccessTables.records
        return chain.prove_state(records, record), chain.prove_state(records, bytes(32))

    def leaves(self) -> dict[str, tuple[bytes, ...]]:
        """Leaves of each kind and message, and what stands in them."""
        chain, leaves, transactions, timers = self.house.chain, {}, {}, []
        for index in range(chain.head.size):
            leaf = chain.entry(index)
            if isinstance(leaf, Entry) and leaf.kind is Kind.TRANSACTION:
                name = mc.Transaction.from_bytes(leaf.content).body.message_name
                transactions[name] = leaf.content
                leaves[name] = leaf.leaf
            elif isinstance(leaf, Entry):
                timers.append(leaf.content)
                leaves["timer"] = leaf.leaf
            else:
                leaves["header" if leaf.height else "genesis"] = leaf.leaf
        return {
            "leaf": tuple(leaves.values()),
            "transaction": tuple(transactions.values()),
            "timer": tuple(timers),
        }


@functools.cache
def offchain_papers() -> dict[str, tuple[bytes, ...]]:
    """Sealed objects, requests, approvals and evidence without a ledger."""
    parts = [sealing.Part(b"ann", "text/plain", "name"), sealing.Part(b"1" * 70_000, label="big")]
    sealed = offchain.seal(parts, gate="keeper")
    request = offchain.ask(sealed)
    shares = offchain.approve(sealed, request, "owner", "dr_wu", "keeper")
    header, dealing, binding = sealed.header.header, sealed.header.dealing, request.binding(offchain.CONTEXT)
    key = offchain.ASKER.request_key(request.nonce)
    disclosed = []
    for share in shares:
        seat = dealing.layout("treatment").seat(share.holder.id)
        assert seat is not None
        disclosed.append(disclose(unseal(header, dealing, binding, seat, share.share, key.decrypt)))
    owner = offchain.party("owner").id
    bad = BadShare(header, dealing, binding, owner, False, b"junk", key.seed)
    return {
        "sealed": (bytes(sealed), bytes(offchain.seal())),
        "bundle": (bytes(sealed.header),),
        "header": (bytes(header),),
        "dealing": (bytes(dealing),),
        "envelope": tuple(map(bytes, sealed.header.envelopes[:1])),
        "request": (bytes(request),),
        "approval": tuple(map(bytes, shares)),
        "share": tuple(each.share for each in shares),
        "complaint": (
            bytes(Complaint(header.object, dealing.hash, "treatment", owner, False, "it does not open")),
        ),
        "bad-share": (
            bytes(bad),
            bytes(BadShare(header, dealing, binding, owner, False, shares[0].share, key.seed)),
        ),
        "bad-dealing": (bytes(BadDealing(header, dealing, "treatment", tuple(disclosed))),),
    }


@functools.cache
def opened_shares() -> tuple[sealing.Sealed, sealing.ShareRequest, bytes, bytes]:
    """An object, a request for it, what the owner's envelope holds, and what its re-sealed share holds."""
    sealed = offchain.seal([sealing.Part(b"1"), sealing.Part(b"2")], text=offchain.ALONE)
    request = offchain.ask(sealed)
    held = open_envelope(sealed.header, request.clause, offchain.WALLETS["owner"], context=offchain.CONTEXT)
    (share,) = offchain.approve(sealed, request, "owner")
    key, binding = offchain.ASKER.request_key(request.nonce), request.binding(offchain.CONTEXT)
    inside = key.decrypt(ResealedShare.from_bytes(share.share).sealed, binding.info(held.seat.positions))
    return sealed, request, held.blocks, inside


@functools.cache
def _log() -> LogTree:
    return LogTree([bytes([number]) for number in range(11)])


@functools.cache
def heads() -> dict[int, Head]:
    """Heads of a small tree, by size."""
    return {size: _log().head_at(size) for size in range(12)}


@functools.cache
def trees() -> dict[str, tuple[bytes, ...]]:
    """Compact ranges and proofs of small trees."""
    log, rows = _log(), SparseMap({bytes([number]): b"value" for number in range(9)})
    known = CompactRange()
    known.append_many(leaf_hash(bytes([number])) for number in range(11))
    absent = (rows.prove_absent(b"x"), SparseMap().prove_absent(b"x"))
    return {
        "compact": (bytes(known), bytes(CompactRange())),
        "inclusion": tuple(bytes(log.prove_inclusion(index)) for index in (7, 0, 10)),
        "consistency": tuple(bytes(log.prove_consistency(old)) for old in (7, 4, 11)),
        "map": tuple(map(bytes, (rows.prove(b"\3"), *absent))),
    }


def parties() -> tuple[bytes, ...]:
    """Parties of the chain, an original one and a pseudonym."""
    return tuple(bytes(chained().wallets[name].party) for name in ("dr_wu", "owner"))


POLICIES = (
    clinic.POLICY.strip(),
    LIMITED.strip(),
    """a for A: 2 of (b, c and d, 1 of (e, f)), from 2026-01-01 until 2026-06-30T08:30:00.5Z, ungated
    erasure by a and b
    show year, kind  # as text""",
    "t for TREAT: owner, asked by role(credentials:physician), x, notify b, c",
)


@functools.cache
def keystore_file() -> bytes:
    """A keystore with a wallet and a persona."""
    wallet = Wallet.from_seed(bytes(range(32)))
    persona = wallet.persona(toward=offchain.party("owner"), chain=bytes(32), ward="child-1", generation=1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "keys"
        keystore.save(path, {"phone": wallet, "at the hospital": persona}, PASSWORD, cost=CHEAP)
        return path.read_bytes()


@functools.cache
def recovery_words() -> tuple[bytes, ...]:
    """Sets of mnemonics, one on a line."""
    wallet = Wallet.from_seed(bytes(range(32)))
    whole = wallet.to_slip39([(1, 1), (2, 3)], group_threshold=2)
    return "\n".join([whole[0][0], *whole[1][:2]]).encode(), wallet.to_slip39([(1, 1)])[0][0].encode()
