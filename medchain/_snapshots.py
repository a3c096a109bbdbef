"""Snapshots of a chain as files: taken beside the writer, restored into a chain that is read-only at first."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from medchain.errors import StorageError
from medchain.ledger.archive import Archive
from medchain.ledger.registry import Registry
from medchain.ledger.snapshot import Progress, SnapshotHead, SnapshotReader, write_snapshot
from medchain.ledger.system import LedgerTables
from medchain.ledger.trust import Trust
from medchain.storage._files import NewFile
from medchain.storage._guard import guarded
from medchain.storage.api import Snapshot

__all__ = ["open_snapshot", "snapshot_to"]

Path_ = str | PathLike[str]


def snapshot_to(
    archive: Archive, registry: Registry, moment: Snapshot, path: Path_, progress: Progress | None
) -> SnapshotHead:
    """Write the chain as of the last block that is signed at a moment into a file; the moment is closed.

    The file is there whole or not at all.

    Raises:
        StorageError: as `write_snapshot`; or the file cannot be written, or the disk is full.
    """
    tables = {(LedgerTables.name, name) for name in LedgerTables.tables}
    tables.update((each.name, name) for each in registry.classes.values() for name in each.tables)
    target = Path(path)
    with moment, guarded(f"write the snapshot {target}"):
        file = NewFile(target.resolve().parent)
        try:
            head = write_snapshot(archive.at(moment), file.write, progress, tables)
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
