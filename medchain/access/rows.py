"""What access control keeps in the state: rows of records, requests, approvals, decisions, reviews."""

from __future__ import annotations

from typing import ClassVar

from attrs import field, frozen

from medchain.access.messages import Decision, Parts, party_ids
from medchain.ledger.tables import Table
from medchain.records import length, short

__all__ = [
    "AccessTables",
    "ApprovalRow",
    "DecisionRow",
    "DeclineRow",
    "MarkRow",
    "ObjectRow",
    "PolicyRow",
    "RecordRow",
    "RequestRow",
    "ReviewRow",
    "State",
    "UsesRow",
]


class State:
    """What has become of a request."""

    OPEN = "open"
    """Approvals are awaited, until it expires."""
    WAITING = "waiting"
    """A quorum has approved a recovery; objections are awaited."""
    DECIDED = "decided"
    REFUSED = "refused"


@frozen
class RecordRow:
    """A record; the key is its id.

    Attributes:
        object: id of the sealed object.
        subject: whose data it is.
        author: who added it.
        header, dealing: SHA-256 of the sealed header and of the dealing.
        policy, version: hash of the current policy, and which version of it that is.
        added, height: block time (ms) and height at which it was added.
        erased, erased_by: block time of the order to erase it and who gave it; None and empty before.
    """

    object: bytes = field(validator=length(32), repr=short)
    subject: bytes = field(validator=length(32), repr=short)
    author: bytes = field(validator=length(32), repr=short)
    header: bytes = field(validator=length(32), repr=short)
    dealing: bytes = field(validator=length(32), repr=short)
    policy: bytes = field(validator=length(32), repr=short)
    version: int
    added: int
    height: int
    erased: int | None
    erased_by: tuple[bytes, ...] = field(repr=party_ids)


@frozen
class ObjectRow:
    """To which record a sealed object belongs; the key is the object's id."""

    record: bytes = field(validator=length(32), repr=short)


@frozen
class PolicyRow:
    """A bound policy in its encoding; the key is its hash."""

    policy: bytes = field(repr=short)


@frozen
class RequestRow:
    """A request; the key is its id.

    Attributes:
        record, clause, purpose, parts, policy, expiry: as in the message.
        asker: who asked.
        key: SHA-256 of the one-use recipient key.
        asked, height: block time (ms) and height at which it was asked.
        state: one of `State`.
        reason: why it was refused, else None.
        settles: when a recovery's waiting time ends (ms), else None.
    """

    record: bytes = field(validator=length(32), repr=short)
    asker: bytes = field(validator=length(32), repr=short)
    clause: str
    purpose: str
    parts: Parts
    policy: bytes = field(validator=length(32), repr=short)
    key: bytes = field(validator=length(32), repr=short)
    expiry: int
    asked: int
    height: int
    state: str
    reason: str | None
    settles: int | None


@frozen
class ApprovalRow:
    """A holder's approval; the key is (request, holder). `share` is the hash of the re-sealed share."""

    parts: Parts
    share: bytes = field(validator=length(32), repr=short)
    time: int


@frozen
class DeclineRow:
    """A holder's no; the key is (request, holder)."""

    time: int


@frozen
class DecisionRow:
    """A decision, and at which block time and height it was made; the key is the request's id."""

    decision: Decision
    time: int
    height: int


@frozen
class UsesRow:
    """How many decisions a clause has had for a record; the key is (record, clause)."""

    count: int


@frozen
class ReviewRow:
    """The review of an emergency decision; the key is the request's id.

    `judged` is the block time (ms) of the reviewer's word, `justified` what it was; None before.
    """

    record: bytes = field(validator=length(32), repr=short)
    asker: bytes = field(validator=length(32), repr=short)
    reviewer: bytes = field(validator=length(32), repr=short)
    due: int
    judged: int | None
    justified: bool | None


@frozen
class MarkRow:
    """That something is the case since a block time (ms)."""

    since: int


class AccessTables:
    """The tables of the contract ``access``."""

    name: ClassVar[str] = "access"
    records = Table(RecordRow, public=True)
    objects = Table(ObjectRow, public=True)
    policies = Table(PolicyRow, public=True)
    requests = Table(RequestRow, public=True)
    unexpired = Table(MarkRow, public=True)
    """Open requests by (expiry, request)."""
    approvals = Table(ApprovalRow, public=True)
    declines = Table(DeclineRow, public=True)
    decisions = Table(DecisionRow, public=True)
    uses = Table(UsesRow, public=True)
    reviews = Table(ReviewRow, public=True)
    overdue = Table(MarkRow, public=True)
    """Overdue reviews by (asker, request)."""
