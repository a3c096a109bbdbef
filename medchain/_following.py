"""Following a log as it grows: an iterator that waits for the next block, and the same on a thread of its own.

In the process that writes, whoever waits is woken by the commit. Elsewhere the end of the stored log is looked up, at
first after 20 ms, then less and less often, at least twice a second. Nothing is held between two events: no snapshot,
no lock.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

from medchain.errors import Locked, StorageError
from medchain.ledger.archive import Archive
from medchain.ledger.events import Cursor, EventReader, LoggedEvent

__all__ = ["Events", "Following", "Growth", "Watch"]

FIRST_POLL, LAST_POLL = 0.02, 0.5
"""Seconds between two looks at the end of the log, right after it has grown and when it rests."""


class Growth:
    """Wakes those in this process who wait for the log to grow. A chain open for reading has one that never does."""

    def __init__(self, size: int = 0) -> None:
        self._size = size
        self._changed = threading.Condition()

    def reached(self, size: int) -> None:
        """The stored log has `size` leaves now."""
        with self._changed:
            self._size = size
            self._changed.notify_all()

    def wake(self) -> None:
        """Let everybody look again whether to go on waiting."""
        with self._changed:
            self._changed.notify_all()

    def wait(self, size: int, ended: Callable[[], bool], timeout: float | None) -> None:
        """Wait until the log is known to be longer than `size`, or `ended`, or `timeout` seconds have passed."""
        with self._changed:
            self._changed.wait_for(lambda: self._size > size or ended(), timeout)


class _Ended(Exception):
    """The chain is being closed."""


class Watch:
    """What the event streams of one open chain have in common: when to look again, and when to end.

    Args:
        growth: of the writer in this process; None for a chain that is open for reading.
    """

    def __init__(self, archive: Archive, growth: Growth | None) -> None:
        self._archive = archive
        self._polls = growth is None
        self._growth = Growth() if growth is None else growth
        self._state = threading.Condition()
        self._reading = 0
        self._followings: list[Following] = []
        self._pid = os.getpid()
        self.ended = False

    def events(
        self,
        owner: object,
        reader: EventReader,
        since: Cursor | int,
        height: int | None,
        *,
        follow: bool,
        timeout: float | None,
    ) -> Events:
        """A new stream; arguments as for `Chain.events`.

        Args:
            owner: the open chain, which stays open as long as somebody has a stream of it.
        """
        if timeout is not None and not follow:
            raise ValueError("a timeout goes with follow=True: nothing is waited for otherwise")
        start = since if isinstance(since, Cursor) else Cursor(since)
        if height is not None:
            if start != Cursor(0):
                raise ValueError("name the place by since or by height, not by both")
            start = Cursor(self._archive.header_index(height - 1) + 1 if height else 0)
        size, base = self._archive.tip().size, self._archive.base
        if start > Cursor(size):
            raise IndexError(f"the log has {size} leaves and does not reach up to {start}")
        if base is not None and start.entry < base.size:
            raise StorageError(
                f"this chain was restored from a snapshot at size {base.size}; what was logged before is not here"
            )
        return Events(owner, self, reader, start, size, follow=follow, timeout=timeout)

    @contextmanager
    def reading(self) -> Iterator[int]:
        """The size of the stored log; the store stays open until the context is left. Locked in a forked child."""
        self._check_process()
        with self._state:
            if self.ended:
                raise _Ended
            self._reading += 1
        try:
            yield self._archive.tip().size
        finally:
            with self._state:
                self._reading -= 1
                self._state.notify_all()

    def wait(self, size: int, stopped: Callable[[], bool], deadline: float | None) -> bool:
        """Wait for the log to be longer than `size`; False if it is not by the deadline, or if the wait is ended."""

        def ended() -> bool:
            return self.ended or stopped()

        pause = FIRST_POLL
        while not ended():
            rest = None if deadline is None else deadline - time.monotonic()
            if rest is not None and rest <= 0:
                return False
            if self._polls:
                rest = pause if rest is None else min(pause, rest)
                pause = min(2 * pause, LAST_POLL)
            self._growth.wait(size, ended, rest)
            with self.reading() as now:
                if now > size:
                    return True
        return False

    def wake(self) -> None:
        """Let the streams look again whether to go on waiting."""
        self._check_process()
        self._growth.wake()

    def start(self, following: Following, thread: threading.Thread) -> None:
        """Start the thread of `following`, which is stopped when the chain is closed; ValueError if it is."""
        self._check_process()
        with self._state:
            if self.ended:
                raise ValueError("the chain is closed")
            thread.start()
            self._followings.append(following)

    def forget(self, following: Following) -> None:
        """It has ended."""
        with self._state:
            self._followings.remove(following)

    def close(self) -> None:
        """End every stream; wait for callbacks and reads that are under way. A forked child has none of them."""
        if os.getpid() != self._pid:
            return
        with self._state:
            running = list(self._followings)
            for following in running:
                following.end()
            self.ended = True
        self.wake()
        with self._state:
            self._state.wait_for(lambda: self._reading == 0)
        for following in running:
            following.join()

    def _check_process(self) -> None:
        # Before any lock is taken: a thread of the parent may have held it, and gives nothing back in the child.
        if os.getpid() != self._pid:
            raise Locked("a forked child cannot follow the chain of its parent; open it after forking")


class Events(Iterator[LoggedEvent]):
    """Events of a chain in order: an iterator, for one thread at a time.

    With ``follow=True`` it waits for more at the end of the log. Its end then means that nothing came within `timeout`,
    or that the chain was closed; asked again, it waits again.
    """

    def __init__(
        self,
        owner: object,
        watch: Watch,
        reader: EventReader,
        start: Cursor,
        size: int,
        *,
        follow: bool,
        timeout: float | None,
    ) -> None:
        self._owner = owner  # an open chain that somebody iterates over is not forgotten
        self._watch = watch
        self._reader = reader
        self._cursor = start
        self._size = size
        self._follow = follow
        self._timeout = timeout
        self._stopped = False
        # What was read and not given yet, and the place up to which that is all; one value, for interrupts.
        self._read: tuple[deque[LoggedEvent], Cursor] = deque(), start

    @property
    def cursor(self) -> Cursor:
        """The place up to which everything was given, or passed over because it was not looked for."""
        return self._cursor

    def __next__(self) -> LoggedEvent:
        deadline = None if self._timeout is None else time.monotonic() + self._timeout
        try:
            while not self._read[0]:
                self._cursor = self._read[1]
                if self._stopped or not self._more(deadline):
                    raise StopIteration
            if self._watch.ended:
                raise _Ended
        except _Ended:
            if self._follow or self._stopped:
                raise StopIteration from None
            raise ValueError("the chain is closed") from None
        if self._stopped:
            raise StopIteration
        logged = self._read[0].popleft()
        self._cursor = logged.cursor
        return logged

    def _more(self, deadline: float | None) -> bool:
        """Read a run of leaves, or wait for some; False at the end."""
        start = self._read[1]
        with self._watch.reading() as now:
            size = now if self._follow else self._size
            if start.entry < size:
                found, after = self._reader.run(start, size)
                self._read = deque(found), after
                return True
        return self._follow and self._watch.wait(start.entry, lambda: self._stopped, deadline)

    def stop(self) -> None:
        """Give nothing any more; may be called from another thread."""
        self._stopped = True
        self._watch.wake()

    def each(self, call: Callable[[LoggedEvent], object]) -> Following:
        """Have ``call(logged)`` run for each event, on a thread of its own, until it is stopped or the events end."""
        return Following(self, call)


class Following:
    """A thread that calls back for each event. A context manager: leaving it stops.

    An exception of the callback ends it; it is kept in `failure` and goes to `threading.excepthook`. The event that the
    callback failed on counts as not handled.
    """

    def __init__(self, events: Events, call: Callable[[LoggedEvent], object]) -> None:
        self._events = events
        self._call = call
        self._cursor = events.cursor
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="medchain-events", daemon=True)
        events._watch.start(self, self._thread)

    @property
    def cursor(self) -> Cursor:
        """The place behind the last event whose callback has returned."""
        return self._cursor

    @property
    def running(self) -> bool:
        """Whether it still calls back, or waits to."""
        return self._thread.is_alive()

    @property
    def failure(self) -> BaseException | None:
        """What ended it, if that was not `stop`, the end of the events or the closing of the chain."""
        return self._failure

    def _run(self) -> None:
        try:
            for logged in self._events:
                self._call(logged)
                self._cursor = logged.cursor
            self._cursor = self._events.cursor
        except BaseException as error:
            self._failure = error
            raise
        finally:
            self._events._watch.forget(self)

    def end(self) -> None:
        """Call back no more, without waiting for a callback that is running."""
        self._events.stop()

    def stop(self) -> None:
        """Call back no more. Waits for a callback that is running, unless it is that one which stops."""
        self.end()
        self.join()

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended by itself, at most `timeout` seconds."""
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()
