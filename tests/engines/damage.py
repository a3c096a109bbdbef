"""Ways to spoil a published log of 257 entries, by name: each changes one thing in its directory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from engines.logs import Published, text_of

from medchain.ledger.note import Note
from medchain.merkle import LogTree

FILES = (
    "checkpoint",
    "tile/0/000",
    "tile/0/001.p/1",
    "tile/1/000.p/1",
    "tile/entries/000",
    "tile/entries/001.p/1",
)
"""All that there is."""

Spoil = Callable[[Published], object]


def _edit(path: str, change: Callable[[bytes], bytes]) -> Spoil:
    def spoil(log: Published) -> None:
        file = log.directory / path
        file.write_bytes(change(file.read_bytes()))

    return spoil


def _flipped(at: int) -> Callable[[bytes], bytes]:
    def flip(data: bytes) -> bytes:
        spoilt = bytearray(data)
        spoilt[at] ^= 1
        return bytes(spoilt)

    return flip


def _swap(log: Published) -> None:
    """Two entries of a bundle have changed places."""
    first, second, *rest = log.leaves[:256]
    packed = [len(each).to_bytes(2, "big") + each for each in (second, first, *rest)]
    (log.directory / "tile/entries/000").write_bytes(b"".join(packed))


def _sign(log: Published, size: int, root: bytes) -> None:
    text = text_of(log.signer.name, size, root)
    (log.directory / "checkpoint").write_bytes(bytes(Note(text, (log.signer.sign(text),))))


def _larger(log: Published) -> None:
    """The checkpoint speaks of an entry that is not published."""
    _sign(log, 258, LogTree([*log.leaves, b"one more"]).root)


def _another(log: Published) -> None:
    """The checkpoint is of another history of that length."""
    _sign(log, 257, LogTree([*log.leaves[:-1], b"another"]).root)


def _smaller(log: Published) -> None:
    """The checkpoint says less than its root covers."""
    _sign(log, 256, LogTree(log.leaves).root)


def _remove(path: str) -> Spoil:
    def remove(log: Published) -> None:
        (log.directory / path).unlink()

    return remove


def _stranger(log: Published) -> None:
    """Nobody known has signed: the log's line is gone."""
    file = log.directory / "checkpoint"
    text, _, lines = file.read_text().partition("\n\n")
    kept = [line for line in lines.splitlines() if len(line) > 1_000]  # the post-quantum one
    assert len(kept) == 1
    file.write_text(f"{text}\n\n{kept[0]}\n")


WAYS: dict[str, Spoil] = (
    {f"{path} is missing": _remove(path) for path in FILES}
    | {f"{path} begins with another bit": _edit(path, _flipped(0)) for path in FILES}
    | {f"{path} ends in another bit": _edit(path, _flipped(-2)) for path in FILES}
    | {f"{path} ends early": _edit(path, lambda data: data[:-1]) for path in FILES}
    | {f"{path} is empty": _edit(path, lambda _: b"") for path in FILES}
    | {
        "tile/0/000 has a hash too few": _edit("tile/0/000", lambda data: data[:-32]),
        "a tile is made of its hashes in another order": _edit(
            "tile/0/000", lambda data: data[32:64] + data[:32] + data[64:]
        ),
        "two entries have changed places": _swap,
        "the checkpoint speaks of an entry that is not there": _larger,
        "the checkpoint is of another history": _another,
        "the checkpoint says less than its root covers": _smaller,
        "the log has not signed": _stranger,
    }
)

PADDED: dict[str, Spoil] = {
    f"{path} goes on": _edit(path, lambda data: data + bytes(32)) for path in FILES if path != "checkpoint"
}
"""Bytes after the last hash or entry: tessera's fsck does not see them after partial tiles and after bundles."""


def stray(directory: Path) -> list[tuple[str, bytes]]:
    """Files that no reader asks for by the checkpoint, and that are not of the log: what a walk of all finds."""
    whole = (directory / "tile/0/000").read_bytes()
    return [
        ("tile/0/000.p/7", bytes(7 * 32)),
        ("tile/0/000.p/8", whole[: 7 * 32]),
        ("tile/0/001.p/2", whole[:64]),
        ("tile/0/002", whole),
        ("tile/1/000.p/2", whole[:64]),
        ("tile/2/000.p/1", whole[:32]),
        ("tile/entries/000.p/1", b"\0\1x"),
        ("tile/entries/001.p/2", b"\0\1x\0\1y"),
        ("tile/0/0", whole),
        ("tile/0/x000/000", whole),
        ("tile/00/000", whole),
        ("tile/0/000.p/256", whole),
        ("tile/0/000.p/07", whole[: 7 * 32]),
        ("tile/0/000.p/0", b""),
        ("tile/index", b""),
        ("tile/64/000", whole),
    ]
