"""A chain on every store, and copied from any to any other."""

from __future__ import annotations

from pathlib import Path

import pytest
from ledger.counting import Add, Later, Put
from ledger.world import CONTRACTS, START, Clock, World, content, wallet
from processes import put
from stores import ALL, LASTING, Place

import medchain as mc
from medchain.chain import Chain
from medchain.errors import Locked, NotAChain, StorageError
from medchain.keys.wallet import Wallet
from medchain.ledger.keys import Keys
from medchain.storage import MemoryStore, Snapshot, Store, copy_store
from medchain.testing import FaultStore, faults


def chain_in(store: Store, folder: Path) -> World:
    """A small chain in a store: entries, a refusal, a party, rows that came and went, a timer that waits."""
    authority, clock = wallet("authority"), Clock()
    chain = Chain.create(
        folder / "chain",
        origin="stores.example/chain",
        authority=authority,
        gate=None,
        contracts=CONTRACTS,
        store=store,
        mark=folder / "mark",
        clock=clock,
    )
    world = World(chain, clock, authority)
    ann = world.register("ann")
    for number in range(20):
        world.send(Add(number, (ann.party.id,)), ann)
        clock.now += 1
    world.send(Add(-1), ann)
    world.send(Later(START + 10_000, 5), ann)
    world.send(Put("x", "1"), ann)
    world.send(Put("x", None), ann)
    chain.checkpoint()
    return world


def opened(store: Store, folder: Path, *, write: bool = True) -> Chain:
    authority = wallet("authority") if write else None
    return Chain.open(
        folder / "chain", authority=authority, contracts=CONTRACTS, store=store, mark=folder / "mark"
    )


@pytest.mark.parametrize("kind", ALL)
def test_a_chain_lives_on_any_store(tmp_path: Path, kind: str) -> None:
    place = Place(kind, tmp_path / "store")
    world = chain_in(place.open(), tmp_path)
    with world.chain as chain:
        proof = chain.prove(5)
        assert chain.audit().head == chain.head
        entries = list(chain.entries())
        head = chain.head
    if kind == "memory":
        return
    with opened(place.open(read_only=True), tmp_path, write=False) as chain:
        assert chain.head == head
        assert list(chain.entries()) == entries
        assert chain.prove(5) == proof
        assert chain.audit().head == head
    with opened(place.open(), tmp_path) as chain:
        again = World(chain, world.clock, world.authority)
        again.send(Add(1), wallet("ann"))
        assert chain.head.size == head.size + 2
        with opened(place.open(read_only=True), tmp_path, write=False) as reader:
            assert reader.head == chain.head
        with pytest.raises(Locked):
            place.open()


class Watched(MemoryStore):
    """A store that counts the moments that are open."""

    def __init__(self) -> None:
        super().__init__()
        self.moments: list[Snapshot] = []

    def _snapshot(self) -> Snapshot:
        self.moments.append(super()._snapshot())
        return self.moments[-1]

    @property
    def open(self) -> int:
        return sum(not moment._closed for moment in self.moments)


def test_nothing_stays_open_while_a_loop_over_rows_goes_on(tmp_path: Path) -> None:
    store = Watched()
    with chain_in(store, tmp_path).chain as chain:
        parties = chain.table(Keys.parties)
        newcomers = [Wallet.generate() for _ in range(100)]
        mc.Parties(chain).register(*newcomers, by=wallet("authority"))
        for bounds in ({}, {"reverse": True}):
            given = []
            for id in parties.keys(**bounds):
                assert store.open == 0
                given.append(id)
            assert given == sorted(given, reverse=bool(bounds))
            assert len(given) == len(parties) == 102


