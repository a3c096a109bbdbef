"""Leaves of the log: entries with their outcome, and the headers that close blocks.

Leaf data = one tag byte (0 header, 1 transaction, 2 timer, 3 evidence) ‖ enc(record), at most 60,000 bytes
(docs/spec/entry.md). Leaf 0 is the header that holds the genesis document.
"""

from __future__ import annotations

import functools
import hashlib
import re
from enum import IntEnum
from typing import Any

from attrs import field, frozen

from medchain.encoding import decode, encode
from medchain.errors import EncodingError
from medchain.keys.party import Party
from medchain.ledger.contract import TIME_LIMIT, Event
from medchain.ledger.governance.rows import AUTHORITY_THRESHOLD, PARAMETERS
from medchain.records import decode_record, encode_record, length, short

__all__ = [
    "LEAF_LIMIT",
    "Concern",
    "Entry",
    "Genesis",
    "Header",
    "Kind",
    "Outcome",
    "Predecessor",
    "parse_leaf",
]

LEAF_LIMIT = 60_000
TAG_LABEL = b"medchain/chain-tag/v1"
ID_LABEL = b"medchain/chain-id/v1"
CONTRACT = re.compile(r"[a-z][a-z0-9_]{0,31}/[1-9][0-9]{0,9}")
ORIGIN = re.compile(r"[^\s+\x00-\x1f\x7f\ud800-\udfff]+")


def _block_time(instance: object, attribute: object, value: int) -> None:
    if not 0 <= value < TIME_LIMIT:
        raise ValueError(f"{value} is no block time in milliseconds")


def _block_height(instance: object, attribute: object, value: int) -> None:
    if value < 0:
        raise ValueError(f"{value} is no height: blocks count from 0")


class Kind(IntEnum):
    """The tag byte of a leaf."""

    HEADER = 0
    TRANSACTION = 1
    TIMER = 2
    EVIDENCE = 3


@frozen
class Concern:
    """That an entry stands on the list of a subject, which has `count` entries with it."""

    subject: bytes = field(validator=length(32), repr=short)
    count: int = field()


@frozen
class Outcome:
    """What a transaction or timer did: ``ok`` and its events, or the code with which it was refused."""

    code: str
    events: tuple[Event, ...]
    subjects: tuple[Concern, ...]

    @property
    def ok(self) -> bool:
        """Whether the contract accepted it."""
        return self.code == "ok"


@frozen
class Entry:
    """One entry of the log.

    Attributes:
        height: of its block.
        time: the block's time, ms since the epoch.
        index: place among the entries of its block, from 0.
        content: the transaction's bytes, or enc of the timer, as `kind` says.
        outcome: what came of it.
        kind: the leaf's tag.
    """

    height: int
    time: int
    index: int
    content: bytes = field(repr=short)
    outcome: Outcome
    kind: Kind = field(metadata={"local": True}, default=Kind.TRANSACTION)

    @property
    def leaf(self) -> bytes:
        """The leaf data that is hashed into the log."""
        return bytes([self.kind]) + encode_record(self)


@frozen
class Predecessor:
    """The chain that this one goes on from: its origin, size and log root when it ended."""

    origin: str
    size: int
    root: bytes = field(validator=length(32), repr=short)


@frozen
class Genesis:
    """The document that founds a chain (CONSTRUCTIONS: Log, headers, checkpoints).

    Attributes:
        origin: name of the log, 1 to 255 bytes, no white space, no ``+`` (C2SP tlog-checkpoint).
        nonce: 32 random bytes; two chains of one origin differ by it.
        time: creation, ms since the epoch.
        log_key: Ed25519 key that signs checkpoints.
        authorities: parties that govern, with their full keys; `threshold` of them act together.
        gate: parties of the gate, with their full keys; `gate_threshold` of them release.
        parameters: values of parameters that begin with another one than their default; not ``authority_threshold``.
        contracts: digest of each contract active from the start, by ``name/version``.
        predecessor: the chain that this one goes on from, or None.
    """

    origin: str
    nonce: bytes = field(validator=length(32), repr=short)
    time: int = field(validator=_block_time)
    log_key: bytes = field(validator=length(32), repr=short)
    authorities: tuple[Party, ...] = field(validator=length(1, 64))
    threshold: int = field()
    gate: tuple[Party, ...] = field(validator=length(0, 64))
    gate_threshold: int = field()
    parameters: dict[str, int] = field()
    contracts: dict[str, bytes] = field()
    predecessor: Predecessor | None = field()

    def __attrs_post_init__(self) -> None:
        check_origin(self.origin)
        for kind, parties in (("authorities", self.authorities), ("gate", self.gate)):
            if len({party.id for party in parties}) != len(parties):
                raise ValueError(f"a party is named twice among the {kind}")
        if not all(CONTRACT.fullmatch(name) and len(digest) == 32 for name, digest in self.contracts.items()):
            raise ValueError("contracts are named name/version and have digests of 32 bytes")
        if not 1 <= self.threshold <= len(self.authorities):
            raise ValueError("threshold is from 1 to the number of authorities")
        if self.gate_threshold > len(self.gate) or self.gate_threshold < min(1, len(self.gate)):
            raise ValueError("gate_threshold is from 1 to the number of gate parties")
        for name, value in self.parameters.items():
            bounds = PARAMETERS.get(name)
            if bounds is None or name == AUTHORITY_THRESHOLD:
                raise ValueError(f"there is no parameter {name!r} to be set here")
            if not bounds.least <= value <= bounds.most:
                raise ValueError(f"{name} is from {bounds.least} to {bounds.most}, not {value}")

    @functools.cached_property
    def tag(self) -> bytes:
        """The chain tag, from which wallets derive personas: known before the document is complete."""
        return chain_tag(self.origin, self.nonce)

    @functools.cached_property
    def id(self) -> bytes:
        """The chain id, which every signature covers."""
        return hashlib.sha256(ID_LABEL + encode_record(self)).digest()


