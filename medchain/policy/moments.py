"""Points in time and lengths of time as policy texts write them. Inside, both are integers of milliseconds.

Days are days in UTC. ``until 2026-06-30`` includes that day: its last millisecond is the last that counts.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from medchain.errors import PolicyError

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
WEEK = 7 * DAY

MAX_TIME = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z in milliseconds since 1970."""
MAX_DURATION = 36_525 * DAY
"""A hundred years."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOMENT = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})(?:T([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,3}))?)?Z)?"
)
_UNITS = (("day", DAY), ("hour", HOUR), ("minute", MINUTE), ("second", SECOND), ("millisecond", 1))
UNITS = dict((*_UNITS, ("week", WEEK)))
UNITS |= {f"{name}s": length for name, length in UNITS.items()}
UNITS |= {"w": WEEK, "d": DAY, "h": HOUR, "min": MINUTE, "s": SECOND, "ms": 1}
"""Every way to write a unit, and its milliseconds."""


def parse_moment(text: str, *, last: bool = False) -> int:
    """Milliseconds since 1970 of ``2026-06-30`` or ``2026-06-30T08:30:00Z``; of a day its first, or its
    `last`.

    Raises PolicyError on anything else.

    >>> parse_moment("1970-01-02"), parse_moment("1970-01-01", last=True)
    (86400000, 86399999)
    """
    match = _MOMENT.fullmatch(text)
    if match is None:
        raise PolicyError("a moment is written 2026-01-31 or 2026-01-31T08:30:00Z")
    year, month, day, hour, minute, second = (int(group or 0) for group in match.groups()[:6])
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        raise PolicyError("there is no such day or time") from None
    if moment < _EPOCH:
        raise PolicyError("moments before 1970 have no meaning here")
    since = (moment - _EPOCH) // timedelta(milliseconds=1)
    if match[4] is None:
        return since + DAY - 1 if last else since
    return since + int((match[7] or "0").ljust(3, "0"))


def format_moment(time: int, *, last: bool = False) -> str:
    """The shortest text that `parse_moment` reads back as `time`, with the same `last`."""
    moment = _EPOCH + timedelta(milliseconds=time)
    if (time + 1 if last else time) % DAY == 0:
        return f"{moment:%Y-%m-%d}"
    fraction = f".{time % SECOND:03d}" if time % SECOND else ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}Z"


def format_duration(length: int) -> str:
    """A length of time in its largest whole unit.

    >>> format_duration(14 * DAY), format_duration(90 * MINUTE), format_duration(DAY)
    ('14 days', '90 minutes', '1 day')
    """
    name, unit = next((name, unit) for name, unit in _UNITS if length % unit == 0)
    count = length // unit
    return f"{count} {name}" if count == 1 else f"{count} {name}s"
