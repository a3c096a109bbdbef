"""Published logs: publishing them, following them without executing, and cosignatures on their checkpoints.

``MEDCHAIN_BENCH_ENTRIES`` says how long the published log is, as in test_chain; budgets are for its length.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

from ticking import grown
from transparency.logs import Published, publish_leaves

from medchain.keys.cosigning import CosignKey
from medchain.ledger.checkpoint import Checkpoint
from medchain.ledger.entry import Entry, Header, parse_leaf
from medchain.ledger.note import Note, NoteSigner
from medchain.merkle import CompactRange, Head, leaf_hash
from medchain.storage.lmdb_store import LmdbStore
from medchain.transparency import PublishedLog, publish

Compare = Callable[..., object]

LEAVES, BLOCK = 40_000, 64
LONG = int(os.environ.get("MEDCHAIN_BENCH_ENTRIES", "100000"))
NEXT, VERIFIED, COSIGNERS, ROUNDS = 1_000, 100, 5, 2


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


def test_publish(compare: Compare, tmp_path: Path) -> None:
    """The whole log into an empty directory, durably: 60 s for a million entries."""
    chain, _ = grown(tmp_path, LONG)
    number = iter(range(100))
    with chain:
        compare(
            f"publish {LONG:,} entries, in {LONG * 60e-6:g} s",
            lambda: publish(chain, tmp_path / f"log{next(number)}"),
            LONG * 60e-6,
            count=LONG,
            target=1,
            rounds=ROUNDS,
        )


def test_publish_more(compare: Compare, tmp_path: Path) -> None:
    """What 1,000 more entries cost, when the log is published already: 0.5 s."""
    chain, clock = grown(tmp_path, LONG)
    with chain:
        published = tmp_path / "log"
        size = publish(chain, published).size
        clock.held = False
        pause = threading.Event()
        while chain.head.size < size + NEXT:
            pause.wait(0.02)
        clock.held = True
        chain.checkpoint()
        copies = [shutil.copytree(published, tmp_path / f"log{number}") for number in range(2 * ROUNDS)]
        fresh = iter(copies)
        compare(
            f"publish {NEXT:,} more after {LONG:,}, in 0.5 s",
            lambda: publish(chain, next(fresh)),
            0.5,
            count=chain.head.size - size,
            target=1,
            rounds=ROUNDS,
        )


def test_cosignatures(compare: Compare) -> None:
    """A checkpoint that its log and five witnesses have signed by ML-DSA-44: 2 ms."""
    signers = [
        NoteSigner.cosigner(f"w{number}.example", CosignKey(bytes([number]) * 32))
        for number in range(COSIGNERS)
    ]
    text = Checkpoint.text("log.example", Head(1, bytes(32)))
    note = Note(text, ()).signed_with(*(signer.sign(text, 1) for signer in signers))
    data, keys = bytes(note), [signer.key for signer in signers]

    def verify() -> None:
        for _ in range(VERIFIED):
            Checkpoint.parse(data).note.verified_by(keys)

    compare("verify five ML-DSA-44 cosignatures, in 2 ms", verify, VERIFIED * 2e-3, count=VERIFIED, target=1)
