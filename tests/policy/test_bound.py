"""The encoded form: one encoding for one policy, and nothing else is accepted."""

from __future__ import annotations

import copy
import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medchain.encoding import decode, encode
from medchain.errors import EncodingError
from medchain.policy import BoundPolicy, GateSet, Policy
from medchain.testing.policies import bound_policies, stand_in

PARTIES = {name: stand_in(name) for name in ("owner", "b", "c")}
TEXT = """
    a for T: owner and 1 of (b, c), asked by b, role(credentials:physician), at most 3 uses
    emergency e for ETREAT: b, review by c
    recovery r for R: 2 of (b, c, owner), wait 2 days, objection by owner
    erasure by owner
    show label
"""
BOUND = Policy.parse(TEXT).bind(gate=stand_in("keeper"), **PARTIES)
VALUE = decode(bytes(BOUND))


@given(bound_policies())
@settings(max_examples=150)
def test_encode_and_decode_are_inverse(bound):
    again = BoundPolicy.from_bytes(bytes(bound))
    assert again == bound
    assert bytes(again) == bytes(bound)
    assert again.hash == bound.hash == hashlib.sha256(b"medchain/policy/v1" + bytes(bound)).digest()
    assert again.names == again.parties == {}
    assert hash(again) == hash(bound)


def test_every_field_is_encoded_and_null_where_unset():
    assert set(VALUE) == {"clauses", "gate", "owner", "erasure", "labels"}
    b, c, owner = (PARTIES[name].id for name in ("b", "c", "owner"))
    assert VALUE["clauses"][0] == {
        "name": "a",
        "mark": None,
        "purposes": ["T"],
        "askers": [b, ["credentials", "physician"]],
        "tree": {"k": 2, "of": [owner, {"k": 1, "of": [b, c]}]},
        "not_before": None,
        "not_after": None,
        "uses": 3,
        "notify": [],
        "separate_asker": False,
        "gated": True,
        "reviewer": None,
        "review_within": None,
        "waiting": None,
        "objectors": [],
    }
    assert VALUE["gate"] == {"threshold": 1, "members": [stand_in("keeper").id]}
    assert VALUE["owner"] == VALUE["erasure"] == owner
    assert VALUE["labels"] == ["label"]


def test_the_encoding_is_pinned():
    assert BOUND.hash.hex() == "4000d93faf90110a317038c2924cc2ff603f86edae336fdf09cb83b8cf53a552"


def edits():
    """One wrong value for each place: (path, replacement)."""
    clause = ("clauses", 0)
    yield from [
        (("clauses",), []),
        (("clauses",), None),
        (("clauses",), [VALUE["clauses"][0]] * 2),
        (("gate",), None),
        (("gate", "threshold"), 2),
        (("gate", "threshold"), True),
        (("gate", "members"), []),
        (("gate", "members"), [b"short"]),
        (("gate", "members"), ["keeper"]),
        (("owner",), b"short"),
        (("owner",), "owner"),
        (("erasure",), {"k": 1, "of": []}),
        (("erasure",), []),
        (("labels",), ["Label"]),
        (("labels",), ["label", "label"]),
        (("labels",), [5]),
        ((*clause, "name"), "A"),
        ((*clause, "name"), None),
        ((*clause, "mark"), "urgent"),
        ((*clause, "mark"), 1),
        ((*clause, "purposes"), []),
        ((*clause, "purposes"), ["t"]),
        ((*clause, "askers"), []),
        ((*clause, "askers"), ["b"]),
        ((*clause, "askers"), [["credentials"]]),
        ((*clause, "askers"), [["credentials", 5]]),
        ((*clause, "askers"), [[b"c", "physician"]]),
        ((*clause, "tree"), None),
        ((*clause, "tree"), "b"),
        ((*clause, "tree"), b"short"),
        ((*clause, "tree", "k"), 3),
        ((*clause, "tree", "k"), 0),
        ((*clause, "tree", "k"), True),
        ((*clause, "tree", "k"), None),
        ((*clause, "tree", "of"), [PARTIES["b"].id]),
        ((*clause, "tree", "of"), {}),
        ((*clause, "tree", "extra"), 1),
        ((*clause, "not_before"), -1),
        ((*clause, "not_after"), False),
        ((*clause, "uses"), 0),
        ((*clause, "uses"), "3"),
        ((*clause, "notify"), None),
        ((*clause, "notify"), [PARTIES["b"].id] * 2),
        ((*clause, "separate_asker"), 0),
        ((*clause, "gated"), None),
        ((*clause, "reviewer"), PARTIES["b"].id),
        ((*clause, "review_within"), 5),
        ((*clause, "waiting"), 5),
        ((*clause, "objectors"), [PARTIES["b"].id]),
        ((*clause, "extra"), None),
        (("extra",), None),
        (("clauses", 1, "review_within"), None),
        (("clauses", 2, "waiting"), None),
    ]


