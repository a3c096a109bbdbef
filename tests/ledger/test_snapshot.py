"""Snapshots: equal for equal states, restored into chains that go on, refused when anything in them is changed."""

from __future__ import annotations

import io
import random
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from ledger.counting import Add, Counting, Later, Put
from ledger.world import CONTRACTS, Clock, World, content, copy, wallet

import medchain as mc
from medchain._opening import check_vacant
from medchain._snapshots import open_snapshot
from medchain.chain import Chain
from medchain.errors import (
    EncodingError,
    InvalidBlock,
    NewerFormat,
    NotAChain,
    StorageError,
    VerificationError,
)
from medchain.ledger import transition, versions
from medchain.ledger.archive import Archive
from medchain.ledger.contract import Contract
from medchain.ledger.draft import Signed
from medchain.ledger.restoring import UNFINISHED, restore
from medchain.ledger.snapshot import SnapshotReader
from medchain.storage.api import Batch
from medchain.storage.mark import Mark
from medchain.storage.memory import MemoryStore


def filled(world: World, blocks: int = 12) -> None:
    ann = world.register("ann")
    for number in range(blocks):
        world.send(Put(f"note {number}", "x" * number), ann)
        world.send(Add(number, (ann.party.id,)), ann)
    world.send(Put("note 3", None), ann)
    world.send(Later(world.clock.now + 60_000, 5), ann)


def restored(path: Path, world: World, tmp_path: Path) -> Chain:
    return Chain.restore(
        tmp_path,
        path,
        trust=world.chain.trust,
        contracts=CONTRACTS,
        store=MemoryStore(),
        blobs=world.chain.blobs,
    )


