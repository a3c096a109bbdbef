"""The rule of a witness, without any input or output (C2SP tlog-witness, add-checkpoint).

`admit` asks whether a log that is watched says this, `judge` whether it contradicts what was cosigned last. Only what
passes both may be cosigned, and `judge` must see the state that nobody changes until the new one is stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import field, frozen

from medchain.errors import MalformedProof, RootMismatch, VerificationError
from medchain.ledger.note import NoteSignature, VerifierKey
from medchain.merkle import EMPTY_ROOT, ConsistencyProof, Head
from medchain.transparency.addcheckpoint import SIZE_TYPE, AddCheckpoint, size_line

__all__ = ["NOTHING", "TEXT", "Verdict", "admit", "judge"]

NOTHING = Head(0, EMPTY_ROOT)
"""What a witness has cosigned last of a log that it has never cosigned: the empty tree, from which all grow."""

TEXT = "text/plain; charset=utf-8"
COSIGNED, BAD, FORBIDDEN, UNKNOWN, CONFLICT, UNPROVED = 200, 400, 403, 404, 409, 422


@frozen
class Verdict:
    """What a witness answers.

    Attributes:
        status: HTTP status code. 200: cosigned.
        reason: for people; quotes nothing of the request.
        size: of the checkpoint that was cosigned last, where that is what the log has to know.
        fork: the log has signed another root of the size that was cosigned last: it has two histories.
        lines: the cosignatures.
    """

    status: int
    reason: str
    size: int | None = None
    fork: bool = False
    lines: tuple[NoteSignature, ...] = field(default=(), repr=False)

    @property
    def cosigned(self) -> bool:
        """Whether the checkpoint is cosigned."""
        return self.status == COSIGNED

    @property
    def type(self) -> str:
        """Content type of the answer."""
        return TEXT if self.size is None else SIZE_TYPE

    @property
    def body(self) -> bytes:
        """Body of the answer: cosignatures, the size, or the reason."""
        if self.cosigned:
            return "".join(map(str, self.lines)).encode()
        return f"{self.reason}\n".encode() if self.size is None else size_line(self.size)


def admit(request: AddCheckpoint, logs: Mapping[str, Sequence[VerifierKey]]) -> Verdict | None:
    """Refuse what no log that is watched has signed, or what contradicts itself; None if there is nothing to refuse.

    Args:
        request: what was asked.
        logs: keys of the logs, by origin.

    Returns:
        404 "if the checkpoint origin is unknown", 403 "if none of the signatures verify against a trusted public key",
        400 if the old size is not "equal to or lower than the checkpoint size". A note in which the signature of a
        known key is wrong is refused as a whole, by 403 (signed-note, Signatures).
    """
    keys = logs.get(request.origin)
    if keys is None:
        return Verdict(UNKNOWN, "this log is not watched here")
    try:
        request.note.verified_by(keys)
    except VerificationError:
        return Verdict(FORBIDDEN, "no key that is known of this log has signed the checkpoint")
    if request.old > request.head.size:
        return Verdict(BAD, "the old size is larger than the checkpoint")
    return None


def judge(request: AddCheckpoint, last: Head) -> Verdict:
    """Hold a request that `admit` has let pass against the checkpoint that was cosigned last, or `NOTHING`.

    Returns:
        409 with the size if the old size does not match "the size of the latest checkpoint it cosigned for the
        checkpoint's origin (or zero if it never cosigned a checkpoint for that origin)", and if it "matches the
        checkpoint size" but the roots are not identical; 422 "if the Merkle Consistency Proof doesn't verify", which
        includes one that is not "empty if the old size is zero"; else 200.
    """
    if request.old != last.size:
        return Verdict(CONFLICT, "another size was cosigned last", last.size)
    if request.head.size == last.size and request.head.root != last.root:
        return Verdict(CONFLICT, "another root of this size was cosigned", last.size, fork=True)
    try:
        _check_growth(request, last)
    except (MalformedProof, RootMismatch):
        return Verdict(UNPROVED, "the consistency proof does not hold")
    return Verdict(COSIGNED, "cosigned")


def _check_growth(request: AddCheckpoint, last: Head) -> None:
    if last.size == 0:
        if request.proof:
            raise MalformedProof("from the empty tree there is nothing to prove")
        return
    ConsistencyProof(request.old, request.head.size, request.proof).verify(old=last, new=request.head)
