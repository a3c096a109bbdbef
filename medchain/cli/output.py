"""What the commands read, and how they show it: lines for people, JSON for programs."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medchain._text import printable
from medchain.errors import EncodingError, MalformedProof

if TYPE_CHECKING:
    from medchain.ledger.note import VerifierKey

__all__ = [
    "counted",
    "keep_evidence",
    "moment",
    "named",
    "plain",
    "print_json",
    "print_lines",
    "printable",
    "read",
    "require",
]

HEX = re.compile("[0-9a-f]{24,}")
"""Ids and hashes, which people tell apart by their beginnings; ``--json`` has them whole."""

MOMENTS = {
    "added",
    "asked",
    "due",
    "ended",
    "erased",
    "expires",
    "expiry",
    "judged",
    "not_after",
    "settles",
    "since",
    "time",
}
"""Names under which contracts keep block times, in ms; ``--json`` has the numbers."""


@contextlib.contextmanager
def counted(label: str) -> Iterator[Callable[[int, int | None], None] | None]:
    """A line on standard error that counts, if a person looks at it."""
    if not sys.stderr.isatty():
        yield None
        return

    def show(done: int, total: int | None) -> None:
        share = f"{100 * done // total:3} %" if total else ""
        print(f"\r{label} {share} {done:,}", end="", file=sys.stderr, flush=True)

    try:
        yield show
    finally:
        print("\r\x1b[K", end="", file=sys.stderr)


def require(path: Path | None) -> None:
    if path is not None and not path.exists():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))


def read(path: Path, limit: int) -> bytes:
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise EncodingError(f"{path} has more than {limit} bytes")
    return data


def keep_evidence(data: bytes) -> Path:
    """Write the evidence of a fork into the current folder, if it is not there yet; nothing there is replaced."""
    from medchain.transparency import Evidence

    def facts(evidence: Evidence) -> object:  # ML-DSA-44 signs anew each time, so bytes do not tell
        return evidence.first.origin, evidence.first.head, evidence.second.head, evidence.root

    found = Evidence.parse(data)
    stem, number = f"fork-{found.first.size}-{found.second.size}", 1
    path = Path(f"{stem}.txt")
    while path.exists():
        with contextlib.suppress(MalformedProof, OSError):  # somebody else's file, or a folder
            if facts(Evidence.parse(path.read_bytes())) == facts(found):
                return path
        number += 1
        path = Path(f"{stem}-{number}.txt")
    path.write_bytes(data)
    return path


def plain(value: Any) -> Any:
    """A canonical value as JSON shows it: bytes as hex."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value


def print_json(shown: dict[str, Any]) -> None:
    json.dump(shown, sys.stdout, indent=2)
    print()


def print_lines(shown: dict[str, Any], indent: str = "  ") -> None:
    """A line for each value; what is in a map below its name, what is null not at all."""
    for key, value in shown.items():
        name = key.replace("_", " ")
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict):
                print(printable(f"{indent}{name}".rstrip()))
                print_lines({inner: its for inner, its in each.items() if its is not None}, indent + "  ")
            else:
                print(printable(f"{indent}{name:<12}{one_line(key, each)}"))
            name = ""


def one_line(key: str, value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(one_line("", each) for each in value)
    if type(value) is int and key in MOMENTS:
        return moment(value)
    text = str(value)
    return f"{text[:16]}…" if HEX.fullmatch(text) else text


def named(key: VerifierKey) -> str:
    """Name and id of a key. A whole one takes up to 1,800 characters; ``--json`` has that."""
    return f"{key.name}+{key.id.hex()}"


def moment(milliseconds: int) -> str:
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):  # a log may state any number
        return f"{milliseconds} ms"
