"""The tree of a head, read from published tiles: right for every size, and every wrong tile is found by its name."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from medchain.errors import VerificationError
from medchain.merkle import Head, LogTree
from medchain.transparency import layout
from medchain.transparency.source import Source
from medchain.transparency.tree import PublishedTree

SIZES = (1, 2, 255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537, 66_000)


class _Files(Source):
    name = "memory"

    def __init__(self, tree: LogTree) -> None:
        self.files = {}
        for part in layout.tiles(len(tree)):
            first = part.index * layout.WIDTH
            hashes = [tree.node(8 * (part.level or 0), first + each) for each in range(part.width)]
            self.files[part.path] = b"".join(hashes)

    def read(self, path: str, limit: int) -> bytes | None:
        return self.files.get(path)


@pytest.fixture(scope="module")
def largest() -> LogTree:
    return LogTree(index.to_bytes(4, "big") for index in range(max(SIZES)))


def tree_of(size: int) -> LogTree:
    return LogTree(index.to_bytes(4, "big") for index in range(size))


@pytest.mark.parametrize("size", SIZES)
def test_every_hash_is_the_tree_s(size: int, largest: LogTree) -> None:
    rng, made = random.Random(size), tree_of(size)
    tree = PublishedTree(_Files(made), made.head)
    tree.check_border()
    for _ in range(200):
        level = rng.randrange(size.bit_length())
        index = rng.randrange(size >> level)
        assert tree.node(level, index) == made.node(level, index)
        old = rng.randrange(1, size + 1)
        assert tree.root_at(old) == largest.head_at(old).root
        proof = tree.prove_consistency(old)
        assert proof.verify(old=largest.head_at(old), new=made.head) == made.head
    assert tree.root_at(0) == LogTree().root
    assert tree.prove_consistency(0).path == ()
    with pytest.raises(IndexError):
        tree.tile(0, -(-size // 256))


@pytest.mark.parametrize("size", [3, 257, 65_793])
def test_every_wrong_tile_is_found(size: int) -> None:
    made = tree_of(size)
    right = _Files(made)
    rng = random.Random(size)
    for path in sorted(right.files, key=len)[:8] + rng.sample(sorted(right.files), min(8, len(right.files))):
        wrong = _Files(made)
        data = bytearray(wrong.files[path])
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        wrong.files[path] = bytes(data)
        tree = PublishedTree(wrong, made.head)
        with pytest.raises(VerificationError) as caught:
            read_all(tree)
        assert path in str(caught.value)


def read_all(tree: PublishedTree) -> None:
    for part in layout.tiles(tree.head.size):
        tree.tile(part.level or 0, part.index)


def test_another_root_fits_no_tiles(tmp_path: Path) -> None:
    made = tree_of(300)
    tree = PublishedTree(_Files(made), Head(300, bytes(32)))
    with pytest.raises(VerificationError, match="the root"):
        tree.check_border()
