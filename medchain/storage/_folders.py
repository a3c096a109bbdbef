"""Stores that are folders: telling whether one is there, and making one that is whole when it is seen."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Generic, TypeAlias, TypeVar

from medchain.errors import Locked, NotAChain
from medchain.storage._files import fsync_directory
from medchain.storage.lock import WHAT_OTHERS_DO

__all__ = [
    "LMDB_FILE",
    "LOCK_FILE",
    "SQLITE_FILE",
    "Identity",
    "OpenFiles",
    "create_folder",
    "holds_store",
]

LMDB_FILE: Final = "data.mdb"
SQLITE_FILE: Final = "data.sqlite"
"""By which file a store is known."""

LOCK_FILE = "writer.lock"
"""What keeps a second writer out of the folder."""

T = TypeVar("T")
Identity: TypeAlias = tuple[int, int]


def holds_store(path: Path, data_file: str) -> bool:
    """Tell whether the store's data file is in the folder; NotAChain if something else is."""
    if (path / data_file).is_file():
        return True
    if path.exists() and not path.is_dir():
        raise NotAChain(f"{path} is a file; a store is a directory")
    if path.is_dir() and any(path.iterdir()):
        raise NotAChain(f"{path} holds other files, but no store")
    return False


def create_folder(path: Path, data_file: str, build: Callable[[Path], None]) -> None:
    """Let `build` make an empty store beside `path` and move it there, so that a half-made one is never seen."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}-"))
    try:
        build(draft)
        with suppress(OSError):
            path.rmdir()  # an empty directory is in the way of a rename on some systems
        try:
            draft.rename(path)
        except OSError:
            # If it is there now, another process was faster, and its store is as good.
            if not holds_store(path, data_file):
                raise
        fsync_directory(path.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


class OpenFiles(Generic[T]):
    """What this process has open with a library that does not survive a fork, by the identity of its file.

    A forked child has nothing open, and may not open what it inherited: the library's own tables still say
    that it is, with locks that only the parent holds. `lock` protects `items`.
    """

    def __init__(self) -> None:
        self.items: dict[Identity, T] = {}
        self.lock = threading.RLock()
        self._inherited: dict[Identity, T] = {}
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork)

    def identify(self, file: Path) -> Identity:
        """Give the identity of a file that may be opened; Locked if it was open when this process was forked."""
        status = file.stat()
        identity = status.st_dev, status.st_ino
        if identity in self._inherited:
            raise Locked(
                f"the store at {file.parent} was open when this process was forked; start workers by 'spawn'."
                f" {WHAT_OTHERS_DO}"
            )
        return identity

    def _after_fork(self) -> None:
        # Kept, so that nothing of the parent's is closed here.
        self._inherited.update(self.items)
        self.items = {}
        self.lock = threading.RLock()
