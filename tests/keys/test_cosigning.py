"""ML-DSA-44 as medchain uses it."""

from __future__ import annotations

import hashlib
import pickle

import pytest

from medchain.errors import InvalidSignature
from medchain.keys.cosigning import COSIGN_KEY_SIZE, COSIGNATURE_SIZE, CosignKey, verify_cosignature


def test_round_trip_and_sizes() -> None:
    key = CosignKey(bytes(range(32)))
    first, second = key.sign(b"checkpoint"), key.sign(b"checkpoint")
    assert (len(key.public), len(first)) == (COSIGN_KEY_SIZE, COSIGNATURE_SIZE)
    assert first != second  # randomised, so never compared with one made again
    verify_cosignature(key.public, b"checkpoint", first)
    verify_cosignature(key.public, b"checkpoint", second)


def test_key_generation_is_pinned() -> None:
    assert (
        hashlib.sha256(CosignKey(bytes(range(32))).public).hexdigest()
        == "9f107644c1084526af3bc8098680b05499a2325a644e388fb4f970e058d19d46"
    )


def test_alterations_are_refused() -> None:
    key = CosignKey(bytes(range(32)))
    signature = key.sign(b"checkpoint")
    other = CosignKey(bytes(32)).public
    altered = signature[:100] + bytes([signature[100] ^ 1]) + signature[101:]
    for arguments in (
        (key.public, b"checkpoinT", signature),
        (key.public, b"checkpoint", altered),
        (key.public, b"checkpoint", signature[:-1]),
        (key.public, b"checkpoint", b""),
        (key.public[:-1], b"checkpoint", signature),
        (bytes(COSIGN_KEY_SIZE), b"checkpoint", signature),
        (other, b"checkpoint", signature),
    ):
        with pytest.raises(InvalidSignature):
            verify_cosignature(*arguments)


def test_caller_mistakes() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        CosignKey(bytes(31))
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(CosignKey(bytes(32)))
