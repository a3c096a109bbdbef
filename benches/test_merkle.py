"""Trees: C in batches against a loop over hashlib."""

from __future__ import annotations

import random
from collections.abc import Callable
from hashlib import sha256

from medchain.merkle import LogTree, SparseMap, tree_root

Compare = Callable[..., object]


def hashlib_root(leaves: list[bytes]) -> bytes:
    """The root of a power of two of leaves, by a loop."""
    level = [sha256(b"\x00" + leaf).digest() for leaf in leaves]
    while len(level) > 1:
        level = [sha256(b"\x01" + level[i] + level[i + 1]).digest() for i in range(0, len(level), 2)]
    return level[0]


def test_root(compare: Compare) -> None:
    """Bytes objects in a list, packing included."""
    leaves = [i.to_bytes(32, "big") for i in range(1 << 20)]
    compare(
        "root of 2^20 leaves of 32 bytes",
        lambda: tree_root(leaves),
        lambda: hashlib_root(leaves),
        count=1 << 20,
        target=8,
        rounds=3,
    )


def test_all_levels(compare: Compare) -> None:
    leaves = [i.to_bytes(32, "big") for i in range(1 << 17)]
    compare(
        "log tree of 2^17 leaves, all levels",
        lambda: LogTree(leaves).root,
        lambda: hashlib_root(leaves),
        count=1 << 17,
        rounds=3,
    )


def test_inclusion_proof(compare: Compare) -> None:
    """Against the hashing alone that a verification cannot do without."""
    leaves = [i.to_bytes(32, "big") for i in range(1 << 17)]
    tree = LogTree(leaves)
    head = tree.head

    def prove_and_verify() -> None:
        for index in range(0, 1 << 17, 1 << 9):
            tree.prove_inclusion(index).verify(leaves[index], index=index, head=head)

    def hash_only() -> None:
        for _ in range(256):
            hash = sha256(b"\x00" + leaves[0]).digest()
            for _ in range(17):
                hash = sha256(b"\x01" + hash + hash).digest()

    compare("inclusion proof of 2^17, made and verified", prove_and_verify, hash_only, count=256)


def test_map_update(compare: Compare) -> None:
    """Five rows a transaction, a hundred transactions a block, on a hundred thousand rows."""
    rng = random.Random(1)
    base = SparseMap.from_hashed({rng.randbytes(32): rng.randbytes(32) for _ in range(100_000)})
    keys = [key for key, _ in base.rows()]
    batch = {rng.choice(keys): rng.randbytes(32) for _ in range(500)}

    def hash_only() -> None:
        for _ in range(len(batch) * 10):
            sha256(b"\x01" + bytes(32) + bytes(32)).digest()

    compare(
        "map: a row in a batch of 500 on 100,000",
        lambda: base.updated_hashed(batch),
        hash_only,
        count=len(batch),
    )
