"""Bad input at every door: random bytes, altered seeds, values of any shape. Only documented errors come of it.

The same inputs each time. Those that nobody has thought of are for ``make fuzz``.
"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from fuzz.decoders import DECODERS, Decoder
from fuzz.judging import Wrong, judge, keep
from fuzz.mutations import Form, mutate
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medchain.encoding import encode

QUICK = [name for name, decoder in DECODERS.items() if not decoder.slow]
SLOW = [name for name, decoder in DECODERS.items() if decoder.slow]
STRUCTURED = [name for name in QUICK if DECODERS[name].form is Form.CBOR]

FIXED = settings(
    derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck), print_blob=False
)

INTEGERS = st.sampled_from([0, 1, 2, -1, 23, 24, 255, 1 << 32, (1 << 63) - 1, -(1 << 63)])
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | INTEGERS
    | st.binary(max_size=40)
    | st.binary(min_size=32, max_size=32)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def attempt(decoder: Decoder, data: bytes) -> None:
    """Judge an input, and keep it if something is wrong; the smallest one is kept last."""
    try:
        judge(decoder, data)
    except Wrong as wrong:
        wrong.add_note(keep(decoder, data, "hypothesis"))
        raise


def alter(name: str, random: Random) -> None:
    decoder = DECODERS[name]
    seeds = list(decoder.seeds())
    attempt(decoder, mutate(random.choice(seeds), decoder.form, random, seeds))


@pytest.mark.parametrize("name", QUICK)
@settings(FIXED, max_examples=50)
@given(random=st.randoms(use_true_random=False))
def test_altered_seeds(name: str, random: Random) -> None:
    alter(name, random)


@pytest.mark.parametrize("name", SLOW)
@settings(FIXED, max_examples=10)
@given(random=st.randoms(use_true_random=False))
def test_altered_seeds_where_reading_is_slow(name: str, random: Random) -> None:
    alter(name, random)


@pytest.mark.parametrize("name", QUICK)
@settings(FIXED, max_examples=20)
@given(data=st.binary(max_size=100))
def test_random_bytes(name: str, data: bytes) -> None:
    attempt(DECODERS[name], data)


@pytest.mark.parametrize("name", STRUCTURED)
@settings(FIXED, max_examples=20)
@given(value=VALUES)
def test_any_value(name: str, value: Any) -> None:
    attempt(DECODERS[name], encode(value))
