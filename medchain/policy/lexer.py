"""Policy texts into tokens, and places in them into messages.

A line break ends a statement, except inside parentheses and after a comma, a colon, `and` or `or`. Comments
run from ``#`` to the end of the line.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple, NoReturn, TypeVar

from medchain.errors import PolicyError, PolicySyntaxError
from medchain.policy.names import REASONS, RESERVED, close_to, shown

MAX_TEXT = 1 << 19
"""Longest text in characters. Every policy of the model is written in less."""

_TOKEN = re.compile(
    r"(?P<space>[ \t\r]+|\#[^\n]*)|(?P<newline>\n)|(?P<moment>[0-9]+-[0-9A-Za-z:.+-]*)|(?P<number>[0-9]+)"
    r"|(?P<word>[A-Za-z_][A-Za-z0-9_]*)|(?P<mark>[():,])"
)
T = TypeVar("T")

_GOES_ON = frozenset({",", ":", "and", "or"})
_HINTS = {
    "&": "write `and`",
    "|": "write `or`",
    "-": "names are made of lower-case letters, digits and `_`",
    ";": "options are parted by commas, statements by line breaks",
    '"': "names stand without quotes",
    "'": "names stand without quotes",
    "/": "comments begin with `#`",
}
_VIEW = 100
"""How much of a long line a message shows."""


class Token(NamedTuple):
    """A piece of the text: `kind` is word, number, moment, newline, end, or the character itself."""

    kind: str
    text: str
    start: int

    def __str__(self) -> str:
        names = {"newline": "the end of the line", "end": "the end of the text"}
        return names.get(self.kind) or shown(self.text)


class Source:
    """A text and its tokens."""

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):
            raise TypeError(f"a policy text is a str, not {type(text).__name__}")
        self.text = text
        if len(text) > MAX_TEXT:
            raise PolicySyntaxError(
                f"a policy text has at most {MAX_TEXT} characters, not {len(text)}", line=1, column=1
            )
        self.tokens = self._scan()

    def _scan(self) -> list[Token]:
        tokens: list[Token] = []
        open_at, at, text = 0, 0, self.text
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                wrong = Token("character", text[at], at)
                self.fail(wrong, f"{wrong} has no meaning here", hint=_HINTS.get(text[at]))
            kind, piece = str(match.lastgroup), match[0]
            if kind == "mark":
                open_at += {"(": 1, ")": -1}.get(piece, 0)
                tokens.append(Token(piece, piece, at))
            elif kind == "newline":
                if (
                    open_at <= 0
                    and tokens
                    and tokens[-1].text not in _GOES_ON
                    and tokens[-1].kind != "newline"
                ):
                    tokens.append(Token("newline", "", at))
            elif kind != "space":
                tokens.append(Token(kind, piece, at))
            at = match.end()
        tokens.append(Token("end", "", len(text)))
        return tokens

    def place(self, token: Token) -> tuple[int, int]:
        """Line and column of a token, both from 1."""
        line = self.text.count("\n", 0, token.start) + 1
        return line, token.start - (self.text.rfind("\n", 0, token.start) + 1) + 1

    def fail(self, token: Token, message: str, *, hint: str | None = None) -> NoReturn:
        """Raise the error that `message` tells about the place of `token`, with its line and a caret under
        it."""
        line, column = self.place(token)
        shown_line, before = self._view(token, column)
        caret = " " * before + "^" * max(1, min(len(token.text), len(shown_line) - before))
        parts = [f"line {line}, column {column}: {message}", f"    {shown_line}", f"    {caret}"]
        raise PolicySyntaxError("\n".join([*parts, hint] if hint else parts), line=line, column=column)

    def _view(self, token: Token, column: int) -> tuple[str, int]:
        """The printable part of the token's line that is worth showing, and how far in it the token
        begins."""
        start = token.start - (column - 1)
        end = self.text.find("\n", token.start)
        line = self.text[start : end if end >= 0 else len(self.text)]
        cut = max(0, min(column - 1 - _VIEW // 2, len(line) - _VIEW))
        part = line[cut : cut + _VIEW]
        printable = "".join(" " if c in "\t\r" else c if c.isprintable() else "?" for c in part)
        left = "…" if cut else ""
        right = "…" if cut + _VIEW < len(line) else ""
        return f"{left}{printable.rstrip()}{right}", column - 1 - cut + len(left)


class Cursor:
    """A position among the tokens of a source, and what a parser does there."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.tokens = source.tokens
        self.at = 0

    @property
    def next(self) -> Token:
        return self.tokens[self.at]

    def take(self) -> Token:
        token = self.tokens[self.at]
        self.at += token.kind != "end"
        return token

    def take_if(self, text: str) -> bool:
        if self.next.text != text:
            return False
        self.at += 1
        return True

    def expect(self, text: str, *, why: str = "", hint: str | None = None) -> Token:
        if self.next.text != text:
            self.expected(f"`{text}`{why}", hint=hint)
        return self.take()

    def expected(self, what: str, *, hint: str | None = None) -> NoReturn:
        self.fail(self.next, f"expected {what}, found {self.next}", hint=hint or self.near_keyword())

    def fail(self, token: Token, message: str, *, hint: str | None = None) -> NoReturn:
        self.source.fail(token, message, hint=hint)

    def checked(self, token: Token, make: Callable[[], T]) -> T:
        """What `make` gives; a PolicyError of the model becomes one at the place of `token`."""
        try:
            return make()
        except PolicyError as error:
            self.fail(token, str(error))

    def near_keyword(self) -> str | None:
        """A hint if the next word, or the one just read, looks like a keyword with a slip in it."""
        for token in (self.next, self.tokens[self.at - 1] if self.at else self.next):
            if token.kind == "word" and token.text not in RESERVED:
                if token.text.lower() in RESERVED:
                    return f"keywords are written in lower case: `{token.text.lower()}`"
                meant = close_to(token.text, RESERVED - REASONS.keys())
                if meant:
                    return f"was `{meant}` meant instead of {token}?"
        return None
