"""Ed25519 by libsodium's rule: the only place in medchain that verifies an Ed25519 signature.

RFC 8032 leaves room for libraries to disagree about odd signatures, and nodes that disagree fork a chain.
medchain follows libsodium, through PyNaCl: the equation holds without the cofactor, keys and R of small
order are refused, so are S ≥ L and points that are not encoded canonically. (OpenSSL accepts small orders:
of the 914 vectors of CCTV it takes 208, libsodium 43.) `self_test` pins the rule; the consensus engine runs
it when it is imported.
"""

from __future__ import annotations

import hashlib
from typing import NoReturn

import nacl.bindings
from nacl.exceptions import BadSignatureError

from medchain.errors import ConsensusError, EncodingError, InvalidSignature

__all__ = [
    "KEY_ID_SIZE",
    "PUBLIC_KEY_SIZE",
    "SEED_SIZE",
    "SIGNATURE_SIZE",
    "SigningKey",
    "check_public_key",
    "key_id",
    "self_test",
    "sign",
    "verify",
]

SEED_SIZE = 32
PUBLIC_KEY_SIZE = 32
SIGNATURE_SIZE = 64
KEY_ID_SIZE = 16

_KEY_ID_LABEL = b"medchain/key/v1"


class SigningKey:
    """A private Ed25519 key, made from its 32-byte seed. Its repr shows the public half; it is not pickled.

    >>> key = SigningKey(bytes(32))
    >>> verify(key.public, b"message", key.sign(b"message"))
    """

    __slots__ = ("_secret", "public")

    public: bytes
    """The public key, 32 bytes."""

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_SIZE:
            raise ValueError(f"an Ed25519 seed has {SEED_SIZE} bytes, not {len(seed)}")
        self.public, self._secret = nacl.bindings.crypto_sign_seed_keypair(bytes(seed))

    @property
    def key_id(self) -> bytes:
        """The 16-byte id of the public key."""
        return key_id(self.public)

    def sign(self, message: bytes) -> bytes:
        """The 64-byte signature over `message` (RFC 8032, 5.1.6; deterministic)."""
        signature: bytes = nacl.bindings.crypto_sign(bytes(message), self._secret)[:SIGNATURE_SIZE]
        return signature

    def __repr__(self) -> str:
        return f"<SigningKey {self.public[:4].hex()}…>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("private keys are neither pickled nor copied")


def sign(seed: bytes, message: bytes) -> bytes:
    """The 64-byte signature over `message` by the key of a 32-byte seed."""
    return SigningKey(seed).sign(message)


def verify(public_key: bytes, message: bytes, signature: bytes) -> None:
    """Check an Ed25519 signature by libsodium's rule.

    Raises:
        InvalidSignature: the signature is not one over `message` under `public_key`, or either is malformed.
    """
    if len(public_key) != PUBLIC_KEY_SIZE or len(signature) != SIGNATURE_SIZE:
        raise InvalidSignature(
            f"a public key of {len(public_key)} bytes and a signature of {len(signature)} cannot match"
        )
    try:
        nacl.bindings.crypto_sign_open(bytes(signature) + bytes(message), bytes(public_key))
    except BadSignatureError:
        raise InvalidSignature(f"not a signature by key {bytes(public_key[:4]).hex()}… over this") from None


def check_public_key(public_key: bytes) -> None:
    """Check that 32 bytes are a usable Ed25519 key: a canonical point of the main subgroup, not the identity.

    `verify` does not need this; registration does it once per key, so that no registered key admits
    signatures on which libraries differ.

    Raises:
        EncodingError: they are not.
    """
    if len(public_key) != PUBLIC_KEY_SIZE:
        raise EncodingError(f"an Ed25519 public key has {PUBLIC_KEY_SIZE} bytes, not {len(public_key)}")
    if not nacl.bindings.crypto_core_ed25519_is_valid_point(bytes(public_key)):
        raise EncodingError("not an Ed25519 public key: no canonical point of the prime-order subgroup")


