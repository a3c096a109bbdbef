"""PostgresStore: what it asks of a server, its schema, its lock, its sessions. Servers that die are in tests/faults."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import postgres
import pytest
from processes import put
from stores import Place

from medchain.errors import Locked, NewerFormat, NotAChain, StorageError
from medchain.storage import Batch, PostgresStore


@pytest.fixture
def conninfo() -> str:
    return postgres.shared_conninfo()


@pytest.fixture
def schema(path: Any) -> str:
    """The name of a schema that is not there yet."""
    return Place("postgres", path).schema


@pytest.fixture
def admin(conninfo: str) -> Iterator[Any]:
    """A connection of the one who runs the database."""
    import psycopg

    with psycopg.connect(conninfo, autocommit=True) as connection:
        yield connection


class TestOpening:
    def test_nothing_there_is_no_chain_to_a_reader(self, conninfo: str, schema: str, admin: Any) -> None:
        for options in ({"read_only": True}, {"create": False}):
            with pytest.raises(NotAChain):
                PostgresStore(conninfo, schema=schema, **options)
        [(there,)] = admin.execute("SELECT to_regnamespace(%s) IS NOT NULL", (schema,))
        assert not there

    def test_an_empty_schema_is_taken(self, conninfo: str, schema: str, admin: Any) -> None:
        admin.execute(f"CREATE SCHEMA {schema}")
        with PostgresStore(conninfo, schema=schema) as store:
            put(store, a="1")

    def test_a_schema_with_other_tables_is_left_alone(self, conninfo: str, schema: str, admin: Any) -> None:
        admin.execute(f"CREATE SCHEMA {schema}; CREATE TABLE {schema}.pairs (key text)")
        for options in ({}, {"create": False}, {"read_only": True}):
            with pytest.raises(NotAChain):
                PostgresStore(conninfo, schema=schema, **options)
        assert admin.execute(f"SELECT * FROM {schema}.pairs").fetchall() == []

    def test_a_newer_format_is_told_apart(self, conninfo: str, schema: str, admin: Any) -> None:
        PostgresStore(conninfo, schema=schema).close()
        admin.execute(f"UPDATE {schema}.medchain_store SET version = 2")
        for read_only in (False, True):
            with pytest.raises(NewerFormat):
                PostgresStore(conninfo, schema=schema, read_only=read_only)

    def test_stores_in_two_schemas_know_nothing_of_one_another(self, conninfo: str, schema: str) -> None:
        with (
            PostgresStore(conninfo, schema=schema) as first,
            PostgresStore(conninfo, schema=f"{schema}_2") as second,
        ):
            put(first, a="1")
            put(second, a="2")
            assert (first.get(b"a"), second.get(b"a")) == (b"1", b"2")

    @pytest.mark.parametrize(
        "name", ["", "Clinic", "1st", "a-b", 'a"; DROP SCHEMA public; --', "x" * 64, "é"]
    )
    def test_names_that_postgresql_would_change_are_refused(self, name: str) -> None:
        with pytest.raises(ValueError, match="name of a schema"):
            PostgresStore("dbname=postgres", schema=name)

    def test_creating_for_reading_is_a_mistake(self) -> None:
        with pytest.raises(ValueError, match="created"):
            PostgresStore("dbname=postgres", schema="a", read_only=True, create=True)

    def test_no_password_is_shown(self, conninfo: str, schema: str) -> None:
        with pytest.raises(ValueError, match="malformed") as malformed:
            PostgresStore("host=nowhere password=geheim nonsense", schema=schema)
        with pytest.raises(StorageError) as unreachable:
            PostgresStore("host=/nowhere password=geheim dbname=x", schema=schema)
        with PostgresStore(f"{conninfo} password=geheim", schema=schema) as store:
            shown = [
                repr(each)
                for each in (store, malformed.value, unreachable.value, unreachable.value.__cause__)
            ]
        assert malformed.value.__cause__ is None
        assert not any("geheim" in text for text in shown)
        assert store.schema == schema

    def test_a_server_that_does_not_wait_for_its_disk_is_refused(self, schema: str) -> None:
        with postgres.own_server(fsync="off") as server, pytest.raises(StorageError, match="fsync"):
            PostgresStore(server.conninfo, schema=schema)

    def test_a_session_that_would_not_wait_is_made_to(self, conninfo: str, schema: str) -> None:
        with PostgresStore(f"{conninfo} options='-c synchronous_commit=off'", schema=schema) as store:
            assert store._writer is not None
            [(value,)] = store._writer._connection.execute("SHOW synchronous_commit")
            assert value == "on"

    def test_without_psycopg_only_opening_fails_and_names_the_extra(self) -> None:
        script = """
import sys
sys.modules["psycopg"] = None
from medchain.storage import *
try:
    PostgresStore("", schema="a")
except ImportError as error:
    print(error)
