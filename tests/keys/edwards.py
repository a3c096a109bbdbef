"""Edwards25519 in affine coordinates, slow and obvious: the oracle for `medchain.keys.signing`."""

from __future__ import annotations

import hashlib

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P

Point = tuple[int, int]
IDENTITY: Point = (0, 1)


def add(a: Point, b: Point) -> Point:
    cross = D * a[0] * b[0] * a[1] * b[1]
    x = (a[0] * b[1] + a[1] * b[0]) * pow(1 + cross, -1, P)
    y = (a[1] * b[1] + a[0] * b[0]) * pow(1 - cross, -1, P)
    return x % P, y % P


def times(n: int, point: Point) -> Point:
    result = IDENTITY
    while n:
        if n & 1:
            result = add(result, point)
        point, n = add(point, point), n >> 1
    return result


def encode(point: Point) -> bytes:
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def decode(data: bytes) -> Point | None:
    """The point, or None if the bytes are not a canonical encoding (RFC 8032, 5.1.3)."""
    number = int.from_bytes(data, "little")
    y, sign = number % 2**255, number >> 255
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    return (P - x if x % 2 != sign else x), y


def _point(y: int) -> Point:
    point = decode(y.to_bytes(32, "little"))
    assert point is not None
    return point


BASE = _point(4 * pow(5, -1, P) % P)
TORSION = min(
    (torsion for j in (1, 3, 5, 7) if times(4, torsion := times(j * ORDER, _point(3))) != IDENTITY),
    key=encode,
)
"""The generator of the eight points of small order whose encoding is the least."""


def challenge(r: bytes, a: bytes, message: bytes) -> int:
    return int.from_bytes(hashlib.sha512(r + a + message).digest(), "little") % ORDER


def accepts(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """libsodium's rule: canonical A, R and S, neither A nor R of small order, S·B = R + h·A without cofactor."""
    a, r, s = decode(public_key), decode(signature[:32]), int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= ORDER or IDENTITY in (times(8, a), times(8, r)):
        return False
    h = challenge(signature[:32], public_key, message)
    return times(s, BASE) == add(r, times(h, a))


def accepts_with_cofactor(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """The other rule that RFC 8032 allows: 8·S·B = 8·R + 8·h·A."""
    a, r, s = decode(public_key), decode(signature[:32]), int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= ORDER:
        return False
    h = challenge(signature[:32], public_key, message)
    return times(8 * s, BASE) == times(8, add(r, times(h, a)))
