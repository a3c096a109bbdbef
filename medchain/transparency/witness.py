"""A witness: cosigns checkpoints of logs that only grow, and remembers durably what it has cosigned last.

It stores, then signs. So whatever moment it is stopped at, it never cosigns something that its earlier cosignatures
contradict. Its memory is as precious as its keys: with the keys and an older memory it could be led to contradict
itself.
"""

from __future__ import annotations

import hashlib
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from attrs import evolve, field, frozen

from medchain.errors import EncodingError, MalformedProof, NewerFormat, StorageError
from medchain.keys.wallet import Wallet
from medchain.ledger.checkpoint import Checkpoint
from medchain.ledger.cosignature import ED25519
from medchain.ledger.note import Note, NoteSigner, VerifierKey
from medchain.merkle import ConsistencyProof, Head
from medchain.records import decode_record, encode_record, length, short
from medchain.storage.api import MAX_VALUE, Batch, Store
from medchain.transparency.addcheckpoint import AddCheckpoint, read_head
from medchain.transparency.evidence import Evidence
from medchain.transparency.judging import NOTHING, Verdict, admit, judge

__all__ = ["CLOCK_SLACK", "Cosigned", "Witness", "witness_signers"]

CLOCK_SLACK = 60
"""By how many seconds a witness's clock may step back without stopping its cosigning."""

FORMAT_KEY, FORMAT, KEYS = b"witness-format", b"1", b"witness-keys"
LATEST, FORK = b"witness-latest/", b"witness-fork/"
LONGEST_ORIGIN = 255

T = TypeVar("T")


@frozen
class Cosigned:
    """A checkpoint that was cosigned.

    Attributes:
        size: of the log.
        root: of the log.
        time: that its cosignatures name, in seconds since the epoch.
        note: the checkpoint with the signatures of the log.
    """

    size: int
    root: bytes = field(validator=length(32), repr=short)
    time: int
    note: bytes = field(repr=False)

    @property
    def head(self) -> Head:
        """Size and root."""
        return Head(self.size, self.root)


@frozen
class _Fork:
    """Two checkpoints of one size that a log has signed and that differ: what was cosigned, and what came later."""

    first: bytes
    second: bytes

    @property
    def signed_by_both(self) -> int:
        """How many keys of the log have signed both."""
        one, two = (
            {(line.name, line.key_id) for line in Note.parse(data).signatures}
            for data in (self.first, self.second)
        )
        return len(one & two)


def witness_signers(wallet: Wallet, name: str) -> tuple[NoteSigner, NoteSigner]:
    """Who cosigns as the witness of this name: by Ed25519 and by ML-DSA-44, with keys derived from the wallet."""
    ed25519, mldsa44 = wallet.witness_keys(name)
    return NoteSigner.cosigner(name, ed25519), NoteSigner.cosigner(name, mldsa44)


