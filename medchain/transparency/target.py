"""Where a log is published: a directory that a static server serves, or a bucket.

Files appear whole or not at all, under their names for good; only ``checkpoint`` is replaced.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from medchain.errors import Locked, StorageError
from medchain.ledger.note import NOTE_LIMIT
from medchain.storage._bucket import Bucket, Conflict, Unsupported, name_of
from medchain.storage._files import fsync_directory, remove_leftovers
from medchain.storage._guard import guarded
from medchain.storage.lock import FileLock
from medchain.transparency.layout import CHECKPOINT

__all__ = ["BucketTarget", "DirectoryTarget", "Target", "target_of"]

_DRAFTS = ".publishing"


class Target(ABC):
    """Somewhere to publish a log. StorageError if it does not do as it is told."""

    @abstractmethod
    def read(self, path: str, limit: int) -> bytes | None:
        """What lies under a path, or None; StorageError if it has more than `limit` bytes."""

    @abstractmethod
    def write(self, path: str, data: bytes) -> None:
        """Put a file there, whole, in place of what there is."""

    def replace(self, path: str, data: bytes, before: bytes | None) -> None:
        """Put a file in place of what was read there; Locked if meanwhile something else is there."""
        if self.read(path, NOTE_LIMIT) != before:
            raise self._outrun(path)
        self.write(path, data)

    def _outrun(self, path: str) -> Locked:
        return Locked(f"somebody else has written {path} in {self!r} meanwhile; try again")

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Write as the only one, where that can be had; Locked if somebody else does."""
        yield

    @abstractmethod
    def settle(self) -> None:
        """Return when all that was written is durable."""


class DirectoryTarget(Target):
    """A directory, made if it is not there. What is being written lies in ``.publishing`` in it.

    Files are flushed together in `settle`, just before the checkpoint that speaks of them: one by one, a million
    entries would wait for the disk eight thousand times.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._written: list[Path] = []
        self._folders: set[Path] = set()

    def __repr__(self) -> str:
        return f"<directory {self.path}>"

    def read(self, path: str, limit: int) -> bytes | None:
        with guarded(f"read {self.path / path}"):
            try:
                with (self.path / path).open("rb") as file:
                    data = file.read(limit + 1)
            except FileNotFoundError:
                return None
        if len(data) > limit:
            raise StorageError(f"{self.path / path} has more than {limit} bytes")
        return data

    @contextmanager
    def writing(self) -> Iterator[None]:
        drafts = self.path / _DRAFTS
        with guarded(f"publish in {self.path}"):
            drafts.mkdir(parents=True, exist_ok=True)
        lock = FileLock(drafts / "lock")
        try:
            with guarded(f"publish in {self.path}"):
                remove_leftovers(drafts)
            yield
        finally:
            lock.release()

    def write(self, path: str, data: bytes) -> None:
        target = self.path / path
        with guarded(f"write {target}"):
            if target.parent not in self._folders:
                target.parent.mkdir(parents=True, exist_ok=True)
                self._note(target.parent)
            draft = self.path / _DRAFTS / f".tmp-{os.getpid()}"
            draft.write_bytes(data)
            draft.replace(target)
            self._written.append(target)

    def _note(self, folder: Path) -> None:
        """Remember a folder and those above it, whose names have to be durable too."""
        while folder not in self._folders:
            self._folders.add(folder)
            if folder == self.path:
                return
            folder = folder.parent

    def settle(self) -> None:
        with guarded(f"make durable what was published in {self.path}"):
            for path in self._written:
                with path.open("rb") as file:
                    os.fsync(file.fileno())
            for folder in sorted(self._folders, reverse=True):
                fsync_directory(folder)
        self._written.clear()
        self._folders.clear()


class BucketTarget(Target):
    """A bucket, or a prefix in one, by a store of obstore (extra ``s3``).

    It has no lock. Of two publishers the slower one finds the checkpoint changed, and stops: the write is conditional
    on the tag of what was read. A store that has no such write is read once more just before.
    """

    def __init__(self, store: Any) -> None:
        self._bucket = Bucket(store, name_of(store))

    def __repr__(self) -> str:
        return f"<{self._bucket.name}>"

    def read(self, path: str, limit: int) -> bytes | None:
        found = self._bucket.read(path, limit)
        return None if found is None else found[0]

    def write(self, path: str, data: bytes) -> None:
        self._bucket.put(path, data, _attributes(path))

    def replace(self, path: str, data: bytes, before: bytes | None) -> None:
        found = self._bucket.fetch(path, len(before or b""))
        now, tag = found or (None, None)
        if (found is None) != (before is None) or now != before:
            raise self._outrun(path)
        try:
            if found is None:
                self._bucket.create(path, data, _attributes(path))
            else:
                self._bucket.replace(path, data, tag, _attributes(path))
        except Unsupported:
            self.write(path, data)
        except Conflict:
            if (
                self.read(path, NOTE_LIMIT) != data
            ):  # else it was this very call, whose answer was lost on the way
                raise self._outrun(path) from None

    def settle(self) -> None:
        """A write has returned when it is durable."""


_MUTABLE = {"Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-cache"}
_IMMUTABLE = {"Content-Type": "application/octet-stream", "Cache-Control": "max-age=31536000, immutable"}


def _attributes(path: str) -> dict[str, str]:
    return _MUTABLE if path == CHECKPOINT else _IMMUTABLE


def target_of(place: Target | str | os.PathLike[str] | Any) -> Target:
    """A target by what names it: a path, a store of obstore, or a target itself."""
    if isinstance(place, Target):
        return place
    if isinstance(place, str | os.PathLike):
        return DirectoryTarget(place)
    return BucketTarget(place)
