"""The four verbs without a ledger: seal, request, approve, open.

What a chain would otherwise say is said by the callers: the context that the object belongs to, whom an approver
means (`to=`), and when (by this machine's clock). Use limits, waiting times, objections and reviews need a ledger:
nobody keeps them here.
"""

from __future__ import annotations

import builtins
import hashlib
import secrets
import time
from collections.abc import Iterable, Sequence
from typing import Protocol

from attrs import evolve, field, frozen

from medchain.encoding import encode
from medchain.errors import EncodingError, InvalidSignature, Refused, SealingError
from medchain.keys import Party, RecipientKey, recipients, signing
from medchain.policy import BoundPolicy, Role
from medchain.records import decode_record, encode_record, length, short, to_value
from medchain.sealing.binding import Binding, approval_message, asker_key_hash, check_context, check_parts
from medchain.sealing.collecting import collect
from medchain.sealing.documents import SealedHeader
from medchain.sealing.evidence import BadShare
from medchain.sealing.holding import open_envelope, reseal
from medchain.sealing.limits import BUNDLE_LIMIT
from medchain.sealing.opening import OpenedPart, Read, open_segments
from medchain.sealing.sealer import Part, seal_to

__all__ = [
    "Actor",
    "Approval",
    "Sealed",
    "ShareRequest",
    "approve",
    "open",
    "open_keys",
    "open_parts",
    "request",
    "seal",
]

MAGIC = b"medchain sealed 1\n"
TRAILER = 8
"""Bytes at the end of a file that give the length of the bundle before them."""

_REQUEST_LABEL = b"medchain/share-request/v1"
_REQUEST_LIMIT = 2 << 20
_APPROVAL_LIMIT = 65 << 20


class Actor(Protocol):
    """Whoever can sign and decrypt as a party: a wallet, or keys in an HSM or a KMS."""

    @property
    def party(self) -> Party: ...

    def sign(self, message: bytes) -> bytes: ...

    def decrypt(self, sealed: bytes, info: bytes) -> bytes: ...

    def request_key(self, nonce: bytes) -> RecipientKey: ...


@frozen(repr=False)
class Sealed:
    """A sealed object in memory: ciphertext and bundle. ``bytes(sealed)`` is what `seal_file` writes."""

    header: SealedHeader
    payload: bytes

    def read(self, offset: int, length: int) -> memoryview:
        """A range of the ciphertext."""
        return memoryview(self.payload)[offset : offset + length]

    def __bytes__(self) -> bytes:
        bundle = bytes(self.header)
        return b"".join([MAGIC, self.payload, bundle, len(bundle).to_bytes(TRAILER, "big")])

    @classmethod
    def from_bytes(cls, data: bytes) -> Sealed:
        """Read what ``bytes(sealed)`` or `seal_file` wrote; the ciphertext is checked when it is opened.

        Raises:
            EncodingError: it is anything else.
            SealingError: its documents do not belong together.
        """
        begin, end = bundle_span(data[: len(MAGIC)], data[-TRAILER:], len(data))
        header = SealedHeader.from_bytes(data[begin:end])
        check_size(header, begin)
        return cls(header, bytes(data[len(MAGIC) : begin]))

    def __repr__(self) -> str:
        return repr(self.header).replace("<SealedHeader", "<Sealed", 1)


def bundle_span(head: bytes, tail: bytes, total: int) -> tuple[int, int]:
    """Where the bundle stands in a sealed file, by its first and last bytes and its size; or EncodingError."""
    if head != MAGIC:
        raise EncodingError("not a sealed object of this format")
    end = total - TRAILER
    begin = end - int.from_bytes(tail, "big")
    if not len(MAGIC) <= begin < end:
        raise EncodingError("the sealed object is cut short or altered at its end")
    if end - begin > BUNDLE_LIMIT:
        raise EncodingError(f"a bundle has at most {BUNDLE_LIMIT} bytes, not {end - begin}")
    return begin, end


