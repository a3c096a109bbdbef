"""Wallets and parties: derivation, personas, what they show and what they hide."""

from __future__ import annotations

import copy
import hashlib
import pickle
from collections.abc import Callable

import attrs
import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given, settings
from hypothesis import strategies as st

from medchain import keys
from medchain.encoding import encode
from medchain.errors import EncodingError, SealingError
from medchain.keys import Decrypter, Derivation, Party, RecipientKey, Signer, Wallet, recipients, signing

SEED = bytes(range(32))
TAG = b"\x11" * 32
WALLET = Wallet.from_seed(SEED)
HOSPITAL = Wallet.from_seed(b"\x22" * 32).party

seeds = st.binary(min_size=32, max_size=32)
wards = st.from_regex(r"\A[a-z0-9][a-z0-9_-]{0,31}\Z")


def expected(
    use: str, chain: bytes | None, counterparty: bytes | None, ward: str | None, generation: int
) -> bytes:
    info = encode([use, chain, counterparty, ward, generation])
    return HKDF(SHA256(), 32, b"medchain/wallet/v1", info).derive(SEED)


# --- derivation


def test_derivation_is_the_documented_one() -> None:
    party = WALLET.party
    assert party.signing_key == signing.SigningKey(expected("sign", None, None, None, 0)).public
    assert party.recipient_key == RecipientKey(expected("recipient", None, None, None, 0)).public
    label = b"medchain/party/v1"
    assert party.id == hashlib.sha256(label + encode([party.signing_key, party.recipient_key])).digest()
    persona = WALLET.persona(toward=HOSPITAL, chain=TAG, ward="child-1", generation=3)
    where = TAG, HOSPITAL.id, "child-1", 3
    assert persona.party.signing_key == signing.SigningKey(expected("sign", *where)).public
    assert persona.party.recipient_key == RecipientKey(expected("recipient", *where)).public
    assert WALLET.log_key(TAG).public == signing.SigningKey(expected("log", TAG, None, None, 0)).public
    cosign = keys.CosignKey(expected("cosign", TAG, None, None, 0))
    assert WALLET.cosign_key(TAG).public == cosign.public
    root = expected("request", None, None, None, 0)
    request = HKDF(SHA256(), 32, b"medchain/request-key/v1", bytes(32)).derive(root)
    assert WALLET.request_key(bytes(32)).seed == request


def test_derivation_is_pinned() -> None:
    """Formats never drift: these values are for good."""
    persona = WALLET.persona(toward=HOSPITAL, chain=TAG, ward="child-1")
    assert {
        "party": WALLET.party.id.hex(),
        "signing": WALLET.party.signing_key.hex(),
        "recipient": hashlib.sha256(WALLET.party.recipient_key).hexdigest(),
        "wire": hashlib.sha256(bytes(WALLET.party)).hexdigest(),
        "generation 1": Wallet.from_seed(SEED, 1).party.signing_key.hex(),
        "persona": persona.party.id.hex(),
        "log": WALLET.log_key(TAG).public.hex(),
        "cosign": hashlib.sha256(WALLET.cosign_key(TAG).public).hexdigest(),
        "request": hashlib.sha256(WALLET.request_key(bytes(32)).public).hexdigest(),
    } == PINNED


PINNED = {
    "party": "d69152caca3277a32a04d5a1d3773215eb0741ebb98ebf3d85093a0c87a8cab9",
    "signing": "962ea6d89e4537ee7fe4f0528dcf1223e0bf40b01dbf223f62016df99907c473",
    "recipient": "68af8a110d647189006a287b6a98e338b91b12476fa18dafc3b00e121f793565",
    "wire": "b9ad71b9723911a786e4c2baa4a131ee670c9f9fa87d0f9b3cc1a0dc13014376",
    "generation 1": "317abb8bc8624c209cfb08623bfd90b98adc8d24e1d214029ec2ad9eadcce4d0",
    "persona": "37e2398e88006c7d39b5a5481cb719fca3f739f36e7cf9a87f4c1958d502bddc",
    "log": "9f5e2aa50e5532e9faa6683e586e68117d3e9b7d2e909c5d64bc8a4d141cf80e",
    "cosign": "7186ad01b6672c22329493952bc1884160fbb76981ebdbbad83689462135cd53",
    "request": "0d58b293b3e9ff9312a6168aefa12c15c1cb612c26b97fb0fb2c57edf5eb6bd1",
}


