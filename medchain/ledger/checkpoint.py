"""Checkpoints: signed notes that commit to the whole log (C2SP tlog-checkpoint, no extension lines)."""

from __future__ import annotations

import base64
import re

from attrs import frozen

from medchain.errors import MalformedProof
from medchain.ledger.entry import check_origin
from medchain.ledger.note import Note, decode_base64
from medchain.merkle import Head

__all__ = ["Checkpoint", "parse_number"]

NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")


@frozen
class Checkpoint:
    """A log's statement of its size and root. Trust it only after `Trust.verify`.

    Attributes:
        origin: name of the log.
        head: size and root.
        note: the note that says so, with its signatures.
    """

    origin: str
    head: Head
    note: Note

    @property
    def size(self) -> int:
        """How many leaves the log has."""
        return self.head.size

    @property
    def root(self) -> bytes:
        """Root of the log."""
        return self.head.root

    @staticmethod
    def text(origin: str, head: Head) -> str:
        """The note text: origin, size and root, a line each."""
        return f"{origin}\n{head.size}\n{base64.b64encode(head.root).decode()}\n"

    @classmethod
    def parse(cls, data: str | bytes) -> Checkpoint:
        """Read a checkpoint.

        Raises:
            MalformedProof: it is no signed note, or its text is not exactly origin, size and root.
        """
        note = Note.parse(data)
        lines = note.text[:-1].split("\n")
        if len(lines) != 3:
            raise MalformedProof("a checkpoint has three lines: origin, size, root (no extension lines)")
        try:
            check_origin(lines[0])
        except ValueError as error:
            raise MalformedProof(f"checkpoint: {error}") from error
        size, root = parse_number(lines[1], "checkpoint size"), decode_base64(lines[2], "checkpoint root")
        if len(root) != 32:
            raise MalformedProof("a checkpoint's root has 32 bytes")
        return cls(lines[0], Head(size, root), note)

    from_bytes = parse

    def __str__(self) -> str:
        return str(self.note)

    def __bytes__(self) -> bytes:
        return bytes(self.note)


def parse_number(text: str, what: str) -> int:
    """ASCII decimal without leading zeros, below 2^63; MalformedProof otherwise."""
    if not NUMBER.fullmatch(text) or int(text) >= 1 << 63:
        raise MalformedProof(f"{what}: not a decimal number without leading zeros")
    return int(text)
