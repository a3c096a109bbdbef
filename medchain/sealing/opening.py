"""Reading what part keys open: parts as streams, ranges of them, and their labels from the manifest."""

from __future__ import annotations

from collections.abc import Iterator

from medchain.encoding import decode
from medchain.errors import EncodingError, SealingError
from medchain.sealing.documents import Header, PartInfo, SealedHeader
from medchain.sealing.schedule import PartKeys
from medchain.sealing.segments import Read, Repair, open_part, open_range

__all__ = ["OpenedPart", "Read", "Repair", "open_segments"]

_MANIFEST_LIMIT = 32 << 20


class OpenedPart:
    """One part that can be read: iterate over it for pieces of up to 64 KiB, as often as you like.

    Each piece is authentic when it comes; only when the iteration ends without an error is it certain that all of it
    is what was sealed. The repr never shows content.
    """

    __slots__ = ("_header", "_key", "_read", "_repair", "index", "label")

    index: int
    """Its number in the object, from 1."""
    label: str
    """What the manifest calls it."""

    def __init__(
        self, header: Header, index: int, label: str, key: bytes, read: Read, repair: Repair | None
    ) -> None:
        self._header, self._key, self._read, self._repair = header, key, read, repair
        self.index, self.label = index, label

    @property
    def _info(self) -> PartInfo:
        return self._header.parts[self.index]

    @property
    def media_type(self) -> str:
        """What it is."""
        return self._info.media_type

    @property
    def length(self) -> int:
        """Bytes of plaintext."""
        return self._info.length

    @property
    def data(self) -> bytes:
        """The whole of it, read and checked anew each time.

        Raises:
            SealingError: the ciphertext is altered.
            RootMismatch: the ciphertext is not that of the header.
        """
        return b"".join(self)

    def __iter__(self) -> Iterator[bytes]:
        return open_part(self._header, self.index, self._key, self._read, self._repair)

    def read(self, start: int, stop: int) -> bytes:
        """Bytes `start` to `stop`, decrypting only the segments that hold them.

        They are authentic; the root over all segments is not checked. SealingError if a segment is altered.
        """
        return b"".join(
            open_range(self._header, self.index, self._key, self._read, start, stop, self._repair)
        )

    def __repr__(self) -> str:
        return f"<OpenedPart {self.index}: {self.length} bytes of {self.media_type}>"


def open_segments(
    bundle: SealedHeader, part_keys: PartKeys, read: Read, *, repair: Repair | None = None
) -> Iterator[OpenedPart]:
    """The parts that the keys open, in order, the manifest left out. Memory does not grow with their size.

    Args:
        bundle: whose header it is.
        part_keys: of the manifest and of the parts to open.
        read: gives the ciphertext.
        repair: called when a piece does not open, before it is read once more: one copy of several may have rotted.

    Raises:
        SealingError: the keys are of another object, or the manifest is not that of this header.
        RootMismatch: the ciphertext of the manifest is not that of the header.
    """
    header = bundle.header
    if part_keys.object_id != header.object:
        raise SealingError("the keys are those of another object")
    if 0 not in part_keys:
        raise SealingError("the key of the manifest is missing")
    labels = _labels(header, b"".join(open_part(header, 0, part_keys[0], read, repair)))
    for index in sorted(part_keys):
        if index:
            yield OpenedPart(header, index, labels[index - 1], part_keys[index], read, repair)


def _labels(header: Header, manifest: bytes) -> list[str]:
    try:
        labels = decode(manifest, limit=_MANIFEST_LIMIT)
    except EncodingError as error:
        raise SealingError(f"the manifest is malformed: {error}") from None
    if not isinstance(labels, list) or len(labels) != len(header.parts) - 1:
        raise SealingError("the manifest does not list the parts of the header")
    if not all(isinstance(label, str) for label in labels):
        raise SealingError("the manifest does not name the parts by text")
    return [str(label) for label in labels]
