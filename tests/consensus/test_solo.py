"""The embedded engine: what waits, what is committed together, and what everybody hears when it stops."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from ledger.counting import Add, Counting, Later, TotalRow
from ledger.world import World

from medchain.consensus import solo
from medchain.consensus.engine import Submission
from medchain.consensus.solo import Solo
from medchain.errors import ConsensusError, InvalidTransaction, Refused, StorageBusy, StorageFull
from medchain.ledger.transition import Receipt

SOON = 10.0


class Block(list[Any]):
    """The transactions of one block."""


class Builder:
    def __init__(self, first: int) -> None:
        self.block, self.first, self.size = Block(), first, 0

    @property
    def empty(self) -> bool:
        return not self.block

    def run_timers(self) -> None:
        pass

    def add(self, transaction: Any) -> Receipt:
        if transaction.id == b"bad":
            raise InvalidTransaction("malformed", "it is")
        self.block.append(transaction)
        self.size += 1
        code = "no" if transaction.id == b"refused" else "ok"
        return Receipt(self.first + len(self.block), 1, 0, transaction.id, code, ())

    def close(self) -> Block:
        return self.block


class Sent:
    """What the engine needs of a transaction."""

    def __init__(self, id: bytes) -> None:
        self.id = id


class Ledger:
    """An application that keeps what was committed, and whose commits wait until they may, or fail."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.may_commit = threading.Event()
        self.may_commit.set()
        self.committing = threading.Event()
        self.fault: BaseException | None = None
        self.no_snapshot: BaseException | None = None
        self.due: float | None = None

    @contextmanager
    def begin(self) -> Iterator[Any]:
        if self.no_snapshot is not None:
            raise self.no_snapshot
        yield Builder(sum(map(len, self.blocks)))

    def commit(self, block: Any) -> None:
        self.committing.set()
        assert self.may_commit.wait(SOON)
        if self.fault is not None:
            raise self.fault
        self.blocks.append(block)

    def lookup(self, transaction: Any) -> Receipt | None:
        return None

    def wait_for_timer(self) -> float | None:
        return self.due


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def engine(ledger: Ledger) -> Iterator[Solo]:
    made = Solo(ledger)
    yield made
    ledger.may_commit.set()
    made.close()
    assert not made._thread.is_alive()


def send(engine: Solo, id: bytes = b"good") -> Submission:
    transaction: Any = Sent(id)
    return engine.submit(transaction)


def held(engine: Solo, ledger: Ledger) -> Submission:
    """A transaction whose block is being committed, until the ledger may."""
    ledger.may_commit.clear()
    first = send(engine)
    assert ledger.committing.wait(SOON)
    return first


