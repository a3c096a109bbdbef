"""What must hold for every input: a value that is written as it was read, or one of the documented errors.

No error quotes more of the input than a line or two, or anything that a terminal would obey.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from fuzz.decoder import Decoder

__all__ = ["KEPT", "ROOT", "Wrong", "again", "folder", "judge", "keep"]

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "build" / "fuzz"
LONGEST_TEXT = 2_000
"""Most characters of an error's text."""


class Wrong(AssertionError):
    """A decoder did what it must not do."""


def judge(decoder: Decoder, data: bytes) -> Any:
    """What `decoder` makes of `data`, or None if it refuses it in the way that it documents.

    Raises:
        Wrong: it ended otherwise, or what it gave is not what it was given.
    """
    try:
        value = decoder.read(data)
    except decoder.raises as error:
        check_text(decoder, str(error))
        return None
    except Exception as error:
        allowed = ", ".join(each.__name__ for each in decoder.raises) or "nothing"
        raise Wrong(f"{decoder.name} raised {type(error).__name__}, documented is {allowed}") from error
    try:
        check_written(decoder, data, value)
        check_shown(decoder, data, value)
    except Wrong:
        raise
    except Exception as error:
        raise Wrong(
            f"{decoder.name} read a value that cannot be used: {type(error).__name__}: {error}"
        ) from error
    return value


def check_text(decoder: Decoder, said: str) -> None:
    """The text of an error is short and harmless."""
    if len(said) > LONGEST_TEXT:
        raise Wrong(f"{decoder.name}: an error of {len(said)} characters")
    if not all(letter.isprintable() or letter == "\n" for letter in said):
        raise Wrong(f"{decoder.name}: an error with control characters: {said!r}")


def check_written(decoder: Decoder, data: bytes, value: Any) -> None:
    """What was read can be written, and is the same then."""
    if decoder.write is None:
        return
    written = decoder.write(value)
    if decoder.canonical:
        if written != data:
            raise Wrong(
                f"{decoder.name} takes {len(data)} bytes for what is written in other {len(written)} bytes"
            )
    elif decoder.read(written) != value:
        raise Wrong(f"{decoder.name} reads something else than it has written")


def check_shown(decoder: Decoder, data: bytes, value: Any) -> None:
    """What was read can be looked at."""
    for show in (
        repr,
        str,
        getattr(type(value), "_repr_html_", repr),
        getattr(type(value), "_repr_svg_", repr),
    ):
        shown = show(value)
        if len(shown) > 100_000 + 100 * len(data):
            raise Wrong(f"{decoder.name}: {len(data)} bytes are shown in {len(shown)} characters")


def keep(decoder: Decoder, data: bytes, name: str) -> str:
    """Save an input that something was wrong with under a name; gives the command that tries it again."""
    path = folder(decoder) / "wrong" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return again(path)


def folder(decoder: Decoder) -> Path:
    """Where a decoder's corpus and findings lie."""
    return KEPT / re.sub("[^A-Za-z0-9.]+", "-", decoder.name)


def again(path: Path) -> str:
    """The command that tries a kept input again."""
    return f'make fuzz ARGS="--repeat {path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}"'
