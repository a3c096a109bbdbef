"""SqliteStore: how it is opened, its log, damage, and other programs at its file."""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from processes import Forked, put

from medchain.errors import Locked, NewerFormat, NotAChain, StorageError
from medchain.storage import Batch, SqliteStore, _sqlite_session


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


class TestOpening:
    def test_nothing_there_is_no_chain_to_a_reader(self, path: Path) -> None:
        for options in ({"read_only": True}, {"create": False}):
            with pytest.raises(NotAChain):
                SqliteStore(path, **options)
            assert not path.exists()

    def test_an_empty_folder_becomes_a_store_and_ends_as_one_file(self, path: Path) -> None:
        path.mkdir()
        with SqliteStore(path) as store:
            put(store, a="1")
        assert names(path) == ["data.sqlite", "writer.lock"]

    def test_creating_for_reading_is_a_mistake(self, path: Path) -> None:
        with pytest.raises(ValueError, match="created"):
            SqliteStore(path, read_only=True, create=True)

    @pytest.mark.parametrize("name", ["holiday.jpg", "data.mdb"])
    @pytest.mark.parametrize("read_only", [False, True])
    def test_a_folder_with_other_things_is_left_alone(self, path: Path, name: str, read_only: bool) -> None:
        path.mkdir()
        (path / name).write_bytes(b"photo")
        with pytest.raises(NotAChain):
            SqliteStore(path, read_only=read_only)
        assert names(path) == [name]

    @pytest.mark.parametrize("read_only", [False, True])
    def test_a_file_is_no_store(self, path: Path, read_only: bool) -> None:
        path.write_bytes(b"text")
        with pytest.raises(NotAChain):
            SqliteStore(path, read_only=read_only)

    def test_another_database_is_no_store(self, path: Path) -> None:
        path.mkdir()
        with closing(sqlite3.connect(path / "data.sqlite")) as other:
            other.execute("CREATE TABLE pairs (key BLOB PRIMARY KEY, value BLOB)")
        for options in ({}, {"read_only": True}):
            with pytest.raises(NotAChain, match="no medchain store"):
                SqliteStore(path, **options)

    def test_a_newer_format_is_told_apart(self, path: Path) -> None:
        SqliteStore(path).close()
        with closing(sqlite3.connect(path / "data.sqlite")) as other:
            other.execute("PRAGMA user_version = 2")
        with pytest.raises(NewerFormat):
            SqliteStore(path)

    def test_a_failed_opening_leaves_no_lock(self, path: Path) -> None:
        SqliteStore(path).close()
        data = (path / "data.sqlite").read_bytes()
        (path / "data.sqlite").write_bytes(bytes(len(data)))
        with pytest.raises(StorageError):
            SqliteStore(path)
        (path / "data.sqlite").write_bytes(data)
        SqliteStore(path).close()

    def test_a_path_may_have_any_characters(self, tmp_path: Path) -> None:
        path = tmp_path / "50% of a?b#c &d=é"
        with SqliteStore(path) as store:
            put(store, a="1")
        assert names(path) == ["data.sqlite", "writer.lock"]

    @pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
    def test_a_forked_child_may_not_open_it_even_for_reading(self, path: Path, forked: Forked) -> None:
        with SqliteStore(path):
            assert forked(lambda: SqliteStore(path, read_only=True)).startswith("medchain.errors.Locked")


