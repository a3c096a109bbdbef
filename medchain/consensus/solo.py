"""The embedded engine: one authority, one thread that makes blocks, group commit.

A block closes when nothing waits any more, at 2,000 transactions, at 4 MB, or when it has been open for 50 ms; its
commit is durable before anybody learns of it. A failed commit fails its own transactions and stops the engine.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable

from attrs import define, field

from medchain.consensus.engine import Application, Engine, Submission
from medchain.errors import ConsensusError, InvalidTransaction, Locked, MedchainError
from medchain.keys.signing import self_test
from medchain.ledger.transaction import Transaction
from medchain.ledger.transition import BlockBuilder, Receipt

__all__ = ["Solo"]

INTAKE = 10_000
"""Transactions that may wait; a further one blocks its sender."""

BLOCK_TRANSACTIONS = 2_000
BLOCK_BYTES = 4 << 20
BLOCK_SECONDS = 0.05

self_test()


@define
class _Action:
    """Something to do between two blocks."""

    call: Callable[[], None]
    done: threading.Event = field(factory=threading.Event)
    error: BaseException | None = None


_Item = tuple[Transaction, Submission] | _Action | None


class Solo(Engine):
    """The engine of a chain with one authority in this process."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._intake: queue.Queue[_Item] = queue.Queue(INTAKE)
        self.failure: BaseException | None = None
        self._closing = False
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._run, name="medchain-solo", daemon=True)
        self._thread.start()

    def submit(self, transaction: Transaction) -> Submission:
        submission = Submission(transaction.id)
        self._put((transaction, submission))
        return submission

    def run(self, action: Callable[[], None]) -> None:
        item = _Action(action)
        self._put(item)
        while not item.done.wait(0.1):
            if not self._thread.is_alive():
                raise ConsensusError("the engine has stopped") from self.failure
        if item.error is not None:
            raise item.error

    def _put(self, item: _Item) -> None:
        if os.getpid() != self._pid:
            raise Locked("a forked child cannot write to the chain of its parent; open it after forking")
        with self._lock:
            if self._closing or self.failure is not None:
                reason = "closed" if self.failure is None else f"stopped by {self.failure}"
                raise ConsensusError(f"the engine is {reason}") from self.failure
            self._intake.put(item)

    def close(self) -> None:
        if os.getpid() != self._pid:
            return
        with self._lock:
            closing, self._closing = self._closing, True
            if not closing:
                self._intake.put(None)
        self._thread.join()

    def _run(self) -> None:
        while self.failure is None:
            try:
                item = self._intake.get(timeout=self._application.wait_for_timer())
            except queue.Empty:
                self._block(None)
                continue
            if item is None:
                break
            if isinstance(item, _Action):
                self._act(item)
            else:
                self._block(item)
        self._refuse_rest()

    def _act(self, action: _Action) -> None:
        try:
            action.call()
        except BaseException as error:
            action.error = error
            if not isinstance(error, MedchainError):
                self.failure = error
        action.done.set()

    def _block(self, item: _Item) -> None:
        """Make one block of what is due, of `item`, and of what comes while it is open."""
        pending: list[Submission] = []
        taken: list[tuple[Submission, Receipt]] = []
        try:
            builder = self._application.begin()
            builder.run_timers()
            known: dict[bytes, Receipt] = {}
            deadline = time.monotonic() + BLOCK_SECONDS
            while isinstance(item, tuple):
                pending.append(item[1])
                self._take(builder, known, taken, *item)
                full = builder.size >= BLOCK_BYTES or len(taken) >= BLOCK_TRANSACTIONS
                item = None if full or time.monotonic() > deadline else self._next()
            if not builder.empty:
                self._application.commit(builder.close())
        except BaseException as error:
            self.failure = error
            for submission in pending:
                if not submission.done:
                    submission.resolve(_stopped(error))
            return
        for submission, receipt in taken:
            submission.resolve(receipt)
        if isinstance(item, _Action):
            self._act(item)

    def _next(self) -> _Item:
        try:
            item = self._intake.get_nowait()
        except queue.Empty:
            return None
        if item is None:  # the end: leave it for the loop
            self._intake.put(None)
        return item

    def _take(
        self,
        builder: BlockBuilder,
        known: dict[bytes, Receipt],
        taken: list[tuple[Submission, Receipt]],
        transaction: Transaction,
        submission: Submission,
    ) -> None:
        """Execute one transaction; one that is committed already, or is in this block, gets its first receipt."""
        receipt = known.get(transaction.id) or self._application.lookup(transaction.id)
        if receipt is None:
            try:
                receipt = known[transaction.id] = builder.add(transaction)
            except InvalidTransaction as error:
                submission.resolve(error)
                return
        taken.append((submission, receipt))

    def _refuse_rest(self) -> None:
        """Answer what nobody will look at any more."""
        while True:
            try:
                item = self._intake.get_nowait()
            except queue.Empty:
                return
            if isinstance(item, _Action):
                item.error = _stopped(self.failure)
                item.done.set()
            elif item is not None:
                item[1].resolve(_stopped(self.failure))


def _stopped(cause: BaseException | None) -> ConsensusError:
    error = ConsensusError(f"the engine stopped before this was final: {cause}")
    error.__cause__ = cause
    return error
