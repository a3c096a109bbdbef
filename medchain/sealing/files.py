"""Sealing files to files, in memory that does not grow with them.

A sealed file is a magic line, the ciphertext, the bundle, and the bundle's length in 8 bytes: so it can be written
in one pass and its header read without the ciphertext. Results appear under their name only when they are complete
and on disk.
"""

from __future__ import annotations

import errno
import io
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeAlias

from medchain.errors import StorageError, StorageFull
from medchain.policy import BoundPolicy
from medchain.sealing.documents import SealedHeader
from medchain.sealing.offchain import (
    MAGIC,
    TRAILER,
    Actor,
    Approval,
    ShareRequest,
    bundle_span,
    check_size,
    open_keys,
)
from medchain.sealing.sealer import BINARY, Part, seal_to

__all__ = ["Progress", "open_file", "read_header", "seal_file"]

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the bytes that are done and the bytes that there are."""

_PathLike: TypeAlias = str | os.PathLike[str]
_PIECE = 1 << 20


def seal_file(
    path: _PathLike,
    out: _PathLike,
    bound: BoundPolicy,
    *,
    context: bytes,
    media_type: str = BINARY,
    label: str = "",
    progress: Progress | None = None,
) -> SealedHeader:
    """Seal a file to the file `out`, which is replaced; the bundle comes back too.

    Raises:
        StorageError: a file cannot be read or written (StorageFull: no room). `out` is then as it was.
        ValueError, SealingError: as `seal`.
    """
    with _errors(path), Path(path).open("rb") as source, _errors(out), _replacing(out) as target:

        def write(object_id: bytes, pieces: Iterable[bytes]) -> None:
            for piece in pieces:
                target.write(piece)

        target.write(MAGIC)
        part = Part(_pieces(path, source, progress), media_type, label)
        header = seal_to([part], bound, context=context, write=write)
        bundle = bytes(header)
        target.write(bundle + len(bundle).to_bytes(TRAILER, "big"))
    return header


def read_header(path: _PathLike) -> SealedHeader:
    """The bundle of a sealed file, without its ciphertext: what askers and approvers need.

    Raises:
        StorageError: the file cannot be read.
        EncodingError, SealingError: it is no sealed file, cut short, or altered.
    """
    with _errors(path), Path(path).open("rb") as source:
        return _read_header(source)


def open_file(
    path: _PathLike,
    out: _PathLike,
    ask: ShareRequest,
    shares: Iterable[Approval],
    *,
    context: bytes,
    by: Actor,
    progress: Progress | None = None,
) -> int:
    """Open a sealed file of one part to the file `out`, which is replaced; gives its length.

    Raises:
        StorageError: a file cannot be read or written (StorageFull: no room).
        Pending, SealingError, InvalidSignature, RootMismatch: as `open`; `out` is then as it was.
        ValueError: the request is for several parts.
    """
    with _errors(path), Path(path).open("rb") as source:
        header = _read_header(source)

        def read(offset: int, length: int) -> bytes:
            with _errors(path):
                source.seek(len(MAGIC) + offset)
                return source.read(length)

        if len(ask.parts) != 2:
            raise ValueError(f"{len(ask.parts) - 1} parts were asked for: read the file into a Sealed")
        (part,) = open_keys(header, ask, shares, read, context=context, by=by)
        done = 0
        with _errors(out), _replacing(out) as target:
            for piece in part:
                target.write(piece)
                done += len(piece)
                if progress is not None:
                    progress(done, part.length)
        return done


def _read_header(source: BinaryIO) -> SealedHeader:
    head = source.read(len(MAGIC))
    total = source.seek(0, io.SEEK_END)
    source.seek(max(0, total - TRAILER))
    begin, end = bundle_span(head, source.read(TRAILER), total)
    source.seek(begin)
    header = SealedHeader.from_bytes(source.read(end - begin))
    check_size(header, begin)
    return header


def _pieces(path: _PathLike, source: BinaryIO, progress: Progress | None) -> Iterator[bytes]:
    done = 0
    with _errors(path):
        total = os.fstat(source.fileno()).st_size
    while True:
        with _errors(path):
            piece = source.read(_PIECE)
        if not piece:
            return
        yield piece
        done += len(piece)
        if progress is not None:
            progress(done, max(done, total))


@contextmanager
def _replacing(path: _PathLike) -> Iterator[BinaryIO]:
    """A new file that takes the name `path` when the block ends well, fsynced before and after, and vanishes else."""
    final = Path(path)
    draft = final.with_name(f".{final.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
            yield target
            target.flush()
            os.fsync(target.fileno())
        draft.replace(final)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    folder = os.open(final.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def _errors(path: _PathLike) -> Iterator[None]:
    """What the file system refuses about one file, as an error of this library that names it."""
    try:
        yield
    except OSError as error:
        kind = StorageFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else StorageError
        raise kind(f"{os.fspath(path)}: {error.strerror}") from error
