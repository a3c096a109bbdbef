"""Tables as of earlier blocks: read whole, in order, and compared with copies that were kept at each height."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger.counting import Add, Counting, NoteRow, Put
from ledger.world import CONTRACTS, START, Clock, World, wallet

import medchain as mc
from medchain.errors import InvalidBlock
from medchain.ledger import past, transition, versions
from medchain.ledger.keys import Keys
from medchain.ledger.system import LedgerTables
from medchain.ledger.tables import Table, key_in_order, order_key
from medchain.storage.api import Batch

KEPT = 12
TABLES: tuple[Table[Any], ...] = (
    Counting.notes,
    Counting.totals,
    Counting.overall,
    Keys.parties,
    Keys.signing,
    LedgerTables.replay,
    LedgerTables.subjects,
)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chain that keeps few versions, and has little time to write old nodes anew."""
    for module in (transition, versions):
        monkeypatch.setattr(module, "KEPT_VERSIONS", KEPT)
    monkeypatch.setattr(transition, "TOUCHED", 8)
    monkeypatch.setattr(transition, "STRIDE", 2)


@pytest.fixture
def on_disk(tmp_path: Path) -> Iterator[World]:
    authority, clock = wallet("authority"), Clock()
    with mc.Chain.create(
        tmp_path / "chain",
        origin="clinic.example/past",
        authority=authority,
        gate=None,
        contracts=CONTRACTS,
        mark=tmp_path / "mark",
        clock=clock,
    ) as chain:
        yield World(chain, clock, authority)


