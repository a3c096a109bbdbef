"""Transactions: a body that says what is asked, and exactly the signatures that it names.

body = enc{chain, signers, seq, not_after, contract, version, message}; signed bytes = label ‖ body; a transaction is
enc{body, signatures}. Anything else than one valid signature for each named signer, in their order, is malformed and
never enters a block (CONSTRUCTIONS: Transaction; docs/spec/transaction.md).
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from typing import Any

from attrs import field, frozen

from medchain.encoding import encode
from medchain.errors import EncodingError, InvalidTransaction
from medchain.records import LOCAL, decode_record, encode_record, length, short

__all__ = ["LABEL", "SIGNERS_LIMIT", "TRANSACTION_LIMIT", "Body", "SignerRef", "Transaction", "check_size"]

LABEL = b"medchain/transaction/v1"
TRANSACTION_LIMIT = 48_000
"""Most bytes of a transaction; its entry, outcome included, has at most 60,000."""

SIGNERS_LIMIT = 16


@frozen
class SignerRef:
    """Who signs, and with which of its keys; written as [party, key]."""

    party: bytes = field(validator=length(32), repr=short)
    key: bytes = field(validator=length(16), repr=short)

    def __to_value__(self) -> Any:
        return [self.party, self.key]

    @classmethod
    def __from_value__(cls, value: Any) -> SignerRef:
        if (
            type(value) is not list
            or len(value) != 2
            or type(value[0]) is not bytes
            or type(value[1]) is not bytes
        ):
            raise EncodingError("a signer is [party id, key id]")
        return _signer(value[0], value[1])


@functools.lru_cache(maxsize=1_024)
def _signer(party: bytes, key: bytes) -> SignerRef:
    """A signer, made once: the same few sign again and again."""
    return SignerRef(party, key)


@frozen
class Body:
    """What a transaction asks for.

    Attributes:
        chain: the chain id; no other chain accepts the signatures.
        signers: who signs, in order; the first one's key counts `seq`.
        seq: number of this transaction among those that the first signer's key signs first, from 1.
        not_after: last block time (ms) at which it may enter a block, or None.
        contract: name of the contract that handles the message.
        version: the contract's version.
        message: [message name, its fields].
    """

    chain: bytes = field(validator=length(32), repr=short)
    signers: tuple[SignerRef, ...] = field(validator=length(1, SIGNERS_LIMIT))
    seq: int = field()
    not_after: int | None = field()
    contract: str = field()
    version: int = field()
    message: Any = field(repr=False)

    @property
    def message_name(self) -> str:
        """The name of the message."""
        return str(self.message[0])

    def __attrs_post_init__(self) -> None:
        if not 1 <= self.seq < 1 << 62:
            raise ValueError("seq counts from 1")
        if len(set(self.signers)) != len(self.signers):
            raise ValueError("a signer is named twice")
        message = self.message
        if type(message) is not list or len(message) != 2 or type(message[0]) is not str:
            raise ValueError("a message is [name, fields]")

    def __bytes__(self) -> bytes:
        return encode_record(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> Body:
        """Read a body; EncodingError if it is none."""
        return decode_record(cls, data, limit=TRANSACTION_LIMIT)

    @property
    def signed_bytes(self) -> bytes:
        """What every signer signs."""
        return LABEL + bytes(self)

    @property
    def id(self) -> bytes:
        """The transaction id: the hash of the signed bytes, known before anybody has signed."""
        return hashlib.sha256(self.signed_bytes).digest()


def check_size(size: int) -> None:
    """Refuse a transaction of so many bytes, if no reader of the log would take it: InvalidTransaction."""
    if size > TRANSACTION_LIMIT:
        raise InvalidTransaction(
            "too-large", f"a transaction has at most {TRANSACTION_LIMIT} bytes, not {size}"
        )


@frozen
class _Envelope:
    body: bytes = field()
    signatures: tuple[bytes, ...] = field(validator=length(1, SIGNERS_LIMIT))


@frozen(eq=False, slots=False)  # with slots the first look at a cached property costs as much as hashing
class Transaction:
    """A signed body. Equal bytes are the same transaction; the id does not depend on the signatures."""

    raw: bytes = field(repr=short)
    body: Body = field()
    signatures: tuple[bytes, ...] = field(repr=False)
    body_bytes: bytes = field(repr=False, metadata=LOCAL)

    @classmethod
    def build(cls, body: Body, signatures: Sequence[bytes]) -> Transaction:
        """Put a body and its signatures, in the order of `body.signers`, together.

        Raises:
            InvalidTransaction: ``too-large``.
        """
        if len(signatures) != len(body.signers):
            raise ValueError(f"{len(body.signers)} signers, {len(signatures)} signatures")
        body_bytes = bytes(body)
        raw = encode({"body": body_bytes, "signatures": list(signatures)})
        check_size(len(raw))
        return cls(raw, body, tuple(signatures), body_bytes)

    @classmethod
    def from_bytes(cls, data: bytes) -> Transaction:
        """Read a transaction; signatures are counted here and verified against the state by the transition.

        Raises:
            InvalidTransaction: ``malformed`` or ``too-large``.
        """
        check_size(len(data))
        try:
            envelope = decode_record(_Envelope, data, limit=TRANSACTION_LIMIT)
            body = Body.from_bytes(envelope.body)
        except EncodingError as error:
            raise InvalidTransaction("malformed", str(error)) from error
        if len(envelope.signatures) != len(body.signers) or any(
            len(each) != 64 for each in envelope.signatures
        ):
            raise InvalidTransaction("malformed", "not exactly one signature of 64 bytes for each signer")
        return cls(bytes(data), body, envelope.signatures, envelope.body)

    def __bytes__(self) -> bytes:
        return self.raw

    def __eq__(self, other: object) -> bool:
        return self.raw == other.raw if isinstance(other, Transaction) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.raw)

    @property
    def signed_bytes(self) -> bytes:
        """What every signer signed, over the bytes as received."""
        return LABEL + self.body_bytes

    @functools.cached_property
    def id(self) -> bytes:
        """H(signed bytes), 32 bytes."""
        return hashlib.sha256(self.signed_bytes).digest()
