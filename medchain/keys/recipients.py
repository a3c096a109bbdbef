"""Sealing to a recipient: HPKE (RFC 9180) with a hybrid post-quantum KEM.

The suite is MLKEM768_X25519 (0x647a of draft-ietf-hpke-pq, the construction known as X-Wing), HKDF-SHA256,
AES-256-GCM, base mode, one message for each encapsulation. Context goes into `info`; there is no AAD.
Whoever seals stays anonymous: what was opened proves nothing about its author by itself.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)

from medchain.errors import EncodingError, SealingError

__all__ = [
    "ENCAPSULATION_SIZE",
    "OVERHEAD",
    "PUBLIC_KEY_SIZE",
    "RECIPIENT_ID_SIZE",
    "SEED_SIZE",
    "SUITE",
    "RecipientKey",
    "check_public_key",
    "open",
    "recipient_id",
    "seal",
]

SUITE = bytes.fromhex("647a 0001 0002")
"""The suite id as it stands in envelopes: the KEM, KDF and AEAD ids of RFC 9180, two bytes each."""

SEED_SIZE = 32
PUBLIC_KEY_SIZE = 1184 + 32
"""An ML-KEM-768 encapsulation key, then an X25519 key."""
ENCAPSULATION_SIZE = 1088 + 32
OVERHEAD = ENCAPSULATION_SIZE + 16
"""By how much a sealed message is longer than its plaintext: encapsulation and tag."""
RECIPIENT_ID_SIZE = 16

_ID_LABEL = b"medchain/recipient/v1"
_MLKEM_SEED_SIZE = 64
_MLKEM_PUBLIC_SIZE = 1184
_HPKE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_ANY_SCALAR = X25519PrivateKey.from_private_bytes(bytes(31) + b"\x40")


class RecipientKey:
    """A private recipient key, made from its 32-byte seed. Its repr shows the public half; it is not pickled.

    The seed is expanded as X-Wing does (draft-connolly-cfrg-xwing-kem, 5.2): SHAKE256 to 96 bytes, the
    ML-KEM-768 seed d ‖ z and then the X25519 scalar.
    """

    __slots__ = ("_private", "public", "seed")

    public: bytes
    """The public key, 1,216 bytes."""
    seed: bytes
    """The private key itself, 32 bytes: who has it can open everything that was sealed to `public`."""

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_SIZE:
            raise ValueError(f"a recipient seed has {SEED_SIZE} bytes, not {len(seed)}")
        self.seed = bytes(seed)
        expanded = hashlib.shake_256(self.seed).digest(_MLKEM_SEED_SIZE + 32)
        mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:_MLKEM_SEED_SIZE])
        x25519 = X25519PrivateKey.from_private_bytes(expanded[_MLKEM_SEED_SIZE:])
        self._private = MLKEM768X25519PrivateKey(mlkem, x25519)
        self.public = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()

    @property
    def recipient_id(self) -> bytes:
        """The 16-byte id of the public key."""
        return recipient_id(self.public)

    def decrypt(self, sealed: bytes, info: bytes) -> bytes:
        """The plaintext of what `seal` made for this key with the same `info`.

        Raises:
            SealingError: it was sealed to another key or under another `info`, or altered since.
        """
        if len(sealed) < OVERHEAD:
            raise SealingError(f"sealed data is cut short: {len(sealed)} bytes, at least {OVERHEAD} expected")
        try:
            return _HPKE.decrypt(sealed, self._private, info)
        except (InvalidTag, ValueError):
            raise SealingError(
                f"sealed data does not open with key {self.recipient_id[:4].hex()}…: "
                "another recipient, another context, or altered"
            ) from None

    def __repr__(self) -> str:
        return f"<RecipientKey {self.recipient_id[:4].hex()}…>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("private keys are neither pickled nor copied")


def seal(public_key: bytes, plaintext: bytes, info: bytes) -> bytes:
    """Seal `plaintext` to a 1,216-byte public key: encapsulation, ciphertext and tag, `OVERHEAD` bytes more.

    `info` is the context that the recipient must know to open it.

    Raises:
        SealingError: the public key is malformed.
    """
    try:
        return _HPKE.encrypt(plaintext, _public(bytes(public_key)), info)
    except (EncodingError, ValueError) as error:
        raise SealingError(f"cannot seal to this recipient: {error}") from None


def open(seed: bytes, sealed: bytes, info: bytes) -> bytes:
    """The plaintext of `sealed`, by the seed of the recipient's key; see `RecipientKey.decrypt`."""
    return RecipientKey(seed).decrypt(sealed, info)


def check_public_key(public_key: bytes) -> None:
    """Check that 1,216 bytes are a usable recipient key. Nobody shall register one that makes sealing fail.

    Raises:
        EncodingError: ML-KEM's modulus check fails (FIPS 203, 7.2), or the X25519 point has small order.
    """
    _public(bytes(public_key))
    try:
        _ANY_SCALAR.exchange(X25519PublicKey.from_public_bytes(bytes(public_key[_MLKEM_PUBLIC_SIZE:])))
    except ValueError:
        raise EncodingError("not a recipient key: its X25519 point has small order") from None


def recipient_id(public_key: bytes) -> bytes:
    """The id of a recipient key: the first 16 bytes of SHA-256 over a label, the suite and the key."""
    return hashlib.sha256(_ID_LABEL + SUITE + public_key).digest()[:RECIPIENT_ID_SIZE]


@lru_cache(maxsize=256)
def _public(public_key: bytes) -> MLKEM768X25519PublicKey:
    if len(public_key) != PUBLIC_KEY_SIZE:
        raise EncodingError(f"a recipient key has {PUBLIC_KEY_SIZE} bytes, not {len(public_key)}")
    try:
        mlkem = MLKEM768PublicKey.from_public_bytes(public_key[:_MLKEM_PUBLIC_SIZE])
    except ValueError:
        raise EncodingError("not a recipient key: its ML-KEM-768 half is malformed") from None
    x25519 = X25519PublicKey.from_public_bytes(public_key[_MLKEM_PUBLIC_SIZE:])
    return MLKEM768X25519PublicKey(mlkem, x25519)
