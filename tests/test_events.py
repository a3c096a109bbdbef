"""Events: which ones, from where, while the log grows, and over the end of a process."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger.council import council, install
from ledger.counting import Add, Added, Counting, Later
from ledger.world import CONTRACTS, World, content, copy, wallet
from test_chain import AUTHORITY, Disk, add

import medchain as mc
from medchain.chain import Chain, Following
from medchain.errors import InvalidBlock, StorageError
from medchain.ledger import Context, Contract, Cursor, Event, LoggedEvent, handles
from medchain.ledger.governance import Activate
from medchain.ledger.system import LedgerTables
from medchain.storage.api import Batch

SOON = 20.0
PATIENT, OTHER = b"p" * 32, b"q" * 32


@frozen
class Burst:
    """Emit so many events at once."""

    events: int
    concerns: tuple[bytes, ...] = ()


@frozen
class Step:
    number: int


class Bursting(Contract):
    """Several events in one entry, or none."""

    name = "bursting"
    events = (Step,)

    @handles(Burst)
    def burst(self, context: Context, message: Burst) -> None:
        for subject in message.concerns:
            context.concerns(subject)
        for number in range(message.events):
            context.emit(Step(number))


def burst(chain: Chain, events: int, *concerns: bytes) -> None:
    assert chain.send(Bursting, Burst(events, concerns), by=[AUTHORITY], timeout=SOON).ok


def bursting() -> Chain:
    return Chain.in_memory(authority=AUTHORITY, contracts=[*CONTRACTS, Bursting])


@pytest.fixture
def world() -> Iterator[World]:
    made = World.make((*CONTRACTS, Bursting))
    with made.chain:
        yield made


def eventually(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + SOON
    while not holds():
        assert time.monotonic() < until, "it did not come to that"
        time.sleep(0.005)


def places(events: Iterator[LoggedEvent]) -> list[tuple[int, int]]:
    return [(each.entry, each.number) for each in events]


class TestWhich:
    def test_events_come_typed_and_in_order_and_are_proved_like_their_entry(self, world: World) -> None:
        receipts = [world.send(Add(amount), world.authority) for amount in (1, 2, 3)]
        events = list(world.chain.events(contract="counting"))
        assert [each.event for each in events] == [
            Added(world.authority.party.id, total) for total in (1, 3, 6)
        ]
        for each, receipt in zip(events, receipts, strict=True):
            assert (each.entry, each.height, each.time) == (receipt.index, receipt.height, receipt.time)
            assert (each.contract, each.code, each.name) == ("counting", "ok", "added")
            proved = mc.verify(world.chain.prove(each), Added, trust=world.chain.trust)
            assert proved.value == each.event
            assert proved.as_of.index == each.entry

    def test_they_are_those_of_the_entries(self, world: World) -> None:
        world.register("ann")
        for events in (2, 0, 5):
            world.chain.send(Bursting, Burst(events), by=[world.authority])
        world.send(Add(-1), world.authority)
        world.send(Later(world.clock.now, 3), world.authority)
        world.chain.checkpoint(fresh=True)
        expected = [
            (index, number, entry.height, event.contract, event.name)
            for index, entry in world.chain.entries()
            for number, event in enumerate(entry.outcome.events)
        ]
        assert len(expected) > 7
        for each in world.chain.events():
            proof, kind = world.chain.prove(each), type(each.event)
            assert mc.verify(proof, kind, trust=world.chain.trust, number=each.number).value == each.event
        found = [
            (each.entry, each.number, each.height, each.contract, each.name) for each in world.chain.events()
        ]
        assert found == expected

    def test_by_contract(self, world: World) -> None:
        world.send(Add(1), world.authority)
        world.chain.send(Bursting, Burst(2), by=[world.authority])
        world.send(Add(1), world.authority)
        assert {each.contract for each in world.chain.events()} >= {"counting", "bursting"}
        assert [each.event for each in world.chain.events(contract=Bursting)] == [Step(0), Step(1)]
        assert len(list(world.chain.events(contract=Counting))) == 2
        assert list(world.chain.events(contract="nobody")) == []
        assert list(world.chain.events(contract="")) == []

    def test_of_a_subject_every_entry_is_given_refused_ones_too(self, world: World) -> None:
        world.send(Add(1, (PATIENT,)), world.authority)
        world.send(Add(1, (OTHER,)), world.authority)
        world.send(Add(-1, (OTHER, PATIENT)), world.authority)
        world.chain.send(Bursting, Burst(0, (PATIENT,)), by=[world.authority])
        world.chain.send(Bursting, Burst(2, (PATIENT,)), by=[world.authority])
        found = list(world.chain.events(subject=PATIENT))
        assert [(each.code, each.name, each.contract) for each in found] == [
            ("ok", "added", "counting"),
            ("negative", None, "counting"),
            ("ok", None, "bursting"),
            ("ok", "step", "bursting"),
            ("ok", "step", "bursting"),
        ]
        assert [each.event is None for each in found] == [False, True, True, False, False]
        counts = [each.count for one in found for each in one.subjects if each.subject == PATIENT]
        assert sorted(set(counts)) == [1, 2, 3, 4]
        row = world.chain.table(LedgerTables.subjects)[PATIENT]
        assert row.count == 4, "the list is complete: it has no more entries than were given"
        assert [each.entry for each in world.chain.events(subject=OTHER)] == [
            found[0].entry + 2,
            found[1].entry,
        ]
        assert len(list(world.chain.events(subject=PATIENT, contract=Counting))) == 2
        assert [each.code for each in world.chain.events(subject=OTHER, contract="bursting")] == []
        assert all(each.code == "ok" for each in world.chain.events()), "without a subject, events only"

    def test_every_entry(self, world: World) -> None:
        world.send(Add(1, (PATIENT,)), world.authority)
        world.send(Add(-1, (OTHER,)), world.authority)
        world.chain.send(Bursting, Burst(0), by=[world.authority])
        world.chain.send(Bursting, Burst(2), by=[world.authority])
        found = list(world.chain.events(every_entry=True))
        assert {each.entry for each in found} == {index for index, _ in world.chain.entries()}
        assert [each for each in found if each.event is not None] == list(world.chain.events())
        assert [each.code for each in found if each.event is None] == ["negative", "ok"]
        assert len(list(world.chain.events(every_entry=True, contract=Counting))) == 2
        subject = list(world.chain.events(subject=OTHER))
        assert subject == list(world.chain.events(subject=OTHER, every_entry=True)) == [found[1]]

    def test_a_subject_is_named_by_its_party(self, world: World) -> None:
        ann = world.register("ann")
        world.send(Add(1, (ann.party.id,)), world.authority)
        assert len(list(world.chain.events(subject=ann.party))) == 1
        assert list(world.chain.events(subject=PATIENT)) == []

    def test_bytes_that_only_look_like_the_subject_are_not_its_entry(self, world: World) -> None:
        world.register("ann")
        ann = wallet("ann")
        world.send(Add(1), ann)  # her id is in the entry, as its signer
        assert any(ann.party.id in world.chain.entry(each.entry).leaf for each in world.chain.events())
        assert list(world.chain.events(subject=ann.party)) == []

    def test_a_timer_that_was_refused_has_its_contract(self, world: World) -> None:
        world.send(Later(world.clock.now + 5, 13), world.authority)  # it crashes
        world.clock.now += 5
        world.chain.checkpoint(fresh=True)
        eventually(lambda: world.chain.height >= 2)
        assert list(world.chain.events(contract=Counting)) == []
        found = list(world.chain.events(contract=Counting, every_entry=True))
        assert [each.code for each in found] == ["ok", "internal"]

    def test_without_the_contract_an_event_stays_a_plain_value(self, world: World) -> None:
        world.chain.send(Bursting, Burst(1), by=[world.authority])
        world.chain._registry = mc.ledger.Registry(CONTRACTS)
        [found] = world.chain.events(contract="bursting")
        assert found.event == Event("bursting", "step", {"number": 0})

    def test_another_contract_of_the_name_does_not_read_it(self, world: World) -> None:
        class Bursting(Contract):  # what it says has the same form and may mean anything
            name = "bursting"
            events = (Step,)
            codes = ("other",)

            @handles(Burst)
            def burst(self, context: Context, message: Burst) -> None:
                """Accept."""

        world.chain.send(globals()["Bursting"], Burst(1), by=[world.authority])
        world.chain._registry = mc.ledger.Registry([*CONTRACTS, Bursting])
        [found] = world.chain.events(contract="bursting")
        assert type(found.event) is Event


class TestVersions:
    """Each event is of the class that the version of its block declares."""

    def test_each_is_read_as_what_it_was_when_it_was_told(self) -> None:
        with council([Counting, Bursting]) as made:
            chain = made.chain
            first = chain.send(Bursting, Burst(1), by=[made.anna])
            install(made, Counting, Bursting, Bursting2)
            height = chain.height + 4
            made.decide(Activate("bursting", 2, Bursting2.digest(), height))
            while chain.height < height:
                made.send(Add(1), made.anna)
            second = chain.send(Bursting2, Burst(1), by=[made.anna])
            found = list(chain.events(contract="bursting"))
            assert [each.entry for each in found] == [first.index, second.index]
            assert [each.event for each in found] == [Step(0), Step2(0)]
            assert [each.name for each in found] == ["step", "step"]


@frozen
class Step2:
    """Another class with the same fields; others could not follow."""

    number: int


Step2.__name__ = "Step"


class Bursting2(Bursting):
    version = 2
    events = (Step2,)

    @handles(Burst)
    def burst(self, context: Context, message: Burst) -> None:
        for number in range(message.events):
            context.emit(Step2(number))


class TestFromWhere:
    def test_cursors_as_text(self) -> None:
        for cursor in (Cursor(0), Cursor(17), Cursor(17, 2), Cursor(10**18, 99)):
            assert Cursor.parse(str(cursor)) == cursor
        for text in (
            "",
            "x",
            "01",
            "1.",
            ".1",
            "1.0",
            "1.02",
            "1.2.3",
            "-1",
            " 1",
            "1\n",
            "9" * 20,
            "1.999999",
            "¹",
        ):
            with pytest.raises(ValueError, match="not a place"):
                Cursor.parse(text)
        assert Cursor(3) < Cursor(3, 1) < Cursor(4)
        with pytest.raises(ValueError, match="no place"):
            Cursor(-1)
        for wrong in ("17", 17.0, None, True):
            with pytest.raises(TypeError, match=r"Cursor\.parse"):
                Cursor(wrong)  # type: ignore[arg-type]

    def test_from_every_place_on_comes_the_rest(self) -> None:
        with bursting() as chain:
            for events in (3, 0, 1, 2):
                burst(chain, events)
            everything = list(chain.events())
            for done, each in enumerate(everything, 1):
                assert list(chain.events(since=each.cursor)) == everything[done:]
                assert list(chain.events(since=Cursor.parse(str(each.cursor)))) == everything[done:]
            for index in range(chain.head.size + 1):
                assert list(chain.events(index)) == [each for each in everything if each.entry >= index]
            beyond = Cursor(everything[0].entry, 99)
            assert list(chain.events(beyond)) == [e for e in everything if e.entry > beyond.entry]

    def test_from_a_height_on(self) -> None:
        with bursting() as chain:
            for events in (3, 0, 1, 2):
                burst(chain, events)
            for height in range(chain.height + 2):
                assert list(chain.events(height=height)) == [e for e in chain.events() if e.height >= height]
            for height in (chain.height + 2, 1_000_000):
                with pytest.raises(IndexError):
                    chain.events(height=height)

    def test_what_the_log_does_not_have(self, world: World) -> None:
        size = world.chain.head.size
        assert list(world.chain.events(size)) == []
        for place in (size + 1, Cursor(size, 1)):
            with pytest.raises(IndexError, match=f"{size} leaves"):
                world.chain.events(place)

    def test_mistakes_of_the_caller(self, world: World) -> None:
        with pytest.raises(ValueError, match="follow"):
            world.chain.events(timeout=1)
        with pytest.raises(ValueError, match="not by both"):
            world.chain.events(1, height=1)
        with pytest.raises(ValueError, match="32 bytes"):
            world.chain.events(subject=b"short")
        with pytest.raises(ValueError, match="no place"):
            world.chain.events(-1)
        for since in ("1.2", True, 1.0, None):
            with pytest.raises(TypeError, match="a place is a log index"):
                world.chain.events(since)  # type: ignore[arg-type]
        for height in ("1", True, 1.0):
            with pytest.raises(TypeError, match="a block has a height"):
                world.chain.events(height=height)  # type: ignore[arg-type]
            with pytest.raises(TypeError, match="a block has a height"):
                world.chain.header(height)  # type: ignore[arg-type]
        for contract in (5, b"counting", Add, Counting(world.chain._archive)):  # type: ignore[arg-type]
            with pytest.raises(TypeError, match="a contract is named by"):
                world.chain.events(contract=contract)  # type: ignore[arg-type]
        for subject in (5, "a" * 32, world.authority):
            with pytest.raises(TypeError, match="a subject is"):
                world.chain.events(subject=subject)  # type: ignore[arg-type]

    def test_what_the_page_says_of_errors(self, world: World) -> None:
        """A closed chain, and a restored one that is asked for what was before."""
        for height in (-1, world.chain.height + 2, 10**30):
            with pytest.raises(IndexError):
                world.chain.events(height=height)
        events = world.chain.events()
        world.chain.close()
        with pytest.raises(ValueError, match="closed"):
            next(events)

    def test_the_end_is_that_of_the_call(self, world: World) -> None:
        events = world.chain.events()
        world.send(Add(1), world.authority)
        assert list(events) == []
        assert [each.entry for each in world.chain.events(events.cursor)] == [1]

    def test_more_leaves_than_are_read_at_once(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("medchain.ledger.events.RUN", 3)
        for amount in range(7):
            world.send(Add(amount, (PATIENT,) if amount in (1, 6) else ()), world.authority)
        assert len(list(world.chain.events())) == 7
        events = world.chain.events(subject=PATIENT)
        assert len(list(events)) == 2
        assert events.cursor == Cursor(world.chain.head.size), "what was passed over is not read again"

    def test_a_damaged_leaf_is_named(self, world: World) -> None:
        receipt = world.send(Add(1), world.authority)
        pairs = content(world.chain)
        key = b"e" + receipt.index.to_bytes(8, "big")
        for damaged in (
            pairs[key][:-1],
            b"\x01",
            b"\x09" + pairs[key][1:],
            pairs[key].replace(b"events", b"evants"),
            evolve(world.chain.entry(receipt.index), height=99).leaf,  # of a block that is not there
        ):
            store = copy({**pairs, key: damaged})
            with Chain.open("nowhere", store=store, blobs=world.chain.blobs, contracts=CONTRACTS) as chain:
                with pytest.raises(InvalidBlock) as caught:
                    list(chain.events())
                assert caught.value.index == receipt.index
        batch = Batch()
        batch.delete(key)
        world.chain._archive.store.commit(batch)
        with pytest.raises(InvalidBlock, match="missing"):
            list(world.chain.events())


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=12), st.data())
def test_whoever_stores_the_cursor_sees_each_event_once(sent: list[tuple[int, bool]], data: Any) -> None:
    """A consumer that handles some, stops, and goes on from what it has stored; beside it, the log grows."""
    with bursting() as chain:
        handled: list[tuple[int, int]] = []
        stored = "0"
        expected: list[tuple[int, int]] = []
        for events, mine in sent:
            burst(chain, events, *([PATIENT] if mine else []))
            for each in chain.events(mc.Cursor.parse(stored), subject=PATIENT):
                if data.draw(st.booleans()):
                    break  # it was not handled
                handled.append((each.entry, each.number))
                stored = str(each.cursor)
            if mine:
                index = chain.head.size - 2
                expected += [(index, number) for number in range(max(events, 1))]
        handled += places(chain.events(mc.Cursor.parse(stored), subject=PATIENT))
        assert handled == expected


class TestFollowing:
    def test_who_waits_is_woken_by_the_commit(self, world: World) -> None:
        found: list[LoggedEvent] = []
        follow = world.chain.events(follow=True, timeout=SOON)
        thread = threading.Thread(target=lambda: found.append(next(follow)))
        thread.start()
        thread.join(0.05)
        assert thread.is_alive(), "it did not wait"
        receipt = world.send(Add(1), world.authority)
        thread.join(SOON)
        assert [each.entry for each in found] == [receipt.index]

    def test_it_ends_when_nothing_comes_and_goes_on_when_asked_again(self, world: World) -> None:
        world.send(Add(1), world.authority)
        follow = world.chain.events(follow=True, timeout=0.02)
        assert len(list(follow)) == 1
        world.send(Add(1), world.authority)
        assert len(list(follow)) == 1
        assert list(follow) == []
        assert follow.cursor == Cursor(world.chain.head.size)
        assert list(world.chain.events(follow=True, timeout=0)) == list(world.chain.events())

    def test_the_timeout_is_from_one_event_to_the_next(self, world: World) -> None:
        follow = world.chain.events(follow=True, subject=PATIENT, timeout=0.3)
        stop = threading.Event()

        def others() -> None:  # blocks come all the time, but nothing for this subject
            while not stop.wait(0.01):
                world.send(Add(1), world.authority)

        thread = threading.Thread(target=others)
        thread.start()
        try:
            assert list(follow) == []
        finally:
            stop.set()
            thread.join()
        assert follow.cursor > Cursor(1)

    @pytest.mark.parametrize("reader", [False, True])
    def test_closing_ends_it(self, tmp_path: Path, reader: bool) -> None:
        disk = Disk(tmp_path)
        with disk.create() as writer:
            add(writer)
            chain = disk.read() if reader else writer
            found: list[int] = []
            thread = threading.Thread(
                target=lambda: found.extend(each.entry for each in chain.events(follow=True))
            )
            thread.start()
            eventually(lambda: found == [1])
            started = time.monotonic()
            chain.close()
            thread.join(SOON)
            assert not thread.is_alive()
            assert time.monotonic() - started < SOON / 2

    def test_after_the_end_of_the_chain(self, world: World) -> None:
        world.send(Add(1), world.authority)
        follow, plain = world.chain.events(follow=True), world.chain.events()
        world.chain.close()
        assert list(follow) == []
        with pytest.raises(ValueError, match="closed"):
            next(plain)
        with pytest.raises(ValueError, match="closed"):
            follow.each(print)

    def test_what_was_read_ahead_is_not_given_after_the_end(self, world: World) -> None:
        for _ in range(3):
            world.send(Add(1), world.authority)
        follow = world.chain.events(follow=True)
        first = next(follow)
        world.chain.close()
        assert list(follow) == []
        assert follow.cursor == first.cursor

    def test_a_chain_that_is_iterated_over_stays_open(self, tmp_path: Path) -> None:
        disk = Disk(tmp_path)
        with disk.create() as writer:
            add(writer)
            [found] = disk.read().events()
            assert found.event == Added(AUTHORITY.party.id, 1)


class TestBesideTheWriter:
    """The writer is another process; the end of the log is looked up."""

    WRITER = """
