"""Splitting and combining over GF(256), against arithmetic by the book."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medchain import _native


def multiply(a: int, b: int) -> int:
    """Schoolbook product modulo x^8 + x^4 + x^3 + x + 1."""
    product = 0
    for bit in range(8):
        if b >> bit & 1:
            product ^= a << bit
    for bit in range(14, 7, -1):
        if product >> bit & 1:
            product ^= 0x11B << bit - 8
    return product


def evaluate(coefficients: list[int], x: int) -> int:
    result = 0
    for coefficient in reversed(coefficients):
        result = multiply(result, x) ^ coefficient
    return result


def test_every_product() -> None:
    """The line through (0, 0) and (1, b) has the value a * b at a."""
    points = bytes(range(256))
    for b in range(256):
        row = _native.gf256_interpolate(b"\x00\x01", bytes([0, b]), points)
        assert row == bytes(multiply(a, b) for a in points)


@given(
    st.lists(st.integers(0, 255), min_size=1, max_size=8),
    st.sets(st.integers(0, 255), min_size=8, max_size=8),
    st.lists(st.integers(0, 255), max_size=5),
)
def test_points_give_back_their_polynomial(coefficients: list[int], points: set[int], at: list[int]) -> None:
    xs = bytes(list(points)[: len(coefficients)])
    ys = bytes(evaluate(coefficients, x) for x in xs)
    assert list(_native.gf256_interpolate(xs, ys, bytes(at))) == [evaluate(coefficients, x) for x in at]


@given(st.binary(max_size=40), st.integers(1, 5), st.integers(0, 4), st.randoms(use_true_random=False))
def test_any_quorum_recovers(secret: bytes, k: int, more: int, random: object) -> None:
    n = k + more
    fixed = [random.randbytes(len(secret)) for _ in range(k - 1)]  # type: ignore[attr-defined]
    shares = _native.gf256_split(secret, k, n, fixed)
    assert len(shares) == n
    assert shares[: k - 1] == fixed
    for quorum in combinations(range(n), k):
        assert _native.gf256_combine(bytes(quorum), [shares[i] for i in quorum]) == secret


def test_agrees_with_shamir_mnemonic() -> None:
    shamir = pytest.importorskip("shamir_mnemonic.shamir")
    secret, fixed = bytes(range(32)), [bytes(range(32, 64)), bytes(range(64, 96))]
    shares = _native.gf256_split(secret, 3, 6, fixed)
    raw = [shamir.RawShare(i, shares[i]) for i in (1, 3, 5)]
    assert shamir._interpolate(raw, 255) == secret
    assert shamir._interpolate(raw, 0) == shares[0]


@pytest.mark.parametrize(
    "call",
    [
        lambda: _native.gf256_split(b"s", 0, 3, []),
        lambda: _native.gf256_split(b"s", 4, 3, [b"a"] * 3),
        lambda: _native.gf256_split(b"s", 2, 255, [b"a"]),
        lambda: _native.gf256_split(b"s", 2, 3, []),
        lambda: _native.gf256_split(b"s", 2, 3, [b"ab"]),
        lambda: _native.gf256_combine(b"\x00\x00", [b"a", b"b"]),
        lambda: _native.gf256_combine(b"\x00\x01", [b"a", b"bc"]),
        lambda: _native.gf256_combine(b"\x00", [b"a", b"b"]),
        lambda: _native.gf256_combine(b"", []),
        lambda: _native.gf256_interpolate(b"\x00\x01", b"abc", b"\x02"),
    ],
)
def test_mistakes_are_told(call: object) -> None:
    assert callable(call)
    with pytest.raises(ValueError):
        call()
