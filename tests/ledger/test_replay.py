"""Sequence numbers: used once each, as far as the window looks back and ahead."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from medchain.errors import InvalidTransaction
from medchain.ledger.state import NO_ROWS, Overlay
from medchain.ledger.system import WINDOW, LedgerTables, consume, highest
from medchain.ledger.transaction import Body, SignerRef

PARTY, KEY = bytes(32), bytes(16)


def body(seq: int, key: bytes = KEY) -> Body:
    return Body(bytes(32), (SignerRef(PARTY, key),), seq, None, "c", 1, ["m", None])


def outcome(rows: Overlay, seq: int) -> str:
    try:
        consume(rows, body(seq))
    except InvalidTransaction as error:
        return error.reason
    return "ok"


steps = st.sampled_from([1, 2, 3, 7, 1022, 1023, 1024, 1025, 1026, 2048])


@given(st.lists(st.tuples(st.sampled_from([-1, 0, 1]), steps), max_size=40))
def test_against_a_set(moves: list[tuple[int, int]]) -> None:
    rows, used, high = Overlay(NO_ROWS), set[int](), 0
    for sign, distance in moves:
        seq = max(1, high + sign * distance)
        if seq > high + WINDOW:
            expected = "seq-too-far"
        elif seq in used or seq <= high - WINDOW:
            expected = "replayed"
        else:
            expected = "ok"
        assert outcome(rows, seq) == expected
        if expected == "ok":
            used.add(seq)
            high = max(high, seq)
        assert highest(rows, PARTY, KEY) == high


def test_edges() -> None:
    rows = Overlay(NO_ROWS)
    assert outcome(rows, WINDOW + 1) == "seq-too-far"
    assert outcome(rows, WINDOW) == "ok"
    assert outcome(rows, 1) == "ok"
    assert outcome(rows, 1) == "replayed"
    assert outcome(rows, WINDOW + 2) == "ok"
    assert outcome(rows, 2) == "replayed"  # never used, but too old to know
    assert outcome(rows, 3) == "ok"
    assert outcome(rows, 2 * WINDOW + 2) == "ok"
    assert outcome(rows, WINDOW + 2) == "replayed"
    assert outcome(rows, WINDOW + 3) == "ok"


def test_each_key_counts_for_itself() -> None:
    rows = Overlay(NO_ROWS)
    consume(rows, body(5))
    consume(rows, body(5, b"\1" * 16))
    assert len(LedgerTables.replay.view(rows)) == 2


def test_the_window_is_no_larger_than_it_must_be() -> None:
    rows = Overlay(NO_ROWS)
    for seq in range(1, 3 * WINDOW):
        consume(rows, body(seq))
    row = LedgerTables.replay.view(rows)[PARTY, KEY]
    assert row.window == b"\xff" * (WINDOW // 8)
