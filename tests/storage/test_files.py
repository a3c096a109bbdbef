"""FileBlobs: what lies on the disk, what crashes leave, what strangers put there."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from medchain.errors import BlobDamaged, BlobMissing, NewerFormat, NotAChain, StorageError, StorageFull
from medchain.storage import FileBlobs

Start = Callable[..., "subprocess.Popen[str]"]
OBJECT = b"\x0b" * 32
PLENTY = 1 << 30


@pytest.fixture
def blobs(path: Path) -> FileBlobs:
    return FileBlobs(path)


def file_of(blobs: FileBlobs, digest: bytes) -> Path:
    return blobs.path / OBJECT.hex() / digest.hex()


def test_a_blob_is_a_file_under_its_names(blobs: FileBlobs) -> None:
    digest = blobs.put(OBJECT, b"content")
    assert file_of(blobs, digest).read_bytes() == b"content"
    assert list((blobs.path / "incoming").iterdir()) == []


def test_large_blobs_need_little_memory(blobs: FileBlobs) -> None:
    chunk = bytes(1 << 16)
    tracemalloc.start()
    try:
        digest = blobs.put(OBJECT, (chunk for _ in range(512)))
        blobs.check(OBJECT, digest)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert blobs.size(OBJECT, digest) == 32 << 20
    assert peak < 4 << 20


def test_every_changed_byte_is_noticed(blobs: FileBlobs) -> None:
    content = bytes(range(64))
    digest = blobs.put(OBJECT, content)
    for position in range(len(content)):
        file_of(blobs, digest).write_bytes(
            content[:position] + bytes([content[position] ^ 255]) + content[position + 1 :]
        )
        with pytest.raises(BlobDamaged):
            blobs.get(OBJECT, digest, limit=PLENTY)
        with pytest.raises(BlobDamaged):
            blobs.check(OBJECT, digest)
    for damaged in (content[:-1], content + b"x", b""):
        file_of(blobs, digest).write_bytes(damaged)
        with pytest.raises(BlobDamaged):
            blobs.get(OBJECT, digest, limit=PLENTY)


def test_putting_a_damaged_blob_again_repairs_it(blobs: FileBlobs) -> None:
    digest = blobs.put(OBJECT, b"content")
    file_of(blobs, digest).write_bytes(b"damaged")
    blobs.put(OBJECT, b"content")
    assert blobs.get(OBJECT, digest, limit=PLENTY) == b"content"


def test_links_and_odd_files_are_never_followed(blobs: FileBlobs, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    digest = hashlib.sha256(b"secret").digest()
    blobs.put(OBJECT, b"other")
    places: list[Callable[[Path], object]] = [
        lambda place: place.symlink_to(secret),
        lambda place: place.mkdir(),
        lambda place: os.mkfifo(place),
    ]
    for make in places:
        place = file_of(blobs, digest)
        make(place)
        with pytest.raises(BlobDamaged):
            blobs.get(OBJECT, digest, limit=PLENTY)
        place.rmdir() if place.is_dir() and not place.is_symlink() else place.unlink()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (blobs.path / bytes(32).hex()).symlink_to(elsewhere)
    for attempt in (
        lambda: blobs.put(bytes(32), b"secret"),
        lambda: blobs.get(bytes(32), digest, limit=PLENTY),
        lambda: blobs.erase(bytes(32)),
    ):
        with pytest.raises(StorageError):
            attempt()
    assert list(elsewhere.iterdir()) == []


def test_names_that_are_none_of_ours_are_overlooked(blobs: FileBlobs) -> None:
    digest = blobs.put(OBJECT, b"content")
    for name in ("notes.txt", digest.hex().upper(), digest.hex()[:-2], ".DS_Store"):
        (blobs.path / OBJECT.hex() / name).write_bytes(b"")
        (blobs.path / name).write_bytes(b"")
    assert blobs.list(OBJECT) == [digest]
    assert list(blobs.objects()) == [OBJECT]
    assert blobs.erase(OBJECT) == 1


def test_what_a_killed_writer_left_is_removed_and_what_another_writes_is_not(
    path: Path, start: Start
) -> None:
    script = """
blobs = FileBlobs(path)
def source():
    yield b'begun'
    say('writing'); hear()
    yield b'ended'
