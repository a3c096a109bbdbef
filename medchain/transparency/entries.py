"""Entries of a log for people who look through them: which contract, which message, what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import field, frozen

from medchain.encoding import decode
from medchain.errors import EncodingError, InvalidBlock, InvalidTransaction
from medchain.ledger.archive import Archive
from medchain.ledger.contract import Event
from medchain.ledger.entry import LEAF_LIMIT, Header, Kind, parse_leaf
from medchain.ledger.transaction import Transaction
from medchain.ledger.verify import moment
from medchain.records import short

__all__ = ["LoggedEntry", "read_entries", "read_entry"]


@frozen
class LoggedEntry:
    """One entry of a log.

    Attributes:
        index: its place in the log.
        height: of its block.
        time: the block's time, ms since the epoch.
        kind: a transaction or a timer.
        contract: to which its message went.
        message: name of the message.
        outcome: ``ok``, or the code with which the contract refused.
        events: what it has told.
        id: of the transaction or timer.
        signers: party ids of who signed; none of a timer.
        size: bytes of the leaf.
    """

    index: int
    height: int
    time: int = field(repr=moment)
    kind: Kind
    contract: str
    message: str
    outcome: str
    events: tuple[Event, ...] = field(repr=lambda each: f"<{len(each)}>")
    id: bytes = field(repr=short)
    signers: tuple[bytes, ...] = field(repr=lambda each: f"<{len(each)}>")
    size: int

    @property
    def ok(self) -> bool:
        """Whether the contract accepted it."""
        return self.outcome == "ok"


def read_entry(index: int, leaf: bytes) -> LoggedEntry | Header:
    """A leaf of the log, which may be a header.

    Raises:
        InvalidBlock: it is malformed, or what it holds is no transaction or timer.
    """
    try:
        entry = parse_leaf(leaf)
        if isinstance(entry, Header):
            return entry
        signers: tuple[bytes, ...] = ()
        if entry.kind is Kind.TRANSACTION:
            transaction = Transaction.from_bytes(entry.content)
            body, id = transaction.body, transaction.id
            contract, message = body.contract, body.message_name
            signers = tuple(signer.party for signer in body.signers)
        else:
            id, contract, message = _timer(entry.content)
    except (EncodingError, InvalidTransaction) as error:
        raise InvalidBlock(f"an entry of the log is malformed: {error}", index=index) from error
    outcome = entry.outcome
    return LoggedEntry(
        index,
        entry.height,
        entry.time,
        entry.kind,
        contract,
        message,
        outcome.code,
        outcome.events,
        id,
        signers,
        len(leaf),
    )


def _timer(content: bytes) -> tuple[bytes, str, str]:
    """Id, contract and name of the message of a timer's content: enc[time, id, contract, message]."""
    timer: Any = decode(content, limit=LEAF_LIMIT)
    match timer:
        case [int(), bytes(id), str(contract), [str(message), _]] if len(id) == 32:
            return id, contract, message
    raise EncodingError("a timer's content is [time, id, contract, message]")


def read_entries(archive: Archive, start: int, stop: int, contract: str | None) -> Iterator[LoggedEntry]:
    """The entries from index `start` on and before `stop`, of one contract if one is given. Raises as `read_entry`."""
    for index, leaf in enumerate(archive.leaves(start, stop), start):
        if leaf[:1] == bytes([Kind.HEADER]):
            continue
        entry = read_entry(index, leaf)
        if isinstance(entry, LoggedEntry) and contract in (None, entry.contract):
            yield entry
