"""The primitives below medchain.keys and medchain.sealing, called as they are called there, on official vectors."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
import vectors
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def cases(name: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    groups = json.loads(vectors.path(f"crypto/wycheproof/{name}.json").read_text())["testGroups"]
    return [(group, case) for group in groups for case in group["tests"]]


NONCE_BITS = range(64, 1025)
"""The nonces that the library takes. medchain's have 96 bits, and its keys 256."""


def test_aes_gcm() -> None:
    """All 316 cases; where the nonce is shorter or longer than the library takes, that it is refused."""
    done = Counter[str]()
    for group, case in cases("aes_gcm_test"):
        key, nonce, aad, message = (bytes.fromhex(case[name]) for name in ("key", "iv", "aad", "msg"))
        assert (len(key) * 8, len(nonce) * 8, group["tagSize"]) == (group["keySize"], group["ivSize"], 128)
        sealed, cipher = bytes.fromhex(case["ct"] + case["tag"]), AESGCM(key)
        if group["ivSize"] not in NONCE_BITS:
            for call in (cipher.encrypt, cipher.decrypt):
                with pytest.raises(ValueError, match="Nonce must be between 8 and 128 bytes"):
                    call(nonce, sealed, aad)
            done["refused"] += 1
        elif case["result"] == "valid":
            assert cipher.encrypt(nonce, message, aad) == sealed
            assert cipher.decrypt(nonce, sealed, aad) == message
            done["valid"] += 1
        else:
            with pytest.raises(InvalidTag):
                cipher.decrypt(nonce, sealed, aad)
            done["invalid"] += 1
    assert done == {"valid": 202, "invalid": 81, "refused": 33}


def test_hkdf_sha256() -> None:
    for _, case in cases("hkdf_sha256_test"):
        ikm, salt, info = (bytes.fromhex(case[name]) for name in ("ikm", "salt", "info"))
        if case["result"] == "valid":
            assert HKDF(SHA256(), case["size"], salt, info).derive(ikm).hex() == case["okm"]
        else:
            with pytest.raises(ValueError, match="larger than 8160"):
                HKDF(SHA256(), case["size"], salt, info)


def test_ml_kem_768() -> None:
    for _, case in cases("mlkem_768_test"):
        seed, ciphertext = bytes.fromhex(case["seed"]), bytes.fromhex(case["c"])
        if case["result"] == "valid":
            private = MLKEM768PrivateKey.from_seed_bytes(seed)
            assert private.public_key().public_bytes_raw().hex() == case["ek"]
            assert private.decapsulate(ciphertext).hex() == case["K"]
        else:
            with pytest.raises(ValueError):
                MLKEM768PrivateKey.from_seed_bytes(seed).decapsulate(ciphertext)


def test_ml_kem_768_checks_the_modulus() -> None:
    """FIPS 203, 7.2: a coefficient that is not reduced makes the key invalid."""
    good = MLKEM768PrivateKey.from_seed_bytes(bytes(64)).public_key().public_bytes_raw()
    MLKEM768PublicKey.from_public_bytes(good)
    with pytest.raises(ValueError):
        MLKEM768PublicKey.from_public_bytes(b"\xff\xff" + good[2:])
