"""What lies beside a copy of a published log: evidence of a fork, and signed checkpoints whose tiles are withheld."""

from __future__ import annotations

from pathlib import Path

from attrs import evolve

from medchain.errors import StorageError, VerificationError
from medchain.ledger.checkpoint import Checkpoint
from medchain.ledger.note import NOTE_LIMIT
from medchain.ledger.quorum import Quorum
from medchain.ledger.trust import Trust
from medchain.storage._files import write_file
from medchain.storage._guard import guarded
from medchain.transparency.evidence import LIMIT, Evidence

__all__ = ["Beside"]

EVIDENCE = "fork-*.txt"
UNPROVED = "unproved-*.txt"
KINDS = (EVIDENCE, UNPROVED)
MOST_UNPROVED = 16
"""So many are kept, the first ones: a log can sign any number of them."""


class Beside:
    """Files in the folder of a copy. Without a folder the same is kept in memory.

    Attributes:
        evidence: what convicts the log, if it has forked.
        evidence_file: where that lies.
        unproved: signed checkpoints that may be half of a fork, by the names of their files.

    Raises:
        StorageError: a file is no evidence against the log that is trusted, or no checkpoint of it, or cannot be read;
            names it.
    """

    def __init__(self, folder: Path | None, trust: Trust) -> None:
        self._folder = folder
        self._trust = trust
        self.evidence: Evidence | None = None
        self.evidence_file: Path | None = None
        self.unproved: dict[str, Checkpoint] = {}
        if folder is not None:
            self._load(folder)

    def _load(self, folder: Path) -> None:
        with guarded(f"read what is kept in {folder}"):
            evidence, unproved = (
                [(each, _read(each)) for each in sorted(folder.glob(kind))] for kind in KINDS
            )
        for path, data in evidence[:1]:
            try:
                self.evidence, self.evidence_file = Evidence.parse(data), path
                self.evidence.verify_log(self._trust)
            except VerificationError as error:
                raise StorageError(f"{path} does not convict the log that is trusted: {error}") from error
        for path, data in unproved:
            try:
                checkpoint = Checkpoint.parse(data)
                evolve(self._trust, quorum=Quorum()).verify(checkpoint)
            except VerificationError as error:
                raise StorageError(f"{path} is no checkpoint of the log that is trusted: {error}") from error
            self.unproved[path.name] = checkpoint

    def convict(self, evidence: Evidence) -> None:
        """Keep evidence; VerificationError if it does not convict the log."""
        evidence.verify_log(self._trust)
        self.evidence = evidence
        if self._folder is not None:
            path = self._folder / EVIDENCE.replace("*", f"{evidence.first.size}-{evidence.second.size}")
            with guarded(f"keep evidence of a fork in {self._folder}"):
                write_file(path, bytes(evidence))
            self.evidence_file = path

    def keep_unproved(self, checkpoint: Checkpoint) -> None:
        """Keep a signed checkpoint of which it could not be found out whether it goes on from the copy."""
        name = UNPROVED.replace("*", f"{checkpoint.size}-{checkpoint.root.hex()[:16]}")
        if name in self.unproved or len(self.unproved) >= MOST_UNPROVED:
            return
        if self._folder is not None:
            with guarded(f"keep a checkpoint in {self._folder}"):
                write_file(self._folder / name, bytes(checkpoint))
        self.unproved[name] = checkpoint

    def drop_unproved(self, name: str) -> None:
        """Forget one that has turned out to be of the one history."""
        if self._folder is not None:
            with guarded(f"remove a checkpoint from {self._folder}"):
                (self._folder / name).unlink(missing_ok=True)
        del self.unproved[name]


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(max(LIMIT, NOTE_LIMIT) + 1)
