"""What an engine is: it takes transactions and makes them final, block by block."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from typing import Any, Protocol

from medchain.errors import Refused
from medchain.ledger.transaction import Transaction
from medchain.ledger.transition import Block, BlockBuilder, Receipt

__all__ = ["Application", "Engine", "Submission"]


class Application(Protocol):
    """What an engine drives: the chain's state transition over its store."""

    def begin(self) -> AbstractContextManager[BlockBuilder]:
        """A builder for the next block, at the time that it is now; leave the context before the block is committed."""
        ...

    def commit(self, block: Block) -> None:
        """Make a block durable; when this returns it is final."""
        ...

    def lookup(self, transaction: Transaction) -> Receipt | None:
        """The receipt of a transaction whose very bytes are committed already."""
        ...

    def wait_for_timer(self) -> float | None:
        """Seconds until the next scheduled message is due; None if there is none. Called between blocks."""
        ...


class Submission:
    """A transaction on its way. Wait with `result`, or ``await`` it.

    Giving up waiting, by a timeout or because the waiting task is cancelled, does not take it back: it goes on to
    become final. Submitting the same bytes again gives a submission with the same receipt.

    Args:
        id: of the transaction.
        later: runs the callbacks of clients; by default whoever resolves the submission does.
    """

    def __init__(self, id: bytes, later: Callable[[Callable[[], object]], None] | None = None) -> None:
        self.id = id
        self._later = later or _now
        self._future: concurrent.futures.Future[Receipt] = concurrent.futures.Future()

    def __repr__(self) -> str:
        state = (
            "pending" if not self._future.done() else "failed" if self._future.exception() else "committed"
        )
        return f"<Submission {self.id.hex()[:12]}… {state}>"

    def resolve(self, outcome: Receipt | BaseException) -> None:
        """Say what came of it; called once on behalf of the engine, but not by the thread that makes blocks."""
        if isinstance(outcome, BaseException):
            self._future.set_exception(outcome)
        else:
            self._future.set_result(outcome)

    @property
    def done(self) -> bool:
        """Whether it is known what came of it."""
        return self._future.done()

    def receipt(self, timeout: float | None = None) -> Receipt:
        """The receipt, also if the contract refused.

        Raises:
            InvalidTransaction: it may not enter a block, and nothing is logged.
            ConsensusError: the engine stopped before it was known to be final. Its ``__cause__`` is what stopped it,
                on a full disk `StorageFull`. Submit the same bytes again when the chain is open again: the answer is
                the first receipt, or a new one.
            StorageBusy: snapshots that this process has open keep the store from growing. Nothing is logged: close
                them, and submit the same bytes again.
            TimeoutError: not yet known after `timeout` seconds; it may still be committed.
        """
        return self._future.result(timeout)

    def result(self, timeout: float | None = None) -> Receipt:
        """The receipt of an accepted transaction.

        Raises:
            Refused: the contract refused it; ``reason`` is its code, ``receipt`` where that is logged.
            InvalidTransaction, ConsensusError, StorageBusy, TimeoutError: as for `receipt`.
        """
        return accepted(self.receipt(timeout))

    def add_done_callback(self, call: Callable[[Submission], object]) -> None:
        """Have ``call(submission)`` run once it is known what came of it.

        It runs on a thread for callbacks, in order with others, and may send transactions and wait for them. What it
        raises is logged. A slow one delays other callbacks, and the closing of the chain, but no block.
        """
        self._future.add_done_callback(lambda _: self._later(functools.partial(call, self)))

    def when_known(self, call: Callable[[], object]) -> None:
        """Have bookkeeping run at once, by whoever resolves this: `call` neither waits nor fails."""
        self._future.add_done_callback(lambda _: call())

    def __await__(self) -> Generator[Any, None, Receipt]:
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()

        def finish() -> None:
            if not waiter.done():
                waiter.set_result(None)

        def wake(_: object) -> None:
            with contextlib.suppress(
                RuntimeError
            ):  # the client's loop is closed: nobody waits there any more
                loop.call_soon_threadsafe(finish)

        self._future.add_done_callback(wake)
        yield from waiter.__await__()
        return self.result(0)


def _now(call: Callable[[], object]) -> None:
    call()


def accepted(receipt: Receipt) -> Receipt:
    """The receipt, if the contract accepted; Refused if not."""
    if not receipt.ok:
        raise Refused("the contract refused the transaction", reason=receipt.code, receipt=receipt)
    return receipt


class Engine(ABC):
    """Takes transactions, gives final blocks to its application."""

    @abstractmethod
    def submit(self, transaction: Transaction) -> Submission:
        """Take a transaction. Waits while the intake is full.

        Raises:
            ConsensusError: the engine has stopped; its cause is chained.
        """

    @abstractmethod
    def run(self, action: Callable[[], None]) -> None:
        """Run `action` between two blocks and wait for it. What it raises is raised here, and stops the engine."""

    @abstractmethod
    def drain(self) -> None:
        """Wait until what was taken before is final and those who wait for it know.

        Raises:
            ConsensusError: as `submit`.
        """

    @abstractmethod
    def close(self) -> None:
        """Finish what was taken, then stop. May be called twice."""
