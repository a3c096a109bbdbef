"""Release kits: what a server hands to an asker whose keys are on another device, so that it can open what was decided.

The server asks the gate, which gives its share only against the decision on the log; then nothing that opens anything
is missing but the asker's key. The device believes nothing of the kit: decision, request, record and approvals come
with proofs, shares and ciphertext are checked against what was proved (docs/spec/release-kit.md).
"""

from __future__ import annotations

import bisect
import hashlib
import hmac
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from attrs import evolve, field, frozen

from medchain.access import trail
from medchain.access.contract import AccessContract
from medchain.access.evidence import (
    Examination,
    RecordProofs,
    RequestProofs,
    gather,
    head_of,
    prove_growth,
)
from medchain.access.handles import Opened, Request
from medchain.access.messages import Decision
from medchain.access.proved import ProvedRequest, bind_request
from medchain.access.rows import ApprovalRow, RecordRow, State
from medchain.access.rules import within
from medchain.errors import (
    BlobDamaged,
    Erased,
    Pending,
    PolicyError,
    Refused,
    SealingError,
    VerificationError,
)
from medchain.keys.party import Party
from medchain.keys.wallet import Decrypter
from medchain.ledger.checkpoint import Checkpoint
from medchain.ledger.proof import LogProof
from medchain.ledger.tables import Table
from medchain.ledger.trust import Trust
from medchain.ledger.verify import moment, verify
from medchain.merkle import ConsistencyProof, Head
from medchain.records import LOCAL, decode_record, encode_record, length, short
from medchain.sealing import PartKeys, SealedHeader, collect, open_segments
from medchain.sealing.documents import Header
from medchain.sealing.evidence import BadShare
from medchain.sealing.opening import Read
from medchain.sealing.segments import ciphertext_root
from medchain.storage.blobs import BlobStore

if TYPE_CHECKING:
    from medchain.access.client import Access

__all__ = ["INLINE_LIMIT", "KIT_LIMIT", "KitShare", "ReleaseKit", "release"]

KIT_LIMIT = 128 << 20
"""Most bytes of a kit; nearly all of it are envelopes, shares and segments."""

INLINE_LIMIT = 4 << 20
"""Most bytes of ciphertext that travel in a kit; more is read from the blob stores by ranges."""

_VERSION = 1


@frozen
class KitShare:
    """A share that somebody has sealed again to the asker."""

    holder: bytes = field(validator=length(32), repr=short)
    share: bytes = field(repr=lambda share: f"<{len(share)} bytes>")