@settings(max_examples=20, deadline=None)
@given(seed=seeds, ward=st.none() | wards, generation=st.integers(0, 2**31 - 1))
def test_every_coordinate_gives_other_keys(seed: bytes, ward: str | None, generation: int) -> None:
    wallet = Wallet.from_seed(seed)
    base = wallet.persona(toward=HOSPITAL, chain=TAG, ward=ward, generation=generation)
    assert base == Wallet.from_seed(seed).persona(
        toward=HOSPITAL, chain=TAG, ward=ward, generation=generation
    )
    others = [
        wallet,
        wallet.persona(toward=wallet.party, chain=TAG, ward=ward, generation=generation),
        wallet.persona(toward=HOSPITAL, chain=bytes(32), ward=ward, generation=generation),
        wallet.persona(toward=HOSPITAL, chain=TAG, ward="another-one", generation=generation),
        wallet.persona(toward=HOSPITAL, chain=TAG, ward=ward, generation=generation ^ 1),
    ]
    every = [base, *others]
    assert len({each.party.signing_key for each in every}) == len(every)
    assert len({each.party.recipient_key for each in every}) == len(every)


def test_rotation_keeps_the_id() -> None:
    for first, second in (
        (WALLET, Wallet.from_seed(SEED, generation=1)),
        (
            WALLET.persona(toward=HOSPITAL, chain=TAG),
            WALLET.persona(toward=HOSPITAL, chain=TAG, generation=1),
        ),
    ):
        assert first.party.id == second.party.id
        assert first.party != second.party
        assert first.party.is_original
        assert not second.party.is_original


def test_a_persona_is_the_same_from_anywhere() -> None:
    persona = WALLET.persona(toward=HOSPITAL, chain=TAG)
    again = persona.persona(toward=HOSPITAL, chain=TAG)
    assert persona == again
    assert persona.derivation == Derivation(TAG, HOSPITAL.id, None, 0)
    assert Wallet(SEED, persona.derivation) == persona
    rotated = attrs.evolve(HOSPITAL, signing_key=WALLET.party.signing_key)
    assert WALLET.persona(toward=rotated, chain=TAG) == persona  # only the counterparty's id matters


def test_generate_gives_different_wallets() -> None:
    assert Wallet.generate() != Wallet.generate()


# --- acting


def test_signs_and_decrypts_for_its_party() -> None:
    for wallet in (WALLET, WALLET.persona(toward=HOSPITAL, chain=TAG), Wallet.from_seed(SEED, 2)):
        assert isinstance(wallet, Signer)
        assert isinstance(wallet, Decrypter)
        signing.verify(wallet.party.signing_key, b"message", wallet.sign(b"message"))
        sealed = recipients.seal(wallet.party.recipient_key, b"plaintext", b"info")
        assert wallet.decrypt(sealed, b"info") == b"plaintext"
        with pytest.raises(SealingError):
            wallet.decrypt(sealed, b"other")


def test_request_keys_are_one_use() -> None:
    first, second = WALLET.request_key(bytes(32)), WALLET.request_key(b"\1" * 32)
    persona = WALLET.persona(toward=HOSPITAL, chain=TAG)
    assert len({first.public, second.public, persona.request_key(bytes(32)).public}) == 3
    sealed = recipients.seal(first.public, b"share", b"info")
    assert WALLET.request_key(bytes(32)).decrypt(sealed, b"info") == b"share"
    assert recipients.open(first.seed, sealed, b"info") == b"share"
    for other in (second, WALLET):
        with pytest.raises(SealingError):
            other.decrypt(sealed, b"info")


def test_log_keys_are_one_per_chain() -> None:
    assert WALLET.log_key(TAG).public != WALLET.log_key(bytes(32)).public
    assert WALLET.log_key(TAG).public != WALLET.party.signing_key


