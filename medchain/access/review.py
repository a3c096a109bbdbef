"""Review: what a device finds out about a draft with nothing but its own trust, before a person says yes.

All proofs hold under one checkpoint that is no smaller than any that the device has seen; the body does what the text
says and nothing else; whatever the device adds (a re-sealed share, a nonce and a key) it makes itself, from what was
proved. Nothing here needs a wallet until `Review.sign`.
"""

from __future__ import annotations

import hashlib
import html
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from attrs import evolve, field, frozen

from medchain.access import wording
from medchain.access.contract import EXPIRY_LIMIT, AccessContract
from medchain.access.draft import OPEN_FIELDS, Draft
from medchain.access.evidence import Examination
from medchain.access.messages import AddRecord, Approve, Decline, RequestAccess
from medchain.access.proved import ProvedRequest, bind_request, make_share
from medchain.access.rows import ApprovalRow, RecordRow, State
from medchain.access.rules import check_gate, check_policy, within
from medchain.errors import ContractError, EncodingError, PolicyError, VerificationError
from medchain.keys.wallet import Wallet
from medchain.ledger.checkpoint import Checkpoint
from medchain.ledger.contract import wire_name
from medchain.ledger.draft import Attachment, Signed, signer_ref
from medchain.ledger.governance.rows import GATE, GateRow, GovernanceTables
from medchain.ledger.keys import PartyRow
from medchain.ledger.system import WINDOW, LedgerTables, ReplayRow
from medchain.ledger.transaction import Body
from medchain.ledger.trust import Trust
from medchain.ledger.verify import AsOf
from medchain.merkle import Head
from medchain.policy import BoundClause
from medchain.records import from_value
from medchain.sealing import SealedHeader, open_envelope

__all__ = ["Answered", "Review", "review"]

Filled = tuple[dict[str, Any], tuple[Attachment, ...]]
"""The fields that the device adds to a message, and what has to be stored before it goes in."""


@frozen(repr=False)
class Review:
    """A draft that has passed every check on this device.

    Attributes:
        action: name of the message: ``approve``, ``decline``, ``request-access``, ``add-record``.
        text: what signing does, in plain words.
        seen: the checkpoint under which everything was proved. Pin it: it is the next ``since=``.
        as_of: height and time of the chain then, for the device to compare with its own clock.
        body: what will be signed, with null for what this device adds.
        request: the request that is answered, else None.
    """

    action: str
    text: str
    seen: Checkpoint
    as_of: AsOf
    body: Body
    request: ProvedRequest | None
    _fill: Callable[[Wallet], Filled] = field(eq=False)

    def sign(self, *wallets: Wallet, onto: Signed | None = None) -> Signed:
        """Do on the device what the text says, and sign.

        Args:
            wallets: of signers, any number of them; the first one fills in what the message lacks.
            onto: what others have signed already of this draft.

        Returns:
            For `Chain.submit`, or for the signers that are still ``missing``.

        Raises:
            ValueError: a wallet is not among the signers with the key that it has; `onto` is another transaction.
            SealingError: the own envelope is wrong, with a complaint as ``evidence``; nothing is signed then.
        """
        for wallet in wallets:
            if signer_ref(wallet.party) not in self.body.signers:
                raise ValueError(f"{wallet.party} with this key is not a signer of this draft")
        if not wallets:
            raise ValueError("name the wallet that signs")
        filled = [self._fill(wallet) for wallet in wallets]
        fields, attachments = filled[0]
        name, given = self.body.message
        body = evolve(self.body, message=[name, given | fields])
        if onto is None:
            onto = Signed.start(body, attachments)
        elif onto.body != bytes(body):
            raise ValueError("what others have signed is another transaction than this draft")
        return onto.sign(*wallets)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"<Review of {self.action}, {self.as_of}>"

    def _repr_html_(self) -> str:
        title, _, rest = self.text.partition("\n")
        body = f'<pre style="white-space: pre-wrap">{html.escape(rest.strip())}</pre>'
        return f"<b>{html.escape(title)}</b>{body}"


@frozen
class Answered:
    """What was proved about a request that is to be answered."""

    request: ProvedRequest
    asker: PartyRow
    record: RecordRow
    bundle: SealedHeader
    clause: BoundClause
    approvals: Mapping[bytes, ApprovalRow]


