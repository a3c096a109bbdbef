"""The reading half of an open chain: what it is, where it stands, what it proves to outsiders."""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike
from typing import Any, TypeGuard, TypeVar, overload

from medchain._following import Events, Watch
from medchain._opening import stored_gate
from medchain._proving import (
    check_height,
    entry_index,
    prove_consistency,
    prove_entry,
    prove_growth,
    prove_row,
)
from medchain._sharing import Sharing
from medchain._snapshots import open_snapshot, snapshot_to
from medchain._writer import Writer
from medchain.errors import ConsensusError, InvalidBlock, Locked, StorageError
from medchain.keys.party import Party
from medchain.ledger.archive import Archive
from medchain.ledger.audit import AuditReport, Progress, audit
from medchain.ledger.checkpoint import Checkpoint
from medchain.ledger.contract import Contract
from medchain.ledger.entry import Entry, Genesis, Header, Predecessor
from medchain.ledger.events import Cursor, EventReader
from medchain.ledger.keys import current_party
from medchain.ledger.note import NoteSigner, VerifierKey
from medchain.ledger.past import PastRows
from medchain.ledger.registry import Registry
from medchain.ledger.snapshot import SnapshotHead
from medchain.ledger.tables import Table, TableView
from medchain.ledger.trust import Trust
from medchain.merkle import ConsistencyProof, Head
from medchain.policy import GateSet

__all__ = ["ChainReading"]

V = TypeVar("V")
Path_ = str | PathLike[str]


def _is_contract(value: object) -> TypeGuard[type[Contract]]:
    return isinstance(value, type) and issubclass(value, Contract)


