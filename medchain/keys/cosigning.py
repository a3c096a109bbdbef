"""ML-DSA-44 (FIPS 204): the second signature beside Ed25519 on checkpoints.

Signing is randomised: two signatures over the same message differ, so never hash a signature or compare it
with one that was made again. No context string is used.
"""

from __future__ import annotations

import functools
from typing import NoReturn

from cryptography.exceptions import InvalidSignature as _Mismatch
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from medchain.errors import InvalidSignature

__all__ = ["COSIGNATURE_SIZE", "COSIGN_KEY_SIZE", "CosignKey", "verify_cosignature"]

COSIGN_KEY_SIZE = 1312
COSIGNATURE_SIZE = 2420
_SEED_SIZE = 32


class CosignKey:
    """A private ML-DSA-44 key, made from its 32-byte seed. Its repr shows the public half; it is not pickled.

    >>> key = CosignKey(bytes(32))
    >>> verify_cosignature(key.public, b"message", key.sign(b"message"))
    """

    __slots__ = ("_private", "public")

    public: bytes
    """The public key, 1,312 bytes."""

    def __init__(self, seed: bytes) -> None:
        if len(seed) != _SEED_SIZE:
            raise ValueError(f"an ML-DSA-44 seed has {_SEED_SIZE} bytes, not {len(seed)}")
        self._private = MLDSA44PrivateKey.from_seed_bytes(bytes(seed))
        self.public = self._private.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """A 2,420-byte signature over `message`; another one each time."""
        return self._private.sign(message)

    def __repr__(self) -> str:
        return f"<CosignKey {self.public[:4].hex()}…>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("private keys are neither pickled nor copied")


def verify_cosignature(public_key: bytes, message: bytes, signature: bytes) -> None:
    """Check an ML-DSA-44 signature (FIPS 204, empty context).

    Raises:
        InvalidSignature: the signature is not one over `message` under `public_key`, or either is malformed.
    """
    if len(public_key) != COSIGN_KEY_SIZE or len(signature) != COSIGNATURE_SIZE:
        raise InvalidSignature(
            f"a public key of {len(public_key)} bytes and a cosignature of {len(signature)} cannot match"
        )
    try:
        _public(bytes(public_key)).verify(signature, message)
    except (_Mismatch, ValueError):
        raise InvalidSignature(f"not a cosignature by key {bytes(public_key[:4]).hex()}… over this") from None


@functools.lru_cache(maxsize=64)
def _public(key: bytes) -> MLDSA44PublicKey:
    """A public key, expanded; kept, for that takes as long as verifying, and witnesses sign again and again."""
    return MLDSA44PublicKey.from_public_bytes(key)
