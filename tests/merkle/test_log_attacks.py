"""Proofs with anything in them changed are refused, by the documented errors only."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import pytest

from medchain.errors import EncodingError, MalformedProof, RootMismatch, VerificationError
from medchain.merkle import CompactRange, ConsistencyProof, Head, InclusionProof, LogTree, MapProof, SparseMap

LEAVES = [b"leaf %d" % i for i in range(11)]
TREE = LogTree(LEAVES)
HEAD = TREE.head
REFUSALS = (EncodingError, VerificationError)


def flipped(data: bytes) -> Iterator[bytes]:
    """`data` with one byte changed, each in two ways."""
    for at, byte in enumerate(data):
        for mask in (0x01, 0x80):
            yield data[:at] + bytes([byte ^ mask]) + data[at + 1 :]


@pytest.mark.parametrize("index", range(len(LEAVES)))
def test_inclusion_with_a_flipped_byte(index: int) -> None:
    wire = bytes(TREE.prove_inclusion(index))
    assert InclusionProof.from_bytes(wire).verify(LEAVES[index], index=index, head=HEAD) == LEAVES[index]
    for bad in flipped(wire):
        with pytest.raises(REFUSALS):
            InclusionProof.from_bytes(bad).verify(LEAVES[index], index=index, head=HEAD)


@pytest.mark.parametrize("old", range(1, len(LEAVES)))
def test_consistency_with_a_flipped_byte(old: int) -> None:
    wire = bytes(TREE.prove_consistency(old))
    for bad in flipped(wire):
        with pytest.raises(REFUSALS):
            ConsistencyProof.from_bytes(bad).verify(old=TREE.head_at(old), new=HEAD)


def test_inclusion_of_another_leaf_place_or_head() -> None:
    proof = TREE.prove_inclusion(5)
    with pytest.raises(RootMismatch) as caught:
        proof.verify(b"another", index=5, head=HEAD)
    assert caught.value.expected == HEAD.root
    with pytest.raises(MalformedProof):
        proof.verify(LEAVES[5], index=4, head=HEAD)
    with pytest.raises(MalformedProof):
        proof.verify(LEAVES[5], index=5, head=TREE.head_at(10))
    with pytest.raises(RootMismatch):
        proof.verify(LEAVES[5], index=5, head=Head(HEAD.size, bytes(32)))


def test_a_node_is_no_leaf() -> None:
    """Without the prefixes an inner node could pass for a leaf of a smaller tree."""
    pair = TREE.node(0, 0) + TREE.node(0, 1)
    proof = InclusionProof(0, 2, (TREE.node(1, 1),))
    with pytest.raises(RootMismatch):
        proof.verify(pair, index=0, head=Head(2, TREE.head_at(4).root))


@pytest.mark.parametrize("change", [lambda path: path[:-1], lambda path: (*path, bytes(32)), lambda path: ()])
def test_paths_of_a_wrong_length(change: object) -> None:
    assert callable(change)
    inclusion, consistency = TREE.prove_inclusion(5), TREE.prove_consistency(5)
    with pytest.raises(MalformedProof):
        attrs.evolve(inclusion, path=change(inclusion.path)).verify(LEAVES[5], index=5, head=HEAD)
    with pytest.raises(MalformedProof):
        attrs.evolve(consistency, path=change(consistency.path)).verify(old=TREE.head_at(5), new=HEAD)


def test_hashes_of_a_wrong_length_and_absurd_sizes() -> None:
    proof = TREE.prove_inclusion(5)
    with pytest.raises(MalformedProof):
        attrs.evolve(proof, path=(b"short", *proof.path[1:])).verify(LEAVES[5], index=5, head=HEAD)
    for index, size in ((-1, 11), (11, 11), (1 << 62, 1 << 63), (-5, -1)):
        with pytest.raises(MalformedProof):
            InclusionProof(index, size, ()).root_from(bytes(32))
    with pytest.raises(MalformedProof):
        ConsistencyProof(11, 5, ()).verify(old=HEAD, new=TREE.head_at(5))


def test_from_the_empty_tree_nothing_is_proved() -> None:
    empty, false = TREE.head_at(0), Head(0, bytes(32))
    with pytest.raises(MalformedProof):
        ConsistencyProof(0, 11, ()).verify(old=empty, new=HEAD)
    assert ConsistencyProof(0, 0, ()).verify(old=empty, new=empty) == empty
    with pytest.raises(RootMismatch):
        ConsistencyProof(0, 0, ()).verify(old=false, new=false)


def test_a_rewritten_log_is_not_consistent() -> None:
    other = LogTree([*LEAVES[:3], b"rewritten", *LEAVES[4:]])
    for old in range(4, len(LEAVES)):
        with pytest.raises(RootMismatch):
            other.prove_consistency(old).verify(old=TREE.head_at(old), new=other.head)


def test_compact_range_with_a_flipped_byte_is_another_or_none() -> None:
    log = CompactRange()
    log.append_many([bytes([i]) * 32 for i in range(7)])
    for bad in flipped(bytes(log)):
        try:
            assert CompactRange.from_bytes(bad).head != log.head
        except EncodingError:
            continue


ROWS = SparseMap({b"row %d" % i: b"value %d" % i for i in range(9)})


@pytest.mark.parametrize("key", [b"row 0", b"row 3", b"row 8", b"none", b"nothing", b"x", b"yy"])
def test_map_proof_with_a_flipped_byte(key: bytes) -> None:
    value = b"value " + key[4:] if key.startswith(b"row") else None
    proof = ROWS.prove_absent(key) if value is None else ROWS.prove(key)
    wire = bytes(proof)
    assert MapProof.from_bytes(wire).verify(key, value, root=ROWS.root) == value
    for bad in flipped(wire):
        with pytest.raises(REFUSALS):
            MapProof.from_bytes(bad).verify(key, value, root=ROWS.root)
