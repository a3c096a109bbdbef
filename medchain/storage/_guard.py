"""What stores share: the translation of whatever an implementation raises into documented errors."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from medchain.errors import MedchainError, StorageError, StorageFull

__all__ = ["guarded", "is_full", "nearly_full"]

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


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


@contextmanager
def guarded(action: str) -> Iterator[None]:
    """Let only documented errors out of an implementation; `action` says in the message what was going on.

    `MedchainError`, ``ValueError``, ``TypeError`` and ``MemoryError`` pass as they are.
    """
    try:
        yield
    except (MedchainError, ValueError, TypeError, MemoryError):
        raise
    except OSError as error:
        kind = StorageFull if is_full(error.errno) else StorageError
        raise kind(f"cannot {action}: {error}") from error
    except Exception as error:
        raise StorageError(f"cannot {action}: {type(error).__name__}: {error}") from error
