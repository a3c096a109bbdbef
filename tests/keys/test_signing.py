"""Ed25519 by libsodium's rule: official vectors, the pinned rule derived anew, an independent verifier."""

from __future__ import annotations

import hashlib
import json
import pickle
import time

import pytest
import vectors
from cryptography.exceptions import InvalidSignature as OpenSSLMismatch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st
from keys import edwards

from medchain.errors import ConsensusError, EncodingError, InvalidSignature
from medchain.keys import signing

LABEL = signing.RULE_MESSAGE


def accepted(public_key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        signing.verify(public_key, message, signature)
    except InvalidSignature:
        return False
    return True


# --- official vectors

DIFFERENCES: dict[int, str] = {}
"""Wycheproof cases on which libsodium's rule differs from the verdict there, with the reason: none at present."""


def test_wycheproof() -> None:
    groups = json.loads(vectors.path("crypto/wycheproof/ed25519_test.json").read_text())["testGroups"]
    differing = set()
    for group in groups:
        public_key = bytes.fromhex(group["publicKey"]["pk"])
        for case in group["tests"]:
            verdict = accepted(public_key, bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"]))
            if verdict != (case["result"] == "valid"):
                differing.add(case["tcId"])
    assert differing == DIFFERENCES.keys()


def test_wycheproof_signatures_are_made_again() -> None:
    groups = json.loads(vectors.path("crypto/wycheproof/ed25519_test.json").read_text())["testGroups"]
    # RFC 8032, 7.1, test 1: the secret key is not in the file, the public key and the signature are
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    key = signing.SigningKey(seed)
    made = [
        (case["msg"], case["sig"])
        for group in groups
        if group["publicKey"]["pk"] == key.public.hex()
        for case in group["tests"]
        if case["result"] == "valid"
    ]
    assert made
    for message, signature in made:
        assert key.sign(bytes.fromhex(message)).hex() == signature


# --- the pinned rule


def scalar(*tags: bytes) -> int:
    return int.from_bytes(hashlib.sha512(LABEL + b"".join(tags)).digest(), "little") % edwards.ORDER


def completed(public_key: bytes, secret: int, r: bytes, nonce: int) -> bytes:
    s = (nonce + edwards.challenge(r, public_key, LABEL) * secret) % edwards.ORDER
    return r + s.to_bytes(32, "little")


def test_rule_cases_are_what_they_say() -> None:
    """Every signature of the self-test, built again from nothing but its description."""
    secret, nonces = scalar(b"a"), [scalar(b"r", bytes([i])) for i in range(12)]
    key = edwards.times(secret, edwards.BASE)
    commitments = [edwards.times(nonce, edwards.BASE) for nonce in nonces]
    rs = [edwards.encode(point) for point in commitments]
    plain, mixed = edwards.encode(key), edwards.encode(edwards.add(key, edwards.TORSION))
    small, identity = edwards.encode(edwards.TORSION), edwards.encode(edwards.IDENTITY)
    unreduced = (edwards.P + 1).to_bytes(32, "little")
    ordinary = completed(plain, secret, rs[0], nonces[0])
    s = int.from_bytes(ordinary[32:], "little")
    mixed_r = edwards.encode(edwards.add(commitments[1], edwards.TORSION))
    assert edwards.challenge(rs[0], mixed, LABEL) % 8 == 0 != edwards.challenge(rs[1], mixed, LABEL) % 8
    assert edwards.challenge(rs[11], small, LABEL) % 8 == 0
    assert [(bytes.fromhex(a), bytes.fromhex(sig)) for _, _, a, sig in signing.RULE] == [
        (plain, ordinary),
        (mixed, completed(mixed, secret, rs[0], nonces[0])),
        (mixed, completed(mixed, secret, rs[1], nonces[1])),
        (plain, completed(plain, secret, mixed_r, nonces[1])),
        (plain, rs[0] + (s + edwards.ORDER).to_bytes(32, "little")),
        (small, rs[11] + nonces[11].to_bytes(32, "little")),
        (plain, completed(plain, secret, identity, 0)),
        (unreduced, rs[0] + nonces[0].to_bytes(32, "little")),
        (plain, completed(plain, secret, unreduced, 0)),
    ]


def test_self_test_passes_quickly() -> None:
    signing.self_test()
    start = time.process_time()
    signing.self_test()
    assert time.process_time() - start < 0.05  # 0.5 ms as a rule; room for a busy machine


def openssl(public_key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except OpenSSLMismatch:
        return False
    return True


def everything(public_key: bytes, message: bytes, signature: bytes) -> bool:
    return True


@pytest.mark.parametrize("other", [openssl, edwards.accepts_with_cofactor, everything])
def test_self_test_notices_another_rule(other: object, monkeypatch: pytest.MonkeyPatch) -> None:
    def verify(public_key: bytes, message: bytes, signature: bytes) -> None:
        if not other(public_key, message, signature):  # type: ignore[operator]
            raise InvalidSignature("other rule")

    monkeypatch.setattr(signing, "verify", verify)
    with pytest.raises(ConsensusError, match="another Ed25519 rule"):
        signing.self_test()


# --- the rule at large


@settings(max_examples=150, deadline=None)
@given(
    secret=st.integers(0, 40),
    nonce=st.integers(0, 40),
    torsion_a=st.integers(0, 7),
    torsion_r=st.integers(0, 7),
    extra=st.sampled_from([0, edwards.ORDER]),
    message=st.binary(max_size=2),
)
def test_agrees_with_the_oracle(
    secret: int, nonce: int, torsion_a: int, torsion_r: int, extra: int, message: bytes
) -> None:
    def point(n: int, j: int) -> bytes:
        return edwards.encode(edwards.add(edwards.times(n, edwards.BASE), edwards.times(j, edwards.TORSION)))

    a, r = point(secret, torsion_a), point(nonce, torsion_r)
    s = (nonce + edwards.challenge(r, a, message) * secret) % edwards.ORDER + extra
    signature = r + s.to_bytes(32, "little")
    assert accepted(a, message, signature) == edwards.accepts(a, message, signature)


@given(seed=st.binary(min_size=32, max_size=32), message=st.binary(max_size=200))
def test_round_trip(seed: bytes, message: bytes) -> None:
    key = signing.SigningKey(seed)
    signature = key.sign(message)
    assert len(signature) == signing.SIGNATURE_SIZE
    assert signature == signing.sign(seed, message)
    signing.verify(key.public, message, signature)
    signing.check_public_key(key.public)


def test_each_flipped_byte_is_refused() -> None:
    key = signing.SigningKey(bytes(32))
    message = b"approve request 7"
    signature = key.sign(message)
    for whole, build in (
        (signature, lambda data: (key.public, message, data)),
        (message, lambda data: (key.public, data, signature)),
        (key.public, lambda data: (data, message, signature)),
    ):
        for at in range(len(whole)):
            altered = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
            assert not accepted(*build(altered))


@pytest.mark.parametrize("length", [0, 1, 31, 33, 64])
def test_malformed_lengths_are_invalid_signatures(length: int) -> None:
    key = signing.SigningKey(bytes(32))
    with pytest.raises(InvalidSignature):
        signing.verify(bytes(length), b"m", key.sign(b"m"))
    with pytest.raises(InvalidSignature):
        signing.verify(key.public, b"m", key.sign(b"m") + bytes(length + 1))
    with pytest.raises(EncodingError):
        signing.check_public_key(bytes(length))


def test_public_keys_that_are_refused() -> None:
    key = edwards.times(12345, edwards.BASE)
    for point in [edwards.times(j, edwards.TORSION) for j in range(8)] + [edwards.add(key, edwards.TORSION)]:
        with pytest.raises(EncodingError):
            signing.check_public_key(edwards.encode(point))
    with pytest.raises(EncodingError):
        signing.check_public_key((edwards.P + 1).to_bytes(32, "little"))
    signing.check_public_key(edwards.encode(key))


def test_caller_mistakes() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        signing.SigningKey(bytes(31))
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(signing.SigningKey(bytes(32)))


def test_key_id_is_pinned() -> None:
    key = signing.SigningKey(bytes(32))
    assert key.key_id == hashlib.sha256(b"medchain/key/v1" + key.public).digest()[:16]
    assert key.key_id.hex() == "6ecf737075aaf9e5db7d53e003b062b9"
