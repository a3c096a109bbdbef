"""Reading a chain again from its genesis: every hash, every signature, every outcome, every row."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator

from attrs import field, frozen

from medchain.errors import EncodingError, InvalidBlock, InvalidTransaction
from medchain.ledger.archive import Archive
from medchain.ledger.entry import Entry, Genesis, Header, Kind, parse_leaf
from medchain.ledger.tables import Rows
from medchain.ledger.transaction import Transaction
from medchain.ledger.transition import Block, BlockBuilder, Registry, Tip, found
from medchain.merkle import Head, SparseMap
from medchain.storage.api import Batch, Reader
from medchain.storage.memory import MemoryStore

__all__ = ["AuditReport", "Progress", "audit", "load_map"]

Progress = Callable[[int, int | None], object]


@frozen
class AuditReport:
    """What an audit has found to hold, from the genesis to `head`.

    Attributes:
        origin: name of the log.
        chain: the chain id.
        head: size and root of the log that was read.
        height: of the last block.
        began, ended: block times of the first and the last header, ms since the epoch.
        outcomes: how many entries had which outcome, by (contract, code); timers under ``timer``.
        rows: how many rows the state has.
    """

    origin: str
    chain: bytes
    head: Head
    height: int
    began: int
    ended: int
    outcomes: dict[tuple[str, str], int] = field(repr=False)
    rows: int

    def __str__(self) -> str:
        lines = [
            f"{self.origin}: {self.head.size} leaves in {self.height + 1} blocks, all of it holds",
            f"  root {self.head.root.hex()}",
            f"  {self.rows} rows of state, rebuilt by executing every entry again",
        ]
        lines += [
            f"  {count:>8}  {contract} {code}" for (contract, code), count in sorted(self.outcomes.items())
        ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{contract}</td><td>{code}</td><td>{count}</td></tr>"
            for (contract, code), count in sorted(self.outcomes.items())
        )
        return (
            f"<p><b>{self.origin}</b>: {self.head.size} leaves, height {self.height}, everything holds</p>"
            f"<table><tr><th>contract</th><th>outcome</th><th>entries</th></tr>{rows}</table>"
        )


def load_map(archive: Archive, header: Header, moment: Reader | None = None) -> SparseMap:
    """The state map of the stored rows.

    Raises:
        InvalidBlock: they do not have the state root of `header`: a stored row was changed.
    """
    rows = {key: hashlib.sha256(data).digest() for _, key, data in archive.rows(moment)}
    loaded = SparseMap.from_hashed(rows)
    if loaded.root != header.state_root:
        raise InvalidBlock(
            "the stored rows do not have the state root of the last header", height=header.height
        )
    return loaded


def audit(archive: Archive, registry: Registry, progress: Progress | None = None) -> AuditReport:
    """Execute a stored chain again from its genesis and compare every byte.

    Raises:
        InvalidBlock: with the place of the first contradiction.
    """
    stored = archive.tip()
    rows = MemoryStore()
    blocks = _blocks(archive, stored.size)
    genesis, block = _genesis(next(blocks)[0], registry)
    _store_rows(rows, block)
    tip, began = block.tip, block.tip.header.time
    outcomes: Counter[tuple[str, str]] = Counter()
    for leaves in blocks:
        block = _replay(registry, genesis, tip, rows, leaves, outcomes)
        _store_rows(rows, block)
        tip = block.tip
        if progress is not None:
            progress(tip.log.size, stored.size)
    _compare_store(archive, tip, rows)
    return AuditReport(
        tip.header.origin,
        genesis.id,
        tip.head,
        tip.header.height,
        began,
        tip.header.time,
        dict(outcomes),
        len(tip.map),
    )


def _blocks(archive: Archive, size: int) -> Iterator[list[bytes]]:
    """The leaves of each block, header last."""
    block: list[bytes] = []
    for index, leaf in enumerate(archive.leaves(0, size)):
        block.append(leaf)
        if leaf[:1] == bytes([Kind.HEADER]):
            yield block
            block = []
        elif index == 0:
            raise InvalidBlock("the log does not begin with a genesis header", index=0)
    if block or size == 0:
        raise InvalidBlock("the log does not end with a header", index=size - 1)


def _genesis(leaf: bytes, registry: Registry) -> tuple[Genesis, Block]:
    try:
        header = parse_leaf(leaf)
    except EncodingError as error:
        raise InvalidBlock(f"the genesis is damaged: {error}", index=0) from error
    if not isinstance(header, Header) or header.genesis is None:
        raise InvalidBlock("the first leaf holds no genesis document", index=0)
    block = found(registry, header.genesis)
    if block.leaves[0] != leaf:
        raise InvalidBlock("the genesis header does not follow from its document", height=0, index=0)
    return header.genesis, block


def _replay(
    registry: Registry,
    genesis: Genesis,
    tip: Tip,
    rows: Rows,
    leaves: list[bytes],
    outcomes: Counter[tuple[str, str]],
) -> Block:
    """Execute one block again and compare its leaves."""
    first = tip.log.size
    try:
        parsed = [parse_leaf(leaf) for leaf in leaves]
    except EncodingError as error:
        raise InvalidBlock(f"a leaf is damaged: {error}", height=tip.header.height + 1) from error
    header = parsed.pop()
    assert isinstance(header, Header)
    if header.time < tip.header.time:
        raise InvalidBlock("block time runs backwards", height=header.height, index=first + len(parsed))
    builder = BlockBuilder(registry, genesis, tip, rows, header.time)
    builder.run_timers()
    for offset, entry in enumerate(parsed):
        assert isinstance(entry, Entry)
        place = {"height": builder.height, "index": first + offset}
        if entry.kind is Kind.TRANSACTION:
            try:
                transaction = Transaction.from_bytes(entry.content)
                builder.add(transaction)
            except InvalidTransaction as error:
                raise InvalidBlock(f"it holds a transaction that may not enter: {error}", **place) from error
            outcomes[transaction.body.contract, entry.outcome.code] += 1
        elif entry.kind is Kind.TIMER:
            outcomes["timer", entry.outcome.code] += 1
        else:
            raise InvalidBlock("evidence has no place in a chain of one authority", **place)
    block = builder.close()
    for offset, (expected, leaf) in enumerate(zip(block.leaves, leaves, strict=False)):
        if expected != leaf:
            what = "header" if offset == len(leaves) - 1 else "entry"
            raise InvalidBlock(
                f"the {what} is not what executing it gives", height=builder.height, index=first + offset
            )
    if len(block.leaves) != len(leaves):
        raise InvalidBlock(
            "a timer that was due is missing, or an entry is one too many", height=builder.height
        )
    return block


def _store_rows(rows: MemoryStore, block: Block) -> None:
    batch = Batch()
    for key, value in block.rows.items():
        if value is None:
            batch.delete(key)
        else:
            batch.put(key, value)
    rows.commit(batch)


def _compare_store(archive: Archive, tip: Tip, rows: MemoryStore) -> None:
    """What the store keeps besides the leaves: rows, tiles, indexes."""
    stored = archive.tip()
    if stored.size == tip.log.size and stored.nodes != tip.log.nodes:
        raise InvalidBlock("the stored log nodes are not those of the leaves")
    if archive.head(tip.log.size) != tip.head:
        raise InvalidBlock("the stored hash tiles are not those of the leaves")
    mine = iter(rows.scan(b"r", b"s"))
    for key, data in archive.scan(b"r", b"s"):
        if next(mine, None) != (key, data):
            raise InvalidBlock(f"the stored row {key[:64]!r} is not what the entries give")
    if next(mine, None) is not None:
        raise InvalidBlock("a row is missing from the store")
