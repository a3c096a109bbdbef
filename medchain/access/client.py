"""The access client: what an application calls. It acts for wallets in this process; drafts and kits for others."""

from __future__ import annotations

import functools
import hashlib
import secrets
from collections.abc import Callable, Iterable, Sequence

from medchain._opening import system_clock
from medchain.access.adding import check_addable, drop, seal_into, with_parties
from medchain.access.contract import AccessContract
from medchain.access.draft import Drafts
from medchain.access.gate import Gate
from medchain.access.handles import Erasure, Record, Request
from medchain.access.kit import ReleaseKit, release
from medchain.access.messages import (
    AddRecord,
    Approve,
    Complain,
    Decline,
    Erase,
    Judge,
    LiftBlock,
    Oppose,
    Parts,
    RequestAccess,
)
from medchain.access.opening import Opening
from medchain.access.proved import make_share
from medchain.access.purposes import check_purposes
from medchain.access.view import named_id
from medchain.chain import Chain
from medchain.errors import InvalidTransaction, Refused
from medchain.keys.party import Party
from medchain.keys.wallet import Signer, Wallet
from medchain.ledger.checkpoint import Checkpoint
from medchain.ledger.draft import Attachment, Signed
from medchain.ledger.transition import Receipt
from medchain.ledger.trust import Trust
from medchain.merkle import Head
from medchain.policy.bound import BoundPolicy
from medchain.sealing.sealer import Part

__all__ = ["Access"]

EXPIRES_IN = 7 * 86_400_000


