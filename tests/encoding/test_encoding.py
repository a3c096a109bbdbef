"""One value, one encoding; and hostile bytes never do more than raise EncodingError."""

from __future__ import annotations

import json
import math
import tracemalloc
from typing import Any

import pytest
import vectors
from hypothesis import example, given
from hypothesis import strategies as st

from medchain import encoding
from medchain.encoding import MAX_DEPTH, MAX_VALUES, Value, check, decode, encode
from medchain.errors import EncodingError

CONTENT_ID = bytes.fromhex("01085b08390ae6a7ed6745c06a9180da3cff1dfcb9f3859dacb29ca669f7f401")
"""32 bytes that libipld takes for a content id and would write as tag 42."""

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    st.binary(max_size=40),
    st.just(CONTENT_ID),
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=4), inner, max_size=5),
    ),
    max_leaves=20,
)


def same(a: Any, b: Any) -> bool:
    """Equality that does not take True for 1."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


@given(VALUES)
@example([CONTENT_ID, {"cid": CONTENT_ID}])
@example({"": 0, "b": 1, "a": 2, "aa": 3, "é": 4, "zz": 5})
def test_roundtrip(value: Value) -> None:
    data = encode(value)
    assert same(decode(data), value)
    assert encode(decode(data)) == data


@given(VALUES)
@example([CONTENT_ID])
def test_libipld_and_the_plain_encoder_agree(value: Value) -> None:
    assert encode(value) == encoding._encode_plainly(value)


@given(st.dictionaries(st.text("ab", max_size=3), st.integers(0, 3)))
def test_order_of_keys_does_not_matter(value: dict[str, int]) -> None:
    assert encode(dict(reversed(value.items()))) == encode(dict(value))


@given(VALUES, st.data())
def test_any_flipped_byte_is_another_value_or_refused(value: Value, data: st.DataObject) -> None:
    wire = bytearray(encode(value))
    at = data.draw(st.integers(0, len(wire) - 1))
    wire[at] ^= data.draw(st.integers(1, 255))
    try:
        found = decode(bytes(wire))
    except EncodingError:
        return
    assert not same(found, value)


@given(st.binary(max_size=60))
def test_hostile_bytes(data: bytes) -> None:
    """What is accepted at all is the one encoding of its value."""
    try:
        value = decode(data)
    except EncodingError:
        return
    assert encode(value) == data


@given(VALUES, st.data())
def test_every_truncation_and_extension_is_refused(value: Value, data: st.DataObject) -> None:
    wire = encode(value)
    with pytest.raises(EncodingError):
        decode(wire[: data.draw(st.integers(0, len(wire) - 1))])
    with pytest.raises(EncodingError, match="bytes after the value"):
        decode(wire + data.draw(st.binary(min_size=1, max_size=3)))


@pytest.mark.parametrize(
    ("wire", "offset", "reason"),
    [
        ("", 0, "ends inside"),
        ("820181", 2, "ends inside"),
        ("5820", 0, "ends inside"),
        ("9bffffffffffffffff", 0, "shortest|ends inside"),
        ("bb8000000000000000", 0, "ends inside"),
        ("0000", 1, "after the value"),
        ("8118ff1817", 3, "after the value"),
        ("811817", 1, "shortest"),
        ("1900ff", 0, "shortest"),
        ("1a0000ffff", 0, "shortest"),
        ("1b00000000ffffffff", 0, "shortest"),
        ("3800", 0, "shortest"),
        ("580161", 0, "shortest"),
        ("9f01ff", 0, "indefinite"),
        ("5f4101ff", 0, "indefinite"),
        ("81ff", 1, "indefinite"),
        ("1c", 0, "indefinite or reserved"),
        ("1b8000000000000000", 0, "an integer outside"),
        ("3b8000000000000000", 0, "an integer outside"),
        ("61ff", 1, "UTF-8"),
        ("62c080", 1, "UTF-8"),
        ("63eda080", 1, "UTF-8"),
        ("64f4908080", 1, "UTF-8"),
        ("6ac3a9616161616161c3c3", 9, "UTF-8"),
        ("d82a4100", 0, "tags"),
        ("c100", 0, "tags"),
        ("f93c00", 0, "floats"),
        ("81fb3ff8000000000000", 1, "floats"),
        ("f7", 0, "simple"),
        ("f820", 0, "simple"),
        ("e0", 0, "simple"),
        ("a10102", 1, "not text"),
        ("a1416101", 1, "not text"),
        ("a2616201616102", 4, "out of order"),
        ("a262616101616202", 5, "out of order"),
        ("a2616101616102", 4, "twice"),
        ("81" * 65 + "00", 64, "more than 64"),
        ("a16161" * 64 + "80", 192, "more than 64"),
    ],
)
def test_faults_are_named_and_placed(wire: str, offset: int, reason: str) -> None:
    with pytest.raises(EncodingError, match=reason) as caught:
        decode(bytes.fromhex(wire))
    assert caught.value.offset == offset
    with pytest.raises(EncodingError):
        check(bytes.fromhex(wire))


@pytest.mark.parametrize("container", [lambda value: [value], lambda value: {"k": value}])
def test_nesting_ends_at_the_limit(container: Any) -> None:
    value: Value = []
    for _ in range(MAX_DEPTH - 1):
        value = container(value)
    assert decode(encode(value)) == value
    with pytest.raises(ValueError, match="more than 64"):
        encode(container(value))


def test_a_value_inside_itself() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(ValueError, match="more than 64"):
        encode(loop)


def test_the_limit_of_size() -> None:
    wire = encode(b"x" * 100)
    assert decode(wire, limit=len(wire)) == b"x" * 100
    for call in (decode, check):
        with pytest.raises(EncodingError, match="at most 101"):
            call(wire, limit=101)


def test_the_limit_of_values() -> None:
    """The map, two keys, the list, two values in it, the empty list."""
    wire = encode({"a": [1, {}], "b": []})
    assert decode(wire, values=7) == {"a": [1, {}], "b": []}
    offsets = (0, 1, 3, 4, 5, 6, 8)
    for values, offset in enumerate(offsets):
        for call in (decode, check):
            with pytest.raises(EncodingError, match="more values than are accepted") as caught:
                call(wire, values=values)
            assert caught.value.offset == offset


def empty_maps(count: int) -> bytes:
    """A list of empty maps: one byte each on the wire, 72 in memory."""
    return b"\x9a" + count.to_bytes(4, "big") + b"\xa0" * count


def test_memory_is_bounded_by_the_number_of_values() -> None:
    """16 MiB of empty maps took 1.2 GB once, a kit at its limit of 128 MiB would have taken 9 GB."""
    refused, accepted = empty_maps((16 << 20) - 5), empty_maps(MAX_VALUES - 1)
    tracemalloc.start()
    try:
        with pytest.raises(EncodingError, match="more values"):
            decode(refused)
        assert tracemalloc.get_traced_memory()[1] < 1 << 16
        assert decode(accepted) == [{}] * (MAX_VALUES - 1)
        assert tracemalloc.get_traced_memory()[1] < 200 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_other_buffers(kind: type) -> None:
    assert decode(kind(encode([1, "a"]))) == [1, "a"]


@pytest.mark.parametrize("data", [1, "text", None, [0]])
def test_what_is_no_buffer_is_a_mistake(data: Any) -> None:
    with pytest.raises(TypeError):
        decode(data)


@pytest.mark.parametrize(
    "value",
    [1.0, math.nan, (1, 2), {1: 2}, {None: 1}, {b"k": 1}, {1, 2}, object(), bytearray(b"x"), [[(1,)]]],
)
def test_other_types_have_no_encoding(value: Any) -> None:
    with pytest.raises(TypeError):
        encode(value)


@pytest.mark.parametrize("value", [1 << 63, -(1 << 63) - 1, 1 << 64, "\ud800", {"\udfff": 1}, [1 << 80]])
def test_values_out_of_range_have_no_encoding(value: Any) -> None:
    with pytest.raises(ValueError):
        encode(value)


def load(name: str) -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads(vectors.path(name).read_text())
    return cases


OUTSIDE = {"1bfffffffffffff800", "1bffffffffffffffff", "3bffffffffffffffff", "a201020304"}
"""Integers beyond 64 bits with sign, and a map with integer keys: deterministic CBOR, but not of the profile."""


def in_profile(case: dict[str, Any]) -> bool:
    """Shortest forms without tags, floats and simple values, as far as the profile takes them."""
    data = bytes.fromhex(case["hex"])
    simple = data[0] >> 5 < 6 or data in (b"\xf4", b"\xf5", b"\xf6")
    return simple and case["hex"] not in OUTSIDE and (case["roundtrip"] or case["hex"] == "00")


@pytest.mark.parametrize(
    ("name", "inside"), [("crypto/dcbor/valid.json", 22), ("crypto/cbor-rfc8949/appendix_a.json", 34)]
)
def test_official_examples(name: str, inside: int) -> None:
    """Inside the profile: accepted, and written again byte for byte. Outside: refused."""
    cases = load(name)
    assert sum(map(in_profile, cases)) == inside
    for case in cases:
        data = bytes.fromhex(case["hex"])
        if not in_profile(case):
            with pytest.raises(EncodingError):
                decode(data)
            continue
        value = decode(data)
        assert encode(value) == data
        if "decoded" in case:
            assert value == case["decoded"]
