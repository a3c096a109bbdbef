"""Reading bundles: what is cut comes together again, what is not a bundle is refused."""

from __future__ import annotations

import contextlib
import json
import tracemalloc
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medchain.ehr import Bundle, spans
from medchain.ehr import bundle as bundle_module
from medchain.ehr.spans import MOST_DEPTH, MOST_DIGITS, MOST_VALUES
from medchain.errors import EncodingError

EMPTY = b'{"resourceType":"Bundle"}'
ONE = b'{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Patient","id":"a"}}]}'

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
resources = st.builds(
    lambda kind, fields: {**fields, "resourceType": kind},
    st.sampled_from(["Patient", "Observation"]),
    st.dictionaries(texts, values, max_size=3),
)
entries = st.builds(
    lambda url, resource: {"fullUrl": url} | ({} if resource is None else {"resource": resource}),
    texts,
    st.none() | resources,
)


@given(
    st.lists(entries, max_size=4),
    st.dictionaries(texts, values, max_size=2),
    st.sampled_from([None, 1, "\t"]),
)
def test_fragments_put_together_are_the_document(
    items: list[Any], others: dict[str, Any], indent: int | str | None
) -> None:
    document = {**others, "entry": items, "resourceType": "Bundle"}
    raw = json.dumps(document, ensure_ascii=False, indent=indent).encode()
    bundle = Bundle.from_bytes(raw)
    assert bytes(bundle) == raw
    found = list(bundle.resources)
    assert len(found) == sum("resource" in each for each in items)
    assert json.loads(json.dumps(found, default=float)) == json.loads(
        json.dumps([each["resource"] for each in items if "resource" in each])
    )


def test_entries_are_named_by_their_resources() -> None:
    bundle = Bundle.read(
        {
            "resourceType": "Bundle",
            "entry": [
                {"resource": {"resourceType": "Patient", "id": "p1"}},
                {"resource": {"resourceType": "Observation", "id": "not an id"}},
                {"response": {"status": "200"}},
            ],
        }
    )
    assert [each.label for each in bundle.fragments] == ["Bundle", "Patient/p1", "Observation", "entry", ""]
    assert bundle.find("Patient/p1") == (2,)
    assert bundle.find("Observation") == (3,)
    assert bundle.find("Procedure") == ()
    assert repr(bundle).startswith("<Bundle of 3 entries")
    assert "p1" not in repr(bundle) + repr(bundle.fragments)


def test_decimals_keep_their_precision() -> None:
    raw = ONE.replace(b'"a"', b'"a","value":1.10,"count":12345678901234567890')
    [resource] = Bundle.from_bytes(raw).resources
    assert (str(resource["value"]), resource["count"]) == ("1.10", 12345678901234567890)
    assert resource["value"] == Decimal("1.1")


def test_a_bundle_is_read_from_bytes_mappings_and_files(tmp_path: Path) -> None:
    path = tmp_path / "bundle.json"
    path.write_bytes(ONE)
    assert Bundle.read(path) == Bundle.read(str(path)) == Bundle.read(ONE) == Bundle.read(bytearray(ONE))
    assert len(Bundle.read(EMPTY).fragments) == 1
    assert len(Bundle.read(b'{"resourceType":"Bundle","entry":[]}').fragments) == 1
    with pytest.raises(TypeError, match="bytes"):
        Bundle.read(ONE.decode())
    with pytest.raises(FileNotFoundError):
        Bundle.read(tmp_path / "nothing.json")


