"""Threshold shares: against the oracle, against SLIP-39, and that k-1 shares say nothing."""

from __future__ import annotations

import hashlib
import json

import pytest
import shamir_mnemonic
import vectors
from hypothesis import given, settings
from hypothesis import strategies as st
from keys import gf256

from medchain.encoding import encode
from medchain.keys import shares


@st.composite
def dealings(draw: st.DrawFn) -> tuple[bytes, int, int, list[bytes]]:
    """Secret, k, n and the k-1 fixed shares."""
    n = draw(st.integers(1, 12))
    k = draw(st.integers(1, n))
    secret = draw(st.binary(min_size=1, max_size=40))
    same = st.binary(min_size=len(secret), max_size=len(secret))
    return secret, k, n, draw(st.lists(same, min_size=k - 1, max_size=k - 1))


@settings(max_examples=60, deadline=None)
@given(dealing=dealings(), data=st.data())
def test_any_k_of_n_reconstruct(dealing: tuple[bytes, int, int, list[bytes]], data: st.DataObject) -> None:
    secret, k, n, fixed = dealing
    dealt = shares.split(secret, k, n, fixed)
    assert dealt[: k - 1] == fixed
    chosen = data.draw(st.permutations(range(n)))[: data.draw(st.integers(k, n))]
    assert shares.combine({x: dealt[x] for x in chosen}) == secret


@settings(max_examples=25, deadline=None)
@given(dealing=dealings())
def test_agrees_with_the_oracle(dealing: tuple[bytes, int, int, list[bytes]]) -> None:
    secret, k, n, fixed = dealing
    points = {**dict(enumerate(fixed)), shares.SECRET_X: secret}
    dealt = shares.split(secret, k, n, fixed)
    assert dealt == [gf256.interpolate(points, x) if x >= k - 1 else fixed[x] for x in range(n)]


@settings(max_examples=40, deadline=None)
@given(dealing=dealings().filter(lambda dealing: dealing[1] > 1), data=st.data())
def test_fewer_than_k_determine_nothing(
    dealing: tuple[bytes, int, int, list[bytes]], data: st.DataObject
) -> None:
    """For k-1 shares and any other secret there is a dealing that gives these shares and that secret."""
    secret, k, n, fixed = dealing
    dealt = shares.split(secret, k, n, fixed)
    seen = data.draw(st.permutations(range(n)))[: k - 1]
    other = data.draw(st.binary(min_size=len(secret), max_size=len(secret)))
    points = {**{x: dealt[x] for x in seen}, shares.SECRET_X: other}
    alternative = [gf256.interpolate(points, x) if x not in points else points[x] for x in range(n)]
    assert [alternative[x] for x in seen] == [dealt[x] for x in seen]
    assert shares.split(other, k, n, alternative[: k - 1]) == alternative


def test_the_largest_dealing() -> None:
    fixed = [hashlib.sha256(bytes([x])).digest() for x in range(253)]
    secret = bytes(range(32))
    dealt = shares.split(secret, 254, 254, fixed)
    assert shares.combine(dict(enumerate(dealt))) == secret
    assert shares.combine(dict(enumerate(dealt[:-1]))) != secret


def test_many_secrets_at_once_are_many_secrets() -> None:
    secrets = [hashlib.sha256(bytes([part])).digest() for part in range(9)]
    fixed = [[hashlib.sha256(bytes([part, x])).digest() for part in range(9)] for x in range(2)]
    at_once = shares.split(b"".join(secrets), 3, 5, [b"".join(row) for row in fixed])
    for part, secret in enumerate(secrets):
        alone = shares.split(secret, 3, 5, [row[part] for row in fixed])
        assert [share[32 * part : 32 * part + 32] for share in at_once] == alone


def test_a_split_is_pinned() -> None:
    dealt = shares.split(bytes(range(32)), 3, 5, [bytes(32), b"\xaa" * 32])
    assert (
        hashlib.sha256(b"".join(dealt)).hexdigest()
        == "fb818a79e74aba6667ff9fa0170a780a0cecb3b8d733a1675f02ec338ad17b3f"
    )


@pytest.mark.parametrize(
    ("secret", "k", "n", "fixed"),
    [
        (b"s", 0, 3, []),
        (b"s", 4, 3, [b"a", b"b", b"c"]),
        (b"s", 1, 255, []),
        (b"s", 2, 3, []),
        (b"s", 2, 3, [b"a", b"b"]),
        (b"s", 2, 3, [b"ab"]),
        (b"", 1, 1, []),
    ],
)
def test_impossible_splits(secret: bytes, k: int, n: int, fixed: list[bytes]) -> None:
    with pytest.raises(ValueError):
        shares.split(secret, k, n, fixed)


@pytest.mark.parametrize("given_shares", [{}, {255: b"a"}, {254: b"a"}, {-1: b"a"}, {0: b"a", 1: b"ab"}])
def test_impossible_combinations(given_shares: dict[int, bytes]) -> None:
    with pytest.raises(ValueError):
        shares.combine(given_shares)


# --- SLIP-39 on the same field and layout


def combined_by_us(mnemonics: list[str]) -> shamir_mnemonic.EncryptedMasterSecret:
    """The encrypted master secret of valid mnemonics, members and groups both through our interpolation."""
    parsed = [shamir_mnemonic.Share.from_mnemonic(words) for words in mnemonics]
    groups: dict[int, dict[int, bytes]] = {}
    for share in parsed:
        groups.setdefault(share.group_index, {})[share.index] = share.value
    ciphertext = shares.combine({x: shares.combine(members) for x, members in groups.items()})
    first = parsed[0]
    return shamir_mnemonic.EncryptedMasterSecret(
        first.identifier, first.extendable, first.iteration_exponent, ciphertext
    )


def test_slip39_vectors() -> None:
    count = 0
    for name, mnemonics, secret, _ in json.loads(vectors.path("crypto/slip39/vectors.json").read_text()):
        if secret:
            assert combined_by_us(mnemonics).decrypt(b"TREZOR").hex() == secret, name
            count += 1
    assert count == 15


@settings(max_examples=20, deadline=None)
@given(secret=st.binary(min_size=16, max_size=32).filter(lambda secret: len(secret) % 2 == 0), data=st.data())
def test_slip39_shares_made_elsewhere(secret: bytes, data: st.DataObject) -> None:
    n = data.draw(st.integers(2, 6))
    k = data.draw(st.integers(2, n))
    groups = shamir_mnemonic.generate_mnemonics(1, [(k, n)], secret, iteration_exponent=0)
    chosen = data.draw(st.permutations(groups[0]))[:k]
    assert combined_by_us(chosen).decrypt(b"") == secret


# --- commitments


def test_share_leaf_is_pinned() -> None:
    leaf = shares.share_leaf(b"context", (0, 2), 7, bytes(32), b"share")
    plain = encode([b"context", [0, 2], 7, bytes(32), b"share"])
    assert leaf == hashlib.sha256(b"medchain/share/v1" + plain).digest()
    assert leaf.hex() == "6d7c97495106928ae19395cdc8412a2f6d13cb8825129e50e4b441c0840ad121"


def test_share_leaf_depends_on_everything() -> None:
    base = {"context": b"c", "position": (0,), "part": 0, "salt": bytes(32), "share": b"s"}
    others = {"context": b"d", "position": (0, 0), "part": 1, "salt": b"\1" + bytes(31), "share": b"t"}
    leaves = {shares.share_leaf(**{**base, name: value}) for name, value in others.items()}  # type: ignore[arg-type]
    leaves.add(shares.share_leaf(**base))  # type: ignore[arg-type]
    assert len(leaves) == 6
