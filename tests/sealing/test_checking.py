"""Checking ciphertext without keys: which parts are damaged, and which are not."""

from __future__ import annotations

import hashlib
import tracemalloc

import pytest
from attrs import evolve
from sealing.world import ALONE, bind, flips, seal

from medchain import sealing
from medchain.errors import BlobDamaged
from medchain.sealing import Header, Part, Sealed, check_payload

MIB = 1 << 20


@pytest.fixture
def sealed() -> Sealed:
    return seal([Part(b"alpha"), Part(b""), Part(b"gamma" * 100)], ALONE)


@pytest.fixture(scope="module")
def large() -> Sealed:
    """Parts of several windows, and one that begins in the middle of what is read ahead."""
    return seal([Part(bytes(9 * MIB + 5)), Part(b"small"), Part(b"x" * (2 * MIB))], ALONE)


def reading(payload: bytes):  # type: ignore[no-untyped-def]
    """As a blob store reads: what lies behind the end is damage."""

    def read(offset: int, length: int) -> bytes:
        if offset + length > len(payload):
            raise BlobDamaged("it ends before that")
        return payload[offset : offset + length]

    return read


def span(header: Header, part: int) -> tuple[int, int]:
    return header.offsets[part], header.offsets[part + 1]


@pytest.mark.parametrize("size", ["sealed", "large"])
def test_what_was_sealed_is_found_whole(size: str, request: pytest.FixtureRequest) -> None:
    whole: Sealed = request.getfixturevalue(size)
    payload = bytes(whole.payload)
    read = 0

    def progress(count: int) -> None:
        nonlocal read
        read += count

    found = check_payload(whole.header.header, reading(payload), progress)
    assert found.digest == hashlib.sha256(payload).digest()
    assert found.damaged == ()
    assert read == len(payload)


def test_every_altered_byte_is_a_damage_of_its_own_part(sealed: Sealed) -> None:
    header = sealed.header.header
    for at, altered in enumerate(flips(bytes(sealed.payload))):
        found = check_payload(header, reading(altered))
        (part,) = found.damaged
        begin, end = span(header, part)
        assert begin <= at < end
        assert found.digest == hashlib.sha256(altered).digest()


@pytest.mark.parametrize("part", [0, 1, 2, 3])
def test_a_part_of_many_windows_is_damaged_alone(large: Sealed, part: int) -> None:
    header = large.header.header
    begin, end = span(header, part)
    for at in {begin, (begin + end) // 2, end - 1}:
        altered = bytearray(large.payload)
        altered[at] ^= 0x80
        assert check_payload(header, reading(bytes(altered))).damaged == (part,)


@pytest.mark.parametrize("kept", [0, 1, 100, 5 * MIB, 10 * MIB])
def test_what_is_cut_off_is_damaged_and_what_is_left_is_not(large: Sealed, kept: int) -> None:
    header = large.header.header
    found = check_payload(header, reading(bytes(large.payload)[:kept]))
    assert found.digest is None
    assert found.damaged == tuple(part for part in range(4) if span(header, part)[1] > kept)


def test_a_place_that_cannot_be_read_damages_only_its_part(large: Sealed) -> None:
    header, payload = large.header.header, bytes(large.payload)
    begin, _ = span(header, 2)

    def read(offset: int, length: int) -> bytes:
        if offset <= begin < offset + length:
            raise BlobDamaged("input/output error")
        return payload[offset : offset + length]

    found = check_payload(header, read)
    assert (found.digest, found.damaged) == (None, (2,))


def test_roots_that_do_not_fit_are_found_although_the_hash_does(sealed: Sealed) -> None:
    header = sealed.header.header
    parts = (header.parts[0], evolve(header.parts[1], root=bytes(32)), *header.parts[2:])
    found = check_payload(evolve(header, parts=parts), reading(bytes(sealed.payload)))
    assert found.digest == hashlib.sha256(bytes(sealed.payload)).digest()
    assert found.damaged == (1,)


def test_segments_in_another_order_are_damage(large: Sealed) -> None:
    step = (1 << 16) + 16
    payload = bytearray(large.payload)
    begin, _ = span(large.header.header, 1)
    first, second = slice(begin, begin + step), slice(begin + step, begin + 2 * step)
    payload[first], payload[second] = payload[second], payload[first]
    assert check_payload(large.header.header, reading(bytes(payload))).damaged == (1,)


def test_memory_does_not_grow_with_the_payload() -> None:
    def write(object_id: bytes, chunks: object) -> None:
        for _ in chunks:  # type: ignore[attr-defined]
            pass

    part = Part(bytes(MIB) for _ in range(64))
    header = sealing.seal_to([part], bind(ALONE), context=b"x", write=write).header
    tracemalloc.start()
    try:
        found = check_payload(header, lambda offset, length: bytes(length))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.damaged == (0, 1)
    assert peak < 16 * MIB
