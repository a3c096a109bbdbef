"""Sequence numbers: none is handed out while it is in flight, drafts at home keep theirs, and nobody waits for ever."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger.counting import Add
from ledger.world import Clock, World, wallet
from test_chain import Disk, signed, total
from test_sharing import SOON, together, until

from medchain import _numbering
from medchain._numbering import HOLD_MS, SequenceNumbers
from medchain.errors import InvalidTransaction, TooManyDrafts
from medchain.ledger.draft import Signed
from medchain.ledger.system import WINDOW
from medchain.ledger.transaction import SignerRef

ANN, BOB = SignerRef(bytes(32), bytes(16)), SignerRef(bytes(31) + b"\1", bytes(16))


class Key:
    """The numbers of a chain on which nothing happens by itself."""

    def __init__(self) -> None:
        self.used: dict[SignerRef, int] = {}
        self.clock = Clock()
        self.numbers = SequenceNumbers(lambda ref: self.used.get(ref, 0), self.clock)

    def take(self, count: int = 1, ref: SignerRef = ANN) -> list[int]:
        return [self.numbers.take(ref) for _ in range(count)]

    def commit(self, number: int, ref: SignerRef = ANN) -> None:
        self.used[ref] = max(self.used.get(ref, 0), number)
        self.numbers.committed()
        self.numbers.landed(ref, number)


@pytest.fixture
def key() -> Key:
    return Key()


@pytest.fixture
def world() -> Iterator[World]:
    made = World.make()
    with made.chain:
        yield made


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_numbering, "PATIENCE", 0.02)


class TestNumbers:
    def test_each_is_given_once(self, key: Key) -> None:
        assert key.take(WINDOW) == list(range(1, WINDOW + 1))
        assert key.take(3, BOB) == [1, 2, 3]

    def test_it_begins_after_what_is_committed(self, key: Key) -> None:
        key.used[ANN] = 70
        assert key.take(2) == [71, 72]
        key.used[ANN] = 90
        assert key.take() == [91]

    def test_drafts_of_the_last_hour_are_not_overrun(self, key: Key) -> None:
        key.take(WINDOW)
        key.clock.now += HOLD_MS - 1
        with pytest.raises(TooManyDrafts, match="1,024 drafts of this key are out"):
            key.take()

    def test_one_that_is_older_gives_its_number_back_and_the_oldest_goes_first(self, key: Key) -> None:
        key.take(WINDOW)
        key.clock.now += HOLD_MS
        assert key.take(2) == [1, 2]
        key.numbers.sent(ANN, 3)
        key.commit(3)
        assert key.take(4) == [WINDOW + 1, WINDOW + 2, WINDOW + 3, 4]

    def test_none_that_is_in_flight_is_given(self, key: Key, impatient: None) -> None:
        for number in key.take(WINDOW):
            key.numbers.sent(ANN, number)
        key.clock.now += 10 * HOLD_MS
        with pytest.raises(TooManyDrafts, match=r"1,024 transactions of this key are on their way"):
            key.take()
        assert key.take(1, BOB) == [1]

    def test_a_draft_waits_for_what_is_in_flight(self, key: Key) -> None:
        for number in key.take(WINDOW):
            key.numbers.sent(ANN, number)
        taken: list[int] = []
        waiting = threading.Thread(target=lambda: taken.extend(key.take()))
        waiting.start()
        waiting.join(0.05)
        assert waiting.is_alive(), "it did not wait"
        key.commit(1)
        waiting.join(SOON)
        assert taken == [WINDOW + 1]

    def test_what_could_not_enter_keeps_its_number_for_its_time(self, key: Key) -> None:
        """A stranger may send garbage under somebody's name: that takes no number from a draft."""
        for number in key.take(WINDOW):
            key.numbers.sent(ANN, number)
            key.numbers.landed(ANN, number)
        with pytest.raises(TooManyDrafts, match="out"):
            key.take()
        key.clock.now += HOLD_MS
        assert key.take() == [1]

    def test_who_waits_goes_on_when_nothing_in_flight_could_enter(self, key: Key) -> None:
        for number in key.take(WINDOW):
            key.numbers.sent(ANN, number)
        key.clock.now += HOLD_MS
        taken: list[int] = []
        waiting = threading.Thread(target=lambda: taken.extend(key.take()))
        waiting.start()
        for number in range(1, WINDOW + 1):
            key.numbers.landed(ANN, number)
        waiting.join(SOON)
        assert taken == [1]

    def test_numbers_from_elsewhere_are_passed_over_and_come_later(self, key: Key) -> None:
        for number in (1, 2, 5):
            key.numbers.sent(ANN, number)
        assert key.take(3) == [3, 4, 6]
        for number in (1, 2, 5):
            key.numbers.landed(ANN, number)
        assert key.take(WINDOW - 3) == [*range(7, WINDOW + 1), 1, 2, 5]

    def test_the_same_bytes_twice_are_in_flight_until_both_are_known(self, key: Key) -> None:
        key.numbers.sent(ANN, 1)
        key.numbers.sent(ANN, 1)
        key.numbers.landed(ANN, 1)
        assert key.take() == [2]

    def test_strangers_leave_nothing_behind(self, key: Key) -> None:
        key.numbers.sent(BOB, 5)
        key.numbers.landed(BOB, 5)
        assert key.numbers._keys == {}

    @given(st.lists(st.sampled_from(["take", "send", "commit", "refuse", "hour"]), max_size=300))
    def test_no_number_is_had_twice(self, moves: list[str]) -> None:
        """With a window of 8: a number goes to one draft, unless that one is an hour old and was never sent."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_numbering, "WINDOW", 8)
            patch.setattr(_numbering, "PATIENCE", 0.0)
            key = Key()
            out: dict[int, int] = {}
            flying: list[int] = []
            for move in moves:
                if move == "take":
                    try:
                        [number] = key.take()
                    except TooManyDrafts:
                        assert flying or len([each for each in out if each > key.used.get(ANN, 0)]) == 8
                        continue
                    assert key.used.get(ANN, 0) < number <= key.used.get(ANN, 0) + 8
                    assert number not in flying
                    assert number not in out or out[number] + HOLD_MS <= key.clock.now
                    out[number] = key.clock.now
                elif move == "send" and (rest := [each for each in out if each not in flying]):
                    flying.append(rest[0])
                    key.numbers.sent(ANN, rest[0])
                elif move == "commit" and flying:
                    number = flying.pop(0)
                    del out[number]
                    key.commit(number)
                elif move == "refuse" and flying:
                    key.numbers.landed(ANN, flying.pop(0))
                elif move == "hour":
                    key.clock.now += HOLD_MS


class TestChains:
    """What a reviewer saw vanish."""

    @pytest.mark.parametrize("distinct", [False, True])
    def test_many_more_than_the_window_in_flight(self, tmp_path: Path, distinct: bool) -> None:
        with Disk(tmp_path).create() as chain:
            sent = [
                chain.submit(signed(chain, number + 1 if distinct else 1)) for number in range(3 * WINDOW)
            ]
            receipts = [each.result(SOON) for each in sent]
            assert len({each.index for each in receipts}) == 3 * WINDOW
            assert total(chain) == (sum(range(3 * WINDOW + 1)) if distinct else 3 * WINDOW)

    def test_many_drafts_first_are_told_before_any_is_lost(self, world: World) -> None:
        drafts = [world.body(Add(1), world.authority) for _ in range(WINDOW)]
        with pytest.raises(TooManyDrafts, match="submit some"):
            world.body(Add(1), world.authority)
        sent = [world.chain.submit(world.sign(each, world.authority)) for each in drafts]
        assert len({each.result(SOON).index for each in sent}) == WINDOW
        assert world.send(Add(1), world.authority).ok

    def test_threads_of_one_key(self, tmp_path: Path) -> None:
        with Disk(tmp_path).create() as chain:

            def work(_: int) -> None:
                for each in [chain.submit(signed(chain)) for _ in range(600)]:
                    each.result(SOON)

            together(4, work)
            assert total(chain) == 2_400

    def test_a_callback_may_go_on_although_its_key_is_at_its_limit(self, tmp_path: Path) -> None:
        """What a draft waits for is known without the callbacks, so that one of them may wait for it."""
        with Disk(tmp_path).create() as chain:
            done = threading.Event()

            def more(_: object) -> None:
                for each in [chain.submit(signed(chain)) for _ in range(WINDOW + 10)]:
                    each.result(SOON)
                done.set()

            for _ in range(WINDOW):
                last = chain.submit(signed(chain))
            last.add_done_callback(more)
            assert done.wait(2 * SOON)

    def test_a_draft_that_was_at_home_for_days(self, world: World) -> None:
        device = world.register("device")
        at_home = world.body(Add(7), device)
        for _ in range(300):
            assert world.send(Add(1), device).ok
        world.clock.now += 3 * 24 * HOLD_MS
        assert world.chain.submit(world.sign(at_home, device)).result(SOON).ok

    def test_garbage_under_a_name_takes_no_number_from_it(self, world: World) -> None:
        device = world.register("device")
        draft = world.body(Add(7), device)
        with pytest.raises(InvalidTransaction):
            world.chain.submit(world.sign(draft, wallet("somebody"))).result(SOON)
        until(lambda: not world.chain._writer._numbers._keys[draft.signers[0]].flying)  # type: ignore[union-attr]
        assert world.body(Add(8), device).seq == draft.seq + 1
        assert world.chain.submit(Signed.start(draft).sign(device)).result(SOON).ok
