"""Files and blob stores: memory that does not grow with the payload, and nothing half-written."""

from __future__ import annotations

import errno
import io
import os
import re
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from sealing.world import ALONE, ASKER, CONTEXT, WALLETS, bind

from medchain import sealing
from medchain.errors import EncodingError, SealingError, StorageError, StorageFull
from medchain.sealing import Part, Sealed, SealedHeader, offchain
from medchain.sealing.limits import BUNDLE_LIMIT
from medchain.storage import MemoryBlobs

MIB = 1 << 20


def peak(action: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def seal_zeros(count: int) -> SealedHeader:
    def write(object_id: bytes, chunks: Iterable[bytes]) -> None:
        assert all(chunks)

    part = Part(bytes(MIB) for _ in range(count))
    return sealing.seal_to([part], bind(ALONE), context=CONTEXT, write=write)


def test_sealing_takes_the_same_memory_for_any_payload() -> None:
    seal_zeros(1)
    few, many = peak(lambda: seal_zeros(4)), peak(lambda: seal_zeros(48))
    assert many < few + MIB // 4
    assert many < 8 * MIB


def files(folder: Path, size: int) -> tuple[Path, Path]:
    plain, sealed = folder / f"plain-{size}", folder / f"sealed-{size}"
    plain.write_bytes(bytes(range(251)) * (size // 251) + bytes(size % 251))
    sealing.seal_file(plain, sealed, bind(ALONE), context=CONTEXT, label="scan")
    return plain, sealed


def asked(path: Path):  # type: ignore[no-untyped-def]
    header = sealing.read_header(path)
    ask = sealing.request(header, "own", purpose="PATRQT", context=CONTEXT, by=ASKER)
    return ask, [sealing.approve(header, ask, to=ASKER.party, context=CONTEXT, by=WALLETS["owner"])]


def test_files_open_in_the_same_memory(tmp_path: Path) -> None:
    peaks = []
    for size in (4 * MIB + 1, 32 * MIB):
        plain, sealed = files(tmp_path, size)
        ask, shares = asked(sealed)
        out = tmp_path / "out"
        peaks.append(
            peak(lambda: sealing.open_file(sealed, out, ask, shares, context=CONTEXT, by=ASKER))  # noqa: B023
        )
        assert out.read_bytes() == plain.read_bytes()
    assert peaks[1] < peaks[0] + MIB // 4


@pytest.mark.parametrize("size", [0, 1, 3 * MIB])
def test_a_file_is_a_sealed_object(tmp_path: Path, size: int) -> None:
    plain, path = files(tmp_path, size)
    sealed = Sealed.from_bytes(path.read_bytes())
    ask, shares = asked(path)
    assert sealing.open(sealed, ask, shares, context=CONTEXT, by=ASKER) == plain.read_bytes()
    assert bytes(sealed) == path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600


def test_progress_ends_at_the_whole(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_bytes(bytes(3 * MIB + 5))
    seen: list[tuple[int, int]] = []
    sealing.seal_file(
        plain,
        tmp_path / "s",
        bind(ALONE),
        context=CONTEXT,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1] == (3 * MIB + 5, 3 * MIB + 5)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    ask, shares = asked(tmp_path / "s")
    seen.clear()
    sealing.open_file(
        tmp_path / "s",
        tmp_path / "out",
        ask,
        shares,
        context=CONTEXT,
        by=ASKER,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1] == (3 * MIB + 5, 3 * MIB + 5)


def test_an_altered_file_leaves_nothing_behind(tmp_path: Path) -> None:
    _, path = files(tmp_path, 3 * MIB)
    ask, shares = asked(path)
    data = bytearray(path.read_bytes())
    data[3 * MIB] ^= 1
    path.write_bytes(data)
    out = tmp_path / "out"
    out.write_bytes(b"as it was")
    with pytest.raises(SealingError, match="segment"):
        sealing.open_file(path, out, ask, shares, context=CONTEXT, by=ASKER)
    assert out.read_bytes() == b"as it was"
    assert {each.name for each in tmp_path.iterdir()} == {"out", path.name, f"plain-{3 * MIB}"}


class FullDisk:
    """A file for which the disk has room for so many bytes."""

    def __init__(self, file: BinaryIO, room: int) -> None:
        self.file, self.room = file, room

    def write(self, data: bytes) -> int:
        fits, self.room = data[: self.room], max(0, self.room - len(data))
        self.file.write(fits)
        if len(fits) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return len(fits)

    def __enter__(self) -> FullDisk:
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def fill(patch: pytest.MonkeyPatch, room: int | None) -> None:
    """A disk with room for so many bytes; with None for all of them, until they are to be made durable."""
    fdopen, fsync = os.fdopen, os.fsync

    def full_fdopen(descriptor: int, mode: str) -> Any:
        file = fdopen(descriptor, mode)
        return file if room is None else FullDisk(file, room)

    def full_fsync(descriptor: int) -> None:
        if room is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    patch.setattr(os, "fdopen", full_fdopen)
    patch.setattr(os, "fsync", full_fsync)


@pytest.mark.parametrize("room", [0, 10, 64 * 1024, 2 * MIB, 3 * MIB - 1, None])
def test_a_full_disk_is_told_and_leaves_everything_as_it_was(
    tmp_path: Path, room: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the file that had no room, and no draft of it stays."""
    plain, path = files(tmp_path, 3 * MIB)
    ask, shares = asked(path)
    out = tmp_path / "out"
    out.write_bytes(b"as it was")
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
    calls: list[Callable[[], object]] = [
        lambda: sealing.seal_file(plain, out, bind(ALONE), context=CONTEXT),
        lambda: sealing.open_file(path, out, ask, shares, context=CONTEXT, by=ASKER),
    ]
    for call in calls:
        with monkeypatch.context() as patch:
            fill(patch, room)
            with pytest.raises(StorageFull) as caught:
                call()
        assert str(caught.value) == f"{out}: {os.strerror(errno.ENOSPC)}"
        assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == before
    sealing.open_file(path, out, ask, shares, context=CONTEXT, by=ASKER)
    assert out.read_bytes() == plain.read_bytes()


def test_a_source_that_cannot_be_read_is_the_file_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here a disk that fails after the first MiB, while the target is being written."""
    plain, path = files(tmp_path, 3 * MIB)
    ask, shares = asked(path)
    out = tmp_path / "out"

    class BadDisk:
        def __init__(self, file: BinaryIO) -> None:
            self.file = file

        def read(self, size: int = -1) -> bytes:
            if MIB <= self.file.tell() < 2 * MIB:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return self.file.read(size)

        def __enter__(self) -> BadDisk:
            return self

        def __exit__(self, *error: object) -> None:
            self.file.close()

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

    opened = Path.open
    monkeypatch.setattr(Path, "open", lambda self, *mode: BadDisk(opened(self, *mode)))
    with pytest.raises(StorageError) as sealing_failed:
        sealing.seal_file(plain, out, bind(ALONE), context=CONTEXT)
    with pytest.raises(StorageError) as opening_failed:
        sealing.open_file(path, out, ask, shares, context=CONTEXT, by=ASKER)
    monkeypatch.undo()
    assert str(sealing_failed.value) == f"{plain}: {os.strerror(errno.EIO)}"
    assert str(opening_failed.value) == f"{path}: {os.strerror(errno.EIO)}"
    assert {each.name for each in tmp_path.iterdir()} == {plain.name, path.name}


def test_files_that_are_not_there_or_something_else(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="nowhere"):
        sealing.read_header(tmp_path / "nowhere")
    with pytest.raises(StorageError):
        sealing.seal_file(tmp_path / "nowhere", tmp_path / "out", bind(ALONE), context=CONTEXT)
    (tmp_path / "plain").write_bytes(b"x")
    with pytest.raises(StorageError, match=f"^{re.escape(str(tmp_path / 'no' / 'out'))}: No such file"):
        sealing.seal_file(tmp_path / "plain", tmp_path / "no" / "out", bind(ALONE), context=CONTEXT)
    for data in (b"", b"medchain sealed 1\n", b"something else entirely"):
        (tmp_path / "odd").write_bytes(data)
        with pytest.raises(EncodingError):
            sealing.read_header(tmp_path / "odd")


def test_through_a_blob_store_on_a_chain() -> None:
    """The lower steps as access/ takes them: blobs under the object id, chain id in place of a context."""
    blobs, chain = MemoryBlobs(), bytes(range(32))
    parts = [Part(b"x" * 100_000, label="one"), Part(b"y" * 10, label="two")]
    bundle = sealing.seal_to(parts, bind(ALONE), chain=chain, write=blobs.put)
    for document in bundle.documents():
        blobs.put(bundle.object_id, document)
    bundle = SealedHeader.load(
        bundle.header_hash,
        bundle.dealing_hash,
        lambda hash: blobs.get(bundle.object_id, hash, limit=MIB),
    )
    payload, size = bundle.payload
    assert payload is not None
    assert blobs.size(bundle.object_id, payload) == size
    nonce = bytes(32)
    key = ASKER.request_key(nonce)
    from medchain.sealing.binding import asker_key_hash

    binding = sealing.Binding(
        chain=chain,
        context=None,
        request=bytes(32),
        object=bundle.object_id,
        policy=bundle.policy_hash,
        clause="own",
        parts=(0, 2),
        asker_key=asker_key_hash(key.public),
        purpose="PATRQT",
        expiry=None,
    )
    held = sealing.open_envelope(bundle, "own", WALLETS["owner"])
    share = sealing.reseal(held, binding, None, key.public)
    keys = sealing.collect(bundle, binding, {WALLETS["owner"].party.id: share}, key.decrypt)
    assert sorted(keys) == [0, 2]
    assert "keys" not in repr(keys) or keys[2].hex()[:8] not in repr(keys)

    def read(offset: int, length: int) -> bytes:
        return blobs.read(bundle.object_id, payload, offset, length)

    (opened,) = sealing.open_segments(bundle, keys, read)
    assert (opened.index, opened.label, opened.data) == (2, "two", b"y" * 10)


def test_a_writer_that_stops_early() -> None:
    def write(object_id: bytes, chunks: Iterable[bytes]) -> None:
        next(iter(chunks))

    with pytest.raises(SealingError, match="not written to its end"):
        sealing.seal_to([Part(b"x")], bind(ALONE), write=write)


def test_chunks_of_any_size_make_the_same_segments() -> None:
    data = bytes(range(256)) * 9_000
    for size in (1_000, 65_536, 65_537, MIB, 3 * MIB):

        def chunks(size: int = size) -> Iterator[bytes]:
            for at in range(0, len(data), size):
                yield data[at : at + size]
                yield b""

        sealed = sealing.seal([Part(chunks())], bind(ALONE), context=CONTEXT)
        ask = sealing.request(sealed.header, "own", purpose="PATRQT", context=CONTEXT, by=ASKER)
        shares = [sealing.approve(sealed.header, ask, to=ASKER.party, context=CONTEXT, by=WALLETS["owner"])]
        assert sealing.open(sealed, ask, shares, context=CONTEXT, by=ASKER) == data


def test_a_file_that_is_all_bundle_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The length at its end was believed once, up to the size of the file."""
    path = tmp_path / "sealed"
    length = MIB << 10
    with path.open("wb") as file:
        file.write(offchain.MAGIC)
        file.truncate(len(offchain.MAGIC) + length)
        file.seek(0, io.SEEK_END)
        file.write(length.to_bytes(8, "big"))

    def read() -> None:
        with pytest.raises(EncodingError, match=f"at most {BUNDLE_LIMIT} bytes, not {length}"):
            sealing.read_header(path)

    assert peak(read) < MIB
    monkeypatch.setattr(offchain, "BUNDLE_LIMIT", 100)
    _, good = files(tmp_path, 1)
    with pytest.raises(EncodingError, match="at most 100 bytes"):
        Sealed.from_bytes(good.read_bytes())
