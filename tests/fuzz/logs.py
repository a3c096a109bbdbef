"""Doors that take more than bytes, around a ledger: proofs, stored chains, drafts, kits, warrants, messages, commands.

As in `alone.py` the surroundings sign and hash whatever bytes are given. So a log is here that signs what no log would,
and a store that holds what no chain has written.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from attrs import evolve
from fuzz import seeds
from fuzz.decoder import Read, Seeds, file
from ledger.world import copy

import medchain as mc
from medchain import cli
from medchain._opening import load_tip
from medchain.access import judge
from medchain.access.contract import AccessContract
from medchain.access.draft import Draft
from medchain.access.gate import Warrant
from medchain.access.kit import ReleaseKit
from medchain.access.rules import load_policy
from medchain.access.trail import history
from medchain.encoding import decode, encode
from medchain.errors import EncodingError, InvalidTransaction
from medchain.keys import SigningKey
from medchain.ledger.archive import Archive
from medchain.ledger.contract import Contract
from medchain.ledger.draft import signer_ref
from medchain.ledger.entry import LEAF_LIMIT, Concern, Entry, Header, Kind, Outcome, parse_leaf
from medchain.ledger.events import Cursor, EventReader
from medchain.ledger.governance import Governance
from medchain.ledger.keys import Keys
from medchain.ledger.note import Note, NoteSigner, VerifierKey
from medchain.ledger.proof import EntryExtra, LogProof, StateExtra, extra_bytes
from medchain.ledger.registry import Registry
from medchain.ledger.system import highest
from medchain.ledger.tables import map_key, read_key
from medchain.ledger.transaction import Body, Transaction
from medchain.ledger.transition import BlockBuilder, Tip
from medchain.ledger.verify import Row
from medchain.merkle import Head, InclusionProof, MapProof, leaf_hash
from medchain.merkle.mapproof import map_leaf
from medchain.storage import FileBlobs
from medchain.storage.mark import Mark

LOG_KEY = SigningKey(b"a log that signs whatever comes.")
MARKED = b"\x11" * 32
"""The chain that the mark file is about."""


def paper(*names: str) -> Seeds:
    """Papers of the chain among the seeds."""
    return lambda: [each for name in names for each in seeds.chained().papers[name]]


# Proofs, as strangers make them and as a log does that is out of its mind.


def proof(data: bytes) -> Any:
    """A proof of an entry, from anybody."""
    return mc.verify(data, Entry, trust=seeds.chained().trust).value


def growth(data: bytes) -> Any:
    """A proof that the log has only grown, from anybody."""
    return mc.verify(data, mc.Consistency, trust=seeds.chained().trust).value


def state_proof(data: bytes) -> Any:
    """A proof of a row's absence, from anybody."""
    return mc.verify_state(data, AccessContract.records, bytes(32), trust=seeds.chained().trust)


@functools.cache
def _mad_trust() -> mc.Trust:
    real = seeds.chained().trust
    return mc.Trust((VerifierKey(real.origin, LOG_KEY.public),), real.chain, real.tag)


def _logged(leaf: bytes, extra: bytes) -> bytes:
    """A proof of the only leaf of a log, signed by the log's own key."""
    head, origin = Head(1, leaf_hash(leaf)), _mad_trust().origin
    said = mc.Checkpoint.text(origin, head)
    note = Note(said, ()).signed_with(NoteSigner(origin, LOG_KEY).sign(said))
    return bytes(LogProof(InclusionProof(0, 1, ()), mc.Checkpoint(origin, head, note), extra))


def logged_leaf(data: bytes) -> Any:
    """A leaf that the log has really signed, and each of its events."""
    made, trust = _logged(data, extra_bytes(EntryExtra(data))), _mad_trust()
    if data[:1] == bytes([Kind.HEADER]):
        return mc.verify(made, Header, trust=trust)
    found = mc.verify(made, Entry, trust=trust)
    for number, event in enumerate(found.value.outcome.events):
        for kind in (*AccessContract.events, *Keys.events):
            if event.is_a(kind):
                str(mc.verify(made, kind, trust=trust, number=number).as_of)
    return found


def logged_row(data: bytes) -> Any:
    """A row under a state root that the log has really signed: enc[contract, table, key, record]."""
    match decode(data):
        case [str(contract), str(name), key, record]:
            table = seeds.TABLES.get((contract, name), AccessContract.records)
        case _:
            raise EncodingError("not a case of this harness")
    row, place = encode([key, record]), bytes(32)
    with contextlib.suppress(EncodingError):
        place = map_key(table.contract, table.name, read_key(key))
    hashed = hashlib.sha256(row).digest()
    header = evolve(last_header(), state_root=map_leaf(place, hashed)).leaf
    shown = bytes(MapProof(place, hashed, None, ()))
    made = _logged(header, extra_bytes(StateExtra(header, table.contract, table.name, key, row, shown)))
    found = mc.verify(made, table.value, trust=_mad_trust())
    wanted = tuple(key) if type(key) is list else key
    assert mc.verify_state(made, table, wanted, trust=_mad_trust()) == found
    assert mc.verify(made, Row, trust=_mad_trust()).value == Row(table.contract, table.name, wanted, record)
    return found


