"""Files that are whole or absent: written aside, fsynced, renamed, and the folder fsynced."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["TEMPORARY", "NewFile", "fsync_directory", "write_file"]

TEMPORARY = ".tmp-"
"""Prefix of files that are being written; what a crash leaves of them is rubbish."""


def fsync_directory(path: Path) -> None:
    """Make new, changed and removed names in a directory durable; nothing on Windows, which cannot."""
    if os.name == "nt":  # pragma: no cover
        return
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class NewFile:
    """A file that gets its name only when it is complete and durable; left without `keep`, it is gone."""

    def __init__(self, directory: Path) -> None:
        fd, name = tempfile.mkstemp(prefix=TEMPORARY, dir=directory)
        self._file = os.fdopen(fd, "wb")
        self._name = Path(name)

    def write(self, data: bytes | memoryview) -> None:
        """Append to the file."""
        self._file.write(data)

    def keep(self, target: Path) -> None:
        """Give the file its name in the same directory, replacing what is there, durably."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._name.replace(target)
        fsync_directory(target.parent)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # a full disk fails again when the rest of the buffer is flushed
            self._file.close()
        with suppress(FileNotFoundError):
            self._name.unlink()


def write_file(target: Path, data: bytes) -> None:
    """Replace a small file as a whole, durably."""
    with NewFile(target.parent) as file:
        file.write(data)
        file.keep(target)
