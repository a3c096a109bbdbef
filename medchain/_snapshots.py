"""Snapshots of a chain as files: taken beside the writer, restored into a chain that is read-only at first."""

from __future__ import annotations

import time
from os import PathLike
from pathlib import Path

from medchain.errors import StorageError
from medchain.ledger.archive import Archive
from medchain.ledger.checkpoint import Checkpoint
from medchain.ledger.snapshot import Progress, SnapshotHead, SnapshotReader, write_snapshot
from medchain.ledger.trust import Trust
from medchain.storage._files import NewFile
from medchain.storage._guard import guarded
from medchain.storage.api import Snapshot

__all__ = ["open_snapshot", "signed_moment", "snapshot_to"]

Path_ = str | PathLike[str]

ATTEMPTS, PAUSE_SECONDS = 500, 0.01


def signed_moment(archive: Archive) -> Snapshot:
    """A moment of the store at which the last block has its checkpoint, for who reads beside the writer.

    Raises:
        StorageError: the writer has not signed its last block for some seconds.
    """
    for _ in range(ATTEMPTS):
        moment = archive.store.snapshot()
        at = archive.at(moment)
        note = at.checkpoint()
        if note is not None and Checkpoint.parse(note).head == at.tip().log.head:
            return moment
        moment.close()
        time.sleep(PAUSE_SECONDS)
    raise StorageError(
        "the writer does not sign its last block; take the snapshot there, or when it has closed the chain"
    )


def snapshot_to(archive: Archive, moment: Snapshot, path: Path_, progress: Progress | None) -> SnapshotHead:
    """Write the chain as of a moment into a file, which is there whole or not at all; the moment is closed.

    Raises:
        StorageError: the file cannot be written, or the disk is full.
    """
    target = Path(path)
    with moment, guarded(f"write the snapshot {target}"):
        file = NewFile(target.resolve().parent)
        try:
            head = write_snapshot(archive.at(moment), file.write, progress)
            file.keep(target)
        finally:
            file.drop()
    return head


def open_snapshot(path: Path_, trust: Trust) -> SnapshotReader:
    """A snapshot file whose head is verified.

    Raises:
        StorageError: it cannot be read.
        EncodingError, VerificationError, InvalidBlock: as `SnapshotReader`.
    """
    try:
        source = Path(path).open("rb")  # noqa: SIM115  # it is closed with the reader
    except OSError as error:
        raise StorageError(f"cannot read the snapshot {path}: {error}") from error
    try:
        return SnapshotReader(source, trust)
    except BaseException:
        source.close()
        raise
