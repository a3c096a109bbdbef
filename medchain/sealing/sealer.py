"""Sealing: parts in, one stream of ciphertext and the bundle out."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import field, frozen

from medchain.encoding import encode
from medchain.errors import SealingError
from medchain.keys import Party, recipients
from medchain.policy import BoundPolicy
from medchain.sealing.binding import check_context
from medchain.sealing.dealing import commitment_root, deal_shares
from medchain.sealing.documents import (
    MAX_PARTS,
    Deal,
    Dealing,
    Envelope,
    Header,
    PartInfo,
    SealedHeader,
    check_media_type,
    envelope_info,
)
from medchain.sealing.layout import Seat, layout_of
from medchain.sealing.limits import check_sizes
from medchain.sealing.schedule import KEY_SIZE, extract, part_hash, segment_keys
from medchain.sealing.segments import Sealing, seal_part

__all__ = ["BINARY", "MANIFEST", "Part", "deal", "seal_to"]

BINARY = "application/octet-stream"
MANIFEST = "application/vnd.medchain.manifest"
"""Media type of part 0."""

_MAX_LABEL = 255


def _check_data(instance: Any, attribute: Any, value: Any) -> None:
    if not isinstance(value, Iterable) or isinstance(value, str):
        raise TypeError(f"a part is bytes or chunks of bytes, not {type(value).__name__}")


def _check_label(instance: Any, attribute: Any, value: Any) -> None:
    if not isinstance(value, str):
        raise TypeError(f"a label is text, not {type(value).__name__}")
    if len(value.encode()) > _MAX_LABEL:
        raise ValueError(f"a label has at most {_MAX_LABEL} bytes of UTF-8")


@frozen
class Part:
    """Something to seal under a key of its own.

    Attributes:
        data: bytes, or any iterable of byte chunks, which is read once.
        media_type: what it is, as 1 to 127 printable ASCII characters. The header shows it to everybody.
        label: a name for who opens it, at most 255 bytes of UTF-8; it stands in the encrypted manifest.
    """

    data: bytes | Iterable[bytes] = field(repr=False, validator=_check_data)
    media_type: str = field(default=BINARY, validator=check_media_type)
    label: str = field(default="", repr=False, validator=_check_label)


def seal_to(
    parts: Sequence[Part],
    bound: BoundPolicy,
    *,
    context: bytes = b"",
    chain: bytes | None = None,
    write: Callable[[bytes, Iterable[bytes]], bytes | None],
) -> SealedHeader:
    """Seal parts under a policy, streaming the ciphertext of all of them as one blob.

    Args:
        parts: at least one. Their order is their number, from 1 on.
        bound: the policy, with the parties of everybody in its trees and its gate.
        context: off chain, what the object belongs to; whoever approves and opens must say the same.
        chain: the id of the chain that it is for, 32 bytes; then there is no context.
        write: called once with the object id and the chunks, all of which it must take; gives the hash under
            which the blob lies (`BlobStore.put` does), or None.

    Returns:
        The bundle: header, dealing and envelopes. The part keys are forgotten.

    Raises:
        TypeError: something else than parts, a policy that is not bound, or a context that is no bytes.
        ValueError: no parts or too many, a party whose keys are not known, chain and context together, or more
            shares than anybody could read: 64 bytes for each part (and the manifest) and position, at most 63 MiB
            for one holder under one clause and 192 MiB in all.
        SealingError: a party's key cannot be sealed to, or `write` stopped early.
    """
    check_context(context)
    _check_types(parts, bound)
    if not 1 <= len(parts) < MAX_PARTS:
        raise ValueError(f"an object has 1 to {MAX_PARTS - 1} parts, not {len(parts)}")
    if chain is not None and (context or len(chain) != 32):
        raise ValueError("a chain id has 32 bytes and leaves no room for a context")
    _check_parties(bound)
    check_sizes(bound, len(parts) + 1)
    all_parts = [_manifest(parts), *parts]
    object_id = secrets.token_bytes(32)
    keys = {index: secrets.token_bytes(KEY_SIZE) for index in range(len(all_parts))}
    infos: list[PartInfo] = []
    payload = write(object_id, _ciphertext(object_id, all_parts, keys, infos))
    if len(infos) != len(all_parts):
        raise SealingError("the ciphertext was not written to its end")
    header = Header(object_id, chain, payload, tuple(infos))
    dealing, envelopes = deal(header, keys, bound, None if chain is not None else context)
    return SealedHeader(header, dealing, envelopes)


def deal(
    header: Header, keys: Mapping[int, bytes], bound: BoundPolicy, context: bytes | None
) -> tuple[Dealing, tuple[Envelope, ...]]:
    """Share the keys of all parts under a policy: the dealing, and the envelopes in its order."""
    clauses, envelopes = [], []
    for clause in bound.clauses:
        layout, deals = layout_of(bound, clause.name), []
        for seat, blocks in deal_shares(header, bound.hash, layout, keys).items():
            party = bound.parties[seat.holder]
            envelope = _envelope(header, context, bound.hash, clause.name, seat, blocks, party)
            root = commitment_root(header, bound.hash, clause.name, seat, blocks)
            deals.append(Deal(seat.holder, seat.gate, root, envelope.hash))
            envelopes.append(envelope)
        clauses.append(tuple(deals))
    dealing = Dealing(header.hash, bound, tuple(clauses))
    return dealing, tuple(envelopes)


def _envelope(
    header: Header,
    context: bytes | None,
    policy_hash: bytes,
    clause: str,
    seat: Seat,
    blocks: bytes,
    party: Party,
) -> Envelope:
    info = envelope_info(header, context, policy_hash, clause, seat)
    return Envelope(party.recipient_id, recipients.seal(party.recipient_key, blocks, info))


def _ciphertext(
    object_id: bytes, parts: Sequence[Part], keys: Mapping[int, bytes], infos: list[PartInfo]
) -> Iterator[bytes]:
    """The ciphertext of all parts; what the header says of each goes to `infos` as soon as it has passed."""
    for index, part in enumerate(parts):
        associated = part_hash(object_id, index, part.media_type)
        key, commitment = segment_keys(extract(object_id, keys[index]), associated)
        for piece in seal_part(key, associated, part.data):
            if isinstance(piece, Sealing):
                infos.append(PartInfo(part.media_type, piece.length, piece.segments, commitment, piece.root))
            else:
                yield piece


def _manifest(parts: Sequence[Part]) -> Part:
    return Part(encode([part.label for part in parts]), MANIFEST)


def _check_types(parts: Sequence[Part], bound: BoundPolicy) -> None:
    """Tell the usual mix-ups before anything is written."""
    for part in parts:
        if not isinstance(part, Part):
            raise TypeError(
                f"what is sealed is bytes or a list of Part, not of {type(part).__name__}: Part(data)"
            )
    if not isinstance(bound, BoundPolicy):
        raise TypeError(
            f"a {type(bound).__name__} cannot be sealed under: bind the policy first, policy.bind(…)"
        )


def _check_parties(bound: BoundPolicy) -> None:
    """Everybody who gets an envelope must be known with keys before anything is written."""
    for clause in bound.clauses:
        for seat in layout_of(bound, clause.name).seats:
            if seat.holder not in bound.parties:
                raise ValueError(
                    f"the keys of {bound.name(seat.holder)} are not known: name the parties by BoundPolicy.named"
                )
