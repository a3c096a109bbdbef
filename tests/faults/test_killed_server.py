"""A PostgreSQL server dies: StorageError, reads that go on when it is back, and writing after opening again."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Iterator

import postgres
import psutil
import pytest
from processes import LONG, put

from medchain.errors import Locked, StorageError
from medchain.storage import Batch, PostgresStore, Store

ROUNDS = 40 if LONG else 3


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.Server]:
    with postgres.own_server() as running:
        yield running


@pytest.fixture
def schema(server: postgres.Server, request: pytest.FixtureRequest) -> str:
    """A name for the store of one test, on a server that runs."""
    if server.pid is None:
        server.start()
    return f"test_{abs(hash(request.node.name))}"


def put_until_it_fails(store: Store) -> None:
    while True:
        put(store, a="2")


def numbered(number: int) -> Batch:
    """A batch that replaces that of the number before by as many parts as its own number says."""
    batch = Batch()
    batch.put(b"number", b"%d" % number)
    batch.delete_range(b"part-", b"part.")
    for part in range(number % 50):
        batch.put(b"part-%d-%02d" % (number, part), bytes(997))
    return batch


def commit_until_it_fails(store: Store, number: int) -> tuple[int, StorageError]:
    """Commit the batches after that of `number`; gives the number of the last that was acknowledged."""
    while True:
        try:
            store.commit(numbered(number + 1))
        except StorageError as error:
            return number, error
        number += 1


def test_reads_go_on_after_a_restart_and_writing_after_opening_again(
    server: postgres.Server, schema: str
) -> None:
    with PostgresStore(server.conninfo, schema=schema) as store:
        put(store, a="1")
        with PostgresStore(server.conninfo, schema=schema, read_only=True) as reader:
            assert reader.get(b"a") == b"1"
            snapshot, idle = store.snapshot(), reader.snapshot()
            scan = reader.scan()
            next(scan)
            idle.close()
            server.kill()
            for attempt in (
                lambda: store.get(b"a"),
                lambda: reader.get_many([b"a"]),
                reader.snapshot,
                lambda: snapshot.get(b"a"),
                lambda: put(store, a="lost"),
                lambda: put(store, a="lost again"),
            ):
                with pytest.raises(StorageError):
                    attempt()
            server.start()
            assert store.get(b"a") == reader.get(b"a") == b"1"
            assert list(reader.scan()) == [(b"a", b"1")]
            with pytest.raises(StorageError):  # its moment is gone
                snapshot.get(b"a")
            snapshot.close()
            with pytest.raises(StorageError, match="open the store again"):
                put(store, a="without the lock")
            with PostgresStore(server.conninfo, schema=schema) as again:
                put(again, a="2")
            assert store.get(b"a") == reader.get(b"a") == b"2"


def test_sessions_that_lay_idle_are_replaced_without_an_error(server: postgres.Server, schema: str) -> None:
    with PostgresStore(server.conninfo, schema=schema) as store:
        put(store, a="1")
        for snapshot in [store.snapshot() for _ in range(4)]:
            snapshot.close()
        server.kill()
        server.start()
        assert store.get_many([b"a", b"b"]) == [b"1", None]
        assert [key for key, _ in store.scan()] == [b"a"]


def test_one_session_of_the_server_dies_and_takes_all_others_along(
    server: postgres.Server, schema: str
) -> None:
    """The first process of a server ends all sessions when one was killed, for shared memory may be damaged."""
    with PostgresStore(server.conninfo, schema=schema) as store:
        put(store, a="1")
        assert server.pid is not None
        sessions = [
            child
            for child in psutil.Process(server.pid).children()
            if any(word.startswith("nobody") or "[local]" in word for word in child.cmdline())
        ]
        sessions[0].send_signal(signal.SIGKILL)
        with pytest.raises(StorageError):
            put_until_it_fails(store)
        server.wait()
        assert store.get(b"a") in (b"1", b"2")
        with PostgresStore(server.conninfo, schema=schema) as again:
            put(again, a="3")
            assert store.get(b"a") == b"3"


def test_a_server_killed_at_any_moment_keeps_what_it_acknowledged(
    server: postgres.Server, schema: str
) -> None:
    chance = random.Random(11)
    acknowledged = 0
    for _ in range(ROUNDS):
        with PostgresStore(server.conninfo, schema=schema) as store:
            number = int(store.get(b"number") or 0)
            assert number in (acknowledged, acknowledged + 1)
            acknowledged = number
            parts = [key for key, _ in store.scan(b"part-", b"part.")]
            assert parts == [b"part-%d-%02d" % (number, part) for part in range(number % 50)]
            killer = threading.Timer(chance.uniform(0.02, 0.3), server.kill)
            killer.start()
            acknowledged, error = commit_until_it_fails(store, acknowledged)
            killer.join()
            assert not isinstance(error, Locked)
        server.start()
    assert acknowledged > ROUNDS


def test_an_answer_that_is_lost_while_committing_says_so(server: postgres.Server, schema: str) -> None:
    """Held up in the middle of a commit, the session is ended: whether it wrote must not be guessed."""
    import psycopg

    with (
        PostgresStore(server.conninfo, schema=schema) as store,
        psycopg.connect(server.conninfo, autocommit=True) as other,
    ):
        put(store, a="1")
        other.execute(f"""
            CREATE FUNCTION {schema}.wait() RETURNS trigger LANGUAGE plpgsql
            AS 'BEGIN PERFORM pg_sleep(30); RETURN NULL; END';
            CREATE CONSTRAINT TRIGGER slow AFTER INSERT OR UPDATE ON {schema}.pairs DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION {schema}.wait();
        """)
        errors: list[StorageError] = []

        def commit() -> None:
            with pytest.raises(StorageError) as caught:
                put(store, a="2")
            errors.append(caught.value)

        committing = threading.Thread(target=commit)
        committing.start()
        ended = False
        while not ended:
            time.sleep(0.01)
            row = other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'COMMIT;' AND state = 'active'"
            ).fetchone()
            ended = row is not None
        committing.join()
        assert "not known" in str(errors[0])
        other.execute(f"DROP TRIGGER slow ON {schema}.pairs")
    with PostgresStore(server.conninfo, schema=schema) as store:
        assert store.get(b"a") == b"1"
