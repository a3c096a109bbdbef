"""Following a published log on a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from medchain.errors import Forked, MedchainError, Rewound, Unreachable, VerificationError

if TYPE_CHECKING:
    from medchain.transparency.published import Update

__all__ = ["LogFollowing"]


class _Stopped(Exception):
    """Breaks off an update, since nobody waits for it any more."""


class LogFollowing:
    """An update every so often. Use it as a context manager, or call `stop`.

    A log that has forked or shows less than before stops it, and so does a block that breaks the rules, a contract that
    is missing, a copy that cannot be written, and whatever the caller's own functions raise. An unreachable server, and
    files that do not fit what was signed, do not: the next update may find them mended.

    Attributes:
        error: what has stopped it, or None.
        trouble: what went wrong in the last update and did not stop it, or None.
    """

    def __init__(
        self,
        update: Callable[[Callable[[], object]], Update],
        callback: Callable[[Update], object] | None,
        every: float,
        on_trouble: Callable[[Exception], object] | None,
    ) -> None:
        if not 0 < every <= threading.TIMEOUT_MAX:
            raise ValueError(
                f"some seconds pass between two updates, and no more than a clock can count: {every}"
            )
        self._update, self._callback, self._every, self._on_trouble = update, callback, every, on_trouble
        self._stopping = threading.Event()
        self.error: BaseException | None = None
        self.trouble: MedchainError | None = None
        self._thread = threading.Thread(target=self._run, name="medchain-follow", daemon=True)
        self._thread.start()

    @property
    def evidence(self) -> bytes | None:
        """What convicts the log, if it has forked."""
        return self.error.evidence if isinstance(self.error, Forked) else None

    @property
    def running(self) -> bool:
        """Whether it goes on."""
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._once()
                self._stopping.wait(self._every)
        except _Stopped:
            pass
        except BaseException as error:
            self.error = error

    def _go_on(self) -> None:
        if self._stopping.is_set():
            raise _Stopped

    def _once(self) -> None:
        try:
            update = self._update(self._go_on)
        except (Forked, Rewound):
            raise
        except (Unreachable, VerificationError) as error:
            self.trouble = error
            if self._on_trouble is not None:
                self._on_trouble(error)
            return
        self.trouble = None
        if update.added and self._callback is not None:
            self._callback(update)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it has stopped; whether it has."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def stop(self) -> None:
        """Break off the update that is under way, if there is one, once the files that are asked for have come.

        What has been checked is kept, and a later update goes on from there. Does nothing if it has stopped.
        """
        self._stopping.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
