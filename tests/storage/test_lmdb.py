"""LmdbStore: its readers' table, growth of its map, full disks, damage."""

from __future__ import annotations

import os
import random
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import lmdb
import pytest
from processes import Forked, Start, hear, put

from medchain.errors import NewerFormat, NotAChain, StorageBusy, StorageError
from medchain.storage import Batch, LmdbStore, _lmdb_env
from medchain.storage._lmdb_env import SharedEnvironment


class TestOpening:
    def test_a_failed_opening_leaves_no_lock(self, path: Path) -> None:
        LmdbStore(path).close()
        data = (path / "data.mdb").read_bytes()
        (path / "data.mdb").write_bytes(bytes(len(data)))
        with pytest.raises(StorageError):
            LmdbStore(path)
        (path / "data.mdb").write_bytes(data)
        LmdbStore(path).close()

    @pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
    def test_a_forked_child_may_not_open_it_even_for_reading(self, path: Path, forked: Forked) -> None:
        with LmdbStore(path):
            assert forked(lambda: LmdbStore(path, read_only=True)).startswith("medchain.errors.Locked")


class TestSnapshots:
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


class TestRoom:
    """The map is so large that it need not move while somebody reads."""

    def test_a_snapshot_outlasts_whatever_is_written(self, path: Path) -> None:
        with LmdbStore(path) as store:
            put(store, a="1")
            with store.snapshot() as snapshot:
                scan = store.scan()
                next(scan)
                for number in range(40):
                    put(store, a="2", **{f"k{number}": bytes(1_000_000)})
                assert snapshot.get(b"a") == b"1"
                assert list(scan) == []

    def test_the_file_is_not_as_long_as_the_map(self, path: Path) -> None:
        with LmdbStore(path) as store:
            put(store, a="1")
            assert store._environment._map_size() > 1 << 34
            assert (path / "data.mdb").stat().st_size < 4 << 20

    @pytest.mark.parametrize("first", [1 << 46, 1 << 60, 1 << 62])
    def test_where_that_is_too_much_there_is_less(
        self, path: Path, monkeypatch: pytest.MonkeyPatch, first: int
    ) -> None:
        monkeypatch.setattr(_lmdb_env, "ROOMS", (first, first, 1 << 30, 0))
        with LmdbStore(path) as store, LmdbStore(path, read_only=True) as reader:
            if first > 1 << 47:  # more than a process has
                assert store._environment._map_size() < 2 << 30
            put(store, a="1")
            assert reader.get(b"a") == b"1"

    def test_a_limit_on_address_space_is_left_to_others(self, path: Path, start: Start) -> None:
        pytest.importorskip("resource")
        script = """
import resource
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
store = LmdbStore(path)
for number in range(40):
    put(store, **{f'k{number}': 'x' * 500_000})
with LmdbStore(path, read_only=True) as reader:
    say(len(list(reader.scan())), store._environment._map_size() < 1 << 28)
"""
        with LmdbStore(path) as store:  # by which the file says that its map has a terabyte
            put(store, a="1")
        assert hear(start(script, path)) == "41 True"

    def test_the_file_is_longer_than_a_commit_can_make_what_is_used(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Pages that a batch writes and removes again are used, but never written: the file would lack them."""
        short, lengthen = [], SharedEnvironment._lengthen

        def watched(environment: SharedEnvironment, used: int, spare: int) -> None:
            short.append((path / "data.mdb").stat().st_size < used + spare)
            lengthen(environment, used, spare)

        monkeypatch.setattr(SharedEnvironment, "_lengthen", watched)
        chance = random.Random(1)
        with LmdbStore(path) as store:
            short.clear()
            for _ in range(40):
                batch = Batch()
                for _ in range(chance.choice([1, 300, 2_000])):
                    value = chance.randbytes(chance.choice([10, 500, 3_000, 20_000]))
                    batch.put(chance.randbytes(chance.randint(1, 300)), value)
                if chance.random() < 0.5:
                    batch.delete_range(chance.randbytes(1), None)
                store.commit(batch)
        before, after = short[::2], short[1::2]
        assert any(before)
        assert not any(after), "one who dies before it is lengthened leaves what looks truncated"


class TestGrowth:
    """What happens where addresses are scarce."""

    @pytest.fixture(autouse=True)
    def scarce(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_lmdb_env, "ROOMS", (0,))

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
                with pytest.raises(StorageBusy, match="Close snapshots"):
                    put(store, a="2", b=bytes(3_000_000))
                assert snapshot.get(b"a") == b"1"
                put(store, c="small batches still go through")
            put(store, a="2", b=bytes(3_000_000))
            assert store.get(b"a") == b"2"

    def test_growth_waits_for_a_snapshot_that_was_handed_to_another_thread(self, path: Path) -> None:
        with LmdbStore(path) as store:
            put(store, a="1")
            snapshot, seen = store.snapshot(), []

            def read() -> None:
                with snapshot:
                    time.sleep(0.2)
                    seen.append(snapshot.get(b"a"))

            reader = threading.Thread(target=read)
            reader.start()
            assert reader.ident is not None
            snapshot.hand_over(reader.ident)
            put(store, a="2", b=bytes(3_000_000))
            assert seen == [b"1"]
            reader.join()

    def test_patience_ends(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_lmdb_env, "PATIENCE", 0.1)
        with LmdbStore(path) as store:
            put(store, a="1")
            with store.snapshot() as snapshot:
                snapshot.hand_over(0)
                with pytest.raises(StorageBusy, match="1 open snapshots"):
                    put(store, b=bytes(3_000_000))
                assert snapshot.get(b"a") == b"1"
            put(store, b=bytes(3_000_000))

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
_lmdb_env.ROOMS = (int(sys.argv[2]),)
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
