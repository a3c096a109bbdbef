"""What the registry says of a door, and short ways to say it."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from attrs import field, frozen
from fuzz.mutations import Form

from medchain.errors import EncodingError, MedchainError

__all__ = ["Decoder", "Read", "Seeds", "as_text", "by_file", "callers_text", "file", "fixed", "text"]

Read = Callable[[bytes], Any]
Seeds = Callable[[], Sequence[bytes]]


@frozen
class Decoder:
    """A door through which outside bytes or text come into the library.

    Attributes:
        name: by which it is chosen and reported.
        read: takes the bytes in.
        raises: what its documentation says that it raises for bad input.
        seeds: gives inputs that real writers have made, the most telling one first.
        form: what inputs are made of.
        reaches: the functions of the library that read outside bytes on this way, as ``module:name``. The seeds must
            get there; a function that reads and that no door reaches is found by `test_registry.py`.
        write: the way back; None if there is none.
        canonical: whether ``write(read(data)) == data``; otherwise what is written only reads as the same again.
        accepts: whether `read` takes the seeds; otherwise all of them end in one of `raises`.
        room: bytes of memory that it may take however short the input is, for buffers of files.
        slow: it does some milliseconds of honest work for each input, so that fewer are tried.
    """

    name: str
    read: Read = field(repr=False)
    raises: tuple[type[MedchainError], ...] = field(repr=False)
    seeds: Seeds = field(repr=False)
    form: Form = Form.CBOR
    reaches: tuple[str, ...] = field(kw_only=True, default=(), repr=False)
    write: Callable[[Any], bytes] | None = field(kw_only=True, default=bytes, repr=False)
    canonical: bool = field(kw_only=True, default=True)
    accepts: bool = field(kw_only=True, default=True)
    room: int = field(kw_only=True, default=1 << 18)
    slow: bool = field(kw_only=True, default=False)


def fixed(*inputs: bytes | str) -> Seeds:
    """These inputs."""
    return lambda: [each.encode() if isinstance(each, str) else each for each in inputs]


def text(read: Callable[[str], Any]) -> Read:
    """A reader of text that takes bytes; those that are no UTF-8 become lone surrogates."""
    return lambda data: read(data.decode(errors="surrogateescape"))


def callers_text(read: Callable[[str], Any]) -> Read:
    """A reader of text that a caller has written or stored. It says ValueError, and nothing below that; here it is the
    EncodingError that a reader of outside bytes would raise.
    """

    def call(data: bytes) -> Any:
        try:
            return text(read)(data)
        except ValueError as error:
            if type(error) is not ValueError:
                raise
            raise EncodingError(str(error)) from error

    return call


def as_text(value: Any) -> bytes:
    """What a value is as text."""
    return str(value).encode()


@contextlib.contextmanager
def file(data: bytes) -> Iterator[Path]:
    """A file with this content, alone in its folder."""
    with tempfile.TemporaryDirectory(prefix="medchain-fuzz-") as folder:
        path = Path(folder) / "file"
        path.write_bytes(data)
        yield path


def by_file(read: Callable[[Path], Any]) -> Read:
    """A reader of files that takes their bytes."""

    def call(data: bytes) -> Any:
        with file(data) as path:
            return read(path)

    return call