def review(draft: Draft, trust: Trust, since: Head | None) -> Review:
    """Check a draft: see `Draft.review`."""
    examination = Examination(draft.replay, trust=trust, since=since, growth=draft.growth)
    _check_body(draft.body, examination)
    _check_seq(draft, examination)
    bundle = draft.bundle
    gate = _gate(draft, examination)
    named = evolve(bundle.policy, names=wording.names_for(draft.body, trust, bundle.policy, gate))
    # Evolving the dealing keeps its bytes: names are local to this device.
    bundle = evolve(bundle, dealing=evolve(bundle.dealing, policy=named))
    name = draft.body.message_name
    try:
        return _REVIEWS[name](evolve(draft, bundle=bundle), examination)
    except (ContractError, PolicyError) as error:
        raise VerificationError(f"the chain would refuse this: {error}") from error


def _check_body(body: Body, examination: Examination) -> None:
    """The body is for this chain, the contract that this library knows, and a message that there are drafts of."""
    if body.chain != examination.trust.chain:
        raise VerificationError("the draft is for another chain")
    if (body.contract, body.version) != (AccessContract.name, AccessContract.version):
        raise VerificationError("the draft is for another contract, or another version of it")
    if body.message_name not in OPEN_FIELDS:
        raise VerificationError(f"there are no drafts of {body.message_name[:32]!r}")
    if body.not_after is not None and body.not_after < examination.as_of.time:
        raise VerificationError("the draft has expired")


def _check_seq(draft: Draft, examination: Examination) -> None:
    """The sequence number is one that the chain takes now, and not one far ahead that would be kept for later."""
    signer = draft.body.signers[0]
    row = examination.row(draft.replay, LedgerTables.replay, (signer.party, signer.key)) or ReplayRow(0, b"")
    ahead = draft.body.seq - row.high
    used = ahead <= -WINDOW or (ahead <= 0 and int.from_bytes(row.window, "big") >> -ahead & 1)
    if used or ahead > WINDOW:
        raise VerificationError("the draft's sequence number is used, too old or too far ahead")


def _gate(draft: Draft, examination: Examination) -> GateRow | None:
    """The gate of the chain as the state has it, None if it has none."""
    return examination.row(draft.gate, GovernanceTables.gate, GATE)


def _message(draft: Draft, kind: type[Any], **filled: Any) -> Any:
    """The draft's message, with these values for what is open in it."""
    name, fields = draft.body.message
    if type(fields) is not dict or any(fields.get(each, b"") is not None for each in OPEN_FIELDS[name]):
        raise EncodingError("what the device fills in is null in a draft")
    return from_value(kind, fields | filled)


def _only_signer(draft: Draft) -> bytes:
    if len(draft.signers) != 1:
        raise VerificationError("this message has one signer")
    return draft.signers[0].party


# Answers.


def _review_approve(draft: Draft, examination: Examination) -> Review:
    message: Approve = _message(draft, Approve, share=bytes(32))
    found = _answered(draft, examination, message.request)
    if message.policy != found.record.policy:
        raise VerificationError("the draft is under another policy than the record")
    if message.parts is not None and not within(message.parts, found.request.message.parts):
        raise VerificationError("the draft is for parts that were not asked for")
    # Refuses here what could not be sealed again: parts that the object does not have.
    bind_request(examination.trust.chain, found.request.id, found.request.message, found.bundle)
    if message.parts is not None and message.parts[-1] >= len(found.bundle.header.parts):
        raise VerificationError("the draft is for parts that the object does not have")

    def fill(wallet: Wallet) -> Filled:
        share = make_share(found.bundle, found.request, wallet, message.parts)
        return {"share": hashlib.sha256(share).digest()}, (Attachment(found.record.object, share),)

    text = wording.approval(found, message.parts, _words(draft, examination))
    return _passed(draft, examination, text, fill, found.request)


def _review_decline(draft: Draft, examination: Examination) -> Review:
    message: Decline = _message(draft, Decline)
    found = _answered(draft, examination, message.request)
    text = wording.refusal(found, _words(draft, examination))
    return _passed(draft, examination, text, _nothing, found.request)


