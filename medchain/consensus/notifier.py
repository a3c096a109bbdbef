"""Telling clients what came of their submissions, so that nothing of theirs runs on the engine's thread or holds it up.

The engine puts outcomes into a queue and goes on. One thread answers the submissions: that wakes threads and event
loops, and waits for nobody. Callbacks of clients run on another one, so that a callback may itself send a transaction
and wait for it, and a slow one delays other callbacks only.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from queue import SimpleQueue

from medchain.consensus.engine import Submission
from medchain.ledger.transition import Receipt

__all__ = ["Lane", "Notifier"]

Outcome = tuple[Submission, Receipt | BaseException]


class Lane:
    """Runs calls one after another, on a thread of its own that begins with the first."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    def put(self, call: Callable[[], object]) -> None:
        """Have `call` run; when the lane is closed, here and now."""
        with self._lock:
            closed = self._closed
            if not closed:
                self._calls.put(call)
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                    self._thread.start()
        if closed:
            call()

    def flush(self) -> None:
        """Wait until what was put before has run. From the lane's own thread it does nothing."""
        reached = threading.Event()
        if self._thread not in (None, threading.current_thread()):
            self.put(reached.set)
            reached.wait()

    def close(self) -> None:
        """Run what was put, then end; wait for that, unless called from the lane's own thread."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._calls.put(None)
        if self._thread not in (None, threading.current_thread()):
            self._thread.join()

    def _run(self) -> None:
        for call in iter(self._calls.get, None):
            try:
                call()
            except Exception:  # one client's mistake is not another's
                logging.getLogger(__name__).exception("a callback has failed")


class Notifier:
    """Answers the submissions of one engine."""

    def __init__(self) -> None:
        self._answers = Lane("medchain-notifier")
        self._callbacks = Lane("medchain-callbacks")

    def submission(self, id: bytes) -> Submission:
        """A new submission, whose callbacks run on the notifier's thread for them."""
        return Submission(id, self._callbacks.put)

    def tell(self, outcomes: Iterable[Outcome]) -> None:
        """Have submissions answered, in order; returns at once."""
        told = tuple(outcomes)
        self._answers.put(lambda: _answer(told))

    def flush(self) -> None:
        """Wait until everybody knows what was told before, and the callbacks have run."""
        self._answers.flush()
        self._callbacks.flush()

    def close(self) -> None:
        """Finish what was told, callbacks included, then end."""
        self._answers.close()
        self._callbacks.close()


def _answer(outcomes: Iterable[Outcome]) -> None:
    for submission, outcome in outcomes:
        submission.resolve(outcome)
