"""The exceptions of medchain: one tree, stable codes.

Every error that bytes from outside, other parties, disks or networks can cause is a `MedchainError`; mistakes of the
calling program itself are plain `ValueError` and `TypeError`. Programs branch on the class or on ``error.code``, which
is stable across versions; the text is for people and may change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

__all__ = [
    "AccessDenied",
    "BlobDamaged",
    "BlobMissing",
    "ConsensusError",
    "ContractError",
    "Forked",
    "EncodingError",
    "Erased",
    "InvalidBlock",
    "InvalidSignature",
    "InvalidTransaction",
    "KeyUnavailable",
    "KeystoreError",
    "Locked",
    "MalformedProof",
    "MedchainError",
    "NewerFormat",
    "NotAChain",
    "NotWitnessed",
    "Pending",
    "PolicyError",
    "PolicySyntaxError",
    "Refused",
    "Rewound",
    "RootMismatch",
    "SealingError",
    "StorageBusy",
    "StorageError",
    "StorageFull",
    "TooManyDrafts",
    "Unreachable",
    "UntrustedSigner",
    "VerificationError",
]


LONGEST_TEXT = 2_000
"""Most characters of an error's text."""


class MedchainError(Exception):
    """Root of the tree. Never raised itself: catch it to catch everything that medchain reports.

    Texts may quote what strangers have sent. So they are cut at 2,000 characters, and what a terminal or a log would
    obey (control characters, marks that turn the direction of writing) stands as a question mark.
    """

    code: ClassVar[str] = "error"

    def __init__(self, *args: Any) -> None:
        if type(self) is MedchainError:
            raise TypeError("MedchainError is the root of the tree and never raised itself")
        super().__init__(*(_harmless(arg) if isinstance(arg, str) else arg for arg in args))


def _harmless(text: str) -> str:
    if len(text) > LONGEST_TEXT:
        text = text[: LONGEST_TEXT - 1] + "…"
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text)


def in_words(error: BaseException) -> str:
    """The kind of an error, and its text if it has one. Never fails, whatever a stranger's class does with its text."""
    kind = type(error).__name__
    try:
        text = str(error)
    except BaseException:
        return kind
    return f"{kind}: {text}" if text else kind


class VerificationError(MedchainError):
    """Something that claims to be proved is not."""

    code = "verification"


class MalformedProof(VerificationError):
    """A proof, note or checkpoint does not have the form that its specification demands."""

    code = "malformed-proof"


class RootMismatch(VerificationError):
    """A proof leads to another root than the one that is trusted."""

    code = "root-mismatch"

    def __init__(self, what: str, *, expected: bytes, computed: bytes) -> None:
        super().__init__(f"{what}: expected root {expected.hex()}, computed {computed.hex()}")
        self.expected = expected
        self.computed = computed


class InvalidSignature(VerificationError):
    """A signature does not verify under the key that it names."""

    code = "invalid-signature"


class UntrustedSigner(VerificationError):
    """Nobody who is trusted has signed."""

    code = "untrusted-signer"


class Forked(VerificationError):
    """A log has signed two histories that contradict each other. ``evidence`` convicts it without further ado."""

    code = "forked"

    def __init__(self, message: str, *, evidence: bytes) -> None:
        super().__init__(message)
        self.evidence = evidence


class Rewound(VerificationError):
    """A log shows less than it has shown before. It proves nothing alone: a cache may be old."""

    code = "rewound"


class EncodingError(MedchainError):
    """Bytes are not the canonical encoding of what was asked for. ``offset`` tells where, if known."""

    code = "encoding"

    def __init__(self, message: str, *, offset: int | None = None) -> None:
        super().__init__(message if offset is None else f"{message} (at byte {offset})")
        self.offset = offset


class InvalidTransaction(MedchainError):
    """A transaction that never enters a block: malformed, unsigned, expired, replayed. ``reason`` is a stable code."""

    code = "invalid-transaction"

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{message} [{reason}]")
        self.reason = reason


class InvalidBlock(MedchainError):
    """A block or a stored chain contradicts itself. ``height`` and ``index`` say where, if known."""

    code = "invalid-block"

    def __init__(self, message: str, *, height: int | None = None, index: int | None = None) -> None:
        place = ", ".join(
            f"{name} {at}" for name, at in (("height", height), ("entry", index)) if at is not None
        )
        super().__init__(f"{message} ({place})" if place else message)
        self.height = height
        self.index = index


