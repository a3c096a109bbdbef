"""A second implementation of HPKE's base mode (RFC 9180; draft-ietf-hpke-hpke for one-stage KDFs) with X-Wing.

For tests: any KDF and AEAD of the vectors, AAD, no shortcuts. HKDF is written out with hmac, AES-GCM and ChaCha20 are
pycryptodome's; only ML-KEM and X25519 come from where the library has them.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

from Crypto.Cipher import AES, ChaCha20_Poly1305
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

KEM_ID = 0x647A
HKDF_SHA256, SHAKE256 = 0x0001, 0x0011
AES_256_GCM, CHACHA20_POLY1305 = 0x0002, 0x0003


def expand_seed(seed: bytes) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
    expanded = hashlib.shake_256(seed).digest(96)
    return MLKEM768PrivateKey.from_seed_bytes(expanded[:64]), X25519PrivateKey.from_private_bytes(
        expanded[64:]
    )


def public_key(seed: bytes) -> bytes:
    mlkem, x25519 = expand_seed(seed)
    return mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()


def _combine(ss_mlkem: bytes, ss_x25519: bytes, ct_x25519: bytes, pk_x25519: bytes) -> bytes:
    return hashlib.sha3_256(ss_mlkem + ss_x25519 + ct_x25519 + pk_x25519 + rb"\.//^" + b"\\").digest()


def decapsulate(seed: bytes, enc: bytes) -> bytes:
    mlkem, x25519 = expand_seed(seed)
    ct_mlkem, ct_x25519 = enc[:1088], enc[1088:]
    shared = x25519.exchange(X25519PublicKey.from_public_bytes(ct_x25519))
    return _combine(mlkem.decapsulate(ct_mlkem), shared, ct_x25519, x25519.public_key().public_bytes_raw())


def encapsulate(public: bytes) -> tuple[bytes, bytes]:
    """The shared secret and the encapsulation."""
    ss_mlkem, ct_mlkem = MLKEM768PublicKey.from_public_bytes(public[:1184]).encapsulate()
    ephemeral = X25519PrivateKey.generate()
    shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(public[1184:]))
    ct_x25519 = ephemeral.public_key().public_bytes_raw()
    return _combine(ss_mlkem, shared, ct_x25519, public[1184:]), ct_mlkem + ct_x25519


def _extract(salt: bytes, ikm: bytes) -> bytes:
    return hmac.new(salt or bytes(32), ikm, "sha256").digest()


def _expand(prk: bytes, info: bytes, length: int) -> bytes:
    block, out, counter = b"", b"", 1
    while len(out) < length:
        block = hmac.new(prk, block + info + bytes([counter]), "sha256").digest()
        out, counter = out + block, counter + 1
    return out[:length]


def _prefixed(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


class Context:
    """The key schedule of base mode for one shared secret, and what it encrypts."""

    def __init__(self, kdf: int, aead: int, shared_secret: bytes, info: bytes) -> None:
        self.kdf, self.aead = kdf, aead
        self.suite_id = b"HPKE" + b"".join(number.to_bytes(2, "big") for number in (KEM_ID, kdf, aead))
        self.key, self.base_nonce, self.exporter_secret = (
            self._two_stages(shared_secret, info)
            if kdf == HKDF_SHA256
            else self._one_stage(shared_secret, info)
        )
        self.sequence = 0

    def _two_stages(self, shared_secret: bytes, info: bytes) -> tuple[bytes, bytes, bytes]:
        context = b"\0" + self._labeled_extract(b"", b"psk_id_hash", b"")
        context += self._labeled_extract(b"", b"info_hash", info)
        secret = self._labeled_extract(shared_secret, b"secret", b"")
        key, nonce, exporter = (
            self._labeled_expand(secret, label, context, length)
            for label, length in ((b"key", 32), (b"base_nonce", 12), (b"exp", 32))
        )
        return key, nonce, exporter

    def _one_stage(self, shared_secret: bytes, info: bytes) -> tuple[bytes, bytes, bytes]:
        secrets = _prefixed(b"") + _prefixed(shared_secret)
        context = b"\0" + _prefixed(b"") + _prefixed(info)
        out = self._labeled_derive(secrets, b"secret", context, 32 + 12 + 64)
        return out[:32], out[32:44], out[44:]

    def _labeled_extract(self, salt: bytes, label: bytes, ikm: bytes) -> bytes:
        return _extract(salt, b"HPKE-v1" + self.suite_id + label + ikm)

    def _labeled_expand(self, prk: bytes, label: bytes, info: bytes, length: int) -> bytes:
        return _expand(prk, length.to_bytes(2, "big") + b"HPKE-v1" + self.suite_id + label + info, length)

    def _labeled_derive(self, ikm: bytes, label: bytes, context: bytes, length: int) -> bytes:
        labeled = ikm + b"HPKE-v1" + self.suite_id + _prefixed(label) + length.to_bytes(2, "big") + context
        return hashlib.shake_256(labeled).digest(length)

    def export(self, context: bytes, length: int) -> bytes:
        if self.kdf == HKDF_SHA256:
            return self._labeled_expand(self.exporter_secret, b"sec", context, length)
        return self._labeled_derive(self.exporter_secret, b"sec", context, length)

    def _cipher(self, aad: bytes) -> Any:
        nonce = bytes(a ^ b for a, b in zip(self.base_nonce, self.sequence.to_bytes(12, "big"), strict=True))
        self.sequence += 1
        if self.aead == AES_256_GCM:
            cipher: Any = AES.new(self.key, AES.MODE_GCM, nonce=nonce)
        else:
            cipher = ChaCha20_Poly1305.new(key=self.key, nonce=nonce)
        cipher.update(aad)
        return cipher

    def seal(self, plaintext: bytes, aad: bytes = b"") -> bytes:
        ciphertext, tag = self._cipher(aad).encrypt_and_digest(plaintext)
        return bytes(ciphertext + tag)

    def open(self, sealed: bytes, aad: bytes = b"") -> bytes:
        return bytes(self._cipher(aad).decrypt_and_verify(sealed[:-16], sealed[-16:]))
