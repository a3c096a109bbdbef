"""What reading may cost: memory in proportion to the input, and steps in proportion to it.

Shapes that are made to cost much go through every door. Neither bound looks at a clock. Memory is what Python
allocates; steps are lines and calls. So the time that one call of a C function takes shows in neither, and has tests of
its own where it matters (tests/keys/test_recovery.py, tests/sealing/test_logic.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fuzz.decoder import Decoder, fixed
from fuzz.decoders import DECODERS
from fuzz.hostile import shapes
from fuzz.measuring import memory, steps
from fuzz.mutations import Form

from medchain.encoding import encode
from medchain.errors import EncodingError

MEMORY = 128
"""Most bytes of memory for each byte of input, beside the `room` of a decoder: a token of a policy takes about 110."""

GROWTH, CONSTANT = 2.1, 500
"""For twice the input at most so many times the steps, and so many more."""


def check_memory(decoder: Decoder, size: int) -> None:
    for name, data in shapes(decoder, size):
        taken, allowed = memory(decoder, data), MEMORY * len(data) + decoder.room
        assert taken <= allowed, f"{decoder.name}, {name}: {len(data)} bytes take {taken} of memory"


def check_steps(decoder: Decoder, size: int) -> None:
    larger = dict(shapes(decoder, 2 * size))
    for name, data in shapes(decoder, size):
        if name in larger:
            one, two = steps(decoder, data), steps(decoder, larger[name])
            assert two <= GROWTH * one + CONSTANT, f"{decoder.name}, {name}: {one} steps become {two}"


@pytest.mark.parametrize("name", DECODERS)
def test_memory_is_in_proportion_to_the_input(name: str) -> None:
    check_memory(DECODERS[name], 1 << 13)


@pytest.mark.parametrize("name", [name for name, decoder in DECODERS.items() if not decoder.slow])
def test_steps_are_in_proportion_to_the_input(name: str) -> None:
    check_steps(DECODERS[name], 1 << 10)


# That these tests can fail.


def planted(read: Callable[[bytes], Any], form: Form = Form.CBOR) -> Decoder:
    seed = encode({"names": ["a", "b"], "key": bytes(32)}) if form is Form.CBOR else b'a "b" c\nd\n'
    return Decoder("planted", read, (EncodingError,), fixed(seed), form)


def quadratic(data: bytes) -> int:
    return sum(data.count(byte) for byte in data for _ in data)


@pytest.mark.parametrize("form", Form)
def test_planted_decoders_are_caught(form: Form) -> None:
    with pytest.raises(AssertionError, match="steps become"):
        check_steps(planted(quadratic, form), 200)
    with pytest.raises(AssertionError, match="of memory"):
        check_memory(planted(lambda data: [[] for _ in range(4 * len(data))], form), 1 << 13)


@pytest.mark.parametrize("form", Form)
def test_linear_decoders_are_not(form: Form) -> None:
    linear = planted(lambda data: [byte + 1 for byte in data], form)
    check_steps(linear, 200)
    check_memory(linear, 1 << 13)


@pytest.mark.parametrize("form", Form)
def test_shapes_are_as_large_as_they_are_asked_for(form: Form) -> None:
    made = dict(shapes(planted(len, form), 4_000))
    assert len(made) > 15
    assert all(2_000 <= len(data) <= 5_000 for data in made.values())
