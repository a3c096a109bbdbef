"""Stores against one another: LMDB, the default, beside SQLite, which comes with Python."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path

import pytest

from medchain.storage import Batch, LmdbStore, SqliteStore, Store

Compare = Callable[..., object]

KEYS, CHANGES = 100_000, 2_000


def pairs(chance: random.Random, keys: list[bytes]) -> Batch:
    """New values, like hashed rows, for some of the keys."""
    batch = Batch()
    for key in chance.sample(keys, CHANGES):
        batch.put(key, chance.randbytes(100))
    return batch


@pytest.fixture(scope="module")
def keys() -> list[bytes]:
    chance = random.Random(1)
    return [b"r" + chance.randbytes(33) for _ in range(KEYS)]


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory, keys: list[bytes]) -> Iterator[tuple[Store, Store]]:
    """Both, filled with the same pairs."""
    folder: Path = tmp_path_factory.mktemp("stores")
    with LmdbStore(folder / "lmdb") as lmdb, SqliteStore(folder / "sqlite") as sqlite:
        batch = Batch()
        for key in keys:
            batch.put(key, bytes(100))
        for store in (lmdb, sqlite):
            store.commit(batch)
        yield lmdb, sqlite


def test_commit(compare: Compare, stores: tuple[Store, Store], keys: list[bytes]) -> None:
    """Durable when it returns, so this measures the disk as well."""
    lmdb, sqlite = stores
    chance = random.Random(2)
    batches = cycle([pairs(chance, keys) for _ in range(20)])
    compare(
        "commit 2,000 of 100,000 pairs: LMDB against SQLite",
        lambda: lmdb.commit(next(batches)),
        lambda: sqlite.commit(next(batches)),
        count=CHANGES,
        target=1,
        rounds=10,
    )


@pytest.mark.parametrize("side", ["LMDB", "SQLite"])
def test_get_many(compare: Compare, stores: tuple[Store, Store], keys: list[bytes], side: str) -> None:
    """One read of one moment against as many reads as there are keys."""
    store = stores[0] if side == "LMDB" else stores[1]
    asked = random.Random(3).sample(keys, CHANGES)
    compare(
        f"get_many of 2,000 keys, {side}: against get by get",
        lambda: store.get_many(asked),
        lambda: [store.get(key) for key in asked],
        count=CHANGES,
        target=2,
    )


def test_get_many_of_two_stores(compare: Compare, stores: tuple[Store, Store], keys: list[bytes]) -> None:
    lmdb, sqlite = stores
    asked = random.Random(3).sample(keys, CHANGES)
    compare(
        "get_many of 2,000 keys: LMDB against SQLite",
        lambda: lmdb.get_many(asked),
        lambda: sqlite.get_many(asked),
        count=CHANGES,
        target=1,
    )
