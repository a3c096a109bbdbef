"""Text from outside, for people."""

from __future__ import annotations

__all__ = ["printable"]


def printable(text: str) -> str:
    """`text` without what a terminal would obey: whoever wrote a log or a proof may have put anything there."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
