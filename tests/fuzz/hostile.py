"""Input that is made to cost much: nesting, lengths that lie, many values, long words, what repeats.

Each shape grows in proportion to the size that is asked for, so that cost which grows faster shows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from fuzz.decoder import Decoder
from fuzz.mutations import Form

from medchain.encoding import decode, encode
from medchain.errors import EncodingError

__all__ = ["shapes"]

MOST_PLACES = 10
"""In how many places of a seed something grows."""

VALUES = (b"\xa0", b"\x80", b"\xa1\x60\x00", b"\x62ab", b"\x19\x01\x00", b"\x41x", b"\xf6")
"""Values that are short on the wire and long in memory, or common."""

PIECES = (
    "(",
    "((",
    "\n",
    "\n\n",
    " ",
    "9",
    "a",
    "é",
    "+",
    ",",
    "a,",
    "a and ",
    "# x\n",
    "— x ",
    "x:",
    "=",
    "\\",
)
JSON_VALUES = ("{}", "[]", '{"":1}', "1.5", '"ab"', "null", "9")


def shapes(decoder: Decoder, size: int) -> Iterator[tuple[str, bytes]]:
    """Inputs of about `size` bytes, each with a name."""
    seeds = list(decoder.seeds())
    if decoder.form is Form.TEXT:
        yield from _texts(seeds[0], size)
    elif decoder.form is Form.JSON:
        yield from _json(size)
    else:
        yield from _cbor(size)
        yield from _grown(seeds[0], size)
    if decoder.form is not Form.CBOR:
        yield "zeros", bytes(size)
        for at in range(0, len(seeds[0]), len(seeds[0]) // 4 + 1):
            yield f"zeros inside at {at}", seeds[0][:at] + bytes(size) + seeds[0][at:]


def _head(major: int, argument: int) -> bytes:
    return bytes([major << 5 | 26]) + argument.to_bytes(4, "big")


def _list(item: bytes, size: int) -> bytes:
    count = size // len(item)
    return _head(4, count) + item * count


def _cbor(size: int) -> Iterator[tuple[str, bytes]]:
    for item in VALUES:
        yield f"a list of {item.hex()}", _list(item, size)
    for head in (b"\x81", b"\xa1\x60", b"\x82\x00"):
        yield f"{head.hex()} in {head.hex()}", head * (size // len(head))
    for lie in (b"\x9b", b"\xbb", b"\x5b", b"\x7b"):
        yield f"{lie.hex()} that lies", lie + b"\x7f" + b"\xff" * 7 + bytes(size)
    keys = sorted(b"\x64%04x" % number + b"\x00" for number in range(min(size // 6, 1 << 16)))
    yield "a map", _head(5, len(keys)) + b"".join(keys)
    yield "bytes", _head(2, size) + bytes(size)
    yield "text", _head(3, size) + b"a" * size


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _places(item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value[:3]):
            yield from _places(item, (*path, number))


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


def _with(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copied = dict(value) if isinstance(value, dict) else list(value)
    copied[path[0]] = _with(value[path[0]], path[1:], new)
    return copied


def _larger(value: Any, size: int) -> Any:
    """More of the same."""
    if isinstance(value, bytes):
        return value + bytes(size)
    if isinstance(value, str):
        return value + "a" * size
    if isinstance(value, list) and value:
        return value + value[-1:] * (size // len(encode(value[-1])))
    if isinstance(value, dict):
        return value | {f"k{number:04x}": 0 for number in range(size // 7)}
    return [{}] * size


def _grown(seed: bytes, size: int) -> Iterator[tuple[str, bytes]]:
    """A right document, of which one value in turn has grown."""
    tag, body = seed[:0], seed
    try:
        value = decode(body)
    except EncodingError:  # a leaf has a tag before its document
        tag, body = seed[:1], seed[1:]
        try:
            value = decode(body)
        except EncodingError:
            return
    places = list(_places(value))
    for path in places[:: len(places) // MOST_PLACES + 1]:
        grown = _with(value, path, _larger(_at(value, path), size))
        yield f"more at {'.'.join(map(str, path)) or 'the top'}", tag + encode(grown)


def _texts(seed: bytes, size: int) -> Iterator[tuple[str, bytes]]:
    text = seed.decode(errors="surrogateescape")
    lines = text.split("\n")
    for piece in PIECES:
        many = piece * (size // len(piece.encode()))
        yield f"only {piece!r}", many.encode()
        yield f"{piece!r} before", (many + text).encode(errors="surrogateescape")
        yield f"{piece!r} after", (text + many).encode(errors="surrogateescape")
    for at in range(0, len(lines), len(lines) // MOST_PLACES + 1):
        count = size // (len(lines[at].encode(errors="surrogateescape")) + 1)
        longer = "\n".join([*lines[:at], *[lines[at]] * count, *lines[at:]])
        yield f"line {at} again and again", longer.encode(errors="surrogateescape")


def _json(size: int) -> Iterator[tuple[str, bytes]]:
    def bundle(inside: str) -> bytes:
        return f'{{"resourceType":"Bundle","entry":[{{"a":{inside}}}],"x":{inside}}}'.encode()

    for value in JSON_VALUES:
        yield f"a list of {value}", bundle(f"[{','.join([value] * (size // (2 * len(value) + 2)))}]")
    for piece in ("[", '{"a":', '"', '\\"', "9", "1e9", "é", " "):
        many = piece * (size // len(piece.encode()))
        yield f"only {piece!r}", many.encode()
        yield f"{piece!r} inside", bundle(many[: len(many) // 2])
    names = ",".join(f'"k{number:04x}":0' for number in range(size // 10))
    yield "many names", b'{"resourceType":"Bundle",' + names.encode() + b"}"
    entries = ",".join([json.dumps({"resource": {"resourceType": "Patient"}})] * (size // 44))
    yield "many entries", f'{{"resourceType":"Bundle","entry":[{entries}]}}'.encode()
