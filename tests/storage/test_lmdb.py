"""LmdbStore: one writer, many readers, forks, growth, full disks, damage, crashes."""

from __future__ import annotations

import gc
import os
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import lmdb
import pytest

from medchain.errors import Locked, NewerFormat, NotAChain, StorageError, StorageFull
from medchain.storage import Batch, LmdbStore, Store

Start = Callable[..., "subprocess.Popen[str]"]
Forked = Callable[[Callable[[], object]], str]


def put(store: Store, **pairs: str | bytes) -> None:
    batch = Batch()
    for key, value in pairs.items():
        batch.put(key.encode(), value if isinstance(value, bytes) else value.encode())
    store.commit(batch)


def hear(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str], word: str = "go") -> None:
    assert process.stdin is not None
    process.stdin.write(word + "\n")
    process.stdin.flush()


class TestOneWriter:
    def test_a_second_writer_in_the_process_is_refused_by_name(self, path: Path) -> None:
        with LmdbStore(path) as store:
            with pytest.raises(Locked, match=f"process {os.getpid()}"):
                LmdbStore(path)
            put(store, still="works")
        LmdbStore(path).close()

    def test_a_second_writing_process_is_refused_by_name(self, path: Path, start: Start) -> None:
        other = start(
            "store = LmdbStore(path); say('open'); hear(); store.close(); say('closed'); hear()", path
        )
        assert hear(other) == "open"
        with pytest.raises(Locked, match=f"process {other.pid}"):
            LmdbStore(path)
        tell(other)
        assert hear(other) == "closed"
        LmdbStore(path).close()

    def test_the_lock_ends_with_a_killed_writer(self, path: Path, start: Start) -> None:
        other = start("store = LmdbStore(path); put(store, a='1'); say('open'); hear()", path)
        assert hear(other) == "open"
        other.kill()
        other.wait()
        with LmdbStore(path) as store:
            assert store.get(b"a") == b"1"

    def test_of_many_that_create_at_once_one_writes(self, path: Path, start: Start) -> None:
        script = """
        hear()
        try:
            store = LmdbStore(path); say('writes'); hear()
        except Locked:
            say('locked')
        """
        others = [
            start("\n".join(line.removeprefix(" " * 8) for line in script.splitlines()), path)
            for _ in range(4)
        ]
        for other in others:
            tell(other)
        assert sorted(hear(other) for other in others) == ["locked", "locked", "locked", "writes"]
        assert [entry.name for entry in path.parent.iterdir()] == ["store"]

    def test_a_failed_opening_leaves_no_lock(self, path: Path) -> None:
        LmdbStore(path).close()
        data = (path / "data.mdb").read_bytes()
        (path / "data.mdb").write_bytes(bytes(len(data)))
        with pytest.raises(StorageError):
            LmdbStore(path)
        (path / "data.mdb").write_bytes(data)
        LmdbStore(path).close()

    def test_a_forgotten_store_closes_itself(self, path: Path) -> None:
        store = LmdbStore(path)
        del store
        gc.collect()
        LmdbStore(path).close()


