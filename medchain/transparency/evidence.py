"""Evidence of a fork: two signed checkpoints of one log that cannot both be true, in a file that convicts their signer.

Whoever holds the signer's key checks it offline: both signatures verify, and the second checkpoint's log, by a
consistency proof (RFC 9162, section 2.1.4), has another root at the size of the first than the first says
(docs/spec/fork.md).
"""

from __future__ import annotations

import base64

from attrs import field, frozen

from medchain.errors import MalformedProof, UntrustedSigner, VerificationError
from medchain.ledger.checkpoint import Checkpoint
from medchain.ledger.note import NOTE_LIMIT, VerifierKey, decode_base64, utf8_text
from medchain.ledger.trust import Trust
from medchain.merkle import ConsistencyProof, Head
from medchain.merkle.arithmetic import EMPTY_ROOT
from medchain.records import length, short

__all__ = ["Evidence"]

FIRST_LINE = "medchain/fork/v1"
LIMIT = 2 * NOTE_LIMIT + 8192
PATH_LIMIT = 64


@frozen
class Evidence:
    """That a log has two histories.

    Attributes:
        first, second: signed checkpoints; the second is of the same size or a larger one.
        root: what the log of the second has for its root at the size of the first.
        proof: that it has.
    """

    first: Checkpoint
    second: Checkpoint
    root: bytes = field(validator=length(32), repr=short)
    proof: ConsistencyProof = field(repr=False)

    @classmethod
    def of(cls, one: Checkpoint, other: Checkpoint, root: bytes, proof: ConsistencyProof) -> Evidence:
        """Evidence from two checkpoints in any order; `root` and `proof` are of the larger one's log."""
        first, second = sorted((one, other), key=lambda each: each.size)
        return cls(first, second, root, proof)

    def verify(self, trust: Trust) -> tuple[VerifierKey, ...]:
        """The keys that are convicted, those of the log before witnesses.

        The log answers for all its keys that `trust` believes: each checkpoint is signed by one of them, and whichever
        signed either is convicted. A witness answers for its own: one key has cosigned both.

        Raises:
            UntrustedSigner: neither the log nor any witness has signed both, or they are another log's.
            VerificationError: a signature or the proof is wrong, or the two do not contradict each other.
        """
        first, second = self.first, self.second
        if first.origin != trust.origin or second.origin != trust.origin:
            raise UntrustedSigner(f"the evidence is about {first.origin!r}, trusted is {trust.origin!r}")
        signers = self._signers(trust)
        if not signers:
            raise UntrustedSigner("neither the log nor a witness that is known has signed both checkpoints")
        if first.root == self.root:
            raise VerificationError("the checkpoints do not contradict each other: they are of one history")
        if first.size == 0 and self.root != EMPTY_ROOT:
            raise VerificationError(
                "a log without entries has one root, and it is another than the evidence says"
            )
        if first.size:
            self.proof.verify(old=Head(first.size, self.root), new=second.head)
        return signers

    def verify_log(self, trust: Trust) -> None:
        """That the log is among those that are convicted. Raises as `verify`; UntrustedSigner if a witness alone is."""
        if not any(key in trust.log_keys for key in self.verify(trust)):
            raise UntrustedSigner("it convicts a witness alone: the log has not signed both checkpoints")

    def _signers(self, trust: Trust) -> tuple[VerifierKey, ...]:
        """Who has signed both: the log by any of its keys, a witness by the same."""
        watching = tuple(witness.key for witness in trust.quorum.witnesses)
        keys = (*trust.log_keys, *watching)
        one, other = (set(each.note.verified_by(keys)) for each in (self.first, self.second))
        log = [key for key in trust.log_keys if key in one | other]
        if one.isdisjoint(log) or other.isdisjoint(log):
            log = []
        return (*log, *(key for key in watching if key in one & other))

    @classmethod
    def parse(cls, data: str | bytes) -> Evidence:
        """Read evidence; MalformedProof if it is not exactly of this form."""
        text = utf8_text(data, LIMIT, "evidence of a fork")
        parts = text.split("\n\n")
        lines = parts[0].split("\n")
        if len(parts) != 5 or lines.pop(0) != FIRST_LINE or not lines or not lines[0].startswith("root "):
            raise MalformedProof(
                f"no evidence of a fork: the first line is {FIRST_LINE}, then root, then checkpoints"
            )
        if len(lines) > 1 + PATH_LIMIT:
            raise MalformedProof(f"a consistency proof has at most {PATH_LIMIT} hashes")
        root, *path = (decode_base64(line.removeprefix("root "), "evidence of a fork") for line in lines)
        if any(len(each) != 32 for each in (root, *path)):
            raise MalformedProof("the hashes of evidence have 32 bytes")
        first = Checkpoint.parse(f"{parts[1]}\n\n{parts[2]}\n")
        second = Checkpoint.parse(f"{parts[3]}\n\n{parts[4]}")
        if first.size > second.size:
            raise MalformedProof("the smaller checkpoint comes first")
        return cls(first, second, root, ConsistencyProof(first.size, second.size, tuple(path)))

    from_bytes = parse

    def __str__(self) -> str:
        hashes = [base64.b64encode(each).decode() for each in (self.root, *self.proof.path)]
        head = "\n".join([FIRST_LINE, f"root {hashes[0]}", *hashes[1:]])
        return f"{head}\n\n{self.first}\n{self.second}"

    def __bytes__(self) -> bytes:
        return str(self).encode()

    @property
    def summary(self) -> str:
        """What it shows, in one line, if the log is among those that it convicts."""
        return f"{self.first.origin} has signed {self._histories}"

    def summary_for(self, trust: Trust) -> str:
        """What it shows, in one line, with the names of those that it convicts. Raises as `verify`."""
        convicted = self.verify(trust)
        names = ", ".join(dict.fromkeys(key.name for key in convicted if key not in trust.log_keys))
        if any(key in trust.log_keys for key in convicted):
            return self.summary + (f"; {names} has cosigned both" if names else "")
        return (
            f"{names} contradicts itself: it has cosigned {self._histories}. "
            f"{self.first.origin} has not signed both and is not convicted"
        )

    @property
    def _histories(self) -> str:
        return (
            f"size {self.first.size} with root {self.first.root.hex()[:12]}…, and size "
            f"{self.second.size} of a log whose root at {self.first.size} is {self.root.hex()[:12]}…"
        )
