"""What outsiders call: bytes of a proof in, what they prove out. No chain, no network, no clock."""

from __future__ import annotations

import datetime
import hashlib
import hmac
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from attrs import evolve, field, frozen

from medchain.encoding import decode
from medchain.errors import (
    EncodingError,
    InvalidTransaction,
    MalformedProof,
    RootMismatch,
    VerificationError,
)
from medchain.ledger.checkpoint import Checkpoint
from medchain.ledger.entry import Entry, Header, Kind, parse_leaf
from medchain.ledger.proof import ConsistencyExtra, LogProof, StateExtra, read_extra
from medchain.ledger.tables import ROW_LIMIT, Table, map_key, read_key
from medchain.ledger.transaction import Transaction
from medchain.ledger.trust import Trust, Vouchers
from medchain.merkle import Head, MapProof, leaf_hash
from medchain.records import from_value

__all__ = ["Absent", "AsOf", "Consistency", "Row", "Verified", "moment", "verify", "verify_state"]

T = TypeVar("T")


def moment(time: int) -> str:
    """A time in ms since the epoch for people: ``2026-03-01 09:30:00 UTC``, or the number beyond the calendar's years.

    A log may state any number.
    """
    try:
        return datetime.datetime.fromtimestamp(time // 1000, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return f"{time} ms"


@frozen
class Absent:
    """That a table of a contract has no row under a key."""

    contract: str
    table: str
    key: Any


@frozen
class Row:
    """A row of whatever table, as a plain value: for programs that know no contract's classes."""

    contract: str
    table: str
    key: Any
    value: Any


@frozen
class Consistency:
    """That a log has only grown from one signed checkpoint to a later one: what it held, it holds in the same places.

    Compare `old` with the checkpoint that you have kept: the maker of the proof has chosen which one it is about.
    """

    old: Checkpoint
    new: Checkpoint


@frozen
class AsOf:
    """The moment for which something is proved.

    Attributes:
        height, time: of the block that says it; time in ms since the epoch.
        index: log index of the entry or header; for a `Consistency` of the header with which the older log ended.
        head: size and root of the checkpoint under which it was proved.
        latest: it holds as of that very checkpoint, not only as of a block before it.
    """

    height: int
    time: int
    index: int
    head: Head
    latest: bool

    def __str__(self) -> str:
        place = f"this checkpoint (size {self.head.size})" if self.latest else f"height {self.height}"
        return f"as of {place}, {moment(self.time)}"


@frozen
class Verified(Generic[T]):
    """What a proof proves.

    Attributes:
        value: the entry, event, header, row (None: proved to be absent) or pair of checkpoints.
        origin: name of the log.
        as_of: the moment for which it holds.
        order_by: who vouches that the log only grows: its own key, unless witnesses cosigned.
        state_by: who vouches that entries and state follow the contracts.
        place: for a row: contract, table and key.
    """

    value: T
    origin: str
    as_of: AsOf
    order_by: tuple[str, ...] = field(repr=False)
    state_by: tuple[str, ...] = field(repr=False)
    place: tuple[str, str, Any] | None = None


def verify(data: bytes | str, kind: type[T], *, trust: Trust, number: int | None = None) -> Verified[T]:
    """Check a proof offline and give what it proves.

    It proves that the log has *an* entry, event or row of that kind; which one, the maker of the proof has chosen. So
    compare `Verified.as_of` or `Verified.place` with what you mean, or use `verify_state` for a row.

    Args:
        data: a tlog-proof, as the `prove` methods of a `Chain` make it.
        kind: `Entry`, `Header`, an event class, the record class of a table, `Absent`, `Row` for one of any table, or
            `Consistency`.
        trust: whom to believe; it must not come from whoever made the proof.
        number: which of the entry's events is meant, from 0, as `LoggedEvent.number` has it; it may be left out where
            the entry has one event of that class.

    Raises:
        VerificationError: the proof is malformed, not trusted, altered, or proves something else than a `kind`; or the
            entry has several events of that class, and `number` does not say which.
        ValueError: a `number` for what is no event.
        TypeError: `data` is neither text nor bytes, `kind` no class, or `number` no number.
    """
    _check_kind(kind, number)
    proof = LogProof.parse(data)
    extra = read_extra(proof.extra)
    if isinstance(extra, StateExtra):
        return _absence(proof, extra, trust) if kind is Absent else _present(proof, extra, trust, kind)
    if isinstance(extra, ConsistencyExtra):
        if kind is not Consistency:
            raise MalformedProof(f"the proof is about two checkpoints of the log, not a {kind.__name__}")
        return _consistency(proof, extra, trust)
    vouchers = proof.verify(extra.leaf, trust)
    leaf = _leaf(extra.leaf, trust, proof)
    value = leaf if isinstance(leaf, kind) else _event(leaf, kind, number)
    return Verified(value, trust.origin, _as_of(proof, leaf), *_names(vouchers))


def _check_kind(kind: Any, number: Any) -> None:
    if not isinstance(kind, type):
        raise TypeError(f"what is to be proved is named by a class, not by {kind!r}")
    if number is None:
        return
    if type(number) is not int:
        raise TypeError(f"an event of an entry has a number, not {number!r}")
    if number < 0 or not _is_event(kind):
        raise ValueError(
            f"number= chooses among the events of an entry, from 0; not {number} of {kind.__name__}"
        )


def _is_event(kind: type) -> bool:
    return "__contract__" in kind.__dict__


def _consistency(proof: LogProof, extra: ConsistencyExtra, trust: Trust) -> Verified[Any]:
    """The older log ended with the proved header, and what stands to the left of it leads to the older root, too."""
    vouchers = proof.verify(extra.header, trust)
    header, old = _header(extra.header, trust, proof), Checkpoint.parse(extra.old)
    trust.verify(old)
    if old.size != proof.inclusion.index + 1:
        raise MalformedProof(
            f"the older checkpoint has size {old.size}, and its header index {proof.inclusion.index}"
        )
    computed = proof.inclusion.root_up_to(leaf_hash(extra.header))
    if not hmac.compare_digest(old.root, computed):
        raise RootMismatch("older checkpoint", expected=old.root, computed=computed)
    value = Consistency(old, proof.checkpoint)
    return Verified(value, trust.origin, _as_of(proof, header), *_names(vouchers))


def _absence(proof: LogProof, extra: StateExtra, trust: Trust) -> Verified[Any]:
    if extra.row is not None:
        raise MalformedProof(
            f"the proof shows a row of {extra.contract}.{extra.table}, not that there is none"
        )
    found = _state(proof, extra, trust, lambda value: value, absent=True)
    return evolve(found, value=Absent(*(found.place or ())))


def _present(proof: LogProof, extra: StateExtra, trust: Trust, kind: type[T]) -> Verified[T]:
    """A row, read as `kind` only if a table is declared to hold it; a row that looks like an event is none."""
    place = (extra.contract, extra.table)
    if kind is Row:
        found = _state(proof, extra, trust, lambda value: value)
        return evolve(found, value=Row(*place, read_key(extra.key), found.value))
    if _is_event(kind) or place not in kind.__dict__.get("__tables__", ()):
        raise MalformedProof(f"the proof is about a row of {place[0]}.{place[1]}, not a {kind.__name__}")
    return _state(proof, extra, trust, lambda value: from_value(kind, value))


def verify_state(data: bytes | str, table: Table[T], key: Any, *, trust: Trust) -> Verified[T | None]:
    """Check a proof of one row; `value` is the record, or None if there is none under `key`.

    Raises:
        VerificationError: the proof is malformed, not trusted, altered, or about another row.
        TypeError: `data` is neither text nor bytes.
    """
    proof = LogProof.parse(data)
    extra = read_extra(proof.extra)
    if not isinstance(extra, StateExtra) or (extra.contract, extra.table) != (table.contract, table.name):
        raise MalformedProof(f"not a proof about a row of {table.contract}.{table.name}")
    found: Verified[T | None] = _state(
        proof, extra, trust, lambda value: from_value(table.value, value), absent=True
    )
    if found.place is None or found.place[2] != key:
        raise MalformedProof("the proof is about another row")
    return found


def _leaf(data: bytes, trust: Trust, proof: LogProof) -> Entry | Header:
    """A proved leaf; it was signed, so a malformed one convicts the log."""
    try:
        leaf = parse_leaf(data)
    except EncodingError as error:
        raise MalformedProof(f"the log holds a malformed leaf at {proof.inclusion.index}: {error}") from error
    if isinstance(leaf, Header):
        same = leaf.origin == trust.origin and _chain_of(leaf) == trust.chain
    else:
        same = leaf.kind is not Kind.TRANSACTION or _sent_to(leaf) == trust.chain
    if not same:
        raise VerificationError("the proof is about another chain than the trusted one")
    return leaf


def _header(data: bytes, trust: Trust, proof: LogProof) -> Header:
    leaf = _leaf(data, trust, proof)
    if not isinstance(leaf, Header):
        raise MalformedProof("the proof is about an entry where a header belongs")
    return leaf


def _chain_of(header: Header) -> bytes:
    return header.chain if header.genesis is None else header.genesis.id


def _sent_to(entry: Entry) -> bytes:
    """The chain for which a logged transaction was signed."""
    try:
        return Transaction.from_bytes(entry.content).body.chain
    except InvalidTransaction as error:
        raise MalformedProof(f"the log holds a malformed transaction: {error}") from error


def _event(leaf: Entry | Header, kind: type[T], number: int | None) -> T:
    if isinstance(leaf, Header):
        raise MalformedProof(f"the proof is about a header, not a {kind.__name__}")
    events = leaf.outcome.events
    numbers = [each for each, event in enumerate(events) if event.is_a(kind)]
    if number is None and len(numbers) > 1:
        raise VerificationError(
            f"the proved entry holds {len(numbers)} times {kind.__name__}: say which by number=, of {numbers}"
        )
    if number is not None and number not in numbers:
        raise MalformedProof(f"event {number} of the proved entry is not there, or no {kind.__name__}")
    if not numbers:
        raise MalformedProof(f"the proved entry holds no {kind.__name__}")
    try:
        return events[numbers[0] if number is None else number].read(kind)
    except EncodingError as error:
        raise MalformedProof(str(error)) from error


def _state(
    proof: LogProof, extra: StateExtra, trust: Trust, read: Callable[[Any], Any], absent: bool = False
) -> Verified[Any]:
    vouchers = proof.verify(extra.header, trust)
    header = _header(extra.header, trust, proof)
    try:
        key = map_key(extra.contract, extra.table, read_key(extra.key))
        MapProof.from_bytes(extra.proof).verify_hashed(key, _row_hash(extra.row), root=header.state_root)
        value = None if extra.row is None else _row(extra.row, extra.key, read)
    except EncodingError as error:
        raise MalformedProof(f"state proof: {error}") from error
    if value is None and not absent:
        raise MalformedProof("the proof shows that there is no such row")
    place = (extra.contract, extra.table, read_key(extra.key))
    return Verified(value, trust.origin, _as_of(proof, header), *_names(vouchers), place)


def _names(vouchers: Vouchers) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Who vouches for order, and who for state, by their vkeys."""
    return tuple(map(str, vouchers.order)), tuple(map(str, vouchers.log))


def _row_hash(row: bytes | None) -> bytes | None:
    return None if row is None else hashlib.sha256(row).digest()


def _row(row: bytes, key: Any, read: Callable[[Any], Any]) -> Any:
    pair = decode(row, limit=ROW_LIMIT)
    if type(pair) is not list or len(pair) != 2 or pair[0] != key:
        raise EncodingError("the row is another key's")
    return read(pair[1])


def _as_of(proof: LogProof, leaf: Entry | Header) -> AsOf:
    head = proof.checkpoint.head
    latest = isinstance(leaf, Header) and proof.inclusion.index == head.size - 1
    return AsOf(leaf.height, leaf.time, proof.inclusion.index, head, latest)