class Witness:
    """Cosigns checkpoints; for any number of threads.

    Args:
        signers: who cosigns; one signature line each.
        logs: keys of the logs that it watches, by origin.
        store: its memory, begun by `Witness.begin` for these keys. Nobody else may write there.
        clock: gives the time, in seconds since the epoch.

    Raises:
        StorageError: the store is not a witness's memory, or that of other keys. An empty one is none: it may have
            been lost, and cosigning goes on only from where it stopped.
    """

    def __init__(
        self,
        signers: Iterable[NoteSigner],
        logs: Mapping[str, Iterable[VerifierKey]],
        store: Store,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._signers = tuple(signers)
        self._logs = {origin: tuple(keys) for origin, keys in logs.items()}
        self._store, self._clock = store, clock
        self._check_arguments()
        _check_format(store)
        _check_keys(store, self._signers)
        self._lock = _lock_of(store)

    @staticmethod
    def begin(store: Store, signers: Iterable[NoteSigner]) -> None:
        """Make an empty store the memory of a new witness, whose keys have never cosigned anything.

        Args:
            store: empty.
            signers: all that will ever cosign with this memory.

        Raises:
            StorageError: the store is not empty.
        """
        with _lock_of(store):
            if next(iter(store.scan(limit=1)), None) is not None:
                raise StorageError("the store is not empty: a new witness begins with nothing")
            batch = Batch()
            batch.put(FORMAT_KEY, FORMAT)
            batch.put(KEYS, b"".join(sorted(_fingerprint(signer.key) for signer in signers)))
            store.commit(batch)

    @property
    def keys(self) -> tuple[VerifierKey, ...]:
        """Keys of its cosignatures: what others put into their policies."""
        return tuple(signer.key for signer in self._signers)

    @property
    def origins(self) -> tuple[str, ...]:
        """The logs that it watches."""
        return tuple(self._logs)

    def latest(self, origin: str) -> Cosigned | None:
        """What it has cosigned last of a log; StorageError if its memory is damaged."""
        found = self._read(Cosigned, LATEST, origin)
        if found is not None and (found.size < 0 or found.time < 0):
            raise _damaged(LATEST, origin)
        return found

    def fork(self, origin: str) -> Evidence | None:
        """What convicts the log if it has shown two histories here; StorageError if the memory is damaged."""
        found = self._read(_Fork, FORK, origin)
        if found is None:
            return None
        try:
            one, two = (_checkpoint(data) for data in (found.first, found.second))
        except MalformedProof as error:
            raise _damaged(FORK, origin) from error
        if one.size != two.size:
            raise _damaged(FORK, origin)
        return Evidence.of(one, two, two.root, ConsistencyProof(one.size, two.size, ()))

    def add_checkpoint(self, body: bytes) -> tuple[Verdict, AddCheckpoint | None]:
        """Answer a request as tlog-witness demands, and give what was asked unless it was unreadable.

        When this returns a cosignature, its checkpoint is stored durably.

        Raises:
            StorageError: the memory does not take it or is damaged; nothing was signed.
        """
        try:
            request = AddCheckpoint.parse(body)
        except MalformedProof as error:
            return Verdict(400, str(error).partition(":")[0]), None
        refused = admit(request, self._logs)
        if refused is not None:
            return refused, request
        with self._lock:  # nobody may store between the judgement and what is stored upon it
            return self._decide(request), request

    def _decide(self, request: AddCheckpoint) -> Verdict:
        last = self.latest(request.origin)
        verdict = judge(request, last.head if last else NOTHING)
        if verdict.cosigned:
            return self._cosign(request, verdict, last)
        if verdict.fork and last is not None:
            self._keep_fork(request.origin, _Fork(last.note, self._own_lines(request)))
        return verdict

    def _keep_fork(self, origin: str, found: _Fork) -> None:
        """Keep a fork, unless one is kept that convinces as many: who trusts one key needs both signed by it."""
        kept = self._read(_Fork, FORK, origin)
        if kept is None or found.signed_by_both > kept.signed_by_both:
            self._keep(FORK, origin, found)

    def _cosign(self, request: AddCheckpoint, verdict: Verdict, last: Cosigned | None) -> Verdict:
        """Store, then sign.

        A cosignature says which checkpoint was the largest at its time. So a larger one never names an earlier time.
        """
        now = int(self._clock())
        if last is not None and now < last.time:
            if now < last.time - CLOCK_SLACK:
                return Verdict(503, "the clock of this witness is behind its last cosignature")
            now = last.time
        head, note = request.head, self._own_lines(request)
        self._keep(LATEST, request.origin, Cosigned(head.size, head.root, now, note))
        lines = tuple(signer.sign(request.note.text, now) for signer in self._signers)
        return evolve(verdict, lines=lines)

    def _own_lines(self, request: AddCheckpoint) -> bytes:
        """The checkpoint with the log's signatures alone, which `admit` has verified."""
        known = {(key.name, key.id) for key in self._logs[request.origin]}
        own = {
            (line.name, line.key_id): line for line in request.note.signatures
        }  # one by each key is enough
        return bytes(Note(request.note.text, tuple(line for who, line in own.items() if who in known)))

    def _read(self, kind: type[T], what: bytes, origin: str) -> T | None:
        data = self._store.get(what + origin.encode())
        try:
            return None if data is None else decode_record(kind, data, limit=MAX_VALUE)
        except EncodingError as error:
            raise _damaged(what, origin) from error

    def _keep(self, what: bytes, origin: str, record: Cosigned | _Fork) -> None:
        batch = Batch()
        batch.put(what + origin.encode(), encode_record(record))
        self._store.commit(batch)

    def _check_arguments(self) -> None:
        if not self._signers or any(signer.type == ED25519 for signer in self._signers):
            raise ValueError("a witness has one signer or more, made by NoteSigner.cosigner")
        if len({signer.key for signer in self._signers}) != len(self._signers):
            raise ValueError("a signer stands twice")
        mine = {signer.private.public for signer in self._signers}
        for origin, keys in self._logs.items():
            if not 0 < len(origin.encode()) <= LONGEST_ORIGIN or "\n" in origin:
                raise ValueError(f"an origin is one line of 1 to {LONGEST_ORIGIN} bytes: {origin!r}")
            if not keys:
                raise ValueError(f"no key is given for {origin}")
            if mine & {key.key for key in keys}:
                raise ValueError(f"the witness has a key of {origin}: a log is no witness of itself")

    def __repr__(self) -> str:
        return f"<Witness {', '.join(sorted({signer.name for signer in self._signers}))} of {len(self._logs)} logs>"


_locks: weakref.WeakKeyDictionary[Store, threading.Lock] = weakref.WeakKeyDictionary()
_locks_lock = threading.Lock()


def _lock_of(store: Store) -> threading.Lock:
    """The lock of a store: two witnesses that share one memory take turns. Another process cannot write there."""
    with _locks_lock:
        return _locks.setdefault(store, threading.Lock())


def _check_format(store: Store) -> None:
    written = store.get(FORMAT_KEY)
    if written is None:
        raise StorageError(
            "the store is not the memory of a witness. A witness that has cosigned before must have its old memory;"
            " for a new one, with new keys, begin it by Witness.begin"
        )
    if written != FORMAT:
        raise NewerFormat("the memory of the witness was written by a newer version")


def _fingerprint(key: VerifierKey) -> bytes:
    return hashlib.sha256(str(key).encode()).digest()


def _check_keys(store: Store, signers: Iterable[NoteSigner]) -> None:
    """With the memory of others, keys could contradict what they have cosigned elsewhere."""
    written = store.get(KEYS) or b""
    begun = {written[at : at + 32] for at in range(0, len(written), 32)}
    for signer in signers:
        if _fingerprint(signer.key) not in begun:
            raise StorageError(
                f"the store is the memory of other keys than {signer.name}+{signer.key.id.hex()}: a witness goes on"
                " with the memory that was begun for its keys"
            )


def _checkpoint(data: bytes) -> Checkpoint:
    """A checkpoint of any log, which may have extension lines."""
    note = Note.parse(data)
    return Checkpoint(*read_head(note.text), note)


def _damaged(what: bytes, origin: str) -> StorageError:
    return StorageError(
        f"the memory of the witness is damaged at {str(what, 'ascii')}{origin}; it signs nothing for this log"
    )