def eventually(holds: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(1_000):
        if holds():
            return
        pause.wait(SOON / 1_000)
    raise AssertionError("it did not come to that")


class TestCommits:
    def test_what_comes_during_a_commit_shares_the_next_one(self, engine: Solo, ledger: Ledger) -> None:
        first = held(engine, ledger)
        rest = [send(engine) for _ in range(20)]
        assert not any(each.done for each in (first, *rest))
        ledger.may_commit.set()
        indexes = [each.receipt(SOON).index for each in (first, *rest)]
        assert indexes == list(range(1, 22))
        assert [len(block) for block in ledger.blocks] == [1, 20]

    def test_nobody_learns_of_it_before_it_is_durable(self, engine: Solo, ledger: Ledger) -> None:
        first = held(engine, ledger)
        with pytest.raises(TimeoutError):
            first.receipt(0.05)
        ledger.may_commit.set()
        assert first.result(SOON).ok  # giving up waiting has not taken it back

    def test_a_block_ends_when_it_is_full(
        self, engine: Solo, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(solo, "BLOCK_TRANSACTIONS", 2)
        sent = [held(engine, ledger), *(send(engine) for _ in range(5))]
        ledger.may_commit.set()
        for each in sent:
            each.result(SOON)
        assert [len(block) for block in ledger.blocks] == [1, 2, 2, 1]

    def test_a_block_that_takes_long_ends_by_the_clock(
        self, engine: Solo, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(solo, "BLOCK_SECONDS", -1.0)
        sent = [held(engine, ledger), *(send(engine) for _ in range(3))]
        ledger.may_commit.set()
        for each in sent:
            each.result(SOON)
        assert [len(block) for block in ledger.blocks] == [1, 1, 1, 1]

    def test_what_is_invalid_stays_out_alone(self, engine: Solo, ledger: Ledger) -> None:
        sent = [held(engine, ledger), send(engine, b"bad"), send(engine, b"refused"), send(engine)]
        ledger.may_commit.set()
        with pytest.raises(InvalidTransaction):
            sent[1].result(SOON)
        with pytest.raises(Refused) as caught:
            sent[2].result(SOON)
        assert caught.value.reason == "no"
        assert sent[2].receipt(SOON).code == "no"
        assert sent[3].result(SOON).ok
        assert [each.id for each in ledger.blocks[1]] == [b"refused", b"good"]

    def test_the_same_transaction_twice_in_a_block_is_one(self, engine: Solo, ledger: Ledger) -> None:
        held(engine, ledger)
        transaction: Any = Sent(b"twin")
        twins = [engine.submit(transaction) for _ in range(2)]
        ledger.may_commit.set()
        assert twins[0].result(SOON) is twins[1].result(SOON)
        assert len(ledger.blocks[1]) == 1


class TestIntake:
    def test_a_full_intake_makes_its_senders_wait(
        self, engine: Solo, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(solo, "INTAKE", 3)
        sent = [held(engine, ledger), *(send(engine) for _ in range(3))]
        late = threading.Thread(target=lambda: sent.append(send(engine)))
        late.start()
        late.join(0.1)
        assert late.is_alive(), "it did not wait"
        ledger.may_commit.set()
        late.join(SOON)
        assert not late.is_alive()
        for each in sent:
            assert each.result(SOON).ok
        assert len(sent) == 5

    def test_who_waits_for_room_hears_of_the_end(
        self, engine: Solo, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(solo, "INTAKE", 1)
        held(engine, ledger)
        waiting, errors = send(engine), []

        def late() -> None:
            try:
                send(engine)
            except ConsensusError as error:
                errors.append(error)

        thread = threading.Thread(target=late)
        thread.start()
        thread.join(0.05)
        assert thread.is_alive(), "it did not wait"
        ledger.fault = StorageFull("no room")
        ledger.may_commit.set()
        thread.join(SOON)
        eventually(lambda: waiting.done)
        assert len(errors) == 1
        with pytest.raises(ConsensusError):
            waiting.result(SOON)


class TestTheEnd:
    def test_a_failed_commit_stops_it_and_everybody_hears_why(self, engine: Solo, ledger: Ledger) -> None:
        sent = [held(engine, ledger), send(engine), send(engine)]
        ledger.fault = StorageFull("no room")
        ledger.may_commit.set()
        for each in sent:
            with pytest.raises(ConsensusError, match="no room") as caught:
                each.receipt(SOON)
            assert isinstance(caught.value.__cause__, StorageFull)
        eventually(lambda: engine.failure is ledger.fault)
        for attempt in (lambda: send(engine), lambda: engine.run(lambda: None)):
            with pytest.raises(ConsensusError, match="has stopped: StorageFull: no room"):
                attempt()
        assert ledger.blocks == []

    def test_a_cause_without_words_is_named(self, engine: Solo, ledger: Ledger) -> None:
        ledger.no_snapshot = MemoryError()
        with pytest.raises(ConsensusError, match=r"known to be final: MemoryError$"):
            send(engine).receipt(SOON)
        with pytest.raises(ConsensusError, match=r"has stopped: MemoryError$"):
            send(engine)

    def test_a_commit_that_may_be_tried_again_does_not(self, engine: Solo, ledger: Ledger) -> None:
        ran: list[int] = []
        sent = [held(engine, ledger), send(engine)]
        ledger.fault = StorageBusy("a snapshot is open")
        action = threading.Thread(target=lambda: engine.run(lambda: ran.append(1)))
        action.start()
        ledger.may_commit.set()
        errors = set()
        for each in sent:
            with pytest.raises(StorageBusy, match=r"same bytes again.*snapshot is open") as caught:
                each.receipt(SOON)
            errors.add(id(caught.value))
        assert len(errors) == 2
        action.join(SOON)
        assert ran == [1]

        def fails() -> None:
            raise StorageBusy("for an action, too")

        with pytest.raises(StorageBusy, match="action"):
            engine.run(fails)
        ledger.fault = None
        assert send(engine).result(SOON).ok
        assert engine.failure is None

    def test_who_was_to_begin_the_block_hears_why_there_is_none(self, engine: Solo, ledger: Ledger) -> None:
        ledger.no_snapshot = StorageFull("no room for another reader")
        with pytest.raises(ConsensusError, match="another reader"):
            send(engine).receipt(SOON)

    def test_what_was_refused_entrance_stays_so_when_the_commit_fails(
        self, engine: Solo, ledger: Ledger
    ) -> None:
        held(engine, ledger)
        sent = [send(engine, b"bad"), send(engine)]
        ledger.may_commit.set()
        with pytest.raises(InvalidTransaction):
            sent[0].receipt(SOON)
        sent[1].receipt(SOON)
        ledger.fault = StorageFull("no room")
        sent = [send(engine, b"bad"), send(engine)]
        for each, error in zip(sent, (InvalidTransaction, ConsensusError), strict=True):
            with pytest.raises(error):
                each.receipt(SOON)

    def test_draining_waits_for_what_was_taken_and_goes_on(self, engine: Solo, ledger: Ledger) -> None:
        told: list[Submission] = []
        sent = [held(engine, ledger), *(send(engine) for _ in range(5))]
        sent[-1].add_done_callback(told.append)
        draining = threading.Thread(target=engine.drain)
        draining.start()
        draining.join(0.05)
        assert draining.is_alive(), "it did not wait"
        ledger.may_commit.set()
        draining.join(SOON)
        assert all(each.done for each in sent)
        assert told == sent[-1:]
        assert send(engine).result(SOON).ok

    def test_actions_run_between_blocks_and_what_they_raise_stops_it(
        self, engine: Solo, ledger: Ledger
    ) -> None:
        seen: list[int] = []
        engine.run(lambda: seen.append(len(ledger.blocks)))
        send(engine).result(SOON)
        engine.run(lambda: seen.append(len(ledger.blocks)))
        assert seen == [0, 1]

        def fail() -> None:
            raise StorageFull("no room")

        with pytest.raises(StorageFull):
            engine.run(fail)
        with pytest.raises(ConsensusError):
            send(engine)

    def test_closing_finishes_what_was_taken(self, engine: Solo, ledger: Ledger) -> None:
        sent = [held(engine, ledger), *(send(engine) for _ in range(5))]
        closing = threading.Thread(target=engine.close)
        closing.start()
        eventually(lambda: engine._closing)
        with pytest.raises(ConsensusError, match="is closed"):
            send(engine)
        ledger.may_commit.set()
        closing.join(SOON)
        assert all(each.done and each.result().ok for each in sent)
        engine.close()


class TestAwaiting:
    def test_a_submission_is_awaited(self, engine: Solo) -> None:
        async def client() -> Receipt:
            return await send(engine)

        assert asyncio.run(client()).ok

    def test_many_are_awaited_at_once(self, engine: Solo) -> None:
        async def wait(submission: Submission) -> Receipt:
            return await submission

        async def clients() -> list[Receipt | BaseException]:
            ids = [b"good", b"bad", b"refused", b"good"]
            return await asyncio.gather(*(wait(send(engine, id)) for id in ids), return_exceptions=True)

        kinds = [type(each) for each in asyncio.run(clients())]
        assert kinds == [Receipt, InvalidTransaction, Refused, Receipt]

    def test_a_client_that_is_cancelled_takes_nothing_back(self, engine: Solo, ledger: Ledger) -> None:
        first = held(engine, ledger)

        async def client() -> None:
            async def wait() -> Receipt:
                return await first

            task = asyncio.create_task(wait())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            ledger.may_commit.set()
            assert (await first).ok

        asyncio.run(client())
        assert send(engine).result(SOON).ok

    def test_a_client_whose_loop_has_gone_disturbs_nobody(self, engine: Solo, ledger: Ledger) -> None:
        first = held(engine, ledger)

        async def client() -> None:
            await asyncio.wait_for(asyncio.ensure_future(wait()), 0.01)

        async def wait() -> Receipt:
            return await first

        with pytest.raises(TimeoutError):
            asyncio.run(client())
        ledger.may_commit.set()
        assert first.result(SOON).ok
        assert send(engine).result(SOON).ok

    def test_a_chain_is_awaited(self, world: World) -> None:
        async def client() -> Receipt:
            return await world.chain.submit(world.sign(world.body(Add(5), world.authority), world.authority))

        assert asyncio.run(client()).ok


class TestCallbacks:
    def test_clients_never_run_on_the_thread_that_makes_blocks(self, engine: Solo, ledger: Ledger) -> None:
        threads: list[threading.Thread] = []

        class Loop(asyncio.SelectorEventLoop):
            def call_soon_threadsafe(self, *arguments: Any, **more: Any) -> Any:
                threads.append(threading.current_thread())
                return super().call_soon_threadsafe(*arguments, **more)

        async def client() -> None:
            first = held(engine, ledger)
            first.add_done_callback(lambda _: threads.append(threading.current_thread()))
            waiting = asyncio.ensure_future(wait(first))
            await asyncio.sleep(0)
            ledger.may_commit.set()
            assert (await waiting).ok

        async def wait(submission: Submission) -> Receipt:
            return await submission

        with asyncio.Runner(loop_factory=Loop) as runner:
            runner.run(client())
        engine.drain()
        assert {each.name for each in threads} >= {"medchain-notifier", "medchain-callbacks"}
        assert engine._thread not in threads

    def test_a_loop_that_is_stuck_holds_up_no_block(self, engine: Solo, ledger: Ledger) -> None:
        stuck, go_on = threading.Event(), threading.Event()

        class Loop(asyncio.SelectorEventLoop):
            def call_soon_threadsafe(self, *arguments: Any, **more: Any) -> Any:
                if threading.current_thread().name == "medchain-notifier":
                    stuck.set()
                    assert go_on.wait(SOON)
                return super().call_soon_threadsafe(*arguments, **more)

        async def wait(submission: Submission) -> Receipt:
            return await submission

        with asyncio.Runner(loop_factory=Loop) as runner:
            first = held(engine, ledger)
            task = runner.get_loop().create_task(wait(first))
            runner.get_loop().run_until_complete(asyncio.sleep(0))
            ledger.may_commit.set()
            assert stuck.wait(SOON)
            for _ in range(3):
                before = len(ledger.blocks)
                send(engine)
                eventually(lambda before=before: len(ledger.blocks) > before)
            go_on.set()
            assert runner.get_loop().run_until_complete(task).ok

    def test_a_slow_callback_holds_up_neither_blocks_nor_answers(self, engine: Solo) -> None:
        go_on, order = threading.Event(), []
        first = send(engine)
        first.add_done_callback(lambda _: go_on.wait(SOON))
        first.add_done_callback(lambda _: order.append("first"))
        second = send(engine)
        second.add_done_callback(lambda _: order.append("second"))
        assert second.result(SOON).ok
        assert send(engine).result(SOON).ok
        assert order == []
        go_on.set()
        eventually(lambda: order == ["first", "second"])

    def test_a_callback_may_send_and_wait(self, engine: Solo) -> None:
        receipts: list[Receipt] = []
        first = send(engine)
        first.add_done_callback(lambda _: receipts.append(send(engine).result(SOON)))
        eventually(lambda: len(receipts) == 1)
        assert receipts[0].index == first.result().index + 1

    def test_a_callback_that_fails_is_logged_and_the_next_one_runs(
        self, engine: Solo, caplog: pytest.LogCaptureFixture
    ) -> None:
        told: list[Submission] = []
        first = send(engine)
        first.add_done_callback(lambda _: 1 / 0)
        first.add_done_callback(told.append)
        eventually(lambda: told == [first])
        [record] = caplog.records
        assert record.levelno == logging.ERROR
        assert record.exc_info is not None
        assert record.exc_info[0] is ZeroDivisionError

    def test_closing_waits_for_callbacks_and_later_ones_run_at_once(self, engine: Solo) -> None:
        told: list[threading.Thread] = []
        first = send(engine)

        def slow(_: Submission) -> None:
            threading.Event().wait(0.05)
            told.append(threading.current_thread())

        first.add_done_callback(slow)
        engine.close()
        assert [each.name for each in told] == ["medchain-callbacks"]
        first.add_done_callback(lambda _: told.append(threading.current_thread()))
        assert told[1] is threading.current_thread()

    def test_a_callback_may_close(self, engine: Solo) -> None:
        ended = threading.Event()
        first = send(engine)
        first.add_done_callback(lambda _: (engine.close(), ended.set()))
        assert ended.wait(SOON)
        with pytest.raises(ConsensusError, match="is closed"):
            send(engine)


def test_a_timer_that_is_due_needs_no_transaction(world: World) -> None:
    world.send(Later(world.clock.now + 50, 7), world.authority)
    height = world.chain.height
    world.clock.now += 50
    eventually(lambda: world.chain.height > height)
    assert world.chain.table(Counting.totals)[bytes(32)] == TotalRow(7, world.chain.height)


@pytest.fixture
def world() -> Iterator[World]:
    made = World.make()
    with made.chain:
        yield made
