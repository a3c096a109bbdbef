"""Drafts: what a server proposes to a device that holds the keys. A draft cannot sign, and is not believed.

It carries the body of the transaction and everything by which the device checks what signing it would do. Fields of
the message that only the device can fill in are null: the hash of a re-sealed share (HPKE is randomised, and the share
is nobody else's), the nonce and one-use key of a request (docs/spec/draft.md).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from attrs import evolve, field, frozen

from medchain.access import trail
from medchain.access.adding import check_addable, with_parties
from medchain.access.contract import AccessContract
from medchain.access.evidence import (
    AskerProofs,
    RecordProofs,
    RequestProofs,
    gather,
    head_of,
    prove_growth,
)
from medchain.access.messages import AddRecord, Approve, Decline, Parts, RequestAccess
from medchain.access.purposes import check_purposes
from medchain.access.rows import RequestRow
from medchain.access.view import named_id
from medchain.errors import Erased, Refused
from medchain.keys.party import Party
from medchain.ledger.checkpoint import Checkpoint
from medchain.ledger.contract import wire_name
from medchain.ledger.entry import Entry, Header
from medchain.ledger.governance.rows import GATE, GovernanceTables
from medchain.ledger.keys import Keys
from medchain.ledger.system import LedgerTables
from medchain.ledger.tables import Table
from medchain.ledger.transaction import Body, SignerRef, Transaction
from medchain.ledger.trust import Trust
from medchain.merkle import ConsistencyProof, Head
from medchain.policy import BoundPolicy
from medchain.records import LOCAL, decode_record, encode_record, short
from medchain.sealing import Part, SealedHeader, seal_to

if TYPE_CHECKING:
    from medchain.access.client import Access
    from medchain.access.handles import Record, Request
    from medchain.access.review import Review

__all__ = ["DRAFT_LIMIT", "OPEN_FIELDS", "Draft", "Drafts"]

DRAFT_LIMIT = 64 << 20
"""Most bytes of a draft; nearly all of it are envelopes."""

OPEN_FIELDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        wire_name(AddRecord): (),
        wire_name(RequestAccess): ("nonce", "recipient_key"),
        wire_name(Approve): ("share",),
        wire_name(Decline): (),
    }
)
"""The messages that there are drafts of, with the fields that the device fills in."""

_VERSION = 1
_Seen = Checkpoint | Head | None
Place = tuple[Table[Any], Any]
Message = AddRecord | RequestAccess | Approve | Decline


@frozen(repr=False)
class Draft:
    """A transaction that is proposed to its signers. Believe nothing of it before `review`.

    ``bytes(draft)`` goes to the device, `Draft.from_bytes` reads it there.

    Attributes:
        body: what would be signed, with null for what the device fills in.
        replay: state proof of the replay row of the first signer's key.
        gate: state proof of the chain's gate, or that it has none.
        growth: that the log of the proofs begins with the one that the device has seen.
        bundle: header, dealing and envelopes of the record.
        record: proofs of the record; None while it is being added.
        request: proofs of the request that is answered, else None.
        asker: proofs of who has made that request, else None.
        since: what the device has seen, if the draft was made in its own process. Local.
    """

    body: Body
    replay: bytes = field(repr=short)
    gate: bytes = field(repr=short)
    growth: ConsistencyProof | None
    bundle: SealedHeader
    record: RecordProofs | None
    request: RequestProofs | None
    asker: AskerProofs | None
    version: int = field(default=_VERSION)
    since: Head | None = field(default=None, eq=False, kw_only=True, metadata=LOCAL)

    def __attrs_post_init__(self) -> None:
        if self.version != _VERSION:
            raise ValueError(f"format version {self.version} where this library reads {_VERSION}")

    @property
    def signers(self) -> tuple[SignerRef, ...]:
        """Who has to sign, in order."""
        return self.body.signers

    def review(self, trust: Trust, *, since: Checkpoint | Head | None = None) -> Review:
        """Check on the device, with nothing but its own trust, what signing would do.

        Args:
            trust: came with the application, never from the server that made the draft.
            since: the largest checkpoint that this device has seen of the log, as pinned from an earlier
                ``review.seen``. Without it a draft from bytes may show an old state of the chain.

        Raises:
            VerificationError: a proof does not hold, is older than `since`, or does not prove what the draft needs.
            EncodingError: the message or a document is malformed.
            SealingError: header, dealing and envelopes are not those of the record.
        """
        from medchain.access.review import review

        return review(self, trust, head_of(since) or self.since)

    def __bytes__(self) -> bytes:
        data = encode_record(self)
        if len(data) > DRAFT_LIMIT:
            raise ValueError(f"a draft has at most {DRAFT_LIMIT} bytes, this one {len(data)}")
        return data

    @classmethod
    def from_bytes(cls, data: bytes) -> Draft:
        """Read what ``bytes(draft)`` wrote. Nothing is checked yet but the form.

        Raises:
            EncodingError: it is anything else.
            SealingError: header, dealing and envelopes do not belong together.
        """
        return decode_record(cls, data, limit=DRAFT_LIMIT)

    def __repr__(self) -> str:
        signers = ", ".join(f"party:{each.party[:4].hex()}" for each in self.signers)
        return f"<Draft {self.body.message_name} for {signers}, seq {self.body.seq}>"


class Drafts:
    """Makes drafts on the server: ``access.draft``.

    `since` is in each what the device has seen of the log: a checkpoint, a head, or None if it has seen nothing.
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        self._chain = access.chain

    def add(
        self,
        parts: Sequence[Part],
        bound: BoundPolicy,
        *,
        by: Sequence[Party],
        since: _Seen,
        force: bool = False,
    ) -> Draft:
        """Seal parts here and propose to put them on the chain.

        Payload and documents lie in the blob stores from now on, under the object's id, whether the draft is signed or
        not.

        Args:
            parts: what is sealed.
            bound: the policy, bound with the chain's gate and an owner.
            by: author and owner, in this order; an owner who is the author stands alone.
            since: see `Drafts`.
            force: take a policy that locks everybody out when a wallet is lost.

        Raises:
            PolicyError: the chain does not take the policy.
            StorageError: the blob stores cannot take it.
        """
        bound = with_parties(bound, self._chain)
        check_addable(bound, self._chain, by[-1], force=force)
        bundle = seal_to(parts, bound, chain=self._chain.id, write=self._chain.blobs.put)
        for document in bundle.documents():
            self._chain.blobs.put(bundle.object_id, document)
        message = AddRecord(
            record=secrets.token_bytes(32),
            object=bundle.object_id,
            subject=by[-1].id,
            header=bundle.header_hash,
            dealing=bundle.dealing_hash,
            policy=bytes(bound),
        )
        body = self._body(message, by, None)
        [replay, gate], _, head = gather(self._chain, _common_rows(body), ())
        seen = head_of(since)
        growth = prove_growth(self._chain, seen, head)
        return Draft(body, replay, gate, growth, bundle, record=None, request=None, asker=None, since=seen)

    def request(
        self,
        record: Record | bytes,
        clause: str,
        *,
        purpose: str,
        by: Party,
        since: _Seen,
        parts: Iterable[int] | None = None,
        expires_in: int | None = None,
    ) -> Draft:
        """Propose to ask for a record; the device adds its nonce and one-use key. Arguments as `Access.request`."""
        check_purposes([purpose])
        id = named_id(record)
        row = self._access._record_row(id)
        bundle = self._access.bundle(row)
        message = RequestAccess(
            record=id,
            policy=row.policy,
            clause=clause,
            purpose=purpose,
            parts=None if parts is None else tuple(sorted(set(parts))),
            nonce=bytes(32),
            recipient_key=bytes(1216),
            expiry=self._access.expiry(bundle.policy, clause, expires_in),
        )
        body = self._body(message, [by], message.expiry)
        tables = [*_common_rows(body), (AccessContract.records, id)]
        added = trail.record_index(self._chain, row.height, id)
        [replay, gate, record_row], [entry], head = gather(self._chain, tables, [added])
        seen = head_of(since)
        growth = prove_growth(self._chain, seen, head)
        proofs = RecordProofs(entry, record_row)
        return Draft(body, replay, gate, growth, bundle, record=proofs, request=None, asker=None, since=seen)

    def approve(
        self,
        request: Request | bytes,
        *,
        by: Party,
        since: _Seen,
        parts: Iterable[int] | None = None,
    ) -> Draft:
        """Propose to agree to a request, for all parts asked for or some; the device adds its re-sealed share.

        Raises:
            Refused: there is no such request, or it is not for `by` to answer.
        """
        id, row = self._open_request(request, by)
        chosen: Parts = None if parts is None else tuple(sorted(set(parts)))
        return self._answer(Approve(id, row.policy, chosen, bytes(32)), id, row, by, since)

    def decline(self, request: Request | bytes, *, by: Party, since: _Seen) -> Draft:
        """Propose to say no to a request.

        Raises:
            Refused: there is no such request, or it is not for `by` to answer.
        """
        id, row = self._open_request(request, by)
        return self._answer(Decline(id), id, row, by, since)

    def _open_request(self, request: Request | bytes, by: Party) -> tuple[bytes, RequestRow]:
        id = named_id(request)
        row = self._access._request_row(id)
        policy = self._access._policy(row.policy)
        if by.id not in policy.clause(row.clause).tree.holders:
            raise Refused("the request is not for this party to answer", reason="denied")
        return id, row

    def _answer(
        self, message: Approve | Decline, id: bytes, row: RequestRow, by: Party, since: _Seen
    ) -> Draft:
        """A draft that answers a request."""
        record = self._access._record_row(row.record)
        if record.erased is not None:
            raise Erased("the record is erased", when=record.erased, by=record.erased_by[0])
        bundle = self._access.bundle(record)
        asked = trail.transaction_index(self._chain, row.height, id)
        key = _signing_key(self._chain.entry(asked))
        holders = bundle.policy.clause(row.clause).tree.holders
        body = self._body(message, [by], row.expiry)
        tables = [
            *_common_rows(body),
            (AccessContract.records, row.record),
            (AccessContract.requests, id),
            (Keys.signing, key),
            (Keys.parties, row.asker),
            *((AccessContract.approvals, (id, holder)) for holder in holders),
        ]
        entries = [trail.record_index(self._chain, record.height, row.record), asked]
        states, logged, head = gather(self._chain, tables, entries)
        replay, gate, record_row, request_row, key_row, party_row, *approvals = states
        seen = head_of(since)
        return Draft(
            body=body,
            replay=replay,
            gate=gate,
            growth=prove_growth(self._chain, seen, head),
            bundle=bundle,
            record=RecordProofs(logged[0], record_row),
            request=RequestProofs(logged[1], request_row, tuple(approvals)),
            asker=AskerProofs(key_row, party_row),
            since=seen,
        )

    def _body(self, message: Message, by: Sequence[Party], not_after: int | None) -> Body:
        """The body, with null for what the device fills in."""
        body = self._chain.prepare(AccessContract, message, by, not_after=not_after)
        name, fields = body.message
        return evolve(body, message=[name, fields | dict.fromkeys(OPEN_FIELDS[name])])


def _common_rows(body: Body) -> list[Place]:
    """The rows that every draft proves: the first signer's sequence numbers, the chain's gate."""
    first = body.signers[0]
    return [(LedgerTables.replay, (first.party, first.key)), (GovernanceTables.gate, GATE)]


def _signing_key(entry: Entry | Header) -> tuple[bytes, bytes]:
    """With which key of which party a logged request was signed."""
    assert isinstance(entry, Entry)
    [signer] = Transaction.from_bytes(entry.content).body.signers
    return signer.party, signer.key
