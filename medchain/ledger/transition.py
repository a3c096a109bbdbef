"""The state transition: transactions in, one block out. No IO, no clock, no randomness.

A `BlockBuilder` is read from top to bottom: the contracts and parameters that hold for its block, due timers, then
transactions in the order of their coming, each on an overlay of its own; `close` appends the header. The same calls
with the same arguments give the same bytes on every node, which is how the audit re-executes a chain.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from itertools import islice
from typing import Any

from attrs import field, frozen

from medchain.encoding import encode
from medchain.errors import (
    ContractError,
    EncodingError,
    InvalidSignature,
    InvalidTransaction,
    StorageError,
    in_words,
)
from medchain.keys.signing import verify
from medchain.ledger.contract import TOO_MANY_EVENTS, TOO_MANY_SUBJECTS, Context, Contract, Event
from medchain.ledger.entry import LEAF_LIMIT, Genesis, Header, Kind, entry_leaf
from medchain.ledger.governance.contract import establish
from medchain.ledger.governance.rows import active_contracts, parameter
from medchain.ledger.keys import Keys, signing_keys
from medchain.ledger.registry import Registry
from medchain.ledger.state import NO_ROWS, Overlay
from medchain.ledger.system import LedgerTables, TimerRow, append_to_list, concern, consume
from medchain.ledger.tables import Rows
from medchain.ledger.transaction import Transaction, check_size
from medchain.merkle import CompactRange, Head, leaf_hash
from medchain.merkle.packed import Load, MapUpdate, PackedMap
from medchain.records import from_value, short, to_value

__all__ = ["KEPT_VERSIONS", "Block", "BlockBuilder", "Receipt", "Tip", "found"]

TIMER_LABEL = b"medchain/timer/v1"
SUBJECTS_LIMIT = 64
"""Most subjects that one entry may concern."""

KEPT_VERSIONS = 1_024
"""How many blocks back the state can be read and proved."""

TOUCHED, STRIDE = 512, 8
"""How many map nodes older than that a block writes anew, beside two for each row that it changes, and of how many
versions, the oldest first: so what was written long ago can be deleted as a range, and no block pays for all."""

EVENTS_LIMIT = 7_000
"""Most bytes of the events of one entry, so that it stays under 60,000 with the largest transaction."""

OK, INTERNAL = "ok", "internal"

FATAL = (KeyboardInterrupt, StorageError)
"""What is no word of a contract: this node cannot go on, whatever the others can. All else that a handler ends with is
its own mistake, whatever it is derived from: a contract with a bug stops nothing."""


@frozen
class Tip:
    """Where a chain stands after a block: all that the next one builds on, beside the rows.

    Attributes:
        header: of the last block; its leaf is the log's last.
        log: compact range of the log, header included.
        map: state map.
    """

    header: Header
    log: CompactRange = field(repr=False)
    map: PackedMap = field(repr=False)

    @property
    def head(self) -> Head:
        """Size and root of the log."""
        return Head(self.log.size, self.log.root)


@frozen
class Receipt:
    """What came of one transaction or timer: where its entry is and what it did; the receipt of its sender."""

    index: int
    height: int
    time: int
    id: bytes = field(repr=short)
    code: str
    events: tuple[Event, ...]

    @property
    def ok(self) -> bool:
        """Whether the contract accepted it."""
        return self.code == OK


@frozen
class Block:
    """A finished block, not yet stored.

    Attributes:
        tip: where the chain stands with it.
        first: log index of its first leaf.
        leaves: leaf data, entries first, the header last.
        nodes: complete log nodes that it created: (level, index, hash).
        rows: changed rows by order key, None where deleted.
        replaced: what those rows were before, by key in the state map.
        state: new nodes of the state map, (key, bytes).
        receipts: per entry what it did, in order.
    """

    tip: Tip
    first: int
    leaves: tuple[bytes, ...] = field(repr=False)
    nodes: tuple[tuple[int, int, bytes], ...] = field(repr=False)
    rows: Mapping[bytes, bytes | None] = field(repr=False)
    replaced: tuple[tuple[bytes, bytes], ...] = field(repr=False)
    state: tuple[tuple[bytes, bytes], ...] = field(repr=False)
    receipts: tuple[Receipt, ...] = field(repr=False)


class BlockBuilder:
    """Makes one block on top of `tip`, whose rows are `rows`.

    Raises:
        ConsensusError: a contract that executes this block is not installed on this node.
    """

    def __init__(self, registry: Registry, genesis: Genesis, tip: Tip, rows: Rows, time: int) -> None:
        self._registry = registry
        self._tip = tip
        self._chain = genesis.id
        self._state = Overlay(rows)
        self.height = tip.header.height + 1
        self._active = registry.active(rows, self.height)
        self._timers_limit = parameter(rows, "timers_per_block")
        self._timer_interval = parameter(rows, "timer_interval_ms")
        self._transaction_limit = parameter(rows, "transaction_bytes")
        self.time = max(time, tip.header.time)
        self.first = tip.log.size
        self.size = 0
        self._leaves: list[bytes] = []
        self._hashes: list[bytes] = []
        self._receipts: list[Receipt] = []

    @property
    def empty(self) -> bool:
        """Whether it has no entry yet."""
        return not self._leaves

    def contract(self, name: str) -> type[Contract] | None:
        """The class that executes messages of a contract in this block; None if there is no such contract."""
        return self._active.get(name)

    def run_timers(self) -> None:
        """Run what is due, in (time, id) order, as many as a block may; each is consumed, whatever it does."""
        table = LedgerTables.timers.view(self._state)
        for key, row in list(islice(table.items(stop=(self.time + 1,)), self._timers_limit)):
            del table[key]
            self._run_timer(key, row)

    def _run_timer(self, key: tuple[int, bytes], row: TimerRow) -> None:
        overlay = Overlay(self._state)
        context = self._context(overlay, (), key[1], earliest=self.time + self._timer_interval)
        contract = self._active.get(row.contract)
        try:
            if contract is None:
                raise LookupError(f"{row.contract} is no longer active")
            code = _call(contract, context, overlay, row.message)
        except (*FATAL, MemoryError):  # nodes differ in memory, and what a timer did is logged
            raise
        except BaseException:  # a crash must not stop the chain; its text is never hashed
            code = INTERNAL
        self._log(Kind.TIMER, encode([key[0], key[1], row.contract, row.message]), context, overlay, code)

    def add(self, transaction: Transaction) -> Receipt:
        """Execute a transaction and log it, accepted or refused by its contract.

        Raises:
            InvalidTransaction: it may not enter the block; nothing has changed. ``internal`` if its contract crashed.
        """
        seen = self.admit(transaction)
        body = transaction.body
        contract = self._active[body.contract]
        overlay = Overlay(seen)
        signers = tuple([signer.party for signer in body.signers])
        context = self._context(overlay, signers, transaction.id, earliest=self.time)
        try:
            code = _call(contract, context, overlay, body.message)
        except EncodingError as error:
            raise InvalidTransaction("malformed", str(error)) from error
        except FATAL:
            raise
        except BaseException as error:
            # Too little memory too: nothing is logged, so nobody comes to another result.
            raise InvalidTransaction(INTERNAL, f"{body.contract} failed: {in_words(error)}") from error
        self._state.take(seen)
        return self._log(Kind.TRANSACTION, transaction.raw, context, overlay, code)

    def admit(self, transaction: Transaction) -> Overlay:
        """Whether a transaction may enter the block, whatever its contract says; the state with its `seq` consumed.

        Raises:
            InvalidTransaction: it may not.
        """
        check_size(len(transaction.raw))
        body = transaction.body
        contract = self._active.get(body.contract)
        if body.chain != self._chain:
            raise InvalidTransaction("another-chain", "the transaction is signed for another chain")
        if len(transaction.raw) > self._transaction_limit:
            raise InvalidTransaction("too-large", f"this chain takes {self._transaction_limit} bytes at most")
        if contract is None or contract.version != body.version or body.message_name not in contract.handlers:
            raise InvalidTransaction(
                "unknown-message", f"no active {body.contract}/{body.version} {body.message_name}"
            )
        if body.not_after is not None and self.time > body.not_after:
            raise InvalidTransaction("expired", "block time is after its not_after")
        seen = Overlay(self._state)
        consume(seen, body)
        self._verify(transaction)
        return seen

    def _verify(self, transaction: Transaction) -> None:
        message = transaction.signed_bytes
        keys = signing_keys(self._state, transaction.body)
        for signer, key, signature in zip(
            transaction.body.signers, keys, transaction.signatures, strict=True
        ):
            if key is None:
                raise InvalidTransaction(
                    "unknown-signer", f"party {signer.party.hex()[:12]}… has no such live key"
                )
            try:
                verify(key, message, signature)
            except InvalidSignature as error:
                raise InvalidTransaction(
                    "bad-signature", f"party {signer.party.hex()[:12]}…: {error}"
                ) from error

    def _context(self, rows: Rows, signers: tuple[bytes, ...], id: bytes, *, earliest: int) -> Context:
        return Context(
            height=self.height,
            time=self.time,
            signers=signers,
            id=id,
            chain=self._chain,
            rows=rows,
            earliest=earliest,
        )

    def _log(self, kind: Kind, content: bytes, context: Context, overlay: Overlay, code: str) -> Receipt:
        """Append the entry. What was accepted takes effect; what was refused only stands on its subjects' lists."""
        if code == OK:
            self._state.take(overlay)
            self._set_timers(context)
        events = tuple(context.events) if code == OK else ()
        subjects = sorted(context.subjects)[:SUBJECTS_LIMIT]
        outcome = {
            "code": code,
            "events": [to_value(event) for event in events],
            "subjects": [{"subject": each, "count": concern(self._state, each) + 1} for each in subjects],
        }
        leaf = entry_leaf(kind, self.height, self.time, len(self._leaves), content, outcome)
        assert len(leaf) <= LEAF_LIMIT, "the limits of content, events and subjects add up to a leaf"
        hashed = leaf_hash(leaf)
        for each in subjects:
            append_to_list(self._state, each, hashed)
        receipt = Receipt(self.first + len(self._leaves), self.height, self.time, context.id, code, events)
        self._leaves.append(leaf)
        self._hashes.append(hashed)
        self._receipts.append(receipt)
        self.size += len(leaf)
        return receipt

    def _set_timers(self, context: Context) -> None:
        if not context.timers:
            return
        table = LedgerTables.timers.view(self._state)
        for number, (at, contract, message) in enumerate(context.timers):
            timer = hashlib.sha256(TIMER_LABEL + encode([context.id, number])).digest()
            table[at, timer] = TimerRow(contract, message)

    def close(self) -> Block:
        """Append the header; the builder is used up."""
        state = self._map()
        log = self._tip.log.copy()
        nodes = log.append_many(self._hashes)
        header = Header(
            origin=self._tip.header.origin,
            chain=self._chain,
            height=self.height,
            time=self.time,
            previous=self._tip.header.hash,
            first=self.first,
            log_root=log.root,
            state_root=state.map.root,
            contracts=_digests(self._state, self.height + 1),
            genesis=None,
        )
        leaf = header.leaf
        nodes = [*nodes, *log.append(leaf_hash(leaf))]
        return Block(
            tip=Tip(header, log, state.map),
            first=self.first,
            leaves=(*self._leaves, leaf),
            nodes=tuple(nodes),
            rows=self._state.changes,
            replaced=tuple(self._state.replaced()),
            state=state.nodes,
            receipts=tuple(self._receipts),
        )

    def _map(self) -> MapUpdate:
        """The state map after this block, old nodes touched."""
        changes, before = self._state.map_changes(), self._tip.map
        old = self.height - KEPT_VERSIONS
        touch = TOUCHED + 2 * len(changes) if before.oldest <= old else 0
        return before.updated_hashed(
            changes, self.height, bar=max(0, min(old, before.oldest + STRIDE)), touch=touch
        )


