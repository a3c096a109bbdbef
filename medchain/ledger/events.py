"""Events of the log: what the entries say has happened, in order, from any place on.

An event is found by the log index of its entry, so it is proved like any entry, and by its number among the events of
that entry. A `Cursor` names a place between two events: whoever stores the cursor of what it has handled goes on there,
and sees nothing twice and misses nothing, for the log only grows.
"""

from __future__ import annotations

import re
from typing import Any

from attrs import field, frozen

from medchain.encoding import decode, encode
from medchain.errors import EncodingError, InvalidBlock, InvalidTransaction
from medchain.ledger.archive import Archive
from medchain.ledger.contract import Event, wire_name
from medchain.ledger.entry import LEAF_LIMIT, Concern, Entry, Header, Kind, parse_leaf
from medchain.ledger.registry import Registry
from medchain.ledger.transaction import Transaction
from medchain.records import from_value

__all__ = ["Cursor", "EventReader", "LoggedEvent"]

RUN = 256
"""Leaves that are read at once."""

_CURSOR = re.compile(r"(0|[1-9][0-9]{0,18})(?:\.([1-9][0-9]{0,4}))?")


@frozen(order=True)
class Cursor:
    """A place in the log: before event `event` of the entry at log index `entry`, or before that entry itself.

    It is written ``17`` or ``17.2``, so that it can be stored as text.

    >>> str(Cursor(17)), Cursor.parse("17.2")
    ('17', Cursor(entry=17, event=2))
    """

    entry: int
    event: int = 0

    def __attrs_post_init__(self) -> None:
        if type(self.entry) is not int or type(self.event) is not int:
            raise TypeError(f"a place is a log index, not {self.entry!r}; Cursor.parse reads text")
        if self.entry < 0 or self.event < 0:
            raise ValueError(f"there is no place {self.entry}.{self.event} in a log")

    def __str__(self) -> str:
        return f"{self.entry}.{self.event}" if self.event else str(self.entry)

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Read what ``str(cursor)`` wrote; ValueError if it is anything else."""
        found = _CURSOR.fullmatch(text)
        if found is None:
            raise ValueError(f"not a place in a log: {text[:40]!r}")
        return cls(int(found[1]), int(found[2] or 0))


@frozen
class LoggedEvent:
    """One event of an entry; or, where every entry is asked for, an entry without any.

    Attributes:
        entry: log index of the entry; ``chain.prove(logged)`` proves it.
        number: which of the entry's events it is, from 0.
        height: of its block.
        time: the block's time, ms since the epoch.
        contract: name of the contract.
        code: ``ok``, or the code with which the contract refused. What is refused has no events.
        name: name of the event, like ``record-added``; None without an event.
        event: an instance of the class that the contract declares, where that version of the contract is installed
            here; otherwise an `Event` with its fields as a plain value; None without an event.
        subjects: on whose lists the entry stands, and how many entries each list has with it.
        cursor: the place behind it: go on from there when it is handled.
    """

    entry: int
    number: int
    height: int
    time: int
    contract: str
    code: str
    name: str | None
    event: Any
    subjects: tuple[Concern, ...] = field(repr=lambda each: f"<{len(each)}>")
    cursor: Cursor = field(repr=str)


class EventReader:
    """Reads the events of a stored chain, run by run.

    Args:
        archive: the chain.
        registry: contracts that are installed here.
        contract: entries of this contract only.
        subject: entries on the list of this party id only.
        every_entry: give entries without events, too; with a `subject` they are given always.
    """

    def __init__(
        self,
        archive: Archive,
        registry: Registry,
        contract: str | None = None,
        subject: bytes | None = None,
        *,
        every_entry: bool = False,
    ) -> None:
        if subject is not None and len(subject) != 32:
            raise ValueError("a subject is a party id of 32 bytes")
        self._archive = archive
        self._registry = registry
        self._contract = contract
        self._subject = subject
        self._every_entry = every_entry or subject is not None
        # Entries hold these bytes as they are, so that most others need not be decoded.
        self._needles = [each for each in (subject, None if contract is None else encode(contract)) if each]
        self._active: tuple[int, dict[str, bytes]] = (-1, {})

    def run(self, start: Cursor, size: int) -> tuple[list[LoggedEvent], Cursor]:
        """The events of the next leaves from `start` on, in a log of `size` leaves.

        Returns:
            The events, and the place up to which they are all.

        Raises:
            InvalidBlock: a stored leaf is missing or damaged.
        """
        found: list[LoggedEvent] = []
        stop = min(start.entry + RUN, size)
        for index, leaf in enumerate(self._archive.leaves(start.entry, stop), start.entry):
            if leaf[:1] != bytes([Kind.HEADER]) and all(needle in leaf for needle in self._needles):
                found += self._events(index, leaf)
        found = [each for each in found if Cursor(each.entry, each.number) >= start]
        return found, max(start, Cursor(stop))

    def _events(self, index: int, leaf: bytes) -> list[LoggedEvent]:
        """All events of an entry, if it is one that is looked for."""
        try:
            entry = parse_leaf(leaf)
            assert not isinstance(entry, Header)
            outcome = entry.outcome
            if not (outcome.events or self._every_entry):
                return []
            contract = _contract_of(entry)
        except (EncodingError, InvalidTransaction) as error:
            raise InvalidBlock(f"a stored leaf is damaged: {error}", index=index) from error
        if self._contract not in (None, contract):
            return []
        if self._subject is not None and all(each.subject != self._subject for each in outcome.subjects):
            return []

        def logged(number: int, event: Event | None) -> LoggedEvent:
            last = number + 1 >= len(outcome.events)
            return LoggedEvent(
                entry=index,
                number=number,
                height=entry.height,
                time=entry.time,
                contract=contract,
                code=outcome.code,
                name=None if event is None else event.name,
                event=None if event is None else self._typed(event, index, entry.height),
                subjects=outcome.subjects,
                cursor=Cursor(index + 1) if last else Cursor(index, number + 1),
            )

        if not outcome.events:
            return [logged(0, None)]
        return [logged(number, event) for number, event in enumerate(outcome.events)]

    def _typed(self, event: Event, index: int, height: int) -> Any:
        """The event as its class in the version of the contract that executed the block at `height`."""
        for label, digest in self._executing(index, height).items():
            name, _, version = label.rpartition("/")
            key = name, int(version)
            if name == event.contract and self._registry.digests.get(key) == digest:
                for cls in self._registry.classes[key].events:
                    if wire_name(cls) == event.name:
                        try:
                            return from_value(cls, event.value)
                        except EncodingError:
                            return event
        return event

    def _executing(self, index: int, height: int) -> dict[str, bytes]:
        """The contracts that executed the block at `height`: the header before it names them."""
        if self._active[0] != height:
            try:
                before = self._archive.header(self._archive.header_index(height - 1))
            except IndexError as error:
                raise InvalidBlock(
                    f"a stored leaf is damaged: it is of block {height}, and {error}", index=index
                ) from error
            self._active = height, before.contracts
        return self._active[1]


def _contract_of(entry: Entry) -> str:
    """The contract that the entry's message went to."""
    if entry.outcome.events:
        return entry.outcome.events[0].contract
    if entry.kind is Kind.TRANSACTION:
        return Transaction.from_bytes(entry.content).body.contract
    timer: Any = decode(entry.content, limit=LEAF_LIMIT)
    if type(timer) is not list or len(timer) != 4 or type(timer[2]) is not str:
        raise EncodingError("a timer's content is [time, id, contract, message]")
    return timer[2]
