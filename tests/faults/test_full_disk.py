"""A disk that is full, or must not be written: the commit fails with a named error, and nothing else does."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import postgres
import pytest
from processes import Forked, mount_disk, put, unmount_disk
from stores import FILES, Place

from medchain.errors import StorageFull
from medchain.storage import Batch, PostgresStore, Store


def fill(store: Store) -> None:
    for number in range(1_000):
        put(store, **{f"{number:03}": bytes([number % 256]) * 50_000})


def check_what_is_left(store: Store) -> int:
    """All that was committed is there; gives how much that is."""
    pairs = list(store.scan())
    assert pairs == [(b"%03d" % number, bytes([number % 256]) * 50_000) for number in range(len(pairs))]
    assert len(pairs) > 5
    return len(pairs)


@pytest.mark.parametrize("kind", FILES)
def test_a_full_disk_fails_the_commit_and_nothing_else(small_disk: Path, kind: str) -> None:
    place = Place(kind, small_disk / "store")
    (small_disk / "ballast").write_bytes(bytes(500_000))
    with place.open() as store:
        with pytest.raises(StorageFull):
            fill(store)
        count = check_what_is_left(store)
        with pytest.raises(StorageFull):
            put(store, large=bytes(4_000_000))
        assert check_what_is_left(store) == count
    (small_disk / "ballast").unlink()
    with place.open() as store:
        assert check_what_is_left(store) == count
        batch = Batch()
        batch.delete_range(b"", b"005")
        store.commit(batch)
        put(store, again="there is room again")
    with place.open(read_only=True) as store:
        assert len(list(store.scan())) == count - 5 + 1


@pytest.mark.parametrize("kind", FILES)
def test_creating_on_a_full_disk_leaves_nothing_behind(small_disk: Path, kind: str) -> None:
    with (small_disk / "ballast").open("wb") as ballast:
        while ballast.write(bytes(4096)) and os.statvfs(small_disk).f_bavail > 1:
            ballast.flush()
    with pytest.raises(StorageFull):
        Place(kind, small_disk / "store").open()
    assert [entry.name for entry in small_disk.iterdir()] == ["ballast"]
    (small_disk / "ballast").unlink()
    Place(kind, small_disk / "store").open().close()


@pytest.fixture
def full_server() -> Iterator[postgres.Server]:
    """A server whose tables have little room; its log of writes lies elsewhere, or it would end itself."""
    postgres.require()
    log = Path(tempfile.mkdtemp(prefix="pg-wal-"))
    disk = mount_disk("60m", "mode=0755")
    server = postgres.Server(disk)
    try:
        server.own(log)
        server.initialise("-X", str(log / "wal"))
        server.start()
        yield server
    finally:
        server.kill()
        unmount_disk(disk)
        shutil.rmtree(log)


def test_a_server_with_a_full_disk_fails_the_commit_and_nothing_else(full_server: postgres.Server) -> None:
    with PostgresStore(full_server.conninfo, schema="clinic") as store:
        with pytest.raises(StorageFull):
            fill(store)
        count = check_what_is_left(store)
        batch = Batch()
        batch.delete_range(b"", b"005")
        store.commit(batch)
        assert len(list(store.scan())) == count - 5
    with PostgresStore(full_server.conninfo, schema="clinic") as store:
        assert len(list(store.scan())) == count - 5


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("kind", FILES)
def test_a_folder_that_cannot_be_written_is_a_storage_error_until_it_can(kind: str, forked: Forked) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place, other = Place(kind, Path(folder) / "store"), Place(kind, Path(folder) / "other")
        Path(folder).chmod(0o755)
        with place.open() as store:
            put(store, a="1")
        place.path.chmod(0o555)
        for file in place.path.iterdir():
            file.chmod(0o444)
        Path(folder).chmod(0o555)

        def without_rights(attempt: Callable[[], object]) -> Callable[[], object]:
            def run() -> object:
                if os.getuid() == 0:
                    os.setuid(65534)
                return attempt()

            return run

        for attempt in (place.open, lambda: place.open(read_only=True), other.open):
            assert forked(without_rights(attempt)).startswith("medchain.errors.StorageError")
        Path(folder).chmod(0o755)
        place.path.chmod(0o755)
        for file in place.path.iterdir():
            file.chmod(0o644)
        with place.open() as store:
            assert store.get(b"a") == b"1"
            put(store, b="2")
