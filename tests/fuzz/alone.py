"""Doors that take more than bytes, without a ledger: each function here brings its surroundings along.

Where the library wants a signature, a hash or a seal before it looks any further, the surroundings make it over
whatever bytes are given. So what lies behind is reached, and what an evil holder of keys could do is tried as well.
"""

from __future__ import annotations

import functools
import hashlib
from typing import Any

from attrs import evolve
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from fuzz import seeds
from fuzz.decoder import file
from sealing import world

from medchain import sealing
from medchain.errors import EncodingError
from medchain.keys import keystore, recipients, recovery
from medchain.merkle import ConsistencyProof, Head
from medchain.records import encode_record
from medchain.sealing.documents import Envelope, envelope_info
from medchain.sealing.holding import ResealedShare, open_envelope
from medchain.sealing.opening import _labels


def consistency(data: bytes) -> Any:
    """A consistency proof between heads of the tree among the seeds, or of sizes that it names itself."""
    proof, heads = ConsistencyProof.from_bytes(data), seeds.heads()
    try:
        old, new = (heads.get(size) or Head(size, bytes(32)) for size in (proof.old_size, proof.new_size))
    except ValueError as error:
        raise EncodingError(str(error)) from error
    return proof.verify(old=old, new=new)


# Keys.


def keystore_body(data: bytes) -> Any:
    """A keystore whose trailing hash is right. Its password is not tried: that work may cost a second by design."""
    return keystore._parse(data + hashlib.sha256(data).digest())


def keystore_content(data: bytes) -> Any:
    """What an evil keystore holds under a password that is right."""
    head, key = _keystore()
    sealed = AESGCM(key).encrypt(head.nonce, data, encode_record(head))
    body = keystore._MAGIC + encode_record(keystore._File(head, sealed))
    with file(body + hashlib.sha256(body).digest()) as path:
        return {name: str(wallet.party) for name, wallet in keystore.load(path, seeds.PASSWORD).items()}


def keystore_seeds() -> tuple[bytes, ...]:
    """What the keystore among the seeds holds."""
    head, key = _keystore()
    sealed = keystore._parse(seeds.keystore_file()).sealed
    return (AESGCM(key).decrypt(head.nonce, sealed, encode_record(head)),)


@functools.cache
def _keystore() -> tuple[Any, bytes]:
    head = keystore._parse(seeds.keystore_file()).head
    return head, keystore._stretch(seeds.PASSWORD.encode(), head.salt, head.cost)[0]


def mnemonics(data: bytes) -> bytes:
    """Recovery words, a mnemonic on each line."""
    return recovery.combine(data.decode(errors="surrogateescape").split("\n"))


# Sealed objects.


def loaded_header(data: bytes) -> Any:
    """Documents out of blob stores, where the hash of a header leads to these bytes."""
    bundle = seeds.chained().bundle
    blobs = {hashlib.sha256(each).digest(): each for each in (*bundle.documents(), data)}
    return sealing.SealedHeader.load(hashlib.sha256(data).digest(), bundle.dealing_hash, blobs.__getitem__)


def loaded_dealing(data: bytes) -> Any:
    """As `loaded_header`, for a dealing; for envelopes that nobody has a store gives something else."""
    bundle = seeds.chained().bundle
    blobs = {hashlib.sha256(each).digest(): each for each in (*bundle.documents(), data)}
    digest = hashlib.sha256(data).digest()
    return sealing.SealedHeader.load(bundle.header_hash, digest, lambda hash: blobs.get(hash, data))


def manifest(data: bytes) -> Any:
    """What an evil dealer puts where the labels of the parts belong."""
    return _labels(seeds.chained().bundle.header, data)


def share_document(data: bytes) -> Any:
    """What an evil holder gives in place of a re-sealed share."""
    sealed, request, _, _ = seeds.opened_shares()
    key, binding = world.ASKER.request_key(request.nonce), request.binding(world.CONTEXT)
    blobs = {world.party("owner").id: data}
    return sealing.collect(sealed.header, binding, blobs, key.decrypt, seed=key.seed)


def share_document_seeds() -> tuple[bytes, ...]:
    """The owner's re-sealed share."""
    sealed, request, _, _ = seeds.opened_shares()
    return (world.approve(sealed, request, "owner")[0].share,)


def share_content(data: bytes) -> Any:
    """What an evil holder seals to the asker in place of its shares."""
    sealed, request, _, _ = seeds.opened_shares()
    binding = request.binding(world.CONTEXT)
    (seat,) = sealed.header.dealing.layout(request.clause).seats
    inside = recipients.seal(request.recipient_key, data, binding.info(seat.positions))
    return share_document(bytes(ResealedShare(binding.parts, inside)))


def share_seeds() -> tuple[bytes, ...]:
    """What an honest holder's re-sealed share holds."""
    return (seeds.opened_shares()[3],)


def envelope_content(data: bytes) -> Any:
    """What an evil dealer seals into a holder's envelope, which the dealing names."""
    sealed, request, _, _ = seeds.opened_shares()
    bundle, owner = sealed.header, world.WALLETS["owner"]
    (seat,) = bundle.dealing.layout(request.clause).seats
    info = envelope_info(bundle.header, world.CONTEXT, bundle.policy_hash, request.clause, seat)
    envelope = Envelope(owner.party.recipient_id, recipients.seal(owner.party.recipient_key, data, info))
    deal = evolve(bundle.dealing.clauses[0][0], envelope=envelope.hash)
    evil = sealing.SealedHeader(bundle.header, evolve(bundle.dealing, clauses=((deal,),)), (envelope,))
    return open_envelope(evil, request.clause, owner, context=world.CONTEXT).blocks


def envelope_seeds() -> tuple[bytes, ...]:
    """What the owner's envelope holds."""
    return (seeds.opened_shares()[2],)
