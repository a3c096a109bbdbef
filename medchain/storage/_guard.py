"""What stores share: the translation of whatever an implementation raises into documented errors."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from medchain.errors import MedchainError, StorageError, StorageFull

__all__ = ["guarded", "is_full", "nearly_full"]

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_PASSING = (MedchainError, ValueError, TypeError, MemoryError)


def is_full(code: int | None) -> bool:
    """Tell whether an ``errno`` means that the disk, a quota or a limit on file size leaves no room."""
    return code in _FULL


def nearly_full(path: Path) -> bool:
    """Tell whether a write in a folder may have failed for want of room, where a library hides why.

    That is, whether the file system has less than a megabyte left, or a file there less to the limit of this process.
    """
    limit = _longest_file()
    return shutil.disk_usage(path).free < _LITTLE or (
        limit is not None and any(file.stat().st_size > limit - _LITTLE for file in path.iterdir())
    )


_LITTLE = 1 << 20


def _longest_file() -> int | None:
    try:
        import resource
    except ImportError:  # pragma: no cover  # Windows
        return None
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    return None if limit == resource.RLIM_INFINITY else limit


class guarded:  # noqa: N801  # a context manager, used like the functions of contextlib
    """Let only documented errors out of an implementation; `action` says in the message what was going on.

    `MedchainError`, ``ValueError``, ``TypeError`` and ``MemoryError`` pass as they are. A class, because every read
    goes through it and a generator costs more than a read from LMDB.
    """

    __slots__ = ("action",)

    def __init__(self, action: str) -> None:
        self.action = action

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, Exception) or isinstance(error, _PASSING):
            return
        if isinstance(error, OSError):
            full = is_full(error.errno)
            raise (StorageFull if full else StorageError)(f"cannot {self.action}: {error}") from error
        raise StorageError(f"cannot {self.action}: {type(error).__name__}: {error}") from error
