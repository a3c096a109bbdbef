"""What access control writes on chain: messages, in the order of a record's life, and the events that they cause.

Nothing here holds patient data: ids are random or pseudonyms, hashes are over sealed documents, and text has the form
of a name or a code, of at most 32 characters: there is no field for free text. A message with any other text is
malformed, and what is malformed is never logged. Sets of parts are ascending indices from 1, or None for all parts; the
manifest (part 0) always belongs.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from attrs import field, frozen

from medchain.ledger.contract import CODE
from medchain.policy.names import NAME, PURPOSE
from medchain.records import LOCAL, form, length, short

__all__ = [
    "PARTS_LIMIT",
    "AddRecord",
    "Approve",
    "Complain",
    "Complaint",
    "Decision",
    "Decline",
    "Erase",
    "Judge",
    "Judged",
    "LiftBlock",
    "Lifted",
    "Notice",
    "Oppose",
    "Overdue",
    "Parts",
    "RecordAdded",
    "RecordErased",
    "RequestAccess",
    "RequestRefused",
    "ReviewDue",
    "ReviewOverdue",
    "Settle",
]

PARTS_LIMIT = 800
"""Most parts that are named one by one; larger objects are asked for as a whole."""

MOST_PARTS = 65_536
"""Sealed objects have fewer parts than this."""

POLICY_LIMIT = 44_000
"""Most bytes of a bound policy on chain, so that the message fits into a transaction."""

Parts = tuple[int, ...] | None
"""Indices of parts, ascending from 1; None: all parts."""


def check_parts(_instance: Any, attribute: Any, value: Parts) -> None:
    """An attrs validator for `Parts`."""
    if value is None:
        return
    if not 1 <= len(value) <= PARTS_LIMIT:
        raise ValueError(f"{attribute.name}: 1 to {PARTS_LIMIT} parts can be named, not {len(value)}")
    if value[-1] >= MOST_PARTS:
        raise ValueError(f"{attribute.name}: parts are numbered below {MOST_PARTS}")
    if value[0] < 1 or any(right <= left for left, right in pairwise(value)):
        raise ValueError(f"{attribute.name}: parts are named by ascending numbers from 1")


def party_ids(items: Any) -> str:
    """The repr of a list of party ids."""
    return f"[{', '.join(map(short, items))}]"


# Messages.


@frozen
class AddRecord:
    """Put a sealed object under the control of its policy. Signers: author, subject; the subject alone as author."""

    record: bytes = field(validator=length(32), repr=short)
    """Id of the record, 32 random bytes: it stays when the object is sealed again."""
    object: bytes = field(validator=length(32), repr=short)
    subject: bytes = field(validator=length(32), repr=short)
    """Whose data it is: the policy's owner."""
    header: bytes = field(validator=length(32), repr=short)
    """SHA-256 of the sealed header."""
    dealing: bytes = field(validator=length(32), repr=short)
    """SHA-256 of the dealing, which names the header."""
    policy: bytes = field(validator=length(1, POLICY_LIMIT), repr=short)
    """The bound policy, as ``bytes(bound)``."""


@frozen
class RequestAccess:
    """Ask for parts of a record under one clause. Signer: the asker. The request's id is the transaction's."""

    record: bytes = field(validator=length(32), repr=short)
    policy: bytes = field(validator=length(32), repr=short)
    """Hash of the policy under which it is asked: the record's current one."""
    clause: str = field(validator=form(NAME))
    purpose: str = field(validator=form(PURPOSE))
    parts: Parts = field(validator=check_parts)
    nonce: bytes = field(validator=length(32), repr=short)
    """From which the asker's wallet derives the key."""
    recipient_key: bytes = field(validator=length(1216), repr=short)
    """The one-use key to which shares are sealed again."""
    expiry: int = field()
    """Block time, ms, after which nothing is approved or released any more."""


@frozen
class Approve:
    """Agree to a request. Signer: a holder of its clause, who has stored its share, sealed again to the asker."""

    request: bytes = field(validator=length(32), repr=short)
    policy: bytes = field(validator=length(32), repr=short)
    """Hash of the policy that the holder has agreed under."""
    parts: Parts = field(validator=check_parts)
    """Which of the requested parts; None: all that are asked for."""
    share: bytes = field(validator=length(32), repr=short)
    """SHA-256 of the re-sealed share, a blob of the object."""


@frozen
class Decline:
    """Say no to a request. Signer: a holder of its clause."""

    request: bytes = field(validator=length(32), repr=short)


@frozen
class Oppose:
    """Stop a recovery before its waiting time is over. Signer: one of the clause's objectors."""

    request: bytes = field(validator=length(32), repr=short)


@frozen
class Judge:
    """Say whether an emergency was one. Signer: the clause's reviewer."""

    request: bytes = field(validator=length(32), repr=short)
    justified: bool = field()


