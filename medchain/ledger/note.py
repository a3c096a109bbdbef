"""Signed notes and verifier keys as C2SP signed-note specifies them.

A note is text, an empty line, and signature lines ``— <name> base64(key id ‖ signature)``. Signatures of unknown keys
are ignored, one of a known key that does not verify refuses the note.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable

from attrs import field, frozen

from medchain.errors import MalformedProof, UntrustedSigner
from medchain.keys.cosigning import CosignKey
from medchain.keys.signing import SigningKey
from medchain.ledger.cosignature import (
    ED25519,
    ED25519_COSIGNATURE,
    KINDS,
    MLDSA44_COSIGNATURE,
    Kind,
    ed25519_message,
    mldsa44_message,
    stamped,
)
from medchain.ledger.entry import check_origin
from medchain.records import short

__all__ = ["NOTE_LIMIT", "Note", "NoteSignature", "NoteSigner", "VerifierKey", "decode_base64", "utf8_text"]

NOTE_LIMIT = 128 * 1024
"""Most bytes of a note; room for more than 16 post-quantum signatures."""

SIGNATURES_LIMIT = 64


@frozen
class VerifierKey:
    """A public key with the name under which it signs: a vkey, ``<name>+<key id>+<base64 of type and key>``.

    Attributes:
        name: of the signer; a log signs under its origin.
        key: the public key.
        type: identifier byte of its signatures: 0x01 Ed25519, 0x04 Ed25519 cosignature, 0x06 ML-DSA-44 cosignature.
    """

    name: str
    key: bytes = field(repr=short)
    type: int = ED25519

    def __attrs_post_init__(self) -> None:
        if self.type not in KINDS or len(self.key) != self.kind.key_size:
            raise ValueError(f"no key of type 0x{self.type:02x} has {len(self.key)} bytes")
        check_origin(self.name)

    @property
    def kind(self) -> Kind:
        """What its signatures are."""
        return KINDS[self.type]

    def line(self, signature: bytes) -> NoteSignature:
        """The line of a note that holds a signature by this key."""
        return NoteSignature(self.name, self.id, signature)

    @property
    def id(self) -> bytes:
        """SHA-256(name ‖ 0x0A ‖ type ‖ key)[:4]."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.type]) + self.key).digest()[:4]

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """Read a vkey.

        Raises:
            MalformedProof: it is none, its key id is not that of its key, or it is of a type that is not known here.
        """
        name, _, rest = text.partition("+")
        hexed, _, encoded = rest.partition("+")
        try:
            check_origin(name)
        except ValueError as error:
            raise MalformedProof(f"verifier key: {error}") from error
        material = decode_base64(encoded, "verifier key")
        kind = KINDS.get(material[0]) if material else None
        if kind is None or len(material) != 1 + kind.key_size:
            known = ", ".join(f"{each.name} (0x{type:02x})" for type, each in KINDS.items())
            raise MalformedProof(f"verifier key: not a key of one of the types {known}")
        found = cls(name, material[1:], material[0])
        if hexed != found.id.hex():
            raise MalformedProof(f"verifier key: its id is {found.id.hex()}, not {hexed[:16]!r}")
        return found

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(bytes([self.type]) + self.key).decode()}"


@frozen
class NoteSignature:
    """One signature line of a note; a cosignature begins with its time."""

    name: str
    key_id: bytes = field(repr=short)
    signature: bytes = field(repr=short)

    def __str__(self) -> str:
        return f"— {self.name} {base64.b64encode(self.key_id + self.signature).decode()}\n"


@frozen
class NoteSigner:
    """Who signs notes: a name and a private key.

    Attributes:
        name: under which it signs.
        private: an Ed25519 or an ML-DSA-44 key.
        type: of its signatures; of ML-DSA-44 there are cosignatures only.
    """

    name: str
    private: SigningKey | CosignKey = field(repr=False)
    type: int = ED25519

    def __attrs_post_init__(self) -> None:
        check_origin(self.name)

    @classmethod
    def cosigner(cls, name: str, private: SigningKey | CosignKey) -> NoteSigner:
        """One that cosigns checkpoints, as witnesses do."""
        return cls(
            name, private, ED25519_COSIGNATURE if isinstance(private, SigningKey) else MLDSA44_COSIGNATURE
        )

    @property
    def key(self) -> VerifierKey:
        """What its signatures are verified with."""
        return VerifierKey(self.name, self.private.public, self.type)

    def sign(self, text: str, time: int | None = None) -> NoteSignature:
        """The signature line for a note text.

        Args:
            text: of the note; cosigners sign checkpoints only.
            time: for a cosignature: now, in seconds since the epoch.
        """
        if self.type == ED25519:
            return self.key.line(self.private.sign(text.encode()))
        if time is None:
            raise TypeError("a cosignature names its time")
        message = (
            ed25519_message(text, time)
            if self.type == ED25519_COSIGNATURE
            else mldsa44_message(self.name, text, time)
        )
        return self.key.line(stamped(time, self.private.sign(message)))