class Access(Opening):
    """Records of a chain and everything that happens to them.

    Args:
        chain: open for writing, unless it is only looked at.
        gate: the chain's gate, or members of it, in this process; None: everything works but opening gated clauses.
        trust: whom to believe about the chain: requests and records are taken from proofs under it, not from look-ups.
            By default the chain's own, which is only as good as the process that opened it.
        clock: the time now in ms since the epoch, for the expiry of new requests.
    """

    def __init__(
        self,
        chain: Chain,
        gate: Gate | Iterable[Gate] | None = None,
        *,
        trust: Trust | None = None,
        clock: Callable[[], int] = system_clock,
    ) -> None:
        super().__init__(chain, trust=trust, clock=clock)
        self.gates = (gate,) if isinstance(gate, Gate) else tuple(gate or ())
        for member in self.gates:
            member.attach(self.trust)

    @functools.cached_property
    def draft(self) -> Drafts:
        """The same verbs for wallets that are elsewhere: drafts to be reviewed and signed on a device."""
        return Drafts(self)

    # Records.

    def add(
        self, parts: Sequence[Part], bound: BoundPolicy, *, by: Sequence[Signer], force: bool = False
    ) -> Record:
        """Seal parts under a policy and put them under the chain's control; all of it, or nothing stays.

        Args:
            parts: what is sealed, at least one.
            bound: the policy, bound with the chain's gate and an owner.
            by: author and owner; both sign, the owner last. An owner who is the author stands alone.
            force: take a policy that locks everybody out when a wallet is lost.

        Raises:
            PolicyError: the policy breaks the promise that the owner's key is in every ordinary clause, locks out,
                names another gate or unknown purposes, lets a reviewer judge the own organisation, or somebody in it is
                not registered with these keys.
            Refused: the contract refused; nothing stays behind.
            StorageError: the blob stores cannot take it; nothing is on the chain.

        Warns (UserWarning) where those who agree to an emergency cannot ask for it, see `analyse`.
        """
        bound = with_parties(bound, self.chain)
        check_addable(bound, self.chain, by[-1].party, force=force)
        bundle = seal_into(self.chain, parts, bound)
        message = AddRecord(
            record=secrets.token_bytes(32),
            object=bundle.object_id,
            subject=by[-1].party.id,
            header=bundle.header_hash,
            dealing=bundle.dealing_hash,
            policy=bytes(bound),
        )
        try:
            receipt = self.chain.send(AccessContract, message, by=by)
        except (
            Refused,
            InvalidTransaction,
        ):  # after any other error the record may be on the chain all the same
            drop(self.chain, bundle.object_id)
            raise
        self._policies[bound.hash] = bound
        self._entries[message.record] = receipt.index
        return self.record(message.record)

    def erase(self, record: Record | bytes, *, by: Sequence[Signer]) -> Erasure:
        """Order a record erased, then remove payload, documents and every re-sealed share from the blob stores.

        The order stands on the log before anything is removed. If a store fails then, say it again: an erased record
        is swept again without a second order.

        Raises:
            Refused: those in `by` may not order it.
            StorageError: the order is logged, but the stores could not carry it out.
        """
        id = named_id(record)
        row = self._record_row(id)
        receipt = self.chain.send(AccessContract, Erase(id), by=by)
        removed = self.chain.blobs.erase(row.object)
        return Erasure(id, row.object, tuple(wallet.party.id for wallet in by), removed, receipt)

    def sweep(self, record: Record | bytes) -> int:
        """Remove what is left of a record that is ordered erased, and tell how many blobs that were."""
        row = self._record_row(named_id(record))
        if row.erased is None:
            raise Refused("nobody has ordered this record erased", reason="denied")
        return self.chain.blobs.erase(row.object)

    # Requests and answers.

    def request(
        self,
        record: Record | bytes,
        clause: str,
        *,
        purpose: str,
        by: Wallet,
        parts: Iterable[int] | None = None,
        expires_in: int | None = None,
    ) -> Request:
        """Ask for a record under one clause of its policy.

        Args:
            record: or its id.
            clause: name of the clause.
            purpose: an HL7 PurposeOfUse code that the clause allows.
            by: the asker.
            parts: which parts, numbered from 1; all by default.
            expires_in: ms until nothing is approved or opened any more: 7 days by default, after the waiting time of a
                recovery; never after the clause's own period.

        Raises:
            PolicyError: no such purpose.
            Refused: by the contract; the refusal is logged.
        """
        check_purposes([purpose])
        id = named_id(record)
        row = self._record_row(id)
        policy = self._policy(row.policy)
        nonce = secrets.token_bytes(32)
        message = RequestAccess(
            record=id,
            policy=row.policy,
            clause=clause,
            purpose=purpose,
            parts=None if parts is None else tuple(sorted(set(parts))),
            nonce=nonce,
            recipient_key=by.request_key(nonce).public,
            expiry=self.expiry(policy, clause, expires_in),
        )
        receipt = self.chain.send(AccessContract, message, by=[by])
        self._entries[receipt.id] = receipt.index
        return self._request(receipt.id, self._request_row(receipt.id))

    def expiry(self, policy: BoundPolicy, name: str, expires_in: int | None) -> int:
        """When a new request under the clause called `name` expires: see `request`."""
        expiry = self._clock() + (EXPIRES_IN if expires_in is None else expires_in)
        for clause in policy.clauses:
            if clause.name == name:
                expiry += clause.waiting or 0
                expiry = expiry if clause.not_after is None else min(expiry, clause.not_after)
        return expiry

    def approve(self, request: Request | bytes, *, by: Wallet, parts: Iterable[int] | None = None) -> Receipt:
        """Agree to a request: open the own share, check it, seal it again to the asker, store it, sign.

        The asker's key is taken from the asker-signed request proved under a checkpoint, the record from the proved
        state.

        Args:
            request: or its id.
            by: a holder of the clause.
            parts: fewer than are asked for, numbered from 1; all of them by default.

        Raises:
            Refused: by the contract (``already-approved``, ``closed``, ``late``, …).
            VerificationError: what the chain shows is not proved.
            SealingError: the envelope is wrong; then ``evidence`` is a complaint, and `complain` logs it.
        """
        id = named_id(request)
        proved, record = self._proved(id)
        chosen: Parts = None if parts is None else tuple(sorted(set(parts)))
        clause = self._policy(record.policy).clause(proved.message.clause)
        if by.party.id not in clause.tree.holders:
            raise Refused("the request is not for this party to answer", reason="denied")
        bundle = self.bundle(record)
        share = make_share(bundle, proved, by, chosen)
        message = Approve(id, record.policy, chosen, hashlib.sha256(share).digest())
        body = self.chain.prepare(AccessContract, message, [by.party])
        signed = Signed.start(body, (Attachment(record.object, share),)).sign(by)
        return self.chain.submit(signed).result()

    def decline(self, request: Request | bytes, *, by: Signer) -> Receipt:
        """Say no. When nobody else can make up for it, the request is refused."""
        return self._send(Decline(named_id(request)), by)

    def oppose(self, request: Request | bytes, *, by: Signer) -> Receipt:
        """Stop a recovery before its waiting time is over."""
        return self._send(Oppose(named_id(request)), by)

    def judge(self, request: Request | bytes, *, justified: bool, by: Signer) -> Receipt:
        """Review an emergency decision."""
        return self._send(Judge(named_id(request), justified), by)

    def lift(self, record: Record | bytes, clause: str, asker: Party, *, by: Sequence[Signer]) -> Receipt:
        """Let `asker` ask in emergencies again although reviews of emergencies on this record are overdue.

        Args:
            record: on which the emergencies were, or its id. Blocks because of other records stay.
            clause: an emergency clause of its policy.
            asker: whose blocks are lifted.
            by: a quorum of that clause, without the asker.
        """
        return self.chain.send(AccessContract, LiftBlock(named_id(record), clause, asker.id), by=by)

    def complain(self, record: Record | bytes, clause: str, *, by: Signer) -> Receipt:
        """Log that one's envelope is wrong. It blames nobody by itself."""
        return self._send(Complain(named_id(record), clause), by)

    def _send(self, message: object, wallet: Signer) -> Receipt:
        return self.chain.send(AccessContract, message, by=[wallet])

    # For askers elsewhere.

    def release(self, request: Request | bytes, *, to: Party, since: Checkpoint | Head | None) -> ReleaseKit:
        """Ask the gate, and put together what an asker elsewhere needs to open what was decided.

        Args:
            request: or its id.
            to: the asker.
            since: the largest checkpoint that the asker's device has seen of the log; None if it has seen nothing.

        Raises:
            AccessDenied, VerificationError, StorageError: as `open`.
        """
        return release(self, request, to=to, since=since)

    def __repr__(self) -> str:
        gate = f", {len(self.gates)} gate member{'' if len(self.gates) == 1 else 's'}" if self.gates else ""
        return f"<Access to {self.chain.origin}{gate}>"
