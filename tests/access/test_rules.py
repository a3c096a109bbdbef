"""Quorums over parts, against their definition."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from medchain.access.messages import Parts
from medchain.access.rules import meet, quorum_of, within
from medchain.policy import BoundClause, Tree, all_of, any_of, k_of

PEOPLE = [bytes([number]) * 32 for number in range(1, 6)]
WHOLE = frozenset(range(1, 5))

leaves = st.sampled_from(PEOPLE)
trees = st.recursive(
    leaves,
    lambda inner: st.lists(inner, min_size=2, max_size=3).flatmap(
        lambda members: st.integers(1, len(members)).map(lambda k: k_of(k, *members))
    ),
    max_leaves=6,
)
parts = st.none() | st.sets(st.integers(1, 4), min_size=1).map(lambda chosen: tuple(sorted(chosen)))


def as_set(chosen: Parts) -> frozenset[int]:
    return WHOLE if chosen is None else frozenset(chosen)


@given(trees, parts, st.dictionaries(leaves, parts, max_size=5), st.booleans())
def test_a_decision_lists_parts_that_one_quorum_has_approved(
    tree: Tree[bytes], asked: Parts, approvals: dict[bytes, Parts], separate: bool
) -> None:
    clause = BoundClause("c", ("TREAT",), tree, separate_asker=separate)
    asker = PEOPLE[0]
    approvals = {who: one for who, one in approvals.items() if meet(asked, one) != ()}
    possible = [
        frozenset.intersection(as_set(asked), *(as_set(approvals[who]) for who in group))
        for size in range(1, len(approvals) + 1)
        for group in combinations(approvals, size)
        if clause.satisfied_by(group, asker=asker)
    ]
    found = quorum_of(clause, asked, approvals, asker)
    if not any(possible):
        assert found is None
        return
    assert found is not None
    quorum, decided = found
    assert clause.satisfied_by(quorum, asker=asker)
    assert as_set(decided)
    assert as_set(decided) == frozenset.intersection(
        as_set(asked), *(as_set(approvals[who]) for who in quorum)
    )
    for left_out in quorum:
        assert not clause.satisfied_by([who for who in quorum if who != left_out], asker=asker)


def test_the_quorum_with_the_most_parts_counts() -> None:
    ann, bob, cy = PEOPLE[:3]
    clause = BoundClause("c", ("TREAT",), all_of(ann, any_of(bob, cy)))
    approvals: dict[bytes, Parts] = {bob: (1,), cy: (2, 3), ann: None}
    assert quorum_of(clause, None, approvals, ann) == ((ann, cy), (2, 3))
    assert quorum_of(clause, None, {**approvals, bob: None}, ann) == ((ann, bob), None)
    assert quorum_of(clause, (1, 2), approvals, ann) == ((ann, bob), (1,))


def test_parts_meet() -> None:
    assert meet(None, None) is None
    assert meet((1, 2), None) == meet(None, (1, 2)) == (1, 2)
    assert meet((1, 2), (3,)) == ()
    assert within((1,), None)
    assert within(None, None)
    assert not within(None, (1,))
    assert not within((1, 2), (1,))
