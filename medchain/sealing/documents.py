"""The documents beside the ciphertext: header, dealing, envelopes, and the bundle of all three.

The *header* says what the ciphertext is, the *dealing* who holds which shares of its keys, an *envelope*
brings one holder its shares. The dealing names the header by hash and each envelope too, so the two hashes of
header and dealing fix everything. Hashes are plain SHA-256 of the documents' bytes, which is the name under
which a blob store keeps them.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable, Iterable
from typing import Any

from attrs import field, frozen

from medchain.encoding import Value, encode
from medchain.errors import SealingError
from medchain.keys import recipients
from medchain.policy import BoundPolicy
from medchain.records import decode_record, encode_record, length, short
from medchain.sealing.layout import Layout, Seat, layout_of
from medchain.sealing.limits import BUNDLE_LIMIT, DEALING_LIMIT, DOCUMENT_LIMIT, HEADER_LIMIT
from medchain.sealing.schedule import SEGMENT, part_hash

__all__ = [
    "MAX_PARTS",
    "TAG",
    "Deal",
    "Dealing",
    "Envelope",
    "Header",
    "PartInfo",
    "SealedHeader",
    "check_media_type",
    "envelope_info",
]

MAX_PARTS = 65_536
"""Parts of one object, the manifest included."""
TAG = 16
"""Bytes that a segment's ciphertext is longer than its plaintext."""

_MAX_LENGTH = SEGMENT << 32
"""AES-GCM's bound: 2^32 segments under one key."""
_VERSION = 1
_check_hash = length(32)
_MEDIA_TYPE = re.compile(r"[!-~][ -~]{0,126}", re.ASCII)


def _check_version(instance: Any, attribute: Any, value: int) -> None:
    if value != _VERSION:
        raise ValueError(f"format version {value} where this library reads {_VERSION}")


def check_media_type(instance: Any, attribute: Any, value: str) -> None:
    """An attrs validator: 1 to 127 printable ASCII characters, the first no space."""
    if not isinstance(value, str):
        raise TypeError(f"a media type is text, not {type(value).__name__}")
    if not _MEDIA_TYPE.fullmatch(value):
        raise ValueError("a media type has 1 to 127 printable ASCII characters, the first no space")