@frozen(repr=False)
class ReleaseKit:
    """All that an asker needs beside its wallet. ``bytes(kit)`` for wires; nobody else can open anything with it.

    Attributes:
        decision: tlog-proof of the entry with the decision.
        live: state proof of the decision's row.
        record: proofs of the record.
        request: proofs of the request; its approvals are those of the decision's quorum, in its order.
        growth: that the log of the proofs begins with the one that the device has seen.
        bundle: header, dealing and envelopes of the record.
        shares: those of the quorum, in its order.
        gate: those of gate members; empty for a clause without gate.
        segments: ciphertext of the manifest and of each decided part, in order; None if it has to be read from
            where `payload` says.
        since: what the device has seen, if the kit was made in its own process. Local.
    """

    decision: bytes = field(repr=short)
    live: bytes = field(repr=short)
    record: RecordProofs
    request: RequestProofs
    growth: ConsistencyProof | None
    bundle: SealedHeader
    shares: tuple[KitShare, ...]
    gate: tuple[KitShare, ...]
    segments: tuple[bytes, ...] | None
    version: int = field(default=_VERSION)
    since: Head | None = field(default=None, eq=False, kw_only=True, metadata=LOCAL)

    def __attrs_post_init__(self) -> None:
        if self.version != _VERSION:
            raise ValueError(f"format version {self.version} where this library reads {_VERSION}")

    @property
    def payload(self) -> tuple[bytes, bytes, int]:
        """Where the ciphertext lies in blob stores: object id, hash, and its size in bytes."""
        hash, size = self.bundle.payload
        if hash is None:
            raise VerificationError("the header does not say where the payload lies")
        return self.bundle.object_id, hash, size

    @property
    def seen(self) -> Checkpoint:
        """The checkpoint of its proofs. Pin it once `open` has returned: it is the next ``since=``."""
        return LogProof.parse(self.live).checkpoint

    def open(
        self,
        wallet: Decrypter,
        *,
        trust: Trust,
        since: Checkpoint | Head | None = None,
        read: Read | None = None,
    ) -> Opened:
        """Check everything on the asker's device and open what the decision allows.

        Args:
            wallet: the one that has asked.
            trust: came with the application, never from the server that made the kit.
            since: the largest checkpoint that this device has seen of the log.
            read: gives (offset, length) of the payload, for a kit without `segments`. What it gives is checked.

        Returns:
            The parts, each of which reads and checks its ciphertext when it is read.

        Raises:
            VerificationError: a proof does not hold or is older than `since`, or the kit is for somebody else.
            EncodingError: a document is malformed.
            Erased: the record was erased when the kit was made.
            SealingError: a share, the dealing or the ciphertext is wrong; ``culprit`` is whose share, where that is
                provable, and ``evidence`` proves it.
            ValueError: the kit holds no segments and there is no `read`.
        """
        if self.segments is None and read is None:
            raise ValueError(
                f"the payload of {self.bundle.payload[1]} bytes is not in the kit: say by read= how to get it"
            )
        examination = Examination(
            self.live, trust=trust, since=head_of(since) or self.since, growth=self.growth
        )
        decision = self._decision(examination)
        request = self._request(examination, decision)
        record = examination.record(self.record, decision.record, self.bundle)
        _check_record(record, decision)
        approvals = self._approvals(examination, decision)
        keys = self._collect(wallet, request, decision, record, approvals)
        source = self._inline(tuple(keys)) if read is None else read
        handle = Request(
            request.id,
            decision.record,
            decision.asker,
            decision.clause,
            decision.purpose,
            request.message.parts,
            decision.expires,
            request.as_of.index,
        )
        return Opened(tuple(open_segments(self.bundle, keys, source)), decision, handle)

    def _decision(self, examination: Examination) -> Decision:
        """The decision as log and state have it."""
        found = verify(self.decision, Decision, trust=examination.trust)
        examination.covers(found.as_of)
        row = examination.existing(self.live, AccessContract.decisions, found.value.request)
        if row.decision != found.value or row.height != found.as_of.height:
            raise VerificationError("the decision is not what the state says")
        return evolve(found.value, entry=found.as_of.index)

    def _request(self, examination: Examination, decision: Decision) -> ProvedRequest:
        """The request that the decision answers."""
        request, row = examination.request(self.request, decision.request)
        said = (row.asker, row.record, row.clause, row.purpose, row.policy, row.expiry)
        decided = (decision.asker, decision.record, decision.clause, decision.purpose)
        if said != (*decided, decision.policy, decision.expires) or row.state != State.DECIDED:
            raise VerificationError("the request is another one than the decision answers")
        if not within(decision.parts, request.message.parts):
            raise VerificationError("the decision is for parts that were not asked for")
        return request

    def _approvals(self, examination: Examination, decision: Decision) -> dict[bytes, ApprovalRow]:
        """The approvals of the quorum, which satisfies the clause."""
        approvals = examination.approvals(self.request, decision.request, decision.quorum)
        if len(approvals) != len(decision.quorum):
            raise VerificationError("one of the quorum has not approved")
        try:
            clause = self.bundle.policy.clause(decision.clause)
        except PolicyError as error:
            raise VerificationError(f"the policy has no such clause: {error}") from error
        if not clause.satisfied_by(decision.quorum, asker=decision.asker):
            raise VerificationError("those who have approved do not satisfy the clause")
        return approvals

    def _collect(
        self,
        wallet: Decrypter,
        request: ProvedRequest,
        decision: Decision,
        record: RecordRow,
        approvals: dict[bytes, ApprovalRow],
    ) -> PartKeys:
        message = request.message
        key = wallet.request_key(message.nonce)
        if wallet.party.id != decision.asker or not hmac.compare_digest(key.public, message.recipient_key):
            raise VerificationError("the kit is for another asker than this wallet")
        if [each.holder for each in self.shares] != list(decision.quorum):
            raise SealingError("the kit does not hold the shares of the quorum")
        for each in self.shares:
            if hashlib.sha256(each.share).digest() != approvals[each.holder].share:
                raise SealingError(f"the share of {_short(each.holder)} is not the one of its approval")
        try:
            return collect(
                self.bundle,
                bind_request(request.transaction.body.chain, request.id, message, self.bundle),
                _by_holder(self.shares),
                key.decrypt,
                gate=_by_holder(self.gate),
                parts=decision.parts,
                seed=key.seed,
                dealer=record.author,
            )
        except Pending as error:
            raise SealingError(f"the kit lacks shares: {error}") from None
        except SealingError as error:
            if isinstance(error.evidence, BadShare) and error.evidence.gate:
                # Nothing on the log says what a gate gave; it may have been altered on the way. Nobody is blamed.
                raise SealingError(str(error)) from None
            raise

    def _inline(self, parts: Sequence[int]) -> Read:
        """Reads the payload out of the kit."""
        header, segments = self.bundle.header, self.segments or ()
        if [len(each) for each in segments] != [header.parts[part].size for part in parts]:
            raise SealingError("the kit does not hold the segments of the decided parts")
        held = dict(zip(parts, segments, strict=True))

        def read(offset: int, length: int) -> bytes:
            part = bisect.bisect_right(header.offsets, offset) - 1
            start = offset - header.offsets[part]
            return held[part][start : start + length]

        return read

    def __bytes__(self) -> bytes:
        data = encode_record(self)
        if len(data) > KIT_LIMIT:
            raise ValueError(f"a kit has at most {KIT_LIMIT} bytes, this one {len(data)}")
        return data

    @classmethod
    def from_bytes(cls, data: bytes) -> ReleaseKit:
        """Read what ``bytes(kit)`` wrote. Nothing is checked yet but the form.

        Raises:
            EncodingError: it is anything else.
            SealingError: header, dealing and envelopes do not belong together.
        """
        return decode_record(cls, data, limit=KIT_LIMIT)

    def __repr__(self) -> str:
        inside = "outside" if self.segments is None else "inside"
        return f"<ReleaseKit of object {_short(self.bundle.object_id)}, {len(self.shares)} shares, payload {inside}>"


