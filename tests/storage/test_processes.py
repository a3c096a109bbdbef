"""Every store that outlives a process: one writer, many readers, forks."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from processes import Forked, Start, hear, put, tell, wait_until_gone
from stores import LASTING, Place

from medchain.errors import Locked


class TestOneWriter:
    def test_a_second_writer_in_the_process_is_refused_by_name(self, place: Place) -> None:
        with place.open() as store:
            with pytest.raises(Locked, match=f"in this process|process {os.getpid()}"):
                place.open()
            put(store, still="works")
        place.open().close()

    def test_a_second_writing_process_is_refused_by_name(self, place: Place, start: Start) -> None:
        other = start(f"store = {place.code()}; say('open'); hear(); store.close(); say('closed'); hear()")
        assert hear(other) == "open"
        with pytest.raises(Locked, match=f"process {other.pid}"):
            place.open()
        tell(other)
        assert hear(other) == "closed"
        place.open().close()

    def test_the_lock_ends_with_a_killed_writer(self, place: Place, start: Start) -> None:
        other = start(f"store = {place.code()}; put(store, a='1'); say('open'); hear()")
        assert hear(other) == "open"
        other.kill()
        other.wait()
        with place.open() as store:
            assert store.get(b"a") == b"1"

    @pytest.mark.parametrize("kind", LASTING)
    def test_of_many_that_create_at_once_one_writes(self, tmp_path: Path, kind: str, start: Start) -> None:
        place = Place(kind, tmp_path / "new" / "store")
        script = f"""
hear()
try:
    store = {place.code()}; say('writes'); hear()
except Locked:
    say('locked')
"""
        others = [start(script) for _ in range(4)]
        for other in others:
            tell(other)
        assert sorted(hear(other) for other in others) == ["locked", "locked", "locked", "writes"]
        if kind != "postgres":
            assert [entry.name for entry in place.path.parent.iterdir()] == ["store"]

    def test_a_forgotten_store_closes_itself(self, place: Place) -> None:
        store = place.open()
        store.get(b"a")
        del store
        gc.collect()
        place.open().close()

    def test_a_forgotten_snapshot_gives_its_session_back(self, place: Place) -> None:
        with place.open() as store:
            put(store, a="1")
            for _ in range(300):  # more than a server has sessions
                store.snapshot()
                next(store.scan())
            assert store.get(b"a") == b"1"


class TestReaders:
    def test_reading_handles_live_beside_the_writer_in_one_process(self, place: Place) -> None:
        with place.open() as store, place.open(read_only=True) as first:
            put(store, a="1")
            with place.open(read_only=True) as second:
                assert first.get(b"a") == second.get(b"a") == b"1"
            store.close()
            assert first.get(b"a") == b"1"
            with place.open() as store:
                put(store, b="2")
                assert first.get(b"b") == b"2"

    def test_a_writer_may_come_after_readers_of_its_process(self, place: Place) -> None:
        with place.open(read_only=True) as reader, place.open() as store:
            put(store, a="1")
            assert reader.get(b"a") == b"1"

    def test_a_reading_handle_refuses_to_commit(self, place: Place) -> None:
        with place.open(read_only=True) as reader:
            assert reader.read_only
            with pytest.raises(ValueError, match="reading only"):
                put(reader, a="1")

    def test_reading_processes_see_what_is_committed(self, place: Place, start: Start) -> None:
        with place.open() as store:
            put(store, a="1")
            script = f"store = {place.code(read_only=True)}\nwhile hear(): say(store.get(b'a').decode())"
            readers = [start(script) for _ in range(2)]
            for number in range(3):
                put(store, a=str(number))
                for reader in readers:
                    tell(reader)
                assert [hear(reader) for reader in readers] == [str(number)] * 2

    def test_a_reading_process_sees_what_a_killed_writer_left(self, place: Place, start: Start) -> None:
        writer = start(f"store = {place.code()}; put(store, a='1'); say('done'); hear()")
        assert hear(writer) == "done"
        writer.kill()
        writer.wait()
        with place.open(read_only=True) as reader:
            assert reader.get(b"a") == b"1"

    def test_a_snapshot_outlives_the_commits_of_another_process(self, place: Place, start: Start) -> None:
        script = f"store = {place.code()}\nwhile (word := hear()): put(store, a=word, b=word * 50_000); say('done')"
        writer = start(script)
        tell(writer, "1")
        assert hear(writer) == "done"
        with place.open(read_only=True) as reader, reader.snapshot() as snapshot:
            for number in range(2, 9):
                tell(writer, str(number))
                assert hear(writer) == "done"
                assert snapshot.get_many([b"a", b"b"]) == [b"1", b"1" * 50_000]
                assert reader.get(b"a") == b"%d" % number


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
class TestForks:
    def test_a_forked_child_is_refused_whatever_it_tries(self, place: Place, forked: Forked) -> None:
        with place.open() as store, store.snapshot() as snapshot:
            attempts: list[Callable[[], object]] = [
                lambda: store.get(b"a"),
                lambda: store.get_many([b"a"]),
                lambda: list(store.scan()),
                store.snapshot,
                lambda: snapshot.get(b"a"),
                lambda: put(store, a="child"),
                place.open,
            ]
            for attempt in attempts:
                assert forked(attempt).startswith("medchain.errors.Locked")

    def test_a_child_that_closes_everything_harms_nothing(self, place: Place, forked: Forked) -> None:
        with place.open() as store:
            put(store, a="1")
            with store.snapshot() as snapshot:
                assert forked(lambda: (snapshot.close(), store.close(), gc.collect())[0]) == "None"
                for number in range(5):  # would reuse the pages of a snapshot that nobody protects
                    put(store, a=str(number), b=bytes(50_000))
                assert snapshot.get(b"a") == b"1"
            with pytest.raises(Locked):
                place.open()

    def test_a_child_that_ends_in_order_harms_nothing(self, place: Place, start: Start) -> None:
        """Python lets go of everything then, and what a library closes it may also put in order, or remove."""
        script = f"""
store = {place.code()}
put(store, a='1')
child = os.fork()
if child == 0:
    say(os.getpid())
    hear()
    sys.exit()
hear()
"""
        parent = start(script)
        child = int(hear(parent))
        parent.kill()
        parent.wait()
        place.open().close()  # puts the files in order
        writer = start(f"store = {place.code()}; put(store, b='2'); say('done'); hear()")
        assert hear(writer) == "done"
        writer.kill()
        writer.wait()
        tell(parent)  # the child has the same standard input
        wait_until_gone(child)
        with place.open() as store:
            assert store.get_many([b"a", b"b"]) == [b"1", b"2"]

    def test_a_child_does_not_keep_the_lock(self, place: Place, start: Start) -> None:
        other = start(f"store = {place.code()}\nif os.fork() == 0: say('child')\nhear()")
        assert hear(other) == "child"
        other.kill()
        other.wait()
        place.open().close()

    def test_a_child_may_open_what_its_parent_had_closed(self, place: Place, forked: Forked) -> None:
        with place.open() as store:
            put(store, a="1")

        def read() -> object:
            with closing(place.open(read_only=True)) as store:
                return store.get(b"a")

        assert forked(read) == "b'1'"
