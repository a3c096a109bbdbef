"""HPKE: the tests' own implementation reproduces the official vectors, and agrees with the library on its suite."""

from __future__ import annotations

import hashlib
import json
import pickle

import pytest
import vectors
from hypothesis import given, settings
from hypothesis import strategies as st
from keys import hpke

from medchain.errors import EncodingError, SealingError
from medchain.keys import recipients

SEED = bytes(range(32))
KEY = recipients.RecipientKey(SEED)
seeds = st.binary(min_size=32, max_size=32)


def test_hpke_pq_vectors_by_the_second_implementation() -> None:
    every = json.loads(vectors.path("crypto/hpke-pq/test-vectors.json").read_text())
    ours = [vector for vector in every if vector["kem_id"] == hpke.KEM_ID and vector["mode"] == 0]
    assert [(vector["kdf_id"], vector["aead_id"]) for vector in ours] == [(1, 3), (17, 3)]
    for vector in ours:
        seed, enc, info = (bytes.fromhex(vector[name]) for name in ("skRm", "enc", "info"))
        assert hpke.public_key(seed).hex() == vector["pkRm"]
        assert recipients.RecipientKey(seed).public.hex() == vector["pkRm"]
        secret = hpke.decapsulate(seed, enc)
        assert secret.hex() == vector["shared_secret"]
        context = hpke.Context(vector["kdf_id"], vector["aead_id"], secret, info)
        assert context.suite_id.hex() == vector["suite_id"]
        for name in ("key", "base_nonce", "exporter_secret"):
            assert getattr(context, name).hex() == vector[name]
        for export in vector["exports"]:
            made = context.export(bytes.fromhex(export["exporter_context"]), export["L"])
            assert made.hex() == export["exported_value"]
        for encryption in vector["encryptions"]:
            aad, plaintext = bytes.fromhex(encryption["aad"]), bytes.fromhex(encryption["pt"])
            assert context.seal(plaintext, aad).hex() == encryption["ct"]


def test_xwing_vectors() -> None:
    for vector in json.loads(vectors.path("crypto/xwing/spec/test-vectors.json").read_text()):
        seed = bytes.fromhex(vector["seed"])
        assert recipients.RecipientKey(seed).public.hex() == vector["pk"]
        assert hpke.decapsulate(seed, bytes.fromhex(vector["ct"])).hex() == vector["ss"]


@settings(max_examples=25, deadline=None)
@given(seed=seeds, plaintext=st.binary(max_size=200), info=st.binary(max_size=100))
def test_both_implementations_agree(seed: bytes, plaintext: bytes, info: bytes) -> None:
    key = recipients.RecipientKey(seed)
    assert key.public == hpke.public_key(seed)

    sealed = recipients.seal(key.public, plaintext, info)
    assert len(sealed) == len(plaintext) + recipients.OVERHEAD
    enc, ciphertext = sealed[: recipients.ENCAPSULATION_SIZE], sealed[recipients.ENCAPSULATION_SIZE :]
    suite = hpke.HKDF_SHA256, hpke.AES_256_GCM
    assert hpke.Context(*suite, hpke.decapsulate(seed, enc), info).open(ciphertext) == plaintext

    secret, enc = hpke.encapsulate(key.public)
    theirs = enc + hpke.Context(*suite, secret, info).seal(plaintext)
    assert key.decrypt(theirs, info) == plaintext
    assert recipients.open(seed, theirs, info) == plaintext


def test_suite_id() -> None:
    context = hpke.Context(hpke.HKDF_SHA256, hpke.AES_256_GCM, bytes(32), b"")
    assert context.suite_id == b"HPKE" + recipients.SUITE


def test_constants_are_pinned() -> None:
    assert recipients.PUBLIC_KEY_SIZE == len(KEY.public) == 1216
    assert (recipients.ENCAPSULATION_SIZE, recipients.OVERHEAD) == (1120, 1136)
    assert (
        hashlib.sha256(KEY.public).hexdigest()
        == "c9a3565ffde4f72b51661be391ee13e46378d7f06dd5c8bf5af9d2cfb5b8336b"
    )
    assert KEY.recipient_id.hex() == "4bbaa48a267609785eea0f85ae09c58e"


def test_each_flipped_byte_is_a_sealing_error() -> None:
    sealed = recipients.seal(KEY.public, b"share and salt", b"context")
    for at in range(len(sealed)):
        with pytest.raises(SealingError):
            KEY.decrypt(sealed[:at] + bytes([sealed[at] ^ 0x80]) + sealed[at + 1 :], b"context")


def test_each_truncation_is_a_sealing_error() -> None:
    sealed = recipients.seal(KEY.public, b"", b"context")
    for length in [*range(0, len(sealed), 37), len(sealed) - 1]:
        with pytest.raises(SealingError):
            KEY.decrypt(sealed[:length], b"context")
    with pytest.raises(SealingError):
        KEY.decrypt(sealed + b"\0", b"context")


@settings(max_examples=30, deadline=None)
@given(sealed=st.binary(min_size=recipients.OVERHEAD, max_size=recipients.OVERHEAD + 40))
def test_noise_is_a_sealing_error(sealed: bytes) -> None:
    with pytest.raises(SealingError):
        KEY.decrypt(sealed, b"")


def test_low_order_encapsulation_is_a_sealing_error() -> None:
    """An X25519 half of zeros makes the exchange fail inside OpenSSL."""
    sealed = recipients.seal(KEY.public, b"x", b"")
    with pytest.raises(SealingError):
        KEY.decrypt(sealed[:1088] + bytes(32) + sealed[1120:], b"")


def test_another_key_and_another_info_do_not_open() -> None:
    sealed = recipients.seal(KEY.public, b"plaintext", b"context")
    with pytest.raises(SealingError):
        recipients.RecipientKey(bytes(32)).decrypt(sealed, b"context")
    for info in (b"", b"contexT", b"context "):
        with pytest.raises(SealingError, match="another context"):
            KEY.decrypt(sealed, info)


def test_sealing_twice_differs() -> None:
    assert recipients.seal(KEY.public, b"x", b"") != recipients.seal(KEY.public, b"x", b"")


LOW_ORDER = [
    bytes(32),
    b"\x01" + bytes(31),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    (2**255 - 20).to_bytes(32, "little"),
    (2**255 - 19).to_bytes(32, "little"),
    (2**255 - 18).to_bytes(32, "little"),
]


@pytest.mark.parametrize("point", LOW_ORDER, ids=lambda point: point[:2].hex())
def test_low_order_recipients_are_refused(point: bytes) -> None:
    key = KEY.public[:1184] + point
    with pytest.raises(EncodingError):
        recipients.check_public_key(key)
    with pytest.raises(SealingError):
        recipients.seal(key, b"x", b"")


@pytest.mark.parametrize(
    "key",
    [b"", KEY.public[:-1], KEY.public + b"\0", b"\xff" * 1216],
    ids=["empty", "short", "long", "modulus"],
)
def test_malformed_recipients_are_refused(key: bytes) -> None:
    with pytest.raises(EncodingError):
        recipients.check_public_key(key)
    with pytest.raises(SealingError):
        recipients.seal(key, b"x", b"")


def test_private_keys_stay_private() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        recipients.RecipientKey(bytes(33))
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(KEY)
    assert SEED.hex() not in repr(KEY)