class ContractError(MedchainError):
    """A contract refuses a well-formed transaction; its ``reason`` is one of the codes that the contract declares."""

    code = "contract"

    def __init__(self, reason: str, message: str = "") -> None:
        super().__init__(f"{message} [{reason}]" if message else reason)
        self.reason = reason


class AccessDenied(MedchainError):
    """Sealed content does not open, now or ever."""

    code = "access-denied"


class Pending(AccessDenied):
    """Not yet: the policy still waits for the parties in ``waiting_for`` (party ids, or names where known)."""

    code = "pending"

    def __init__(self, message: str, *, waiting_for: Iterable[Any] = ()) -> None:
        super().__init__(message)
        self.waiting_for = tuple(waiting_for)


class Refused(AccessDenied):
    """No: refused with ``reason`` by the contract, a holder or the gate; ``receipt`` tells where it is logged."""

    code = "refused"

    def __init__(self, message: str, *, reason: str, receipt: Any = None) -> None:
        super().__init__(f"{message} [{reason}]")
        self.reason = reason
        self.receipt = receipt


class Erased(AccessDenied):
    """Gone: the content was erased at block time ``when`` (ms) by party ``by``."""

    code = "erased"

    def __init__(self, message: str, *, when: int | None = None, by: bytes | None = None) -> None:
        super().__init__(message)
        self.when = when
        self.by = by


class SealingError(MedchainError):
    """Sealed data, an envelope or a share is wrong.

    ``culprit`` is the party id that is to blame, if that is provable, and ``evidence`` what proves it (confidential:
    it may disclose keys).
    """

    code = "sealing"

    def __init__(self, message: str, *, culprit: bytes | None = None, evidence: Any = None) -> None:
        super().__init__(message)
        self.culprit = culprit
        self.evidence = evidence


class PolicyError(MedchainError, ValueError):
    """A policy cannot be used as it stands: unbound symbols, impossible thresholds, nobody left to open."""

    code = "policy"


class PolicySyntaxError(PolicyError):
    """A policy text does not parse. ``line`` and ``column`` count from 1; the message shows the place."""

    code = "policy-syntax"

    def __init__(self, message: str, *, line: int, column: int) -> None:
        super().__init__(message)
        self.line = line
        self.column = column


class KeystoreError(MedchainError):
    """A keystore file or a set of recovery words does not open: wrong password, damaged, or another wallet's."""

    code = "keystore"


class KeyUnavailable(MedchainError):
    """A wallet was asked for a key that it does not hold."""

    code = "key-unavailable"


class StorageError(MedchainError):
    """A store cannot do what it was asked: the data on disk is as it was before.

    Only when a server is lost while it commits that is not known; the message says so.
    """

    code = "storage"


class Locked(StorageError):
    """Another writer holds the chain, or the handle came through a fork."""

    code = "locked"


class StorageFull(StorageError):
    """The disk or a configured limit is full; nothing of the batch was written."""

    code = "storage-full"


class StorageBusy(StorageError):
    """Open snapshots of this process stand in the way; nothing was written, and once they are closed it may be."""

    code = "storage-busy"


class NotAChain(StorageError):
    """A path holds no medchain chain."""

    code = "not-a-chain"


class NewerFormat(StorageError):
    """A chain was written in a newer format than this version reads."""

    code = "newer-format"


class BlobMissing(StorageError):
    """No registered blob store has the blob."""

    code = "blob-missing"


class BlobDamaged(StorageError):
    """A stored blob does not match its hash."""

    code = "blob-damaged"


class Unreachable(MedchainError):
    """A server has not answered as it should: not at all, not in time, with too much, or with an error."""

    code = "unreachable"


class NotWitnessed(MedchainError):
    """Too few witnesses have cosigned a checkpoint. ``refusals`` says by name what came of each."""

    code = "not-witnessed"

    def __init__(self, message: str, *, refusals: Mapping[str, str]) -> None:
        super().__init__(message)
        self.refusals = dict(refusals)


class ConsensusError(MedchainError):
    """The engine stopped or cannot take the transaction now."""

    code = "consensus"


class TooManyDrafts(ConsensusError):
    """A key has 1,024 drafts out, as many as the chain lets it be ahead: submit some of them before you draft more."""

    code = "too-many-drafts"
