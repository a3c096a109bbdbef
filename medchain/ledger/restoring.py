"""Putting a snapshot into an empty store: a chain that goes on from there, without the leaves before.

Of the log before the snapshot the store gets the nodes on its right border and those beside the last header: every
proof of a later leaf, or of that header, leads through these and no others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable

from medchain.encoding import encode
from medchain.errors import InvalidBlock, StorageError
from medchain.ledger import layout
from medchain.ledger.archive import Archive
from medchain.ledger.layout import Base, StoredTip
from medchain.ledger.snapshot import SnapshotReader
from medchain.ledger.versions import NODES, stored_nodes
from medchain.merkle import cover, inclusion_nodes, leaf_hash
from medchain.merkle.packed import Load, MapUpdate, PackedMap
from medchain.records import encode_record
from medchain.storage.api import Batch, Store

__all__ = ["UNFINISHED", "border_nodes", "partial_tiles", "restore", "state_of"]

Progress = Callable[[int, int | None], object]

BATCH_BYTES = 4 << 20
REPORT_ROWS = 1_000

UNFINISHED = b"mrestoring"
"""The key under which a store says that all it holds is a snapshot in the course of being restored."""


def restore(store: Store, snapshot: SnapshotReader, progress: Progress | None = None) -> None:
    """Fill an empty store from a snapshot, which is read and verified as a whole before the store is touched.

    A restore that was broken off is removed and begun anew; nothing else is.

    Raises:
        StorageError: the store holds a chain or something else, or cannot be written; or the snapshot has changed while
            it was read.
        EncodingError, InvalidBlock: the snapshot is damaged, or its rows are not those of its header.
    """
    archive = Archive(store)
    if archive.founded:
        raise StorageError("the store holds a chain already; restore into an empty one")
    if not archive.empty and store.get(UNFINISHED) is None:
        raise StorageError("the store holds something else already; restore into an empty one")
    report = progress or _silent
    verified, written = _Digest(), _Digest()
    state = state_of(
        snapshot, stored_nodes(store), verified.add, lambda done, total: report(done, total and 2 * total)
    )
    begin = Batch()
    begin.delete_range(b"", None)
    begin.put(UNFINISHED, snapshot.genesis.id)
    store.commit(begin)
    total = snapshot.head.rows
    with _Writing(store) as writing:
        for done, (key, row) in enumerate(snapshot.rows(), 1):
            written.add(key, row)
            writing.put(key, row)
            if done % REPORT_ROWS == 0 or done == total:
                report(total + done, 2 * total)
        for key, node in state.nodes:
            writing.put(NODES + key, node)
    if written.value != verified.value:
        raise StorageError("the snapshot has changed while it was read; restore it again")
    store.commit(_closing(snapshot))


def _silent(done: int, total: int | None) -> None: ...


class _Digest:
    """Of rows in their order: what was verified is what is written."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, key: bytes, row: bytes) -> None:
        self._hash.update(b"".join((len(key).to_bytes(2, "big"), len(row).to_bytes(4, "big"), key, row)))

    @property
    def value(self) -> bytes:
        return self._hash.digest()


def state_of(
    snapshot: SnapshotReader,
    load: Load,
    put: Callable[[bytes, bytes], None],
    progress: Progress | None = None,
) -> MapUpdate:
    """The state map of a snapshot, while each of its rows goes to `put`.

    Raises:
        EncodingError, InvalidBlock: the snapshot is damaged, or its rows are not those of its header.
    """
    hashes: dict[bytes, bytes] = {}
    total, header = snapshot.head.rows, snapshot.header
    for done, (key, row) in enumerate(snapshot.rows(), 1):
        put(key, row)
        hashes[layout.row_map_key(key, row)] = hashlib.sha256(row).digest()
        if progress is not None and (done % REPORT_ROWS == 0 or done == total):
            progress(done, total)
    update = PackedMap.empty(load).updated_hashed(hashes, header.height)
    if update.map.root != header.state_root:
        raise InvalidBlock("the rows of the snapshot are not the state of its header", height=header.height)
    return update


class _Writing:
    """Pairs on their way into a store, in batches of bounded size; nobody takes them for a chain."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._batch = Batch()

    def put(self, key: bytes, value: bytes) -> None:
        self._batch.put(key, value)
        if self._batch.size >= BATCH_BYTES:
            self._flush()

    def _flush(self) -> None:
        self._store.commit(self._batch)
        self._batch = Batch()

    def __enter__(self) -> _Writing:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._flush()


def _closing(snapshot: SnapshotReader) -> Batch:
    """What makes the rows a chain: the last batch."""
    size, height = snapshot.log.size, snapshot.header.height
    last = size - 1
    batch = Batch()
    batch.put(layout.leaf_key(0), snapshot.head.genesis)
    batch.put(layout.leaf_key(last), snapshot.head.header)
    batch.put(layout.height_key(height), last.to_bytes(8, "big"))
    pinned = border_nodes(snapshot)
    for (level, index), node in pinned.items():
        batch.put(layout.pin_key(level, index), node)
    for key, tile in partial_tiles(size, pinned):
        batch.put(key, tile)
    batch.put(b"mbase", encode_record(Base(size, height)))
    batch.put(b"mcheckpoint", snapshot.head.checkpoint)
    batch.put(b"mtip", encode_record(StoredTip(size, snapshot.log.nodes, last)))
    batch.put(b"mformat", encode(layout.FORMAT))
    batch.delete(UNFINISHED)
    return batch


def border_nodes(snapshot: SnapshotReader) -> dict[tuple[int, int], bytes]:
    """The nodes that a snapshot tells: the log's range, first and last leaf, and those beside the way of the last."""
    size, head = snapshot.log.size, snapshot.head
    nodes = dict(zip(cover(0, size), head.nodes, strict=True))
    nodes[0, 0], nodes[0, size - 1] = leaf_hash(head.genesis), leaf_hash(head.header)
    for index, path in ((0, head.first), (size - 1, head.last)):
        plan = inclusion_nodes(index, size)
        nodes.update(
            zip(plan.nodes[: plan.begin], path, strict=False)
        )  # behind it the nodes of the range, as one hash
        nodes.update(zip(plan.nodes[plan.end :], path[plan.begin + (plan.end > plan.begin) :], strict=True))
    return nodes


def partial_tiles(size: int, known: dict[tuple[int, int], bytes]) -> Iterable[tuple[bytes, bytes]]:
    """The last tile of each level, to be appended to: zeros stand for what is not known."""
    level = 0
    while size:
        start = size - size % layout.TILE_WIDTH
        hashes = [
            known.get((layout.TILE_HEIGHT * level, index), layout.UNKNOWN) for index in range(start, size)
        ]
        if hashes:
            yield layout.tile_key(level, start // layout.TILE_WIDTH), b"".join(hashes)
        level += 1
        size >>= layout.TILE_HEIGHT
