"""Checking ciphertext without any key: against its own hash, and part by part against the roots in the header."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from attrs import field, frozen

from medchain.errors import BlobDamaged
from medchain.merkle import CompactRange
from medchain.records import short
from medchain.sealing.documents import Header
from medchain.sealing.segments import STEP, Read, append_segments

__all__ = ["PayloadCheck", "check_payload"]

_WINDOW = 16 * STEP
_AHEAD = 64 * STEP
"""Bytes fetched at once: one request of four megabytes for many small parts."""


@frozen
class PayloadCheck:
    """What the ciphertext of an object is found to be.

    Attributes:
        digest: SHA-256 of all of it, None if some of it cannot be read.
        damaged: the parts whose segments do not have the root that the header names (RFC 9162, section 2.1.1), the
            manifest being part 0. The others open as they were sealed.
    """

    digest: bytes | None = field(repr=short)
    damaged: tuple[int, ...]


def check_payload(
    header: Header, read: Read, progress: Callable[[int], object] | None = None
) -> PayloadCheck:
    """Read the ciphertext of all parts and compare every root; memory does not grow with it.

    Args:
        header: of the object, itself checked.
        read: gives (offset, length) of the ciphertext; BlobDamaged where it cannot.
        progress: called with the bytes that were read since it was called last.

    Raises:
        StorageError: other than BlobDamaged, from `read`.
    """
    ahead = _Ahead(read, header.offsets[-1])
    whole, readable, damaged = hashlib.sha256(), True, []
    for index, part in enumerate(header.parts):
        log, begin, end = CompactRange(), header.offsets[index], header.offsets[index + 1]
        try:
            for offset in range(begin, end, _WINDOW):
                window = ahead.read(offset, min(_WINDOW, end - offset))
                whole.update(window)
                append_segments(log, window)
                if progress is not None:
                    progress(len(window))
        except BlobDamaged:
            readable = False
            damaged.append(index)
            continue
        if log.root != part.root:
            damaged.append(index)
    return PayloadCheck(whole.digest() if readable else None, tuple(damaged))


class _Ahead:
    """Reads further than it is asked to, unless there is damage there, which then concerns only who asks for it."""

    def __init__(self, read: Read, end: int) -> None:
        self._read = read
        self._end = end
        self._begin = 0
        self._kept = memoryview(b"")

    def read(self, offset: int, length: int) -> memoryview:
        at = offset - self._begin
        if not 0 <= at <= at + length <= len(self._kept):
            self._kept = self._fetch(offset, length)
            self._begin, at = offset, 0
        return self._kept[at : at + length]

    def _fetch(self, offset: int, length: int) -> memoryview:
        more = min(_AHEAD, self._end - offset)
        if more > length:
            try:
                return memoryview(self._read(offset, more))
            except BlobDamaged:
                pass
        return memoryview(self._read(offset, length))
