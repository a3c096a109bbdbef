"""Table keys, rows and overlays, each against the simplest thing that does the same."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st
from ledger.counting import Counting, NoteRow, Other, TotalRow

from medchain.encoding import encode
from medchain.errors import EncodingError
from medchain.ledger.contract import Contract
from medchain.ledger.state import NO_ROWS, Overlay
from medchain.ledger.tables import (
    KEY_LIMIT,
    RECENT_ROWS,
    ROW_LIMIT,
    Table,
    map_key,
    order_key,
    plain_key,
    read_key,
)

items = st.binary(max_size=4) | st.text("\0aÿ", max_size=3) | st.integers(-(1 << 63), (1 << 63) - 1)
keys = items | st.lists(items, max_size=3).map(tuple)
like_keys = st.one_of(
    st.tuples(st.binary(max_size=4), st.binary(max_size=4)),
    st.tuples(st.integers(-300, 300), st.integers(-300, 300)),
    st.tuples(
        st.tuples(st.binary(max_size=3), st.integers(-300, 300)),
        st.tuples(st.binary(max_size=3), st.integers(-300, 300)),
    ),
    st.tuples(st.text("\0ab", max_size=3), st.text("\0ab", max_size=3)),
)


@given(like_keys)
def test_order_is_that_of_the_keys(pair: tuple[Any, Any]) -> None:
    first, second = pair
    assert (order_key(first) < order_key(second)) == (first < second)


@given(keys, keys)
def test_different_keys_have_different_bytes(first: Any, second: Any) -> None:
    same = first == second and type(first) is type(second)
    assert (order_key(first) == order_key(second)) == same
    assert (map_key("c", "t", first) == map_key("c", "t", second)) == same


@given(keys)
def test_keys_come_back_from_their_plain_value(key: Any) -> None:
    assert read_key(plain_key(key)) == key


@given(st.lists(items, min_size=1, max_size=3).map(tuple), st.integers(0, 3))
def test_a_tuple_begins_with_its_first_items(key: tuple[Any, ...], count: int) -> None:
    assert order_key(key).startswith(order_key(key[:count]))


@pytest.mark.parametrize("key", [None, True, 1.5, ("a", None), ("a", ("b",)), ["a"], {"a": 1}])
def test_what_is_no_key(key: Any) -> None:
    with pytest.raises(TypeError):
        order_key(key)


@pytest.mark.parametrize("value", [None, True, {}, [["a"]], [None], [True]])
def test_what_is_no_plain_key(value: Any) -> None:
    with pytest.raises(EncodingError):
        read_key(value)


def test_an_int_of_more_than_64_bits() -> None:
    for number in (1 << 63, -(1 << 63) - 1):
        with pytest.raises(ValueError, match="64 bits"):
            order_key(number)


class TestView:
    def view(self) -> Any:
        return Counting.notes.view(Overlay(NO_ROWS))

    def test_is_a_mapping(self) -> None:
        view = self.view()
        view["b"], view["a"], view["ab"] = NoteRow("2"), NoteRow("1"), NoteRow("3")
        assert list(view) == list(view.keys()) == ["a", "ab", "b"]
        assert [row.text for row in view.values(reverse=True)] == ["2", "3", "1"]
        assert view["ab"].text == "3"
        assert view.get("x") is None
        assert "x" not in view
        assert len(view) == 3
        del view["ab"]
        assert len(view) == 2
        with pytest.raises(KeyError):
            view["ab"]
        with pytest.raises(KeyError):
            del view["ab"]

    def test_bounds(self) -> None:
        view = self.view()
        for number in (0, 254, 255, 256, 257):
            for name in ("a", "b"):
                view[number, name] = NoteRow(name)
        assert list(view.keys(under=(255,))) == [(255, "a"), (255, "b")]
        assert list(view.keys(start=(255, "b"), stop=(257,))) == [(255, "b"), (256, "a"), (256, "b")]
        assert list(view.keys(under=(256,), reverse=True)) == [(256, "b"), (256, "a")]
        assert len(list(view.keys(under=()))) == 10

    def test_bounds_narrow_what_is_under_a_key(self) -> None:
        """They replaced it once: a page of one shipment's readings went on with another's."""
        view = self.view()
        keys = [(number, name) for number in (1, 2, 3) for name in ("a", "b")]
        for key in keys:
            view[key] = NoteRow("")
        for start in (None, (1,), (2, "a"), (2, "b"), (3,)):
            for stop in (None, (1,), (2, "a"), (2, "b"), (2, "c"), (9,)):
                expected = [
                    key
                    for key in keys
                    if key[0] == 2 and (start is None or key >= start) and (stop is None or key < stop)
                ]
                assert list(view.keys(under=(2,), start=start, stop=stop)) == expected
                assert list(view.keys(under=(2,), start=start, stop=stop, reverse=True)) == expected[::-1]

    def test_tables_do_not_see_one_another(self) -> None:
        rows = Overlay(NO_ROWS)
        Counting.notes.view(rows)["x"] = NoteRow("1")
        Counting.overall.view(rows)["x"] = TotalRow(1, 1)
        Other.hidden.view(rows)["x"] = TotalRow(2, 2)
        assert len(Counting.notes.view(rows)) == len(Other.hidden.view(rows)) == 1

    def test_limits(self) -> None:
        view = self.view()
        with pytest.raises(ValueError, match=str(KEY_LIMIT)):
            view["x" * KEY_LIMIT] = NoteRow("")
        with pytest.raises(ValueError, match=str(ROW_LIMIT)):
            view["x"] = NoteRow("x" * ROW_LIMIT)
        with pytest.raises(TypeError, match="NoteRow"):
            view["x"] = TotalRow(1, 1)
        with pytest.raises(TypeError):
            view["x"] = NoteRow(1)
        assert len(view) == 0

    @pytest.mark.parametrize(
        "stored",
        [None, ["x"], ["x", {"text": 1}], *([key, {"text": ""}] for key in (None, True, {}, [["x"]]))],
    )
    def test_a_damaged_row_is_no_bare_error(self, stored: Any) -> None:
        """A key of another type was a TypeError once."""
        rows = Overlay(NO_ROWS)
        view = Counting.notes.view(rows)
        rows.set(Counting.notes.order_key("x"), encode(stored), bytes(32))
        for read in (lambda: view["x"], lambda: list(view.items())):
            with pytest.raises(EncodingError):
                read()

    def test_deleting_while_iterating(self) -> None:
        view = self.view()
        for name in "abc":
            view[name] = NoteRow(name)
        for name in view:
            del view[name]
        assert len(view) == 0


row_keys = st.binary(min_size=1, max_size=2)
changes = st.lists(st.tuples(row_keys, st.none() | st.binary(max_size=2)), max_size=12)


@given(st.lists(changes, min_size=1, max_size=4), st.binary(max_size=2), st.none() | row_keys, st.booleans())
def test_overlays_are_dictionaries(
    layers: list[list[tuple[bytes, bytes | None]]], start: bytes, end: bytes | None, reverse: bool
) -> None:
    model: dict[bytes, bytes] = {}
    rows = base = Overlay(NO_ROWS)
    for layer in layers:
        rows = Overlay(rows)
        for key, value in layer:
            rows.set(key, value, key)
            if value is None:
                model.pop(key, None)
            else:
                model[key] = value
            list(rows.scan(b"", None))  # so that later changes find keys that are sorted already
        expected = sorted(
            (pair for pair in model.items() if start <= pair[0] and (end is None or pair[0] < end)),
            reverse=reverse,
        )
        assert list(rows.scan(start, end, reverse=reverse)) == expected
        assert all(rows.get(key) == model.get(key) for key, _ in layer)
    assert list(base.scan(b"", None)) == []


def test_a_running_scan_is_of_its_moment() -> None:
    rows = Overlay(NO_ROWS)
    rows.set(b"a", b"1", b"a")
    rows.set(b"c", b"3", b"c")
    scan = rows.scan(b"", None)
    assert next(scan) == (b"a", b"1")
    rows.set(b"b", b"2", b"b")
    rows.set(b"c", None, b"c")
    assert list(scan) == [(b"c", b"3")]


@frozen
class ListsRow:
    """A record in which something can be changed."""

    by_name: dict[str, int]


class Mutable(Contract):
    name = "mutable"
    rows = Table(ListsRow)


class Pair(NamedTuple):
    first: bytes
    second: str


class TestMemory:
    """A table remembers rows and keys; nobody must notice."""

    def test_gives_what_reading_the_bytes_gives(self) -> None:
        rows = Overlay(NO_ROWS)
        view = Counting.totals.view(rows)
        for number in range(2 * RECENT_ROWS):
            view[b"%d" % number] = TotalRow(number, number)
        for number in range(2 * RECENT_ROWS):
            assert view[b"%d" % number] == TotalRow(number, number)
            stored = rows.get(Counting.totals.order_key(b"%d" % number))
            assert stored == encode([b"%d" % number, {"total": number, "last": number}])

    def test_is_bounded(self) -> None:
        view = Counting.totals.view(Overlay(NO_ROWS))
        for number in range(3 * RECENT_ROWS):
            view[b"%d" % number] = TotalRow(number, number)
        assert len(Counting.totals._recent) <= RECENT_ROWS >= len(Counting.totals._places)

    def test_of_what_can_be_changed_each_reader_has_its_own(self) -> None:
        view = Mutable.rows.view(Overlay(NO_ROWS))
        written = ListsRow({"a": 1})
        view["x"] = written
        written.by_name["a"] = 2
        view["x"].by_name["a"] = 3
        assert view["x"] == ListsRow({"a": 1})

    def test_a_key_is_not_taken_for_its_equal_of_another_type(self) -> None:
        view = Counting.notes.view(Overlay(NO_ROWS))
        for key, equal in ((1, True), ((1, "a"), (True, "a"))):
            view[key] = NoteRow("1")
            for use in (view.get, view.__getitem__, view.__contains__):
                with pytest.raises(TypeError, match="bool"):
                    use(equal)
            with pytest.raises(TypeError, match="bool"):
                view[equal] = NoteRow("2")

    def test_keys_come_back_as_they_would_from_a_store(self) -> None:
        view = Counting.notes.view(Overlay(NO_ROWS))
        view[Pair(b"a", "b")] = NoteRow("1")
        (key,) = view
        assert type(key) is tuple
        assert key == (b"a", "b")

    def test_a_row_of_another_table_is_no_row_of_this_one(self) -> None:
        rows = Overlay(NO_ROWS)
        Counting.overall.view(rows)["x"] = TotalRow(1, 1)
        data = rows.get(Counting.overall.order_key("x"))
        rows.set(Counting.notes.order_key("x"), data, bytes(32))
        with pytest.raises(EncodingError):
            Counting.notes.view(rows)["x"]
