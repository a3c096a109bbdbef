"""The log tree against the recursive definition of RFC 9162, for every size to 130."""

from __future__ import annotations

import sys
from hashlib import sha256
from types import FrameType
from typing import Any

import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medchain import _native
from medchain.errors import MalformedProof
from medchain.merkle import (
    EMPTY_ROOT,
    CompactRange,
    ConsistencyProof,
    Head,
    InclusionProof,
    LogTree,
    consistency_nodes,
    cover,
    inclusion_nodes,
    leaf_hash,
    root_of,
    tree_root,
)

SIZES = 130
LEAVES = [bytes([i]) * (i % 7) for i in range(SIZES)]


@pytest.fixture(scope="module")
def tree() -> LogTree:
    return LogTree(LEAVES)


def test_every_output_to_130_is_pinned(tree: LogTree) -> None:
    """One digest over all roots, inclusion and consistency proofs: a change anywhere shows here."""
    pin = sha256()
    for size in range(SIZES + 1):
        head = tree.head_at(size)
        pin.update(head.root)
        for index in range(size):
            proof = tree.prove_inclusion(index, size)
            proof.verify(LEAVES[index], index=index, head=head)
            pin.update(b"".join(proof.path))
        for old in range(min(1, size), size + 1):
            consistency = tree.prove_consistency(old, size)
            assert consistency.verify(old=tree.head_at(old), new=head) == head
            pin.update(b"".join(consistency.path))
    assert pin.hexdigest() == "ac466cb0a8a7ee45452680913bcf0550a7d73071832fe40fe115b49a540a43bb"


@pytest.mark.parametrize("size", [*range(20), 31, 32, 33, 63, 64, 65, 100, SIZES])
def test_agrees_with_the_recursive_definition(tree: LogTree, size: int) -> None:
    leaves = LEAVES[:size]
    assert tree.head_at(size) == Head(size, oracles.log_root(leaves))
    assert tree_root(leaves) == oracles.log_root(leaves)
    for index in range(size):
        assert list(tree.prove_inclusion(index, size).path) == oracles.log_path(index, leaves)
    for old in range(1, size + 1):
        assert list(tree.prove_consistency(old, size).path) == oracles.log_consistency(old, leaves)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 64, 65, 100, SIZES])
def test_an_inclusion_proof_shows_the_tree_that_ends_with_its_leaf(tree: LogTree, size: int) -> None:
    for index in range(size):
        proof = tree.prove_inclusion(index, size)
        assert proof.root_up_to(leaf_hash(LEAVES[index])) == oracles.log_root(LEAVES[: index + 1])
        for path in (proof.path[:-1], (*proof.path, bytes(32))):
            if path != proof.path:
                with pytest.raises(MalformedProof):
                    InclusionProof(index, size, path).root_up_to(leaf_hash(LEAVES[index]))
    with pytest.raises(MalformedProof):
        InclusionProof(size, size, ()).root_up_to(bytes(32))


def test_root_of_the_empty_tree() -> None:
    assert LogTree().head == Head(0, EMPTY_ROOT)
    assert tree_root([]) == CompactRange().root == EMPTY_ROOT == sha256(b"").digest()


@given(st.lists(st.integers(0, 40), max_size=12))
def test_appended_in_any_portions_it_is_the_same_tree(portions: list[int]) -> None:
    tree = LogTree()
    leaves: list[bytes] = []
    for portion in portions:
        more = [b"%d" % (len(leaves) + i) for i in range(portion)]
        if portion == 1:
            assert tree.append(more[0]) == len(leaves)
        else:
            tree.extend(more)
        leaves += more
    assert len(tree) == len(leaves)
    assert tree.root == tree_root(leaves) == oracles.log_root(leaves)


def test_ctrl_c_between_two_levels_leaves_the_tree_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    tree, node_hashes, calls = LogTree(LEAVES[:5]), _native.node_hashes, 0

    def interrupted(children: bytes) -> bytes:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return node_hashes(children)

    with monkeypatch.context() as patch:
        patch.setattr(_native, "node_hashes", interrupted)
        with pytest.raises(KeyboardInterrupt):
            tree.extend(LEAVES[5:])
    assert tree.head == LogTree(LEAVES[:5]).head
    tree.extend(LEAVES[5:])
    assert tree.head == LogTree(LEAVES).head
    assert tree.prove_inclusion(7) == LogTree(LEAVES).prove_inclusion(7)


