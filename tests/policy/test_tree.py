"""Trees against naive evaluation: every subset of holders, every subset of positions."""

from __future__ import annotations

import time
from itertools import chain, combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medchain.errors import PolicyError
from medchain.policy import Holder, Position, Threshold, Tree, all_of, any_of, k_of, smallest_quorums
from medchain.policy.quorums import alone, indispensable
from medchain.testing.policies import trees


def subsets(items):
    items = list(items)
    return (set(some) for some in chain.from_iterable(combinations(items, n) for n in range(len(items) + 1)))


def naive(tree: Tree[str], agreed) -> bool:
    """The definition: `agreed` decides for each position."""

    def holds(node, path):
        if isinstance(node, Holder):
            return agreed(path, node.holder)
        return sum(holds(member, (*path, at)) for at, member in enumerate(node.members)) >= node.k

    return holds(tree, ())


def minimal(sets):
    sets = list(sets)
    return {frozenset(one) for one in sets if not any(other < one for other in sets)}


@given(trees())
@settings(max_examples=150)
def test_satisfied_by_agrees_with_the_definition_on_all_subsets(tree):
    for some in subsets(tree.holders):
        assert tree.satisfied_by(some) is naive(tree, lambda _path, holder, some=some: holder in some)


@given(trees(), st.data())
@settings(max_examples=150)
def test_waiting_for_is_who_stands_in_a_smallest_set_of_further_positions(tree, data):
    given_ = data.draw(st.sets(st.sampled_from(tree.holders)))
    never = data.draw(st.sets(st.sampled_from(tree.holders)))
    positions = list(tree.positions())
    usable = [position for position in positions if position.holder not in never]
    present = {position.path for position in usable if position.holder in given_}
    absent = [position for position in usable if position.holder not in given_]
    completing = minimal(
        {position.path for position in absent if position.path in paths}
        for paths in subsets(position.path for position in absent)
        if naive(tree, lambda path, _holder, paths=paths: path in paths or path in present)
    )
    useful = {path for paths in completing for path in paths}
    expected = dict.fromkeys(position.holder for position in positions if position.path in useful)
    assert tree.waiting_for(given_, never=never) == tuple(expected)
    assert tree.possible_without(never) is bool(completing)


@given(trees())
@settings(max_examples=150)
def test_quorums_are_the_minimal_satisfying_sets(tree):
    expected = minimal(some for some in subsets(tree.holders) if tree.satisfied_by(some))
    found = smallest_quorums(tree, limit=500)
    assert found.complete
    assert {frozenset(quorum) for quorum in found.sets} == expected
    assert len(found.sets) == len(expected)
    assert [len(quorum) for quorum in found.sets] == sorted(map(len, found.sets))
    assert set(alone(tree)) == {next(iter(quorum)) for quorum in expected if len(quorum) == 1}
    assert set(indispensable(tree)) == set(frozenset.intersection(*expected))


@given(trees(), st.integers(1, 4))
@settings(max_examples=150)
def test_cut_lists_hold_true_quorums_and_say_that_they_are_cut(tree, limit):
    every = smallest_quorums(tree, limit=500)
    cut = smallest_quorums(tree, limit)
    assert len(cut.sets) <= limit
    assert set(map(frozenset, cut.sets)) <= set(map(frozenset, every.sets))
    if cut.complete:
        assert cut.sets == every.sets
    if tree.size == len(tree.holders):
        assert cut.sets == every.sets[:limit]
        assert cut.complete is (len(every.sets) <= limit)


def test_quorums_of_huge_thresholds_are_bounded():
    found = smallest_quorums(k_of(127, *(f"p{at}" for at in range(254))), limit=3)
    assert not found.complete
    assert [len(quorum) for quorum in found.sets] == [127] * 3
    assert found.sets[0] == tuple(f"p{at}" for at in range(127))


def crowd(count, size, parties, k):
    """`count` members, each `k` of `size` parties that follow one another, all round the table of `parties`."""
    return [k_of(k, *(f"p{(at * size + i) % parties}" for i in range(size))) for at in range(count)]


def loop():
    """Processor time of two million steps of Python."""
    start, number = time.process_time(), 0
    for step in range(2_000_000):
        number ^= step
    return time.process_time() - start


