"""The ciphertext of a part: STREAM over segments of 64 KiB (Hoang, Reyhanitabar, Rogaway, Vizár 2015).

Each segment is AES-256-GCM under the part's key, with nonce = 11-byte counter ‖ last flag and the hash of the
part header as associated data. So no segment can be cut off, added, doubled, or moved. Work goes by windows of
8 segments: one buffer, kept for all windows since fresh memory costs more than the cipher, and one call to hash it.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from attrs import frozen
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from medchain._native import piece_hashes
from medchain.errors import RootMismatch, SealingError
from medchain.merkle import CompactRange
from medchain.sealing.documents import TAG, Header
from medchain.sealing.schedule import SEGMENT, extract, segment_keys

__all__ = [
    "STEP",
    "Read",
    "Repair",
    "Sealing",
    "append_segments",
    "check_key",
    "ciphertext_root",
    "open_part",
    "open_range",
    "seal_part",
]

Read: TypeAlias = Callable[[int, int], bytes | memoryview]
"""Gives (offset, length) of the ciphertext. It need not check anything."""

Repair: TypeAlias = Callable[[], object]
"""Called when what was read does not open, before it is read once more."""

_WINDOW = 8
STEP = SEGMENT + TAG
"""Bytes of ciphertext in a full segment."""


@frozen(slots=True)
class Sealing:
    """What is known of a part when its last segment has been sealed."""

    length: int
    segments: int
    root: bytes


def seal_part(key: bytes, associated: bytes, data: bytes | Iterable[bytes]) -> Iterator[bytes | Sealing]:
    """The ciphertext of a part in pieces of up to 512 KiB, and last of all what it amounts to."""
    cipher, log, length = AESGCM(key), CompactRange(), 0
    buffer = bytearray()
    for window, last in _windows(data):
        counter, end = log.size, 0
        if not buffer:
            buffer = bytearray(len(window) + TAG * max(1, -(-len(window) // SEGMENT)))
        for start in range(0, len(window) or 1, SEGMENT):
            segment = window[start : start + SEGMENT]
            final = last and start + SEGMENT >= len(window)
            size = len(segment) + TAG
            cipher.encrypt_into(
                _nonce(counter, final), segment, associated, memoryview(buffer)[end : end + size]
            )
            counter, end = counter + 1, end + size
        append_segments(log, memoryview(buffer)[:end])
        length += len(window)
        yield bytes(memoryview(buffer)[:end])
    yield Sealing(length, log.size, log.root)


def check_key(header: Header, index: int, part_key: bytes) -> bytes:
    """The AES key of a part, if the part key is the one that the header commits to.

    Raises:
        SealingError: it is not. AES-GCM alone would not tell: a ciphertext can be made that opens under two keys.
    """
    key, commitment = segment_keys(extract(header.object, part_key), header.part_hash(index))
    if not hmac.compare_digest(commitment, header.parts[index].commitment):
        raise SealingError(f"part {index}: the key is not the one that the header commits to")
    return key


def ciphertext_root(data: bytes) -> bytes:
    """The root over the segments of a part's ciphertext, as the header has it: whole and unaltered without any key."""
    log = CompactRange()
    append_segments(log, data)
    return log.root


def open_part(
    header: Header, index: int, part_key: bytes, read: Read, repair: Repair | None = None
) -> Iterator[bytes]:
    """The plaintext of a part, segment by segment.

    Every segment is authentic when it comes; that it is the ciphertext of this header, and not another one
    that somebody with the part key made, is certain when the iteration has ended without an error.

    Raises:
        SealingError: the key or a segment is wrong.
        RootMismatch: all segments open, but they are not those that the header names.
    """
    part, log = header.parts[index], CompactRange()
    yield from _open(header, index, part_key, read, range(part.segments), log, repair)
    if log.root != part.root:
        raise RootMismatch(f"part {index}: ciphertext", expected=part.root, computed=log.root)


def open_range(
    header: Header,
    index: int,
    part_key: bytes,
    read: Read,
    start: int,
    stop: int,
    repair: Repair | None = None,
) -> Iterator[bytes]:
    """Bytes `start` to `stop` of a part, in pieces. Each is authentic; the header's root is not checked."""
    start, stop, _ = slice(start, stop).indices(header.parts[index].length)
    if start >= stop:
        check_key(header, index, part_key)
        return
    segments = range(start // SEGMENT, -(-stop // SEGMENT))
    at = segments.start * SEGMENT
    for plain in _open(header, index, part_key, read, segments, None, repair):
        yield plain[max(0, start - at) : stop - at]
        at += len(plain)


def _open(
    header: Header,
    index: int,
    part_key: bytes,
    read: Read,
    segments: range,
    log: CompactRange | None,
    repair: Repair | None,
) -> Iterator[bytes]:
    """The plaintext of some segments; the hashes of their ciphertext are appended to `log`."""
    part, offset = header.parts[index], header.offsets[index]
    cipher, associated = AESGCM(check_key(header, index, part_key)), header.part_hash(index)

    def opened(window: memoryview, first: int, size: int) -> list[bytes]:
        """The plaintext of a window; SealingError if it is not what was sealed there."""
        if len(window) != size:
            raise SealingError(f"part {index}: the ciphertext is cut short")
        plain = []
        for number, at in enumerate(range(0, size, STEP), start=first):
            nonce = _nonce(number, number == part.segments - 1)
            try:
                plain.append(cipher.decrypt(nonce, window[at : at + STEP], associated))
            except InvalidTag:
                message = f"part {index}: segment {number} is altered, moved or of another part"
                raise SealingError(message) from None
        return plain

    for first in segments[::_WINDOW]:
        size = min(min(_WINDOW, segments.stop - first) * STEP, part.size - first * STEP)
        window = memoryview(read(offset + first * STEP, size))
        try:
            plain = opened(window, first, size)
        except SealingError:
            if repair is None:
                raise
            repair()
            window = memoryview(read(offset + first * STEP, size))
            plain = opened(window, first, size)
        if log is not None:
            append_segments(log, window)
        yield from plain


def _nonce(counter: int, last: bool) -> bytes:
    return counter.to_bytes(11, "big") + (b"\x01" if last else b"\x00")


def append_segments(log: CompactRange, ciphertext: bytes | memoryview) -> None:
    """Append the hashes of whole segments of ciphertext, the last of which may be shorter, to a part's log."""
    hashes = piece_hashes(ciphertext, STEP)
    for at in range(0, len(hashes), 32):
        log.append(hashes[at : at + 32])


def _windows(data: bytes | Iterable[bytes]) -> Iterator[tuple[memoryview, bool]]:
    """`data` in windows of whole segments and at last what remains, with whether it is the last one.

    Nothing at all gives one empty last window. A window is kept back until there is something behind it, for the
    last segment is sealed as such.
    """
    size = _WINDOW * SEGMENT
    if isinstance(data, bytes | bytearray | memoryview):
        view = memoryview(data).cast("B")
        for at in range(0, len(view) or 1, size):
            yield view[at : at + size], at + size >= len(view)
        return
    kept = bytearray()
    for chunk in data:
        view = memoryview(chunk).cast("B")
        while len(kept) + len(view) > size:
            room = size - len(kept)
            kept += view[:room]
            view = view[room:]
            yield memoryview(bytes(kept)), False
            kept.clear()
        kept += view
    yield memoryview(bytes(kept)), True