@pytest.mark.parametrize(
    "mistake",
    [
        lambda: Wallet.from_seed(bytes(31)),
        lambda: Wallet.from_seed(SEED, -1),
        lambda: Wallet.from_seed(SEED, True),
        lambda: WALLET.log_key(b"short"),
        lambda: WALLET.cosign_key(b"short"),
        lambda: WALLET.request_key(b"short"),
        lambda: WALLET.persona(toward=HOSPITAL, chain=b"short"),
        lambda: WALLET.persona(toward=HOSPITAL, chain=TAG, ward=""),
        lambda: WALLET.persona(toward=HOSPITAL, chain=TAG, ward="Zoë"),
        lambda: WALLET.persona(toward=HOSPITAL, chain=TAG, ward="a" * 33),
        lambda: WALLET.persona(toward=HOSPITAL, chain=TAG, ward="child\n"),
    ],
)
def test_caller_mistakes(mistake: Callable[[], object]) -> None:
    with pytest.raises(ValueError):
        mistake()


# --- showing and hiding


def test_equality_is_by_party() -> None:
    assert Wallet.from_seed(SEED) == WALLET
    assert hash(WALLET) == hash(Wallet.from_seed(SEED))
    assert Wallet.from_seed(SEED, 1) != WALLET
    assert WALLET.party != WALLET


@pytest.mark.parametrize("refuse", [pickle.dumps, copy.copy, copy.deepcopy])
def test_wallets_are_not_pickled(refuse: Callable[[object], object]) -> None:
    with pytest.raises(TypeError, match="keystore"):
        refuse(WALLET)


@settings(max_examples=25, deadline=None)
@given(seed=seeds)
def test_reprs_hide_secrets(seed: bytes) -> None:
    wallet = Wallet.from_seed(seed)
    persona = wallet.persona(toward=HOSPITAL, chain=TAG)
    request = wallet.request_key(bytes(32))
    shown = [
        wallet,
        persona,
        wallet.party,
        request,
        wallet.log_key(TAG),
        wallet.cosign_key(TAG),
        persona.derivation,
    ]
    text = " ".join(f"{each!r} {each!s} {each}" for each in shown)
    # no four bytes in a row of any secret
    windows = {secret[at : at + 4].hex() for secret in (seed, request.seed) for at in range(29)}
    public = {HOSPITAL.id.hex(), TAG.hex()}
    assert not [window for window in windows if window in text and not any(window in each for each in public)]
    assert repr(seed) not in text
    assert len(text) < 1500


# --- parties


def test_party_round_trip() -> None:
    party = WALLET.party
    assert Party.from_bytes(bytes(party)) == party
    assert hash(Party.from_bytes(bytes(party))) == hash(party)
    assert Party.of(party.signing_key, party.recipient_key) == party
    assert str(party) == f"party:{party.id.hex()[:8]}"
    assert (party.key_id, party.recipient_id) == (
        signing.key_id(party.signing_key),
        recipients.recipient_id(party.recipient_key),
    )


def test_party_bytes_are_checked() -> None:
    data = bytes(WALLET.party)
    for broken in (b"", data[:-1], data + b"\0", encode({}), encode([]), b"\xff" * 1317):
        with pytest.raises(EncodingError):
            Party.from_bytes(broken)
    weak = attrs.evolve(WALLET.party, signing_key=b"\x01" + bytes(31))
    with pytest.raises(EncodingError, match="prime-order"):
        Party.from_bytes(bytes(weak))
    weak = attrs.evolve(WALLET.party, recipient_key=b"\xff" * 1216)
    with pytest.raises(EncodingError, match="ML-KEM"):
        Party.from_bytes(bytes(weak))


def test_each_flipped_byte_of_a_party_is_refused_or_another_party() -> None:
    data = bytes(WALLET.party)
    for at in range(0, len(data), 7):
        altered = data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]
        try:
            other = Party.from_bytes(altered)
        except EncodingError:
            continue
        assert other != WALLET.party
        assert not other.is_original


def test_party_of_refuses_invalid_keys() -> None:
    party = WALLET.party
    for pair in ((b"", party.recipient_key), (party.signing_key, b""), (bytes(32), party.recipient_key)):
        with pytest.raises(EncodingError):
            Party.of(*pair)
    with pytest.raises(ValueError, match="length"):
        Party(party.signing_key, party.recipient_key, b"short")


def test_the_front_is_complete() -> None:
    for name in keys.__all__:
        assert getattr(keys, name) is not None
    with pytest.raises(AttributeError):
        keys.nothing  # noqa: B018
