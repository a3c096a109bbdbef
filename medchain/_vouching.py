"""What an open chain vouches for: checkpoints, and proofs of entries, rows and growth under them."""

from __future__ import annotations

from typing import Any, TypeVar, overload

from medchain._proving import entry_index, prove_consistency, prove_entry, prove_growth, prove_row
from medchain._sharing import Sharing
from medchain._writer import Writer
from medchain.errors import ConsensusError, StorageError
from medchain.ledger.archive import Archive
from medchain.ledger.checkpoint import Checkpoint
from medchain.ledger.entry import Genesis
from medchain.ledger.note import NoteSigner, VerifierKey
from medchain.ledger.tables import Table
from medchain.ledger.trust import Trust
from medchain.merkle import ConsistencyProof

__all__ = ["ChainVouching"]

V = TypeVar("V")


class ChainVouching:
    """The part of an open chain that signs and proves."""

    _genesis: Genesis
    _shared: Sharing
    _writer: Writer | None

    @property
    def _archive(self) -> Archive:
        """What is stored, for a handle that may read it: `Sharing.check_usable` says which may not."""
        self._shared.check_usable(self)
        return self._shared.archive

    def _require_writer(self) -> Writer:
        self._shared.check_usable(self)
        if self._writer is None:
            raise ConsensusError(
                "the chain is open for reading only; open it with its authority's wallet to write"
            )
        return self._writer

    @property
    def trust(self) -> Trust:
        """What others need to verify this chain: hand it out on a way that the chain's server does not control."""
        genesis = self._genesis
        return Trust((VerifierKey(genesis.origin, genesis.log_key),), genesis.id, genesis.tag)

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