@pytest.mark.parametrize(("path", "wrong"), list(edits()), ids=lambda value: str(value)[:40])
def test_anything_else_is_an_encoding_error(path, wrong):
    value = copy.deepcopy(VALUE)
    place = value
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = wrong
    with pytest.raises(EncodingError):
        BoundPolicy.from_bytes(encode(value))


@pytest.mark.parametrize("name", sorted(VALUE["clauses"][0]))
def test_no_field_may_be_missing(name):
    value = copy.deepcopy(VALUE)
    del value["clauses"][0][name]
    with pytest.raises(EncodingError):
        BoundPolicy.from_bytes(encode(value))


@given(st.data())
@settings(max_examples=150)
def test_flipped_bytes_never_escape_as_another_error(data):
    encoded = bytearray(bytes(BOUND))
    at = data.draw(st.integers(0, len(encoded) - 1))
    encoded[at] ^= data.draw(st.integers(1, 255))
    try:
        other = BoundPolicy.from_bytes(bytes(encoded))
    except EncodingError:
        return
    assert bytes(other) == bytes(encoded)
    assert other.hash != BOUND.hash


def test_trees_are_bounded_when_read():
    deep = PARTIES["b"].id
    for _ in range(17):
        deep = {"k": 2, "of": [deep, PARTIES["c"].id]}
    for tree in (deep, {"k": 1, "of": [PARTIES["b"].id] * 255}):
        value = copy.deepcopy(VALUE)
        value["clauses"][0]["tree"] = tree
        with pytest.raises(EncodingError):
            BoundPolicy.from_bytes(encode(value))
    with pytest.raises(EncodingError):
        BoundPolicy.from_bytes(bytes(100_000))


def test_names_come_back_by_naming_them():
    again = BoundPolicy.from_bytes(bytes(BOUND))
    assert again.name(PARTIES["b"].id) == PARTIES["b"].id.hex()[:8]
    named = again.named(b=PARTIES["b"], stranger=stand_in("stranger"))
    assert named == again
    assert named.names == {PARTIES["b"].id: "b"}
    assert named.parties == {PARTIES["b"].id: PARTIES["b"]}


def test_the_order_of_holders_is_part_of_the_hash():
    one = Policy.parse("a for T: b and c").bind(gate=None, b=PARTIES["b"], c=PARTIES["c"])
    other = Policy.parse("a for T: c and b").bind(gate=None, b=PARTIES["b"], c=PARTIES["c"])
    assert one.hash != other.hash


def test_the_gate_is_part_of_the_hash():
    policy, keepers = Policy.parse("a for T: b"), tuple(stand_in(str(at)) for at in range(3))
    hashes = {policy.bind(gate=GateSet(k, keepers), b=PARTIES["b"]).hash for k in (1, 2, 3)}
    assert len(hashes | {policy.bind(gate=None, b=PARTIES["b"]).hash}) == 4