def row_seeds() -> tuple[bytes, ...]:
    """A row of each table, as `logged_row` takes it."""
    return tuple(encode([contract, table, *decode(data)]) for contract, table, data in seeds.chained().rows())


@functools.cache
def last_header() -> Header:
    archive = seeds.chained().archive
    header = archive.parsed(archive.tip().header)
    assert isinstance(header, Header)
    return header


# What is stored.


def stored(key: bytes, read: Callable[[Archive], Any]) -> Read:
    """A chain of which the value under `key` is as given."""
    return lambda data: read(Archive(copy({key: data})))


def stored_row(data: bytes) -> Any:
    """A row of a table, as anybody reads it who has the chain open."""
    key = AccessContract.records.order_key(b"x")
    return AccessContract.records.view(Archive(copy({key: data})))[b"x"]


def stored_row_seeds() -> tuple[bytes, ...]:
    """Rows of records."""
    return tuple(data for *place, data in seeds.chained().rows() if place == ["access", "records"])


class _Altered(Archive):
    """The chain among the seeds, of which every leaf that is read in a run is as given."""

    def __init__(self, leaf: bytes) -> None:
        super().__init__(seeds.chained().store)
        self._leaf = leaf

    def leaves(self, start: int, stop: int) -> Iterator[bytes]:
        return (self._leaf for _ in range(start, stop))


def logged_events(data: bytes) -> Any:
    """What an entry says has happened, as a follower of everything reads it, of one contract, and of one subject."""
    registry, stored = _tip()[0], _Altered(data)

    def read(contract: str | None = None, subject: bytes | None = None, *, every: bool = False) -> Any:
        reader = EventReader(stored, registry, contract, subject, every_entry=every)
        return reader.run(Cursor(9), 10)[0]

    everything = read(every=True)
    assert read() == [each for each in everything if each.name is not None]
    for each in everything[:1]:
        assert read(each.contract, every=True) == everything
        assert all(read(subject=concern.subject) == everything for concern in each.subjects[:2])
    return everything


def stored_timer(data: bytes) -> Any:
    """The history of a subject whom a timer concerns."""
    entry = Entry(1, 0, 0, data, Outcome("ok", (), (Concern(bytes(32), 1),)), Kind.TIMER)

    class Stored:
        def entries(self) -> Iterator[tuple[int, Entry]]:
            yield 0, entry

    return history(Stored(), bytes(32))


def mark(path: Path) -> Any:
    """A mark file."""
    return Mark(path, chain_id=MARKED).latest


def mark_seeds() -> tuple[bytes, ...]:
    """A mark, as it is written."""
    with tempfile.TemporaryDirectory() as folder:
        made = Mark(Path(folder) / "mark", chain_id=MARKED)
        made.advance(Head(17, b"\x22" * 32))
        return (made.path.read_bytes(),)


def blobs_format(data: bytes) -> Any:
    """A folder that says what it is."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "format").write_bytes(data)
        for name in ("incoming", "erasing", "erased"):
            (Path(folder) / name).mkdir()
        return list(FileBlobs(folder).objects())


# What comes to a device or a gate.


def review(data: bytes) -> Any:
    """A draft before the device of each of its signers."""
    draft, papers = Draft.from_bytes(data), seeds.chained()
    since = None if draft.growth is None else papers.seen
    found = draft.review(papers.trust, since=since)
    for wallet in papers.wallets.values():
        if signer_ref(wallet.party) in draft.signers:
            found.sign(wallet)
    return found


def open_kit(data: bytes) -> Any:
    """A kit on the asker's device."""
    kit, papers = ReleaseKit.from_bytes(data), seeds.chained()
    since = None if kit.growth is None else papers.seen
    read = None if kit.segments is not None else lambda start, length: papers.payload[start : start + length]
    return kit.open(papers.wallets["dr_lee"], trust=papers.trust, since=since, read=read).raw


def release(data: bytes) -> Any:
    """A warrant before a gate that has seen nothing yet."""
    papers = seeds.chained()
    return judge(Warrant.from_bytes(data), papers.bundle, trust=papers.trust, seen=None, now=papers.now)


# Messages.

NEWCOMER = mc.Wallet.from_seed(b"nobody on this chain has met me.")
"""Who signs where a name is nobody's."""

CONTRACTS: dict[str, type[Contract]] = {"access": AccessContract, "governance": Governance, "keys": Keys}


