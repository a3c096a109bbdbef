"""Reading JSON strictly while knowing where each value stands, so that a document can be cut without being changed.

The standard library's decoder does the reading; this adds positions, and refuses what RFC 8259 leaves open and what
hurts its readers: names that occur twice, NaN, nesting beyond 64 levels, numbers of more than 1,000 digits, more than
2^20 values at a time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from medchain.errors import EncodingError

__all__ = ["MOST_DEPTH", "MOST_DIGITS", "MOST_VALUES", "Spans", "read_text"]

MOST_DEPTH = 64
MOST_DIGITS = 1_000
MOST_VALUES = 1 << 20
"""How many values may be read at a time. Two bytes of JSON can take a hundred in memory."""

_SPACE = re.compile(r"[ \t\n\r]*")
_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[\]{},]', re.DOTALL)
"""A bracket, a comma, or a string, which may lack its end: so that each character is looked at once.

Nothing is given back (``*+``): a way back from each escape would take 130 bytes of memory.
"""


def read_text(data: bytes) -> str:
    """JSON bytes as text. EncodingError if they are not UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise EncodingError("JSON is UTF-8 text", offset=error.start) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise EncodingError("a name occurs twice in one JSON object")
    return found


def _number(text: str, make: Callable[[str], Any]) -> Any:
    if len(text) > MOST_DIGITS:
        raise EncodingError(f"a JSON number has more than {MOST_DIGITS} digits")
    return make(text)


def _constant(text: str) -> Any:
    raise EncodingError(f"{text} is no JSON number")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique,
    parse_int=lambda text: _number(text, int),
    parse_float=lambda text: _number(text, Decimal),
    parse_constant=_constant,
)


class Spans:
    """A cursor over JSON text. Decimals are read as `decimal.Decimal`: FHIR keeps their precision."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self._depth = 0

    def skip(self) -> str:
        """Pass white space; the next character, or an empty string at the end."""
        found = _SPACE.match(self.text, self.at)
        assert found is not None
        self.at = found.end()
        return self.text[self.at : self.at + 1]

    def expect(self, characters: str) -> str:
        """Pass one of these characters, after white space. EncodingError if another one stands there."""
        found = self.skip()
        if not found or found not in characters:
            raise EncodingError(
                f"malformed JSON: expected {' or '.join(characters)}",
                offset=len(self.text[: self.at].encode()),
            )
        self.at += 1
        return found

    def value(self) -> Any:
        """Read the value that stands here."""
        self.skip()
        self._measure()
        try:
            value, self.at = _DECODER.raw_decode(self.text, self.at)
        except json.JSONDecodeError as error:
            place = len(self.text[: error.pos].encode())
            raise EncodingError(f"malformed JSON: {error.msg}", offset=place) from None
        except (RecursionError, ArithmeticError) as error:
            raise EncodingError(f"JSON that cannot be read: {type(error).__name__}") from None
        return value

    def _measure(self) -> None:
        """Refuse the value that stands here, before any of it is read, if it is nested too deep or holds too much."""
        depth, values = self._depth, 1
        for token in _TOKEN.finditer(self.text, self.at):
            mark = token[0]
            if mark in "[{":
                depth += 1
            elif mark in "]}":
                depth -= 1
            if depth <= self._depth:
                return
            values += mark in ",[{"
            if depth > MOST_DEPTH:
                raise EncodingError(f"JSON is nested deeper than {MOST_DEPTH} levels")
            if values > MOST_VALUES:
                raise EncodingError(f"more than {MOST_VALUES} values in one piece of JSON")

    def members(self, read: Callable[[str], None]) -> None:
        """Walk over an object; `read` gets each name and reads its value."""
        names: set[str] = set()
        self.expect("{")
        self._depth += 1
        last = self.skip() == "}"
        self.at += last
        while not last:
            if self.skip() != '"':
                self.expect('"')
            name = self.value()
            if name in names:
                raise EncodingError("a name occurs twice in one JSON object")
            names.add(name)
            self.expect(":")
            read(name)
            last = self.expect(",}") == "}"
        self._depth -= 1

    def items(self, read: Callable[[], None]) -> None:
        """Walk over an array; `read` reads each item."""
        self.expect("[")
        self._depth += 1
        last = self.skip() == "]"
        self.at += last
        while not last:
            read()
            last = self.expect(",]") == "]"
        self._depth -= 1

    def end(self) -> None:
        """EncodingError if anything but white space follows."""
        if self.skip():
            raise EncodingError(
                "malformed JSON: something follows the document", offset=len(self.text[: self.at].encode())
            )
