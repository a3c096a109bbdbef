"""A payload opens if and only if the policy's logic says so."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sealing.world import ASKER, CONTEXT, WALLETS, approve, ask, party, seal
from shamir_mnemonic.shamir import RawShare, _interpolate

from medchain import sealing
from medchain.errors import Pending
from medchain.keys import shares
from medchain.policy import Clause, GateSet, Policy, Tree
from medchain.sealing import Part, PartKeys
from medchain.sealing.dealing import combine, deal_shares
from medchain.sealing.documents import Header, PartInfo
from medchain.sealing.layout import layout_of
from medchain.sealing.openings import Opened, recover, unseal
from medchain.sealing.segments import check_key
from medchain.testing.policies import SYMBOLS, bound_policies, trees

GATES = ("keeper", "second", "third")


def _header(parts: int) -> Header:
    info = PartInfo("application/octet-stream", 0, 1, bytes(32), bytes(32))
    return Header(bytes(range(32)), None, None, (info,) * (parts + 1))


@settings(max_examples=120, deadline=None)
@given(bound_policies(), st.data())
def test_shares_combine_if_and_only_if_the_logic_says_so(bound, data: st.DataObject) -> None:
    """The dealing alone, for any policy there is and any holders; the gate counts apart."""
    header = _header(2)
    keys = {index: hashlib.sha256(bytes([index])).digest() for index in range(3)}
    clause = data.draw(st.sampled_from(bound.clauses))
    layout = layout_of(bound, clause.name)
    blocks = deal_shares(header, bound.hash, layout, keys)
    chosen = data.draw(st.sets(st.sampled_from(layout.seats)))
    combined = combine(layout, [(seat, blocks[seat]) for seat in chosen])
    tree = clause.tree.satisfied_by({seat.holder for seat in chosen if not seat.gate})
    gate = not clause.gated or sum(seat.gate for seat in chosen) >= bound.gate.threshold
    assert combined == (b"".join(keys.values()) if tree and gate else None)
    assert (layout.missing(chosen) == ()) == (tree and gate)


@settings(max_examples=25, deadline=None)
@given(
    trees(SYMBOLS[:5]),
    st.integers(0, 3).flatmap(lambda n: st.tuples(st.just(n), st.integers(min(1, n), n))),
    st.sets(st.sampled_from(SYMBOLS[:5])),
    st.sets(st.sampled_from(GATES)),
)
def test_an_object_opens_if_and_only_if_the_logic_says_so(
    tree: Tree[str], gate: tuple[int, int], agreeing: set[str], releasing: set[str]
) -> None:
    """The whole way, by real wallets; who has no share agrees in vain."""
    size, threshold = gate
    policy = Policy(Clause("t", "T", tree))
    members = GATES[:size]
    gate_set = GateSet(threshold, tuple(map(party, members))) if size else None
    bound = policy.bind(gate=gate_set, **{symbol: party(symbol) for symbol in policy.symbols})
    sealed = sealing.seal(b"payload", bound, context=CONTEXT)
    request = ask(sealed)
    given_ = [
        *approve(sealed, request, *(agreeing & set(tree.holders))),
        *approve(sealed, request, *(releasing & set(members)), gate=True),
    ]
    enough = tree.satisfied_by(agreeing) and len(releasing & set(members)) >= threshold
    if enough:
        assert sealing.open(sealed, request, given_, context=CONTEXT, by=ASKER) == b"payload"
    else:
        with pytest.raises(Pending):
            sealing.open(sealed, request, given_, context=CONTEXT, by=ASKER)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_interpolation_agrees_with_slip39(data: st.DataObject) -> None:
    """Shares of ours, combined by the reference implementation on the same field and layout."""
    k = data.draw(st.integers(1, 6))
    n = data.draw(st.integers(k, 12))
    secret = data.draw(st.binary(min_size=32, max_size=32))
    fixed = [data.draw(st.binary(min_size=32, max_size=32)) for _ in range(k - 1)]
    dealt = shares.split(secret, k, n, fixed)
    some = data.draw(st.sets(st.sampled_from(range(n)), min_size=k, max_size=k))
    assert _interpolate([RawShare(x, dealt[x]) for x in some], 255) == secret
    assert dealt == [
        _interpolate([RawShare(255, secret), *map(RawShare, range(k - 1), fixed)], x) for x in range(n)
    ]


def test_fewer_shares_say_nothing_of_the_key() -> None:
    """Two dealings of different keys can agree in every share that an unqualified holder sees."""
    secret, other = bytes(32), bytes([1] * 32)
    one = shares.split(secret, 2, 3, [b"\x07" * 32])
    two = shares.split(other, 2, 3, [b"\x07" * 32])
    assert one[0] == two[0]
    assert one[1:] != two[1:]


class Once(tuple[int, ...]):
    """Numbers that can be gone through once, and neither be searched nor hashed, which goes through them as well."""

    def __iter__(self) -> Iterator[int]:
        assert not self.__dict__.setdefault("gone", False)
        self.__dict__["gone"] = True
        return super().__iter__()

    def __contains__(self, number: object) -> bool:
        raise AssertionError("searched")

    def __hash__(self) -> int:
        raise AssertionError("hashed")


def test_time_to_open_grows_with_the_parts_and_not_with_their_square() -> None:
    """Each part was looked for in the parts of each holder once: 65,535 parts took minutes."""
    sealed = seal([Part(bytes([number])) for number in range(40)])
    request = ask(sealed)
    dealing, key = sealed.header.dealing, ASKER.request_key(request.nonce)
    shares = approve(sealed, request, "owner")
    shares += approve(sealed, request, "dr_wu", parts=range(1, 41, 2))
    shares += approve(sealed, request, "guardian", parts=[part for part in range(1, 41) if part % 4])
    opened = []
    for share in shares:
        seat = dealing.layout("treatment").seat(share.holder.id)
        assert seat is not None
        binding = request.binding(CONTEXT)
        one = unseal(sealed.header.header, dealing, binding, seat, share.share, key.decrypt)
        opened.append(Opened(seat, Once(one.parts), one.plain))
    keys, waiting = recover(dealing, "treatment", opened, range(41))
    assert set(waiting) == {part for part in range(1, 41) if part % 4 == 0}
    assert set(keys) == set(range(41)) - set(waiting)
    assert all(check_key(sealed.header.header, part, key) for part, key in keys.items())


def test_keys_of_another_object_open_nothing() -> None:
    from sealing.world import seal

    from medchain.errors import SealingError

    sealed, other = seal([Part(b"a")]), seal([Part(b"b")])
    with pytest.raises(SealingError, match="another object"):
        list(sealing.open_segments(sealed.header, PartKeys(other.header.object_id, {}), sealed.read))


def test_wallets_cover_the_symbols() -> None:
    assert set(SYMBOLS) <= set(WALLETS)