class ChainReading:
    """What an open chain tells, whether it is open for reading or for writing. `Chain` adds how it opens and writes."""

    _registry: Registry
    _genesis: Genesis
    _writer: Writer | None
    _watch: Watch
    _shared: Sharing

    # What the chain is.

    @property
    def genesis(self) -> Genesis:
        """The document that founded it."""
        return self._genesis

    @property
    def origin(self) -> str:
        """Public name of the log."""
        return self._genesis.origin

    @property
    def tag(self) -> bytes:
        """The chain tag, 32 bytes, from which wallets derive personas."""
        return self._genesis.tag

    @property
    def id(self) -> bytes:
        """The chain id, 32 bytes, which every signature covers."""
        return self._genesis.id

    @property
    def gate(self) -> GateSet | None:
        """The gate as it is now, to bind policies with; None for a chain without one."""
        return stored_gate(self._archive)

    @property
    def read_only(self) -> bool:
        """Whether it was opened without the authority's wallet."""
        return self._writer is None

    @property
    def begins(self) -> int:
        """The log index from which on history is here: 0, or the size of the snapshot from which it was restored."""
        base = self._archive.base
        return 0 if base is None else base.size

    @property
    def trust(self) -> Trust:
        """What others need to verify this chain: hand it out on a way that the chain's server does not control."""
        return Trust((VerifierKey(self.origin, self._genesis.log_key),), self.id, self.tag)

    @property
    def _archive(self) -> Archive:
        """What is stored, for a handle that may read it: `Sharing.check_usable` says which may not."""
        self._shared.check_usable(self)
        return self._shared.archive

    def __repr__(self) -> str:
        state = self._unusable() or f"height {self.height}, {self.head.size} leaves"
        return f"<Chain {self.origin} {self.id.hex()[:12]}… {state}{', read-only' if self.read_only else ''}>"

    def _repr_html_(self) -> str:
        name, unusable = f"<b>{self.origin}</b> <code>{self.id.hex()[:12]}…</code>", self._unusable()
        if unusable is not None:
            return f"{name}, {unusable}"
        head = self.head
        return (
            f"{name}<br>height {self.height}, {head.size} leaves under <code>{head.root.hex()[:12]}…</code>"
        )

    def _unusable(self) -> str | None:
        """Why nothing can be asked of this handle, in a word; None if it is open."""
        try:
            self._shared.check_usable(self)
        except ValueError:
            return "closed"
        except Locked:
            return "the parent's"
        return None

    # Where it stands.

    @property
    def head(self) -> Head:
        """Size and root of the log."""
        return self._archive.tip().log.head if self._writer is None else self._require_writer().tip.head

    @property
    def height(self) -> int:
        """Height of the last block."""
        return self.header().height

    def header(self, height: int | None = None) -> Header:
        """The header at `height`, the last one by default.

        Raises:
            IndexError: there is none yet.
            TypeError: it is no height.
        """
        check_height(height)
        if height is None and self._writer is not None:
            return self._require_writer().tip.header
        index = self._archive.tip().header if height is None else self._archive.header_index(height)
        try:
            header: Entry | Header | None = self._archive.parsed(index)
        except IndexError:
            header = None
        if not isinstance(header, Header):
            raise InvalidBlock("the store has no header where one should be", height=height, index=index)
        return header

    def entry(self, index: int) -> Entry | Header:
        """The entry, or header, at a log index; IndexError if the log is shorter."""
        return self._archive.parsed(index)

    def entries(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, Entry]]:
        """Entries with their log index, from `start` on; headers are passed over."""
        for index in range(start, self.head.size if stop is None else min(stop, self.head.size)):
            found_here = self._archive.parsed(index)
            if isinstance(found_here, Entry):
                yield index, found_here

    def events(
        self,
        since: Cursor | int = 0,
        *,
        height: int | None = None,
        contract: type[Contract] | str | None = None,
        subject: Party | bytes | None = None,
        every_entry: bool = False,
        follow: bool = False,
        timeout: float | None = None,
    ) -> Events:
        """Events in the order of the log: iterate over them, or have `Events.each` call back on a thread of its own.

        What a contract refuses has no events. With a `subject`, every entry on its list is given, if need be without an
        event (``event`` is None), so that it does not go unnoticed when access was tried and refused.

        Args:
            since: a log index, or the ``cursor`` of what was handled last: nothing is left out or given twice.
            height: begin with this block instead; with the next one, to see only what is new.
            contract: events of this contract only.
            subject: only what stands on the list of this party.
            every_entry: give entries without events, too, whomever they concern.
            follow: wait at the end of the log for what comes.
            timeout: with `follow`, stop when nothing has come for so many seconds; by default wait for ever.

        Raises:
            IndexError: the log does not reach that far. Of a stored cursor, this means an old copy of the chain.
            ValueError: a negative place, `since` and `height` together, a `timeout` without `follow`, or a subject that
                has not 32 bytes; while iterating: the chain was closed.
            TypeError: a place, contract or subject of another type.
            StorageError: the chain was restored, and the place is before its snapshot; or the store fails.
            InvalidBlock: while iterating: a stored leaf is missing or damaged.
            Locked: while iterating: in a forked child.
        """
        check_height(height)
        name = contract.name if _is_contract(contract) else contract
        party = subject.id if isinstance(subject, Party) else subject
        if not isinstance(name, str | None):
            raise TypeError(f"a contract is named by its class or its name, not by {contract!r}")
        if not isinstance(party, bytes | None):
            raise TypeError(f"a subject is a Party or its id, not {subject!r}")
        reader = EventReader(self._archive, self._registry, name, party, every_entry=every_entry)
        return self._watch.events(self, reader, since, height, follow=follow, timeout=timeout)

    def table(self, table: Table[V], *, at: int | None = None) -> TableView[V]:
        """The rows of a contract's table, to read: as they are now, whenever it is asked, or as of an earlier block.

        A loop over the rows of now may take its time, and may write: rows are read by pages of at most 1,024, each of
        the moment at which it is read, and nothing stays open in between. So a row that is there all along is given
        once; one that changes meanwhile as it was or as it is; one that is added behind the loop's place is missed, one
        ahead of it is given too. Take a ``list`` of the keys first where a loop adds rows to the table that it is over.

        As of a block, each row is checked by the state root of its header: some 0.1 ms for a row, 0.4 ms for one that
        has changed since, where a row of now takes 3 µs.

        Args:
            table: declared by a contract class, like ``Keys.parties``.
            at: height of the block, one of the last 1,024. While blocks go on it may come to its end: then reading
                raises IndexError, too; an iteration that has begun goes on.

        Raises:
            IndexError: there is no such block yet, or its state is not kept any more.
            TypeError: `at` is no height.
        """
        check_height(at)
        return table.view(self._archive if at is None else PastRows(self._archive, table, at))

    def party(self, id: bytes) -> Party | None:
        """A registered party with its current keys; None if unknown or revoked."""
        return current_party(self._archive, id)

    # Proving.

    def checkpoint(self, *, fresh: bool = False) -> Checkpoint:
        """The log's signed statement of its size and root.

        A chain open for reading gives the last one that the writer signed.

        Args:
            fresh: if the last block is older than 60 s, log an empty one first, so that the state is proved as of now.

        Raises:
            StorageError: nothing was signed yet, or another copy of this chain has signed.
        """
        if self._writer is not None:
            writer = self._require_writer()
            if fresh:
                writer.refresh()
            return writer.checkpoint()
        note = self._archive.checkpoint()
        if note is None:
            raise StorageError("the writer has not signed a checkpoint yet")
        return Checkpoint.parse(note)

    @property
    def cosigner(self) -> NoteSigner | None:
        """What cosigns the log by ML-DSA-44 when it is published; None for a chain open for reading."""
        return None if self._writer is None else self._writer.cosigner

    def cosigned_checkpoint(self) -> Checkpoint:
        """As `checkpoint`, with the log's ML-DSA-44 cosignature (C2SP tlog-cosignature) if open for writing.

        It takes a millisecond, and 3.3 kB in everything that holds the checkpoint: so it is for publishing, and for
        proofs that are to last longer than Ed25519 may.
        """
        return self.checkpoint() if self._writer is None else self._require_writer().cosigned_checkpoint()

    def prove(self, what: Any, *, checkpoint: Checkpoint | None = None) -> bytes:
        """A tlog-proof that an entry is in the log: bytes for a file that other tools read, too.

        Args:
            what: a log index, a `Receipt`, or what an entry gave, like a decision (its ``entry``).
            checkpoint: the checkpoint to prove it under; the current one by default.

        Raises:
            IndexError: the checkpoint does not cover it, or the log is shorter than the checkpoint.
            TypeError: it names no entry.
            StorageError: the chain was restored, and it was logged before; or no checkpoint is signed yet.
        """
        return prove_entry(self._archive, entry_index(what), checkpoint or self.checkpoint())

    def prove_state(self, table: Table[V], key: Any, *, at: int | None = None, fresh: bool = False) -> bytes:
        """A tlog-proof of the row under `key` of a table, or that there is none.

        Args:
            table: declared by a contract class, like ``Keys.parties``.
            key: of the row.
            at: height of the block as of which to prove it, one of the last 1,024; the last signed one by default.
            fresh: see `checkpoint`.

        Raises:
            IndexError: there is no such block yet, or its state is not kept any more.
            TypeError: `at` is no height, or `key` no key.
            ValueError: the key is too long for a table.
            StorageError: no checkpoint is signed yet.
        """
        return self._row(table, key, at, fresh)[0]

    def _row(self, table: Table[Any], key: Any, at: int | None, fresh: bool) -> tuple[bytes, bool]:
        """Prove a row, under a newer checkpoint if so many blocks have come that the state of the first has gone."""
        while True:
            checkpoint = self.checkpoint(fresh=fresh)
            try:
                return prove_row(self._archive, table, key, checkpoint, at)
            except IndexError:
                if at is not None or self.checkpoint().size == checkpoint.size:
                    raise

    def prove_absent(self, table: Table[V], key: Any, *, at: int | None = None, fresh: bool = False) -> bytes:
        """As `prove_state`, that there is no row under `key`; ValueError if there is one."""
        proof, present = self._row(table, key, at, fresh)
        if present:
            raise ValueError(f"{table.contract}.{table.name} has a row under {key!r}")
        return proof

    @overload
    def prove_consistency(self, old: Checkpoint, new: Checkpoint | None = None) -> bytes: ...

    @overload
    def prove_consistency(self, old: int, new: int) -> ConsistencyProof: ...

    def prove_consistency(
        self, old: Checkpoint | int, new: Checkpoint | int | None = None
    ) -> bytes | ConsistencyProof:
        """That the log has only grown: what it held at `old` it holds in the same places at `new`.

        Of two checkpoints it makes a file, a tlog-proof that `verify` takes as a `Consistency` and that holds both. Of
        two sizes it makes the bare proof of RFC 9162 (section 2.1.4), for programs that have both heads.

        Args:
            old: a checkpoint of this log that somebody has kept, or a size.
            new: a later checkpoint, by default the current one; or a size, if `old` is one.

        Raises:
            IndexError: the log is shorter than `new`, or `new` is older than `old`, the checkpoint.
            ValueError: the size `old` is negative or larger than `new`, or it is 0 and `new` is not; a checkpoint of
                size 0.
            TypeError: a checkpoint and a size, or neither.
            VerificationError: a checkpoint is not signed by this log, or is of another history than this chain holds.
            StorageError: the chain was restored, and what the proof needs was logged before; or no checkpoint is
                signed yet.
        """
        if isinstance(old, Checkpoint):
            newer = self.checkpoint() if new is None else new
            if not isinstance(newer, Checkpoint):
                raise TypeError(
                    f"consistency is proved between two checkpoints, or two sizes, not with {new!r}"
                )
            return prove_growth(self._archive, old, newer, self.trust)
        return prove_consistency(self._archive, old, new)  # type: ignore[arg-type]  # it refuses what is no size

    def audit(self, progress: Progress | None = None, *, snapshot: Path_ | None = None) -> AuditReport:
        """Read the whole chain again from its genesis: every hash, signature, outcome and row.

        Args:
            progress: called as ``progress(leaves done, leaves in all)``.
            snapshot: for a chain that was restored from this file, and is read from there.

        Raises:
            InvalidBlock: the first contradiction, with its place.
            ConsensusError: a contract of the chain is not installed here.
            StorageError: the chain was restored, and no snapshot is named.
        """
        if snapshot is None:
            return audit(self._archive, self._registry, progress)
        with open_snapshot(snapshot, self.trust) as start:
            return audit(self._archive, self._registry, progress, snapshot=start)

    # Copies.

    def snapshot(self, path: Path_, *, progress: Progress | None = None) -> SnapshotHead:
        """Write the state into a file, while blocks go on. Equal states give equal files.

        The process that writes signs its last block for it. A chain open for reading gives the last block that the
        writer has signed, which may be some blocks back: ``height`` and ``log`` of what is returned say which it is.

        It holds rows, last header and checkpoint; no history, no sealed data and no key. Keep it apart from the mark.

        Raises:
            StorageError: the file cannot be written; or the writer has signed nothing yet, or not for 1,024 blocks.
        """
        archive = self._archive
        moment = archive.store.snapshot() if self._writer is None else self._require_writer().moment()
        return snapshot_to(archive, self._registry, moment, path, progress)

    @property
    def ended(self) -> Predecessor:
        """What a chain that goes on from this one names as its `predecessor`."""
        return Predecessor(self.origin, self.head.size, self.head.root)

    # What both halves ask.

    def _require_writer(self) -> Writer:
        self._shared.check_usable(self)
        if self._writer is None:
            raise ConsensusError(
                "the chain is open for reading only; open it with its authority's wallet to write"
            )
        return self._writer