def release(
    access: Access, request: Request | bytes, *, to: Party, since: Checkpoint | Head | None
) -> ReleaseKit:
    """Ask the gate for its share, and put together what the asker `to` needs to open what was decided.

    Args:
        access: beside the chain, with the gate in reach.
        request: or its id.
        to: the asker.
        since: the largest checkpoint that the asker's device has seen of the log; None if it has seen nothing.

    Raises:
        Pending: not decided yet; ``waiting_for`` says for whom it waits.
        Refused: declined, opposed, expired, refused by the gate, or `to` has not asked.
        Erased: the record is gone.
        VerificationError, StorageError: what the chain or the blob stores show does not hold, or is not there.
    """
    status = access.status(request)
    if to.id != status.request.asker:
        raise Refused("only the asker opens", reason="denied")
    decision = access._ready(status)
    proved, record = access._proved(decision.request)
    bundle = access.bundle(record)
    approvals = access.chain.table(AccessContract.approvals)
    shares = [
        KitShare(holder, access._blob(record, approvals[decision.request, holder].share))
        for holder in decision.quorum
    ]
    released = access._ask_gate(proved, decision, bundle)
    gate = [KitShare(member, share) for member, share in released.items()]
    tables: list[tuple[Table[Any], Any]] = [
        (AccessContract.decisions, decision.request),
        (AccessContract.records, decision.record),
        (AccessContract.requests, decision.request),
        *((AccessContract.approvals, (decision.request, holder)) for holder in decision.quorum),
    ]
    added = trail.record_index(access.chain, record.height, decision.record)
    assert decision.entry is not None
    states, logged, head = gather(access.chain, tables, [decision.entry, added, proved.as_of.index])
    live, record_row, request_row, *approval_rows = states
    seen = head_of(since)
    return ReleaseKit(
        decision=logged[0],
        live=live,
        record=RecordProofs(logged[1], record_row),
        request=RequestProofs(logged[2], request_row, tuple(approval_rows)),
        growth=prove_growth(access.chain, seen, head),
        bundle=bundle,
        shares=tuple(shares),
        gate=tuple(gate),
        segments=_segments(access, bundle, decision, proved),
        since=seen,
    )


def _segments(
    access: Access, bundle: SealedHeader, decision: Decision, request: ProvedRequest
) -> tuple[bytes, ...] | None:
    """The ciphertext of the decided parts, if it is small enough to travel along."""
    header: Header = bundle.header
    parts = header.part_set(request.message.parts if decision.parts is None else decision.parts)
    if sum(header.parts[part].size for part in parts) > INLINE_LIMIT or header.payload is None:
        return None
    return tuple(_ciphertext(access.chain.blobs, header, part) for part in parts)


def _ciphertext(blobs: BlobStore, header: Header, part: int) -> bytes:
    """The ciphertext of a part as the header has it. Where the first copy is not, all are checked and mended once.

    Raises:
        BlobDamaged: no copy is as it was sealed.
    """
    info, payload = header.parts[part], header.payload
    assert payload is not None
    data = blobs.read(header.object, payload, header.offsets[part], info.size)
    if ciphertext_root(data) != info.root:
        blobs.check(header.object, payload)
        data = blobs.read(header.object, payload, header.offsets[part], info.size)
        if ciphertext_root(data) != info.root:
            raise BlobDamaged(f"the blob stores gave another ciphertext of part {part} than was sealed")
    return data


def _check_record(record: RecordRow, decision: Decision) -> None:
    if record.erased is not None:
        by = record.erased_by[0] if record.erased_by else None
        raise Erased(f"the record was erased at {moment(record.erased)}", when=record.erased, by=by)
    if (record.object, record.policy) != (decision.object, decision.policy):
        raise VerificationError("the decision is about another object or policy than the record has")


def _by_holder(shares: Sequence[KitShare]) -> dict[bytes, bytes]:
    return {each.holder: each.share for each in shares}


def _short(id: bytes) -> str:
    return f"{id.hex()[:12]}…"
