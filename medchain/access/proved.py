"""What a holder, a gate or an asker takes from proofs, and never from a look-up: request, record, keys.

All of it is pure: bytes of proofs and a `Trust` in, what they prove out. A device that holds no chain uses the same
functions as the client beside a chain.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import field, frozen

from medchain.access.contract import AccessContract
from medchain.access.messages import RequestAccess
from medchain.access.rows import RecordRow
from medchain.errors import EncodingError, InvalidTransaction, MalformedProof, SealingError, VerificationError
from medchain.keys import signing
from medchain.keys.wallet import Decrypter
from medchain.ledger.contract import wire_name
from medchain.ledger.entry import Entry, Kind
from medchain.ledger.keys import Keys
from medchain.ledger.transaction import SignerRef, Transaction
from medchain.ledger.trust import Trust
from medchain.ledger.verify import AsOf, verify, verify_state
from medchain.records import from_value, short
from medchain.sealing.binding import Binding, asker_key_hash
from medchain.sealing.documents import SealedHeader
from medchain.sealing.holding import open_envelope, reseal

__all__ = [
    "ProvedRequest",
    "bind_request",
    "check_asker",
    "load_bundle",
    "make_share",
    "proved_record",
    "proved_request",
]


@frozen
class ProvedRequest:
    """A request as the log has it.

    Attributes:
        id: the request's id.
        asker: who signed it, and with which key.
        message: what was asked for.
        as_of: where in the log it stands, and under which checkpoint that is proved.
        transaction: the signed transaction.
    """

    id: bytes = field(repr=short)
    asker: SignerRef = field()
    message: RequestAccess = field()
    as_of: AsOf = field()
    transaction: Transaction = field(repr=False)


def proved_request(proof: bytes, *, trust: Trust) -> ProvedRequest:
    """The request that a tlog-proof of its entry proves. Its signature is checked by `check_asker`.

    Raises:
        VerificationError: the proof does not hold, or what it proves is no accepted request.
    """
    verified = verify(proof, Entry, trust=trust)
    entry = verified.value
    if entry.kind is not Kind.TRANSACTION or not entry.outcome.ok:
        raise VerificationError("the proved entry is no accepted transaction")
    try:
        transaction = Transaction.from_bytes(entry.content)
        body = transaction.body
        if (body.contract, body.message_name) != (AccessContract.name, wire_name(RequestAccess)):
            raise VerificationError("the proved entry is no request for access")
        message = from_value(RequestAccess, body.message[1])
    except (EncodingError, InvalidTransaction) as error:
        raise MalformedProof(f"the proved entry is malformed: {error}") from error
    if body.chain != trust.chain or len(body.signers) != 1:
        raise VerificationError("the proved request is signed for another chain, or by several parties")
    return ProvedRequest(transaction.id, body.signers[0], message, verified.as_of, transaction)


def check_asker(request: ProvedRequest, key_proof: bytes, *, trust: Trust) -> None:
    """Check the asker's signature with the key that the chain's state has for it.

    Args:
        request: from `proved_request`.
        key_proof: state proof of the row (asker, key id) of ``Keys.signing``.
        trust: whom to believe.

    Raises:
        VerificationError: the proof does not hold, or the signature is not the asker's.
    """
    row = verify_state(key_proof, Keys.signing, (request.asker.party, request.asker.key), trust=trust).value
    if row is None:
        raise VerificationError("the chain knows no such signing key of the asker")
    signing.verify(row.signing_key, request.transaction.signed_bytes, request.transaction.signatures[0])


def proved_record(proof: bytes, record: bytes, *, trust: Trust) -> tuple[RecordRow, AsOf]:
    """A record's row, and as of when, by a state proof.

    Raises:
        VerificationError: the proof does not hold, or there is no such record.
    """
    verified = verify_state(proof, AccessContract.records, record, trust=trust)
    if verified.value is None:
        raise VerificationError("the chain has no such record")
    return verified.value, verified.as_of


def load_bundle(record: RecordRow, chain: bytes, get: Callable[[bytes], bytes]) -> SealedHeader:
    """Header, dealing and envelopes of a record by their hashes; `get` need not check what it gives.

    Raises:
        SealingError: a blob is not what its hash says, or the documents are those of another record.
        EncodingError: a blob is no such document.
    """
    bundle = SealedHeader.load(record.header, record.dealing, get)
    check_bundle(record, chain, bundle)
    return bundle


def check_bundle(record: RecordRow, chain: bytes, bundle: SealedHeader) -> None:
    """Whether sealed documents are those of a record's row; SealingError if not."""
    if (bundle.header_hash, bundle.dealing_hash) != (record.header, record.dealing):
        raise SealingError("these are not the sealed documents of the record")
    if (bundle.object_id, bundle.header.chain, bundle.policy_hash) != (record.object, chain, record.policy):
        raise SealingError("the sealed documents contradict what the chain says of the record")


def bind_request(chain: bytes, request: bytes, message: RequestAccess, bundle: SealedHeader) -> Binding:
    """What shares for a request are bound to.

    Raises:
        SealingError: it asks for parts that the object does not have.
    """
    try:
        parts = bundle.header.part_set(message.parts)
    except ValueError as error:
        raise SealingError(f"the request asks for parts that there are not: {error}") from None
    return Binding(
        chain=chain,
        context=None,
        request=request,
        object=bundle.object_id,
        policy=message.policy,
        clause=message.clause,
        parts=parts,
        asker_key=asker_key_hash(message.recipient_key),
        purpose=message.purpose,
        expiry=message.expiry,
    )


def make_share(
    bundle: SealedHeader,
    request: ProvedRequest,
    holder: Decrypter,
    parts: tuple[int, ...] | None,
    *,
    gate: bool = False,
) -> bytes:
    """A holder's share of some parts, opened, checked and sealed again to the asker's one-use key.

    Args:
        bundle: the record's documents, checked by `load_bundle` or `check_bundle`.
        request: from `proved_request`, its asker checked.
        holder: whose share it is.
        parts: which of the requested parts; None: all of them.
        gate: whether it is the share of a member of the gate.

    Raises:
        SealingError: the holder has no share, or its envelope is wrong; then ``evidence`` is a complaint.
    """
    assert bundle.header.chain is not None
    binding = bind_request(bundle.header.chain, request.id, request.message, bundle)
    held = open_envelope(bundle, request.message.clause, holder, gate=gate)
    return reseal(held, binding, parts, request.message.recipient_key)
