"""Bytes that were right, made wrong: by edits that know nothing, and by edits that know what the bytes are made of.

All choices come from a `random.Random`. So Hypothesis, which has one of its own that it can shrink, and the coverage
guided fuzzer, which gives a seed for each input, share one way to make bad input.
"""

from __future__ import annotations

import base64
import binascii
import enum
import json
import re
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from medchain.encoding import decode, encode
from medchain.errors import EncodingError

__all__ = ["Form", "mutate"]


class Form(enum.Enum):
    """What inputs are made of."""

    CBOR = enum.auto()
    TEXT = enum.auto()
    JSON = enum.auto()
    BINARY = enum.auto()


LONGEST = 1 << 16
"""Bytes that a mutation may add at a time."""

MOST_NODES = 4_000
"""Values of a structure that mutations choose from: choosing goes through all of them."""

BYTES = (
    0x00,
    0x01,
    0x17,
    0x18,
    0x1B,
    0x20,
    0x3B,
    0x40,
    0x5B,
    0x5F,
    0x7B,
    0x7F,
    0x80,
    0x9B,
    0xA0,
    0xBB,
    0xF6,
    0xFF,
)
"""Bytes that mean something: heads of CBOR with the longest arguments, ends of ranges."""

LENGTHS = (0, 1, 31, 32, 33, 63, 64, 65, 255, 256, 1 << 12, LONGEST)
NUMBERS = (0, 1, -1, 2, 63, 64, 255, 256, 1 << 31, 1 << 32, 1 << 53, 1 << 62, (1 << 63) - 1, -(1 << 63))
TEXTS = ("", "\0", "\n", "a" * 300, "\x1b[2J", "\u202e", "é", "水", "😀", "../..", "%s", "<b>", "ok", "owner")
PIECES = (
    "",
    "\n",
    "\n\n",
    " ",
    "\t",
    "\0",
    "— ",
    "+",
    "#",
    "(",
    ")",
    ",",
    ":",
    "and",
    "0",
    "-1",
    "9" * 40,
    "é",
    "\u2028",
)
BASE64 = re.compile(r"[A-Za-z0-9+/]{4,}={0,2}")


def mutate(data: bytes, form: Form, random: Random, others: Sequence[bytes] = ()) -> bytes:
    """`data` with one to three changes; `others` are inputs of the same form, of which pieces may be taken."""
    for _ in range(random.randint(1, 3)):
        change = random.choice(_CHANGES[form])
        data = change(data, random, others)
    return data