def _call(contract: type[Contract], context: Context, overlay: Overlay, message: Any) -> str:
    """Run the handler of a [name, fields] message; the code of its outcome.

    Raises:
        EncodingError: the fields are not those of the message.
        BaseException: whatever else the handler raises besides a declared refusal: it crashed.
    """
    kind, _ = contract.handlers[message[0]]
    record: Any = from_value(kind, message[1])
    try:
        contract(overlay).handle(context, message[0], record)
    except EncodingError as error:
        raise ValueError(f"a handler met a malformed value: {error}") from error
    except ContractError as refusal:
        if refusal.reason not in contract.codes:
            raise LookupError(f"{contract.name} does not declare the code {refusal.reason!r}") from refusal
        return refusal.reason
    if len(context.subjects) > SUBJECTS_LIMIT:
        return TOO_MANY_SUBJECTS
    if context.events and len(encode([to_value(event) for event in context.events])) > EVENTS_LIMIT:
        return TOO_MANY_EVENTS
    return OK


def _digests(rows: Rows, height: int) -> dict[str, bytes]:
    """The digests of the contracts that execute the block at `height`."""
    return {f"{name}/{each.version}": each.digest for name, each in active_contracts(rows, height)}


def found(registry: Registry, genesis: Genesis, load: Load) -> Block:
    """The genesis block: one leaf, the header with the document, over a state that holds what the document says.

    Args:
        registry: the contract classes of this node.
        genesis: the document.
        load: where the nodes of the state map will be read from.

    Raises:
        ConsensusError: the document names a contract that this node does not have.
        ValueError: the document is too large for a leaf.
    """
    state = Overlay(NO_ROWS)
    keys = Keys(state)
    for kind, parties in (("gate", genesis.gate), ("authority", genesis.authorities)):
        for party in parties:
            keys.admit(party, kind, None, genesis.time)
    establish(state, genesis)
    registry.active(state, 1)
    update = PackedMap.empty(load).updated_hashed(state.map_changes(), 0)
    log = CompactRange()
    header = Header(
        origin=genesis.origin,
        chain=bytes(32),
        height=0,
        time=genesis.time,
        previous=bytes(32),
        first=0,
        log_root=log.root,
        state_root=update.map.root,
        contracts=_digests(state, 1),
        genesis=genesis,
    )
    leaf = header.leaf
    if len(leaf) > LEAF_LIMIT:
        raise ValueError(f"a genesis document has at most {LEAF_LIMIT} bytes: name fewer parties")
    nodes = log.append(leaf_hash(leaf))
    tip = Tip(header, log, update.map)
    return Block(tip, 0, (leaf,), tuple(nodes), state.changes, (), update.nodes, ())
