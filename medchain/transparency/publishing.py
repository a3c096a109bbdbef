"""Publishing: a chain's log as static files that any tlog-tiles client reads, entries included.

What is published is what the log holds: signed transactions, outcomes and headers. Sealed data is not in the log.
Entry bundles and tiles go first, the checkpoint that speaks of them last; so whoever reads meanwhile sees the log of
the last checkpoint, whole. Nothing that was published is changed or removed, partial tiles included.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

from attrs import evolve, field, frozen

from medchain.chain import Chain
from medchain.errors import Forked, NotWitnessed, Rewound, StorageError, VerificationError
from medchain.ledger.archive import Archive
from medchain.ledger.checkpoint import Checkpoint
from medchain.ledger.layout import UNKNOWN
from medchain.ledger.note import NOTE_LIMIT
from medchain.ledger.quorum import Quorum
from medchain.ledger.trust import Trust
from medchain.transparency import layout
from medchain.transparency.evidence import Evidence
from medchain.transparency.target import Target, target_of

__all__ = ["Cosign", "Publication", "publication_trust", "publish"]

Progress = Callable[[int, int], object]
Cosign = Callable[[Checkpoint], Checkpoint]
"""Gives a checkpoint with the cosignatures of witnesses; NotWitnessed if there are too few."""


@frozen
class Publication:
    """What publishing has done.

    Attributes:
        checkpoint: what stands there now.
        files: how many tiles and bundles were written,
        bytes: and of how many bytes in all.
    """

    checkpoint: Checkpoint
    files: int
    bytes: int = field()

    @property
    def size(self) -> int:
        """How many entries are published."""
        return self.checkpoint.size


def publication_trust(chain: Chain, *, quorum: Quorum | None = None, url: str | None = None) -> Trust:
    """What readers of the published log need: `Chain.trust`, the log's ML-DSA-44 key, witnesses, and where it lies.

    The ML-DSA-44 key is there only if the chain is open for writing.
    """
    trust = chain.trust
    cosigner = chain.cosigner
    keys = trust.log_keys if cosigner is None else (*trust.log_keys, cosigner.key)
    urls = (url, *[None] * (len(keys) - 1))
    return evolve(trust, log_keys=keys, quorum=quorum or trust.quorum, urls=urls)


def publish(
    chain: Chain,
    target: Target | str | os.PathLike[str] | Any,
    *,
    cosign: Cosign | None = None,
    unwitnessed: bool = False,
    check: bool = False,
    progress: Progress | None = None,
) -> Publication:
    """Bring a published log up to the chain's last signed block.

    Args:
        chain: open for writing, or for reading: then what its writer has signed last is published.
        target: a directory, or a store of obstore for a bucket.
        cosign: asks witnesses; without their consent no checkpoint is published.
        unwitnessed: a checkpoint without cosignatures may replace one that has some. Readers who demand witnesses
            then refuse the log.
        check: read all that is published already, and write anew what is missing or wrong.
        progress: called as ``progress(entries published, entries in all)``.

    Raises:
        Forked: what is published there is signed, and of another history than this chain's; with the evidence.
        Rewound: more is published there than this chain has: it is an old copy.
        StorageError: the target cannot be written, holds another log, or the chain lacks what is to be published.
        Locked: another process publishes there, or has done so meanwhile.
        NotWitnessed: too few witnesses have cosigned; or none was asked, and what is published has cosignatures.
    """
    place = target_of(target)
    with place.writing():
        archive = chain._archive
        checkpoint = chain.cosigned_checkpoint()
        found = place.read(layout.CHECKPOINT, NOTE_LIMIT)
        before = None if found is None else _published(chain, archive, found, checkpoint, place)
        old = 0 if before is None else before.size
        count = written = 0
        for part in (*_missing(archive, place, old if check else 0), *_parts(checkpoint.size, old)):
            data = _content(archive, part)
            place.write(part.path, data)
            count, written = count + 1, written + len(data)
            if progress is not None and part.level is None:
                progress(min(part.start + part.width, checkpoint.size), checkpoint.size)
        if before is not None and cosign is None and _says_all(before, checkpoint):
            place.settle()
            return Publication(before, count, written)
        if cosign is not None:
            checkpoint = cosign(checkpoint)
        if before is not None and not unwitnessed and _witnesses(before) and not _witnesses(checkpoint):
            raise NotWitnessed(
                f"what is published is cosigned by {', '.join(sorted(_witnesses(before)))}, and this would replace it"
                " by a checkpoint without witnesses: give the policy (cosign=, --policy), or say that the log goes on"
                " without them (unwitnessed=True, --unwitnessed)",
                refusals={},
            )
        place.settle()
        place.replace(layout.CHECKPOINT, bytes(checkpoint), found)
        place.settle()
        return Publication(checkpoint, count, written)


def _parts(size: int, old: int = 0) -> Iterator[layout.Part]:
    yield from layout.entries(size, old)
    yield from layout.tiles(size, old)


def _missing(archive: Archive, place: Target, size: int) -> Iterator[layout.Part]:
    """What a log of `size` entries consists of and does not lie there as it should."""
    for part in _parts(size):
        wanted = _content(archive, part)
        try:
            lies = place.read(part.path, len(wanted)) == wanted
        except StorageError:  # longer, or unreadable: writing it says what is the matter if it stays so
            lies = False
        if not lies:
            yield part


def _published(chain: Chain, archive: Archive, data: bytes, latest: Checkpoint, place: Target) -> Checkpoint:
    """The checkpoint that is published already, which must be one of this very log."""
    try:
        before = Checkpoint.parse(data)
        chain.trust.verify(before)
    except VerificationError as error:
        raise StorageError(f"{place!r} holds something else than this chain's log: {error}") from error
    if before.size > latest.size:
        raise Rewound(
            f"{before.size} entries are published, and this chain has {latest.size}: it is an old copy of itself"
        )
    mine = archive.head(before.size)
    if mine != before.head:
        proof = archive.prove_consistency(before.size, latest.size)
        evidence = Evidence(before, latest, mine.root, proof)
        raise Forked(
            f"what is published is another history than this chain's: {evidence.summary}",
            evidence=bytes(evidence),
        )
    return before


def _says_all(before: Checkpoint, latest: Checkpoint) -> bool:
    """Whether what is published is of the same log and signed by the same keys; ML-DSA-44 signs anew each time."""
    old, new = ({(line.name, line.key_id) for line in each.note.signatures} for each in (before, latest))
    return before.head == latest.head and new <= old


def _witnesses(checkpoint: Checkpoint) -> set[str]:
    """Who has signed besides the log, by name."""
    return {line.name for line in checkpoint.note.signatures} - {checkpoint.origin}


def _content(archive: Archive, part: layout.Part) -> bytes:
    """The bytes of a tile or a bundle."""
    if part.level is None:
        return layout.pack(list(archive.leaves(part.start, part.start + part.width)))
    data = (archive.tile(part.level, part.index) or b"")[: 32 * part.width]
    if len(data) != 32 * part.width or UNKNOWN in _hashes(data):
        raise StorageError(
            f"the chain lacks the hashes of {part.path}: a chain that was restored from a snapshot cannot publish"
            " what was logged before it"
        )
    return data


def _hashes(data: bytes) -> Iterator[bytes]:
    return (data[at : at + 32] for at in range(0, len(data), 32))
