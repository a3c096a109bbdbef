"""What passes between a log and a witness: requests and answers of ``add-checkpoint`` (C2SP tlog-witness).

A witness takes the checkpoints of any log. So these may have extension lines, which medchain's own never have.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable

from attrs import field, frozen

from medchain.errors import MalformedProof
from medchain.ledger.checkpoint import Checkpoint, parse_number
from medchain.ledger.note import NOTE_LIMIT, Note, NoteSignature, VerifierKey, decode_base64, utf8_text
from medchain.merkle import Head

__all__ = [
    "ANSWER_LIMIT",
    "LONGEST_PROOF",
    "PATH",
    "REQUEST_LIMIT",
    "SIZE_TYPE",
    "AddCheckpoint",
    "read_cosignatures",
    "read_head",
    "read_size",
    "size_line",
]

PATH = "add-checkpoint"
"""Under the submission prefix of a witness."""

SIZE_TYPE = "text/x.tlog.size"
"""Content type of an answer that names the size of the checkpoint that was cosigned last."""

LONGEST_PROOF = 63
"""Most lines of a consistency proof."""

REQUEST_LIMIT = NOTE_LIMIT + 4096
"""Most bytes of a request: a whole note, after the old size and a proof of 45 bytes a line."""

ANSWER_LIMIT = 64 * 1024
"""Most bytes of an answer: room for 16 cosignatures by ML-DSA-44."""


@frozen
class AddCheckpoint:
    """A request: cosign this checkpoint, for it grows from the one that you have cosigned last.

    Attributes:
        old: size of the checkpoint that the witness is thought to have cosigned last; 0 for none.
        proof: hashes of the consistency proof from there (RFC 6962, section 2.1.2).
        origin: name of the log.
        head: its size and root.
        note: the checkpoint with its signatures.
    """

    old: int
    proof: tuple[bytes, ...] = field(repr=lambda proof: f"<{len(proof)} hashes>")
    origin: str
    head: Head
    note: Note = field(repr=False)

    @classmethod
    def of(cls, checkpoint: Checkpoint, old: int, proof: Iterable[bytes]) -> AddCheckpoint:
        """The request for a checkpoint, with no signatures but the log's own.

        Witnesses refuse long requests, some already from 10 KiB on, and cosignatures of others mean nothing to them.
        """
        own = tuple(line for line in checkpoint.note.signatures if line.name == checkpoint.origin)
        note = Note(checkpoint.note.text, own)
        return cls(old, tuple(proof), checkpoint.origin, checkpoint.head, note)

    @classmethod
    def parse(cls, data: bytes) -> AddCheckpoint:
        """Read the body of a request (tlog-witness, add-checkpoint).

        Raises:
            MalformedProof: it is not an old size, at most 63 hashes, an empty line and a checkpoint.
        """
        text = utf8_text(data, REQUEST_LIMIT, "a request")
        before, blank, note_text = text.partition("\n\n")
        first, *hashes = before.split("\n", LONGEST_PROOF + 1)
        if not blank or not first.startswith("old "):
            raise MalformedProof("a request is 'old' and a size, hashes, an empty line and a checkpoint")
        if len(hashes) > LONGEST_PROOF:
            raise MalformedProof(f"a consistency proof has at most {LONGEST_PROOF} lines")
        old = parse_number(first.removeprefix("old "), "old size")
        proof = tuple(decode_base64(line, "consistency proof") for line in hashes)
        if any(len(each) != 32 for each in proof):
            raise MalformedProof("a consistency proof is of hashes of 32 bytes")
        note = Note.parse(note_text)
        return cls(old, proof, *read_head(note.text), note)

    from_bytes = parse

    def __bytes__(self) -> bytes:
        hashes = "".join(f"{base64.b64encode(each).decode()}\n" for each in self.proof)
        return f"old {self.old}\n{hashes}\n{self.note}".encode()


def read_head(text: str) -> tuple[str, Head]:
    """Origin and head of any log's checkpoint, with extension lines or without (tlog-checkpoint, Note text)."""
    lines = text[:-1].split("\n")
    if len(lines) < 3 or not all(lines):
        raise MalformedProof("a checkpoint has three lines or more, none of them empty: origin, size, root")
    size, root = parse_number(lines[1], "checkpoint size"), decode_base64(lines[2], "checkpoint root")
    if len(root) != 32:
        raise MalformedProof("a checkpoint's root has 32 bytes")
    return lines[0], Head(size, root)


def size_line(size: int) -> bytes:
    """The body of an answer that names a size."""
    return f"{size}\n".encode()


def read_size(body: bytes) -> int:
    """The size that an answer names; MalformedProof if it is anything but one decimal number and a newline."""
    line, newline, rest = utf8_text(body, ANSWER_LIMIT, "a size").partition("\n")
    if not newline or rest:
        raise MalformedProof("a size is one line")
    return parse_number(line, "size of the checkpoint that was cosigned last")


def read_cosignatures(
    body: bytes, note: Note, keys: Iterable[VerifierKey]
) -> dict[VerifierKey, NoteSignature]:
    """The signature lines of an answer that are by `keys` over the text of `note`; others are ignored.

    Raises:
        MalformedProof: the answer is not signature lines.
        InvalidSignature: a line of one of `keys` does not verify.
        UntrustedSigner: there is none.
    """
    lines = utf8_text(body, ANSWER_LIMIT, "an answer")
    answer = Note.parse(f"{note.text}\n{lines}")
    if answer.text != note.text:
        raise MalformedProof("an answer is signature lines and nothing else")
    by = {(key.name, key.id): key for key in answer.verified_by(keys)}
    found: dict[VerifierKey, NoteSignature] = {}
    for line in answer.signatures:
        key = by.get((line.name, line.key_id))
        if key is not None:
            found.setdefault(key, line)
    return found