@frozen
class Note:
    """Text with signatures. The text means nothing until `verified_by` has named somebody who is trusted."""

    text: str
    signatures: tuple[NoteSignature, ...]

    @classmethod
    def parse(cls, data: str | bytes) -> Note:
        """Read a note strictly; MalformedProof if it breaks the specification in any way."""
        content = utf8_text(data, NOTE_LIMIT, "a note")
        if any(ord(letter) < 0x20 and letter != "\n" for letter in content):
            raise MalformedProof("a note has no control characters other than newline")
        body, blank, tail = content.rpartition("\n\n")
        if not blank or not tail.endswith("\n"):
            raise MalformedProof("a note is text, an empty line and signature lines that end in newline")
        lines = tail[:-1].split("\n")
        if len(lines) > SIGNATURES_LIMIT:
            raise MalformedProof(f"a note has at most {SIGNATURES_LIMIT} signatures here")
        return cls(body + "\n", tuple(_signature(line) for line in lines))

    def __str__(self) -> str:
        return self.text + "\n" + "".join(map(str, self.signatures))

    def __bytes__(self) -> bytes:
        return str(self).encode()

    def signed_with(self, *lines: NoteSignature) -> Note:
        """The note with more signatures of its text."""
        return Note(self.text, (*self.signatures, *lines))

    def verified_by(self, keys: Iterable[VerifierKey]) -> tuple[VerifierKey, ...]:
        """Which of `keys` signed it; never empty.

        Raises:
            InvalidSignature: a signature of one of `keys` does not verify.
            UntrustedSigner: none of `keys` has signed.
        """
        known = {(key.name, key.id): key for key in keys}
        found: dict[VerifierKey, None] = {}
        for line in self.signatures:
            key = known.get((line.name, line.key_id))
            if key is None:
                continue
            key.kind.verify(key.name, key.key, self.text, line.signature)
            found[key] = None
        if not found:
            signers = ", ".join(sorted({line.name for line in self.signatures}))[:200]
            raise UntrustedSigner(f"signed by {signers}, and none of these keys is trusted here")
        return tuple(found)


def _signature(line: str) -> NoteSignature:
    name, _, encoded = line.removeprefix("— ").partition(" ")
    if not line.startswith("— ") or not encoded:
        raise MalformedProof("a signature line is an em dash, a space, a name, a space and base64")
    try:
        check_origin(name)
    except ValueError as error:
        raise MalformedProof(f"signature line: {error}") from error
    raw = decode_base64(encoded, "signature line")
    if len(raw) < 5:
        raise MalformedProof("signature line: shorter than a key id and a signature")
    return NoteSignature(name, raw[:4], raw[4:])


def utf8_text(data: str | bytes, limit: int, what: str, *, errors: str = "strict") -> str:
    """Text of at most `limit` bytes that is UTF-8, given as text or as bytes; `errors` as for ``bytes.decode``.

    Raises:
        MalformedProof: it is longer, or no UTF-8.
        TypeError: it is neither text nor bytes.
    """
    if not isinstance(data, str | bytes | bytearray):
        raise TypeError(f"{what} is text or bytes, not {type(data).__name__}")
    if len(data) > limit:
        raise MalformedProof(f"{what} has at most {limit} bytes")
    try:
        raw = data.encode(errors=errors) if isinstance(data, str) else data
        text = raw.decode(errors=errors)
    except UnicodeError as error:
        raise MalformedProof(f"{what} is UTF-8 text") from error
    if len(raw) > limit:
        raise MalformedProof(f"{what} has at most {limit} bytes")
    return text


def decode_base64(text: str, what: str) -> bytes:
    """Standard base64 (RFC 4648 section 4), padded and canonical; MalformedProof otherwise."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedProof(f"{what}: not base64") from error
    if base64.b64encode(data).decode() != text:
        raise MalformedProof(f"{what}: not canonical base64")
    return data
