"""The embedded engine: one authority, one thread that makes blocks, group commit.

A block closes when nothing waits any more, at 2,000 transactions, at 4 MB, or when it has been open for 20 ms; its
commit is durable before anybody learns of it, on the notifier's thread. A commit that fails stops the engine: whether
the store has the block or not, nothing may be built on a guess. What was not final by then is answered with a
ConsensusError. Only StorageBusy, by which a store says that nothing was written and the same may be later, fails the
block alone.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable

from attrs import define, field

from medchain.consensus.engine import Application, Engine, Submission
from medchain.consensus.notifier import Notifier
from medchain.errors import ConsensusError, InvalidTransaction, Locked, StorageBusy, in_words
from medchain.keys.signing import self_test
from medchain.ledger.transaction import Transaction
from medchain.ledger.transition import BlockBuilder, Receipt

__all__ = ["Solo"]

INTAKE = 10_000
"""Transactions that may wait; a further one blocks its sender."""

BLOCK_TRANSACTIONS = 2_000
BLOCK_BYTES = 4 << 20
BLOCK_SECONDS = 0.02
"""A limit for times of load, not a wait: docs/adr/0012."""

LONGEST_WAIT = 60.0
"""Seconds after which the engine looks at the clock again, which may have been set."""

self_test()


@define
class _Action:
    """Something to do between two blocks."""

    call: Callable[[], None]
    done: threading.Event = field(factory=threading.Event)
    error: BaseException | None = None


@define
class _Sent:
    """A transaction that waits for its block."""

    transaction: Transaction
    submission: Submission


_Item = _Sent | _Action


class Solo(Engine):
    """The engine of a chain with one authority in this process."""

    def __init__(self, application: Application) -> None:
        self.failure: BaseException | None = None
        self._application = application
        self._notifier = Notifier()
        self._waiting: deque[_Item] = deque()
        self._closing = False
        self._pid = os.getpid()
        # Always taken as ``with self._lock``, which an interrupt cannot tear apart, and never around slow work.
        self._lock = threading.Lock()
        self._filled = threading.Condition(self._lock)
        self._room = threading.Condition(self._lock)
        self._thread = threading.Thread(target=self._run, name="medchain-solo", daemon=True)
        self._thread.start()

    def submit(self, transaction: Transaction) -> Submission:
        submission = self._notifier.submission(transaction.id)
        self._put(_Sent(transaction, submission))
        return submission

    def run(self, action: Callable[[], None]) -> None:
        item = _Action(action)
        self._put(item)
        item.done.wait()
        if item.error is not None:
            raise item.error

    def drain(self) -> None:
        self.run(lambda: None)
        self._notifier.flush()

    def close(self) -> None:
        if os.getpid() != self._pid:
            return
        with self._lock:
            self._closing = True
            self._filled.notify_all()
            self._room.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join()
            self._notifier.close()

    def _put(self, item: _Item) -> None:
        if os.getpid() != self._pid:
            raise Locked("a forked child cannot write to the chain of its parent; open it after forking")
        with self._lock:
            while len(self._waiting) >= INTAKE and not self._closing:
                self._room.wait()
            if self._closing:
                reason = "is closed" if self.failure is None else f"has stopped: {in_words(self.failure)}"
                raise ConsensusError(f"the engine {reason}") from self.failure
            self._waiting.append(item)
            self._filled.notify()

    def _take(self, timeout: float | None) -> _Item | None:
        """The next item; None if there is none within `timeout` seconds, or ever again."""
        with self._lock:
            if not self._waiting and timeout != 0:
                self._filled.wait_for(lambda: self._waiting or self._closing, timeout)
            if not self._waiting:
                return None
            if len(self._waiting) == INTAKE:
                self._room.notify_all()
            return self._waiting.popleft()

    def _run(self) -> None:
        try:
            while True:
                item = self._take(self._pause())
                if item is None and self._closing:
                    break
                if isinstance(item, _Action):
                    self._act(item)
                else:
                    self._block(item)
        except BaseException as error:  # whatever it is, those who wait are to hear of it
            self._end(error)
        self._stop()

    def _end(self, error: BaseException) -> None:
        """Take nothing any more because of a failure."""
        with self._lock:
            self.failure = error
            self._closing = True
            self._room.notify_all()

    def _pause(self) -> float:
        wait = self._application.wait_for_timer()
        return LONGEST_WAIT if wait is None else min(wait, LONGEST_WAIT)

    def _act(self, action: _Action) -> None:
        try:
            action.call()
        except StorageBusy as error:
            action.error = error
        except BaseException as error:
            self._end(error)
            action.error = error
            raise
        finally:
            action.done.set()

    def _block(self, item: _Sent | None) -> None:
        """Make one block of what is due, of `item`, and of what comes while it is open."""
        taken = [] if item is None else [item.submission]
        receipts: list[Receipt] = []
        action: _Action | None = None
        try:
            with self._application.begin() as builder:
                builder.run_timers()
                action = self._fill(builder, item, taken, receipts)
                block = None if builder.empty else builder.close()
            if block is not None:
                self._application.commit(block)
        except StorageBusy as error:
            self._notifier.tell((submission, _not_stored(error)) for submission in taken)
        except BaseException as error:
            self._end(error)  # before anybody hears of it, so that who submits then is refused
            self._notifier.tell((submission, _stopped(error)) for submission in taken)
            if action is not None:
                action.error = _stopped(error)
                action.done.set()
            raise
        else:
            self._notifier.tell(zip(taken, receipts, strict=True))
        if action is not None:
            self._act(action)

    def _fill(
        self,
        builder: BlockBuilder,
        item: _Sent | None,
        taken: list[Submission],
        receipts: list[Receipt],
    ) -> _Action | None:
        """Execute `item` and what waits behind it, until the block is full; the action that came in between, if any.

        What may not enter is told so at once and leaves `taken`; of the rest each has its receipt when it is executed.
        """
        known: dict[Transaction, Receipt] = {}
        deadline = time.monotonic() + BLOCK_SECONDS
        while item is not None:
            try:
                receipts.append(self._execute(builder, known, item.transaction))
            except InvalidTransaction as error:
                self._notifier.tell([(taken.pop(), error)])
            if builder.size >= BLOCK_BYTES or len(taken) >= BLOCK_TRANSACTIONS or time.monotonic() > deadline:
                return None
            following = self._take(0)
            if isinstance(following, _Action):
                return following
            item = following
            if item is not None:
                taken.append(item.submission)
        return None

    def _execute(
        self, builder: BlockBuilder, known: dict[Transaction, Receipt], transaction: Transaction
    ) -> Receipt:
        """The receipt of a transaction: its first one, if the same bytes are committed already or in this block.

        Raises:
            InvalidTransaction: it may not enter.
        """
        receipt = known.get(transaction) or self._application.lookup(transaction)
        if receipt is None:
            receipt = builder.add(transaction)
        known[transaction] = receipt
        return receipt

    def _stop(self) -> None:
        """Take nothing any more, and answer what nobody will look at."""
        with self._lock:
            self._closing = True
            rest = list(self._waiting)
            self._waiting.clear()
            self._room.notify_all()
        for item in rest:
            if isinstance(item, _Action):
                item.error = _stopped(self.failure)
                item.done.set()
            else:
                self._notifier.tell([(item.submission, _stopped(self.failure))])


def _stopped(cause: BaseException | None) -> ConsensusError:
    why = "it was closed" if cause is None else in_words(cause)
    error = ConsensusError(f"the engine stopped before this was known to be final: {why}")
    error.__cause__ = cause
    return error


def _not_stored(cause: StorageBusy) -> StorageBusy:
    error = StorageBusy(f"the block was not stored; submit the same bytes again: {cause}")
    error.__cause__ = cause
    return error