import sys
from itertools import pairwise
from pathlib import Path
from test_chain import Disk, add
with Disk(Path(sys.argv[1])).open() as chain:
    for line in sys.stdin:
        for _ in range(int(line)):
            add(chain)
        print(chain.head.size, flush=True)
"""

    @pytest.fixture
    def disk(self, tmp_path: Path) -> Disk:
        disk = Disk(tmp_path)
        disk.create().close()
        return disk

    @pytest.fixture
    def writer(self, disk: Disk) -> Iterator[subprocess.Popen[str]]:
        with python(self.WRITER, disk.folder) as process:
            yield process
            process.communicate(timeout=SOON)

    @staticmethod
    def write(writer: subprocess.Popen[str], count: int) -> int:
        assert writer.stdin is not None
        assert writer.stdout is not None
        print(count, file=writer.stdin, flush=True)
        return int(writer.stdout.readline())

    def test_a_reader_sees_each_once(self, disk: Disk, writer: subprocess.Popen[str]) -> None:
        found: list[int] = []
        with disk.read() as chain:
            following = chain.events(contract="counting", follow=True).each(
                lambda each: found.append(each.event.total)
            )
            for count in (1, 20, 3):
                self.write(writer, count)
                time.sleep(0.1)
            size = self.write(writer, 1)
            eventually(lambda: len(found) == 25)
            assert found == list(range(1, 26))
            eventually(lambda: following.cursor == Cursor(size - 1))

    def test_it_does_not_look_all_the_time_and_hears_within_half_a_second(
        self, disk: Disk, writer: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with disk.read() as chain:
            looks: list[float] = []
            tip = chain._archive.tip
            monkeypatch.setattr(chain._archive, "tip", lambda: (looks.append(time.monotonic()), tip())[1])
            follow = chain.events(follow=True, timeout=1.5)
            assert list(follow) == []
            assert len(looks) < 12, "20, 40, 80, 160, 320 ms, then each half second"
            self.write(writer, 1)
            assert len(list(follow)) == 1
            assert max(b - a for a, b in pairwise(looks)) < SOON / 4

    def test_a_forked_child_cannot_follow_its_parents_chain(self, disk: Disk) -> None:
        script = """
