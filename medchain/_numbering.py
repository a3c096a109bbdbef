"""Sequence numbers for drafts: handed out once each, as far ahead as the replay window of the chain lets a key be.

A number is *out* from when a draft has it until a block has used it up, and *in flight* while its transaction waits for
that. One that is in flight is never handed out again: two transactions with the same number and message would be the
same bytes, and one of them would vanish into the other's receipt. One that is out may belong to a draft that nobody
will ever sign, so after an hour, and only when no other is left, it goes to another draft.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from attrs import define, field

from medchain.errors import TooManyDrafts
from medchain.ledger.system import WINDOW
from medchain.ledger.transaction import SignerRef

__all__ = ["HOLD_MS", "PATIENCE", "SequenceNumbers"]

HOLD_MS = 3_600_000
"""For how long (ms) a draft keeps its number when all numbers of its key are out."""

PATIENCE = 60.0
"""Seconds for which a new draft waits for transactions of its key that are in flight."""


@define
class _Key:
    """The numbers of one key.

    Attributes:
        last: the highest that was handed out.
        out: when each was handed out, in ms; the oldest first.
        flying: how many submissions each that is in flight has, for the same bytes may be submitted twice at once.
    """

    last: int = 0
    out: dict[int, int] = field(factory=dict)
    flying: dict[int, int] = field(factory=dict)


class SequenceNumbers:
    """The sequence numbers of all keys, in the process that writes. Safe to use from several threads.

    Args:
        highest: the highest number that a key has used up, by what is committed.
        clock: the time now, ms since the epoch.
    """

    def __init__(self, highest: Callable[[SignerRef], int], clock: Callable[[], int]) -> None:
        self._highest = highest
        self._clock = clock
        self._keys: dict[SignerRef, _Key] = {}
        self._changed = threading.Condition()

    def take(self, ref: SignerRef) -> int:
        """A number for a new draft; waits while transactions of this key are in flight and hold all there are.

        Raises:
            TooManyDrafts: drafts of the last hour that were not submitted have all numbers, or those in flight have not
                become final within a minute.
        """
        end = time.monotonic() + PATIENCE
        with self._changed:
            while True:
                used = self._highest(ref)
                key = self._keys.setdefault(ref, _Key())
                number = _next(key, used) or _hole(key, used)
                if number is None and not key.flying:
                    number = self._given_up(key, used)
                if number is not None:
                    key.out.pop(number, None)
                    key.out[number] = self._clock()
                    key.last = max(key.last, number)
                    return number
                if not self._changed.wait(end - time.monotonic()) and time.monotonic() >= end:
                    raise TooManyDrafts(
                        f"{len(key.flying):,} transactions of this key are on their way, {WINDOW:,} may be, and no"
                        f" number has become free within {PATIENCE:.0f} s"
                    )

    def _given_up(self, key: _Key, used: int) -> int:
        """The number that has been out the longest, if its draft may be taken for given up."""
        number = next(each for each in key.out if used < each <= used + WINDOW)
        if self._clock() - key.out[number] < HOLD_MS:
            raise TooManyDrafts(
                f"{WINDOW:,} drafts of this key are out, as many as the chain lets it be ahead: submit some of them"
                " before you draft more. Drafts that are not submitted give their numbers back after an hour"
            )
        return number

    def sent(self, ref: SignerRef, number: int) -> None:
        """A transaction with this number is in flight; whoever sent it, for nothing of it is checked yet."""
        with self._changed:
            key = self._keys.setdefault(ref, _Key())
            key.flying[number] = key.flying.get(number, 0) + 1

    def landed(self, ref: SignerRef, number: int) -> None:
        """It is known what came of it."""
        with self._changed:
            key = self._keys[ref]
            key.flying[number] -= 1
            if not key.flying[number]:
                del key.flying[number]
            if not key.flying:
                if not key.last:  # a stranger's, for whom nothing was drafted here
                    del self._keys[ref]
                self._changed.notify_all()

    def committed(self) -> None:
        """A block has used up numbers."""
        with self._changed:
            self._changed.notify_all()


def _next(key: _Key, used: int) -> int | None:
    """The number after all that were ever handed out; None if that is too far ahead."""
    while key.out and (oldest := next(iter(key.out))) <= used:
        del key.out[oldest]
    number = max(used, key.last) + 1
    while number in key.flying:
        number += 1
    return number if number <= used + WINDOW else None


def _hole(key: _Key, used: int) -> int | None:
    """A number that was passed over because a transaction from elsewhere was in flight with it."""
    numbers = range(used + 1, used + WINDOW + 1)
    return next((each for each in numbers if each not in key.out and each not in key.flying), None)