@functools.cache
def _tip() -> tuple[Registry, Tip]:
    registry = Registry([AccessContract])
    return registry, load_tip(seeds.chained().archive)


def signed_message(data: bytes) -> Any:
    """enc[contract, names of signers, message], signed by those and put into a block.

    A contract may refuse it, and the ledger may leave it out. But no handler may crash, and what is logged is readable.
    """
    match decode(data):
        case [str(name), [_, *_] as names, message]:
            contract = CONTRACTS.get(name, AccessContract)
        case _:
            raise EncodingError("not a case of this harness")
    papers, (registry, tip) = seeds.chained(), _tip()
    load_policy.cache_clear()
    known = papers.wallets | {"rotated": _rotated()}
    wallets = [known.get(str(each), NEWCOMER) for each in names]
    signers = tuple(signer_ref(each.party) for each in wallets)
    seq = highest(papers.archive, signers[0].party, signers[0].key) + 1
    try:
        body = Body(papers.genesis.id, signers, seq, None, contract.name, contract.version, message)
    except ValueError as error:
        raise EncodingError(str(error)) from error
    sent = Transaction.build(body, [each.sign(body.signed_bytes) for each in wallets])
    with contextlib.suppress(InvalidTransaction):  # this node would not pass it on; another one may
        registry.check_intake(body)
    builder = BlockBuilder(registry, papers.genesis, tip, papers.archive, papers.now)
    try:
        receipt = builder.add(Transaction.from_bytes(bytes(sent)))
    except InvalidTransaction as error:
        if error.reason == "internal":
            raise AssertionError(f"a handler crashed: {error}") from error
        raise
    for leaf in builder.close().leaves:
        assert len(leaf) <= LEAF_LIMIT
        parse_leaf(leaf)
    return receipt


def _rotated() -> mc.Wallet:
    """A doctor's wallet with its next keys."""
    return mc.Wallet.from_seed(seeds.chained().wallets["dr_wu"].reveal_seed(), generation=1)


def message_seeds() -> tuple[bytes, ...]:
    """Every message that was sent on the chain, with the names of those who signed; changes of keys, and decisions."""
    names = {wallet.party.id: name for name, wallet in seeds.chained().wallets.items()}
    bodies = [Transaction.from_bytes(data).body for data in seeds.chained().papers["transaction"]]
    sent = [[body.contract, [names[each.party] for each in body.signers], body.message] for body in bodies]
    for name, signers, message in (
        ("register", ["hospital", "newcomer"], {"kind": "person", **_keys(NEWCOMER)}),
        ("rotate", ["dr_wu", "rotated"], _keys(_rotated())),
        ("revoke", ["hospital"], {"party": seeds.chained().wallets["stranger"].party.id}),
    ):
        sent.append(["keys", signers, [name, message]])
    for signers, message in _decisions():
        sent.append(["governance", signers, message])
    return tuple(map(encode, sent))


def _decisions() -> Iterator[tuple[list[str], list[Any]]]:
    """What both authorities decide at once, and what one of them does about the proposal that is open."""
    people = {name: {"party": wallet.party.id} for name, wallet in seeds.chained().wallets.items()}
    digest = bytes([7] * 32)
    for message in (
        ["add-authority", people["dr_lee"]],
        ["remove-authority", people["auditor"]],
        ["add-gate-member", people["dr_lee"]],
        ["remove-gate-member", people["keeper"]],
        ["activate", {"contract": "access", "version": 2, "digest": digest, "height": None}],
        ["unschedule", {"contract": "access"}],
        ["set-gate-threshold", {"threshold": 1}],
    ):
        yield ["hospital", "dr_wu"], message
    (proposal,) = Governance.proposals.view(seeds.chained().archive)
    yield ["dr_wu"], ["approve", {"proposal": proposal}]
    yield ["hospital"], ["withdraw", {"proposal": proposal}]


def _keys(wallet: mc.Wallet) -> dict[str, bytes]:
    return {"signing_key": wallet.party.signing_key, "recipient_key": wallet.party.recipient_key}


# Commands.


def command(*arguments: str) -> Read:
    """A command on a FILE with these bytes. It ends with 0 or 1, and writes nothing that a terminal would obey."""

    def call(data: bytes) -> Any:
        said = io.StringIO()
        with file(data) as path, contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            trust = path.with_name("trust")
            trust.write_bytes(seeds.chained().papers["trust"][0])
            places = {"FILE": str(path), "TRUST": str(trust)}
            status = cli.main([places.get(each, each) for each in arguments])
        text = said.getvalue()
        assert status in (0, 1), f"exit status {status}: {text}"
        assert all(letter.isprintable() or letter == "\n" for letter in text), f"control characters: {text!r}"
        return text

    return call
