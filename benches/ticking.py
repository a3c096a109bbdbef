"""A contract whose timers set themselves anew: a million entries without a million signatures to make first.

A timer lets the next one wait for an interval of block time, so the chain's clock goes on by as much at each look.
"""

from __future__ import annotations

import threading
from pathlib import Path

from attrs import frozen
from ledger.world import START, wallet

from medchain.chain import Chain
from medchain.ledger.contract import Context, Contract, handles
from medchain.ledger.governance import PARAMETERS
from medchain.ledger.tables import Table

__all__ = ["Clock", "Tick", "Ticking", "grown"]

LANES = 1_000
"""Timers that are due in each block."""

STEP = PARAMETERS["timer_interval_ms"].default


@frozen
class Start:
    """Begin to tick in so many lanes."""

    lanes: int


@frozen
class Tick:
    """One more entry."""

    lane: int


@frozen
class TickRow:
    height: int


class Ticking(Contract):
    """Each tick writes its row and sets the next."""

    name = "ticking"
    lanes = Table(TickRow, public=True)

    @handles(Start)
    def start(self, context: Context, message: Start) -> None:
        for lane in range(message.lanes):
            context.schedule(context.time, Tick(lane))

    @handles(Tick)
    def tick(self, context: Context, message: Tick) -> None:
        self.lanes[message.lane] = TickRow(context.height)
        context.schedule(context.time, message)


class Clock:
    """Goes on by `STEP` whenever somebody looks, until it is held."""

    def __init__(self) -> None:
        self.now = START
        self.held = False
        self._lock = threading.Lock()

    def __call__(self) -> int:
        with self._lock:
            self.now += 0 if self.held else STEP
            return self.now


def grown(folder: Path, size: int) -> tuple[Chain, Clock]:
    """A chain on disk whose log has at least `size` leaves, and its clock, which is held."""
    clock = Clock()
    chain = Chain.create(
        folder / "chain",
        origin="bench.example/ticking",
        authority=wallet("authority"),
        gate=None,
        contracts=[Ticking],
        mark=folder / "mark",
        clock=clock,
    )
    lanes = min(LANES, size // 2)
    chain.send(Ticking, Start(lanes), by=[wallet("authority")])
    pause = threading.Event()
    while chain.head.size < size:
        pause.wait(0.02)
    clock.held = True
    chain.checkpoint()
    return chain, clock


def reopened(folder: Path) -> Chain:
    """The same chain, open for writing again."""
    clock = Clock()
    clock.held = True
    return Chain.open(
        folder / "chain",
        authority=wallet("authority"),
        contracts=[Ticking],
        mark=folder / "mark",
        clock=clock,
    )