@pytest.mark.parametrize("blocks", [0, 1, 2, 3, 12, 130])
def test_a_restored_chain_goes_on(world: World, tmp_path: Path, blocks: int) -> None:
    """It has the state, refuses old replays, proves new entries and rows under one log with what was before."""
    filled(world, blocks)
    file, store = tmp_path / "snapshot", MemoryStore()
    old = world.body(Add(1), world.authority)
    sent = world.sign(old, world.authority)
    assert world.chain.submit(sent).receipt(10).ok
    head = world.chain.snapshot(file)
    early = world.chain.head
    mark = tmp_path / "mark"
    Mark(mark, chain_id=world.chain.id).advance(early)
    where = {"contracts": CONTRACTS, "store": store, "blobs": world.chain.blobs}
    reading = Chain.restore(tmp_path, file, trust=world.chain.trust, **where)  # type: ignore[arg-type]
    assert reading.read_only
    assert (reading.head, reading.height, reading.genesis) == (early, world.chain.height, world.chain.genesis)
    assert dict(reading.table(Counting.notes).items()) == dict(world.chain.table(Counting.notes).items())
    assert head.rows == len(list(store.scan(b"r", b"s")))

    clock = Clock(world.clock.now + 60_000)
    again = Chain.open(tmp_path, authority=world.authority, mark=mark, clock=clock, **where)  # type: ignore[arg-type]
    trust = world.chain.trust
    with pytest.raises(mc.MedchainError, match="used or too old"):
        again.submit(sent).result(10)
    receipts = []
    for number in range(300 if blocks == 12 else 5):
        body = again.prepare(Counting, Put(f"later {number}", "y"), [world.authority.party])
        receipts.append(again.submit(Signed.start(body).sign(world.authority)).result(10))
    for receipt in receipts[:: max(1, len(receipts) // 20)]:
        assert mc.verify(again.prove(receipt), mc.Entry, trust=trust).as_of.height == receipt.height
    for height in (head_height := early.size and reading.header(world.chain.height).height, again.height):
        proof = again.prove_state(Counting.notes, "later 0", at=height)
        value = mc.verify_state(proof, Counting.notes, "later 0", trust=trust).value
        assert (value is None) == (height == head_height)
    assert again.table(Counting.totals)[bytes(32)].total == 5, "a timer from before ran"
    again.prove_consistency(early.size, again.head.size).verify(old=early, new=again.head)
    report = again.audit(snapshot=file)
    assert report.head == again.head
    with pytest.raises(StorageError, match="name the snapshot"):
        again.audit()
    with pytest.raises((StorageError, IndexError)):
        again.prove(1)
    again.snapshot(tmp_path / "second")
    again.close()


def test_equal_states_give_equal_bytes(world: World, tmp_path: Path) -> None:
    filled(world)
    first, second = tmp_path / "first", tmp_path / "second"
    world.chain.snapshot(first)
    restored(first, world, tmp_path).snapshot(second)
    assert first.read_bytes() == second.read_bytes()
    world.chain.snapshot(second)
    assert first.read_bytes() == second.read_bytes()
    world.send(Put("another", "row"), world.authority)
    world.chain.snapshot(second)
    assert first.read_bytes() != second.read_bytes()


def test_taken_while_blocks_go_on(world: World, tmp_path: Path) -> None:
    filled(world)
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            world.send(Put(f"note {number % 50}", str(number)), world.authority)
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    seen = []
    for number in range(10):
        world.chain.snapshot(tmp_path / str(number), progress=lambda done, total: seen.append((done, total)))
    stop.set()
    writer.join()
    assert all(done == total for done, total in seen)
    heads = [restored(tmp_path / str(number), world, tmp_path).head.size for number in range(10)]
    assert heads == sorted(heads)


def reader_beside(world: World, contracts: Sequence[type[Contract]] = CONTRACTS) -> Chain:
    """The same chain, open for reading."""
    return Chain.open("here", store=world.chain._archive.store, contracts=contracts, blobs=world.chain.blobs)


def test_a_reader_takes_the_last_block_that_the_writer_has_signed(world: World, tmp_path: Path) -> None:
    """Byte for byte what the writer took when it signed, whatever came, changed, went and came back since."""
    rng = random.Random(11)
    ann, reader = world.register("ann"), reader_beside(world)
    names = [f"note {number}" for number in range(120)]
    for name in names[:90]:
        world.send(Put(name, name), world.authority)
    signed, later = tmp_path / "signed", tmp_path / "later"
    for _ in range(8):
        world.send(Later(world.clock.now + 120_000, 5), ann)
        world.chain.snapshot(signed)
        head = world.chain.head
        for number in range(25):
            name = rng.choice(names[60:])
            world.send(Put(name, rng.choice(("a", "b", name, None))), rng.choice((ann, world.authority)))
            if number in (0, 7, 24):
                assert reader.snapshot(later).log == head
                assert later.read_bytes() == signed.read_bytes()
        world.clock.now += 180_000
        world.send(Add(1, (ann.party.id,)), ann)  # and the timer is due, of which the table held no other
        found = reader.snapshot(later)
        assert later.read_bytes() == signed.read_bytes()
        assert (found.log, found.height) == (head, reader.header(None).height - 26)
    assert restored(later, world, tmp_path).head == head


def test_a_reader_beside_a_restored_chain(world: World, tmp_path: Path) -> None:
    filled(world)
    file, store, mark = tmp_path / "snapshot", MemoryStore(), tmp_path / "mark"
    world.chain.snapshot(file)
    Mark(mark, chain_id=world.chain.id).advance(world.chain.head)
    where = {"contracts": CONTRACTS, "store": store, "blobs": world.chain.blobs}
    reader = Chain.restore(tmp_path, file, trust=world.chain.trust, **where)  # type: ignore[arg-type]
    clock = Clock(world.clock.now)
    with Chain.open(tmp_path, authority=world.authority, mark=mark, clock=clock, **where) as again:  # type: ignore[arg-type]
        for number in range(20):
            again.send(Counting, Put(f"note {number}", None if number % 3 else "new"), by=[world.authority])
        reader.snapshot(tmp_path / "second")
    assert (tmp_path / "second").read_bytes() == file.read_bytes()


def test_a_writer_that_has_not_signed_for_too_long(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (transition, versions):
        monkeypatch.setattr(module, "KEPT_VERSIONS", 6)
    reader = reader_beside(world)
    world.chain.checkpoint()
    for number in range(5):
        world.send(Put("x", str(number)), world.authority)
    reader.snapshot(tmp_path / "snapshot")
    world.send(Put("x", "y"), world.authority)
    with pytest.raises(
        StorageError, match=r"let the writer sign more often \(docs/how-to/several-web-workers"
    ):
        reader.snapshot(tmp_path / "second")
    assert not (tmp_path / "second").exists()


def test_a_row_that_has_gone_from_a_table_that_nobody_here_knows(world: World, tmp_path: Path) -> None:
    world.send(Put("x", "1"), world.authority)
    world.chain.snapshot(tmp_path / "signed")
    world.send(Put("x", None), world.authority)
    with pytest.raises(StorageError, match="table that no contract here has"):
        reader_beside(world, ()).snapshot(tmp_path / "later")
    world.send(Put("y", "1"), world.authority)  # now the table has rows
    reader_beside(world, ()).snapshot(tmp_path / "later")
    assert (tmp_path / "later").read_bytes() == (tmp_path / "signed").read_bytes()


def test_rows_that_are_not_what_they_were_are_noticed(world: World, tmp_path: Path) -> None:
    for number in range(50):
        world.send(Put(f"note {number}", "1"), world.authority)
    world.chain.checkpoint()
    world.send(Put("note 7", "2"), world.authority)
    world.send(Put("note 8", None), world.authority)
    pairs = content(world.chain)
    replaced = [key for key in pairs if key[:1] == b"u" and b"note" in pairs[key]]
    assert len(replaced) == 2
    changes: list[Callable[[dict[bytes, bytes]], object]] = [
        lambda kept: kept.pop(replaced[0]),
        lambda kept: kept.update({replaced[1]: kept[replaced[1]] + b"x"}),
        lambda kept: kept.pop(next(key for key in kept if key.startswith(b"rcounting\0notes\0"))),
    ]
    for change in changes:
        changed = dict(pairs)
        change(changed)
        reader = Chain.open("here", store=copy(changed), contracts=CONTRACTS, blobs=world.chain.blobs)
        with pytest.raises(InvalidBlock):
            reader.snapshot(tmp_path / "snapshot")
    reader = Chain.open("here", store=copy(pairs), contracts=CONTRACTS, blobs=world.chain.blobs)
    reader.snapshot(tmp_path / "snapshot")


def test_on_disk(tmp_path: Path) -> None:
    """Taken by a reader beside the writer; restored elsewhere; a mark that is ahead, or missing, keeps it read-only."""
    authority, mark = wallet("authority"), tmp_path / "mark"
    folder, file = tmp_path / "chain", tmp_path / "snapshot"
    with Chain.create(
        folder, origin="a.example", authority=authority, gate=None, contracts=CONTRACTS, mark=mark
    ) as chain:
        trust = chain.trust
        chain.send(Counting, Add(1), by=[authority])
        chain.checkpoint()
        with Chain.open(folder, contracts=CONTRACTS) as reader:
            reader.snapshot(file)
    kept = mark.read_bytes()
    copy = tmp_path / "copy"
    with Chain.restore(copy, file, trust=trust, contracts=CONTRACTS) as reading:
        assert reading.head.size == chain_size(folder)
        ended = reading.ended
    with pytest.raises(StorageError, match="holds a chain already"):
        Chain.restore(copy, file, trust=trust, contracts=CONTRACTS)
    with pytest.raises(StorageError, match=r"the mark .* is missing"):
        Chain.open(copy, authority=authority, contracts=CONTRACTS, mark=tmp_path / "no mark")
    with Chain.open(folder, authority=authority, contracts=CONTRACTS, mark=mark) as chain:
        chain.send(Counting, Add(1), by=[authority])
    with pytest.raises(StorageError, match="old copy of the chain"):
        Chain.open(copy, authority=authority, contracts=CONTRACTS, mark=mark)
    mark.write_bytes(kept)
    with Chain.open(copy, authority=authority, contracts=CONTRACTS, mark=mark) as chain:
        chain.send(Counting, Add(1), by=[authority])
    with Chain.create(
        tmp_path / "next", origin="b.example", authority=authority, gate=None, contracts=CONTRACTS,
        mark=tmp_path / "next mark", predecessor=ended,
    ) as chain:  # fmt: skip
        assert chain.genesis.predecessor == ended
        chain.audit()
    shutil.rmtree(copy)


def chain_size(folder: Path) -> int:
    with Chain.open(folder, contracts=CONTRACTS) as chain:
        return chain.head.size


def test_every_changed_byte_is_refused_and_leaves_no_chain(world: World, tmp_path: Path) -> None:
    world.send(Put("x", "1"), world.authority)
    file = tmp_path / "snapshot"
    world.chain.snapshot(file)
    data, trust = file.read_bytes(), world.chain.trust
    for at in range(len(data)):
        bad = bytearray(data)
        bad[at] ^= 1 << at % 8
        store = MemoryStore()
        with pytest.raises((EncodingError, VerificationError, InvalidBlock, NewerFormat)):
            restore(store, SnapshotReader(io.BytesIO(bytes(bad)), trust))
        with pytest.raises(NotAChain):
            Archive(store).check_format()
    for cut in (0, 5, 20, 21, 200, len(data) // 2, len(data) - 1):
        with pytest.raises((EncodingError, NewerFormat, InvalidBlock)):
            restore(MemoryStore(), SnapshotReader(io.BytesIO(data[:cut]), trust))
    with pytest.raises(EncodingError, match="goes on"):
        restore(MemoryStore(), SnapshotReader(io.BytesIO(data + b"\0"), trust))


def test_of_a_chain_that_is_not_trusted(world: World, tmp_path: Path) -> None:
    world.chain.snapshot(tmp_path / "snapshot")
    other = World.make()
    with other.chain, pytest.raises(VerificationError):
        restored_by(other, tmp_path / "snapshot", tmp_path)


def restored_by(world: World, file: Path, tmp_path: Path) -> Chain:
    return restored(file, world, tmp_path)


@pytest.mark.parametrize("damaged", [False, True])
def test_a_store_with_other_data_is_left_as_it_is(world: World, tmp_path: Path, damaged: bool) -> None:
    filled(world)
    file, store = tmp_path / "snapshot", MemoryStore()
    world.chain.snapshot(file)
    if damaged:
        file.write_bytes(file.read_bytes()[:-3])
    precious = Batch()
    precious.put(b"my/precious", b"1")
    store.commit(precious)
    with pytest.raises(StorageError, match="something else already"):
        Chain.restore(tmp_path, file, trust=world.chain.trust, contracts=CONTRACTS, store=store)
    assert list(store.scan()) == [(b"my/precious", b"1")]
    with pytest.raises(StorageError, match="something else already"):
        check_vacant(Archive(store), "here")


def test_a_damaged_snapshot_is_known_before_the_store_is_touched(world: World, tmp_path: Path) -> None:
    filled(world)
    file = tmp_path / "snapshot"
    world.chain.snapshot(file)
    data = file.read_bytes()
    for bad in (data[:-1] + bytes([data[-1] ^ 1]), data[:-3], data + b"x"):
        store = MemoryStore()
        with pytest.raises((EncodingError, InvalidBlock)):
            restore(store, SnapshotReader(io.BytesIO(bad), world.chain.trust))
        assert Archive(store).empty
    file.write_bytes(data[:50])
    with pytest.raises(EncodingError):
        Chain.restore(tmp_path / "again", file, trust=world.chain.trust)
    assert not (tmp_path / "again").exists()


def test_a_snapshot_that_changes_while_it_is_read(world: World, tmp_path: Path) -> None:
    """It was verified, and then another took its place: no chain comes of it."""
    filled(world)
    file, store = tmp_path / "snapshot", MemoryStore()
    world.chain.snapshot(file)
    source = io.BytesIO(file.read_bytes())

    def change(done: int, total: int | None) -> None:
        if done == (total or 0) // 2:
            source.seek(-1, io.SEEK_END)
            [last] = source.read()
            source.seek(-1, io.SEEK_END)
            source.write(bytes([last ^ 1]))

    with pytest.raises(StorageError, match="has changed while it was read"):
        restore(store, SnapshotReader(source, world.chain.trust), change)
    with pytest.raises(NotAChain):
        Archive(store).check_format()


@pytest.mark.parametrize("share", [0.5, 1])
def test_broken_off_and_begun_anew(world: World, tmp_path: Path, share: float) -> None:
    """While the snapshot is verified, or while it is written."""
    filled(world)
    file, store = tmp_path / "snapshot", MemoryStore()
    world.chain.snapshot(file)

    def stop(done: int, total: int | None) -> None:
        if done == share * (total or 0):
            raise KeyboardInterrupt

    with open_snapshot(file, world.chain.trust) as snapshot, pytest.raises(KeyboardInterrupt):
        restore(store, snapshot, stop)
    with pytest.raises(NotAChain):
        Archive(store).check_format()
    assert Archive(store).empty is (share < 1)
    if share == 1:
        with pytest.raises(StorageError, match="restored in part"):
            check_vacant(Archive(store), "here")
    where = {"contracts": CONTRACTS, "store": store, "blobs": world.chain.blobs}
    again = Chain.restore(tmp_path, file, trust=world.chain.trust, **where)  # type: ignore[arg-type]
    assert again.head == world.chain.head
    assert store.get(UNFINISHED) is None
    with open_snapshot(file, world.chain.trust) as snapshot:
        clean = MemoryStore()
        restore(clean, snapshot)
    assert list(store.scan()) == list(clean.scan())
    with pytest.raises(StorageError, match="cannot read"):
        Chain.restore(tmp_path, tmp_path / "none", trust=world.chain.trust, store=MemoryStore())
    with pytest.raises(StorageError):
        world.chain.snapshot(tmp_path / "no folder" / "snapshot")