def check_size(header: SealedHeader, begin: int) -> None:
    """Refuse a file whose ciphertext, which ends where the bundle begins, is not as long as the header says."""
    if begin - len(MAGIC) != header.header.offsets[-1]:
        raise SealingError("the ciphertext is not as long as the header says")


@frozen
class ShareRequest:
    """An asker's signed wish to open some parts under one clause. Made by `request`."""

    object: bytes = field(validator=length(32), repr=short)
    dealing: bytes = field(validator=length(32), repr=short)
    """Hash of the dealing: asker and approvers have the same bundle before them."""
    policy: bytes = field(validator=length(32), repr=short)
    clause: str
    parts: tuple[int, ...] = field(validator=check_parts)
    purpose: str
    expires: int | None
    asker: bytes = field(validator=length(32), repr=short)
    nonce: bytes = field(validator=length(32), repr=short)
    recipient_key: bytes = field(repr=False, validator=length(recipients.PUBLIC_KEY_SIZE))
    """One-use key of this request, 1,216 bytes."""
    signature: bytes = field(repr=False, validator=length(signing.SIGNATURE_SIZE))

    def message(self, context: bytes) -> bytes:
        """What the asker signs: the context and every other field."""
        value = to_value(self)
        del value["signature"]
        return _REQUEST_LABEL + encode([context, value])

    def binding(self, context: bytes) -> Binding:
        """What shares for this request are bound to."""
        return Binding(
            chain=None,
            context=context,
            request=hashlib.sha256(self.message(context)).digest(),
            object=self.object,
            policy=self.policy,
            clause=self.clause,
            parts=self.parts,
            asker_key=asker_key_hash(self.recipient_key),
            purpose=self.purpose,
            expiry=self.expires,
        )

    def __bytes__(self) -> bytes:
        return encode_record(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> ShareRequest:
        """Read what ``bytes(request)`` wrote. EncodingError if it is anything else; the signature is not checked."""
        return decode_record(cls, data, limit=_REQUEST_LIMIT)


@frozen
class Approval:
    """A holder's shares, sealed again to an asker, and its signature. Made by `approve`."""

    request: bytes = field(validator=length(32), repr=short)
    """Id of the request that it answers."""
    holder: Party
    gate: bool
    """Whether it gives the holder's share of the gate."""
    share: bytes = field(repr=False)
    signature: bytes = field(repr=False, validator=length(signing.SIGNATURE_SIZE))

    def __bytes__(self) -> bytes:
        return encode_record(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> Approval:
        """Read what ``bytes(approval)`` wrote. EncodingError if it is anything else; nothing in it is checked."""
        return decode_record(cls, data, limit=_APPROVAL_LIMIT)


def seal(data: bytes | Sequence[Part], bound: BoundPolicy, *, context: bytes) -> Sealed:
    """Seal data under a policy, in memory.

    Args:
        data: bytes, or a sequence of `Part`, each of which gets a key of its own and so can be opened alone.
        bound: the policy; ``policy.bind(gate=None, …)`` if nobody keeps a log.
        context: what the object belongs to ("acme/17"), not secret and not stored: approving and opening name it.

    Raises:
        TypeError: the data, the policy (bind it first) or the context is of another type.
        ValueError: no parts, a party whose keys are not known, or more shares than `seal_to` allows.
        SealingError: a party's key cannot be sealed to.
    """
    chunks: list[bytes] = []

    def write(object_id: bytes, pieces: Iterable[bytes]) -> None:
        chunks.extend(pieces)

    parts = [Part(data)] if isinstance(data, bytes | bytearray | memoryview | str) else list(data)
    header = seal_to(parts, bound, context=context, write=write)
    return Sealed(header, b"".join(chunks))


def request(
    header: SealedHeader,
    clause: str,
    *,
    purpose: str,
    context: bytes,
    by: Actor,
    parts: Iterable[int] | None = None,
    expires: int | None = None,
) -> ShareRequest:
    """Ask for an object under one of its clauses.

    Args:
        header: the bundle, ``sealed.header``.
        clause: its name.
        purpose: one of the clause's purposes.
        context: the object's context.
        by: the asker, who will open.
        parts: numbers of the parts wanted, from 1; None: all. The manifest always comes along.
        expires: milliseconds since 1970 after which nobody is to approve.

    Raises:
        PolicyError: no such clause.
        TypeError: the context is no bytes.
        ValueError: not a purpose of the clause, or no such part.
    """
    check_context(context)
    bound = header.policy.clause(clause)
    if purpose not in bound.purposes:
        raise ValueError(f"clause {clause} is for {', '.join(bound.purposes)}, not for {purpose}")
    nonce = secrets.token_bytes(32)
    unsigned = ShareRequest(
        object=header.object_id,
        dealing=header.dealing_hash,
        policy=header.policy_hash,
        clause=clause,
        parts=header.header.part_set(parts),
        purpose=purpose,
        expires=expires,
        asker=by.party.id,
        nonce=nonce,
        recipient_key=by.request_key(nonce).public,
        signature=bytes(signing.SIGNATURE_SIZE),
    )
    return evolve(unsigned, signature=by.sign(unsigned.message(context)))


def approve(
    header: SealedHeader,
    ask: ShareRequest,
    *,
    to: Party,
    context: bytes,
    by: Actor,
    parts: Iterable[int] | None = None,
    gate: bool | None = None,
) -> Approval:
    """Give the asker the holder's own shares: decrypt partially, and sign for it.

    Args:
        header: the bundle; the payload is not needed.
        ask: the request.
        to: the asker, as the approver knows it: its keys check the request, nothing in the request does.
        context: the object's context.
        by: the holder.
        parts: which of the parts asked for are approved; None: all.
        gate: True for the share in the gate of a holder who is in the tree as well.

    Raises:
        InvalidSignature: the request is not signed by `to`, or was altered.
        Refused: the policy does not let this asker have it; ``reason`` is asker, purpose, period, expired or
            separate-asker.
        SealingError: the request is about something else, `by` holds nothing here, or its envelope is wrong.
        TypeError: the context is no bytes.
        ValueError: parts that were not asked for.
    """
    check_context(context)
    if ask.asker != to.id:
        raise SealingError("the request is by another asker than the one meant")
    signing.verify(to.signing_key, ask.message(context), ask.signature)
    if (ask.object, ask.policy, ask.dealing) != (header.object_id, header.policy_hash, header.dealing_hash):
        raise SealingError("the request is about another object, policy or dealing")
    held = open_envelope(header, ask.clause, by, context=context, gate=gate)
    _check_rules(header.policy, ask, by.party, now=time.time_ns() // 1_000_000)
    binding = ask.binding(context)
    share = reseal(held, binding, parts, ask.recipient_key)
    message = approval_message(binding, header.dealing_hash, by.party.id, held.seat.gate, share)
    return Approval(binding.request, by.party, held.seat.gate, share, by.sign(message))


def open(
    sealed: Sealed, ask: ShareRequest, shares: Iterable[Approval], *, context: bytes, by: Actor
) -> bytes:
    """The data of an object that was sealed from bytes, or of the one part that was asked for.

    Raises:
        Pending: too few shares; ``waiting_for`` says whose could complete a quorum.
        SealingError: something is altered, swapped or foreign; ``culprit`` and ``evidence`` say more where somebody
            is provably to blame.
        InvalidSignature: an approval is not signed by the party that it names.
        RootMismatch: the ciphertext is not that of the header.
        TypeError: the context is no bytes.
        ValueError: several parts were asked for: use `open_parts`.
    """
    if len(ask.parts) != 2:
        raise ValueError(f"{len(ask.parts) - 1} parts were asked for: use open_parts")
    (part,) = open_parts(sealed, ask, shares, context=context, by=by)
    return part.data


def open_parts(
    sealed: Sealed, ask: ShareRequest, shares: Iterable[Approval], *, context: bytes, by: Actor
) -> tuple[OpenedPart, ...]:
    """The parts that were asked for; each decrypts when it is read. Raises as `open`."""
    return open_keys(sealed.header, ask, shares, sealed.read, context=context, by=by)


def open_keys(
    header: SealedHeader,
    ask: ShareRequest,
    shares: Iterable[Approval],
    read: Read,
    *,
    context: bytes,
    by: Actor,
) -> tuple[OpenedPart, ...]:
    """`open_parts` with the ciphertext from anywhere."""
    check_context(context)
    key = by.request_key(ask.nonce)
    if ask.asker != by.party.id or ask.recipient_key != key.public:
        raise SealingError("the request was made by another wallet")
    if ask.dealing != header.dealing_hash:
        raise SealingError("the request is about another dealing than that of the object")
    binding = ask.binding(context)
    sides: tuple[dict[bytes, bytes], dict[bytes, bytes]] = ({}, {})
    signatures: dict[tuple[bytes, bool], bytes] = {}
    for approval in shares:
        _check_approval(header, binding, approval)
        sides[approval.gate][approval.holder.id] = approval.share
        signatures[approval.holder.id, approval.gate] = approval.signature
    try:
        keys = collect(header, binding, sides[False], key.decrypt, gate=sides[True], seed=key.seed)
    except SealingError as error:
        if isinstance(error.evidence, BadShare):
            signature = signatures[error.evidence.holder, error.evidence.gate]
            error.evidence = evolve(error.evidence, signature=signature)
        raise
    return tuple(open_segments(header, keys, read))


def _check_approval(header: SealedHeader, binding: Binding, approval: Approval) -> None:
    """That the approval is for this request and signed by a party whose keys belong to its id."""
    holder, name = approval.holder, header.policy.name(approval.holder.id)
    if header.dealing.layout(binding.clause).seat(holder.id, gate=approval.gate) is None:
        raise SealingError(f"a foreign share: {name} holds none under clause {binding.clause}")
    if approval.request != binding.request:
        raise SealingError(f"the share of {name} answers another request")
    if not holder.is_original and header.policy.parties.get(holder.id) != holder:
        raise SealingError(f"the share of {name} is signed by a key that nothing ties to that party")
    message = approval_message(binding, header.dealing_hash, holder.id, approval.gate, approval.share)
    try:
        signing.verify(holder.signing_key, message, approval.signature)
    except InvalidSignature:
        raise InvalidSignature(f"the approval of {name} is altered or not signed by it") from None


def _check_rules(policy: BoundPolicy, ask: ShareRequest, holder: Party, *, now: int) -> None:
    """What of a clause can be kept without a ledger."""
    clause = policy.clause(ask.clause)
    rules: dict[str, tuple[bool, str]] = {
        "purpose": (ask.purpose in clause.purposes, f"clause {clause.name} is not for {ask.purpose}"),
        "asker": (_may_ask(clause.askers, ask.asker), f"clause {clause.name} does not let this party ask"),
        "period": (clause.active_at(now), f"clause {clause.name} is out of its period"),
        "expired": (ask.expires is None or now <= ask.expires, "the request has expired"),
        "separate-asker": (
            not (clause.separate_asker and holder.id == ask.asker),
            "the asker's own agreement does not count",
        ),
    }
    for reason, (kept, message) in rules.items():
        if not kept:
            raise Refused(message, reason=reason)


def _may_ask(askers: tuple[builtins.bytes | Role, ...] | None, asker: builtins.bytes) -> bool:
    """Whether a party may ask. Without a chain nobody can look a role up: there it is left to each approver."""
    return askers is None or asker in askers or any(isinstance(each, Role) for each in askers)