@pytest.mark.parametrize("kind", ALL)
def test_a_loop_over_rows_may_write(tmp_path: Path, kind: str) -> None:
    world = chain_in(Place(kind, tmp_path / "store").open(), tmp_path)
    with world.chain as chain:
        mc.Parties(chain).register(*(Wallet.generate() for _ in range(70)), by=world.authority)
        before = set(chain.table(Keys.parties))
        seen = []
        for id, _ in chain.table(Keys.parties).items():
            mc.Parties(chain).register(Wallet.generate(), by=world.authority)
            seen.append(id)
            if len(seen) == 400:
                break
        assert len(set(seen)) == len(seen)
        assert before <= set(seen)
        chain.audit()


@pytest.mark.parametrize("second", LASTING)
@pytest.mark.parametrize("first", ALL)
def test_a_chain_copied_from_any_store_to_any_other_is_identical_to_the_checkpoint(
    tmp_path: Path, first: str, second: str
) -> None:
    world = chain_in(Place(first, tmp_path / "first").open(), tmp_path)
    target = Place(second, tmp_path / "second")
    seen: list[tuple[int, int | None]] = []
    with world.chain as chain:
        with target.open() as store:
            count = copy_store(
                chain._archive.store, store, progress=lambda done, total: seen.append((done, total))
            )
        pairs, checkpoint, entries = content(chain), bytes(chain.checkpoint().note), list(chain.entries())
    assert seen[-1] == (count, None) == (len(pairs), None)
    with opened(target.open(read_only=True), tmp_path, write=False) as copied:
        assert content(copied) == pairs
        assert bytes(copied.checkpoint().note) == checkpoint
        assert list(copied.entries()) == entries
        assert copied.audit().head == copied.head
    with opened(target.open(), tmp_path) as copied:
        World(copied, world.clock, world.authority).send(Add(1), wallet("ann"))
        assert copied.audit().head == copied.head


@pytest.mark.parametrize("kind", LASTING)
def test_a_copy_that_is_broken_off_never_opens_as_a_chain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr("medchain.storage.copying.BATCH_PAIRS", 7)
    with chain_in(MemoryStore(), tmp_path).chain as chain:
        source = chain._archive.store
        steps = -(-len(content(chain)) // 7)
        for write in range(1, steps + 1):
            for fault in (faults.fail(), faults.tear()):
                place = Place(kind, tmp_path / f"{write}-{len(list(tmp_path.iterdir()))}")
                with FaultStore(place.open(), {write: fault}) as target, pytest.raises(StorageError):
                    copy_store(source, target)
                with pytest.raises(NotAChain):
                    opened(place.open(read_only=True), tmp_path, write=False)
                if write > 1:
                    with place.open() as target, pytest.raises(StorageError, match="not empty"):
                        copy_store(source, target)


def test_a_snapshot_is_copied_as_it_was_while_the_chain_goes_on(tmp_path: Path) -> None:
    world = chain_in(Place("lmdb", tmp_path / "store").open(), tmp_path)
    with world.chain as chain, chain._archive.store.snapshot() as moment:
        pairs = content(chain)
        world.send(Add(1), wallet("ann"))
        target = MemoryStore()
        copy_store(moment, target)
        assert dict(target.scan()) == pairs
        with opened(target, tmp_path, write=False) as copied:
            old = copied.audit().head
        assert old.size == chain.head.size - 2
        chain.prove_consistency(old.size, chain.head.size).verify(old=old, new=chain.head)


def test_a_copy_of_before_is_refused_for_writing(tmp_path: Path) -> None:
    world = chain_in(Place("lmdb", tmp_path / "store").open(), tmp_path)
    target = MemoryStore()
    with world.chain as chain:
        copy_store(chain._archive.store, target)
        world.send(Add(1), wallet("ann"))
    with pytest.raises(StorageError, match="old copy"):
        opened(target, tmp_path)


def test_a_store_that_is_no_chain_is_copied_and_stays_none(tmp_path: Path) -> None:
    source, target = MemoryStore(), MemoryStore()
    put(source, a="1", b="2")
    assert copy_store(source, target) == 2
    assert list(target.scan()) == [(b"a", b"1"), (b"b", b"2")]
    assert copy_store(MemoryStore(), MemoryStore()) == 0
