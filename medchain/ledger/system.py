"""What the ledger itself keeps under the state root: replay windows, timers, and the list of entries per subject."""

from __future__ import annotations

from typing import Any, ClassVar

from attrs import field, frozen

from medchain.errors import InvalidTransaction
from medchain.ledger.tables import Rows, Table
from medchain.ledger.transaction import Body
from medchain.merkle import CompactRange
from medchain.records import short

__all__ = ["WINDOW", "LedgerTables", "ReplayRow", "SubjectRow", "TimerRow", "concern", "consume", "highest"]

WINDOW = 1_024
"""How far back a key's sequence numbers are remembered, and how far ahead one may jump."""


@frozen
class ReplayRow:
    """Sequence numbers that a key has used: the highest, and one bit for each of the last 1,024 (bit i: high - i)."""

    high: int
    window: bytes = field(repr=short)


@frozen
class TimerRow:
    """A message that a contract has scheduled to itself; the row's key is (time, id)."""

    contract: str
    message: Any


@frozen
class SubjectRow:
    """All entries that concern a subject: how many, and the RFC 9162 compact range over their leaf hashes."""

    count: int
    nodes: tuple[bytes, ...] = field(repr=False)


class LedgerTables:
    """The tables of the ledger itself; anybody may read them."""

    name: ClassVar[str] = "ledger"
    replay = Table(ReplayRow, public=True)
    timers = Table(TimerRow, public=True)
    subjects = Table(SubjectRow, public=True)
    tables: ClassVar[tuple[str, ...]] = ("replay", "timers", "subjects")


def highest(rows: Rows, party: bytes, key: bytes) -> int:
    """The highest sequence number that a key has used; 0 if none."""
    row = LedgerTables.replay.view(rows).get((party, key))
    return 0 if row is None else row.high


def consume(rows: Rows, body: Body) -> None:
    """Mark the body's sequence number as used.

    Raises:
        InvalidTransaction: ``replayed`` if it was used or is too old, ``seq-too-far`` if it jumps ahead of the window.
    """
    signer = body.signers[0]
    key = signer.party, signer.key
    table = LedgerTables.replay.view(rows)
    row = table.get(key) or ReplayRow(0, b"")
    used = int.from_bytes(row.window, "big")
    ahead = body.seq - row.high
    if ahead > WINDOW:
        raise InvalidTransaction("seq-too-far", f"seq {body.seq} is more than {WINDOW} above {row.high}")
    if ahead > 0:
        used = (used << ahead | 1) & ((1 << WINDOW) - 1)
        row = ReplayRow(body.seq, _bits(used))
    elif -ahead >= WINDOW or used >> -ahead & 1:
        raise InvalidTransaction("replayed", f"seq {body.seq} of this key is used or too old")
    else:
        row = ReplayRow(row.high, _bits(used | 1 << -ahead))
    table[key] = row


def _bits(used: int) -> bytes:
    return used.to_bytes((used.bit_length() + 7) // 8, "big")


def concern(rows: Rows, subject: bytes) -> int:
    """How many entries the list of `subject` has."""
    row = LedgerTables.subjects.view(rows).get(subject)
    return 0 if row is None else row.count


def append_to_list(rows: Rows, subject: bytes, leaf_hash: bytes) -> None:
    """Put an entry's leaf hash on the list of `subject`."""
    table = LedgerTables.subjects.view(rows)
    row = table.get(subject) or SubjectRow(0, ())
    compact = CompactRange(row.count, row.nodes)
    compact.append(leaf_hash)
    table[subject] = SubjectRow(compact.size, tuple(compact.nodes))
