"""A blob store that is opened when it is needed, so that a program starts although one of its stores is away."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from medchain.storage.blobs import BlobStore, BlobWriter

__all__ = ["LateBlobs"]


class LateBlobs(BlobStore):
    """The `BlobStore` that `opening` gives: opened at its first use, and tried again at each use until that works.

    Until then every operation raises the StorageError that opening raises. `name` is what it is called until
    then, like a path.
    """

    def __init__(self, opening: Callable[[], BlobStore], name: str = "") -> None:
        self._opening = opening
        self._name = name
        self._lock = threading.Lock()
        self._opened: BlobStore | None = None

    @property
    def store(self) -> BlobStore:
        """The store itself, opened now if need be. Raises what opening raises."""
        with self._lock:
            if self._opened is None:
                self._opened = self._opening()
            return self._opened

    @property
    def read_only(self) -> bool:
        """Whether the store is open for reading only; False until it is opened."""
        return self._opened is not None and self._opened.read_only

    def _writer(self, object_id: bytes) -> BlobWriter:
        self.store._refuse_if_read_only()
        return self.store._writer(object_id)

    def _read(self, object_id: bytes, digest: bytes, offset: int, length: int) -> bytes:
        return self.store._read(object_id, digest, offset, length)

    def _fetch(self, object_id: bytes, digest: bytes, limit: int) -> bytes | None:
        return self.store._fetch(object_id, digest, limit)

    def _size(self, object_id: bytes, digest: bytes) -> int:
        return self.store._size(object_id, digest)

    def _list(self, object_id: bytes) -> Iterable[bytes]:
        return self.store._list(object_id)

    def _objects(self) -> Iterable[bytes]:
        return self.store._objects()

    def _erase(self, object_id: bytes) -> int:
        self.store._refuse_if_read_only()
        return self.store._erase(object_id)

    def _erased(self, object_id: bytes) -> bool:
        return self.store._erased(object_id)

    def _tombstones(self) -> Iterable[bytes]:
        return self.store._tombstones()

    def _remains(self) -> Iterable[bytes]:
        return self.store._remains()

    def __repr__(self) -> str:
        return repr(self._opened) if self._opened is not None else f"<LateBlobs: {self._name or 'not open'}>"
