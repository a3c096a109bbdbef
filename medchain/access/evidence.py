"""Proofs for a device: gathered by the server under one checkpoint, examined by the device one by one.

Everything that the device learns about the state holds at that one checkpoint, so a server cannot show a party as it
was before its keys were revoked beside a request as it is now.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from attrs import field, frozen

from medchain.access.contract import EXPIRY_LIMIT, AccessContract
from medchain.access.messages import AddRecord
from medchain.access.proved import ProvedRequest, check_asker, check_bundle, proved_request
from medchain.access.rows import ApprovalRow, RecordRow, RequestRow
from medchain.chain import Chain
from medchain.errors import EncodingError, InvalidTransaction, MalformedProof, StorageError, VerificationError
from medchain.ledger.checkpoint import Checkpoint
from medchain.ledger.contract import wire_name
from medchain.ledger.entry import Entry, Header, Kind, parse_leaf
from medchain.ledger.keys import Keys, PartyRow
from medchain.ledger.proof import LogProof, StateExtra, read_extra
from medchain.ledger.tables import Table
from medchain.ledger.transaction import Transaction
from medchain.ledger.trust import Trust
from medchain.ledger.verify import AsOf, verify, verify_state
from medchain.merkle import ConsistencyProof, Head
from medchain.policy.moments import MAX_TIME
from medchain.records import from_value, short
from medchain.sealing import SealedHeader

__all__ = [
    "AskerProofs",
    "Examination",
    "RecordProofs",
    "RequestProofs",
    "gather",
    "head_of",
    "prove_growth",
]

ATTEMPTS = 100
T = TypeVar("T")


@frozen
class RecordProofs:
    """A record: tlog-proof of the entry that added it, state proof of its row."""

    entry: bytes = field(repr=short)
    row: bytes = field(repr=short)


@frozen
class RequestProofs:
    """A request: tlog-proof of its entry, state proof of its row, and of each holder's approval or its absence.

    `approvals` has one proof for each holder of the clause's tree, in its order.
    """

    entry: bytes = field(repr=short)
    row: bytes = field(repr=short)
    approvals: tuple[bytes, ...] = field(repr=lambda proofs: f"<{len(proofs)}>")


@frozen
class AskerProofs:
    """An asker: state proofs of the key with which it signed its request, and of its row as a party."""

    key: bytes = field(repr=short)
    party: bytes = field(repr=short)


def head_of(since: Checkpoint | Head | None) -> Head | None:
    """Size and root of what a device has seen; None if it has seen nothing."""
    head = since.head if isinstance(since, Checkpoint) else since
    if head is not None and not isinstance(head, Head):
        raise TypeError(f"since is a Checkpoint, a Head or None, not {type(head).__name__}")
    return head if head is not None and head.size else None


# On the server.


def gather(
    chain: Chain, rows: Iterable[tuple[Table[Any], Any]], entries: Iterable[int]
) -> tuple[list[bytes], list[bytes], Head]:
    """State proofs of rows and tlog-proofs of entries, all under one checkpoint, and its head.

    Raises:
        StorageError: the state changes faster than it can be proved.
    """
    rows = tuple(rows)
    for attempt in range(ATTEMPTS):
        states = [chain.prove_state(table, key, fresh=attempt == 0) for table, key in rows]
        checkpoints = [LogProof.parse(proof).checkpoint for proof in states]
        if all(each.head == checkpoints[0].head for each in checkpoints):
            logged = [chain.prove(index, checkpoint=checkpoints[0]) for index in entries]
            return states, logged, checkpoints[0].head
    raise StorageError("the state changes faster than it can be proved")


def prove_growth(chain: Chain, since: Head | None, head: Head) -> ConsistencyProof | None:
    """That the log of `head` begins with the one that a device has seen; None if it has seen nothing.

    Raises:
        VerificationError: the device has seen more of this log than there is here.
    """
    if since is None:
        return None
    if since.size > head.size:
        raise VerificationError(
            f"the device has seen {since.size} leaves of this log, here are {head.size}: an old copy of the chain"
        )
    return chain.prove_consistency(since.size, head.size)


# On the device.


class Examination:
    """Takes proofs under one checkpoint; each method gives what a proof proves, or raises VerificationError.

    Args:
        anchor: a state proof. Its checkpoint is the one that all others must be under.
        trust: the device's own.
        since: the largest head that the device has seen of this log.
        growth: that the log of the checkpoint begins with that of `since`.
    """

    def __init__(
        self, anchor: bytes, *, trust: Trust, since: Head | None, growth: ConsistencyProof | None
    ) -> None:
        proof = LogProof.parse(anchor)
        extra = read_extra(proof.extra)
        if not isinstance(extra, StateExtra):
            raise MalformedProof("the checkpoint is not told by a state proof")
        proof.verify(extra.header, trust)
        # Whether it is the last header, and of the trusted chain, is found out when the anchor is read by `row`.
        header = _header(extra.header)
        if not 0 <= header.time <= MAX_TIME:
            raise VerificationError("the log does not tell the time in milliseconds since 1970")
        self.trust = trust
        self.checkpoint = proof.checkpoint
        self.as_of = AsOf(header.height, header.time, proof.inclusion.index, proof.checkpoint.head, True)
        self._check_contract(header)
        self._check_growth(since, growth)

    def _check_contract(self, header: Header) -> None:
        """Messages mean what this library takes them to mean only under the contract that it knows."""
        name = f"{AccessContract.name}/{AccessContract.version}"
        if header.contracts.get(name) != AccessContract.digest():
            raise VerificationError(f"the chain does not run {name} as this library knows it")

    def _check_growth(self, since: Head | None, growth: ConsistencyProof | None) -> None:
        head = self.checkpoint.head
        if since is None:
            if growth is not None:
                raise VerificationError(
                    f"this was made for a device that has seen {growth.old_size} leaves: say by since= what was seen"
                )
            return
        if head.size < since.size:
            raise VerificationError(
                f"the checkpoint has {head.size} leaves, this device has seen {since.size}: the log was rolled back"
            )
        if growth is None:
            raise VerificationError(
                "nothing proves that the log has only grown since this device has seen it"
            )
        growth.verify(old=since, new=head)

    def row(self, proof: bytes, table: Table[T], key: Any) -> T | None:
        """The row under `key`, as of the checkpoint; None if it is proved that there is none."""
        found = verify_state(proof, table, key, trust=self.trust)
        if found.as_of.head != self.checkpoint.head or not found.as_of.latest:
            raise VerificationError(f"{table.contract}.{table.name} is not proved as of the one checkpoint")
        return found.value

    def existing(self, proof: bytes, table: Table[T], key: Any) -> T:
        """As `row`, where there must be one."""
        found = self.row(proof, table, key)
        if found is None:
            raise VerificationError(f"it is proved that {table.contract}.{table.name} has no such row")
        return found

    def covers(self, as_of: AsOf) -> None:
        """Whether an entry was proved under the one checkpoint, and is no newer than it says."""
        if as_of.head != self.checkpoint.head:
            raise VerificationError("the proofs are not all under one checkpoint")
        if not 0 <= as_of.time <= self.as_of.time:
            raise VerificationError("an entry is newer than the log")

    def record(self, proofs: RecordProofs, record: bytes, bundle: SealedHeader) -> RecordRow:
        """A record: its row, the entry that added it, and its sealed documents agree."""
        row = self.existing(proofs.row, AccessContract.records, record)
        verified = verify(proofs.entry, Entry, trust=self.trust)
        self.covers(verified.as_of)
        added, signers = _added(verified.value)
        said = (added.record, added.object, added.subject, signers[0], added.header, added.dealing)
        if said != (record, row.object, row.subject, row.author, row.header, row.dealing):
            raise VerificationError("the entry is not the one that added the record")
        placed = (verified.as_of.height, verified.as_of.time)
        if placed != (row.height, row.added) or added.policy != bytes(bundle.policy):
            raise VerificationError("the entry that added the record contradicts its row or its policy")
        check_bundle(row, self.trust.chain, bundle)
        return row

    def request(self, proofs: RequestProofs, request: bytes) -> tuple[ProvedRequest, RequestRow]:
        """A request: its entry and its row agree."""
        proved = proved_request(proofs.entry, trust=self.trust)
        self.covers(proved.as_of)
        row = self.existing(proofs.row, AccessContract.requests, request)
        message, asker = proved.message, proved.asker.party
        if proved.id != request:
            raise VerificationError("the entry is that of another request")
        said = (message.record, asker, message.clause, message.purpose, message.parts, message.policy)
        if said != (row.record, row.asker, row.clause, row.purpose, row.parts, row.policy):
            raise VerificationError("entry and row of the request contradict each other")
        said_too = (message.expiry, hashlib.sha256(message.recipient_key).digest())
        placed = (proved.as_of.height, proved.as_of.time)
        if (*said_too, *placed) != (row.expiry, row.key, row.height, row.asked):
            raise VerificationError("entry and row of the request contradict each other")
        if message.expiry > row.asked + EXPIRY_LIMIT:
            raise VerificationError("the request expires later than the contract allows")
        return proved, row

    def asker(self, proofs: AskerProofs, request: ProvedRequest) -> PartyRow:
        """The asker: its signature holds, by a key that was its own when it asked, and it is not revoked."""
        check_asker(request, proofs.key, trust=self.trust)
        ref = request.asker
        key = self.existing(proofs.key, Keys.signing, (ref.party, ref.key))
        party = self.existing(proofs.party, Keys.parties, ref.party)
        if party.key is None:
            raise VerificationError("the asker's keys were revoked")
        if key.since > request.as_of.time or (key.until is not None and key.until < request.as_of.time):
            raise VerificationError("the asker's key was not its own when the request was logged")
        return party

    def approvals(
        self, proofs: RequestProofs, request: bytes, holders: Sequence[bytes]
    ) -> dict[bytes, ApprovalRow]:
        """Who of `holders` has approved, and for which parts. That the others have not is proved as well."""
        if len(proofs.approvals) != len(holders):
            raise MalformedProof("not one proof for each holder of the clause")
        found: dict[bytes, ApprovalRow] = {}
        for holder, proof in zip(holders, proofs.approvals, strict=True):
            row = self.row(proof, AccessContract.approvals, (request, holder))
            if row is not None:
                found[holder] = row
        return found


def _header(data: bytes) -> Header:
    try:
        leaf = parse_leaf(data)
    except EncodingError as error:
        raise MalformedProof(f"the log holds a malformed header: {error}") from error
    if not isinstance(leaf, Header):
        raise MalformedProof("a state proof is about a header")
    return leaf


def _added(entry: Entry) -> tuple[AddRecord, tuple[bytes, ...]]:
    """What an accepted entry has added, and who signed."""
    if entry.kind is not Kind.TRANSACTION or not entry.outcome.ok:
        raise VerificationError("the proved entry is no accepted transaction")
    try:
        body = Transaction.from_bytes(entry.content).body
        if (body.contract, body.message_name) != (AccessContract.name, wire_name(AddRecord)):
            raise VerificationError("the proved entry has added no record")
        return from_value(AddRecord, body.message[1]), tuple(each.party for each in body.signers)
    except (EncodingError, InvalidTransaction) as error:
        raise MalformedProof(f"the proved entry is malformed: {error}") from error
