"""The writing half of an open chain: what the engine drives, and the key that signs checkpoints."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from attrs import evolve

from medchain._following import Growth
from medchain._numbering import SequenceNumbers
from medchain.consensus.engine import Submission
from medchain.consensus.solo import Solo
from medchain.errors import ConsensusError, EncodingError, InvalidBlock, InvalidTransaction, Locked
from medchain.keys.cosigning import CosignKey
from medchain.keys.party import Party
from medchain.keys.signing import SigningKey
from medchain.ledger.archive import Archive
from medchain.ledger.checkpoint import Checkpoint
from medchain.ledger.draft import Attachment, signer_ref
from medchain.ledger.entry import Entry, Genesis, Kind
from medchain.ledger.note import Note, NoteSigner
from medchain.ledger.registry import Registry
from medchain.ledger.state import Overlay
from medchain.ledger.system import LedgerTables, highest
from medchain.ledger.transaction import Transaction
from medchain.ledger.transition import Block, BlockBuilder, Receipt, Tip
from medchain.records import from_value
from medchain.storage.api import Snapshot
from medchain.storage.blobs import BlobStore
from medchain.storage.mark import Mark

__all__ = ["EMPTY_BLOCK_MS", "Writer"]

EMPTY_BLOCK_MS = 60_000
"""How long after the last header a resting chain may log an empty block, if somebody asks for a fresh one."""


class Writer:
    """Application of the solo engine, and signer of the log.

    Args:
        keys: of the log: one that signs checkpoints, and one that cosigns them when they are published.
        mark: where the largest signed size is kept; None for a chain in memory, whose history ends with it.
        clock: the time now, ms since the epoch.
    """

    def __init__(
        self,
        archive: Archive,
        registry: Registry,
        genesis: Genesis,
        tip: Tip,
        *,
        keys: tuple[SigningKey, CosignKey],
        mark: Mark | None,
        clock: Callable[[], int],
    ) -> None:
        self.tip = tip
        self.growth = Growth(tip.head.size)
        self._archive = archive
        self._view = archive  # what the engine's thread reads from
        self._registry = registry
        self._genesis = genesis
        self._signer = NoteSigner(genesis.origin, keys[0])
        self.cosigner = NoteSigner.cosigner(genesis.origin, keys[1])
        self.mark = mark
        self.clock = clock
        self._numbers = SequenceNumbers(lambda ref: highest(archive, ref.party, ref.key), clock)
        self._signed: Checkpoint | None = None
        self._signing = threading.Lock()
        self._pid = os.getpid()
        self.engine = Solo(self)

    @contextmanager
    def begin(self) -> Iterator[BlockBuilder]:
        """A builder on top of the last block, at the clock's time, that reads from one snapshot of the store."""
        with self._archive.store.snapshot() as moment:
            self._view = self._archive.at(moment)
            try:
                yield BlockBuilder(self._registry, self._genesis, self.tip, self._view, self.clock())
            finally:
                self._view = self._archive

    def commit(self, block: Block) -> None:
        """Store a block durably, then let readers see it."""
        self._archive.commit(block)
        self.tip = block.tip
        self.growth.reached(block.tip.head.size)
        self._numbers.committed()

    def lookup(self, transaction: Transaction) -> Receipt | None:
        """The receipt of a transaction whose very bytes are committed; with other signatures it is a replay."""
        index = self._view.find(transaction.id)
        if index is None:
            return None
        try:
            entry = self._view.parsed(index)
        except IndexError:
            entry = None
        if not isinstance(entry, Entry) or entry.kind is not Kind.TRANSACTION:
            raise InvalidBlock("the index of transactions names no transaction", index=index)
        if entry.content != transaction.raw:
            return None
        return Receipt(
            index, entry.height, entry.time, transaction.id, entry.outcome.code, entry.outcome.events
        )

    def wait_for_timer(self) -> float | None:
        """Seconds until the earliest timer is due."""
        due = next(LedgerTables.timers.view(self._archive).keys(), None)
        return None if due is None else max(0.0, (due[0] - self.clock()) / 1000)

    def submit(self, transaction: Transaction) -> Submission:
        """Hand a transaction to the engine; InvalidTransaction if it asks for a contract that is not here."""
        self._registry.check_intake(transaction.body)
        ref, number = transaction.body.signers[0], transaction.body.seq
        self._numbers.sent(ref, number)
        try:
            submission = self.engine.submit(transaction)
        except BaseException:
            self._numbers.landed(ref, number)
            raise
        submission.when_known(lambda: self._numbers.landed(ref, number))
        return submission

    def store(self, attachments: Sequence[Attachment], transaction: Transaction, blobs: BlobStore) -> None:
        """Store what comes along with a transaction before it goes in.

        Raises:
            InvalidTransaction: it may not enter a block, or does not name all of it; nothing is stored then.
        """
        named = self._attached(transaction) if attachments else {}
        for each in attachments:
            if named.get(hashlib.sha256(each.data).digest()) != each.object:
                raise InvalidTransaction("foreign-attachment", "an attachment is not what the message names")
        for each in attachments:
            blobs.put(each.object, each.data)

    def _attached(self, transaction: Transaction) -> Mapping[bytes, bytes]:
        """The blobs that a transaction names, if it may enter a block: hash and object id."""
        body = transaction.body
        with self._archive.store.snapshot() as moment:
            rows = self._archive.at(moment)
            builder = BlockBuilder(self._registry, self._genesis, self.tip, rows, self.clock())
            if rows.find(transaction.id) is None:  # else it was checked when it was logged
                builder.admit(transaction)
            contract = builder.contract(body.contract)
            if contract is None or body.message_name not in contract.handlers:
                return {}  # logged by a version that has gone
            try:
                message: Any = from_value(contract.handlers[body.message_name][0], body.message[1])
            except EncodingError as error:
                raise InvalidTransaction("malformed", str(error)) from error
            return contract(Overlay(rows)).attached(tuple(each.party for each in body.signers), message)

    def refresh(self) -> None:
        """Log an empty block if the chain has rested for 60 s, so that its state can be proved as of now."""
        self.engine.run(self._cut)

    def _cut(self) -> None:
        if self.clock() - self.tip.header.time >= EMPTY_BLOCK_MS:
            with self.begin() as builder:
                builder.run_timers()
                block = builder.close()
            self.commit(block)

    def reserve(self, party: Party) -> int:
        """A sequence number for a new draft whose first signer is `party`; errors as `SequenceNumbers.take`."""
        self._check_process()
        return self._numbers.take(signer_ref(party))

    def checkpoint(self) -> Checkpoint:
        """Sign the log as it is now.

        Raises:
            StorageError: another copy of this chain has signed meanwhile, or the mark cannot be written.
        """
        while True:
            checkpoint = self.sign(self.tip)
            if checkpoint is not None:
                return checkpoint

    def sign(self, tip: Tip) -> Checkpoint | None:
        """Sign the log as it was at `tip`; None if a larger one is signed already.

        The mark is moved first, so that no copy of the chain can sign a second history.
        """
        self._check_process()
        head = tip.head
        with self._signing:
            if self._signed is not None and self._signed.size >= head.size:
                return self._signed if self._signed.head == head else None
            if self.mark is not None:
                self.mark.advance(head)
            text = Checkpoint.text(self._genesis.origin, head)
            note = Note(text, ()).signed_with(self._signer.sign(text))
            self._archive.keep_checkpoint(bytes(note))
            self._signed = Checkpoint(self._genesis.origin, head, note)
            return self._signed

    def cosigned_checkpoint(self) -> Checkpoint:
        """`checkpoint`, with the log's ML-DSA-44 cosignature beside its signature."""
        found = self.checkpoint()
        line = self.cosigner.sign(found.note.text, self.clock() // 1000)
        return evolve(found, note=found.note.signed_with(line))

    def moment(self) -> Snapshot:
        """The store just after a block that is signed, between two blocks."""
        found: list[Snapshot] = []
        reader = threading.get_ident()

        def take() -> None:
            self.checkpoint()
            moment = self._archive.store.snapshot()
            moment.hand_over(reader)  # or it would be the engine's own, which a commit does not wait for
            found.append(moment)

        self.engine.run(take)
        return found[0]

    def drain(self) -> None:
        """Finish what was taken and go on; a checkpoint is signed if the engine is healthy."""
        if os.getpid() == self._pid:
            with suppress(ConsensusError):  # it has stopped; who has submitted something has been told
                self.engine.drain()
                self.checkpoint()

    def close(self) -> None:
        """Finish what was taken and stop; the last checkpoint is signed if the engine is healthy."""
        self.engine.close()
        if self.engine.failure is None and os.getpid() == self._pid:
            self.checkpoint()

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise Locked("a forked child cannot write to the chain of its parent; open it after forking")
