"""Blobs as files: ``<object id>/<hash>`` under one folder, names in hexadecimal.

Beside them lie ``format`` (what this folder is), ``incoming/`` (blobs that are being written) and one empty
file for each erased object, in ``erasing/`` until its last blob is gone and in ``erased/`` from then on.
Nothing else is looked at, links are not followed, and no name comes from anywhere but the 32 bytes of an id
or a hash.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from medchain.errors import BlobDamaged, NewerFormat, NotAChain, StorageError
from medchain.storage._files import NewFile, fsync_directory, remove_leftovers, write_file
from medchain.storage._guard import guarded
from medchain.storage.blobs import BlobStore, BlobWriter, missing

__all__ = ["FileBlobs"]

_FORMAT = b"medchain-blobs 1\n"
_NAME = re.compile(r"[0-9a-f]{64}")
_READ_FLAGS = (
    os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
)


class FileBlobs(BlobStore):
    """A `BlobStore` in the folder `path`, usable by several processes at once.

    A missing or empty folder becomes an empty store, unless ``create=False`` says that there must be one; what
    writers that died have left behind is removed, and an erasure that was broken off is finished. A blob is
    written aside, fsynced, renamed and its folder fsynced before `put` returns. If the folder disappears while
    the store is open (a disk is unmounted), operations fail and nothing is created in its place.

    Opened with ``read_only=True`` it changes nothing in the folder, which is looked at only when a blob is; what
    writes is refused with ValueError.

    Raises NotAChain if the folder holds other things or lacks a store, NewerFormat, or StorageError.
    """

    def __init__(self, path: str | os.PathLike[str], *, create: bool = True, read_only: bool = False) -> None:
        self._read_only = read_only
        self.path = Path(path)
        self._incoming = self.path / "incoming"
        self._erasing = self.path / "erasing"
        self._graves = self.path / "erased"
        if read_only:
            return
        with guarded(f"open the blob store at {self.path}"):
            self._prepare(create)
            remove_leftovers(self._incoming)
            for object_id in self._names(self._erasing):
                self._erase(object_id)

    def _prepare(self, create: bool) -> None:
        if self._holds_store():
            return
        if not create:
            raise NotAChain(f"{self.path} holds no blob store; is its disk mounted?")
        self._create(self.path / "format")

    def _holds_store(self) -> bool:
        """Whether the folder says that it is a store of this format; NotAChain or NewerFormat if of another."""
        try:
            form = (self.path / "format").read_bytes()[:64]
        except (FileNotFoundError, NotADirectoryError):
            return False
        if form != _FORMAT:
            kind = NewerFormat if form.startswith(b"medchain-blobs ") else NotAChain
            raise kind(f"{self.path} has the format {form!r}; this version reads {_FORMAT!r}")
        return True

    def _create(self, marker: Path) -> None:
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        ours = (self._incoming, self._erasing, self._graves)
        for path in (
            self.path.iterdir()
        ):  # objects are ours too: a damaged disk may have lost no more than the marker
            if path not in ours and not path.name.startswith(".tmp-") and not _NAME.fullmatch(path.name):
                raise NotAChain(f"{self.path} holds other files, like {path.name!r}, but no blob store")
        for folder in ours:
            folder.mkdir(mode=0o700, exist_ok=True)
        write_file(marker, _FORMAT)  # last, so that an interrupted start is taken up again
        fsync_directory(self.path.parent)

    # Names

    def _folder(self, object_id: bytes) -> Path:
        folder = self.path / object_id.hex()
        if folder.is_symlink():
            raise BlobDamaged(f"{folder} is a link, and links are not followed")
        return folder

    @contextmanager
    def _open(self, object_id: bytes, digest: bytes) -> Iterator[tuple[int, int]]:
        """Open a blob's file and give its descriptor and size; anything but a regular file is damage."""
        if self._erased(object_id):
            raise missing(object_id, digest)
        try:
            fd = os.open(self._folder(object_id) / digest.hex(), _READ_FLAGS)
        except FileNotFoundError:
            raise missing(object_id, digest) from None
        except OSError as error:
            raise _judged(error, digest) from error
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise BlobDamaged(f"the blob {digest.hex()} is no regular file")
            yield fd, status.st_size
        except OSError as error:
            raise _judged(error, digest) from error
        finally:
            os.close(fd)

    def _check_present(self) -> None:
        # Nobody has looked before at what is open for reading only; afterwards being there is enough.
        there = self._holds_store() if self.read_only else (self.path / "format").exists()
        if not there:
            raise StorageError(f"there is no blob store at {self.path}, or it has gone")

    # What BlobStore asks for

    def _writer(self, object_id: bytes) -> BlobWriter:
        return _FileWriter(self, object_id)

    def _read(self, object_id: bytes, digest: bytes, offset: int, length: int) -> bytes:
        with self._open(object_id, digest) as (fd, size):
            length = max(0, min(length, size - offset))
            os.lseek(fd, offset, os.SEEK_SET)
            with open(fd, "rb", closefd=False) as file:
                return file.read(length)

    def _size(self, object_id: bytes, digest: bytes) -> int:
        with self._open(object_id, digest) as (_, size):
            return size

    def _list(self, object_id: bytes) -> Iterable[bytes]:
        return self._names(self._folder(object_id))

    def _objects(self) -> Iterable[bytes]:
        self._check_present()
        return [
            found
            for found in self._names(self.path)
            if not (self.path / found.hex()).is_symlink() and self._list(found)
        ]

    def _names(self, folder: Path) -> list[bytes]:
        try:
            with os.scandir(folder) as entries:
                return [bytes.fromhex(entry.name) for entry in entries if _NAME.fullmatch(entry.name)]
        except (FileNotFoundError, NotADirectoryError):
            self._check_present()
            return []

    def _erase(self, object_id: bytes) -> int:
        self._check_present()
        name = object_id.hex()
        if not (self._graves / name).exists():
            (self._erasing / name).touch(mode=0o600)
            fsync_directory(self._erasing)
        count = self._remove(self._folder(object_id))
        with suppress(FileNotFoundError):  # erased before, or by another process at the same time
            (self._erasing / name).replace(self._graves / name)
            fsync_directory(self._graves)
            fsync_directory(self._erasing)
        return count

    def _remove(self, folder: Path) -> int:
        names = self._names(folder)
        for name in names:
            (folder / name.hex()).unlink(missing_ok=True)
        if folder.is_dir():
            fsync_directory(folder)
            with suppress(OSError):  # a stranger's file lies in it; ours are gone
                folder.rmdir()
            fsync_directory(self.path)
        return len(names)

    def _erased(self, object_id: bytes) -> bool:
        name = object_id.hex()
        # In this order: a file that is moved from the one to the other meanwhile is seen.
        if (self._erasing / name).exists() or (self._graves / name).exists():
            return True
        self._check_present()
        return False

    def _tombstones(self) -> Iterable[bytes]:
        self._check_present()
        return {*self._names(self._erasing), *self._names(self._graves)}

    def __repr__(self) -> str:
        return f"<FileBlobs: {self.path}>"


def _judged(error: OSError, digest: bytes) -> Exception:
    """Tell a damaged file from a system in trouble, which says nothing about the blob."""
    if error.errno in (errno.EIO, errno.ELOOP, errno.ENOTDIR, errno.EISDIR):
        return BlobDamaged(f"the blob {digest.hex()} cannot be read: {error}")
    return error


class _FileWriter(BlobWriter):
    def __init__(self, store: FileBlobs, object_id: bytes) -> None:
        self._store = store
        self._object_id = object_id
        self._file = NewFile(store._incoming)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._file.write(data)

    def commit(self, digest: bytes) -> None:
        folder = self._store._folder(self._object_id)
        try:
            folder.mkdir(mode=0o700)
            fsync_directory(folder.parent)
        except FileExistsError:
            pass
        target = folder / digest.hex()
        self._file.keep(target)
        # Erasure puts up its tombstone before it looks for files: of two at once, one sees the other.
        if self._store._erased(self._object_id):
            target.unlink(missing_ok=True)
            raise StorageError(f"object {self._object_id.hex()} was erased meanwhile")

    def abort(self) -> None:
        self._file.drop()
