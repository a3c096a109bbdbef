"""Hypothesis strategies for policies: trees, clauses, policies, bound policies.

Everything that the model allows can come out, within small sizes. Symbols come from a short list, so that the same
party often stands in several places.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from hypothesis import strategies as st

from medchain.keys import Party
from medchain.policy import BoundPolicy, Clause, GateSet, Holder, Mark, Policy, Role, Tree, k_of
from medchain.policy.moments import DAY, MAX_DURATION, MAX_TIME

__all__ = ["SYMBOLS", "bound_policies", "clauses", "gates", "policies", "stand_in", "trees"]

SYMBOLS = ("owner", "guardian", "dr_wu", "dr_lee", "er_desk", "auditor", "a", "z9_")


def stand_in(name: str) -> Party:
    """A party with an id of its own and keys that are none: enough to bind a policy, not to seal or sign."""
    digest = hashlib.sha256(name.encode()).digest()
    return Party(signing_key=digest, recipient_key=bytes(1216), id=digest)


def trees(symbols: Iterable[str] = SYMBOLS, *, max_leaves: int = 10) -> st.SearchStrategy[Tree[str]]:
    """Threshold trees with any thresholds, symbols repeated or not."""
    leaves: st.SearchStrategy[Tree[str]] = st.sampled_from(list(symbols)).map(Holder)

    def thresholds(members: st.SearchStrategy[Tree[str]]) -> st.SearchStrategy[Tree[str]]:
        lists = st.lists(members, min_size=2, max_size=5)
        return lists.flatmap(lambda found: st.integers(1, len(found)).map(lambda k: k_of(k, *found)))

    return st.recursive(leaves, thresholds, max_leaves=max_leaves)


_names = st.from_regex(r"x[a-z0-9_]{0,9}", fullmatch=True)
_roles = st.builds(Role, _names, _names)
_purposes = st.lists(
    st.from_regex(r"[A-Z][A-Z0-9_]{0,9}", fullmatch=True), min_size=1, max_size=3, unique=True
)
_some = st.lists(st.sampled_from(SYMBOLS), unique=True, max_size=4)
_days = st.integers(0, MAX_TIME // DAY)
_starts = st.none() | st.integers(0, MAX_TIME) | _days.map(lambda day: day * DAY)
_ends = st.none() | st.integers(0, MAX_TIME) | _days.map(lambda day: day * DAY + DAY - 1)
_durations = st.integers(1, MAX_DURATION) | st.integers(1, 365).map(lambda days: days * DAY)


@st.composite
def clauses(draw: st.DrawFn, names: st.SearchStrategy[str] = _names) -> Clause:
    """Clauses with every mark and option."""
    mark = draw(st.sampled_from((None, *Mark)))
    waiting = draw(st.none() | _durations) if mark is Mark.RECOVERY else None
    reviewer = draw(st.none() | st.sampled_from(SYMBOLS)) if mark is Mark.EMERGENCY else None
    askers = st.lists(st.sampled_from(SYMBOLS) | _roles, min_size=1, max_size=4, unique=True)
    return Clause(
        draw(names),
        draw(_purposes),
        draw(trees()),
        mark=mark,
        askers=draw(st.none() | askers),
        not_before=draw(_starts),
        not_after=draw(_ends),
        uses=draw(st.none() | st.integers(1, 1_000_000_000)),
        notify=draw(_some),
        separate_asker=draw(st.booleans()),
        gated=draw(st.booleans()),
        reviewer=reviewer,
        review_within=draw(_durations) if reviewer else None,
        waiting=waiting,
        objectors=draw(_some) if waiting else (),
    )


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Whole policies with one to four clauses."""
    names = draw(st.lists(_names, min_size=1, max_size=4, unique=True))
    return Policy(
        tuple(draw(clauses(names=st.just(name))) for name in names),
        erasure=draw(st.none() | trees()),
        labels=draw(st.lists(_names, unique=True, max_size=3)),
    )


@st.composite
def gates(draw: st.DrawFn) -> GateSet:
    """Gates of one to three parties, strangers to the tree."""
    count = draw(st.integers(1, 3))
    parties = tuple(stand_in(f"keeper {at}") for at in range(count))
    return GateSet(draw(st.integers(1, count)), parties)


@st.composite
def bound_policies(draw: st.DrawFn) -> BoundPolicy:
    """Policies bound to stand-ins, sometimes several symbols to one party, with and without a gate."""
    policy = draw(policies())
    spare = draw(st.sampled_from((None, *SYMBOLS)))
    parties = {
        symbol: stand_in(spare if spare and draw(st.booleans()) else symbol) for symbol in policy.symbols
    }
    return policy.bind(gate=draw(st.none() | gates()), **parties)