class Oracle:
    """Copies of all tables, one for each block."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.copies: dict[int, list[list[tuple[Any, Any]]]] = {}
        self.keep()

    def keep(self) -> None:
        chain = self.world.chain
        self.copies[chain.height] = [list(chain.table(table).items()) for table in TABLES]

    def change(self, rng: random.Random, names: list[str]) -> None:
        """A block, in which something is new, changed, taken away, put back, or nothing of these."""
        who = self.world.authority
        for _ in range(rng.randint(1, 3)):
            if rng.random() < 0.2:
                self.world.send(Add(rng.randint(0, 5), (bytes([rng.randint(0, 3)] * 32),)), who)
            else:
                self.world.send(Put(rng.choice(names), rng.choice(("a", "b", None, None))), who)
            self.keep()

    def kept(self) -> list[int]:
        return list(self.copies)[-KEPT:]

    def check(self, rng: random.Random) -> None:
        for height in self.kept():
            for table, rows in zip(TABLES, self.copies[height], strict=True):
                view = self.world.chain.table(table, at=height)
                assert list(view.items()) == rows
                assert list(view.items(reverse=True)) == rows[::-1]
                assert list(view) == [key for key, _ in rows]
                assert len(view) == len(rows)
                self.check_bounds(rng, table, height, rows)

    def check_bounds(self, rng: random.Random, table: Table[Any], height: int, rows: list[Any]) -> None:
        view = self.world.chain.table(table, at=height)
        ever = sorted({key for copy in self.copies.values() for key, _ in copy[TABLES.index(table)]})
        then = dict(rows)
        for key in rng.sample(ever, min(4, len(ever))):
            assert view.get(key) == then.get(key)
            assert (key in view) == (key in then)
            wanted = [(each, row) for each, row in rows if each >= key]
            assert list(view.items(key)) == wanted
            assert list(view.items(stop=key, reverse=True)) == rows[: len(rows) - len(wanted)][::-1]
            if isinstance(key, tuple):
                under = [(each, row) for each, row in rows if each[0] == key[0]]
                assert list(view.items(under=key[:1])) == under


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("most", [1, 2, 7, past.MOST_GONE])
def test_against_copies(world: World, monkeypatch: pytest.MonkeyPatch, seed: int, most: int) -> None:
    """However few keys of rows that are gone are kept in memory."""
    monkeypatch.setattr(past, "MOST_GONE", most)
    rng, oracle = random.Random(seed), Oracle(world)
    names = [f"note {number}" for number in range(12)] + ["", "\0", "\0\xff", "note", "ü"]
    for number in range(16):
        oracle.change(rng, names)
        if number == 5:
            world.register("ann")
            oracle.keep()
        if number % 3 == 0:
            oracle.check(rng)
    assert world.chain.audit().height == world.chain.height


def test_on_disk_and_beside_the_writer(on_disk: World, tmp_path: Path) -> None:
    rng, oracle = random.Random(7), Oracle(on_disk)
    for _ in range(10):
        oracle.change(rng, [f"note {number}" for number in range(30)])
    oracle.check(rng)
    with mc.Chain.open(tmp_path / "chain", contracts=CONTRACTS) as reader:
        for height in oracle.kept():
            assert list(reader.table(Counting.notes, at=height).items()) == oracle.copies[height][0]


def test_heights_that_are_not_kept(world: World) -> None:
    for number in range(KEPT + 3):
        world.send(Put("x", str(number)), world.authority)
    height = world.chain.height
    for at in (0, height - KEPT, height + 1, 10**30, -1):
        with pytest.raises(IndexError):
            world.chain.table(Counting.notes, at=at)
        with pytest.raises(IndexError):
            world.chain.prove_state(Counting.notes, "x", at=at)
    for beyond in (height + 1, 10**30, -1):
        with pytest.raises(IndexError):
            world.chain.header(beyond)
        with pytest.raises(IndexError):
            world.chain.entry(-1 if beyond < 0 else beyond * 1_000)
    for wrong in ("x", 1.5, True, b"1", (1,)):
        with pytest.raises(TypeError, match="a block has a height"):
            world.chain.table(Counting.notes, at=wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="a block has a height"):
            world.chain.prove_state(Counting.notes, "x", at=wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="a block has a height"):
            world.chain.prove_absent(Counting.notes, "y", at=wrong)  # type: ignore[arg-type]
    oldest = height - KEPT + 1
    assert world.chain.table(Counting.notes, at=oldest)["x"] == NoteRow(str(oldest - 1))
    assert world.chain.table(Counting.notes, at=height)["x"] == NoteRow(str(height - 1))


def test_a_version_that_comes_to_its_end(world: World) -> None:
    """A view raises from then on; an iteration that has begun goes on."""
    for name in ("a", "b", "c"):
        world.send(Put(name, "1"), world.authority)
    view = world.chain.table(Counting.notes, at=world.chain.height)
    begun = view.items()
    assert next(begun) == ("a", NoteRow("1"))
    for number in range(KEPT):
        world.send(Put("b", None if number % 2 else str(number)), world.authority)
    assert list(begun) == [("b", NoteRow("1")), ("c", NoteRow("1"))]
    for read in (lambda: view.get("a"), lambda: "a" in view, lambda: list(view), lambda: len(view)):
        with pytest.raises(IndexError, match="not kept any more"):
            read()


def test_it_is_only_read(world: World) -> None:
    world.send(Put("x", "1"), world.authority)
    view = world.chain.table(Counting.notes, at=world.chain.height)
    with pytest.raises(TypeError, match="only read"):
        view["x"] = NoteRow("2")
    with pytest.raises(TypeError, match="only read"):
        del view["x"]
    assert view["x"] == NoteRow("1")


def test_memory_stays_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many rows that are gone no more keys than allowed are held at once."""
    monkeypatch.setattr(past, "MOST_GONE", 10)
    writer = world.chain._writer
    assert writer is not None
    names = [f"{number:04}" for number in range(300)]
    for text in ("x", None):
        with writer.begin() as builder:
            for name in names:
                body = world.body(Put(name, text), world.authority)
                builder.add(world.sign(body, world.authority))
            block = builder.close()
        writer.commit(block)
    sizes, real = [], past.PastRows._gone

    def watched(*arguments: Any) -> Any:
        found, whole = real(*arguments)
        sizes.append(len(found))
        return found, whole

    monkeypatch.setattr(past.PastRows, "_gone", watched)
    view = world.chain.table(Counting.notes, at=world.chain.height - 1)
    for reverse in (False, True):
        sizes.clear()
        assert list(view.keys(reverse=reverse)) == (names[::-1] if reverse else names)
        assert max(sizes) == 10
        assert len(sizes) == 30, "no more passes than needed"
    assert len(world.chain.table(Counting.notes)) == 0


def test_what_is_stored_otherwise_than_hashed(world: World) -> None:
    for text in ("1", "2", None):
        world.send(Put("x", text), world.authority)
    archive, height = world.chain._archive, world.chain.height
    view = world.chain.table(Counting.notes, at=height - 1)
    assert view["x"] == NoteRow("2")
    ((key, row),) = [
        (key, row)
        for key, row in archive.store.scan(b"u" + height.to_bytes(8, "big"), b"v")
        if b"text" in row
    ]
    for damaged in (row.replace(b"2", b"3"), row[:-1], b"\0"):
        batch = Batch()
        batch.put(key, damaged)
        archive.store.commit(batch)
        with pytest.raises(InvalidBlock):
            list(view.items())
        with pytest.raises(InvalidBlock):
            view.get("x")


KEYS = st.one_of(st.binary(max_size=6), st.text(max_size=4), st.integers(-(1 << 63), (1 << 63) - 1))


@given(st.one_of(KEYS, st.lists(KEYS, max_size=4).map(tuple)))
def test_keys_are_read_from_their_order_form(key: Any) -> None:
    found = key_in_order(order_key(key))
    assert found == key
    assert type(found) is type(key)


def test_now_is_the_default(world: World) -> None:
    view = world.chain.table(Counting.notes)
    assert "x" not in view
    world.send(Put("x", "1"), world.authority)
    assert view["x"] == NoteRow("1")
    assert world.clock.now == START