say(blobs.put(bytes(32), source()).hex()); hear()
"""
    FileBlobs(path)
    killed, living = start(script, path), start(script, path)
    for process in (killed, living):
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
    assert len(list((path / "incoming").iterdir())) == 2
    killed.kill()
    killed.wait()
    blobs = FileBlobs(path)
    assert len(list((path / "incoming").iterdir())) == 1
    assert living.stdin is not None
    assert living.stdout is not None
    living.stdin.write("\n")
    living.stdin.flush()
    digest = bytes.fromhex(living.stdout.readline())
    assert blobs.get(bytes(32), digest, limit=PLENTY) == b"begunended"


def test_an_erasure_that_was_interrupted_is_finished(path: Path) -> None:
    blobs = FileBlobs(path)
    digest = blobs.put(OBJECT, b"content")
    (path / "erasing" / OBJECT.hex()).touch()  # as far as a crash right after the first step gets
    with pytest.raises(BlobMissing):
        blobs.get(OBJECT, digest, limit=PLENTY)
    again = FileBlobs(path)
    assert not file_of(again, digest).exists()
    assert list(again.tombstones()) == [OBJECT]


@pytest.fixture
def one_megabyte(tmp_path: Path) -> Iterator[None]:
    resource = pytest.importorskip("resource")
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, old[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, old)


@pytest.mark.usefixtures("one_megabyte")
def test_a_full_disk_leaves_nothing_behind(blobs: FileBlobs) -> None:
    with pytest.raises(StorageFull):
        blobs.put(OBJECT, (bytes(100_000) for _ in range(20)))
    assert list((blobs.path / "incoming").iterdir()) == []
    blobs.put(OBJECT, b"smaller")


def test_a_store_whose_folder_has_gone_fails_and_does_not_come_back_empty(blobs: FileBlobs) -> None:
    digest = blobs.put(OBJECT, b"content")
    shutil.rmtree(blobs.path)
    for attempt in (
        lambda: blobs.get(OBJECT, digest, limit=PLENTY),
        lambda: blobs.put(OBJECT, b"more"),
        lambda: blobs.erase(OBJECT),
        lambda: blobs.list(OBJECT),
        lambda: list(blobs.objects()),
        lambda: list(blobs.tombstones()),
    ):
        with pytest.raises(StorageError) as caught:
            attempt()
        assert not isinstance(caught.value, BlobMissing)
    assert not blobs.path.exists()


def test_a_folder_with_other_things_is_left_alone(path: Path) -> None:
    path.mkdir()
    (path / "holiday.jpg").write_bytes(b"photo")
    with pytest.raises(NotAChain):
        FileBlobs(path)
    assert [entry.name for entry in path.iterdir()] == ["holiday.jpg"]


def test_formats_of_others_and_of_the_future_are_told_apart(path: Path) -> None:
    FileBlobs(path)
    (path / "format").write_bytes(b"medchain-blobs 2\n")
    with pytest.raises(NewerFormat):
        FileBlobs(path)
    (path / "format").write_bytes(b"something else\n")
    with pytest.raises(NotAChain):
        FileBlobs(path)


def test_a_store_that_has_lost_its_marker_is_taken_up_again(path: Path) -> None:
    blobs = FileBlobs(path)
    digest = blobs.put(OBJECT, b"content")
    blobs.erase(bytes(32))
    (path / "format").unlink()
    with pytest.raises(StorageError, match="has gone"):
        blobs.put(OBJECT, b"more")
    again = FileBlobs(path)
    assert again.get(OBJECT, digest, limit=PLENTY) == b"content"
    assert again.erased(bytes(32))


def test_a_start_that_was_interrupted_is_taken_up_again(path: Path) -> None:
    FileBlobs(path)
    (path / "format").unlink()
    FileBlobs(path).put(OBJECT, b"content")


class TestReadOnly:
    def test_it_reads_and_changes_nothing(self, path: Path) -> None:
        with_blob = FileBlobs(path)
        digest = with_blob.put(OBJECT, b"data")
        (path / "erasing" / bytes([9] * 32).hex()).touch()
        (path / "incoming" / ".tmp-left").touch()
        before = sorted(path.rglob("*"))
        store = FileBlobs(path, read_only=True)
        assert store.get(OBJECT, digest, limit=10) == b"data"
        assert store.erased(bytes([9] * 32))
        assert list(store.objects()) == [OBJECT]
        for write in (lambda: store.put(OBJECT, b"more"), lambda: store.erase(OBJECT)):
            with pytest.raises(ValueError, match="reading only"):
                write()
        assert sorted(path.rglob("*")) == before

    def test_it_creates_nothing(self, path: Path) -> None:
        store = FileBlobs(path, read_only=True)
        with pytest.raises(StorageError, match="no blob store"):
            store.size(OBJECT, bytes(32))
        assert not path.exists()

    def test_another_format_is_refused_when_it_is_read(self, path: Path) -> None:
        FileBlobs(path)
        (path / "format").write_bytes(b"medchain-blobs 2\n")
        with pytest.raises(NewerFormat):
            FileBlobs(path, read_only=True).size(OBJECT, bytes(32))


def test_a_store_is_made_only_where_that_is_wanted(path: Path) -> None:
    with pytest.raises(NotAChain, match="is its disk mounted"):
        FileBlobs(path, create=False)
    assert not path.exists()
    FileBlobs(path)
    FileBlobs(path, create=False).put(OBJECT, b"content")


def test_what_lies_under_an_erased_id_is_told_and_removed_by_erasing_again(blobs: FileBlobs) -> None:
    blobs.erase(OBJECT)
    assert list(blobs.remains()) == []
    place = blobs.path / OBJECT.hex() / bytes(32).hex()
    place.parent.mkdir()
    place.write_bytes(b"came back")
    assert list(blobs.remains()) == [OBJECT]
    assert list(blobs.objects()) == []
    assert blobs.list(OBJECT) == []
    with pytest.raises(BlobMissing):
        blobs.size(OBJECT, bytes(32))
    assert blobs.erase(OBJECT) == 1
    assert list(blobs.remains()) == []
    assert not place.exists()


def test_links_and_files_in_the_place_of_an_object_do_not_hide_the_others(blobs: FileBlobs) -> None:
    blobs.put(OBJECT, b"content")
    (blobs.path / bytes(32).hex()).symlink_to(blobs.path / OBJECT.hex())
    (blobs.path / (b"\x01" * 32).hex()).write_bytes(b"a file")
    assert list(blobs.objects()) == [OBJECT]
    assert blobs.list(b"\x01" * 32) == []
