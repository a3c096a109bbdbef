"""The lock file that keeps a second writer out, in this process and in others.

The lock is the operating system's: it ends with the process that holds it, however that dies, and the file
that stays behind means nothing. It is taken by ``flock`` where there is one and by ``msvcrt.locking`` on
Windows; on network file systems it is as good as theirs, so keep chains on local disks.
"""

from __future__ import annotations

import os
import sys
import weakref
from contextlib import suppress
from pathlib import Path

from medchain.errors import Locked, StorageError

if sys.platform == "win32":  # pragma: no cover
    import msvcrt

    _FAR = 1 << 30  # the locked byte lies behind the process id, which other processes have to read

    def lock_descriptor(fd: int) -> None:
        os.lseek(fd, _FAR, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)

    def _unlock(fd: int) -> None:
        os.lseek(fd, _FAR, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def lock_descriptor(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_UN)


__all__ = ["WHAT_OTHERS_DO", "FileLock", "lock_descriptor"]

WHAT_OTHERS_DO = (
    "In the same process Chain.open gives the same chain again, if it is named by its place (a folder, sqlite:FOLDER,"
    " postgresql://…). Other processes open it without its authority, to read, and hand transactions to the one that"
    " writes: docs/how-to/several-web-workers.md"
)
"""What a store's Locked tells, for whoever reads it is about to run a second writer."""


class FileLock:
    """An exclusive lock on a file, held from construction until `release`.

    Raises Locked without waiting, naming who holds it and then saying `advice`; StorageError if the file cannot be
    opened.
    """

    def __init__(self, path: Path, advice: str = "") -> None:
        self.path = path
        self._advice = advice
        self._fd: int | None = None
        _held.add(self)
        try:  # whatever breaks this off, an interrupt too: a descriptor that stayed open would lock everybody out
            self._take()
        except BaseException:
            self._drop()
            raise

    def _take(self) -> None:
        try:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        except OSError as error:
            raise StorageError(f"cannot open the lock file {self.path}: {error.strerror}") from error
        try:
            lock_descriptor(self._fd)
        except OSError:
            holder = _holder(self._fd)
            said = f"{self.path.parent} is open for writing in {holder}; there can be only one"
            raise Locked(f"{said}. {self._advice}" if self._advice else said) from None
        with suppress(OSError):  # on a full disk the lock still holds, only without a name
            os.ftruncate(self._fd, 0)
            os.write(self._fd, str(os.getpid()).encode())

    def release(self) -> None:
        """Let the next writer in. Releasing twice is allowed."""
        if self._fd is not None:
            _unlock(self._fd)
        self._drop()

    def _drop(self) -> None:
        # A forked child shares the lock through its copy of the descriptor: closed there, it ends with the
        # parent.
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def __del__(self) -> None:
        # The caller was interrupted before it had the lock in hand.
        with suppress(AttributeError, OSError):
            self._drop()


def _holder(fd: int) -> str:
    os.lseek(fd, 0, os.SEEK_SET)
    pid = os.read(fd, 20)
    if pid == str(os.getpid()).encode():
        return "this process"
    return f"process {int(pid)}" if pid.isdigit() else "another process"


_held: weakref.WeakSet[FileLock] = weakref.WeakSet()


def _after_fork() -> None:
    for lock in list(_held):
        lock._drop()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
