"""The one history of a log that is followed: whether a signed checkpoint goes on from it, and what convicts the log."""

from __future__ import annotations

from medchain.errors import Forked, Rewound, Unreachable, VerificationError
from medchain.ledger.checkpoint import Checkpoint
from medchain.merkle import ConsistencyProof
from medchain.transparency.beside import Beside
from medchain.transparency.copy import Copy
from medchain.transparency.evidence import Evidence
from medchain.transparency.tree import PublishedTree

__all__ = ["History"]


class History:
    """What a copy has seen of a log, to hold other checkpoints against.

    Args:
        copy: the verified copy.
        beside: where evidence is kept.
        name: of the source, for messages.
    """

    def __init__(self, copy: Copy, beside: Beside, name: str) -> None:
        self._copy, self._beside, self._name = copy, beside, name

    def expect_no_fork(self) -> None:
        """Forked, with the evidence, if one was seen."""
        if self._beside.evidence is not None:
            raise Forked(
                f"this log has forked, so its copy grows no more: {self._beside.evidence.summary}",
                evidence=bytes(self._beside.evidence),
            )

    def compare_or_keep(self, checkpoint: Checkpoint, tree: PublishedTree) -> None:
        """That a checkpoint goes on from all that was signed before.

        What cannot be compared is kept, for it may be half of a fork. Raises as `PublishedLog.update`.
        """
        try:
            self._compare(checkpoint, tree)
            self._settle_unproved(checkpoint, tree)
        except (Forked, Rewound):
            raise
        except (VerificationError, Unreachable):
            self._beside.keep_unproved(checkpoint)
            raise

    def _compare(self, checkpoint: Checkpoint, tree: PublishedTree) -> None:
        """That a signed checkpoint goes on from the one that was seen last. Raises as `PublishedLog.update`."""
        known = self._copy.target or self._copy.checkpoint
        if known is None:
            return
        if checkpoint.size < known.size:
            if self.compare_smaller(checkpoint) is None:
                self._compare_between(checkpoint, tree)
            raise Rewound(
                f"{self._name} shows {checkpoint.size} entries, and has shown {known.size}: an old copy of the"
                " log, or one from a cache"
            )
        root = tree.root_at(known.size)
        if root != known.root:
            self.convict(Evidence.of(known, checkpoint, root, tree.prove_consistency(known.size)))

    def compare_smaller(self, checkpoint: Checkpoint) -> ConsistencyProof | None:
        """That the copy begins with the log of a smaller checkpoint; the proof, None if the copy is not so long."""
        held = self._copy.checkpoint
        if held is None or checkpoint.size > held.size:
            return None
        archive, size = self._copy.archive, checkpoint.size
        mine = archive.head(size)
        proof = archive.prove_consistency(size, held.size) if size else ConsistencyProof(0, held.size, ())
        if mine.root != checkpoint.root:
            self.convict(Evidence.of(checkpoint, held, mine.root, proof))
        return proof

    def _compare_between(self, checkpoint: Checkpoint, tree: PublishedTree) -> None:
        """That a checkpoint goes on from the copy, though it is smaller than one for which an update was broken off.

        Where its tiles are missing nothing is known of it but that the log shows less.
        """
        held = self._copy.checkpoint
        if held is None:
            return
        try:
            root, proof = tree.root_at(held.size), tree.prove_consistency(held.size)
        except (VerificationError, Unreachable):
            self._beside.keep_unproved(checkpoint)
            return
        if root != held.root:
            self.convict(Evidence.of(held, checkpoint, root, proof))

    def convict(self, evidence: Evidence) -> None:
        """Keep evidence of a fork, and stop."""
        self._beside.convict(evidence)
        self.expect_no_fork()

    def _settle_unproved(self, checkpoint: Checkpoint, tree: PublishedTree) -> None:
        """Whether `checkpoint` goes on from those of which that could not be said: a fork shows itself, late."""
        for name, kept in list(self._beside.unproved.items()):
            if kept.size <= checkpoint.size:
                root = tree.root_at(kept.size)
                if root != kept.root:
                    self.convict(Evidence.of(kept, checkpoint, root, tree.prove_consistency(kept.size)))
                self._beside.drop_unproved(name)
