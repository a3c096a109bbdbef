"""Published logs: following them without executing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from transparency.logs import Published, publish_leaves

from medchain.ledger.entry import Entry, Header, parse_leaf
from medchain.merkle import CompactRange, leaf_hash
from medchain.storage.lmdb_store import LmdbStore
from medchain.transparency import PublishedLog

Compare = Callable[..., object]

LEAVES, BLOCK = 40_000, 64


def leaves_of(published: Published, count: int) -> list[bytes]:
    """A log of the form that the chain's has, in blocks of 64 entries; nobody has executed it."""
    leaves = published.leaves()[:3]
    header, entry = parse_leaf(leaves[2]), parse_leaf(published.leaves()[3])
    assert isinstance(header, Header)
    assert isinstance(entry, Entry)
    log, content = CompactRange(), entry.content
    log.append_many(map(leaf_hash, leaves))
    while len(leaves) < count:
        first, height = len(leaves), header.height + 1
        block = [Entry(height, header.time, number, content, entry.outcome).leaf for number in range(BLOCK)]
        log.append_many(map(leaf_hash, block))
        header = Header(
            header.origin,
            header.chain if header.height else published.trust.chain,
            height,
            header.time,
            header.hash,
            first,
            log.root,
            header.state_root,
            header.contracts,
            None,
        )
        leaves += [*block, header.leaf]
        log.append(leaf_hash(header.leaf))
    return leaves


def test_follow(compare: Compare, tmp_path: Path) -> None:
    """From a directory into an empty copy on disk: every leaf hashed, read and compared, every tile, every header."""
    published = Published.make(tmp_path / "chain", 1)
    leaves = leaves_of(published, LEAVES)
    publish_leaves(published, leaves, tmp_path / "pub")
    number = iter(range(100))

    def follow() -> None:
        store = LmdbStore(tmp_path / f"copy{next(number)}", create=True)
        with PublishedLog(tmp_path / "pub", published.trust, store) as log:
            assert log.update().added == len(leaves)

    compare(
        "follow a published log, not executed",
        follow,
        len(leaves) / 20_000,
        count=len(leaves),
        target=1,
        rounds=3,
    )
