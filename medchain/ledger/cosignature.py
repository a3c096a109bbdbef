"""Kinds of note signatures: plain Ed25519 (C2SP signed-note) and cosignatures of checkpoints (C2SP tlog-cosignature).

A cosignature says that its signer has seen the log grow consistently up to a checkpoint, which was, at a time that it
names, the largest that it had seen. On the wire it is the time, 8 bytes, and a signature: by Ed25519 over two lines and
the note text, by ML-DSA-44 over a structure that also commits to the cosigner's name.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable

from attrs import frozen

from medchain.errors import InvalidSignature
from medchain.keys.cosigning import COSIGN_KEY_SIZE, COSIGNATURE_SIZE, verify_cosignature
from medchain.keys.signing import PUBLIC_KEY_SIZE, SIGNATURE_SIZE, verify

__all__ = [
    "ED25519",
    "ED25519_COSIGNATURE",
    "KINDS",
    "MLDSA44_COSIGNATURE",
    "Kind",
    "ed25519_message",
    "mldsa44_message",
    "stamped",
]

ED25519, ED25519_COSIGNATURE, MLDSA44_COSIGNATURE = 0x01, 0x04, 0x06
"""Signature type identifier bytes (signed-note, Signature types; tlog-cosignature, Format)."""

TIME_SIZE = 8
SUBTREE_LABEL = b"subtree/v1\n\0"


@frozen
class Kind:
    """One type of note signature.

    Attributes:
        name: for messages.
        key_size: bytes of a public key.
        size: bytes of a signature, time included.
        timed: it begins with the time at which its signer saw the checkpoint, and covers checkpoints only.
    """

    name: str
    key_size: int
    size: int
    timed: bool
    _check: Callable[[str, bytes, str, bytes], None]

    def verify(self, name: str, key: bytes, text: str, signature: bytes) -> None:
        """Check the signature of a note's text by the key that goes by `name`.

        Raises:
            InvalidSignature: it is none.
        """
        if len(signature) != self.size:
            raise InvalidSignature(f"signature of {name}: {len(signature)} bytes, not {self.size}")
        self._check(name, key, text, signature)

    def time(self, signature: bytes) -> int | None:
        """The time that a cosignature names, in seconds since the epoch; None if the kind names none."""
        return int.from_bytes(signature[:TIME_SIZE], "big") if self.timed else None


def stamped(time: int, signature: bytes) -> bytes:
    """``timestamped_signature``: time in seconds since the epoch, signature (tlog-cosignature, Format)."""
    return time.to_bytes(TIME_SIZE, "big") + signature


def ed25519_message(text: str, time: int) -> bytes:
    """What an Ed25519 cosigner signs (tlog-cosignature, Ed25519 signed message)."""
    return f"cosignature/v1\ntime {time}\n{text}".encode()


def mldsa44_message(name: str, text: str, time: int) -> bytes:
    """``cosigned_message`` for a whole checkpoint (tlog-cosignature, ML-DSA-44 signed message).

    Raises:
        InvalidSignature: `text` is not that of a checkpoint, so no such cosignature can be over it.
    """
    lines = text.split("\n")
    try:
        origin, size, root = lines[0].encode(), int(lines[1]), base64.b64decode(lines[2], validate=True)
        if len(root) != 32 or not 0 < len(origin) < 256 or str(size) != lines[1]:
            raise ValueError("not the lines of a checkpoint")
        return b"".join(
            (
                SUBTREE_LABEL,
                _short(name.encode()),
                time.to_bytes(TIME_SIZE, "big"),
                _short(origin),
                bytes(8),
                size.to_bytes(8, "big"),
                root,
            )
        )
    except (ValueError, IndexError, OverflowError, binascii.Error) as error:
        raise InvalidSignature(f"cosignature of {name}: the note is no checkpoint") from error


def _short(data: bytes) -> bytes:
    """``opaque <1..2^8-1>`` of the TLS presentation language (RFC 8446, section 3.4)."""
    return bytes([len(data)]) + data


def _check_ed25519(name: str, key: bytes, text: str, signature: bytes) -> None:
    verify(key, text.encode(), signature)


def _check_ed25519_cosignature(name: str, key: bytes, text: str, signature: bytes) -> None:
    verify(key, ed25519_message(text, _time(name, signature)), signature[TIME_SIZE:])


def _check_mldsa44_cosignature(name: str, key: bytes, text: str, signature: bytes) -> None:
    message = mldsa44_message(name, text, _time(name, signature))
    verify_cosignature(key, message, signature[TIME_SIZE:])


def _time(name: str, signature: bytes) -> int:
    time = int.from_bytes(signature[:TIME_SIZE], "big")
    if time >= 1 << 63:
        raise InvalidSignature(f"cosignature of {name}: its time is beyond 2^63 - 1")
    return time


KINDS = {
    ED25519: Kind("Ed25519", PUBLIC_KEY_SIZE, SIGNATURE_SIZE, False, _check_ed25519),
    ED25519_COSIGNATURE: Kind(
        "Ed25519 cosignature", PUBLIC_KEY_SIZE, TIME_SIZE + SIGNATURE_SIZE, True, _check_ed25519_cosignature
    ),
    MLDSA44_COSIGNATURE: Kind(
        "ML-DSA-44 cosignature",
        COSIGN_KEY_SIZE,
        TIME_SIZE + COSIGNATURE_SIZE,
        True,
        _check_mldsa44_cosignature,
    ),
}
"""The types that medchain signs and verifies, by their identifier byte."""
