"""How the access client opens what a decision allows, and how it reads what it needs for that: proved, and checked."""

from __future__ import annotations

import contextlib
import hashlib

from attrs import evolve

from medchain.access.contract import AccessContract
from medchain.access.gate import Gate
from medchain.access.handles import Opened, Request, Status
from medchain.access.messages import Decision
from medchain.access.proved import (
    ProvedRequest,
    bind_request,
    check_asker,
    load_bundle,
    proved_record,
    proved_request,
)
from medchain.access.rows import RecordRow, State
from medchain.access.view import AccessView
from medchain.access.warrants import make_warrant
from medchain.errors import BlobDamaged, Erased, Pending, Refused, StorageError, VerificationError
from medchain.keys.wallet import Wallet
from medchain.ledger.keys import Keys
from medchain.sealing.collecting import collect
from medchain.sealing.documents import SealedHeader
from medchain.sealing.opening import open_segments

__all__ = ["Opening"]

GATE_ATTEMPTS = 20
BLOB_LIMIT = 64 << 20
"""Largest document or re-sealed share that is read, in bytes; payloads are read by ranges."""


class Opening(AccessView):
    """The part of the access client that opens."""

    gates: tuple[Gate, ...]
    """Members of the gate that are in this process."""

    def open(self, request: Request | bytes, *, by: Wallet) -> Opened:
        """Open what a decision allows: collect the approvers' shares, ask the gate for its own, combine, decrypt.

        The gate releases its share only against the decision on the log, so nothing opens before it stands there.

        Args:
            request: or its id.
            by: the asker.

        Raises:
            Pending: not yet; ``waiting_for`` says for whom it waits.
            Refused: declined, opposed, expired, or refused by the gate; ``reason`` says which.
            Erased: the record is gone.
            SealingError: a share or the dealing is wrong; ``culprit`` says whose, ``evidence`` proves it.
            VerificationError, StorageError: what the chain or the blob stores show does not hold, or is not there.
        """
        status = self.status(request)
        if by.party.id != status.request.asker:
            raise Refused("only the asker opens", reason="denied")
        decision = self._ready(status)
        proved, record = self._proved(decision.request)
        bundle = self.bundle(record)
        approvals = self.chain.table(AccessContract.approvals)
        shares = {
            holder: self._blob(record, approvals[decision.request, holder].share)
            for holder in decision.quorum
        }
        key = by.request_key(proved.message.nonce)
        keys = collect(
            bundle,
            bind_request(self.chain.id, proved.id, proved.message, bundle),
            shares,
            key.decrypt,
            gate=self._ask_gate(proved, decision, bundle),
            parts=decision.parts,
            seed=key.seed,
            dealer=record.author,
        )
        payload, _ = bundle.payload
        assert payload is not None

        def read(offset: int, length: int) -> bytes:
            return self.chain.blobs.read(record.object, payload, offset, length)

        def repair() -> None:
            """Ranges are read from the first copy, unchecked: have all copies compared, and the bad ones replaced."""
            with contextlib.suppress(
                StorageError
            ):  # then what is read again does not open either, and says why
                self.chain.blobs.check(record.object, payload)

        parts = open_segments(bundle, keys, read, repair=repair)
        return Opened(tuple(parts), decision, status.request)

    def _ready(self, status: Status) -> Decision:
        """The decision of a request that can be opened now."""
        if status.state == "erased":
            row = self._record_row(status.request.record)
            by = row.erased_by[0] if row.erased_by else None
            raise Erased("the record is erased", when=row.erased, by=by)
        if status.state == "expired":
            raise Refused("the request has expired: ask again", reason="expired")
        if status.state == State.REFUSED:
            raise Refused("the request was refused", reason=status.reason or "declined")
        if status.decision is None:
            raise Pending(f"not yet: {status.summary}", waiting_for=status.waiting_for)
        return status.decision

    def _ask_gate(
        self, request: ProvedRequest, decision: Decision, bundle: SealedHeader
    ) -> dict[bytes, bytes]:
        """Shares of as many gate members as the clause needs."""
        gate = bundle.policy.gate
        if gate is None or not bundle.policy.clause(decision.clause).gated:
            return {}
        members = [member for member in self.gates if member.party.id in gate.members]
        if len(members) < gate.threshold:
            raise Refused("the gate of this clause is not in reach of this client", reason="no-gate")
        return {
            member.party.id: self._released(member, request, decision, bundle)
            for member in members[: gate.threshold]
        }

    def _released(
        self, gate: Gate, request: ProvedRequest, decision: Decision, bundle: SealedHeader
    ) -> bytes:
        for _ in range(GATE_ATTEMPTS):
            warrant = make_warrant(self.chain, request, decision, since=gate.seen)
            try:
                return gate.release(warrant, bundle)
            except Refused as refusal:
                if refusal.reason != "behind":  # somebody else has shown it a newer log meanwhile
                    raise
        raise Refused("the gate is asked faster than it can answer", reason="behind")

    # What it takes from chain and blob stores.

    def bundle(self, record: RecordRow) -> SealedHeader:
        """The sealed documents of a record, from the blob stores, checked against its row."""
        bundle = load_bundle(record, self.chain.id, lambda hash: self._blob(record, hash))
        policy = self._policies.get(record.policy)
        return bundle if policy is None else evolve(bundle, dealing=evolve(bundle.dealing, policy=policy))

    def _blob(self, record: RecordRow, hash: bytes) -> bytes:
        """A document or share of a record. A store that gives something else must not put the blame on a holder."""
        data = self.chain.blobs.get(record.object, hash, limit=BLOB_LIMIT)
        if hashlib.sha256(data).digest() != hash:
            raise BlobDamaged(f"the blob stores gave another blob for {hash.hex()[:12]}…")
        return data

    def _proved(self, id: bytes) -> tuple[ProvedRequest, RecordRow]:
        """A request and its record, from proofs under the trust of this client."""
        entry = self._request(id, self._request_row(id)).entry
        request = proved_request(self.chain.prove(entry), trust=self.trust)
        if request.id != id:
            raise VerificationError("the chain shows another request than the one that is meant")
        asker = request.asker
        key_proof = self.chain.prove_state(Keys.signing, (asker.party, asker.key))
        check_asker(request, key_proof, trust=self.trust)
        record_proof = self.chain.prove_state(AccessContract.records, request.message.record)
        record, _ = proved_record(record_proof, request.message.record, trust=self.trust)
        if record.erased is not None:
            raise Erased("the record is erased", when=record.erased, by=record.erased_by[0])
        return request, record