def test_ctrl_c_at_any_line_leaves_a_whole_tree() -> None:
    """Interrupted at the first line that runs, at the second, and so on, until it gets through."""
    whole, lines = LogTree(LEAVES), 0
    while True:
        tree = LogTree(LEAVES[:3])
        due = lines

        def trace(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal due
            if not frame.f_code.co_filename.endswith("merkle/log.py"):
                return None
            due -= event == "line"
            if due < 0:
                raise KeyboardInterrupt
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            tree.extend(LEAVES[3:40])
            break
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(before)
        assert len(tree) in (3, 40)
        assert tree.head == whole.head_at(len(tree))
        tree.extend(LEAVES[len(tree) :])
        assert tree.head == whole.head
        for index in range(SIZES):
            assert tree.prove_inclusion(index) == whole.prove_inclusion(index)
        lines += 1
    assert lines > 20


def test_compact_range_names_what_it_completes(tree: LogTree) -> None:
    log = CompactRange()
    created = {}
    for size, leaf in enumerate(LEAVES):
        assert log.head == tree.head_at(size)
        assert CompactRange.from_bytes(bytes(log)) == log
        for level, index, hash in log.append(leaf_hash(leaf)):
            assert hash == tree.node(level, index)
            created[level, index] = hash
    assert root_of(SIZES, lambda level, index: created[level, index]) == tree.root
    assert len(created) == sum(SIZES >> level for level in range(SIZES.bit_length()))


def test_compact_range_copies_go_their_own_way() -> None:
    log = CompactRange()
    log.append_many([leaf_hash(b"a"), leaf_hash(b"b")])
    copy = log.copy()
    copy.append(leaf_hash(b"c"))
    assert (log.size, copy.size) == (2, 3)
    assert log != copy


@pytest.mark.parametrize(("size", "nodes"), [(1, []), (2, [bytes(32)] * 2), (1, [b"short"]), (-1, [])])
def test_compact_range_refuses_what_is_none(size: int, nodes: list[bytes]) -> None:
    with pytest.raises(ValueError):
        CompactRange(size, nodes)


@given(st.integers(0, 1 << 62), st.integers(0, 1 << 62))
def test_plans_of_large_trees_name_complete_nodes_only(one: int, other: int) -> None:
    low, high = sorted((one, other))
    for plan in (consistency_nodes(low + 1, high + 1), inclusion_nodes(low, high + 1)):
        assert all((index + 1) << level <= high + 1 for level, index in plan.nodes)
        assert len(plan.rehash([bytes(32)] * len(plan.nodes))) <= 64
    nodes = cover(low, high)
    assert sum(1 << level for level, _ in nodes) == high - low


def test_mistakes_of_the_caller_are_told(tree: LogTree) -> None:
    for call in (
        lambda: tree.prove_inclusion(5, 5),
        lambda: tree.prove_inclusion(-1),
        lambda: tree.prove_inclusion(0, SIZES + 1),
        lambda: tree.prove_consistency(5, 4),
        lambda: tree.prove_consistency(0),
        lambda: tree.head_at(SIZES + 1),
        lambda: tree.head_at(-1),
        lambda: Head(-1, bytes(32)),
        lambda: Head(1, b"short"),
    ):
        with pytest.raises(ValueError):
            call()
    with pytest.raises(IndexError):
        tree.node(7, 1)


def test_prints_and_draws(tree: LogTree) -> None:
    root = tree.root.hex()
    assert root[:12] in repr(tree)
    assert root not in repr(tree)
    assert root[:12] in repr(tree.head)
    for size in (0, 1, 5, 32, 33, SIZES):
        assert LogTree(LEAVES[:size])._repr_svg_().startswith("<svg ")
    proof = tree.prove_inclusion(5)
    assert "8 hashes" in repr(proof)
    assert proof._repr_html_().count("<tr>") == 1 + len(proof.path)
    assert isinstance(proof, InclusionProof)
    assert "hashes" in repr(ConsistencyProof(3, 5, proof.path))
