"""A chain: ledger, storage, consensus and keys put together; what an application opens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from os import PathLike
from typing import Any, Self

from medchain._following import Events, Following, Watch
from medchain._opening import (
    blobs_at,
    check_mark,
    check_name,
    check_vacant,
    commit_first,
    installed_contracts,
    load_tip,
    new_genesis,
    registry_of,
    stored_genesis,
    system_clock,
)
from medchain._reading import ChainReading
from medchain._sharing import Sharing, once_in_process
from medchain._snapshots import open_snapshot
from medchain._writer import Writer
from medchain.consensus.engine import Submission
from medchain.errors import InvalidTransaction
from medchain.keys.party import Party
from medchain.keys.wallet import Signer, Wallet
from medchain.ledger.archive import Archive
from medchain.ledger.audit import Progress
from medchain.ledger.contract import Contract, wire_name
from medchain.ledger.draft import Signed, signer_ref
from medchain.ledger.entry import Genesis, Predecessor
from medchain.ledger.registry import Registry
from medchain.ledger.restoring import restore
from medchain.ledger.transaction import Body, Transaction
from medchain.ledger.transition import Receipt, Tip, found
from medchain.ledger.trust import Trust
from medchain.ledger.versions import stored_nodes
from medchain.policy import GateSet
from medchain.records import to_value
from medchain.storage.api import Store
from medchain.storage.blobs import BlobStore, MemoryBlobs
from medchain.storage.mark import Mark
from medchain.storage.memory import MemoryStore
from medchain.storage.places import Place

__all__ = ["Chain", "Events", "Following", "installed_contracts"]

SEND_ATTEMPTS = 3
"""How often `Chain.send` signs again, if a draft from elsewhere has used the sequence number meanwhile."""

Path_ = str | PathLike[str]


class Chain(ChainReading):
    """One medical ledger, open for reading or for writing. Use it as a context manager.

    `Chain.create` founds one, `Chain.open` opens one: with the authority's wallet for writing, without a key for
    reading beside the writer. Safe to use from several threads; a forked child must open it again.

    Opened for writing again while it is open in this process, it is the same chain: handles share writer and store, and
    the last one that is closed closes them. Each has blob stores of its own, if it was opened with some.
    """

    def __init__(self, shared: Sharing, blobs: BlobStore | None = None) -> None:
        self._shared = shared
        self._registry = shared.registry
        self._genesis = shared.genesis
        self._writer = shared.writer
        self._watch = Watch(shared.archive, None if shared.writer is None else shared.writer.growth)
        self.blobs = shared.blobs if blobs is None else blobs
        shared.join(self)

    @classmethod
    @once_in_process
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
        """Found a chain and open it for writing. Said again while it is open in this process, open it once more.

        Args:
            path: where the chain lies: a folder, made if it is not there, or a `Place` as text, like
                ``sqlite:FOLDER`` or ``postgresql://…?schema=NAME``.
            origin: public name of the log, like ``clinic.example/ehr``: no white space, no ``+``.
            authority: the wallet that governs at first, and for good signs checkpoints and opens the chain for writing.
                Without it nobody can write again: back it up.
            gate: who gives the gate's share against a logged decision; None founds a chain without a gate.
            contracts: contract classes; all installed ones by default.
            predecessor: the chain that this one goes on from; it has another origin.
            store: where rows and leaves lie, if not at `path` (LMDB, unless `path` says otherwise).
            blobs: where sealed data lies; files in the folder by default.
            mark: file that keeps the largest signed size; in the user's state folder by default. It must not lie in
                the folder of the chain, nor be restored with it.
            clock: the time now in ms since the epoch.

        Raises:
            ValueError: the origin is none or the predecessor's, the place is none, or the gate has too many parties for
                the genesis document.
            StorageError: the place holds a chain or something else already.
        """
        check_name(origin, None if predecessor is None else predecessor.origin)
        registry = registry_of(contracts)
        place = Place.parse(path)
        store = store or place.open(create=True)
        try:
            genesis = new_genesis(origin, authority, gate, registry, predecessor, clock())
            archive = Archive(store)
            check_vacant(archive, place)
            block = found(registry, genesis, stored_nodes(archive.store))
            kept = Mark.of(genesis.id) if mark is None else Mark(mark, chain_id=genesis.id)
            commit_first(archive, block, kept)
            return cls._writing(
                archive, registry, genesis, block.tip, authority, blobs_at(place, blobs), kept, clock
            )
        except BaseException:
            store.close()
            raise

    @classmethod
    @once_in_process
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

        `path` is a folder, whatever store is in it, or another `Place` as text, like ``postgresql://…?schema=NAME``.

        What the next block builds on is checked against the mark, the last header and the hash tiles; the rows and all
        the rest of the history by `audit`. It takes the same time whatever the length of the chain.

        Raises:
            NotAChain, NewerFormat: the place holds no chain, or one that a newer version wrote.
            Locked: another process is writing.
            InvalidBlock: what is stored contradicts itself.
            ConsensusError: a contract of the chain is not installed here.
            ValueError: the wallet is not the one that founded the chain, or this process has the chain open for writing
                with another mark, clock or contracts; or `path` is no place.
            StorageError: the mark is missing or shows that this is an old copy of the chain.
        """
        place = Place.parse(path)
        store = store or place.open(read_only=authority is None)
        try:
            archive = Archive(store)
            archive.check_format()
            registry = registry_of(contracts)
            genesis = stored_genesis(archive)
            if authority is None:
                return cls(Sharing(archive, registry, genesis, blobs_at(place, blobs, read_only=True)))
            if authority.log_key(genesis.tag).public != genesis.log_key:
                raise ValueError("this wallet is not the authority that founded the chain")
            kept = Mark.of(genesis.id) if mark is None else Mark(mark, chain_id=genesis.id)
            check_mark(archive, kept)
            with store.snapshot() as moment:
                tip = load_tip(archive.at(moment))
                registry.active(archive.at(moment), tip.header.height + 1)
            return cls._writing(
                archive, registry, genesis, tip, authority, blobs_at(place, blobs), kept, clock
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
        block = found(registry, genesis, stored_nodes(archive.store))
        archive.commit(block)
        return cls._writing(
            archive, registry, genesis, block.tip, authority, blobs or MemoryBlobs(), None, clock
        )

    @classmethod
    def restore(
        cls,
        path: Path_,
        snapshot: Path_,
        *,
        trust: Trust,
        contracts: Iterable[type[Contract]] | None = None,
        store: Store | None = None,
        blobs: BlobStore | None = None,
        progress: Progress | None = None,
    ) -> Chain:
        """Make a chain from a snapshot, and open it for reading.

        It has no leaves from before. Its authority can open it for writing if the mark says that nothing later was
        signed; otherwise found a new one: ``Chain.create(…, predecessor=restored.ended)``.

        Raises:
            VerificationError: the snapshot is not one that `trust` believes.
            EncodingError, InvalidBlock: it is damaged. There is no chain then; what else was there is untouched.
            StorageError: the place, or the store, holds a chain or something else already. What a restore that was
                broken off has left does not count.
        """
        with open_snapshot(snapshot, trust) as reader:
            target = store or Place.parse(path).open(create=True)
            try:
                restore(target, reader, progress)
            finally:
                if store is None:
                    target.close()
        return cls.open(path, contracts=contracts, store=store, blobs=blobs)

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
        keys = authority.log_key(genesis.tag), authority.cosign_key(genesis.tag)
        writer = Writer(archive, registry, genesis, tip, keys=keys, mark=mark, clock=clock)
        try:
            writer.checkpoint()
        except BaseException:
            writer.engine.close()
            raise
        return cls(Sharing(archive, registry, genesis, blobs, writer))

    # Writing.

    def prepare(
        self,
        contract: type[Contract],
        message: Any,
        signers: Sequence[Party],
        *,
        not_after: int | None = None,
    ) -> Body:
        """A body to be signed by `signers`, in that order; it takes a sequence number of the first one's key.

        The chain lets a key be 1,024 numbers ahead. When as many of its transactions are in flight, this waits for one
        of them to become final. A draft that is out to be signed keeps its number for an hour, and after that until
        its key has made 1,024 others or this process ends. One whose number another has used is refused as
        ``replayed``: draft it anew.

        Args:
            contract: whose message it is.
            message: an instance of one of its message classes.
            signers: who has to sign.
            not_after: last block time (ms) at which it may be logged.

        Raises:
            TooManyDrafts: 1,024 drafts of the last hour are out, or what is in flight has not become final within a
                minute. Submit some of them first.
            ConsensusError: the chain is open for reading only.
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
            InvalidTransaction: it is malformed, or somebody has not signed yet; with attachments also if it may not
                enter a block now. ``foreign-attachment`` if one is not what the message names.
            ConsensusError: the chain is open for reading only, or its engine has stopped.
        """
        writer = self._require_writer()
        if isinstance(transaction, Signed):
            attachments, transaction = transaction.attachments, transaction.transaction
            writer.store(attachments, transaction, self.blobs)
        if isinstance(transaction, bytes):
            transaction = Transaction.from_bytes(transaction)
        if not isinstance(transaction, Transaction):
            raise TypeError(f"Transaction, Signed or bytes are submitted, not {type(transaction).__name__}")
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

    # The end.

    def close(self) -> None:
        """Finish what was submitted, sign a last checkpoint, release the store. May be called twice.

        Streams of events end, and a callback that is running is waited for. While this process has other handles of the
        chain, the store stays open for them.
        """
        try:
            self._watch.close()
        finally:
            self._shared.leave(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
