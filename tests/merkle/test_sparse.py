"""The sparse map against its definition, and its proofs."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

import attrs
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medchain.errors import MalformedProof, RootMismatch
from medchain.merkle import EMPTY_MAP, MapProof, SparseMap


def h(data: bytes) -> bytes:
    return sha256(data).digest()


# Hashes of a few words, so that keys meet again, and keys that share up to 255 leading bits.
KEYS = st.one_of(
    st.integers(0, 30).map(lambda i: h(b"%d" % i)),
    st.integers(0, 7).map(lambda i: bytes(31) + bytes([i])),
    st.binary(min_size=32, max_size=32),
)
VALUES = st.binary(min_size=1, max_size=3).map(h)
CHANGES = st.dictionaries(KEYS, st.one_of(st.none(), VALUES), max_size=12)


@given(st.lists(CHANGES, max_size=6), KEYS)
def test_every_version_is_the_map_of_its_rows(batches: list[dict[bytes, bytes | None]], key: bytes) -> None:
    versions = [(SparseMap(), dict[bytes, bytes]())]
    for changes in batches:
        tree, rows = versions[-1]
        after = {**rows, **changes}
        kept = {key: value for key, value in after.items() if value is not None}
        versions.append((tree.updated_hashed(changes), kept))
    for tree, rows in versions:
        assert tree.root == oracles.map_root(rows)
        assert dict(tree.rows()) == rows
        assert len(tree) == len(rows)
        for each in (key, *rows):
            proof = tree.prove_hashed(each)
            assert proof.verify_hashed(each, rows.get(each), root=tree.root) == rows.get(each)
            assert tree.get_hashed(each) == rows.get(each)
            assert MapProof.from_bytes(bytes(proof)) == proof


@given(st.dictionaries(KEYS, VALUES, max_size=20), st.randoms(use_true_random=False))
def test_root_does_not_depend_on_the_order_of_insertion(rows: dict[bytes, bytes], random: object) -> None:
    items = list(rows.items())
    random.shuffle(items)  # type: ignore[attr-defined]
    one_by_one = SparseMap()
    for key, value in items:
        one_by_one = one_by_one.updated_hashed({key: value})
    assert one_by_one.root == SparseMap.from_hashed(rows).root
    detour = SparseMap.from_hashed({**rows, bytes(32): bytes(32), h(b"gone"): bytes(32)})
    removed = {key: None for key in (bytes(32), h(b"gone")) if key not in rows}
    back = detour.updated_hashed({**rows, **removed})
    assert back.root == one_by_one.root
    assert back == one_by_one


def test_the_empty_map() -> None:
    empty = SparseMap()
    assert empty.root == EMPTY_MAP == bytes(32)
    assert len(empty) == 0
    assert empty.updated({b"gone": None}).root == EMPTY_MAP
    assert empty.prove_absent(b"x").verify(b"x", root=EMPTY_MAP) is None


def test_a_single_row_is_the_root() -> None:
    assert SparseMap({b"k": b"v"}).root == h(b"\x00" + h(b"k") + h(b"v"))


def test_plain_keys_and_values() -> None:
    rows = SparseMap({b"k": b"v", b"l": b"w"})
    assert b"k" in rows
    assert b"x" not in rows
    rows.prove_absent(b"x").verify(b"x", root=rows.root)
    assert rows.prove(b"k").verify(b"k", b"v", root=rows.root) == b"v"
    with pytest.raises(KeyError):
        rows.prove(b"x")
    with pytest.raises(ValueError, match="in the map"):
        rows.prove_absent(b"k")
    with pytest.raises(ValueError, match="32 bytes"):
        rows.updated_hashed({b"short": None})
    with pytest.raises(ValueError, match="32 bytes"):
        rows.prove_hashed(b"short")


def test_a_proof_says_one_thing_only() -> None:
    rows = SparseMap({b"%d" % i: b"v" for i in range(10)})
    present, absent = rows.prove(b"3"), rows.prove_absent(b"x")
    calls: list[Callable[[], object]] = [
        lambda: present.verify(b"4", b"v", root=rows.root),
        lambda: present.verify(b"3", b"w", root=rows.root),
        lambda: present.verify(b"3", root=rows.root),
        lambda: absent.verify(b"x", b"v", root=rows.root),
        lambda: absent.verify(b"y", root=rows.root),
    ]
    for call in calls:
        with pytest.raises(MalformedProof):
            call()
    with pytest.raises(RootMismatch):
        present.verify(b"3", b"v", root=rows.updated({b"3": b"w"}).root)


def test_a_row_that_is_there_cannot_be_denied() -> None:
    rows = SparseMap({b"%d" % i: b"v" for i in range(10)})
    proof = rows.prove(b"3")
    row = h(b"3") + h(b"v")
    for forged in (
        attrs.evolve(proof, value_hash=None),
        attrs.evolve(proof, value_hash=None, neighbour=row),
        attrs.evolve(proof, value_hash=None, neighbour=h(b"4") + h(b"v")),
        attrs.evolve(proof, value_hash=None, neighbour=h(b"4") + h(b"v"), siblings=()),
        attrs.evolve(proof, value_hash=None, siblings=proof.siblings[:-1]),
    ):
        with pytest.raises((MalformedProof, RootMismatch)):
            forged.verify(b"3", root=rows.root)
    with pytest.raises(MalformedProof):
        attrs.evolve(proof, neighbour=row).verify(b"3", b"v", root=rows.root)
    with pytest.raises(MalformedProof):
        attrs.evolve(proof, siblings=(bytes(32),) * 257).verify(b"3", b"v", root=rows.root)
    with pytest.raises(MalformedProof):
        attrs.evolve(proof, siblings=(b"short",)).verify(b"3", b"v", root=rows.root)


def test_prints_no_more_than_short_hashes() -> None:
    rows = SparseMap({b"k": b"v"})
    assert rows.root.hex()[:12] in repr(rows)
    assert rows.root.hex() not in repr(rows) + repr(rows.prove(b"k"))
    assert "1" in rows._repr_html_()
    assert "0 steps" in rows.prove(b"k")._repr_html_()
