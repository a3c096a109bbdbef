"""The reading half of an open chain: what it is, where it stands, what it proves to outsiders."""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike
from typing import TypeGuard, TypeVar

from medchain._following import Events, Watch
from medchain._opening import stored_gate
from medchain._proving import (
    check_height,
)
from medchain._snapshots import open_snapshot, snapshot_to
from medchain._vouching import ChainVouching
from medchain.errors import InvalidBlock, Locked
from medchain.keys.party import Party
from medchain.ledger.audit import AuditReport, Progress, audit
from medchain.ledger.contract import Contract
from medchain.ledger.entry import Entry, Genesis, Header, Predecessor
from medchain.ledger.events import Cursor, EventReader
from medchain.ledger.keys import current_party
from medchain.ledger.past import PastRows
from medchain.ledger.registry import Registry
from medchain.ledger.snapshot import SnapshotHead
from medchain.ledger.tables import Table, TableView
from medchain.merkle import Head
from medchain.policy import GateSet

__all__ = ["ChainReading"]

V = TypeVar("V")
Path_ = str | PathLike[str]


def _is_contract(value: object) -> TypeGuard[type[Contract]]:
    return isinstance(value, type) and issubclass(value, Contract)


class ChainReading(ChainVouching):
    """What an open chain tells, whether it is open for reading or for writing. `Chain` adds how it opens and writes."""

    _registry: Registry
    _watch: Watch

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

    # Copies and audits.

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