class TestDurability:
    def test_the_writer_waits_for_the_disk(self, path: Path) -> None:
        with SqliteStore(path) as store:
            assert store._writer is not None
            connection = store._writer._connection
            [(synchronous,)] = connection.execute("PRAGMA synchronous")
            [(journal,)] = connection.execute("PRAGMA journal_mode")
            assert (synchronous, journal) == (2, "wal")

    def test_a_store_that_somebody_gave_another_journal_gets_its_log_back(self, path: Path) -> None:
        SqliteStore(path).close()
        with closing(sqlite3.connect(path / "data.sqlite")) as other:
            other.execute("PRAGMA journal_mode = DELETE")
        with SqliteStore(path) as store:
            put(store, a="1")
            assert "data.sqlite-wal" in names(path)

    def test_the_log_grows_only_while_a_snapshot_is_open(self, path: Path) -> None:
        with SqliteStore(path) as store:
            with store.snapshot() as snapshot:
                for number in range(12):
                    put(store, **{f"{number}": random.Random(number).randbytes(1_000_000)})
                assert snapshot.get(b"0") is None
            grown = (path / "data.sqlite-wal").stat().st_size
            assert grown > 12_000_000
            for number in range(8):  # the first still goes behind the others
                put(store, **{f"{number}": bytes(1_000_000)})
            assert (path / "data.sqlite-wal").stat().st_size < grown + 2_000_000
        assert names(path) == ["data.sqlite", "writer.lock"]


class TestOtherPrograms:
    @pytest.fixture
    def other(self, path: Path) -> Iterator[sqlite3.Connection]:
        SqliteStore(path).close()
        with closing(sqlite3.connect(path / "data.sqlite", isolation_level=None)) as connection:
            yield connection

    def test_another_program_that_writes_keeps_a_commit_out_by_name(
        self, path: Path, other: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_sqlite_session, "PATIENCE", 0.05)
        with SqliteStore(path) as store:
            put(store, a="1")
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(Locked, match="another program"):
                put(store, a="2")
            assert store.get(b"a") == b"1"
            other.execute("ROLLBACK")
            put(store, a="2")

    @pytest.mark.parametrize("value", ["text", 7, 1.5])
    def test_values_that_are_no_bytes_are_damage(
        self, path: Path, other: sqlite3.Connection, value: Any
    ) -> None:
        other.execute("INSERT INTO pairs VALUES (?, ?)", (b"a", value))
        with SqliteStore(path) as store:
            for attempt in (
                lambda: store.get(b"a"),
                lambda: store.get_many([b"a"]),
                lambda: list(store.scan()),
            ):
                with pytest.raises(StorageError, match="damaged"):
                    attempt()
            put(store, a="1")
            assert store.get(b"a") == b"1"


class TestDamage:
    @pytest.fixture
    def filled(self, path: Path) -> Path:
        with SqliteStore(path) as store:
            for number in range(20):
                put(store, **{f"{number}-{part}": bytes([part]) * 300 for part in range(40)})
        return path

    @pytest.mark.parametrize("length", [0, 1, 100, 4_096, 8_191, 8_192, 40_960, 200_001])
    def test_a_truncated_file_is_an_error_at_the_latest_when_it_is_read(
        self, filled: Path, length: int
    ) -> None:
        os.truncate(filled / "data.sqlite", length)

        def scan() -> None:
            with SqliteStore(filled, read_only=True) as store:
                list(store.scan())

        def write() -> None:
            with SqliteStore(filled) as store:
                batch = Batch()
                batch.delete_range(b"", None)
                store.commit(batch)

        for attempt in (scan, write):
            with pytest.raises(StorageError):
                attempt()

    def test_overwritten_pages_are_a_storage_error(self, filled: Path) -> None:
        data = (filled / "data.sqlite").read_bytes()
        (filled / "data.sqlite").write_bytes(data[:8192] + bytes(len(data) - 8192))
        with SqliteStore(filled) as store, pytest.raises(StorageError, match="damaged"):
            list(store.scan())

    def test_a_file_of_noise_is_no_store(self, filled: Path) -> None:
        (filled / "data.sqlite").write_bytes(random.Random(7).randbytes(1 << 20))
        with pytest.raises(NotAChain):
            SqliteStore(filled)

    def test_a_backup_by_sqlite_opens_and_is_written_on(self, filled: Path, tmp_path: Path) -> None:
        copy = tmp_path / "copy"
        copy.mkdir()
        with (
            closing(sqlite3.connect(filled / "data.sqlite")) as source,
            closing(sqlite3.connect(copy / "data.sqlite")) as target,
        ):
            source.backup(target)
        with SqliteStore(copy) as store:
            put(store, more=bytes(2_000_000))
            assert len(list(store.scan())) == 801