@pytest.mark.parametrize(
    "tree",
    [
        k_of(127, *(f"p{at}" for at in range(254))),
        k_of(64, *crowd(128, 8, 1024, 4)),
        k_of(64, *crowd(128, 8, 100, 4)),
        k_of(127, *crowd(254, 4, 99, 2)),
        k_of(2, k_of(2, k_of(2, k_of(2, *crowd(16, 16, 100, 8)), "x", "y"), "z", "x"), "y", "z"),
    ],
    ids=["127 of 254", "4 of 8, 1024 parties", "4 of 8, 100 parties", "2 of 4, 99 parties", "depth 6"],
)
def test_quorums_of_the_largest_trees_come_without_delay(tree):
    """Measured in loops of this machine: at most about 6 of them, where it took 30 to try every combination."""
    start = time.process_time()
    found = smallest_quorums(tree)
    taken = time.process_time() - start
    assert taken < 14 * loop()
    assert 1 <= len(found.sets) <= 20
    for quorum in found.sets[:3]:
        assert tree.satisfied_by(quorum)
        for holder in quorum:
            assert not tree.satisfied_by(set(quorum) - {holder})


def test_quorums_of_equal_subtrees_are_the_best_of_all_combinations():
    """Without repetition a cut list is exact: checked where all 727 quorums can be listed."""
    tree = k_of(2, *(k_of(2, *(f"p{at}_{i}" for i in range(2 + 2 * at))) for at in range(4)))
    every = smallest_quorums(tree, limit=100_000)
    assert every.complete
    for limit in (1, 2, 20, 200):
        assert smallest_quorums(tree, limit).sets == every.sets[:limit]


def test_positions_are_in_tree_order_with_their_paths():
    tree = all_of("owner", k_of(1, "dr_wu", all_of("a", "owner")))
    assert list(tree.positions()) == [
        Position((0,), "owner"),
        Position((1, 0), "dr_wu"),
        Position((1, 1, 0), "a"),
        Position((1, 1, 1), "owner"),
    ]
    assert tree.holders == ("owner", "dr_wu", "a")
    assert (tree.depth, tree.size) == (3, 4)


def test_builders_drop_thresholds_over_one_member():
    assert all_of("a") == any_of("a") == k_of(1, all_of("a")) == Holder("a")
    assert all_of("a", "b") == Threshold(2, (Holder("a"), Holder("b")))
    assert any_of("a", "b") == Threshold(1, (Holder("a"), Holder("b")))


def test_a_holder_counts_in_each_of_its_positions():
    assert k_of(2, "a", "a", "b").satisfied_by(["a"])


def nested(depth: int) -> Tree[str]:
    tree: Tree[str] = Holder("a")
    for _ in range(depth):
        tree = all_of(tree, "b")
    return tree


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: k_of(0, "a", "b"), "asks nobody"),
        (lambda: k_of(3, "a", "b"), "3 of 2 can never be reached"),
        (lambda: k_of(2, "a"), "2 of 1 can never be reached"),
        (lambda: all_of(), "asks nobody|2 to 254"),
        (lambda: Threshold(1, (Holder("a"),)), "2 to 254 members, not 1"),
        (lambda: any_of(*["a"] * 255), "2 to 254 members, not 255"),
        (lambda: nested(17), "at most 16 deep"),
        (lambda: any_of(*[any_of(*["a"] * 254)] * 5), "at most 1024 positions"),
        (lambda: Holder("Owner"), "not of the form"),
        (lambda: Holder("asker"), "reserved: the asker is known only"),
        (lambda: Holder("gate"), "reserved: the gate stands outside"),
        (lambda: Holder("and"), "reserved"),
        (lambda: Holder("a" * 33), "not of the form"),
        (lambda: Holder("a\n"), "not of the form"),
        (lambda: Holder(b"short"), "32 bytes, not 5"),
    ],
)
def test_impossible_trees_are_policy_errors(make, text):
    with pytest.raises(PolicyError, match=text):
        make()


def test_wrong_types_are_type_errors():
    for make in (
        lambda: Holder(5),
        lambda: Threshold(1, ("a", "b")),
        lambda: Threshold(True, (Holder("a"), Holder("b"))),
        lambda: Threshold("1", (Holder("a"), Holder("b"))),
    ):
        with pytest.raises(TypeError):
            make()


def test_depth_16_is_allowed():
    assert nested(16).depth == 16
