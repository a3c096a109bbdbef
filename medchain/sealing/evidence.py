"""Proof that somebody cheated, and its judgement by a third party.

Evidence is confidential: against an approver it discloses the seed of one request's recipient key, against a dealer
the shares that open the parts in question.
"""

from __future__ import annotations

import hashlib

from attrs import field, frozen

from medchain.encoding import decode
from medchain.errors import SealingError, VerificationError
from medchain.keys import Party, RecipientKey, signing
from medchain.records import decode_record, encode_record, from_value, length, short
from medchain.sealing.binding import Binding, approval_message, asker_key_hash, check_parts
from medchain.sealing.documents import Dealing, Header
from medchain.sealing.layout import Seat
from medchain.sealing.openings import Opened, check_opened, find_fault, recover, unseal

__all__ = ["BadDealing", "BadShare", "Conviction", "Disclosed", "check_evidence"]

_LIMIT = 256 << 20
_VALUES = 1 << 22
"""Most values of evidence. Disclosed shares name their parts one by one: 3.1 million at most, by the limit of 192 MiB
for all shares of an object (see `medchain.sealing.limits`), beside a header of 0.7 million."""


@frozen
class BadShare:
    """That a re-sealed share is not what its approver's envelope holds. Discloses the request's one-use key."""

    header: Header = field(repr=False)
    dealing: Dealing = field(repr=False)
    binding: Binding
    holder: bytes = field(validator=length(32), repr=short)
    gate: bool
    share: bytes = field(repr=False)
    """The bytes of the `ResealedShare`."""
    seed: bytes = field(repr=False, validator=length(32))
    """Seed of the request's one-use recipient key."""
    signature: bytes | None = field(default=None, repr=False, validator=length(64))
    """The approver's signature off chain. On a chain None: there its approval names the hash of `share`."""

    def __bytes__(self) -> bytes:
        return encode_record(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> BadShare:
        """Read what ``bytes(evidence)`` wrote. EncodingError if it is anything else."""
        return decode_record(cls, data, limit=_LIMIT, values=_VALUES)


@frozen
class Disclosed:
    """One seat's opened shares, as evidence discloses them."""

    holder: bytes = field(validator=length(32), repr=short)
    gate: bool
    parts: tuple[int, ...] = field(validator=check_parts)
    plain: bytes = field(repr=False)


@frozen
class BadDealing:
    """That shares which match the dealing's commitments do not fit together. Discloses a quorum's shares."""

    header: Header = field(repr=False)
    dealing: Dealing = field(repr=False)
    clause: str
    disclosed: tuple[Disclosed, ...] = field(repr=lambda disclosed: f"<{len(disclosed)}>")

    def __bytes__(self) -> bytes:
        return encode_record(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> BadDealing:
        """Read what ``bytes(evidence)`` wrote. EncodingError if it is anything else."""
        return decode_record(cls, data, limit=_LIMIT, values=_VALUES)


@frozen
class Conviction:
    """What evidence has proved.

    Attributes:
        approver: id of the party whose share was wrong; None if it is the dealer who is convicted.
        dealing: hash of the dealing. Whoever signed for it is the dealer.
        share: hash of the wrong share. Without a signature in the evidence, what the approver's logged approval
            must name; else None.
        reason: in words.
    """

    object: bytes = field(validator=length(32), repr=short)
    dealing: bytes = field(validator=length(32), repr=short)
    clause: str
    approver: bytes | None
    share: bytes | None
    reason: str


def check_evidence(evidence: BadShare | BadDealing | bytes, *, signer: Party | None = None) -> Conviction:
    """Judge evidence, trusting nobody who brings it.

    Args:
        evidence: or its bytes.
        signer: the accused approver with its keys, for evidence with a signature.

    Returns:
        Who is convicted of what. Evidence without a signature convicts the approver only together with its logged
        approval, which must name `Conviction.share` and the dealing.

    Raises:
        EncodingError: no evidence at all.
        VerificationError: it proves nothing: what it shows is in order, or it contradicts itself.
    """
    if isinstance(evidence, bytes):
        evidence = _parse(evidence)
    if isinstance(evidence, BadShare):
        return _judge_share(evidence, signer)
    return _judge_dealing(evidence)


def _parse(data: bytes) -> BadShare | BadDealing:
    value = decode(data, limit=_LIMIT, values=_VALUES)
    if isinstance(value, dict) and "seed" in value:
        return from_value(BadShare, value)
    return from_value(BadDealing, value)


def _judge_share(evidence: BadShare, signer: Party | None) -> Conviction:
    header, dealing, binding = evidence.header, evidence.dealing, evidence.binding
    seat = _seat(header, dealing, binding.clause, evidence.holder, evidence.gate)
    if (binding.object, binding.chain, binding.policy) != (header.object, header.chain, dealing.policy.hash):
        raise VerificationError("the request in the evidence is for another object, chain or policy")
    if binding.parts[-1] >= len(header.parts):
        raise VerificationError("the request in the evidence is for parts that there are not")
    key = RecipientKey(evidence.seed)
    if asker_key_hash(key.public) != binding.asker_key:
        raise VerificationError("the disclosed key is not the one of the request")
    dealing_hash = dealing.hash
    if evidence.signature is not None:
        if signer is None or signer.id != evidence.holder:
            raise VerificationError("the accused approver must be given as `signer`")
        message = approval_message(binding, dealing_hash, evidence.holder, evidence.gate, evidence.share)
        signing.verify(signer.signing_key, message, evidence.signature)
    try:
        unseal(header, dealing, binding, seat, evidence.share, key.decrypt)
    except SealingError as error:
        share = hashlib.sha256(evidence.share).digest() if evidence.signature is None else None
        return Conviction(header.object, dealing_hash, binding.clause, evidence.holder, share, str(error))
    raise VerificationError("the share is in order: the evidence proves nothing")


def _judge_dealing(evidence: BadDealing) -> Conviction:
    header, dealing, clause = evidence.header, evidence.dealing, evidence.clause
    opened = []
    for each in evidence.disclosed:
        seat = _seat(header, dealing, clause, each.holder, each.gate)
        if each.parts[-1] >= len(header.parts):
            raise VerificationError("the disclosed shares are for parts that there are not")
        one = Opened(seat, each.parts, each.plain)
        try:
            check_opened(header, dealing, clause, one)
        except SealingError as error:
            raise VerificationError(f"a disclosed share proves nothing: {error}") from None
        opened.append(one)
    keys, _ = recover(dealing, clause, opened, range(len(header.parts)))
    fault = find_fault(header, dealing, clause, opened, keys) if keys else None
    if fault is None:
        raise VerificationError(
            "the dealing is consistent with all that is disclosed: the evidence proves nothing"
        )
    return Conviction(header.object, dealing.hash, clause, None, None, fault)


def _seat(header: Header, dealing: Dealing, clause: str, holder: bytes, gate: bool) -> Seat:
    if dealing.header != header.hash:
        raise VerificationError("the dealing in the evidence belongs to another header")
    if clause not in [each.name for each in dealing.policy.clauses]:
        raise VerificationError(f"the policy in the evidence has no clause {clause}")
    seat = dealing.layout(clause).seat(holder, gate=gate)
    if seat is None:
        raise VerificationError("the accused holds no share under this clause")
    return seat


def disclose(opened: Opened) -> Disclosed:
    """Opened shares in the form in which evidence discloses them."""
    return Disclosed(opened.seat.holder, opened.seat.gate, opened.parts, opened.plain)
