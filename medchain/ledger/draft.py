"""What passes between a server that proposes, devices that sign, and the chain that takes the result.

A `Draft` says what is asked and of whom; it cannot sign. Whoever reviews it adds signatures to a `Signed`, whose
`missing` says who is still due. Attachments (re-sealed shares) travel along and are stored before the transaction.
"""

from __future__ import annotations

import functools
from typing import Any

from attrs import evolve, field, frozen

from medchain.errors import InvalidTransaction
from medchain.keys.wallet import Signer
from medchain.ledger.transaction import LABEL, Body, SignerRef, Transaction
from medchain.records import decode_record, encode_record, length, short

__all__ = ["Attachment", "Signed", "signer_ref"]

SIGNED_LIMIT = 8 << 20


@frozen
class Attachment:
    """A blob of an object that has to lie in the blob stores before the transaction that names its hash."""

    object: bytes = field(validator=length(32), repr=short)
    data: bytes = field(repr=short)


@frozen
class Signed:
    """A body with the signatures that it has so far, in the order of its signers."""

    body: bytes = field(repr=short)
    signatures: tuple[bytes | None, ...]
    attachments: tuple[Attachment, ...] = ()

    def __attrs_post_init__(self) -> None:
        if len(self.signatures) != len(self.content.signers):
            raise ValueError(
                f"{len(self.content.signers)} signers, {len(self.signatures)} places for signatures"
            )
        if any(signature is not None and len(signature) != 64 for signature in self.signatures):
            raise ValueError("a signature has 64 bytes")

    @classmethod
    def start(cls, body: Body, attachments: tuple[Attachment, ...] = ()) -> Signed:
        """Nobody has signed yet.

        Raises:
            InvalidTransaction: ``too-large``, so that nobody signs in vain.
        """
        Transaction.build(body, (bytes(64),) * len(body.signers))
        return cls(bytes(body), (None,) * len(body.signers), attachments)

    @functools.cached_property
    def content(self) -> Body:
        """The body, read."""
        return Body.from_bytes(self.body)

    @property
    def missing(self) -> tuple[SignerRef, ...]:
        """Who is still due to sign, in order."""
        return tuple(
            ref for ref, done in zip(self.content.signers, self.signatures, strict=True) if done is None
        )

    def sign(self, *wallets: Signer) -> Signed:
        """With the signatures of `wallets`, each in its place.

        Raises:
            ValueError: a wallet is not among the signers, with the key that it has.
        """
        signatures = list(self.signatures)
        signers = self.content.signers
        for wallet in wallets:
            ref = signer_ref(wallet.party)
            if ref not in signers:
                raise ValueError(f"{wallet.party} with this key is not a signer of this transaction")
            signatures[signers.index(ref)] = wallet.sign(LABEL + self.body)
        return evolve(self, signatures=tuple(signatures))

    @property
    def transaction(self) -> Transaction:
        """The transaction, once everybody has signed; InvalidTransaction ``unsigned`` before."""
        complete = [signature for signature in self.signatures if signature is not None]
        if len(complete) != len(self.signatures):
            due = ", ".join(ref.party.hex()[:12] + "…" for ref in self.missing)
            raise InvalidTransaction("unsigned", f"still to be signed by {due}")
        return Transaction.build(self.content, complete)

    def __bytes__(self) -> bytes:
        return encode_record(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> Signed:
        """Read what ``bytes(signed)`` wrote; EncodingError if it is anything else."""
        return decode_record(cls, data, limit=SIGNED_LIMIT)


def signer_ref(party: Any) -> SignerRef:
    """How a party with its current key is named as a signer."""
    return SignerRef(party.id, party.key_id)
