"""Reading a chain again from its genesis: every hash, every signature, every outcome, every row.

Nothing that is stored is believed. Leaves are executed again and compared with what that gives, tiles and indexes with
the leaves, rows with the state that the execution leaves behind, the checkpoint with the log and its key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from attrs import field, frozen

from medchain.errors import InvalidBlock, StorageError, VerificationError
from medchain.ledger.archive import Archive
from medchain.ledger.audit_report import AuditReport
from medchain.ledger.checkpoint import Checkpoint
from medchain.ledger.entry import Genesis, Kind
from medchain.ledger.layout import TILE_HEIGHT, TILE_WIDTH, Base, StoredTip, pin_key
from medchain.ledger.note import VerifierKey
from medchain.ledger.registry import Registry
from medchain.ledger.replaying import execute_again, found_again
from medchain.ledger.restoring import border_nodes, partial_tiles, state_of
from medchain.ledger.snapshot import SnapshotReader
from medchain.ledger.state import NO_ROWS, Overlay
from medchain.ledger.transaction import Transaction
from medchain.ledger.transition import Block, Receipt, Tip
from medchain.ledger.versions import NODES, REPLACED, RebuiltVersions
from medchain.merkle import Head, leaf_hash
from medchain.merkle.packed import Load
from medchain.storage.api import prefix_end

__all__ = ["AuditReport", "Progress", "audit"]

Progress = Callable[[int, int | None], object]


def audit(
    archive: Archive,
    registry: Registry,
    progress: Progress | None = None,
    *,
    snapshot: SnapshotReader | None = None,
) -> AuditReport:
    """Execute a stored chain again from its genesis and compare every byte of the store.

    A writer may go on meanwhile: what it adds is read, too, and only the end sees one moment of the store.

    Args:
        archive: the chain.
        registry: the contract classes of this node.
        progress: called as ``progress(leaves done, leaves in all)``.
        snapshot: where a restored chain begins, and so its audit.

    Raises:
        InvalidBlock: with the place of the first contradiction.
        ConsensusError: a contract of the chain is not installed here.
        StorageError: the chain was restored from a snapshot, and none is given.
        EncodingError: the snapshot is damaged.
        ValueError: a snapshot is given, and the chain is here from its genesis, or from another one.
    """
    replay = _Replay(archive, registry, snapshot)
    replay.run(archive, archive.tip().size, progress)
    with archive.store.snapshot() as moment:
        last = archive.at(moment)
        stored = last.tip()
        replay.run(last, stored.size, progress)
        replay.compare(last, stored)
    return replay.report()


class _Replay:
    """A chain in the course of being executed again, from its stored genesis on."""

    def __init__(self, archive: Archive, registry: Registry, snapshot: SnapshotReader | None) -> None:
        self._registry = registry
        self._rows = Overlay(NO_ROWS)
        self._tiles = _Tiles()
        self._versions = RebuiltVersions()
        self._outcomes: Counter[tuple[str, str]] = Counter()
        self._transactions = 0
        self._start = _start(archive, snapshot)
        if snapshot is None:
            self.genesis, block = _genesis(archive, registry, self._versions.load)
        else:
            self.genesis, block = snapshot.genesis, self._restored(snapshot)
        self._began = block.tip.header.time
        self._accept(archive, block)

    def _restored(self, snapshot: SnapshotReader) -> Block:
        """The block that the snapshot ends, of which only the header is here."""
        state = state_of(snapshot, self._versions.load, self._rows.changes.__setitem__)
        tip = Tip(snapshot.header, snapshot.log, state.map)
        first = snapshot.log.size - 1
        return Block(tip, first, (snapshot.head.header,), (), {}, (), state.nodes, ())

    def run(self, archive: Archive, size: int, progress: Progress | None) -> None:
        """Execute what `archive` holds up to `size`."""
        for leaves in _blocks(archive, self.tip.log.size, size):
            self._accept(archive, self._execute(leaves))
            if progress is not None:
                progress(self.tip.log.size, size)

    def _accept(self, archive: Archive, block: Block) -> None:
        """Go on to `block`, whose leaves are right, and compare what the store has to find them by."""
        header = block.tip.header
        place = {"height": header.height, "index": block.first}
        if _header_index(archive, header.height) != block.first + len(block.leaves) - 1:
            raise InvalidBlock("the index of heights does not name the header", **place)
        sent = [
            each
            for each, leaf in zip(block.receipts, block.leaves, strict=False)
            if leaf[0] == Kind.TRANSACTION
        ]
        if archive.find_many([receipt.id for receipt in sent]) != [receipt.index for receipt in sent]:
            raise InvalidBlock("the index of transactions does not name the entry", **place)
        self._transactions += len(sent)
        for each in block.receipts[: len(block.receipts) - len(sent)]:  # timers come first
            self._outcomes["timer", each.code] += 1
        self._tiles.compare(archive, block)
        self._rows.changes.update(block.rows)
        self._versions.add(block)
        self.tip = block.tip

    def _execute(self, leaves: list[bytes]) -> Block:
        return execute_again(self._registry, self.genesis, self.tip, self._rows, leaves, self._count)

    def _count(self, transaction: Transaction, receipt: Receipt) -> None:
        self._outcomes[transaction.body.contract, receipt.code] += 1

    def compare(self, archive: Archive, stored: StoredTip) -> None:
        """That the store holds exactly what executing the leaves gives, now that all are executed."""
        tip = self.tip
        if stored != StoredTip(tip.log.size, tip.log.nodes, tip.log.size - 1):
            raise InvalidBlock("the stored place of the last block is not where the leaves end")
        archive.check_format()
        noted = _compare_checkpoint(archive, self.genesis, tip.head)
        _compare_rows(archive.scan(b"r", b"s"), self._rows.scan(b"r", b"s"))
        kept = _compare_versions(archive, self._versions)
        base = self._start.compare(archive)
        expected = {
            b"e": tip.log.size if base is None else tip.log.size - base.size + (2 if base.size > 1 else 1),
            b"h": tip.header.height + 1 - (0 if base is None else base.height),
            b"i": self._transactions,
            b"m": 2 + noted + (base is not None) + archive.followed,
            b"p": len(self._start.pinned),
            b"r": len(tip.map),
            b"t": self._tiles.count(archive, tip.log.size, 0 if base is None else base.size),
            **kept,
        }
        counted = Counter(key[:1] for key, _ in archive.scan(b"", None))
        for kind in sorted(counted.keys() | expected.keys()):
            if counted[kind] != expected.get(kind, 0):
                raise InvalidBlock(
                    f"the store has {counted[kind]} keys that begin with {kind!r}, not {expected.get(kind, 0)}"
                )

    def report(self) -> AuditReport:
        """What was found to hold."""
        header = self.tip.header
        return AuditReport(
            origin=header.origin,
            chain=self.genesis.id,
            head=self.tip.head,
            height=header.height,
            began=self._began,
            ended=header.time,
            outcomes=dict(self._outcomes),
            rows=len(self.tip.map),
        )


@frozen
class _Start:
    """What a restored chain has of the log before it: nodes at the border, and tiles to append to. Else nothing."""

    base: Base | None = None
    pinned: dict[tuple[int, int], bytes] = field(factory=dict)
    tiles: tuple[tuple[bytes, bytes], ...] = ()
    leaves: tuple[tuple[int, bytes], ...] = ()

    def compare(self, archive: Archive) -> Base | None:
        """That the store holds this; gives the base."""
        if archive.base != self.base:
            raise InvalidBlock("the place where the restored chain begins is not that of the snapshot")
        for index, leaf in self.leaves:
            if archive.leaf(index) != leaf:
                raise InvalidBlock("a header is not that of the snapshot", index=index)
        for (level, index), node in self.pinned.items():
            if archive.reader.get(pin_key(level, index)) != node:
                raise InvalidBlock(f"the kept node {level}/{index} of the log is not that of the snapshot")
        for key, tile in self.tiles:
            if not (archive.reader.get(key) or b"").startswith(tile):
                raise InvalidBlock("a hash tile does not begin as the snapshot says")
        return self.base


def _start(archive: Archive, snapshot: SnapshotReader | None) -> _Start:
    base = archive.base
    if snapshot is None:
        if base is not None:
            raise StorageError(
                f"this chain was restored from a snapshot at size {base.size}: name the snapshot to audit it from there"
            )
        return _Start()
    if base != Base(snapshot.log.size, snapshot.header.height):
        raise ValueError("the chain was not restored from this snapshot")
    pinned, head = border_nodes(snapshot), snapshot.head
    return _Start(
        base,
        pinned,
        tuple(partial_tiles(base.size, pinned)),
        ((0, head.genesis), (base.size - 1, head.header)),
    )


class _Tiles:
    """Compares stored hash tiles with nodes as they come, in order, holding one tile of each level."""

    def __init__(self) -> None:
        self._current: dict[int, tuple[int, bytes]] = {}

    def compare(self, archive: Archive, block: Block) -> None:
        """That the nodes which a block created stand in the stored tiles."""
        self._current.clear()  # a partial tile may have grown since the last block
        for level, index, hashed in block.nodes:
            if level % TILE_HEIGHT:
                continue
            number, offset = divmod(index, TILE_WIDTH)
            if level not in self._current or self._current[level][0] != number:
                self._current[level] = number, archive.tile(level // TILE_HEIGHT, number) or b""
            tile = self._current[level][1]
            if tile[32 * offset : 32 * offset + 32] != hashed or len(tile) > 32 * TILE_WIDTH:
                raise InvalidBlock(
                    f"the stored hash tile {level // TILE_HEIGHT}/{number} is not that of the leaves",
                    height=block.tip.header.height,
                    index=block.first,
                )

    @staticmethod
    def count(archive: Archive, size: int, start: int) -> int:
        """How many tiles the log has from leaf `start` on; the last of each level must end where the log does."""
        tiles = level = 0
        while size:
            number, last = divmod(size - 1, TILE_WIDTH)
            here = number + 1 - start // TILE_WIDTH
            if here and len(archive.tile(level, number) or b"") != 32 * (last + 1):
                raise InvalidBlock(f"the stored hash tile {level}/{number} has another length than the log")
            tiles += here
            level += 1
            size, start = size >> TILE_HEIGHT, start >> TILE_HEIGHT
        return tiles


def _blocks(archive: Archive, start: int, size: int) -> Iterator[list[bytes]]:
    """The leaves of each block from log index `start` on, header last."""
    block: list[bytes] = []
    for leaf in archive.leaves(start, size):
        block.append(leaf)
        if leaf[:1] == bytes([Kind.HEADER]):
            yield block
            block = []
    if block:
        raise InvalidBlock("the log does not end with a header", index=size - 1)


def _genesis(archive: Archive, registry: Registry, load: Load) -> tuple[Genesis, Block]:
    leaf = next(archive.leaves(0, 1))
    if leaf_hash(leaf) != archive.node(0, 0):
        raise InvalidBlock("the genesis is not the one that was hashed", index=0)
    return found_again(registry, leaf, load)


def _header_index(archive: Archive, height: int) -> int | None:
    try:
        return archive.header_index(height)
    except IndexError:
        return None


def _compare_checkpoint(archive: Archive, genesis: Genesis, head: Head) -> bool:
    """Whether a checkpoint is stored; it must be one of this log, signed with its key, where a block ends."""
    note = archive.checkpoint()
    if note is None:
        return False
    try:
        checkpoint = Checkpoint.parse(note)
        checkpoint.note.verified_by([VerifierKey(genesis.origin, genesis.log_key)])
    except VerificationError as error:
        raise InvalidBlock(f"the stored checkpoint is damaged: {error}") from error
    if checkpoint.origin != genesis.origin or not 0 < checkpoint.size <= head.size:
        raise InvalidBlock("the stored checkpoint is not one of this log")
    if (
        archive.head(checkpoint.size) != checkpoint.head
        or archive.leaf(checkpoint.size - 1)[0] != Kind.HEADER
    ):
        raise InvalidBlock(f"the stored checkpoint of size {checkpoint.size} is not of the stored log")
    return True


def _compare_rows(stored: Iterable[tuple[bytes, bytes]], executed: Iterable[tuple[bytes, bytes]]) -> None:
    mine = iter(executed)
    for key, data in stored:
        if next(mine, None) != (key, data):
            raise InvalidBlock(f"the stored row {key[:64]!r} is not what the entries give")
    if next(mine, None) is not None:
        raise InvalidBlock("a row is missing from the store")


def _compare_versions(archive: Archive, rebuilt: RebuiltVersions) -> dict[bytes, int]:
    """That map nodes and replaced rows of the kept versions are stored as executing gives them; how many of each."""
    expected, found = dict(rebuilt), dict.fromkeys((NODES, REPLACED), 0)
    for kind in found:
        for key, data in archive.scan(kind, prefix_end(kind)):
            if expected.get(key) != data:
                what = "node of the state map" if kind == NODES else "replaced row"
                raise InvalidBlock(
                    f"a stored {what} is not what the entries give", height=int.from_bytes(key[1:9], "big")
                )
            found[kind] += 1
    if sum(found.values()) != len(expected):
        raise InvalidBlock("a node of the state map, or a replaced row, is missing from the store")
    return found
