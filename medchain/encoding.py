"""Canonical bytes in and out: the DAG-CBOR profile of every wire, file and hash in medchain.

The profile has maps with text keys (sorted by length, then bytes), lists, integers from -2^63 to 2^63-1, bytes,
UTF-8 text, booleans and null; no floats, no tags; at most 64 containers inside one another. One value has one
encoding, and a scan in C that accepts exactly this form is the only judge of it: it runs over everything that is
decoded, before any Python object is built, and over everything that libipld encodes.
"""

from __future__ import annotations

from typing import TypeAlias

from libipld import decode_dag_cbor as _decode
from libipld import encode_dag_cbor as _encode

from medchain._native import canonical
from medchain.errors import EncodingError

__all__ = ["MAX_DEPTH", "MAX_VALUES", "Value", "check", "decode", "encode"]

Value: TypeAlias = "dict[str, Value] | list[Value] | str | bytes | int | bool | None"
"""A plain value: what `encode` takes and `decode` gives."""

MAX_DEPTH = 64
"""How many lists and maps may stand inside one another."""

MAX_VALUES = 1 << 20
"""How many values a document has at most, keys counted, unless its reader says otherwise.

A value takes one byte on the wire and up to 72 in memory. So it is their number that bounds what reading costs, to less
than 100 MB here, and not the number of bytes. The largest document of this library, a kit of 65,535 parts, has 950,000.
"""

_NO_END = (1 << 64) - 1


def encode(value: Value) -> bytes:
    """The canonical encoding of `value`.

    >>> encode({"b": 1, "a": [b"x", None]}).hex()
    'a26161824178f6616201'

    Raises:
        TypeError: a float, a tuple, a key that is not text, or another type outside the profile.
        ValueError: an integer out of range, a lone surrogate in a text, or more than 64 levels.
    """
    try:
        data: bytes = _encode(value)
    except (ValueError, RecursionError):
        return _encode_plainly(value)
    # libipld writes floats and larger integers, and takes bytes that look like a content id for one (tag 42).
    return data if canonical(data, _NO_END) is None else _encode_plainly(value)


def decode(data: bytes | bytearray | memoryview, *, limit: int = 16 << 20, values: int = MAX_VALUES) -> Value:
    """The value that `data` is the canonical encoding of.

    Args:
        data: the encoding, the whole encoding and nothing but it.
        limit: the most bytes to accept.
        values: the most values to accept: the value itself, and whatever stands in it, keys too.

    Raises:
        EncodingError: too long, or not in canonical form; ``offset`` tells where.
    """
    data = data if type(data) is bytes else _whole(data)
    if len(data) > limit or canonical(data, values) is not None:
        check(data, limit=limit, values=values)  # says what is wrong with it
    value: Value = _decode(data)
    return value


def check(data: bytes | bytearray | memoryview, *, limit: int = 16 << 20, values: int = MAX_VALUES) -> None:
    """Raise EncodingError unless `decode` would accept `data`; builds no value."""
    if len(data) > limit:
        raise EncodingError(f"{len(data)} bytes where at most {limit} are accepted")
    fault = canonical(_whole(data), values)
    if fault is not None:
        offset, reason = fault
        raise EncodingError(reason, offset=offset)


def _whole(data: bytes | bytearray | memoryview) -> bytes:
    """`data` as bytes. Not by ``bytes(data)`` alone, which takes a number for a length."""
    return data if type(data) is bytes else bytes(memoryview(data))


def _encode_plainly(value: Value) -> bytes:
    """The profile written down in Python: slower, takes every value there is, says what is wrong with others."""
    out = bytearray()
    _write(out, value, 0)
    return bytes(out)


def _write(out: bytearray, value: Value, depth: int) -> None:
    if value is None or isinstance(value, bool):
        out.append(0xF6 if value is None else 0xF5 if value else 0xF4)
    elif isinstance(value, int):
        if not -(1 << 63) <= value < 1 << 63:
            raise ValueError("an integer outside -2^63 .. 2^63-1 has no encoding")
        _write_head(out, 0, value) if value >= 0 else _write_head(out, 1, -1 - value)
    elif isinstance(value, bytes):
        _write_head(out, 2, len(value))
        out += value
    elif isinstance(value, str):
        _write_text(out, _utf8(value))
    elif isinstance(value, list | dict):
        if depth == MAX_DEPTH:
            raise ValueError(f"more than {MAX_DEPTH} lists and maps inside one another have no encoding")
        _write_head(out, 5 if isinstance(value, dict) else 4, len(value))
        if isinstance(value, dict):
            _write_entries(out, value, depth + 1)
        else:
            for item in value:
                _write(out, item, depth + 1)
    else:
        raise TypeError(f"{type(value).__name__} has no canonical encoding")


def _write_entries(out: bytearray, entries: dict[str, Value], depth: int) -> None:
    for key in entries:
        if not isinstance(key, str):
            raise TypeError(f"map keys are text, not {type(key).__name__}")
    for text, item in sorted(
        ((_utf8(key), item) for key, item in entries.items()), key=lambda entry: (len(entry[0]), entry[0])
    ):
        _write_text(out, text)
        _write(out, item, depth)


def _write_text(out: bytearray, text: bytes) -> None:
    _write_head(out, 3, len(text))
    out += text


def _write_head(out: bytearray, major: int, argument: int) -> None:
    """The initial byte and the argument in its shortest form (RFC 8949, section 3)."""
    if argument < 24:
        out.append(major << 5 | argument)
        return
    info = 0 if argument < 1 << 8 else 1 if argument < 1 << 16 else 2 if argument < 1 << 32 else 3
    out.append(major << 5 | 24 + info)
    out += argument.to_bytes(1 << info, "big")


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ValueError("text with a lone surrogate has no encoding") from None
