"""Doors of witnesses: requests, answers, what a witness remembers, and the log that signs whatever it likes."""

from __future__ import annotations

import functools
from typing import Any

from fuzz.decoder import Decoder, fixed
from fuzz.mutations import Form
from transparency.witnesses import CLASSIC, ORIGIN, QUANTUM, Log, begun, numbered, watching

from medchain.encoding import encode
from medchain.errors import InvalidSignature, MalformedProof, StorageError, UntrustedSigner
from medchain.ledger.note import Note
from medchain.storage import Batch
from medchain.transparency.addcheckpoint import AddCheckpoint, read_cosignatures, read_size
from medchain.transparency.requests import BadRequest, RequestHead
from medchain.transparency.witness import FORK, LATEST

__all__ = ["WITNESSES"]

LOG = numbered(9)
KEYS = (CLASSIC.key, QUANTUM.key)


def request(data: bytes) -> Any:
    """The request of anybody, before a witness that has cosigned size 5."""
    verdict, _ = _witness().add_checkpoint(data)
    assert verdict.status in (200, 400, 403, 404, 409, 422)
    return verdict.body


def signed(data: bytes) -> Any:
    """A request of which the log has signed the text: it may say what it likes."""
    try:
        asked = AddCheckpoint.parse(data)
    except MalformedProof:
        return None
    text = ORIGIN + "\n" + asked.note.text.partition("\n")[2]
    note = Note(text, ()).signed_with(LOG.signers[0].sign(text))
    body = bytes(AddCheckpoint(asked.old, asked.proof, ORIGIN, asked.head, note))
    verdict, _ = _witness().add_checkpoint(body)
    assert verdict.status in (200, 409, 422) or asked.old > asked.head.size
    return verdict.body


def _witness() -> Any:
    witness = watching(LOG, begun(), [CLASSIC])
    witness.add_checkpoint(_first())
    return witness


@functools.cache
def _first() -> bytes:
    return bytes(LOG.request(0, 5))


def requests() -> tuple[bytes, ...]:
    """Of every kind of answer."""
    other = Log(["x"] * 7)
    return tuple(
        map(
            bytes,
            (
                LOG.request(5, 9),
                LOG.request(0, 9),
                LOG.request(5, 5),
                other.request(5, 7),
                other.request(5, 5),
            ),
        )
    )


def cosignatures(data: bytes) -> Any:
    """The answer of a witness that is asked about a checkpoint."""
    return read_cosignatures(data, _note(), KEYS)


@functools.cache
def _note() -> Note:
    return LOG.checkpoint().note


def answers() -> tuple[bytes, ...]:
    """By either kind of key, and by both."""
    lines = [str(signer.sign(_note().text, 7)).encode() for signer in (CLASSIC, QUANTUM)]
    return b"".join(lines), *lines


def head(data: bytes) -> Any:
    """The head of an HTTP request."""
    try:
        return RequestHead.parse(data)
    except BadRequest as error:
        raise MalformedProof(str(error)) from error


HEADS = (
    "POST /add-checkpoint HTTP/1.1\r\nHost: w.example\r\nContent-Length: 12\r\nConnection: close, x\r\n\r\n",
    "GET http://w.example/a HTTP/1.0\r\nExpect: 100-continue\r\nconnection: Keep-Alive\r\n\r\n",
)


def remembered(what: bytes) -> Any:
    """What a witness remembers of a log."""

    def call(data: bytes) -> Any:
        store = begun()
        batch = Batch()
        batch.put(what + ORIGIN.encode(), data)
        store.commit(batch)
        witness = watching(LOG, store, [CLASSIC])
        return witness.latest(ORIGIN) if what == LATEST else witness.fork(ORIGIN)

    return call


def memories() -> tuple[bytes, ...]:
    """What it remembers of a log that grows."""
    found = LOG.tree.head
    return (encode({"size": found.size, "root": found.root, "time": 7, "note": bytes(_note())}),)


def forks() -> tuple[bytes, ...]:
    """What it remembers of a log that has forked."""
    return (encode({"first": bytes(_note()), "second": bytes(Log(["x"] * 9).checkpoint())}),)


WITNESSES = (
    Decoder(
        "transparency.AddCheckpoint",
        AddCheckpoint.parse,
        (MalformedProof,),
        requests,
        Form.TEXT,
        reaches=(
            "medchain.transparency.addcheckpoint:AddCheckpoint.parse",
            "medchain.transparency.addcheckpoint:read_head",
        ),
    ),
    Decoder(
        "transparency.Witness",
        request,
        (),
        requests,
        Form.TEXT,
        write=None,
        slow=True,
        reaches=("medchain.transparency.witness:Witness.add_checkpoint",),
    ),
    Decoder("transparency.Witness of a mad log", signed, (), requests, Form.TEXT, write=None, slow=True),
    Decoder(
        "transparency.read_cosignatures",
        cosignatures,
        (MalformedProof, InvalidSignature, UntrustedSigner),
        answers,
        Form.TEXT,
        write=None,
    ),
    Decoder(
        "transparency.read_size", read_size, (MalformedProof,), fixed(b"20852014\n"), Form.TEXT, write=None
    ),
    Decoder(
        "transparency.RequestHead",
        head,
        (MalformedProof,),
        fixed(*HEADS),
        Form.TEXT,
        write=None,
        reaches=("medchain.transparency.requests:RequestHead.parse",),
    ),
    Decoder(
        "transparency.Witness latest",
        remembered(LATEST),
        (StorageError,),
        memories,
        write=None,
        reaches=("medchain.transparency.witness:Witness._read",),
    ),
    Decoder(
        "transparency.Witness fork",
        remembered(FORK),
        (StorageError,),
        forks,
        write=None,
        reaches=("medchain.transparency.witness:Witness.fork",),
    ),
)
