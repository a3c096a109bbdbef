"""What reading costs, without a clock: bytes of memory at the worst moment, and steps of Python code."""

from __future__ import annotations

import contextlib
import sys
import tracemalloc
from types import CodeType, FrameType
from typing import Any

from fuzz.decoder import Decoder

__all__ = ["entered", "memory", "steps"]


def _read(decoder: Decoder, data: bytes) -> Any:
    """What comes of it does not matter here."""
    with contextlib.suppress(*decoder.raises):
        return decoder.read(data)


def memory(decoder: Decoder, data: bytes) -> int:
    """Most bytes that reading `data` holds at a time, beside `data`. What C allocates for itself is not seen."""
    _read(decoder, data)  # whatever is made once
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        _read(decoder, data)
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def steps(decoder: Decoder, data: bytes) -> int:
    """How many lines of Python run and how many functions are called, C functions included, to read `data`.

    What happens inside a C function is not seen.
    """
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += 1
        return trace

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        count += event == "c_call"

    _read(decoder, data)
    sys.setprofile(profile)
    sys.settrace(trace)
    try:
        _read(decoder, data)
    finally:
        sys.settrace(None)
        sys.setprofile(None)
    return count


def entered(decoder: Decoder, data: bytes) -> set[str]:
    """The functions of the library that run to read `data`, as ``module:name``."""
    seen: dict[CodeType, str] = {}

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code not in seen:
            seen[frame.f_code] = f"{frame.f_globals.get('__name__')}:{frame.f_code.co_qualname}"

    sys.setprofile(profile)
    try:
        _read(decoder, data)
    finally:
        sys.setprofile(None)
    return set(seen.values())
