"""Records: what is written is what was declared, what is read is exactly that."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import field, frozen
from hypothesis import given
from hypothesis import strategies as st

from medchain.encoding import decode, encode
from medchain.errors import EncodingError
from medchain.records import (
    ADDED,
    LOCAL,
    decode_record,
    describe,
    encode_record,
    from_value,
    length,
    to_value,
)


@frozen
class Inner:
    name: str
    flag: bool


@frozen
class Own:
    text: str

    def __to_value__(self) -> Any:
        return self.text.upper()

    @classmethod
    def __from_value__(cls, value: Any) -> Own:
        if type(value) is not str:
            raise TypeError("text expected")
        return cls(value.lower())


@frozen
class Outer:
    count: int
    key: bytes = field(validator=length(2, 4))
    inner: Inner | None
    all: tuple[Inner, ...]
    by_name: dict[str, int]
    own: Own
    anything: Any
    here: int = field(metadata=LOCAL, default=7)


PLAIN = {
    "count": 1,
    "key": b"abc",
    "inner": None,
    "all": [{"name": "n", "flag": True}],
    "by_name": {"x": 2},
    "own": "OWN",
    "anything": [None, {"k": b""}],
}
RECORD = Outer(1, b"abc", None, (Inner("n", True),), {"x": 2}, Own("own"), [None, {"k": b""}], here=9)


def test_plain_form() -> None:
    assert to_value(RECORD) == PLAIN
    assert from_value(Outer, PLAIN) == Outer(
        1, b"abc", None, (Inner("n", True),), {"x": 2}, Own("own"), [None, {"k": b""}]
    )


def test_local_fields_stay_here() -> None:
    assert decode_record(Outer, encode_record(RECORD)).here == 7


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("count", True),
        ("count", None),
        ("count", "1"),
        ("key", "abc"),
        ("key", b"a"),
        ("key", b"abcde"),
        ("inner", {}),
        ("inner", {"name": "n"}),
        ("inner", {"name": "n", "flag": 1}),
        ("inner", {"name": "n", "flag": True, "more": 1}),
        ("all", {}),
        ("all", [None]),
        ("by_name", []),
        ("by_name", {"x": "y"}),
        ("own", 7),
        ("here", 7),
    ],
)
def test_anything_else_is_refused(name: str, value: object) -> None:
    with pytest.raises(EncodingError):
        from_value(Outer, {**PLAIN, name: value})


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_a_missing_field_is_refused(name: str) -> None:
    with pytest.raises(EncodingError, match=f"missing {name}; unknown nothing"):
        from_value(Outer, {key: value for key, value in PLAIN.items() if key != name})


def test_unknown_fields_are_named_and_no_more() -> None:
    with pytest.raises(EncodingError, match=r"missing nothing; unknown 'a{32}', 'b', 'c', 'd'$"):
        from_value(Outer, {**PLAIN, **dict.fromkeys(["d", "e", "c", "b", "a" * 100_000])})


def test_no_record_at_all() -> None:
    for value in (None, [], 1, "x"):
        with pytest.raises(EncodingError, match="expected a map"):
            from_value(Outer, value)


@pytest.mark.parametrize(
    "record",
    [
        Inner(7, True),  # type: ignore[arg-type]
        Inner("n", 1),  # type: ignore[arg-type]
        Inner(None, True),  # type: ignore[arg-type]
        Outer(True, b"abc", None, (), {}, Own("x"), None),
        Outer(1, b"abc", Own("x"), (), {}, Own("x"), None),  # type: ignore[arg-type]
        Outer(1, b"abc", None, [], {}, Own("x"), None),  # type: ignore[arg-type]
        Outer(1, b"abc", None, "text", {}, Own("x"), None),  # type: ignore[arg-type]
        Outer(1, b"abc", None, (), {1: 2}, Own("x"), None),  # type: ignore[dict-item]
        Outer(1, b"abc", None, (), {}, Inner("n", True), None),  # type: ignore[arg-type]
    ],
)
def test_nothing_is_written_that_could_not_be_read(record: object) -> None:
    with pytest.raises(TypeError):
        to_value(record)


def test_limit() -> None:
    with pytest.raises(EncodingError):
        decode_record(Outer, encode_record(RECORD), limit=10)


def test_classes_without_a_form() -> None:
    @frozen
    class Weight:
        kilograms: float

    with pytest.raises(TypeError, match="no canonical form"):
        from_value(Weight, {"kilograms": 1})
    with pytest.raises(TypeError, match="no canonical form"):
        describe(Weight)
    for annotation in (int | str, set[int], tuple[int, str], dict[int, int]):
        with pytest.raises(TypeError):
            from_value(annotation, 1)  # type: ignore[arg-type]


def test_describe() -> None:
    assert describe(Outer) == {
        "count": "int",
        "key": "bytes",
        "inner": ["optional", {"name": "str", "flag": "bool"}],
        "all": ["list", {"name": "str", "flag": "bool"}],
        "by_name": ["map", "int"],
        "own": "Own",
        "anything": "any",
    }


inners = st.builds(Inner, st.text(max_size=5), st.booleans())


@given(
    st.builds(
        Outer,
        st.integers(-(1 << 63), (1 << 63) - 1),
        st.binary(min_size=2, max_size=4),
        st.none() | inners,
        st.lists(inners, max_size=3).map(tuple),
        st.dictionaries(st.text(max_size=3), st.integers(0, 9), max_size=3),
        st.sampled_from([Own("a"), Own("b")]),
        st.none() | st.lists(st.binary(max_size=3), max_size=3),
    )
)
def test_round_trip(record: Outer) -> None:
    data = encode_record(record)
    assert decode_record(Outer, data) == record
    assert encode(decode(data)) == data


@frozen
class Grown:
    """A row that has gained two fields."""

    count: int
    more: int | None = field(metadata=ADDED)
    inner: Inner | None = field(metadata=ADDED)


class TestAdded:
    def test_what_is_older_is_read_as_none(self) -> None:
        for value in ({"count": 1}, {"count": 1, "more": None}, {"count": 1, "more": None, "inner": None}):
            assert from_value(Grown, value) == Grown(1, None, None)
        assert from_value(Grown, {"count": 1, "more": 7}) == Grown(1, 7, None)

    def test_it_is_always_written(self) -> None:
        assert to_value(Grown(1, None, None)) == {"count": 1, "more": None, "inner": None}

    def test_nothing_else_may_be_missing_or_unknown(self) -> None:
        for value in ({}, {"more": 1}, {"count": 1, "other": 2}, {"count": 1, "more": "x"}, [], None, 7):
            with pytest.raises(EncodingError):
                from_value(Grown, value)

    def test_the_shape_tells(self) -> None:
        assert describe(Grown) == {
            "count": "int",
            "more": ["added", ["optional", "int"]],
            "inner": ["added", ["optional", {"name": "str", "flag": "bool"}]],
        }

    def test_the_value_that_is_read_is_left_alone(self) -> None:
        value = {"count": 1}
        from_value(Grown, value)
        assert value == {"count": 1}


def test_shapes_that_have_no_canonical_form() -> None:
    for annotation in (
        tuple[int, str],
        tuple[int],
        dict[int, str],
        int | str,
        int | str | None,
        list[int],
        float,
        tuple,
    ):
        with pytest.raises(TypeError, match="no canonical form"):
            describe(annotation)


@frozen
class Awkward:
    """Fields that are called as the code that reads and writes them might call its own."""

    value: int
    record: int
    cls: str
    error: bytes | None
    added: tuple[int, ...]
    unfit: bool
    EncodingError: int
    f_value: int


def test_fields_may_have_any_name() -> None:
    record = Awkward(1, 2, "c", None, (4,), True, 6, 7)
    plain = to_value(record)
    assert plain == {
        "value": 1,
        "record": 2,
        "cls": "c",
        "error": None,
        "added": [4],
        "unfit": True,
        "EncodingError": 6,
        "f_value": 7,
    }
    assert from_value(Awkward, plain) == record
    with pytest.raises(EncodingError, match="expected int, found bool"):
        from_value(Awkward, plain | {"f_value": True})
    with pytest.raises(TypeError, match="expected str, found int"):
        to_value(Awkward(1, 2, 3, None, (4,), True, 6, 7))  # type: ignore[arg-type]