class TestReaders:
    def test_reading_handles_live_beside_the_writer_in_one_process(self, path: Path) -> None:
        with LmdbStore(path) as store, LmdbStore(path, read_only=True) as first:
            put(store, a="1")
            with LmdbStore(path, read_only=True) as second:
                assert first.get(b"a") == second.get(b"a") == b"1"
            store.close()
            assert first.get(b"a") == b"1"
            with LmdbStore(path) as store:
                put(store, b="2")
                assert first.get(b"b") == b"2"

    def test_a_writer_may_come_after_readers_of_its_process(self, path: Path) -> None:
        LmdbStore(path).close()
        with LmdbStore(path, read_only=True) as reader, LmdbStore(path) as store:
            put(store, a="1")
            assert reader.get(b"a") == b"1"

    def test_a_reading_handle_refuses_to_commit(self, path: Path) -> None:
        LmdbStore(path).close()
        with LmdbStore(path, read_only=True) as reader:
            assert reader.read_only
            with pytest.raises(ValueError, match="reading only"):
                put(reader, a="1")

    def test_reading_processes_see_what_is_committed(self, path: Path, start: Start) -> None:
        with LmdbStore(path) as store:
            put(store, a="1")
            script = "store = LmdbStore(path, read_only=True)\nwhile hear(): say(store.get(b'a').decode())"
            readers = [start(script, path) for _ in range(2)]
            for number in range(3):
                put(store, a=str(number))
                for reader in readers:
                    tell(reader)
                assert [hear(reader) for reader in readers] == [str(number)] * 2

    def test_more_snapshots_than_lmdb_expects_are_possible(self, path: Path) -> None:
        with LmdbStore(path) as store:
            put(store, a="1")
            snapshots = [store.snapshot() for _ in range(500)]
            assert {snapshot.get(b"a") for snapshot in snapshots} == {b"1"}

    def test_too_many_snapshots_are_an_error_and_no_harm(self, path: Path) -> None:
        with LmdbStore(path) as store:
            put(store, a="1")
            snapshots = []

            def open_many() -> None:
                for _ in range(2000):
                    snapshots.append(store.snapshot())

            with pytest.raises(StorageError, match="snapshots"):
                open_many()
            assert snapshots[-1].get(b"a") == b"1"
            for snapshot in snapshots:
                snapshot.close()
            put(store, a="2")
            assert store.get(b"a") == b"2"


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
class TestForks:
    def test_a_forked_child_is_refused_whatever_it_tries(self, path: Path, forked: Forked) -> None:
        with LmdbStore(path) as store, store.snapshot() as snapshot:
            attempts: list[Callable[[], object]] = [
                lambda: store.get(b"a"),
                lambda: list(store.scan()),
                store.snapshot,
                lambda: snapshot.get(b"a"),
                lambda: put(store, a="child"),
                lambda: LmdbStore(path),
            ]
            for attempt in attempts:
                assert forked(attempt).startswith("medchain.errors.Locked")
            assert forked(lambda: LmdbStore(path, read_only=True)).startswith("medchain.errors.Locked")

    def test_a_child_that_closes_everything_harms_nothing(self, path: Path, forked: Forked) -> None:
        with LmdbStore(path) as store:
            put(store, a="1")
            with store.snapshot() as snapshot:
                assert forked(lambda: (snapshot.close(), store.close(), gc.collect())[0]) == "None"
                for number in range(5):  # would reuse the pages of a snapshot that nobody protects
                    put(store, a=str(number), b=bytes(50_000))
                assert snapshot.get(b"a") == b"1"
            with pytest.raises(Locked):
                LmdbStore(path)

    def test_a_child_does_not_keep_the_lock(self, path: Path, start: Start) -> None:
        script = "store = LmdbStore(path)\nif os.fork() == 0: say('child')\nhear()"
        other = start(script, path)
        assert hear(other) == "child"
        other.kill()
        other.wait()
        LmdbStore(path).close()

    def test_a_child_may_open_what_its_parent_had_closed(self, path: Path, forked: Forked) -> None:
        with LmdbStore(path) as store:
            put(store, a="1")

        def read() -> object:
            with LmdbStore(path, read_only=True) as store:
                return store.get(b"a")

        assert forked(read) == "b'1'"


class TestGrowth:
    def test_the_map_grows_far_beyond_its_first_size(self, path: Path) -> None:
        with LmdbStore(path) as store:
            for number in range(40):
                put(store, **{f"k{number}": bytes([number]) * 500_000})
        with LmdbStore(path) as store:
            assert [value[0] for _, value in store.scan()] == [int(key[1:]) for key, _ in store.scan()]

    def test_growth_waits_for_the_snapshot_of_another_thread(self, path: Path) -> None:
        with LmdbStore(path) as store:
            put(store, a="1")
            opened = threading.Event()
            seen = []

            def read() -> None:
                with store.snapshot() as snapshot:
                    opened.set()
                    time.sleep(0.2)
                    seen.append(store.get(b"a"))  # who reads already may begin another read
                    seen.append(snapshot.get(b"a"))

            reader = threading.Thread(target=read)
            reader.start()
            opened.wait()
            put(store, a="2", b=bytes(3_000_000))
            assert seen == [b"1", b"1"]
            reader.join()
            assert store.get(b"a") == b"2"

    def test_growth_past_a_snapshot_of_its_own_thread_is_refused_at_once(self, path: Path) -> None:
        with LmdbStore(path) as store:
            put(store, a="1")
            with store.snapshot() as snapshot:
                with pytest.raises(StorageError, match="Close snapshots"):
                    put(store, a="2", b=bytes(3_000_000))
                assert snapshot.get(b"a") == b"1"
                put(store, c="small batches still go through")
            put(store, a="2", b=bytes(3_000_000))
            assert store.get(b"a") == b"2"

    def test_a_forgotten_snapshot_does_not_stop_growth(self, path: Path) -> None:
        with LmdbStore(path) as store:
            put(store, a="1")
            store.snapshot()
            next(store.scan())
            put(store, b=bytes(3_000_000))
            assert store.get(b"a") == b"1"

    @pytest.mark.parametrize("room", [0, 1 << 30])
    def test_reading_processes_follow_growth(self, path: Path, start: Start, room: int) -> None:
        script = """
from medchain.storage import _lmdb_env
_lmdb_env.READER_ROOM = int(sys.argv[2])
store = LmdbStore(path, read_only=True)
last = -1
while last < 39:
    with store.snapshot() as snapshot:
        pairs = list(snapshot.scan())
        assert all(value == bytes([int(key)]) * 200_000 for key, value in pairs), 'torn'
        assert len(pairs) >= last + 1, 'went back'
        last = len(pairs) - 1
    if last < 0: say('reading')
say('seen all')
"""
        with LmdbStore(path) as store:
            readers = [start(script, path, room) for _ in range(2)]
            assert [hear(reader) for reader in readers] == ["reading"] * 2
            for number in range(40):
                put(store, **{f"{number:02}": bytes([number]) * 200_000})
            for reader in readers:
                while (line := hear(reader)) == "reading":
                    pass
                assert line == "seen all"