def _answered(draft: Draft, examination: Examination, id: bytes) -> Answered:
    """Everything about a request that this draft's signer may still answer."""
    if draft.record is None or draft.request is None or draft.asker is None:
        raise EncodingError("an answer comes with proofs of the record, the request and the asker")
    signer = _only_signer(draft)
    request, row = examination.request(draft.request, id)
    asker = examination.asker(draft.asker, request)
    message = request.message
    record = examination.record(draft.record, message.record, draft.bundle)
    clause = draft.bundle.policy.clause(message.clause)
    approvals = examination.approvals(draft.request, id, clause.tree.holders)
    if record.erased is not None or row.state != State.OPEN:
        raise VerificationError(
            f"the request cannot be answered: {'erased' if record.erased is not None else row.state}"
        )
    if message.policy != record.policy:
        raise VerificationError("the record has another policy than the request was made under")
    if message.expiry < examination.as_of.time:
        raise VerificationError("the request has expired")
    if signer not in clause.tree.holders or (clause.separate_asker and signer == request.asker.party):
        raise VerificationError("the request is not for this signer to answer")
    if signer in approvals:
        raise VerificationError("this signer has approved already")
    return Answered(request, asker, record, draft.bundle, clause, approvals)


# Requests and records.


def _review_request(draft: Draft, examination: Examination) -> Review:
    message: RequestAccess = _message(draft, RequestAccess, nonce=bytes(32), recipient_key=bytes(1216))
    if draft.record is None or draft.request is not None or draft.asker is not None:
        raise EncodingError("a draft of a request comes with proofs of the record, and no others")
    signer = _only_signer(draft)
    record = examination.record(draft.record, message.record, draft.bundle)
    clause = draft.bundle.policy.clause(message.clause)
    if record.erased is not None:
        raise VerificationError("the record is erased")
    if message.policy != record.policy:
        raise VerificationError("the draft is under another policy than the record")
    if message.purpose not in clause.purposes:
        raise VerificationError("the clause does not allow this purpose")
    if not examination.as_of.time < message.expiry <= examination.as_of.time + EXPIRY_LIMIT:
        raise VerificationError("the request would expire at once, or far too late")
    if message.parts is not None and message.parts[-1] >= len(draft.bundle.header.parts):
        raise VerificationError("the draft is for parts that the object does not have")

    def fill(wallet: Wallet) -> Filled:
        nonce = secrets.token_bytes(32)
        return {"nonce": nonce, "recipient_key": wallet.request_key(nonce).public}, ()

    text = wording.request(message, signer, draft.bundle, _words(draft, examination))
    return _passed(draft, examination, text, fill)


def _review_record(draft: Draft, examination: Examination) -> Review:
    message: AddRecord = _message(draft, AddRecord)
    if draft.record is not None or draft.request is not None or draft.asker is not None:
        raise EncodingError("a draft of a new record comes with no proofs of a record or request")
    bundle = draft.bundle
    said = (message.object, message.header, message.dealing, message.policy)
    if said != (bundle.object_id, bundle.header_hash, bundle.dealing_hash, bytes(bundle.policy)):
        raise VerificationError("the draft names other documents than it comes with")
    if bundle.header.chain != examination.trust.chain:
        raise VerificationError("the object is sealed for another chain")
    if len(draft.signers) > 2 or draft.signers[-1].party != message.subject:
        raise VerificationError("a record is signed by its author and then its subject")
    check_policy(bundle.policy, message.subject)
    check_gate(bundle.policy, _gate(draft, examination))

    def fill(wallet: Wallet) -> Filled:
        """Nothing is added; but whoever will hold shares makes sure of them first."""
        for clause in bundle.policy.clauses:
            for seat in bundle.dealing.layout(clause.name).seats:
                if seat.holder == wallet.party.id:
                    open_envelope(bundle, clause.name, wallet, gate=seat.gate)
        return {}, ()

    text = wording.record(message, draft.signers[0].party, bundle, _words(draft, examination))
    return _passed(draft, examination, text, fill)


# What reviews have in common.


def _nothing(wallet: Wallet) -> Filled:
    return {}, ()


def _words(draft: Draft, examination: Examination) -> wording.Words:
    return wording.Words(draft.bundle.policy, examination.trust, examination.as_of, draft.body)


def _passed(
    draft: Draft,
    examination: Examination,
    text: str,
    fill: Callable[[Wallet], Filled],
    request: ProvedRequest | None = None,
) -> Review:
    return Review(
        action=draft.body.message_name,
        text=text,
        seen=examination.checkpoint,
        as_of=examination.as_of,
        body=draft.body,
        request=request,
        fill=fill,
    )


_REVIEWS: Mapping[str, Callable[[Draft, Examination], Review]] = {
    wire_name(AddRecord): _review_record,
    wire_name(RequestAccess): _review_request,
    wire_name(Approve): _review_approve,
    wire_name(Decline): _review_decline,
}
