"""What the access client gives back: frozen, readable, never showing content."""

from __future__ import annotations

import functools
import html
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import field, frozen

from medchain.access.messages import Decision, Parts
from medchain.access.purposes import describe_purpose
from medchain.ledger.transition import Receipt
from medchain.ledger.verify import moment
from medchain.policy.bound import BoundPolicy
from medchain.records import short
from medchain.sealing.opening import OpenedPart

__all__ = ["Erasure", "Opened", "Record", "Request", "Status", "Step", "parts_text"]


def parts_text(parts: Parts) -> str:
    """A set of parts in words."""
    if parts is None:
        return "all parts"
    numbers = ", ".join(map(str, parts[:8])) + (", …" if len(parts) > 8 else "")
    return f"part {numbers}" if len(parts) == 1 else f"parts {numbers}"


@frozen
class Record:
    """A record on the chain.

    Attributes:
        id: its id; to know it is to know that it exists.
        object: id of the sealed object.
        subject, author: whose data it is, and who added it.
        policy: the bound policy; with names only where it was sealed, or where they were told.
        version: which version of its policy this is, from 1.
        added: block time, ms since the epoch.
        entry: log index of the entry that added it.
    """

    id: bytes = field(repr=short)
    object: bytes = field(repr=short)
    subject: bytes = field(repr=short)
    author: bytes = field(repr=short)
    policy: BoundPolicy = field()
    version: int = field()
    added: int = field()
    entry: int = field()

    def __str__(self) -> str:
        clauses = ", ".join(clause.name for clause in self.policy.clauses)
        return f"record {self.id.hex()[:12]}…, added {moment(self.added)}, opens by {clauses}"


@frozen
class Request:
    """A request on the chain. ``chain.prove(request)`` proves its entry.

    Attributes:
        id: its id.
        record, asker: which record, and who asks.
        clause, purpose, parts: under which clause, what for, and for which parts.
        expires: last block time (ms) at which it can be answered and opened.
        entry: log index of its entry.
    """

    id: bytes = field(repr=short)
    record: bytes = field(repr=short)
    asker: bytes = field(repr=short)
    clause: str = field()
    purpose: str = field()
    parts: Parts = field()
    expires: int = field()
    entry: int = field()

    def __str__(self) -> str:
        return (
            f"request {self.id.hex()[:12]}… by party:{self.asker[:4].hex()} for {parts_text(self.parts)} of record "
            f"{self.record.hex()[:12]}…, {describe_purpose(self.purpose)} under {self.clause}, "
            f"until {moment(self.expires)}"
        )


@frozen
class Status:
    """Where a request stands.

    Attributes:
        request: which one.
        state: ``open``, ``waiting`` (a recovery, for objections), ``decided``, ``refused``, ``expired`` or ``erased``.
        reason: why it was refused, else None.
        waiting_for: ids of parties whose approval still counts; empty unless open.
        approved_by, declined_by: who has answered.
        settles: when a recovery's waiting time ends (ms), else None.
        decision: the decision, once there is one.
        names: what parties are called on this device.
    """

    request: Request
    state: str
    reason: str | None
    waiting_for: tuple[bytes, ...] = field(repr=lambda ids: f"<{len(ids)}>")
    approved_by: tuple[bytes, ...] = field(repr=lambda ids: f"<{len(ids)}>")
    declined_by: tuple[bytes, ...] = field(repr=lambda ids: f"<{len(ids)}>")
    settles: int | None
    decision: Decision | None
    names: Mapping[bytes, str] = field(eq=False, repr=False)

    def named(self, ids: Sequence[bytes]) -> str:
        """Parties by their names here, or by the beginning of their ids."""
        return ", ".join(self.names.get(each) or f"party:{each[:4].hex()}" for each in ids) or "nobody"

    @property
    def summary(self) -> str:
        """The state in a few words."""
        if self.state == "open":
            return f"waiting for {self.named(self.waiting_for)}"
        if self.state == "waiting" and self.settles is not None:
            return f"approved; objections are possible until {moment(self.settles)}"
        if self.decision is not None and self.state == "decided":
            return f"decided for {parts_text(self.decision.parts)} by {self.named(self.decision.quorum)}"
        return f"{self.state}: {self.reason}" if self.reason else self.state

    def __str__(self) -> str:
        lines = [str(self.request), f"  {self.summary}"]
        if self.approved_by:
            lines.append(f"  approved by {self.named(self.approved_by)}")
        if self.declined_by:
            lines.append(f"  declined by {self.named(self.declined_by)}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = [
            ("request", self.request.id.hex()[:12] + "…"),
            ("asker", self.named((self.request.asker,))),
            ("for", f"{parts_text(self.request.parts)}, {describe_purpose(self.request.purpose)}"),
            ("clause", self.request.clause),
            ("state", self.summary),
            ("approved by", self.named(self.approved_by)),
        ]
        rows += [("declined by", self.named(self.declined_by))] if self.declined_by else []
        cells = "".join(f"<tr><th>{name}</th><td>{html.escape(text)}</td></tr>" for name, text in rows)
        return f"<table>{cells}</table>"


@frozen(repr=False)
class Opened:
    """Opened content. The repr never shows it.

    Attributes:
        parts: the parts that the decision opens, in order; each reads and checks its ciphertext when it is read.
        decision: why it opened.
        request: the request.
    """

    parts: tuple[OpenedPart, ...]
    decision: Decision
    request: Request

    @functools.cached_property
    def raw(self) -> bytes:
        """The content of all opened parts, one after another.

        Raises:
            SealingError, RootMismatch, StorageError: the stored ciphertext is altered or gone.
        """
        return b"".join(part.data for part in self.parts)

    def __repr__(self) -> str:
        size = sum(part.length for part in self.parts)
        plural = "" if len(self.parts) == 1 else "s"
        return f"<Opened {len(self.parts)} part{plural}, {size} bytes, request {self.request.id.hex()[:12]}…>"


@frozen
class Erasure:
    """What an erasure has done: the order on the log, and the blobs that are gone.

    Attributes:
        record, object: what was erased.
        by: the parties that ordered it.
        blobs: how many blobs the stores that answered have removed.
        receipt: of the order.
    """

    record: bytes = field(repr=short)
    object: bytes = field(repr=short)
    by: tuple[bytes, ...] = field(repr=lambda ids: f"<{len(ids)}>")
    blobs: int = field()
    receipt: Receipt = field(repr=False)

    def __str__(self) -> str:
        return (
            f"record {self.record.hex()[:12]}… was erased at {moment(self.receipt.time)}: {self.blobs} blobs removed; "
            "pseudonyms, times and purposes remain on the log"
        )


@frozen
class Step:
    """One entry of a subject's history.

    Attributes:
        entry, time: log index, and block time in ms.
        what: name of the message, or of the timer's.
        by: who signed it; empty for a timer.
        code: ``ok``, or why it was refused.
        events: names of the events that it caused.
        count: how many entries the subject's list has with it.
        message: its fields, as plain values.
    """

    entry: int
    time: int
    what: str
    by: tuple[bytes, ...] = field(repr=lambda ids: f"<{len(ids)}>")
    code: str
    events: tuple[str, ...]
    count: int
    message: Any = field(repr=False)

    def __str__(self) -> str:
        who = ", ".join(f"party:{each[:4].hex()}" for each in self.by) or "the clock"
        caused = f" → {', '.join(self.events)}" if self.events else ""
        return f"{self.entry:>6}  {moment(self.time)}  {self.what} by {who}: {self.code}{caused}"
