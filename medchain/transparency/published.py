"""Following a published log: a verified copy that grows with every checkpoint, and stops where the log has forked.

A checkpoint is believed as far as `Trust` goes: who signed it, and which witnesses. Its tiles are checked from its root
down and its entries against the tiles, so every leaf is proved under a signed root before it is taken into the copy.
What was broken off goes on where it ended.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

from attrs import evolve, field, frozen

from medchain._opening import registry_of
from medchain._proving import entry_index, prove_entry
from medchain.errors import Forked, StorageError, VerificationError
from medchain.ledger.checkpoint import Checkpoint
from medchain.ledger.contract import Contract
from medchain.ledger.note import NOTE_LIMIT
from medchain.ledger.quorum import Quorum
from medchain.ledger.tables import Table, TableView
from medchain.ledger.trust import Trust
from medchain.merkle import ConsistencyProof, Head, InclusionProof
from medchain.storage.api import Store
from medchain.storage.memory import MemoryStore
from medchain.storage.places import Place
from medchain.transparency import layout
from medchain.transparency.auditing import LogAudit, audit_copy
from medchain.transparency.beside import Beside
from medchain.transparency.copy import Copy, copy_in
from medchain.transparency.entries import LoggedEntry, read_entries
from medchain.transparency.evidence import Evidence
from medchain.transparency.fetching import fetched_runs
from medchain.transparency.following import LogFollowing
from medchain.transparency.growth import Growth, growth_of
from medchain.transparency.history import History
from medchain.transparency.source import Source, source_of
from medchain.transparency.tree import PublishedTree

__all__ = ["PublishedLog", "Update"]

V = TypeVar("V")
Progress = Callable[[int, int], object]


@frozen
class Update:
    """What an update has done.

    Attributes:
        before: how many leaves the copy had,
        checkpoint: and what it holds now.
    """

    before: int
    checkpoint: Checkpoint = field(repr=lambda each: f"<size {each.size}>")

    @property
    def added(self) -> int:
        """How many leaves are new."""
        return self.checkpoint.size - self.before


class PublishedLog:
    """A log that somebody else publishes, and a verified copy of it.

    Safe to use from several threads. Reading the copy needs no network.

    Args:
        source: where it is published: ``http(s)://…``, a directory, or a `Source`.
        trust: whom to believe, or the path of a trust file.
        store: where the copy lies: a folder or another `Place` as text, or a `Store`; in memory by default.
        contracts: contract classes, to execute every entry again and compare every state root; then the copy holds the
            rows, too, and `Chain.open` reads it. Without, outcomes and state are what the log says they are.

    Raises:
        StorageError: the store holds something else, or a copy that was made in the other way; or cannot be opened; or
            evidence beside it does not convict this log.
        MalformedProof: a trust file is malformed.
        ValueError: a URL or a place is none.
    """

    def __init__(
        self,
        source: Source | str | os.PathLike[str],
        trust: Trust | str | os.PathLike[str],
        store: Store | str | os.PathLike[str] | None = None,
        *,
        contracts: Iterable[type[Contract]] | None = None,
    ) -> None:
        self.source = source_of(source)
        self.trust = trust if isinstance(trust, Trust) else Trust.load(trust)
        registry = None if contracts is None else registry_of(contracts)
        folder: Path | None = None
        if store is not None and not isinstance(store, Store):
            place = Place.parse(store)
            folder = place.folder
            store = place.open(create=True)
        self._store = MemoryStore() if store is None else store
        self._lock = threading.Lock()
        try:
            self._copy: Copy = copy_in(self._store, self.trust, registry)
            self._beside = Beside(folder, self.trust)
            self._history = History(self._copy, self._beside, self.source.name)
        except BaseException:
            self._store.close()
            raise

    # Growing.

    def update(self, progress: Progress | None = None) -> Update:
        """Bring the copy up to the checkpoint that is published now.

        Args:
            progress: called as ``progress(leaves here, leaves in all)``.

        Raises:
            Forked: the log has signed another history; its ``evidence`` convicts it and is kept in `evidence`. From
                then on every update is refused with it.
            Rewound: it shows less than it has shown before.
            UntrustedSigner, InvalidSignature, MalformedProof: what is published is no checkpoint of this log, or lacks
                witnesses.
            VerificationError: a tile or bundle is missing, of another length, or not what was signed; names the file.
            InvalidBlock: the log has signed a block that breaks the rules, with its place: of form, or with `contracts`
                what executing it gives.
            ConsensusError: a contract that executes the next block is not installed here.
            Unreachable: the server has not answered as it should.
            StorageError: the directory or the copy cannot be read or written.
        """
        return self._update(progress, lambda: None)

    def _update(self, progress: Progress | None, go_on: Callable[[], object]) -> Update:
        """`update`, broken off between two files by what `go_on` raises."""
        with self._lock:
            self._history.expect_no_fork()
            checkpoint = self._fetch_checkpoint()
            tree = PublishedTree(self.source, checkpoint.head)
            self._history.compare_or_keep(checkpoint, tree)
            before = self.size
            if self._copy.size < checkpoint.size:
                tree.check_border()
                self._copy.begin(checkpoint)
                with closing(fetched_runs(self.source, tree, self._copy.size, go_on)) as runs:
                    for leaves, hashes in runs:
                        self._copy.add(leaves, hashes)
                        if progress is not None:
                            progress(self._copy.size, checkpoint.size)
            held = self._copy.checkpoint
            if held is None or bytes(held) != bytes(checkpoint):
                self._copy.finish(checkpoint)
            return Update(before, checkpoint)

    def _fetch_checkpoint(self) -> Checkpoint:
        data = self.source.read(layout.CHECKPOINT, NOTE_LIMIT)
        if data is None:
            raise VerificationError(f"{self.source.name}: no checkpoint is published there")
        checkpoint = Checkpoint.parse(data)
        self.trust.verify(checkpoint)
        if checkpoint.size == 0:
            raise VerificationError("a checkpoint of an empty log: this one begins with its genesis")
        return checkpoint

    def follow(
        self,
        callback: Callable[[Update], object] | None = None,
        *,
        every: float = 60.0,
        on_trouble: Callable[[Exception], object] | None = None,
    ) -> LogFollowing:
        """Update again and again, on a thread of its own, until it is stopped or the log has broken its word.

        Raises ValueError if `every` is no number of seconds that can pass.

        Args:
            callback: called with each update that has added something.
            every: seconds from the end of one update to the next.
            on_trouble: called with what has gone wrong and may be right the next time: an unreachable server, files
                that do not fit. What stops it for good is in `LogFollowing.error`.
        """
        return LogFollowing(partial(self._update, None), callback, every, on_trouble)

    # What is here.

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The last signed checkpoint up to which everything is here; None before the first update."""
        return self._copy.checkpoint

    @property
    def head(self) -> Head | None:
        """Its size and root."""
        return None if self.checkpoint is None else self.checkpoint.head

    @property
    def evidence(self) -> Evidence | None:
        """What convicts the log of a fork, if one was seen."""
        return self._beside.evidence

    @property
    def evidence_file(self) -> Path | None:
        """Where that lies; None if nothing was seen, or the copy is in no folder."""
        return self._beside.evidence_file

    @property
    def unproved(self) -> tuple[Checkpoint, ...]:
        """Signed checkpoints of which the log has withheld whether they go on from the copy, at most 16.

        They lie beside the copy, too, as ``unproved-….txt``. Others can `compare` them; a later update that shows what
        they are convicts the log, or removes them.
        """
        return tuple(self._beside.unproved.values())

    @property
    def size(self) -> int:
        """How many leaves it has; 0 before the first update."""
        return 0 if self.checkpoint is None else self.checkpoint.size

    def __repr__(self) -> str:
        state = "forked" if self.evidence else f"{self.size} leaves"
        return f"<PublishedLog {self.trust.origin} {state}, from {self.source.name}>"

    def entries(self, *, contract: str | None = None, since: int = 0) -> Iterator[LoggedEntry]:
        """The entries of the copy in order, headers left out.

        Args:
            contract: those of this contract only.
            since: log index from which on.

        Raises:
            InvalidBlock: an entry has a content that is none; the log has signed that.
        """
        if type(since) is not int or since < 0:
            raise ValueError(f"entries are asked for from a log index on, not {since!r}")
        return read_entries(self._copy.archive, since, self.size, contract)

    def prove(self, what: Any) -> bytes:
        """A tlog-proof that an entry, named by its log index or as `entries` gives it, is in the log.

        Raises:
            IndexError: the copy does not have it.
            TypeError: it names no entry.
        """
        return prove_entry(self._copy.archive, entry_index(what), self._expect_checkpoint())

    def path(self, what: Any) -> InclusionProof:
        """The bare inclusion proof of an entry, which shows itself in a notebook. Errors as `prove`."""
        checkpoint = self._expect_checkpoint()
        index = entry_index(what)
        if not 0 <= index < checkpoint.size:
            raise IndexError(f"entry {index} is not in the log of size {checkpoint.size}")
        return self._copy.archive.prove_inclusion(index, checkpoint.size)

    def table(self, table: Table[V]) -> TableView[V]:
        """The rows of a table, as executing the log has made them; ValueError for a copy made without contracts."""
        if not self._copy.executed:
            raise ValueError(
                "this copy was made without contracts, so it has no rows: begin one with contracts="
            )
        return table.view(self._copy.archive)

    def audit(self, progress: Progress | None = None, *, gap: float = 3600.0) -> LogAudit:
        """Hash and read the whole copy again, and tell what is in it.

        Args:
            progress: called as ``progress(leaves done, leaves in all)``.
            gap: seconds between two blocks from which on they are named.

        Raises:
            InvalidBlock: the copy is damaged, or the log has signed what breaks a rule.
            VerificationError: the trust file no longer accepts the checkpoint of the copy.
            StorageError: nothing is here yet.
        """
        return audit_copy(self._copy, self._expect_checkpoint(), self.evidence, progress, gap)

    def growth(self) -> Growth:
        """How the log has grown, as a picture: ``str`` is an SVG. StorageError if nothing is here yet."""
        return growth_of(self._copy.archive, self._expect_checkpoint().size)

    def to_arrow(self, *, contract: str | None = None, since: int = 0) -> Any:
        """The entries as a table of PyArrow, which the extra ``arrow`` installs. Arguments as `entries`."""
        from medchain.transparency.arrow import arrow_table

        return arrow_table(self.entries(contract=contract, since=since))

    def _expect_checkpoint(self) -> Checkpoint:
        if self.checkpoint is None:
            raise StorageError("the copy is empty: update() fills it")
        return self.checkpoint

    def compare(self, other: Checkpoint | PublishedLog | str | bytes) -> ConsistencyProof:
        """Whether a checkpoint that somebody else has seen is of the same history; the proof that it is.

        Two who follow a log find out so whether it shows them the same. Witnesses are not asked for: the log's own
        signature convicts it.

        Args:
            other: a checkpoint, or somebody's copy of the log.

        Raises:
            Forked: it is of another history, and from now on the copy grows no more.
            VerificationError: it is not signed by this log; or it is larger than the copy, and what is published does
                not have its tiles.
        """
        if isinstance(other, PublishedLog):
            if other.size > self.size:
                return self._compared_by(other)
            other = other._expect_checkpoint()
        elif not isinstance(other, Checkpoint):
            other = Checkpoint.parse(other)
        evolve(self.trust, quorum=Quorum()).verify(other)
        with self._lock:
            held = self._expect_checkpoint()
            if other.size <= held.size:
                proof = self._history.compare_smaller(other)
                assert proof is not None, "it is not larger than the copy"
                return proof
            tree = PublishedTree(self.source, other.head)
            root, proof = tree.root_at(held.size), tree.prove_consistency(held.size)
            if root != held.root:
                self._history.convict(Evidence.of(held, other, root, proof))
            return proof

    def _compared_by(self, other: PublishedLog) -> ConsistencyProof:
        """What a longer copy says of this one."""
        try:
            return other.compare(self._expect_checkpoint())
        except Forked as error:
            with self._lock:
                self._history.convict(Evidence.parse(error.evidence))
            raise

    def close(self) -> None:
        """Close the copy and the connections."""
        with self._lock:
            self.source.close()
            self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
