"""A log that grows and forks at will, and witnesses that watch it."""

from __future__ import annotations

from collections.abc import Iterable

from medchain.keys.cosigning import CosignKey
from medchain.keys.signing import SigningKey
from medchain.ledger.checkpoint import Checkpoint
from medchain.ledger.note import Note, NoteSigner, VerifierKey
from medchain.merkle import ConsistencyProof, LogTree
from medchain.storage import MemoryStore, Store
from medchain.transparency import Witness
from medchain.transparency.addcheckpoint import AddCheckpoint

ORIGIN = "log.example/one"
NOW = 1_790_000_000

CLASSIC = NoteSigner.cosigner("w.example/1", SigningKey(b"\x01" * 32))
QUANTUM = NoteSigner.cosigner("w.example/1", CosignKey(b"\x02" * 32))


class Log:
    """A log with an Ed25519 and an ML-DSA-44 key; leaves are texts, so that histories can be told apart."""

    def __init__(self, leaves: Iterable[str] = (), origin: str = ORIGIN) -> None:
        self.origin = origin
        self.leaves = list(leaves)
        self.tree = LogTree(leaf.encode() for leaf in self.leaves)
        self.signers = (
            NoteSigner(origin, SigningKey(b"\x11" * 32)),
            NoteSigner.cosigner(origin, CosignKey(b"\x12" * 32)),
        )

    @property
    def keys(self) -> tuple[VerifierKey, ...]:
        return tuple(signer.key for signer in self.signers)

    def grow(self, *leaves: str) -> Log:
        """Another log of the same keys that goes on from here."""
        return Log([*self.leaves, *leaves], self.origin)

    def checkpoint(self, size: int | None = None, signers: Iterable[NoteSigner] | None = None) -> Checkpoint:
        head = self.tree.head_at(len(self.tree) if size is None else size)
        text = Checkpoint.text(self.origin, head)
        lines = [
            each.sign(text, NOW) if each.key.kind.timed else each.sign(text)
            for each in signers or self.signers
        ]
        return Checkpoint(self.origin, head, Note(text, tuple(lines)))

    def prove(self, old: int, new: int) -> ConsistencyProof:
        return self.tree.prove_consistency(old, new)

    def request(self, old: int, size: int | None = None) -> AddCheckpoint:
        """What is sent to a witness that has cosigned `old` last."""
        checkpoint = self.checkpoint(size)
        path = self.prove(old, checkpoint.size).path if 0 < old < checkpoint.size else ()
        return AddCheckpoint.of(checkpoint, old, path)


def numbered(count: int) -> Log:
    return Log(f"leaf {number}" for number in range(count))


class Clock:
    """The time now, in seconds."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def begun(store: Store | None = None, signers: Iterable[NoteSigner] = (CLASSIC, QUANTUM)) -> Store:
    """The memory of a new witness."""
    store = store or MemoryStore()
    Witness.begin(store, signers)
    return store


def watching(
    log: Log,
    store: Store | None = None,
    signers: Iterable[NoteSigner] = (CLASSIC, QUANTUM),
    clock: Clock | None = None,
) -> Witness:
    """A witness of a log."""
    signers = tuple(signers)
    return Witness(signers, {log.origin: log.keys}, store or begun(None, signers), clock=clock or Clock())