class TestFullDisk:
    @pytest.fixture
    def small_disk(self) -> Iterator[Path]:
        folder = Path(tempfile.mkdtemp())
        mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(folder)]
        if (
            shutil.which("mount") is None
            or subprocess.run(mount, capture_output=True, check=False).returncode
        ):
            folder.rmdir()
            pytest.skip("a small file system needs root and the right to mount")
        yield folder
        subprocess.run(["umount", str(folder)], check=True)
        folder.rmdir()

    def test_a_full_disk_fails_the_commit_and_nothing_else(self, small_disk: Path) -> None:
        with LmdbStore(small_disk / "store") as store:

            def fill() -> None:
                for number in range(1000):
                    put(store, **{f"{number:03}": bytes([number % 256]) * 50_000})

            with pytest.raises(StorageFull):
                fill()
            count = len(list(store.scan()))
            assert count > 5
            assert [key for key, _ in store.scan()] == [b"%03d" % number for number in range(count)]
            batch = Batch()
            batch.delete_range(b"", b"005")
            store.commit(batch)
            put(store, again="there is room again")
        with LmdbStore(small_disk / "store") as store:
            assert len(list(store.scan())) == count - 5 + 1

    def test_a_limit_on_file_size_counts_as_a_full_disk(self, path: Path, start: Start) -> None:
        pytest.importorskip("resource")
        script = """
import resource
store = LmdbStore(path)
resource.setrlimit(resource.RLIMIT_FSIZE, (3 << 20, 3 << 20))
put(store, a='kept')
try:
    put(store, a='lost', b='x' * 8_000_000)
except StorageFull:
    put(store, c='goes on')
    say('full', *(value.decode() for _, value in store.scan()))
"""
        assert hear(start(script, path)) == "full kept goes on"


class TestNoStore:
    def test_nothing_there_is_no_chain_to_a_reader(self, path: Path) -> None:
        for options in ({"read_only": True}, {"create": False}):
            with pytest.raises(NotAChain):
                LmdbStore(path, **options)
            assert not path.exists()

    def test_an_empty_folder_becomes_a_store(self, path: Path) -> None:
        path.mkdir()
        with LmdbStore(path) as store:
            put(store, a="1")
        assert sorted(entry.name for entry in path.iterdir()) == ["data.mdb", "lock.mdb", "writer.lock"]

    def test_missing_parents_are_made(self, path: Path) -> None:
        LmdbStore(path / "deep" / "down").close()

    def test_creating_for_reading_is_a_mistake(self, path: Path) -> None:
        with pytest.raises(ValueError, match="created"):
            LmdbStore(path, read_only=True, create=True)

    @pytest.mark.parametrize("read_only", [False, True])
    def test_a_folder_with_other_things_is_left_alone(self, path: Path, read_only: bool) -> None:
        path.mkdir()
        (path / "holiday.jpg").write_bytes(b"photo")
        with pytest.raises(NotAChain):
            LmdbStore(path, read_only=read_only)
        assert [entry.name for entry in path.iterdir()] == ["holiday.jpg"]

    @pytest.mark.parametrize("read_only", [False, True])
    def test_a_file_is_no_store(self, path: Path, read_only: bool) -> None:
        path.write_bytes(b"text")
        with pytest.raises(NotAChain):
            LmdbStore(path, read_only=read_only)

    @pytest.mark.parametrize("read_only", [False, True])
    def test_another_lmdb_database_is_no_store(self, path: Path, read_only: bool) -> None:
        with lmdb.open(str(path)) as env, env.begin(write=True) as txn:
            txn.put(b"key", b"value")
        with pytest.raises(NotAChain):
            LmdbStore(path, read_only=read_only)

    def test_a_newer_format_is_told_apart(self, path: Path) -> None:
        with lmdb.open(str(path), max_dbs=1) as env:
            env.open_db(b"medchain-store-2")
        with pytest.raises(NewerFormat):
            LmdbStore(path)

    def test_a_folder_that_cannot_be_written_is_a_storage_error(self, forked: Forked) -> None:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder).chmod(0o755)
            LmdbStore(Path(folder) / "store").close()
            (Path(folder) / "store").chmod(0o755)

            def without_rights(attempt: Callable[[], object]) -> Callable[[], object]:
                def run() -> object:
                    if os.getuid() == 0:
                        os.setuid(65534)
                    return attempt()

                return run

            if os.getuid() != 0:
                Path(folder).chmod(0o555)
                (Path(folder) / "store" / "lock.mdb").chmod(0o000)
            store = Path(folder) / "store"
            for attempt in (
                lambda: LmdbStore(store),
                lambda: LmdbStore(store, read_only=True),
                lambda: LmdbStore(Path(folder) / "other"),
            ):
                assert forked(without_rights(attempt)).startswith("medchain.errors.StorageError")
            Path(folder).chmod(0o755)