"""
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert "pip install 'medchain[postgres]'" in done.stdout


class TestWriting:
    def test_a_batch_of_several_statements_is_one_transaction(
        self, conninfo: str, schema: str, admin: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from medchain.storage import _postgres_session

        monkeypatch.setattr(_postgres_session, "PUT_ROWS", 3)
        monkeypatch.setattr(_postgres_session, "PUT_BYTES", 100)
        with PostgresStore(conninfo, schema=schema) as store:
            pairs = {f"{number:02}": bytes(number * 3) for number in range(50)}
            put(store, **pairs)
            assert dict(store.scan()) == {key.encode(): value for key, value in pairs.items()}
            admin.execute(f"ALTER TABLE {schema}.pairs ADD CHECK (octet_length(value) < 1000)")
            with pytest.raises(StorageError, match="violates check"):
                put(store, **{"00": b"new", "49": bytes(1000)})
            assert store.get(b"00") == b""
            put(store, **{"00": b"new"})
            assert store.get(b"00") == b"new"

    def test_a_writer_whose_session_was_ended_never_writes_again(
        self, conninfo: str, schema: str, admin: Any
    ) -> None:
        """Its lock has gone to somebody else."""
        with PostgresStore(conninfo, schema=schema) as store:
            put(store, a="1")
            assert store._writer is not None
            admin.execute("SELECT pg_terminate_backend(%s)", (store._writer._backend,))
            with PostgresStore(conninfo, schema=schema) as other:
                put(other, a="2")
                for _ in range(2):
                    with pytest.raises(StorageError):
                        put(store, a="3")
                assert other.get(b"a") == store.get(b"a") == b"2"

    def test_a_pooler_that_hands_a_commit_to_another_session_is_found_out(
        self, conninfo: str, schema: str
    ) -> None:
        with PostgresStore(conninfo, schema=schema) as store:
            put(store, a="1")
            assert store._writer is not None
            store._writer._backend += 1
            with pytest.raises(StorageError, match="pooler"):
                put(store, a="2")
            assert store.get(b"a") == b"1"

    def test_what_locks_a_schema_is_the_schema_itself(self, conninfo: str, schema: str, admin: Any) -> None:
        with PostgresStore(conninfo, schema=schema) as store:
            admin.execute(f"ALTER SCHEMA {schema} RENAME TO {schema}_old")
            with pytest.raises(Locked):
                PostgresStore(conninfo, schema=f"{schema}_old")
            with PostgresStore(conninfo, schema=schema) as new:
                put(new, a="new")
            assert store.closed is False

    def test_who_may_only_read_reads(self, conninfo: str, schema: str, admin: Any) -> None:
        with PostgresStore(conninfo, schema=schema) as store:
            put(store, a="1")
        admin.execute(f"CREATE ROLE {schema} LOGIN")
        admin.execute(f"GRANT USAGE ON SCHEMA {schema} TO {schema}")
        admin.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {schema}")
        less = f"{conninfo} user={schema}"
        with PostgresStore(less, schema=schema, read_only=True) as reader:
            assert reader.get(b"a") == b"1"
        with PostgresStore(less, schema=schema) as writer, pytest.raises(StorageError, match="permission"):
            put(writer, a="2")
        with pytest.raises(StorageError, match="permission"):
            PostgresStore(less, schema=f"{schema}_mine")


class TestSessions:
    def test_more_snapshots_than_there_are_sessions_are_an_error_and_no_harm(
        self, conninfo: str, schema: str, admin: Any
    ) -> None:
        PostgresStore(conninfo, schema=schema).close()
        admin.execute(f"CREATE ROLE {schema} LOGIN CONNECTION LIMIT 3")
        admin.execute(f"GRANT USAGE ON SCHEMA {schema} TO {schema}")
        admin.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {schema}")
        with PostgresStore(f"{conninfo} user={schema}", schema=schema, read_only=True) as store:
            snapshots = [store.snapshot() for _ in range(3)]
            for attempt in (store.snapshot, lambda: store.get(b"a")):
                with pytest.raises(StorageError, match="too many connections"):
                    attempt()
            snapshots.pop().close()
            assert store.get(b"a") is None

    def test_sessions_are_used_again_and_not_more_kept_than_needed(self, conninfo: str, schema: str) -> None:
        with PostgresStore(conninfo, schema=schema) as store:
            for _ in range(20):
                store.get(b"a")
                store.snapshot().close()
            assert len(store._sessions) == 1
            for snapshot in [store.snapshot() for _ in range(10)]:
                snapshot.close()
            assert len(store._sessions) == 4

    def test_a_snapshot_that_the_server_ends_is_an_error_and_the_store_goes_on(
        self, conninfo: str, schema: str, admin: Any
    ) -> None:
        with PostgresStore(conninfo, schema=schema) as store:
            put(store, a="1")
            with store.snapshot() as snapshot:
                [session] = store._sessions
                admin.execute("SELECT pg_terminate_backend(%s)", (session._connection.info.backend_pid,))  # type: ignore[attr-defined]
                with pytest.raises(StorageError):
                    snapshot.get(b"a")
            assert store.get(b"a") == b"1"

    def test_a_read_that_fails_in_a_snapshot_does_not_spoil_the_next(
        self, conninfo: str, schema: str, admin: Any
    ) -> None:
        with PostgresStore(conninfo, schema=schema) as store:
            put(store, a="1")
            store.get(b"a")
            admin.execute(f"ALTER TABLE {schema}.pairs RENAME TO hidden")
            with store.snapshot() as snapshot:
                for _ in range(2):
                    with pytest.raises(StorageError):
                        snapshot.get(b"a")
            admin.execute(f"ALTER TABLE {schema}.hidden RENAME TO pairs")
            assert store.get(b"a") == b"1"
            with store.snapshot() as snapshot:
                assert snapshot.get(b"a") == b"1"

    def test_an_empty_batch_and_empty_lists_ask_the_server_nothing(self, conninfo: str, schema: str) -> None:
        with PostgresStore(conninfo, schema=schema) as store:
            store.commit(Batch())
            assert store.get_many([]) == []
            assert store._sessions == set()