@frozen
class Header:
    """The leaf that closes a block.

    Attributes:
        origin: name of the log.
        chain: chain id; 32 zero bytes in the genesis header, which holds the document instead.
        height: 0 for the genesis.
        time: block time, ms since the epoch, never decreasing.
        previous: hash of the previous header's leaf data, or zeros.
        first: log index of the block's first entry (its own index, if it has none).
        log_root: root of the log before this leaf.
        state_root: root of the state map after this block.
        contracts: digest of each contract active after this block, by ``name/version``.
        genesis: the genesis document at height 0, else None.
    """

    origin: str
    chain: bytes = field(validator=length(32), repr=short)
    height: int = field(validator=_block_height)
    time: int = field(validator=_block_time)
    previous: bytes = field(validator=length(32), repr=short)
    first: int = field()
    log_root: bytes = field(validator=length(32), repr=short)
    state_root: bytes = field(validator=length(32), repr=short)
    contracts: dict[str, bytes] = field(repr=False)
    genesis: Genesis | None = field(repr=False)

    @functools.cached_property
    def leaf(self) -> bytes:
        """The leaf data that is hashed into the log."""
        return bytes([Kind.HEADER]) + encode_record(self)

    @property
    def hash(self) -> bytes:
        """H(leaf data), what the next header names as `previous`."""
        return hashlib.sha256(self.leaf).digest()


def chain_tag(origin: str, nonce: bytes) -> bytes:
    """H(label ‖ enc[origin, nonce]), 32 bytes."""
    return hashlib.sha256(TAG_LABEL + encode([origin, nonce])).digest()


def check_origin(origin: str) -> None:
    """Refuse what cannot name a log (C2SP tlog-checkpoint, signed-note): ValueError."""
    if not ORIGIN.fullmatch(origin) or len(origin.encode(errors="replace")) > 255:
        raise ValueError(
            f"an origin is 1 to 255 bytes without white space, '+' or control characters: {origin!r}"
        )


def parse_leaf(data: bytes) -> Entry | Header:
    """Read leaf data.

    Raises:
        EncodingError: it is not the form of an entry or a header.
    """
    if len(data) > LEAF_LIMIT or not data:
        raise EncodingError(f"a leaf has 1 to {LEAF_LIMIT} bytes, not {len(data)}")
    tag: Any = data[0]
    if tag > Kind.EVIDENCE:
        raise EncodingError(f"unknown leaf tag {tag}", offset=0)
    if tag == Kind.HEADER:
        return decode_record(Header, data[1:], limit=LEAF_LIMIT)
    entry = decode_record(Entry, data[1:], limit=LEAF_LIMIT)
    return Entry(entry.height, entry.time, entry.index, entry.content, entry.outcome, Kind(tag))


def entry_content(data: bytes) -> tuple[int, bytes]:
    """Tag and content of an entry's leaf data; the audit, which makes the leaf again, looks at no more.

    Raises:
        EncodingError: it is not canonical, or has no content.
    """
    value: Any = decode(data[1:], limit=LEAF_LIMIT)
    content = value.get("content") if type(value) is dict else None
    if type(content) is not bytes:
        raise EncodingError("an entry has a content of bytes")
    return data[0], content


def entry_leaf(kind: Kind, height: int, time: int, index: int, content: bytes, outcome: Any) -> bytes:
    """Leaf data from an outcome that is a plain value already; the transition's short cut for `Entry.leaf`."""
    return bytes([kind]) + encode(
        {"height": height, "time": time, "index": index, "content": content, "outcome": outcome}
    )
