"""The state map at a million rows, in LMDB: a block's changes made durable, and proofs."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest

from medchain.ledger.versions import NODES, stored_nodes
from medchain.merkle.packed import MapUpdate, PackedMap
from medchain.storage.api import Batch
from medchain.storage.lmdb_store import LmdbStore

Compare = Callable[..., object]

ROWS, CHANGES, PROOFS = 1_000_000, 2_000, 1_000
ROUNDS = 5


class Stored:
    """A map whose nodes lie in a store."""

    def __init__(self, store: LmdbStore, keys: list[bytes], rng: random.Random) -> None:
        self.store, self.keys, self.rng = store, keys, rng
        self.map = PackedMap.empty(stored_nodes(store))
        self.keep(self.map.updated_hashed({key: rng.randbytes(32) for key in keys}, 0))

    def keep(self, update: MapUpdate) -> None:
        batch = Batch()
        batch.put_many({NODES + key: node for key, node in update.nodes})
        self.store.commit(batch)
        self.map = update.map

    def change(self) -> None:
        changes = {key: self.rng.randbytes(32) for key in self.rng.sample(self.keys, CHANGES)}
        self.keep(self.map.updated_hashed(changes, self.map.version + 1))

    def prove(self) -> None:
        for key in self.keys[:PROOFS]:
            self.map.prove_hashed(key)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stored]:
    rng = random.Random(1)
    with LmdbStore(tmp_path_factory.mktemp("map") / "store") as store:
        yield Stored(store, [rng.randbytes(32) for _ in range(ROWS)], rng)


def test_map_block(compare: Compare, stored: Stored) -> None:
    stored.change()
    compare(
        "map: 2,000 changes on 10^6 rows, durable, in 30 ms", stored.change, 0.030, target=1, rounds=ROUNDS
    )


def test_map_proof(compare: Compare, stored: Stored) -> None:
    compare("map: a proof at 10^6 rows, in 200 µs", stored.prove, PROOFS * 200e-6, count=PROOFS, target=1)
