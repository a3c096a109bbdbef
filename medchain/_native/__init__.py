"""Typed front of the C extension: buffers in, bytes out, lengths checked before C sees them.

Nothing here knows what the bytes mean. Each call gives up the interpreter lock while C works, so hash and combine
in batches; for a handful of nodes `hashlib` is as fast.
"""

from __future__ import annotations

from typing import TypeAlias

from medchain._native._ext import ffi, lib

__all__ = ["Buffer", "canonical", "gf256_interpolate", "sha256"]

Buffer: TypeAlias = bytes | bytearray | memoryview
"""A contiguous buffer; ``collections.abc.Buffer`` is younger than the oldest supported Python."""

_REASONS = {
    lib.MC_TRUNCATED: "the data ends inside a value",
    lib.MC_TRAILING: "bytes after the value",
    lib.MC_NOT_SHORTEST: "a number or length is not in its shortest form",
    lib.MC_INDEFINITE: "a length is indefinite or reserved",
    lib.MC_INTEGER_RANGE: "an integer outside -2^63 .. 2^63-1",
    lib.MC_BAD_UTF8: "text is not UTF-8",
    lib.MC_TAG: "tags are not allowed",
    lib.MC_FLOAT: "floats are not allowed",
    lib.MC_SIMPLE: "a simple value other than false, true and null",
    lib.MC_KEY_NOT_TEXT: "a map key is not text",
    lib.MC_KEY_ORDER: "map keys are out of order",
    lib.MC_KEY_TWICE: "a map key stands twice",
    lib.MC_TOO_DEEP: "more than 64 lists and maps inside one another",
}


def canonical(data: bytes) -> tuple[int, str] | None:
    """Whether `data` is one value in the DAG-CBOR profile: None, or offset and reason of the first fault."""
    fault = lib.mc_canonical(data, len(data))
    return None if fault == 0 else (fault >> 8, _REASONS[fault & 0xFF])


def sha256(data: Buffer) -> bytes:
    """SHA-256 (FIPS 180-4) of `data`."""
    digest = bytearray(32)
    lib.mc_sha256(_view(data), len(memoryview(data).cast("B")), ffi.from_buffer("uint8_t[]", digest))
    return bytes(digest)


def gf256_interpolate(xs: bytes, ys: Buffer, at: bytes) -> bytes:
    """Values at abscissae `at` of the polynomials over GF(256) that run through the points given.

    Args:
        xs: distinct abscissae, one byte each; as many as the polynomials have coefficients.
        ys: one row of equal length for each abscissa, end to end.
        at: where to evaluate.

    Returns:
        One row for each byte of `at`, end to end. Time does not depend on the bytes of `ys`.
    """
    if not xs or len(set(xs)) != len(xs):
        raise ValueError("interpolation needs one or more distinct abscissae")
    size, rest = divmod(len(ys), len(xs))
    if rest:
        raise ValueError(f"{len(ys)} bytes are not {len(xs)} rows of equal length")
    out = bytearray(size * len(at))
    lib.mc_gf256_interpolate(xs, len(xs), _view(ys), size, at, len(at), ffi.from_buffer("uint8_t[]", out))
    return bytes(out)


def _view(data: Buffer) -> object:
    """`data` in the form that costs least to hand over: bytes as they are, anything else as a view."""
    return data if type(data) is bytes else ffi.from_buffer("uint8_t[]", data)
