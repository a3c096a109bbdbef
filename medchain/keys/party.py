"""A party: the public half of a wallet, all that others need to name it, check it and seal to it."""

from __future__ import annotations

import hashlib

from attrs import frozen

from medchain import records
from medchain.encoding import encode
from medchain.errors import EncodingError
from medchain.keys import recipients, signing

__all__ = ["PARTY_ID_SIZE", "Party"]

PARTY_ID_SIZE = 32
_ID_LABEL = b"medchain/party/v1"
_WIRE_LIMIT = 4096


@frozen
class Party:
    """A party's id and its current keys.

    The id is the hash of the *first* keys and stays when keys rotate, so id and keys belong together only
    by what a chain's ``keys`` contract says, unless `is_original`. A party equals another with the same id
    and the same keys.
    """

    signing_key: bytes = records.fixed(signing.PUBLIC_KEY_SIZE)
    """Ed25519 public key, 32 bytes."""
    recipient_key: bytes = records.fixed(recipients.PUBLIC_KEY_SIZE)
    """HPKE public key (see `medchain.keys.recipients`), 1,216 bytes."""
    id: bytes = records.fixed(PARTY_ID_SIZE)
    """SHA-256 over a label and the canonical list of the first signing key and the first recipient key."""

    @classmethod
    def of(cls, signing_key: bytes, recipient_key: bytes) -> Party:
        """The party whose first keys these are.

        Raises:
            EncodingError: one of them is no valid key.
        """
        return cls(signing_key, recipient_key, party_id(signing_key, recipient_key)).check()

    @classmethod
    def from_bytes(cls, data: bytes) -> Party:
        """The party that ``bytes(party)`` wrote; its keys are checked, its claim to the id is not.

        Raises:
            EncodingError: not such bytes, or one of the keys is invalid.
        """
        return records.decode_record(cls, data, limit=_WIRE_LIMIT).check()

    def check(self) -> Party:
        """This party, if both keys are valid (about 0.15 ms); construction alone checks their lengths only.

        Raises:
            EncodingError: one of them is not.
        """
        signing.check_public_key(self.signing_key)
        recipients.check_public_key(self.recipient_key)
        return self

    @property
    def is_original(self) -> bool:
        """Whether the id is the hash of these very keys: they are the first ones, and nobody else's."""
        return self.id == party_id(self.signing_key, self.recipient_key)

    @property
    def key_id(self) -> bytes:
        """The 16-byte id of the signing key."""
        return signing.key_id(self.signing_key)

    @property
    def recipient_id(self) -> bytes:
        """The 16-byte id of the recipient key."""
        return recipients.recipient_id(self.recipient_key)

    def __bytes__(self) -> bytes:
        return records.encode_record(self)

    def __str__(self) -> str:
        return f"party:{self.id[:4].hex()}"

    def __repr__(self) -> str:
        return f"<Party {self.id[:4].hex()}>"


def party_id(signing_key: bytes, recipient_key: bytes) -> bytes:
    """The id of the party with these first keys.

    Raises:
        EncodingError: one of them has a wrong length.
    """
    if len(signing_key) != signing.PUBLIC_KEY_SIZE or len(recipient_key) != recipients.PUBLIC_KEY_SIZE:
        raise EncodingError(f"no keys of a party: {len(signing_key)} and {len(recipient_key)} bytes")
    return hashlib.sha256(_ID_LABEL + encode([signing_key, recipient_key])).digest()
