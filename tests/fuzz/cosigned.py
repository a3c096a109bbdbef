"""Cosigned checkpoints, and trust files that name witnesses."""

from __future__ import annotations

import medchain as mc
from medchain.keys.cosigning import CosignKey
from medchain.keys.signing import SigningKey
from medchain.ledger.checkpoint import Checkpoint
from medchain.ledger.note import Note, NoteSigner
from medchain.ledger.quorum import Group, Quorum, Witness
from medchain.merkle import Head

__all__ = ["cosigned", "policies", "read_cosigned"]

LOG = NoteSigner("log.example", SigningKey(b"\x01" * 32))
WITNESSES = (
    NoteSigner.cosigner("w.example/1", SigningKey(b"\x02" * 32)),
    NoteSigner.cosigner("w.example/2", CosignKey(b"\x03" * 32)),
)


def read_cosigned(data: bytes) -> None:
    """Verify whatever the known keys have signed."""
    checkpoint = Checkpoint.parse(data)
    for line in checkpoint.note.signatures:
        for signer in WITNESSES:
            signer.key.kind.time(line.signature)
    checkpoint.note.verified_by([LOG.key, *(signer.key for signer in WITNESSES)])


def cosigned() -> list[bytes]:
    text = Checkpoint.text("log.example", Head(5, bytes(32)))
    lines = [LOG.sign(text), *(signer.sign(text, 1_790_000_000) for signer in WITNESSES)]
    return [bytes(Note(text, ()).signed_with(*lines[:count])) for count in (1, 2, 3)]


def policies() -> list[bytes]:
    """A trust file with witnesses in two groups."""
    one, two = (
        Witness(f"w{number}", signer.key, "http://w.example/") for number, signer in enumerate(WITNESSES)
    )
    quorum = Quorum((one, two), (Group("g", 1, ("w0", "w1")), Group("h", 1, ("g",))), "h")
    return [str(mc.Trust((LOG.key,), bytes(32), bytes(32), quorum=quorum)).encode()]