@frozen
class LiftBlock:
    """Let a person ask in emergencies again whose reviews of emergencies on a record are overdue.

    Signers: a quorum of an emergency clause of that very record, without the person. So care is never refused for good,
    and people whom the record's owner trusts in an emergency have answered for it.
    """

    record: bytes = field(validator=length(32), repr=short)
    clause: str = field(validator=form(NAME))
    asker: bytes = field(validator=length(32), repr=short)


@frozen
class Erase:
    """Order a record erased. Signers: as the policy's erasure tree demands; without one, the subject."""

    record: bytes = field(validator=length(32), repr=short)


@frozen
class Complain:
    """Say that one's envelope for a clause is wrong. Signer: a holder, or one of the gate. It blames nobody yet."""

    record: bytes = field(validator=length(32), repr=short)
    clause: str = field(validator=form(NAME))


# What the contract says to itself when time has come.


@frozen
class Settle:
    """A recovery's waiting time is over."""

    request: bytes = field(validator=length(32), repr=short)


@frozen
class Overdue:
    """The deadline of an emergency's review has come."""

    request: bytes = field(validator=length(32), repr=short)


# Events.


@frozen
class RecordAdded:
    """A record is under the control of its policy, whose hash is `policy`."""

    record: bytes = field(validator=length(32), repr=short)
    object: bytes = field(validator=length(32), repr=short)
    subject: bytes = field(validator=length(32), repr=short)
    author: bytes = field(validator=length(32), repr=short)
    policy: bytes = field(validator=length(32), repr=short)


@frozen
class Decision:
    """A clause is satisfied: the gate may release its share for these parts, and one use is taken.

    Attributes:
        request: id of the request, which is the decision's id, too: a request leads to one decision at most.
        record, object: what may be opened.
        asker: who may open it.
        clause, purpose: under which clause, and what for.
        parts: for which parts one quorum approved; None: all.
        quorum: the parties of that quorum, in the order of the clause's tree.
        policy, version: hash of the record's policy, and which version of it that is, from 1.
        expires: last block time (ms) at which the gate releases.
        uses_left: how many more decisions the clause allows for this record; None: any number.
        entry: log index of the entry that holds the decision, where known. Local.
    """

    request: bytes = field(validator=length(32), repr=short)
    record: bytes = field(validator=length(32), repr=short)
    object: bytes = field(validator=length(32), repr=short)
    asker: bytes = field(validator=length(32), repr=short)
    clause: str = field(validator=form(NAME))
    purpose: str = field(validator=form(PURPOSE))
    parts: Parts = field(validator=check_parts)
    quorum: tuple[bytes, ...] = field(repr=party_ids)
    policy: bytes = field(validator=length(32), repr=short)
    version: int = field()
    expires: int = field()
    uses_left: int | None = field()
    entry: int | None = field(default=None, eq=False, kw_only=True, metadata=LOCAL)


@frozen
class RequestRefused:
    """A request leads to nothing any more: ``declined``, ``opposed``, or what was found when it was settled."""

    request: bytes = field(validator=length(32), repr=short)
    record: bytes = field(validator=length(32), repr=short)
    reason: str = field(validator=form(CODE))


@frozen
class Notice:
    """Parties that the policy wants told of a decision."""

    request: bytes = field(validator=length(32), repr=short)
    record: bytes = field(validator=length(32), repr=short)
    clause: str = field(validator=form(NAME))
    parties: tuple[bytes, ...] = field(repr=party_ids)


@frozen
class ReviewDue:
    """An emergency decision is to be reviewed until block time `due` (ms)."""

    request: bytes = field(validator=length(32), repr=short)
    reviewer: bytes = field(validator=length(32), repr=short)
    due: int = field()


@frozen
class Judged:
    """An emergency decision was reviewed."""

    request: bytes = field(validator=length(32), repr=short)
    reviewer: bytes = field(validator=length(32), repr=short)
    justified: bool = field()


@frozen
class ReviewOverdue:
    """A review did not come in time: until it does, the asker makes no further emergency requests."""

    request: bytes = field(validator=length(32), repr=short)
    asker: bytes = field(validator=length(32), repr=short)


@frozen
class Lifted:
    """The overdue reviews of one record block a person no more, on the word of the parties in `by`."""

    asker: bytes = field(validator=length(32), repr=short)
    by: tuple[bytes, ...] = field(repr=party_ids)


@frozen
class RecordErased:
    """A record is to be erased everywhere, by order of the parties in `by`."""

    record: bytes = field(validator=length(32), repr=short)
    object: bytes = field(validator=length(32), repr=short)
    by: tuple[bytes, ...] = field(repr=party_ids)


@frozen
class Complaint:
    """A holder says that its envelope is wrong."""

    record: bytes = field(validator=length(32), repr=short)
    clause: str = field(validator=form(NAME))
    holder: bytes = field(validator=length(32), repr=short)
