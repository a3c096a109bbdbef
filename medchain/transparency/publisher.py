"""Publishing on a timer: a thread that brings a published log up to its chain every so many seconds."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, Self

from medchain.chain import Chain
from medchain.errors import Forked, MedchainError, Rewound
from medchain.transparency.publishing import Cosign, Publication, publish
from medchain.transparency.target import Target, target_of

__all__ = ["Publisher"]

FINAL = (Forked, Rewound)
"""Errors of medchain that trying again does not mend."""


class Publisher:
    """Publishes a chain every `every` seconds, and once more at its end. A context manager.

    By a timer and not by block: each block would publish the last tile of every level and the last bundle anew, and
    so the data many times over.

    >>> from medchain import Chain
    >>> import tempfile
    >>> with Chain.in_memory() as chain, Publisher(chain, tempfile.mkdtemp(), every=60) as publisher:
    ...     publisher.now().size
    1

    Args:
        chain, target, cosign: as for `publish`.
        every: seconds from the end of one turn to the next.
        on_error: called on the publisher's thread with what has gone wrong. The next turn tries again, except after
            `Forked`, `Rewound`, and what is no MedchainError, like a mistake in `cosign`: then it has stopped.
    """

    def __init__(
        self,
        chain: Chain,
        target: Target | str | os.PathLike[str] | Any,
        *,
        every: float = 60.0,
        cosign: Cosign | None = None,
        on_error: Callable[[Exception], object] | None = None,
    ) -> None:
        if not 0 < every <= threading.TIMEOUT_MAX:
            raise ValueError(f"a publisher waits some seconds between two turns, not {every}")
        self._chain, self._target, self._cosign = chain, target_of(target), cosign
        self._every, self._on_error = every, on_error
        self._turn, self._end = threading.Lock(), threading.Event()
        self._thread: threading.Thread | None = None
        self.last: Publication | None = None
        self.failure: Exception | None = None

    def __repr__(self) -> str:
        state = f"{self.last.size} entries" if self.last else "nothing yet"
        return f"<Publisher of {self._chain.origin} in {self._target!r}, {state}>"

    def now(self) -> Publication:
        """Publish at once, on the caller's thread. Raises as `publish`."""
        with self._turn:
            self.last = publish(self._chain, self._target, cosign=self._cosign)
            self.failure = None
            return self.last

    def _run(self) -> None:
        while not self._end.wait(self._every):
            if not self._try():
                return

    def _try(self) -> bool:
        """One turn, if anything has come; whether another may do better."""
        try:
            if self.last is None or self.failure is not None or self.last.checkpoint.head != self._chain.head:
                self.now()
        except Exception as error:
            self.failure = error
            if self._on_error is not None:
                self._on_error(error)
        return not _final(self.failure)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, name="medchain-publisher", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and publish what has come since the last turn; what goes wrong then stands in `failure`."""
        self._end.set()
        if self._thread is not None:
            self._thread.join()
        if not _final(self.failure):
            self._try()


def _final(failure: Exception | None) -> bool:
    """Whether trying again does not mend it."""
    return failure is not None and (isinstance(failure, FINAL) or not isinstance(failure, MedchainError))