@frozen
class PartInfo:
    """What the header says of one part. Lengths are in bytes of plaintext."""

    media_type: str = field(validator=check_media_type)
    length: int
    segments: int
    commitment: bytes = field(validator=_check_hash, repr=short)
    """Commits to the part key: see `medchain.sealing.schedule`."""
    root: bytes = field(validator=_check_hash, repr=short)
    """RFC 9162 root over the ciphertext segments."""

    def __attrs_post_init__(self) -> None:
        if not 0 <= self.length <= _MAX_LENGTH:
            raise ValueError(f"a part has 0 to {_MAX_LENGTH} bytes, not {self.length}")
        if self.segments != max(1, -(-self.length // SEGMENT)):
            raise ValueError(f"{self.length} bytes do not make {self.segments} segments")

    @property
    def size(self) -> int:
        """Bytes of ciphertext."""
        return self.length + self.segments * TAG


@frozen
class Header:
    """What the ciphertext of an object is: part 0 is the manifest, the others are what was sealed.

    Attributes:
        object: the object's id, and the salt of all its keys.
        chain: id of the chain that it is sealed for; None off chain.
        payload: SHA-256 of the ciphertext of all parts, where it lies in blob stores under that name, or None.
        parts: one `PartInfo` each. The ciphertexts follow one another in this order.
    """

    object: bytes = field(validator=length(32), repr=short)
    chain: bytes | None = field(validator=length(32), repr=short)
    payload: bytes | None = field(validator=length(32), repr=short)
    parts: tuple[PartInfo, ...] = field(repr=lambda parts: f"<{len(parts)}>")
    segment: int = SEGMENT
    version: int = field(default=_VERSION, validator=_check_version)

    def __attrs_post_init__(self) -> None:
        if not 2 <= len(self.parts) <= MAX_PARTS:
            raise ValueError(
                f"an object has a manifest and 1 to {MAX_PARTS - 1} parts, not {len(self.parts) - 1}"
            )
        if self.segment != SEGMENT:
            raise ValueError(f"segments have {SEGMENT} bytes, not {self.segment}")

    @functools.cached_property
    def offsets(self) -> tuple[int, ...]:
        """Where the ciphertext of each part begins, and last where the payload ends."""
        offsets = [0]
        for part in self.parts:
            offsets.append(offsets[-1] + part.size)
        return tuple(offsets)

    def part_hash(self, index: int) -> bytes:
        """H(part header) of one part."""
        return part_hash(self.object, index, self.parts[index].media_type)

    def part_set(self, parts: Iterable[int] | None) -> tuple[int, ...]:
        """Indices in ascending order, the manifest among them; None stands for all. ValueError for one too large."""
        if parts is None:
            return tuple(range(len(self.parts)))
        chosen = tuple(sorted({0, *parts}))
        if chosen[0] < 0 or chosen[-1] >= len(self.parts):
            raise ValueError(f"parts are numbered from 1 to {len(self.parts) - 1}")
        return chosen

    @functools.cached_property
    def hash(self) -> bytes:
        """SHA-256 of the bytes: the name of the header in blob stores."""
        return hashlib.sha256(bytes(self)).digest()

    def __bytes__(self) -> bytes:
        return encode_record(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> Header:
        """Read what ``bytes(header)`` wrote. EncodingError if it is anything else."""
        return decode_record(cls, data, limit=HEADER_LIMIT)


@frozen
class Deal:
    """What the dealing says of one seat: the root over the commitments to its shares, the hash of its envelope."""

    holder: bytes = field(validator=length(32), repr=short)
    gate: bool
    root: bytes = field(validator=length(32), repr=short)
    envelope: bytes = field(validator=length(32), repr=short)


@frozen
class Dealing:
    """Under which policy the part keys are shared, and how: for each clause the deals of its seats in order."""

    header: bytes = field(validator=length(32), repr=short)
    """Hash of the header that it belongs to."""
    policy: BoundPolicy
    clauses: tuple[tuple[Deal, ...], ...] = field(repr=lambda clauses: f"<{len(clauses)}>")
    version: int = field(default=_VERSION, validator=_check_version)

    def __attrs_post_init__(self) -> None:
        if len(self.clauses) != len(self.policy.clauses):
            raise ValueError("the dealing does not have the clauses of its policy")
        for clause, deals in zip(self.policy.clauses, self.clauses, strict=True):
            seats = layout_of(self.policy, clause.name).seats
            if [(deal.holder, deal.gate) for deal in deals] != [(seat.holder, seat.gate) for seat in seats]:
                raise ValueError(f"clause {clause.name} is not dealt to the holders of the policy")

    def layout(self, clause: str) -> Layout:
        """The seats of a clause. PolicyError if there is no such clause."""
        return layout_of(self.policy, clause)

    def deal(self, clause: str, seat: Seat) -> Deal:
        """The deal of one seat."""
        layout = self.layout(clause)
        deals: tuple[Deal, ...] = self.clauses[self.policy.clauses.index(layout.clause)]
        return deals[layout.seats.index(seat)]

    @functools.cached_property
    def hash(self) -> bytes:
        """SHA-256 of the bytes: the name of the dealing in blob stores."""
        return hashlib.sha256(bytes(self)).digest()

    def __bytes__(self) -> bytes:
        return encode_record(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> Dealing:
        """Read what ``bytes(dealing)`` wrote. EncodingError if it is anything else."""
        return decode_record(cls, data, limit=DEALING_LIMIT)


def _check_suite(instance: Any, attribute: Any, value: bytes) -> None:
    if value != recipients.SUITE:
        raise ValueError(f"HPKE suite {value.hex()} where this library knows {recipients.SUITE.hex()}")


@frozen
class Envelope:
    """The shares of one seat, share ‖ salt for each part and position, sealed to its holder."""

    recipient: bytes = field(validator=length(recipients.RECIPIENT_ID_SIZE), repr=short)
    """Id of the recipient key."""
    sealed: bytes = field(repr=lambda sealed: f"<{len(sealed)} bytes>")
    suite: bytes = field(default=recipients.SUITE, validator=_check_suite, repr=False)

    @functools.cached_property
    def hash(self) -> bytes:
        """SHA-256 of the bytes: the name of the envelope in blob stores."""
        return hashlib.sha256(bytes(self)).digest()

    def __bytes__(self) -> bytes:
        return encode_record(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> Envelope:
        """Read what ``bytes(envelope)`` wrote. EncodingError if it is anything else."""
        return decode_record(cls, data, limit=DOCUMENT_LIMIT)


def envelope_info(
    header: Header, context: bytes | None, policy_hash: bytes, clause: str, seat: Seat
) -> bytes:
    """HPKE's info for the envelope of one seat."""
    positions: Value = [list(position) for position in seat.positions]
    return encode(
        ["medchain/envelope/v1", header.chain, context, header.object, clause, positions, policy_hash]
    )


@frozen(repr=False)
class SealedHeader:
    """Header, dealing and envelopes: all that an approver needs. ``bytes(bundle)`` for files and wires.

    Making one checks that the three belong together; SealingError if not. Nothing in it is secret, yet it
    tells media types, lengths and party ids.
    """

    header: Header
    dealing: Dealing
    envelopes: tuple[Envelope, ...]
    """One for each deal of the dealing, in its order."""

    def __attrs_post_init__(self) -> None:
        if self.dealing.header != self.header_hash:
            raise SealingError("the dealing belongs to another header")
        hashes = [deal.envelope for deals in self.dealing.clauses for deal in deals]
        if hashes != [envelope.hash for envelope in self.envelopes]:
            raise SealingError("an envelope is not the one that the dealing names")

    @property
    def object_id(self) -> bytes:
        """The object's id, 32 bytes."""
        return self.header.object

    @property
    def header_hash(self) -> bytes:
        """SHA-256 of the header."""
        return self.header.hash

    @property
    def dealing_hash(self) -> bytes:
        """SHA-256 of the dealing, which names the header: it fixes the whole bundle."""
        return self.dealing.hash

    @property
    def policy(self) -> BoundPolicy:
        """The policy, with local names only where it was sealed."""
        return self.dealing.policy

    @property
    def policy_hash(self) -> bytes:
        """The policy's hash, which shares and approvals are bound to."""
        digest: bytes = self.dealing.policy.hash
        return digest

    @property
    def payload(self) -> tuple[bytes | None, int]:
        """The hash that the ciphertext has in blob stores (None outside of them), and its size in bytes."""
        return self.header.payload, self.header.offsets[-1]

    def envelope(self, clause: str, seat: Seat) -> Envelope:
        """The envelope of one seat."""
        wanted = self.dealing.deal(clause, seat)
        deals = [deal for deals in self.dealing.clauses for deal in deals]
        return next(each for deal, each in zip(deals, self.envelopes, strict=True) if deal is wanted)

    def documents(self) -> list[bytes]:
        """Header, dealing and each envelope, as blobs of the object."""
        return [bytes(self.header), bytes(self.dealing), *map(bytes, self.envelopes)]

    @classmethod
    def load(cls, header_hash: bytes, dealing_hash: bytes, get: Callable[[bytes], bytes]) -> SealedHeader:
        """Gather a bundle from blobs by their hashes; `get` need not check what it gives.

        Raises:
            SealingError: a blob is not what its hash says.
            EncodingError: a blob is no document of this kind.
        """

        def fetch(hash: bytes) -> bytes:
            data = get(hash)
            if hashlib.sha256(data).digest() != hash:
                raise SealingError(f"the blob given as {hash.hex()[:12]}… is another or altered")
            return data

        header = Header.from_bytes(fetch(header_hash))
        dealing = Dealing.from_bytes(fetch(dealing_hash))
        envelopes = [Envelope.from_bytes(fetch(deal.envelope)) for deals in dealing.clauses for deal in deals]
        return cls(header, dealing, tuple(envelopes))

    def __bytes__(self) -> bytes:
        return encode_record(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> SealedHeader:
        """Read what ``bytes(bundle)`` wrote.

        Raises:
            EncodingError: it is anything else.
            SealingError: its documents do not belong together.
        """
        return decode_record(cls, data, limit=BUNDLE_LIMIT)

    def __repr__(self) -> str:
        clauses = ", ".join(clause.name for clause in self.policy.clauses)
        parts, size = len(self.header.parts) - 1, self.header.offsets[-1]
        plural = "" if parts == 1 else "s"
        return f"<SealedHeader {self.object_id.hex()[:12]}…: {parts} part{plural}, {size} bytes, under {clauses}>"