def key_id(public_key: bytes) -> bytes:
    """The id of a signing key: the first 16 bytes of SHA-256 over a label and the key."""
    return hashlib.sha256(_KEY_ID_LABEL + public_key).digest()[:KEY_ID_SIZE]


def self_test() -> None:
    """Check that the installed libsodium verifies by the rule of this module (about 1 ms).

    Raises:
        ConsensusError: it does not; a node that went on would part from the others.
    """
    for case, accepted, public_key, signature in RULE:
        try:
            verify(bytes.fromhex(public_key), RULE_MESSAGE, bytes.fromhex(signature))
        except InvalidSignature:
            agrees = not accepted
        else:
            agrees = accepted
        if not agrees:
            raise ConsensusError(f"the installed libsodium follows another Ed25519 rule: {case}")


RULE_MESSAGE = b"medchain/ed25519-rule/v1"

_A = "c10def972b76b60f9f4a01d4fe959ea7cac4ccf89dcfa2b6235bcfb4515300dd"
_A_PLUS_TORSION = "a595a17841f386becf5fa4f60419a1dc295473c33303716a44ac72e7f12e92ed"
_R = "4a5938632b3fcc1077894af0628ed055f9b95335cdcb44c6637d8ec351ba2159"
_IDENTITY = "01" + 31 * "00"
_IDENTITY_UNREDUCED = "ee" + 30 * "ff" + "7f"

RULE = (
    (
        "an ordinary signature is accepted",
        True,
        _A,
        _R + "ee1e30d86217125a9e71596257732a1341d92ffacbc6647899ff31d92237bc02",
    ),
    (
        "a key of mixed order is accepted where the equation holds without the cofactor",
        True,
        _A_PLUS_TORSION,
        _R + "efc51fc71e1825ccc9457d354e9a128b08a25a2dd58a3b87b6d18763ab57bc0d",
    ),
    (
        "a key of mixed order is refused where the equation needs the cofactor",
        False,
        _A_PLUS_TORSION,
        (
            "0b6291a864d531b0a878264794705f1b3f65f032b26cc7c4a21ba1f6a3827224"
            "cf0a57c863abb85dea59433123308beca33bd5043e143412067b0728c6200a02"
        ),
    ),
    (
        "R of mixed order is refused where the equation needs the cofactor",
        False,
        _A,
        (
            "4f15b690505ee4b2872d29c0dbdea77886ff615e46462e58eb5c59d9a3499e11"
            "7d14d07d41394c15401066766e85006bb7a8e45062e3241b98e8f3b238d4880b"
        ),
    ),
    (
        "S not below L is refused",
        False,
        _A,
        _R + "dbf225357d7a24b2740e5105366d092841d92ffacbc6647899ff31d92237bc12",
    ),
    (
        "a key of small order is refused",
        False,
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        (
            "8ced4f3d016f2c11b5896c6a80002ce98ec47b0c89ada442b945865a46347db4"
            "b3d32933b944c713927a9d48f58ac282421a86295f3e5390257c20061b1b0606"
        ),
    ),
    (
        "R of small order is refused",
        False,
        _A,
        _IDENTITY + "e4705aa02372e9c38269735a675ee078a0028ba7851df6f57470f575d394d70a",
    ),
    (
        "a key with unreduced y is refused",
        False,
        _IDENTITY_UNREDUCED,
        _R + "1006692e27b2051a049ec060ba41e2b06b9eaedbb04f0c51efd9096b41dc880c",
    ),
    (
        "R with unreduced y is refused",
        False,
        _A,
        _IDENTITY_UNREDUCED + "bf63290fe6fe5a3a94b94c6b04cfc5f1e0765f338ab2771e36297de52a072c0f",
    ),
)
"""The rule by example: what it says, the verdict, key, signature over `RULE_MESSAGE`. The equation S·B = R
+ h·A holds in every case, up to the cofactor where the text says so; tests derive the same bytes with an
arithmetic of their own."""
