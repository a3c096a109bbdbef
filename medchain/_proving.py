"""What a chain proves to outsiders: entries, rows of the state or their absence, each as a tlog-proof."""

from __future__ import annotations

from typing import Any

from medchain.ledger.archive import Archive
from medchain.ledger.checkpoint import Checkpoint
from medchain.ledger.proof import EntryExtra, LogProof, StateExtra, extra_bytes
from medchain.ledger.tables import Table, plain_key
from medchain.ledger.versions import map_at, row_at

__all__ = ["entry_index", "prove_entry", "prove_row"]


def entry_index(what: Any) -> int:
    """The log index that `what` names: an index, a receipt, or what an entry gave; TypeError if it names none."""
    index = what if isinstance(what, int) else getattr(what, "entry", None)
    if index is None:
        index = getattr(what, "index", None)
    if type(index) is not int:
        raise TypeError(f"{what!r} names no entry of the log")
    return index


def prove_entry(archive: Archive, index: int, checkpoint: Checkpoint) -> bytes:
    """That the leaf at `index` is in the log of `checkpoint`; IndexError if the checkpoint does not cover it."""
    if not 0 <= index < checkpoint.size:
        raise IndexError(f"entry {index} is not in the log of size {checkpoint.size}")
    with archive.store.snapshot() as moment:
        archive = archive.at(moment)
        extra = extra_bytes(EntryExtra(archive.leaf(index)))
        return bytes(LogProof(archive.prove_inclusion(index, checkpoint.size), checkpoint, extra))


def prove_row(
    archive: Archive, table: Table[Any], key: Any, checkpoint: Checkpoint, height: int | None
) -> tuple[bytes, bool]:
    """That a table has a row under `key`, or none, as of the block at `height`, or of that which the checkpoint ends.

    Returns:
        The tlog-proof, and whether there is such a row.

    Raises:
        IndexError: there is no such block under the checkpoint, or its state is not kept any more.
        InvalidBlock: what is stored contradicts itself.
    """
    with archive.store.snapshot() as moment:
        archive = archive.at(moment)
        index = checkpoint.size - 1 if height is None else archive.header_index(height)
        if index >= checkpoint.size:
            raise IndexError(f"block {height} is not in the log of size {checkpoint.size}")
        header = archive.header(index)
        state = map_at(archive, header)
        row, proof = row_at(archive, state, *table.place(key))
        extra = StateExtra(header.leaf, table.contract, table.name, plain_key(key), row, bytes(proof))
        inclusion = archive.prove_inclusion(index, checkpoint.size)
    return bytes(LogProof(inclusion, checkpoint, extra_bytes(extra))), row is not None
