"""Ctrl-C at any moment: the chain on disk is unharmed, and whoever was interrupted can go on at once.

The interrupt comes at every so many lines of what runs between an application and the disk, and, for good measure, as a
signal to a process that writes.
"""

from __future__ import annotations

import gc
import linecache
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from test_chain import AUTHORITY, Disk, add, found_again, total

import medchain
from medchain.chain import Chain
from medchain.errors import Locked
from medchain.ledger.draft import Signed

PACKAGE = Path(medchain.__file__).parent
WHERE = tuple(
    str(PACKAGE / name)
    for name in (
        "chain.py",
        "_reading.py",
        "_opening.py",
        "_writer.py",
        "storage",
        "consensus",
        "ledger/archive.py",
    )
)
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
"""A file that was just being opened is closed when it is forgotten, and that is all there is to do."""

POINTS = 40
"""At how many places each of the steps is interrupted; every line, if there are fewer."""


class Interrupt:
    """Ctrl-C in this thread at the line number `at` of those that run in WHERE; counts them only, if that is 0."""

    def __init__(self, at: int = 0) -> None:
        self.at, self.lines = at, 0

    def run(self, step: Callable[[], Any]) -> Any:
        before = sys.gettrace()
        sys.settrace(self._enter)
        try:
            return step()
        finally:
            sys.settrace(before)

    def _enter(self, frame: FrameType, event: str, argument: object) -> Any:
        return self._line if frame.f_code.co_filename.startswith(WHERE) else None

    def _line(self, frame: FrameType, event: str, argument: object) -> Any:
        if event == "line":
            self.lines += 1
            if 0 < self.at <= self.lines and not finalising(frame) and not between(frame):
                raise KeyboardInterrupt  # which also ends the tracing
        return self._line


def finalising(frame: FrameType | None) -> bool:
    """Whether a line runs for a finaliser, whose exceptions go nowhere, an interrupt's neither."""
    while frame is not None and frame.f_code.co_name != "__del__":
        frame = frame.f_back
    return frame is not None


def between(frame: FrameType) -> bool:
    """Whether a line may stand outside of the ``with`` around it, where a tracer comes, but no signal does.

    The end of a ``with`` does, between body and exit; and so does a ``try:`` in one, which is no instruction that any
    handler covers. A lock would be kept for ever.
    """
    line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).lstrip()
    return line.startswith(("with ", "try:"))


def interrupted(step: Callable[[], Any], at: int) -> bool:
    """Run a step that is interrupted at a line; whether it was. Nothing of it is held any more afterwards."""
    try:
        Interrupt(at).run(step)
    except KeyboardInterrupt:
        return True
    finally:
        gc.collect()
    return False


def points(step: Callable[[], Any]) -> range:
    """Where to interrupt a step, from how many lines it takes undisturbed."""
    count = Interrupt()
    count.run(step)
    assert count.lines > 20
    return range(1, count.lines + 1, max(1, count.lines // POINTS))


def check(disk: Disk, least: int = 0) -> None:
    """The chain opens, holds, and takes another transaction."""
    with disk.open() as chain:
        assert chain.audit().head == chain.head
        add(chain)
        assert total(chain) > least


def test_while_a_chain_is_founded(tmp_path: Path) -> None:
    chains: list[Chain] = []
    places = points(lambda: chains.append(Disk(tmp_path / "first").create()))
    chains.pop().close()
    stopped = 0
    for at in places:
        disk = Disk(tmp_path / str(at))
        stopped += interrupted(lambda disk=disk: chains.append(disk.create()), at)
        while chains:
            chains.pop().close()
        found_again(disk).close()
        check(disk)
    assert stopped >= len(places) - 2


def test_while_a_chain_is_opened(tmp_path: Path) -> None:
    disk, chains = Disk(tmp_path), []
    disk.create().close()
    places = points(lambda: chains.append(disk.open()))
    chains.pop().close()
    for at in places:
        interrupted(lambda: chains.append(disk.open()), at)
        while chains:
            chains.pop().close()
        check(disk)


def test_while_it_is_read(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    disk.create().close()
    check(disk)

    def read() -> None:
        with disk.read() as chain:
            chain.audit()
            chain.checkpoint()

    for at in points(read):
        interrupted(read, at)
    check(disk)


@pytest.mark.parametrize("step", ["send", "submit", "checkpoint", "fresh"])
def test_while_a_writer_works(tmp_path: Path, step: str) -> None:
    disk = Disk(tmp_path)
    clock = [1_800_000_000_000]
    with disk.create(clock=lambda: clock[0]) as chain:

        def work() -> None:
            if step == "send":
                add(chain)
            elif step == "submit":
                from ledger.counting import Add, Counting

                body = chain.prepare(Counting, Add(1), [AUTHORITY.party])
                chain.submit(Signed.start(body).sign(AUTHORITY)).result(20)
            elif step == "checkpoint":
                chain._writer.engine.run(lambda: chain._writer._cut())  # a new block to be signed
                chain.checkpoint()
            else:
                chain.checkpoint(fresh=True)

        clock[0] += 100_000
        for at in points(work):
            clock[0] += 100_000
            interrupted(work, at)
            add(chain)  # it goes on as if nothing had been
            assert chain.checkpoint().head == chain.head
        at_least = total(chain)
    check(disk, at_least)


def test_while_a_chain_is_closed(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    chain = disk.create()
    add(chain)
    places = points(chain.close)
    for number, at in enumerate(places, 2):
        chain = disk.open()
        add(chain)
        interrupted(chain.close, at)
        chain.close()
        del chain
        gc.collect()
        with disk.open() as chain:
            assert total(chain) == number
    check(disk)


WRITER = """
import sys
from pathlib import Path
from test_chain import Disk, add, total
with Disk(Path(sys.argv[1])).open() as chain:
    for _ in range(100_000):
        add(chain)
        print(total(chain), flush=True)
"""


def test_a_process_that_writes_gets_the_signal(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    disk.create().close()
    known = 0
    for number in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent,
        )
        with process:
            assert process.stdout is not None
            assert process.stderr is not None
            known = int(process.stdout.readline())
            time.sleep(0.013 * number)
            with pytest.raises(Locked):
                disk.open()
            process.send_signal(signal.SIGINT)
            said = process.stdout.read().split()
            assert "KeyboardInterrupt" in process.stderr.read()
        known = int(said[-1]) if said else known
        check(disk, known)