import os, sys
from itertools import pairwise
from pathlib import Path
from test_chain import Disk
from medchain.errors import Locked
chain = Disk(Path(sys.argv[1])).read()
follow = chain.events(follow=True)
following = chain.events(follow=True).each(print)
if (child := os.fork()) == 0:
    for attempt in (lambda: next(follow), chain.events, follow.stop, lambda: follow.each(print)):
        try:
            attempt()
        except Locked:
            print("Locked", flush=True)
    chain.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert following.running
chain.close()
assert not following.running
print("closed")
"""
        with python(script, disk.folder) as process:
            out, error = process.communicate(timeout=60)
        assert process.returncode == 0, error
        assert out.split() == [*["Locked"] * 4, "closed"]


def python(script: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent,
    )


CONSUMER = """
import sqlite3, sys
from itertools import pairwise
from pathlib import Path
from medchain import Cursor
from test_chain import Disk
database = sqlite3.connect(sys.argv[2], isolation_level=None)
[[stored]] = database.execute("select coalesce(max(cursor), '0') from place")
with Disk(Path(sys.argv[1])).read() as chain:
    for each in chain.events(Cursor.parse(stored), contract="counting", follow=True):
        database.execute("begin")
        database.execute("insert into seen values (?, ?)", (each.entry, each.event.total))
        database.execute("update place set cursor = ?", (str(each.cursor),))
        database.execute("commit")
