"""A chain: ledger, storage, consensus and keys put together; what an application opens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Self, TypeVar

from medchain._opening import (
    blobs_at,
    check_mark,
    installed_contracts,
    load_tip,
    new_genesis,
    open_store,
    registry_of,
    stored_gate,
    stored_genesis,
    stored_row,
    system_clock,
)
from medchain._writer import Writer
from medchain.consensus.engine import Submission
from medchain.errors import ConsensusError, InvalidBlock, InvalidTransaction, StorageError
from medchain.keys.party import Party
from medchain.keys.wallet import Signer, Wallet
from medchain.ledger.archive import Archive
from medchain.ledger.audit import AuditReport, Progress, audit
from medchain.ledger.checkpoint import Checkpoint
from medchain.ledger.contract import Contract, wire_name
from medchain.ledger.draft import Signed, signer_ref
from medchain.ledger.entry import Entry, Genesis, Header, Predecessor, check_origin
from medchain.ledger.keys import current_party
from medchain.ledger.note import VerifierKey
from medchain.ledger.proof import EntryExtra, LogProof, StateExtra, extra_bytes
from medchain.ledger.tables import Table, TableView, plain_key
from medchain.ledger.transaction import Body, Transaction
from medchain.ledger.transition import Receipt, Registry, Tip, found
from medchain.ledger.trust import Trust
from medchain.merkle import ConsistencyProof, Head
from medchain.policy import GateSet
from medchain.records import to_value
from medchain.storage.api import Store
from medchain.storage.blobs import BlobStore, MemoryBlobs
from medchain.storage.mark import Mark
from medchain.storage.memory import MemoryStore

__all__ = ["Chain", "installed_contracts"]

SEND_ATTEMPTS = 3
"""How often `Chain.send` signs again, if a draft from elsewhere has used the sequence number meanwhile."""

V = TypeVar("V")
Path_ = str | PathLike[str]


class Chain:
    """One medical ledger, open for reading or for writing. Use it as a context manager.

    `Chain.create` founds one, `Chain.open` opens one: with the authority's wallet for writing, without a key for
    reading beside the writer. Safe to use from several threads; a forked child must open it again.
    """

    def __init__(
        self, archive: Archive, registry: Registry, genesis: Genesis, blobs: BlobStore, writer: Writer | None
    ) -> None:
        self._archive = archive
        self._registry = registry
        self._genesis = genesis
        self._writer = writer
        self._read: Tip | None = None
        self._closed = False
        self.blobs = blobs

    @classmethod
    def create(
        cls,
        path: Path_,
        *,
        origin: str,
        authority: Wallet,
        gate: Party | GateSet | None,
        contracts: Iterable[type[Contract]] | None = None,
        predecessor: Predecessor | None = None,
        store: Store | None = None,
        blobs: BlobStore | None = None,
        mark: Path_ | None = None,
        clock: Callable[[], int] = system_clock,
    ) -> Chain:
        """Found a chain and open it for writing.

        Args:
            path: folder for the chain; made if it is not there.
            origin: public name of the log, like ``clinic.example/ehr``: no white space, no ``+``.
            authority: the wallet that governs at first, and for good signs checkpoints and opens the chain for writing.
                Without it nobody can write again: back it up.
            gate: who gives the gate's share against a logged decision; None founds a chain without a gate.
            contracts: contract classes; all installed ones by default.
            predecessor: the chain that this one goes on from.
            store: where rows and leaves lie; LMDB in the folder by default.
            blobs: where sealed data lies; files in the folder by default.
            mark: file that keeps the largest signed size; in the user's state folder by default. It must not lie in
                the folder of the chain, nor be restored with it.
            clock: the time now in ms since the epoch.

        Raises:
            ValueError: the origin is none, or the gate has too many parties for the genesis document.
            StorageError: the folder holds a chain or something else already.
        """
        check_origin(origin)
        registry = registry_of(contracts)
        store = store or open_store(Path(path), create=True)
        try:
            genesis = new_genesis(origin, authority, gate, registry, predecessor, clock())
            archive = Archive(store)
            if not archive.empty:
                raise StorageError(f"{path} holds a chain already; Chain.open opens it")
            block = found(registry, genesis)
            kept = Mark.of(genesis.id) if mark is None else Mark(mark, chain_id=genesis.id)
            kept.advance(
                block.tip.head
            )  # first, so that a stored chain has its mark wherever this is broken off
            archive.commit(block)
            return cls._writing(
                archive, registry, genesis, block.tip, authority, blobs_at(path, blobs), kept, clock
            )
        except BaseException:
            store.close()
            raise

    @classmethod
    def open(
        cls,
        path: Path_,
        *,
        authority: Wallet | None = None,
        contracts: Iterable[type[Contract]] | None = None,
        store: Store | None = None,
        blobs: BlobStore | None = None,
        mark: Path_ | None = None,
        clock: Callable[[], int] = system_clock,
    ) -> Chain:
        """Open a chain: for writing with its authority's wallet, else for reading, beside a writer if there is one.

        The stored rows are checked against the last header's state root when writing.

        Raises:
            NotAChain, NewerFormat: the folder holds no chain, or one that a newer version wrote.
            Locked: another process is writing.
            InvalidBlock: what is stored contradicts itself.
            ConsensusError: a contract of the chain is not installed here.
            ValueError: the wallet is not the one that founded the chain.
            StorageError: the mark is missing or shows that this is an old copy of the chain.
        """
        store = store or open_store(Path(path), create=False, read_only=authority is None)
        try:
            archive = Archive(store)
            archive.check_format()
            registry = registry_of(contracts)
            genesis = stored_genesis(archive)
            if authority is None:
                return cls(archive, registry, genesis, blobs_at(path, blobs), None)
            if authority.log_key(genesis.tag).public != genesis.log_key:
                raise ValueError("this wallet is not the authority that founded the chain")
            kept = Mark.of(genesis.id) if mark is None else Mark(mark, chain_id=genesis.id)
            check_mark(archive, kept)
            with store.snapshot() as moment:
                tip = load_tip(archive.at(moment))
                registry.active(archive.at(moment), tip.header.height + 1)
            return cls._writing(
                archive, registry, genesis, tip, authority, blobs_at(path, blobs), kept, clock
            )
        except BaseException:
            store.close()
            raise

    @classmethod
    def in_memory(
        cls,
        *,
        origin: str = "memory.example/chain",
        authority: Wallet | None = None,
        gate: Party | GateSet | None = None,
        contracts: Iterable[type[Contract]] | None = None,
        blobs: BlobStore | None = None,
        clock: Callable[[], int] = system_clock,
    ) -> Chain:
        """Found a chain that ends with this process: for notebooks and tests.

        Without an `authority` a new wallet governs; without a `gate` the authority is the gate.
        """
        authority = authority or Wallet.generate()
        registry = registry_of(contracts)
        genesis = new_genesis(origin, authority, gate or authority.party, registry, None, clock())
        archive = Archive(MemoryStore())
        block = found(registry, genesis)
        archive.commit(block)
        return cls._writing(
            archive, registry, genesis, block.tip, authority, blobs or MemoryBlobs(), None, clock
        )

    @classmethod
    def _writing(
        cls,
        archive: Archive,
        registry: Registry,
        genesis: Genesis,
        tip: Tip,
        authority: Wallet,
        blobs: BlobStore,
        mark: Mark | None,
        clock: Callable[[], int],
    ) -> Chain:
        log_key = authority.log_key(genesis.tag)
        writer = Writer(archive, registry, genesis, tip, log_key=log_key, mark=mark, clock=clock)
        try:
            writer.checkpoint()
        except BaseException:
            writer.engine.close()
            raise
        return cls(archive, registry, genesis, blobs, writer)

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
    def trust(self) -> Trust:
        """What others need to verify this chain: hand it out on a way that the chain's server does not control."""
        return Trust((VerifierKey(self.origin, self._genesis.log_key),), self.id, self.tag)

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"height {self.height}, {self.head.size} leaves"
        return f"<Chain {self.origin} {self.id.hex()[:12]}… {state}{', read-only' if self.read_only else ''}>"

    def _repr_html_(self) -> str:
        if self._closed:
            return f"<b>{self.origin}</b> <code>{self.id.hex()[:12]}…</code>, closed"
        return (
            f"<b>{self.origin}</b> <code>{self.id.hex()[:12]}…</code><br>height {self.height}, "
            f"{self.head.size} leaves under <code>{self.head.root.hex()[:12]}…</code>"
        )

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
        """The header at `height`, the last one by default; IndexError if there is none yet."""
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

    def table(self, table: Table[V]) -> TableView[V]:
        """The rows of a contract's table, to read."""
        return table.view(self._archive)

    def party(self, id: bytes) -> Party | None:
        """A registered party with its current keys; None if unknown or revoked."""
        return current_party(self._archive, id)

    # Writing.

    def prepare(
        self,
        contract: type[Contract],
        message: Any,
        signers: Sequence[Party],
        *,
        not_after: int | None = None,
    ) -> Body:
        """A body to be signed by `signers`, in that order; it reserves a sequence number of the first one's key.

        Args:
            contract: whose message it is.
            message: an instance of one of its message classes.
            signers: who has to sign.
            not_after: last block time (ms) at which it may be logged.
        """
        writer = self._require_writer()
        if not signers:
            raise ValueError("a transaction has at least one signer")
        name = wire_name(type(message))
        if contract.handlers.get(name, (None,))[0] is not type(message):
            raise TypeError(f"contract {contract.name} handles no {type(message).__name__}")
        return Body(
            self.id,
            tuple(signer_ref(party) for party in signers),
            writer.reserve(signers[0]),
            not_after,
            contract.name,
            contract.version,
            [name, to_value(message)],
        )

    def submit(self, transaction: Transaction | Signed | bytes) -> Submission:
        """Hand in a signed transaction; attachments are stored in the blob stores first.

        Raises:
            InvalidTransaction: it is malformed, or somebody has not signed yet.
            ConsensusError: the chain is open for reading only, or its engine has stopped.
        """
        writer = self._require_writer()
        if isinstance(transaction, Signed):
            complete = transaction.transaction
            for attachment in transaction.attachments:
                self.blobs.put(attachment.object, attachment.data)
            return writer.submit(complete)
        if isinstance(transaction, bytes):
            transaction = Transaction.from_bytes(transaction)
        return writer.submit(transaction)

    def send(
        self, contract: type[Contract], message: Any, *, by: Sequence[Signer], timeout: float | None = None
    ) -> Receipt:
        """Prepare, sign with the wallets `by`, submit, and wait for the receipt.

        Raises:
            Refused: the contract refused; the refusal is logged.
            InvalidTransaction, ConsensusError, TimeoutError: as `Submission.result`.
        """
        parties = [wallet.party for wallet in by]
        for attempt in range(1, SEND_ATTEMPTS + 1):
            submission = self.submit(Signed.start(self.prepare(contract, message, parties)).sign(*by))
            try:
                return submission.result(timeout)
            except InvalidTransaction as error:
                if error.reason != "replayed" or attempt == SEND_ATTEMPTS:
                    raise
        raise AssertionError("unreachable")

    def _require_writer(self) -> Writer:
        if self._closed:
            raise ValueError("the chain is closed")
        if self._writer is None:
            raise ConsensusError(
                "the chain is open for reading only; open it with its authority's wallet to write"
            )
        return self._writer

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
            if fresh:
                self._require_writer().refresh()
            return self._writer.checkpoint()
        note = self._archive.checkpoint()
        if note is None:
            raise StorageError("the writer has not signed a checkpoint yet")
        return Checkpoint.parse(note)

    def prove(self, what: Any, *, checkpoint: Checkpoint | None = None) -> bytes:
        """A tlog-proof that an entry is in the log: bytes for a file that other tools read, too.

        Args:
            what: a log index, a `Receipt`, or what an entry gave, like a decision (its ``entry``).
            checkpoint: the checkpoint to prove it under; the current one by default.

        Raises:
            IndexError: the checkpoint does not cover it.
        """
        index = what if isinstance(what, int) else getattr(what, "entry", None)
        if index is None:
            index = getattr(what, "index", None)
        if type(index) is not int:
            raise TypeError(f"{what!r} names no entry of the log")
        checkpoint = checkpoint or self.checkpoint()
        if not 0 <= index < checkpoint.size:
            raise IndexError(f"entry {index} is not in the log of size {checkpoint.size}")
        extra = extra_bytes(EntryExtra(self._archive.leaf(index)))
        return bytes(LogProof(self._archive.prove_inclusion(index, checkpoint.size), checkpoint, extra))

    def prove_state(self, table: Table[V], key: Any, *, fresh: bool = False) -> bytes:
        """A tlog-proof of the row under `key` of a table, or of its absence, as of the last block.

        Args:
            table: declared by a contract class, like ``Keys.parties``.
            key: of the row.
            fresh: see `checkpoint`.

        Raises:
            StorageError: the chain is open for reading, and its last block is not signed yet.
        """
        if self._writer is None:
            tip, row, checkpoint = stored_row(self._archive, self._read, table, key)
            self._read = tip
        else:
            tip, row, checkpoint = self._require_writer().signed_row(table, key, fresh=fresh)
        extra = StateExtra(
            tip.header.leaf,
            table.contract,
            table.name,
            plain_key(key),
            row,
            bytes(tip.map.prove_hashed(table.map_key(key))),
        )
        inclusion = self._archive.prove_inclusion(checkpoint.size - 1, checkpoint.size)
        return bytes(LogProof(inclusion, checkpoint, extra_bytes(extra)))

    def prove_consistency(self, old: int, new: int) -> ConsistencyProof:
        """That the log of `new` leaves begins with the log of `old` leaves (RFC 9162 section 2.1.4)."""
        return self._archive.prove_consistency(old, new)

    def audit(self, progress: Progress | None = None) -> AuditReport:
        """Read the whole chain again from its genesis: every hash, signature, outcome and row.

        Args:
            progress: called as ``progress(leaves done, leaves in all)``.

        Raises:
            InvalidBlock: the first contradiction, with its place.
            ConsensusError: a contract of the chain is not installed here.
        """
        return audit(self._archive, self._registry, progress)

    # The end.

    def close(self) -> None:
        """Finish what was submitted, sign a last checkpoint, release the store. May be called twice."""
        if self._closed:
            return
        try:
            if self._writer is not None:
                self._writer.close()
        finally:
            self._closed = True
            self._archive.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
