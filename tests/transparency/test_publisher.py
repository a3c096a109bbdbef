"""Publishing on a timer: turns, errors, and the end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from ledger.counting import Add
from ledger.world import World

from medchain.errors import NotWitnessed, Rewound
from medchain.ledger.checkpoint import Checkpoint
from medchain.transparency import Publisher

SOON = 20.0


@pytest.fixture
def world() -> Iterator[World]:
    made = World.make()
    with made.chain:
        yield made


class Counted:
    """A `cosign` that counts, fails while it is told to, and says when it was asked."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.asked = threading.Semaphore(0)

    def __call__(self, checkpoint: Checkpoint) -> Checkpoint:
        self.asked.release()
        if self.error is not None:
            raise self.error
        return checkpoint


def published(folder: Path) -> int:
    return Checkpoint.parse((folder / "checkpoint").read_bytes()).size


def test_turns(world: World, tmp_path: Path) -> None:
    cosign = Counted()
    with Publisher(world.chain, tmp_path, every=0.01, cosign=cosign) as publisher:
        assert cosign.asked.acquire(timeout=SOON)
        world.send(Add(1), world.authority)
        assert cosign.asked.acquire(timeout=SOON)
        with publisher._turn:
            assert publisher.last is not None
            assert "entries" in repr(publisher)
    assert published(tmp_path) == world.chain.head.size
    assert publisher.failure is None


def test_the_end_publishes_what_is_left(world: World, tmp_path: Path) -> None:
    with Publisher(world.chain, tmp_path, every=3600):
        world.send(Add(1), world.authority)
    assert published(tmp_path) == world.chain.head.size


def test_a_chain_that_rests_is_not_published_again(world: World, tmp_path: Path) -> None:
    cosign = Counted()
    with Publisher(world.chain, tmp_path, every=0.005, cosign=cosign):
        assert cosign.asked.acquire(timeout=SOON)
        assert not cosign.asked.acquire(timeout=0.2)
    assert not cosign.asked.acquire(blocking=False)


def test_errors_are_told_and_tried_again(world: World, tmp_path: Path) -> None:
    cosign, told = Counted(), threading.Semaphore(0)
    cosign.error = NotWitnessed("nobody answers", refusals={})
    publisher = Publisher(world.chain, tmp_path, every=0.01, cosign=cosign, on_error=lambda _: told.release())
    with publisher:
        assert told.acquire(timeout=SOON)
        assert told.acquire(timeout=SOON)
        failure = publisher.failure
        assert failure is cosign.error
        cosign.error = None
    assert publisher.failure is None
    assert published(tmp_path) == world.chain.head.size


@pytest.mark.parametrize("error", [Rewound("an old copy"), RuntimeError("a mistake")])
def test_what_trying_again_does_not_mend_stops_it(world: World, tmp_path: Path, error: Exception) -> None:
    cosign, told = Counted(), threading.Semaphore(0)
    cosign.error = error
    publisher = Publisher(
        world.chain, tmp_path, every=0.005, cosign=cosign, on_error=lambda _: told.release()
    )
    with publisher:
        assert told.acquire(timeout=SOON)
        assert not told.acquire(timeout=0.2)
    assert publisher.failure is cosign.error
    assert not (tmp_path / "checkpoint").exists()


def test_a_turn_takes_time(world: World, tmp_path: Path) -> None:
    for every in (0, -1, float("nan"), float("inf"), 1e300):
        with pytest.raises(ValueError, match="seconds"):
            Publisher(world.chain, tmp_path, every=every)
