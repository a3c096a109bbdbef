"""Files that are whole or absent: written aside, fsynced, renamed, and the folder fsynced."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from medchain.storage.lock import lock_descriptor

__all__ = ["NewFile", "fsync_directory", "remove_leftovers", "write_file"]

_PREFIX = ".tmp-"


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
    """A file that gets its name only when it is complete and durable; without `keep`, `drop` removes it.

    It is locked while it is open, so that `remove_leftovers` knows it from the remains of a process that
    died.
    """

    def __init__(self, directory: Path) -> None:
        fd, name = tempfile.mkstemp(prefix=_PREFIX, dir=directory)
        lock_descriptor(fd)
        self._file = os.fdopen(fd, "wb", buffering=0)
        self._name = Path(name)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append to the file."""
        rest = memoryview(data).cast("B")
        while rest:
            rest = rest[self._file.write(rest) :]

    def keep(self, target: Path) -> None:
        """Give the file its name on the same file system, replacing what is there, durably."""
        os.fsync(self._file.fileno())
        self._file.close()
        self._name.replace(target)
        fsync_directory(target.parent)

    def drop(self) -> None:
        """Close the file and remove it, unless it is kept. Never raises."""
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self._name.unlink()

    def __del__(self) -> None:
        with suppress(AttributeError):  # interrupted before it had both
            self.drop()


def write_file(target: Path, data: bytes) -> None:
    """Replace a small file as a whole, durably."""
    file = NewFile(target.parent)
    try:
        file.write(data)
        file.keep(target)
    finally:
        file.drop()


def remove_leftovers(directory: Path) -> None:
    """Remove the new files of processes that died before they could keep or drop them."""
    for path in directory.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # somebody writes it, or was faster
            fd = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
            try:
                lock_descriptor(fd)
                if os.name != "nt":
                    path.unlink()
            finally:
                os.close(fd)
            if os.name == "nt":  # pragma: no cover
                path.unlink()
