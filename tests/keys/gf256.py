"""GF(2^8) modulo x^8 + x^4 + x^3 + x + 1 and Lagrange interpolation, slow and obvious: the oracle for shares."""

from __future__ import annotations

from collections.abc import Mapping


def multiply(a: int, b: int) -> int:
    product = 0
    while b:
        if b & 1:
            product ^= a
        a, b = a << 1, b >> 1
        if a & 0x100:
            a ^= 0x11B
    return product


def invert(a: int) -> int:
    return next(b for b in range(1, 256) if multiply(a, b) == 1)


def interpolate(points: Mapping[int, bytes], at: int) -> bytes:
    """The value at `at` of the polynomials of least degree through the points, one polynomial for each byte."""
    result = bytes(len(next(iter(points.values()))))
    for x, row in points.items():
        weight = 1
        for other in points:
            if other != x:
                weight = multiply(weight, multiply(at ^ other, invert(x ^ other)))
        result = bytes(done ^ multiply(weight, byte) for done, byte in zip(result, row, strict=True))
    return result
