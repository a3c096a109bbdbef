"""What a re-sealed share is bound to: one request by one asker, and everything about it."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence

from attrs import evolve, field, frozen

from medchain.encoding import encode
from medchain.records import length, short, to_value

__all__ = ["Binding", "approval_message", "asker_key_hash", "check_context", "check_parts"]

_LABEL = "medchain/approval/v1"
_SIGN_LABEL = b"medchain/share-approval/v1"


def check_parts(instance: object, attribute: object, value: tuple[int, ...]) -> None:
    """An attrs validator: a set of parts, ascending, the manifest (part 0) always among them."""
    if not value or value[0] != 0 or any(later <= earlier for earlier, later in itertools.pairwise(value)):
        raise ValueError("a set of parts is ascending and begins with part 0, the manifest")


def check_context(context: object) -> None:
    """Refuse a context that is no bytes. Text is another value in every encoding: nobody who names the bytes opens."""
    if not isinstance(context, bytes):
        raise TypeError(f'a context is bytes, such as b"acme/17", not {type(context).__name__}')


def asker_key_hash(recipient_key: bytes) -> bytes:
    """H(the asker's one-use recipient key), as it stands in a `Binding`."""
    return hashlib.sha256(recipient_key).digest()


@frozen
class Binding:
    """The context under which shares are sealed again to an asker: they open for no other.

    Attributes:
        chain: id of the chain, 32 bytes; None off chain.
        context: the object's context off chain; None on a chain.
        request: id of the request: off chain the hash of what the asker signed.
        object: id of the sealed object.
        policy: hash of the bound policy.
        clause: name of the clause under which it is asked.
        parts: indices of the parts, ascending, part 0 (the manifest) always among them.
        asker_key: `asker_key_hash` of the request's one-use recipient key.
        purpose: what is asked for.
        expiry: milliseconds since 1970 after which nothing is approved any more, or None.
    """

    chain: bytes | None = field(validator=length(32), repr=short)
    context: bytes | None
    request: bytes = field(validator=length(32), repr=short)
    object: bytes = field(validator=length(32), repr=short)
    policy: bytes = field(validator=length(32), repr=short)
    clause: str
    parts: tuple[int, ...] = field(validator=check_parts)
    asker_key: bytes = field(validator=length(32), repr=short)
    purpose: str
    expiry: int | None

    def __attrs_post_init__(self) -> None:
        if (self.chain is None) == (self.context is None):
            raise ValueError("a binding names a chain, or off chain a context")

    def with_parts(self, parts: tuple[int, ...]) -> Binding:
        """The same for other parts: a holder may approve fewer than are asked for."""
        return evolve(self, parts=parts)

    def info(self, positions: Sequence[Sequence[int]]) -> bytes:
        """HPKE's info for the shares at these positions (all positions of one seat, in tree order)."""
        return encode(
            [
                _LABEL,
                self.chain,
                self.context,
                self.request,
                self.object,
                self.policy,
                self.clause,
                list(self.parts),
                [list(position) for position in positions],
                self.asker_key,
                self.purpose,
                self.expiry,
            ]
        )


def approval_message(binding: Binding, dealing_hash: bytes, holder: bytes, gate: bool, share: bytes) -> bytes:
    """What an approver signs off chain: what it was asked, the dealing that it checked, and the share it gives.

    The dealing's hash stands in it so that nobody can make an honest share look wrong by showing another dealing.
    """
    share_hash = hashlib.sha256(share).digest()
    return _SIGN_LABEL + encode([to_value(binding), dealing_hash, holder, gate, share_hash])