"""


def test_a_consumer_that_is_killed_again_and_again_misses_and_doubles_nothing(tmp_path: Path) -> None:
    disk, base = Disk(tmp_path), tmp_path / "consumer.sqlite"
    with closing(sqlite3.connect(base)) as database:
        database.executescript("create table seen (entry, total); create table place (cursor text)")
        database.execute("insert into place values ('0')")
        database.commit()
    stop = threading.Event()

    def write() -> None:
        while not stop.wait(0.002):
            add(chain)

    def seen() -> list[tuple[int, int]]:
        with closing(sqlite3.connect(base, timeout=SOON)) as database:
            return list(database.execute("select entry, total from seen order by rowid"))

    with disk.create() as chain:
        thread = threading.Thread(target=write)
        thread.start()
        try:
            for _ in range(2):
                before = len(seen())
                with python(CONSUMER, disk.folder, base) as consumer:
                    eventually(lambda before=before: len(seen()) > before + 10)  # type: ignore[misc]
                    consumer.send_signal(signal.SIGKILL)
        finally:
            stop.set()
            thread.join()
        total = [(each.entry, each.event.total) for each in chain.events(contract="counting")]
    with python(CONSUMER, disk.folder, base) as consumer:  # nobody writes any more
        eventually(lambda: len(seen()) >= len(total))
        consumer.send_signal(signal.SIGKILL)
    assert seen() == total
    assert [each for _, each in total] == list(range(1, len(total) + 1))


def test_a_chain_that_is_opened_again_goes_on_where_the_cursor_is(tmp_path: Path) -> None:
    disk, handled, stored = Disk(tmp_path), [], Cursor(0)
    disk.create().close()
    for _ in range(4):
        with disk.open() as chain:
            following = chain.events(stored, contract="counting", follow=True).each(handled.append)
            for _ in range(5):
                add(chain)
        assert not following.running
        assert following.failure is None
        stored = following.cursor
    with disk.read() as chain:
        handled += chain.events(stored, contract="counting")
        assert handled == list(chain.events(contract="counting"))
    assert [each.event.total for each in handled] == list(range(1, 21))


class TestCallbacks:
    def test_they_run_on_a_thread_of_their_own_until_stopped(self, world: World) -> None:
        threads: set[str] = set()
        found: list[LoggedEvent] = []

        def call(each: LoggedEvent) -> None:
            threads.add(threading.current_thread().name)
            found.append(each)

        with world.chain.events(follow=True).each(call) as following:
            for _ in range(3):
                world.send(Add(1), world.authority)
            eventually(lambda: len(found) == 3)
            assert following.running
        assert not following.running
        assert following.failure is None
        receipt = world.send(Add(1), world.authority)
        assert len(found) == 3
        assert threads == {"medchain-events"}
        assert [each.entry for each in world.chain.events(following.cursor)] == [receipt.index]
        assert world.chain._watch._followings == [], "it is forgotten"

    def test_without_following_it_ends_at_the_end(self, world: World) -> None:
        world.send(Add(1), world.authority)
        found: list[LoggedEvent] = []
        following = world.chain.events().each(found.append)
        following.join(SOON)
        assert not following.running
        assert len(found) == 1
        assert following.cursor == Cursor(world.chain.head.size)

    def test_a_callback_may_send_prove_and_stop(self, world: World) -> None:
        totals: list[int] = []

        def call(each: LoggedEvent) -> None:
            totals.append(mc.verify(world.chain.prove(each), Added, trust=world.chain.trust).value.total)
            if len(totals) == 3:
                following.stop()
            else:
                world.send(Add(1), world.authority)

        following: Following = world.chain.events(follow=True).each(call)
        world.send(Add(1), world.authority)
        following.join(SOON)
        assert not following.running
        assert totals == [1, 2, 3]

    def test_one_that_fails_ends_it_and_the_event_is_not_handled(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        failed: list[Any] = []
        monkeypatch.setattr(threading, "excepthook", failed.append)
        for _ in range(3):
            world.send(Add(1), world.authority)
        events = list(world.chain.events())

        def call(each: LoggedEvent) -> None:
            if each == events[1]:
                raise ZeroDivisionError("a callback with a bug")

        following = world.chain.events(follow=True).each(call)
        following.join(SOON)
        assert isinstance(following.failure, ZeroDivisionError)
        assert failed[0].exc_type is ZeroDivisionError
        assert list(world.chain.events(following.cursor)) == events[1:]
        following.stop()
        assert world.send(Add(1), world.authority).ok

    def test_closing_waits_for_the_callback_that_runs_and_calls_no_other(self, world: World) -> None:
        running, go_on, ended = threading.Event(), threading.Event(), []

        def call(each: LoggedEvent) -> None:
            running.set()
            assert go_on.wait(SOON)
            assert world.send(Add(1), world.authority).ok, "the chain is not closed under its feet"
            ended.append(each)

        following = world.chain.events(follow=True).each(call)
        for _ in range(2):
            world.send(Add(1), world.authority)
        assert running.wait(SOON)
        close = threading.Thread(target=world.chain.close)
        close.start()
        close.join(0.05)
        assert close.is_alive(), "it did not wait"
        go_on.set()
        close.join(SOON)
        assert not close.is_alive()
        assert not following.running
        assert len(ended) == 1
        assert following.failure is None

    def test_a_callback_may_close_the_chain(self, world: World) -> None:
        following = world.chain.events(follow=True).each(lambda _: world.chain.close())
        world.send(Add(1), world.authority)
        following.join(SOON)
        assert not following.running
        assert following.failure is None
        assert "closed" in repr(world.chain)

    def test_a_slow_one_holds_up_no_block(self, world: World) -> None:
        go_on = threading.Event()
        with world.chain.events(follow=True).each(lambda _: go_on.wait(SOON)):
            for _ in range(5):
                assert world.send(Add(1), world.authority).ok
            go_on.set()


def test_many_follow_while_many_write(world: World) -> None:
    people = [world.register(f"person {number}") for number in range(4)]
    start = world.chain.head.size
    expected: list[LoggedEvent] = []
    found: list[list[LoggedEvent]] = [[] for _ in range(4)]
    followings = [world.chain.events(start, follow=True).each(each.append) for each in found]

    def write(who: mc.Wallet) -> None:
        for _ in range(15):
            assert world.send(Add(1), who).ok

    writers = [threading.Thread(target=write, args=(person,)) for person in people]
    for each in writers:
        each.start()
    for each in writers:
        each.join()
    eventually(lambda: all(len(each) == 60 for each in found))
    for each in followings:
        each.stop()
    expected = list(world.chain.events(start))
    assert len(expected) == 60
    assert all(each == expected for each in found)


def test_a_restored_chain_has_the_events_since_its_snapshot(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    with disk.create() as chain:
        add(chain)
        chain.snapshot(tmp_path / "snapshot")
        size, trust = chain.head.size, chain.trust
    (tmp_path / "c").rename(tmp_path / "lost")
    Chain.restore(disk.path, tmp_path / "snapshot", trust=trust, contracts=CONTRACTS).close()
    with disk.open() as chain:
        add(chain)
        with pytest.raises(StorageError, match=f"snapshot at size {size}"):
            chain.events()
        [found] = chain.events(size)
        assert found.event == Added(AUTHORITY.party.id, 2)
        assert [found] == list(chain.events(height=2))


def test_a_logged_event_shows_no_more_than_it_needs(world: World) -> None:
    world.send(Add(1, (PATIENT,)), world.authority)
    [found] = world.chain.events()
    assert "subjects=<1>" in repr(found)
    assert evolve(found, number=1) != found