REFUSED = {
    "nothing": b"",
    "no JSON": b"<Bundle/>",
    "an array": b"[]",
    "a text": b'"Bundle"',
    "another resource": b'{"resourceType":"Patient"}',
    "no resourceType": b'{"entry":[]}',
    "resourceType is no text": b'{"resourceType":["Bundle"]}',
    "a byte order mark": b"\xef\xbb\xbf" + EMPTY,
    "UTF-16": ONE.decode().encode("utf-16"),
    "bad UTF-8": EMPTY.replace(b"Bundle", b"Bun\xffdle"),
    "cut short": ONE[:-2],
    "cut in a text": ONE[: ONE.index(b"Patient") + 3],
    "something after it": ONE + b"{}",
    "a trailing comma": EMPTY.replace(b"}", b",}"),
    "a name twice": b'{"resourceType":"Bundle","resourceType":"Bundle"}',
    "a name twice, escaped": b'{"resourceType":"Bundle","resource\\u0054ype":"Bundle"}',
    "a name twice, inside": ONE.replace(b'"id":"a"', b'"id":"a","id":"b"'),
    "entry twice": ONE[:-1] + b',"entry":[]}',
    "entry is no array": b'{"resourceType":"Bundle","entry":{}}',
    "an entry is no object": b'{"resourceType":"Bundle","entry":[1]}',
    "a resource is no object": b'{"resourceType":"Bundle","entry":[{"resource":1}]}',
    "a resource without type": b'{"resourceType":"Bundle","entry":[{"resource":{}}]}',
    "a resource with a strange type": ONE.replace(b"Patient", b"Pat ient"),
    "NaN": EMPTY[:-1] + b',"x":NaN}',
    "infinity": EMPTY[:-1] + b',"x":-Infinity}',
    "a control character": EMPTY[:-1] + b',"x":"\x01"}',
    "a huge number": EMPTY[:-1] + b',"x":' + b"9" * (MOST_DIGITS + 1) + b"}",
    "a huge decimal": EMPTY[:-1] + b',"x":0.' + b"9" * MOST_DIGITS + b"}",
    "a huge exponent": EMPTY[:-1] + b',"x":1e' + b"9" * 30 + b"}",
    "deep arrays": EMPTY[:-1] + b',"x":' + b"[" * MOST_DEPTH + b"]" * MOST_DEPTH + b"}",
    "a million brackets": b"[" * 1_000_000,
    "a million objects": b'{"a":' * 1_000_000,
    "quotes without end": b'"\\' * 500_000,
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_bundle_is_refused(what: str) -> None:
    with pytest.raises(EncodingError):
        Bundle.from_bytes(REFUSED[what])


def test_values_are_counted_by_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred entries of eleven values, but none of 51; nor anything else of the bundle."""
    monkeypatch.setattr(spans, "MOST_VALUES", 50)
    entry = b'{"resource":{"resourceType":"Patient","x":[1,2,3,4,5,6,{}]}}'
    good = b'{"resourceType":"Bundle","entry":[' + b",".join([entry] * 100) + b"]}"
    assert len(Bundle.from_bytes(good).fragments) == 102
    many = b"[" + b"[]," * 40 + b"{}]"
    for bad in (good.replace(b"[1,2,3,4,5,6,{}]", many, 1), good[:-1] + b',"x":' + many + b"}"):
        with pytest.raises(EncodingError, match="more than 50 values"):
            Bundle.from_bytes(bad)


def peak(action: Callable[[], object]) -> int:
    """Most bytes that were held at a time."""
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("value", [b"[],", b'{"":1},', b"1.5,"])
def test_memory_is_bounded_by_the_number_of_values(value: bytes) -> None:
    """A bundle of 256 MiB could take 8 GB once."""
    data = EMPTY[:-1] + b',"x":[' + value * (MOST_VALUES + 1) + b"0]}"

    def read() -> None:
        with pytest.raises(EncodingError, match="more than 1048576 values"):
            Bundle.from_bytes(data)

    assert peak(read) < 1.1 * len(data)


def test_memory_does_not_grow_with_escapes() -> None:
    """Each escape in a text took 130 bytes once."""
    data = EMPTY[:-1] + b',"x":"' + b'\\"' * 500_000 + b'"}'
    assert peak(lambda: Bundle.from_bytes(data)) < 4 * len(data)


def test_a_small_file_takes_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "bundle.json"
    path.write_bytes(ONE)
    assert peak(lambda: Bundle.read(path)) < 3 << 20


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="this system has no file without end")
def test_a_file_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was read to its end, once, before its size was looked at."""
    monkeypatch.setattr(bundle_module, "MOST_BYTES", 1_000)
    with pytest.raises(EncodingError, match="at most 1000 bytes"):
        Bundle.read("/dev/zero")


def test_the_place_of_an_error_is_in_bytes() -> None:
    with pytest.raises(EncodingError) as error:
        Bundle.from_bytes('{"resourceType":"Bündle" "entry":[]}'.encode())
    assert error.value.offset == len('{"resourceType":"Bündle" '.encode())


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(EncodingError):
        assert bytes(Bundle.from_bytes(data)) == data


@given(st.integers(0, len(ONE) - 1), st.integers(0, 255))
def test_any_altered_byte_is_kept_or_refused(at: int, value: int) -> None:
    altered = ONE[:at] + bytes([value]) + ONE[at + 1 :]
    with contextlib.suppress(EncodingError):
        assert bytes(Bundle.from_bytes(altered)) == altered