def _edit(data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    """One change that knows nothing of what the bytes mean."""
    at = random.randint(0, len(data))
    end = min(len(data), at + random.choice((1, 1, 2, 4, 32, 1 << 10)))
    match random.randint(0, 8):
        case 0 if data:
            at = min(at, len(data) - 1)
            return data[:at] + bytes([data[at] ^ 1 << random.randint(0, 7)]) + data[at + 1 :]
        case 1:
            return data[:at] + bytes([random.choice(BYTES)]) + data[at + 1 :]
        case 2:
            return data[:at]
        case 3:
            return data[:at] + data[end:]
        case 4:
            return data[:at] + data[at:end] * random.choice((2, 3, 100)) + data[end:]
        case 5:
            return data[:at] + bytes(random.choices(BYTES, k=random.randint(1, 8))) + data[at:]
        case 6:
            return data + bytes(random.choice(LENGTHS))
        case 7:  # a head with an argument of eight bytes
            head = bytes([random.choice((0x1B, 0x3B, 0x5B, 0x7B, 0x9B, 0xBB))])
            return (
                data[:at]
                + head
                + random.choice((b"\x00" * 7 + b"\xff", b"\xff" * 8, b"\x80" + b"\0" * 7))
                + data[at:]
            )
        case _:
            other = random.choice(others) if others else data
            cut = random.randint(0, len(other))
            return data[:at] + other[cut : cut + LONGEST]


# Structures.


def _restructure(data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    """One change to the value that `data` encodes; an edit if it encodes none, or if there is no such value."""
    try:
        value: Any = decode(data)
        changed = _change_somewhere(value, random, [decode(each) for each in others[:4] if _encodes(each)])
        return encode(changed)
    except (EncodingError, ValueError, TypeError):
        return _edit(data, random, others)


def _rewrite_json(data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    """As `_restructure`, for JSON."""
    try:
        changed = _change_somewhere(json.loads(data), random, [])
        text = json.dumps(changed, ensure_ascii=random.random() < 0.5, default=lambda raw: raw.hex())
        return text.encode(errors="surrogatepass")
    except (ValueError, TypeError, RecursionError):
        return _edit(data, random, others)


def _encodes(data: bytes) -> bool:
    try:
        decode(data)
    except EncodingError:
        return False
    return True


def _nodes(value: Any) -> int:
    if isinstance(value, list):
        return 1 + sum(map(_nodes, value))
    if isinstance(value, dict):
        return 1 + sum(map(_nodes, value.values()))
    return 1


def _change_somewhere(value: Any, random: Random, donors: Sequence[Any]) -> Any:
    left = random.randint(0, min(_nodes(value), MOST_NODES) - 1)

    def walk(node: Any) -> Any:
        nonlocal left
        if left == 0:
            left = -1
            return _changed(node, random, donors)
        if left > 0:
            left -= 1
            if isinstance(node, list):
                return [walk(item) for item in node]
            if isinstance(node, dict):
                return {key: walk(item) for key, item in node.items()}
        return node

    return walk(value)


def _changed(node: Any, random: Random, donors: Sequence[Any]) -> Any:
    """Another value in the place of `node`: near it, of another kind, or from elsewhere."""
    match random.randint(0, 9):
        case 0:
            return random.choice((None, True, False, [], {}, b"", "", [None], {"": None}))
        case 1:
            return random.choice(NUMBERS)
        case 2:
            return bytes(random.choice(LENGTHS))
        case 3:
            return random.choice(TEXTS)
        case 4:
            return [node]
        case 5:
            for _ in range(random.choice((2, 30, 63, 70))):
                node = [node] if random.random() < 0.5 else {"a": node}
            return node
        case 6 if donors:
            return _any_node(random.choice(donors), random)
        case _:
            return _nearby(node, random)


def _any_node(value: Any, random: Random) -> Any:
    for _ in range(random.randint(0, 6)):
        if isinstance(value, list) and value:
            value = random.choice(value)
        elif isinstance(value, dict) and value:
            value = random.choice(list(value.values()))
    return value


def _nearby(node: Any, random: Random) -> Any:
    if isinstance(node, bool) or node is None:
        return not node
    if isinstance(node, int):
        return node + random.choice((-1, 1, 1 << 16)) if abs(node) < 1 << 62 else -node - 1
    if isinstance(node, float):
        return -node
    if isinstance(node, bytes):
        return _changed_bytes(node, random)
    if isinstance(node, str):
        at = random.randint(0, len(node))
        return random.choice(
            (node[:at], node + node, node[:at] + random.choice(TEXTS) + node[at:], node.upper())
        )
    if isinstance(node, list):
        return _changed_list(node, random)
    return _changed_map(node, random)


def _changed_bytes(node: bytes, random: Random) -> bytes:
    """Documents stand in documents as bytes: those change as what they are."""
    if _encodes(node) and len(node) > 1:
        return _restructure(node, random, ())
    if node.startswith(b"c2sp.org/"):
        return _retype(node, random, ())
    return _edit(node, random, ())


def _changed_list(node: list[Any], random: Random) -> list[Any]:
    items = list(node)
    match random.randint(0, 4):
        case 0 if items:
            items.pop(random.randrange(len(items)))
        case 1 if items:
            items.insert(random.randint(0, len(items)), random.choice(items))
        case 2:
            random.shuffle(items)
        case 3 if items:
            items = items[:1] * random.choice((2, 255, 1025))
        case _:
            items.append(random.choice((None, 0, b"", "", [], {})))
    return items


def _changed_map(node: dict[str, Any], random: Random) -> dict[str, Any]:
    entries, names = dict(node), list(node)
    match random.randint(0, 4):
        case 0 if names:
            del entries[random.choice(names)]
        case 1:
            entries[random.choice(TEXTS)] = None
        case 2 if names:
            entries[random.choice(names)] = entries[random.choice(names)]
        case 3:
            entries |= {f"k{number}": number for number in range(random.choice((3, 300)))}
        case _:
            entries = {name.upper(): item for name, item in entries.items()}
    return entries


# Texts.


def _retype(data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    """One change to a text: to a line, to a word, or inside what it holds in base64."""
    text = data.decode(errors="surrogateescape")
    at = random.randint(0, len(text))
    match random.randint(0, 4):
        case 0:
            text = _changed_lines(text, random, others)
        case 1:
            text = text[:at] + random.choice(PIECES) * random.choice((1, 1, 2, 300)) + text[at:]
        case 2:
            text = _changed_word(text, random)
        case 3:
            text = _changed_base64(text, random)
        case _:
            text = random.choice(
                (text.upper(), text.replace("\n", "\r\n"), text.strip(), text + text, text.swapcase())
            )
    return text.encode(errors="surrogateescape")


def _changed_lines(text: str, random: Random, others: Sequence[bytes]) -> str:
    lines = text.split("\n")
    at = random.randrange(len(lines))
    match random.randint(0, 3):
        case 0:
            del lines[at]
        case 1:
            lines[at:at] = [lines[at]] * random.choice((1, 2, 70))
        case 2:
            random.shuffle(lines)
        case _:
            other = random.choice(others).decode(errors="surrogateescape") if others else text
            lines[at] = random.choice(other.split("\n"))
    return "\n".join(lines)


def _changed_word(text: str, random: Random) -> str:
    words = re.split(r"([ \n,:()+]+)", text)
    at = random.randrange(len(words))
    other = random.choice(words)
    words[at] = random.choice(
        ("", other, words[at] * 3, words[at] + "0", "9" * 30, "-" + words[at], words[at].upper())
    )
    return "".join(words)


def _changed_base64(text: str, random: Random) -> str:
    found = list(BASE64.finditer(text))
    if not found:
        return text + random.choice(PIECES)
    match = random.choice(found)
    try:
        inside = base64.b64decode(match[0], validate=True)
    except binascii.Error:
        return text[: match.start()] + match[0][:-1] + text[match.end() :]
    changed = base64.b64encode(_changed_bytes(inside, random)).decode()
    return text[: match.start()] + changed + text[match.end() :]


Change = Callable[[bytes, Random, Sequence[bytes]], bytes]
_CHANGES: dict[Form, tuple[Change, ...]] = {
    Form.CBOR: (_edit, _restructure, _restructure, _restructure),
    Form.TEXT: (_edit, _retype, _retype),
    Form.JSON: (_edit, _retype, _rewrite_json, _rewrite_json),
    Form.BINARY: (_edit,),
}
