"""What a holder does: open its envelope, check every share in it, seal the shares again to the asker.

A gate member does the same with its seat in the gate.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable

from attrs import field, frozen

from medchain.errors import SealingError
from medchain.keys import Decrypter, recipients
from medchain.records import decode_record, encode_record, length, short
from medchain.sealing.binding import Binding, asker_key_hash, check_context, check_parts
from medchain.sealing.dealing import commitment_root, leaves, pick
from medchain.sealing.documents import MAX_PARTS, SealedHeader, envelope_info
from medchain.sealing.layout import Seat
from medchain.sealing.limits import BLOCK, DOCUMENT_LIMIT, SEAT_LIMIT
from medchain.sealing.multiproof import siblings

__all__ = ["Complaint", "HeldShares", "ResealedShare", "leaf_indices", "open_envelope", "reseal"]


@frozen
class Complaint:
    """That a holder could not use its envelope. Blames nobody: only the holder has seen what was inside."""

    object: bytes = field(validator=length(32), repr=short)
    dealing: bytes = field(validator=length(32), repr=short)
    """Hash of the dealing."""
    clause: str
    holder: bytes = field(validator=length(32), repr=short)
    gate: bool
    reason: str

    def __bytes__(self) -> bytes:
        return encode_record(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> Complaint:
        """Read what ``bytes(complaint)`` wrote. EncodingError if it is anything else."""
        return decode_record(cls, data, limit=4096)


@frozen
class HeldShares:
    """A holder's own shares of all parts under one clause, checked against the dealing. Secret; hidden in the repr."""

    bundle: SealedHeader = field(repr=False)
    clause: str
    seat: Seat
    blocks: bytes = field(repr=False)


@frozen
class ResealedShare:
    """Shares of some parts, sealed again to an asker's one-use key."""

    parts: tuple[int, ...] = field(validator=check_parts)
    sealed: bytes = field(repr=lambda sealed: f"<{len(sealed)} bytes>")

    def __attrs_post_init__(self) -> None:
        if self.parts[-1] >= MAX_PARTS:
            raise ValueError(f"parts are numbered below {MAX_PARTS}")

    def __bytes__(self) -> bytes:
        return encode_record(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> ResealedShare:
        """Read what ``bytes(share)`` wrote. EncodingError if it is anything else."""
        return decode_record(cls, data, limit=DOCUMENT_LIMIT)


def open_envelope(
    bundle: SealedHeader, clause: str, wallet: Decrypter, *, context: bytes = b"", gate: bool | None = None
) -> HeldShares:
    """Open the wallet's own envelope under a clause and check every share in it against the dealing.

    Args:
        bundle: header, dealing and envelopes.
        clause: its name. PolicyError if there is none.
        wallet: the holder, or the gate member.
        context: the object's context off chain.
        gate: whether the seat in the gate is meant; None: the one in the tree, or in the gate if there is none.

    Raises:
        SealingError: the wallet holds nothing here; or the envelope is wrong, and then ``evidence`` is a
            `Complaint`.
        TypeError: the context is no bytes.
    """
    check_context(context)
    holder = wallet.party.id
    seat = bundle.dealing.layout(clause).seat(holder, gate=gate)
    if seat is None:
        raise SealingError(f"{bundle.policy.name(holder)} holds no share under clause {clause}")
    envelope = bundle.envelope(clause, seat)

    def complaint(reason: str) -> SealingError:
        evidence = Complaint(bundle.object_id, bundle.dealing_hash, clause, holder, seat.gate, reason)
        return SealingError(f"the envelope for {bundle.policy.name(holder)}: {reason}", evidence=evidence)

    if envelope.recipient != wallet.party.recipient_id:
        raise complaint("it is sealed to another recipient key")
    own_context = context if bundle.header.chain is None else None
    info = envelope_info(bundle.header, own_context, bundle.policy_hash, clause, seat)
    try:
        blocks = wallet.decrypt(envelope.sealed, info)
    except SealingError:
        raise complaint(
            "it does not open: altered, or for another context, object, clause or policy"
        ) from None
    if len(blocks) != BLOCK * len(seat.positions) * len(bundle.header.parts):
        raise complaint("it does not hold one share for each part")
    root = commitment_root(bundle.header, bundle.policy_hash, clause, seat, blocks)
    if not hmac.compare_digest(root, bundle.dealing.deal(clause, seat).root):
        raise complaint("its shares are not those that the dealing commits to")
    return HeldShares(bundle, clause, seat, blocks)


def reseal(held: HeldShares, binding: Binding, parts: Iterable[int] | None, recipient_key: bytes) -> bytes:
    """The holder's shares of some parts, with salts and Merkle siblings, sealed to the asker's one-use key.

    Args:
        held: from `open_envelope`.
        binding: what is asked for.
        parts: those of ``binding.parts`` that are approved, None for all; the manifest always is.
        recipient_key: the key in the asker-signed request.

    Returns:
        The bytes of a `ResealedShare`.

    Raises:
        SealingError: the binding is about another object, policy, clause or recipient key, it cannot be sealed
            to, or there are more shares than the asker could read.
        ValueError: parts that were not asked for.
    """
    header, seat = held.bundle.header, held.seat
    check_binding(held.bundle, binding)
    if binding.clause != held.clause:
        raise SealingError(
            f"the request is under clause {binding.clause}, the shares are of clause {held.clause}"
        )
    if binding.asker_key != asker_key_hash(recipient_key):
        raise SealingError("the recipient key is not the one in the request")
    chosen = binding.parts if parts is None else header.part_set(parts)
    if not set(chosen) <= set(binding.parts):
        raise ValueError("parts were approved that were not asked for")
    everything = range(len(header.parts))
    all_leaves = leaves(header, held.bundle.policy_hash, held.clause, seat, everything, held.blocks)
    others = siblings(all_leaves, leaf_indices(seat, chosen))
    plain = pick(seat, everything, chosen, held.blocks) + b"".join(others)
    if len(plain) > SEAT_LIMIT:
        raise SealingError(
            f"these shares take {len(plain)} bytes, at most {SEAT_LIMIT} can be read: approve fewer parts"
        )
    info = binding.with_parts(chosen).info(seat.positions)
    return bytes(ResealedShare(chosen, recipients.seal(recipient_key, plain, info)))


def check_binding(bundle: SealedHeader, binding: Binding) -> None:
    """Refuse a binding that is not about this object under this policy."""
    header = bundle.header
    if binding.object != header.object or binding.chain != header.chain:
        raise SealingError("the request is for another object or another chain")
    if binding.policy != bundle.policy_hash:
        raise SealingError("the request is under another policy than the object")
    if binding.parts[-1] >= len(header.parts):
        raise SealingError(
            f"the request asks for part {binding.parts[-1]}; the last one is {len(header.parts) - 1}"
        )


def leaf_indices(seat: Seat, parts: Iterable[int]) -> list[int]:
    """Where the commitments of these parts stand in the seat's tree."""
    count = len(seat.positions)
    return [part * count + number for part in parts for number in range(count)]
