"""The interface of a blob store: sealed bytes under (object id, SHA-256), and a store in memory.

As in `medchain.storage.api`, public methods check and translate, and an implementation supplies those with an
underscore. Blobs are named by their content, so putting one twice is harmless, and lie under the object that
they belong to, so that erasing the object finds every one. What is erased stays erased: a tombstone (the bare
object id) remains, and nothing is ever stored under that id again.
"""

from __future__ import annotations

import hashlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from medchain.errors import BlobDamaged, BlobMissing, StorageError
from medchain.storage._guard import guarded

__all__ = ["BlobStore", "BlobWriter", "MemoryBlobs"]

Chunks: TypeAlias = "bytes | Iterable[bytes | bytearray | memoryview]"
Hashes: TypeAlias = "list[bytes]"

CHUNK = 1 << 20
"""Bytes that are read at once where a whole blob is gone through."""


class TooLong(StorageError):
    """A blob, or a damaged copy of one, has more bytes than were asked for."""


class BlobWriter(ABC):
    """One blob on its way into a store: invisible until `commit`, gone without trace after `abort`."""

    @abstractmethod
    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append to the blob."""

    @abstractmethod
    def commit(self, digest: bytes) -> None:
        """Store the blob durably under `digest`, in place of what lies there; StorageError if its object is erased."""

    @abstractmethod
    def abort(self) -> None:
        """Drop what was written, unless it is committed. Never raises."""


class BlobStore(ABC):
    """Blobs by object id (32 bytes) and SHA-256 of their content (32 bytes). Safe to use from several threads.

    The conformance suite is `medchain.testing.BlobStoreConformance`.
    """

    _read_only = False

    @property
    def read_only(self) -> bool:
        """Whether the store was opened for reading only: `put` and `erase` are refused with ValueError."""
        return self._read_only

    @abstractmethod
    def _writer(self, object_id: bytes) -> BlobWriter: ...

    @abstractmethod
    def _read(self, object_id: bytes, digest: bytes, offset: int, length: int) -> bytes:
        """Give the bytes of a range, fewer where the blob ends; BlobMissing if there is no such blob."""

    def _fetch(self, object_id: bytes, digest: bytes, limit: int) -> bytes | None:
        """Give a whole blob of at most `limit` bytes at once; None where that is no faster, or the blob is longer."""
        return None

    @abstractmethod
    def _size(self, object_id: bytes, digest: bytes) -> int: ...

    @abstractmethod
    def _list(self, object_id: bytes) -> Iterable[bytes]:
        """Give the hashes of what lies under an object, be it erased or not."""

    @abstractmethod
    def _objects(self) -> Iterable[bytes]:
        """Give the ids of all objects under which something lies, be they erased or not."""

    @abstractmethod
    def _erase(self, object_id: bytes) -> int:
        """Make a durable tombstone first, then remove all blobs of the object and count them."""

    @abstractmethod
    def _erased(self, object_id: bytes) -> bool: ...

    @abstractmethod
    def _tombstones(self) -> Iterable[bytes]: ...

    def _remains(self) -> Iterable[bytes]:
        """Give the ids of erased objects under which something lies all the same."""
        suspects = set(self._objects()) & set(self._tombstones())
        return [found for found in suspects if next(iter(self._list(found)), None) is not None]

    # Writing

    def put(self, object_id: bytes, chunks: Chunks, *, expect: bytes | None = None) -> bytes:
        """Store a blob durably and give its hash; memory does not grow with the blob.

        With `expect` the content must have that hash, or nothing is stored. Raises BlobDamaged for another
        hash, StorageFull, or StorageError, also if the object has been erased.
        """
        _check_id("object id", object_id)
        if expect is not None:
            _check_id("hash", expect)
        self._refuse_if_read_only()
        self._refuse_erased(object_id)
        with guarded("write a blob"):
            writer = self._writer(object_id)
        try:
            digest = self._fill(writer, chunks)
            if expect is not None and digest != expect:
                raise BlobDamaged(f"content for the blob {expect.hex()} has the hash {digest.hex()}")
            with guarded("write a blob"):
                writer.commit(digest)
        finally:
            writer.abort()
        return digest

    def _fill(self, writer: BlobWriter, chunks: Chunks) -> bytes:
        digest = hashlib.sha256()
        for chunk in (chunks,) if isinstance(chunks, (bytes, bytearray, memoryview)) else chunks:
            if not isinstance(chunk, (bytes, bytearray, memoryview)):
                raise TypeError(f"a blob is made of bytes, not {type(chunk).__name__}")
            digest.update(chunk)
            with guarded("write a blob"):
                writer.write(chunk)
        return digest.digest()

    def _refuse_if_read_only(self) -> None:
        if self.read_only:
            raise ValueError(f"{self!r} is open for reading only")

    def _refuse_erased(self, object_id: bytes) -> None:
        if self.erased(object_id):
            raise StorageError(f"object {object_id.hex()} is erased: nothing is stored under its id again")

    def erase(self, object_id: bytes) -> int:
        """Remove every blob of an object for good and tell how many there were; durable when this returns.

        A tombstone stays, so that copies which come back from elsewhere are refused. Erasing again is
        allowed, and so is an object of which there is nothing yet. Raises StorageError.
        """
        _check_id("object id", object_id)
        self._refuse_if_read_only()
        with guarded("erase an object"):
            return self._erase(object_id)

    # Reading

    def get(self, object_id: bytes, digest: bytes, *, limit: int) -> bytes:
        """Give a whole blob of at most `limit` bytes, its hash checked.

        Raises BlobMissing, BlobDamaged, or StorageError, also if the blob is larger than `limit`.
        """
        check_address(object_id, digest)
        with guarded("read a blob"):
            data = self._fetch(object_id, digest, limit)
        if data is None:
            size = self.size(object_id, digest)
            if size > limit:
                raise TooLong(f"the blob {digest.hex()} has {size} bytes, more than the {limit} asked for")
            with guarded("read a blob"):
                data = self._read(object_id, digest, 0, size)
        if hashlib.sha256(data).digest() != digest:
            raise _damaged(digest)
        return data

    def read(self, object_id: bytes, digest: bytes, offset: int, length: int) -> bytes:
        """Give `length` bytes from `offset` on. The hash is *not* checked: the caller authenticates what it gets.

        Where that fails, `check` tells whether the blob is damaged, and in a replicated store repairs it.
        Raises BlobMissing, BlobDamaged if the blob ends before the range does, or StorageError.
        """
        check_address(object_id, digest)
        if offset < 0 or length < 0:
            raise ValueError(
                f"a range starts at 0 or later and has 0 bytes or more, not {length} from {offset} on"
            )
        with guarded("read a blob"):
            data = self._read(object_id, digest, offset, length)
        if len(data) != length:
            raise BlobDamaged(f"the blob {digest.hex()} ends before byte {offset + length}")
        return data

    def size(self, object_id: bytes, digest: bytes) -> int:
        """Give the length of a blob in bytes, as stored. Raises BlobMissing or StorageError."""
        check_address(object_id, digest)
        with guarded("read a blob"):
            return self._size(object_id, digest)

    def check(self, object_id: bytes, digest: bytes) -> int:
        """Read a whole blob, compare its hash, and give its size in bytes.

        Raises BlobMissing, BlobDamaged, or StorageError.
        """
        check_address(object_id, digest)
        return sum(len(chunk) for chunk in self._checked_chunks(object_id, digest))

    def _checked_chunks(self, object_id: bytes, digest: bytes) -> Iterator[bytes]:
        """Yield a blob piece by piece, and raise BlobDamaged at the end if its hash is another."""
        hasher = hashlib.sha256()
        with guarded("read a blob"):
            whole = self._fetch(object_id, digest, CHUNK)
        if whole is not None:
            hasher.update(whole)
            yield whole
        size = self.size(object_id, digest) if whole is None else 0
        for offset in range(0, size, CHUNK):
            chunk = self.read(object_id, digest, offset, min(CHUNK, size - offset))
            hasher.update(chunk)
            yield chunk
        if hasher.digest() != digest:
            raise _damaged(digest)

    # What there is

    def list(self, object_id: bytes) -> Hashes:
        """Give the hashes of all blobs of an object, sorted; none for an object that is unknown or erased."""
        _check_id("object id", object_id)
        with guarded("list blobs"):
            return [] if self._erased(object_id) else sorted(self._list(object_id))

    def objects(self) -> Iterator[bytes]:
        """Iterate over the ids of all objects that have blobs and are not erased, sorted."""
        with guarded("list objects"):
            found = sorted(set(self._objects()) - set(self._tombstones()))
        return iter(found)

    def remains(self) -> Iterator[bytes]:
        """Iterate over the ids of erased objects under which something lies all the same, sorted.

        An erasure was broken off, or a writer died at the wrong moment. It cannot be read; erasing the object
        again removes it.
        """
        with guarded("look for remains of erased objects"):
            found = sorted(self._remains())
        return iter(found)

    def erased(self, object_id: bytes) -> bool:
        """Tell whether an object has been erased here."""
        _check_id("object id", object_id)
        with guarded("look for a tombstone"):
            return self._erased(object_id)

    def tombstones(self) -> Iterator[bytes]:
        """Iterate over the ids of all erased objects, sorted."""
        with guarded("list tombstones"):
            found = sorted(self._tombstones())
        return iter(found)


class MemoryBlobs(BlobStore):
    """A `BlobStore` that lives as long as the object."""

    def __init__(self) -> None:
        self._blobs: dict[bytes, dict[bytes, bytes]] = {}
        self._gone: set[bytes] = set()
        self._lock = threading.Lock()

    def _writer(self, object_id: bytes) -> BlobWriter:
        return _MemoryWriter(self, object_id)

    def _store(self, object_id: bytes, digest: bytes, data: bytes) -> None:
        with self._lock:
            if object_id in self._gone:
                raise StorageError(f"object {object_id.hex()} was erased meanwhile")
            self._blobs.setdefault(object_id, {})[digest] = data

    def _find(self, object_id: bytes, digest: bytes) -> bytes:
        try:
            return self._blobs[object_id][digest]
        except KeyError:
            raise missing(object_id, digest) from None

    def _read(self, object_id: bytes, digest: bytes, offset: int, length: int) -> bytes:
        return self._find(object_id, digest)[offset : offset + length]

    def _size(self, object_id: bytes, digest: bytes) -> int:
        return len(self._find(object_id, digest))

    def _list(self, object_id: bytes) -> Iterable[bytes]:
        with self._lock:
            return tuple(self._blobs.get(object_id, ()))

    def _objects(self) -> Iterable[bytes]:
        with self._lock:
            return tuple(self._blobs)

    def _erase(self, object_id: bytes) -> int:
        with self._lock:
            self._gone.add(object_id)
            return len(self._blobs.pop(object_id, ()))

    def _erased(self, object_id: bytes) -> bool:
        return object_id in self._gone

    def _tombstones(self) -> Iterable[bytes]:
        with self._lock:
            return tuple(self._gone)

    def __repr__(self) -> str:
        return f"<MemoryBlobs: {len(self._blobs)} objects>"


class _MemoryWriter(BlobWriter):
    def __init__(self, store: MemoryBlobs, object_id: bytes) -> None:
        self._store = store
        self._object_id = object_id
        self._data = bytearray()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._data += data

    def commit(self, digest: bytes) -> None:
        self._store._store(self._object_id, digest, bytes(self._data))

    def abort(self) -> None:
        self._data = bytearray()


def missing(object_id: bytes, digest: bytes) -> BlobMissing:
    """Make the error for a blob that a store does not have."""
    return BlobMissing(f"there is no blob {digest.hex()} of object {object_id.hex()}")


def _damaged(digest: bytes) -> BlobDamaged:
    return BlobDamaged(f"the blob {digest.hex()} does not have the content that its name promises")


def check_address(object_id: bytes, digest: bytes) -> None:
    _check_id("object id", object_id)
    _check_id("hash", digest)


def _check_id(what: str, value: bytes) -> None:
    if not isinstance(value, bytes):
        raise TypeError(f"{what}: bytes are needed, not {type(value).__name__}")
    if len(value) != 32:
        raise ValueError(f"{what}: 32 bytes are needed, not {len(value)}")
