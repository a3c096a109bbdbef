"""An upload that is fed piece by piece, where obstore wants to fetch the pieces itself."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import suppress

from medchain.errors import StorageError
from medchain.storage._bucket import Bucket

__all__ = ["Upload"]

_LOOK = 0.1
"""Seconds after which a sender that waits for room looks whether the upload has failed."""


class Upload:
    """One large object on its way. A thread of its own sends the pieces; the store sees the object whole or never."""

    def __init__(self, bucket: Bucket, key: str, part_size: int) -> None:
        self._pieces: queue.Queue[bytes | StorageError | None] = queue.Queue(maxsize=1)
        self._error: BaseException | None = None
        self._thread = threading.Thread(
            target=self._run, args=(bucket, key, part_size), name="medchain-upload", daemon=True
        )
        self._thread.start()

    def _run(self, bucket: Bucket, key: str, part_size: int) -> None:
        try:
            bucket.upload(key, self._source(), part_size)
        except BaseException as error:
            self._error = error

    def _source(self) -> Iterator[bytes]:
        while (piece := self._pieces.get()) is not None:
            if isinstance(piece, StorageError):
                raise piece
            yield piece

    def send(self, piece: bytes | StorageError | None) -> None:
        """Hand on the next piece, as soon as there is room. Raises what the upload has failed with."""
        while self._thread.is_alive():
            with suppress(queue.Full):
                self._pieces.put(piece, timeout=_LOOK)
                return
        raise self._error or StorageError("the upload has ended already")

    def finish(self, last: bytes) -> None:
        """Hand on the last piece and wait until the object is stored."""
        self.send(last)
        self.send(None)
        self._thread.join()
        if self._error is not None:
            raise self._error

    def abort(self) -> None:
        """Give the upload up; nothing of it stays. Never raises."""
        with suppress(Exception):
            self.send(StorageError("the upload was given up"))
        self._thread.join()
