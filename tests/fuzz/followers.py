"""Doors of those who follow a published log: its files as anybody serves them, its leaves as a mad log signs them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from fuzz import seeds
from fuzz.decoder import Decoder, Read
from fuzz.logs import LOG_KEY, paper
from fuzz.mutations import Form

import medchain as mc
from medchain.errors import InvalidBlock, MalformedProof, StorageError, VerificationError
from medchain.ledger.entry import Entry, Header, Kind, Outcome
from medchain.ledger.note import Note, NoteSigner, VerifierKey
from medchain.merkle import ConsistencyProof, Head, LogTree
from medchain.transparency import Evidence, PublishedLog, layout
from medchain.transparency.entries import LoggedEntry, read_entry
from medchain.transparency.source import Source

__all__ = ["FOLLOWERS"]


class _Files(Source):
    """A published log in memory."""

    name = "memory"

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files

    def read(self, path: str, limit: int) -> bytes | None:
        data = self._files.get(path)
        if data is not None and len(data) > limit:
            raise StorageError(f"{path} has more than {limit} bytes")
        return data


@functools.cache
def _trust() -> mc.Trust:
    """The chain among the seeds, with a log key that signs whatever comes."""
    real = seeds.chained().trust
    return mc.Trust((VerifierKey(real.origin, LOG_KEY.public),), real.chain, real.tag)


def _sign(head: Head) -> mc.Checkpoint:
    origin = _trust().origin
    said = mc.Checkpoint.text(origin, head)
    note = Note(said, ()).signed_with(NoteSigner(origin, LOG_KEY).sign(said))
    return mc.Checkpoint(origin, head, note)


def _files(leaves: list[bytes]) -> dict[str, bytes]:
    """What is served of a log of fewer than 256 leaves."""
    tree, size = LogTree(leaves), len(leaves)
    assert size < layout.WIDTH
    return {
        layout.Part(None, 0, size).path: layout.pack(leaves),
        layout.Part(0, 0, size).path: b"".join(tree.node(0, index) for index in range(size)),
        layout.CHECKPOINT: bytes(_sign(tree.head)),
    }


@functools.cache
def _leaves() -> list[bytes]:
    """A beginning of the log that ends with a header."""
    archive = seeds.chained().archive
    leaves = list(archive.leaves(0, min(archive.tip().size, layout.WIDTH - 1)))
    while leaves[-1][0] != Kind.HEADER:
        leaves.pop()
    return leaves


@functools.cache
def _served() -> dict[str, bytes]:
    return _files(_leaves())


def _path(kind: str) -> str:
    return next(path for path in _served() if path.startswith(kind))


def served(kind: str) -> Read:
    """A log of which one file is as given."""

    def read(data: bytes) -> Any:
        with PublishedLog(_Files({**_served(), _path(kind): data}), _trust()) as log:
            log.update()
            assert kind == layout.CHECKPOINT or data == _served()[_path(kind)]
            return log.head

    return read


def logged(data: bytes) -> Any:
    """A leaf that the log has really signed, after its genesis and its first block."""
    if len(data) > layout.LONGEST_ENTRY:
        return None  # a bundle has no room for it
    with PublishedLog(_Files(_files([*_leaves()[: _first()], data])), _trust()) as log:
        log.update()
        return log.audit()


def _first() -> int:
    """How many leaves the genesis and the block after it have."""
    headers = [index for index, leaf in enumerate(_leaves()) if leaf[0] == Kind.HEADER]
    return headers[1] + 1


def next_header() -> tuple[bytes, ...]:
    """Headers that may stand there, of a block without entries."""
    before = seeds.chained().archive.parsed(_first() - 1)
    assert isinstance(before, Header)
    root = LogTree(_leaves()[: _first()]).root
    return (
        Header(
            before.origin,
            before.chain,
            before.height + 1,
            before.time,
            before.hash,
            _first(),
            root,
            before.state_root,
            before.contracts,
            None,
        ).leaf,
    )


def entry(data: bytes) -> Any:
    """A leaf, for people."""
    found = read_entry(7, data)
    assert found.index == 7 if isinstance(found, LoggedEntry) else data[0] == Kind.HEADER
    return found


def entries() -> tuple[bytes, ...]:
    """Of each kind of leaf."""
    timer = seeds.chained().papers["timer"][0]
    outcome = Outcome("ok", (), ())
    return (*seeds.chained().papers["leaf"], Entry(1, 0, 0, timer, outcome, Kind.TIMER).leaf)


def forks() -> tuple[bytes, ...]:
    """Evidence of one size, and of two."""
    one, other = LogTree([b"a", b"b"]), LogTree([b"a", b"c", b"d", b"e", b"f"])
    same = Evidence(
        _sign(one.head), _sign(other.head_at(2)), other.head_at(2).root, ConsistencyProof(2, 2, ())
    )
    grown = Evidence(_sign(one.head), _sign(other.head), other.head_at(2).root, other.prove_consistency(2))
    for each in (same, grown):
        each.verify(_trust())
    return bytes(grown), bytes(same)


FOLLOWERS = (
    Decoder(
        "transparency.Evidence",
        Evidence.parse,
        (MalformedProof,),
        forks,
        Form.TEXT,
        reaches=("medchain.transparency.evidence:Evidence.parse",),
    ),
    Decoder(
        "transparency.layout.unpack",
        lambda data: layout.unpack(data, 3),
        (MalformedProof,),
        lambda: [layout.pack(_leaves()[:3]), layout.pack([b"", b"a", b"bc"])],
        Form.BINARY,
        write=layout.pack,
        reaches=("medchain.transparency.layout:unpack",),
    ),
    Decoder(
        "transparency.read_entry",
        entry,
        (InvalidBlock,),
        entries,
        Form.BINARY,
        write=None,
        reaches=("medchain.transparency.entries:read_entry", "medchain.transparency.entries:_timer"),
    ),
    *(
        Decoder(
            f"transparency.PublishedLog {name}",
            served(kind),
            (VerificationError, StorageError),
            lambda kind=kind: [_served()[_path(kind)]],  # type: ignore[misc]
            form,
            write=None,
            slow=True,
            room=1 << 22,
            reaches=("medchain.transparency.fetching:_bundle",),
        )
        for name, kind, form in (
            ("bundle", "tile/entries", Form.BINARY),
            ("tile", "tile/0", Form.BINARY),
            ("checkpoint", layout.CHECKPOINT, Form.TEXT),
        )
    ),
    Decoder(
        "transparency.PublishedLog of a mad log",
        logged,
        (InvalidBlock,),
        next_header,
        Form.BINARY,
        write=None,
        slow=True,
        room=1 << 22,
    ),
    Decoder(
        "transparency.PublishedLog of a mad log that repeats itself",
        logged,
        (InvalidBlock,),
        paper("leaf"),
        Form.BINARY,
        write=None,
        accepts=False,
        slow=True,
        room=1 << 22,
    ),
)