class TestDamage:
    @pytest.fixture
    def filled(self, path: Path) -> Path:
        with LmdbStore(path) as store:
            for number in range(20):
                put(store, **{f"{number}-{part}": bytes([part]) * 300 for part in range(40)})
        return path

    def _scan(self, path: Path) -> object:
        with LmdbStore(path, read_only=True) as store:
            return len(list(store.scan()))

    @pytest.mark.parametrize("length", [0, 1, 100, 4096, 8191, 8192, 40_960, 200_001])
    def test_a_truncated_file_is_known_when_it_is_opened(
        self, filled: Path, forked: Forked, length: int
    ) -> None:
        os.truncate(filled / "data.mdb", length)
        for attempt in (lambda: self._scan(filled), lambda: LmdbStore(filled).close()):
            assert forked(attempt).startswith(("medchain.errors.StorageError", "medchain.errors.NotAChain"))

    def test_overwritten_pages_are_a_storage_error(self, filled: Path, forked: Forked) -> None:
        data = (filled / "data.mdb").read_bytes()
        (filled / "data.mdb").write_bytes(data[:8192] + bytes(len(data) - 8192))
        assert forked(lambda: self._scan(filled)).startswith("medchain.errors.StorageError")

    def test_a_file_of_noise_is_no_store(self, filled: Path) -> None:
        (filled / "data.mdb").write_bytes(random.Random(7).randbytes(1 << 20))
        with pytest.raises(NotAChain):
            LmdbStore(filled)

    def test_a_compact_copy_opens_and_is_written_on(self, filled: Path, tmp_path: Path) -> None:
        copy = tmp_path / "copy"
        copy.mkdir()
        with lmdb.open(str(filled), readonly=True) as env:
            env.copy(str(copy), compact=True)
        with LmdbStore(copy) as store:
            put(store, more=bytes(2_000_000))
            assert len(list(store.scan())) == 801


class TestCrashes:
    @pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGINT])
    def test_acknowledged_commits_survive_and_none_is_half_there(
        self, path: Path, start: Start, death: signal.Signals
    ) -> None:
        script = """
store = LmdbStore(path)
number = int(store.get(b'number') or 0)
say(number)
while True:
    number += 1
    batch = Batch()
    batch.put(b'number', str(number).encode())
    batch.delete_range(b'part-', b'part.')
    for part in range(number % 50):
        batch.put(b'part-%d-%d' % (number, part), bytes(997))
    store.commit(batch)
    say(number)
"""
        chance = random.Random(4)
        acknowledged = 0
        for _ in range(10):
            writer = start(script, path)
            assert int(hear(writer)) >= acknowledged
            time.sleep(chance.uniform(0, 0.08))
            writer.send_signal(death)
            lines = writer.communicate()[0].splitlines()
            acknowledged = max([acknowledged, *map(int, lines)])
            with LmdbStore(path) as store:
                number = int(store.get(b"number") or 0)
                assert number in (acknowledged, acknowledged + 1)
                acknowledged = number
                parts = [key for key, _ in store.scan(b"part-", b"part.")]
                assert len(parts) == number % 50
                assert all(key.startswith(b"part-%d-" % number) for key in parts)
        assert acknowledged > 10
