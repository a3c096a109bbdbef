"""What a chain proves to outsiders: entries, rows or their absence, that it has only grown. Each as a tlog-proof."""

from __future__ import annotations

from typing import Any

from medchain.errors import StorageError
from medchain.ledger.archive import Archive
from medchain.ledger.checkpoint import Checkpoint
from medchain.ledger.proof import ConsistencyExtra, EntryExtra, LogProof, StateExtra, extra_bytes
from medchain.ledger.tables import Table, plain_key
from medchain.ledger.trust import Trust
from medchain.ledger.verify import Consistency, verify
from medchain.ledger.versions import map_at, row_at
from medchain.merkle import ConsistencyProof

__all__ = ["check_height", "entry_index", "prove_consistency", "prove_entry", "prove_growth", "prove_row"]


def entry_index(what: Any) -> int:
    """The log index that `what` names: an index, a receipt, or what an entry gave; TypeError if it names none."""
    index = what if isinstance(what, int) else getattr(what, "entry", None)
    if index is None:
        index = getattr(what, "index", None)
    if type(index) is not int:
        raise TypeError(f"{what!r} names no entry of the log")
    return index


def check_height(height: Any) -> None:
    """TypeError if it is something else than the height of a block, or None."""
    if height is not None and type(height) is not int:
        raise TypeError(f"a block has a height, not {height!r}")


def prove_entry(archive: Archive, index: int, checkpoint: Checkpoint) -> bytes:
    """That the leaf at `index` is in the log of `checkpoint`; IndexError if the checkpoint does not cover it."""
    if not 0 <= index < checkpoint.size:
        raise IndexError(f"entry {index} is not in the log of size {checkpoint.size}")
    with archive.store.snapshot() as moment:
        archive = archive.at(moment)
        _expect_size(archive, checkpoint.size)
        extra = extra_bytes(EntryExtra(_leaf(archive, index)))
        return bytes(LogProof(archive.prove_inclusion(index, checkpoint.size), checkpoint, extra))


def prove_row(
    archive: Archive, table: Table[Any], key: Any, checkpoint: Checkpoint, height: int | None
) -> tuple[bytes, bool]:
    """That a table has a row under `key`, or none, as of the block at `height`, or of that which the checkpoint ends.

    Returns:
        The tlog-proof, and whether there is such a row.

    Raises:
        IndexError: there is no such block under the checkpoint, or its state is not kept any more.
        TypeError: it is no height.
        InvalidBlock: what is stored contradicts itself.
    """
    check_height(height)
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


def prove_consistency(archive: Archive, old: int, new: int) -> ConsistencyProof:
    """That the log of `new` leaves begins with the log of `old` leaves; errors as `Chain.prove_consistency` says."""
    for size in (old, new):
        if type(size) is not int:
            raise TypeError(f"a log has a size, not {size!r}")
    with archive.store.snapshot() as moment:
        archive = archive.at(moment)
        _expect_size(archive, new)
        return archive.prove_consistency(old, new)


def prove_growth(archive: Archive, old: Checkpoint, new: Checkpoint, trust: Trust) -> bytes:
    """That the log of checkpoint `new` begins with that of `old`, which somebody has kept.

    The inclusion proof of the header with which the older log ended is all that is needed: its left siblings lead to
    the older root. Errors as `Chain.prove_consistency` says.
    """
    trust.verify(old)
    if old.size == 0:
        raise ValueError("every log begins with an empty one: nothing proves it")
    if old.size > new.size:
        raise IndexError(f"the older checkpoint has size {old.size}, the newer one {new.size}")
    index = old.size - 1
    with archive.store.snapshot() as moment:
        archive = archive.at(moment)
        _expect_size(archive, new.size)
        extra = ConsistencyExtra(_leaf(archive, index), bytes(old))
        data = bytes(LogProof(archive.prove_inclusion(index, new.size), new, extra_bytes(extra)))
    verify(data, Consistency, trust=trust)  # both checkpoints came from outside
    return data


def _leaf(archive: Archive, index: int) -> bytes:
    """Leaf data; IndexError if the log is shorter, StorageError if a restored chain does not have it."""
    try:
        return archive.leaf(index)
    except IndexError:
        base = archive.base
        if base is None or index >= base.size:
            raise
        raise StorageError(
            f"this chain was restored from a snapshot at size {base.size}; what was logged before is not here"
        ) from None


def _expect_size(archive: Archive, size: int) -> None:
    """IndexError if the stored log is shorter."""
    stored = archive.tip().size
    if size > stored:
        raise IndexError(f"the log has {stored} leaves and does not reach up to size {size}")
