"""Publishing a chain: what stands there, how it grows, what stops it, and what a killed publisher leaves."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from ledger.counting import Add, Counting
from ledger.world import CONTRACTS, Clock, World, wallet
from transparency.witnesses import CLASSIC

import medchain as mc
from medchain.chain import Chain
from medchain.errors import Forked, Locked, NotWitnessed, Rewound, StorageError
from medchain.ledger.checkpoint import Checkpoint
from medchain.merkle import LogTree
from medchain.storage._bucket import Conflict
from medchain.transparency import Evidence, publication_trust, publish
from medchain.transparency.layout import Part, entries, tiles, unpack
from medchain.transparency.target import BucketTarget, DirectoryTarget


@pytest.fixture
def world() -> Iterator[World]:
    made = World.make()
    with made.chain:
        yield made


def grow(world: World, count: int) -> None:
    for _ in range(count):
        world.send(Add(1), world.authority)


def files(folder: Path) -> dict[str, bytes]:
    """All that is published, by path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".publishing" not in path.parts
    }


def read(folder: Path, size: int) -> list[bytes]:
    """The leaves of a published log, each bundle of exact length."""
    return [leaf for part in entries(size) for leaf in unpack((folder / part.path).read_bytes(), part.width)]


def test_what_is_published(world: World, tmp_path: Path) -> None:
    grow(world, 150)
    done = publish(world.chain, tmp_path)
    checkpoint = Checkpoint.parse((tmp_path / "checkpoint").read_bytes())
    assert checkpoint == done.checkpoint
    assert checkpoint.head == world.chain.head
    tree = LogTree(read(tmp_path, checkpoint.size))
    assert tree.head == checkpoint.head
    expected = {part.path for part in (*tiles(checkpoint.size), *entries(checkpoint.size))} | {"checkpoint"}
    assert files(tmp_path).keys() == expected
    for part in tiles(checkpoint.size):
        first = part.index * 256
        nodes = b"".join(tree.node(8 * (part.level or 0), first + at) for at in range(part.width))
        assert (tmp_path / part.path).read_bytes() == nodes
    assert done.files == len(expected) - 1
    assert done.bytes == sum(len(data) for path, data in files(tmp_path).items() if path != "checkpoint")


def test_it_is_signed_by_both_keys(world: World, tmp_path: Path) -> None:
    checkpoint = publish(world.chain, tmp_path).checkpoint
    trust = publication_trust(world.chain, url="https://log.example/")
    assert [key.type for key in trust.verify(checkpoint).log] == [0x01, 0x06]
    assert world.chain.trust.verify(checkpoint).log == world.chain.trust.log_keys
    assert mc.Trust.parse(str(trust)) == trust
    assert trust.urls == ("https://log.example/", None)


def test_growing_keeps_what_was_published(world: World, tmp_path: Path) -> None:
    seen: dict[str, bytes] = {}
    for count in (3, 90, 40, 200):
        grow(world, count)
        done = publish(world.chain, tmp_path)
        now = files(tmp_path)
        assert all(now[path] == data for path, data in seen.items() if path != "checkpoint")
        assert LogTree(read(tmp_path, done.size)).head == world.chain.head
        seen = now
    alone = tmp_path / "alone"
    publish(world.chain, alone)
    assert all(seen[path] == data for path, data in files(alone).items() if path != "checkpoint")


def test_again_changes_nothing(world: World, tmp_path: Path) -> None:
    grow(world, 5)
    first = publish(world.chain, tmp_path)
    before = files(tmp_path)
    again = publish(world.chain, tmp_path)
    assert (again.files, again.bytes, again.checkpoint) == (0, 0, first.checkpoint)
    assert files(tmp_path) == before


def test_progress(world: World, tmp_path: Path) -> None:
    grow(world, 150)
    told: list[tuple[int, int]] = []
    size = publish(world.chain, tmp_path, progress=lambda done, of: told.append((done, of))).size
    assert told == [(256, size), (size, size)]


class Broken(Exception):
    pass


@pytest.mark.parametrize("at", range(7))
def test_a_publisher_that_dies_is_taken_up(world: World, tmp_path: Path, at: int) -> None:
    """Wherever it ends, the old checkpoint stands over whole files, and the next publisher brings the rest."""

    class Dying(DirectoryTarget):
        left = at

        def write(self, path: str, data: bytes) -> None:
            if self.left == 0:
                (self.path / ".publishing" / ".tmp-999").write_bytes(data[: len(data) // 2])
                raise Broken
            self.left -= 1
            super().write(path, data)

    folder = tmp_path / "log"
    grow(world, 10)
    publish(world.chain, folder)
    old = Checkpoint.parse((folder / "checkpoint").read_bytes())
    grow(world, 300)
    with pytest.raises(Broken):
        publish(world.chain, Dying(folder))
    assert Checkpoint.parse((folder / "checkpoint").read_bytes()) == old
    assert LogTree(read(folder, old.size)).head == old.head
    publish(world.chain, folder)
    assert LogTree(read(folder, world.chain.head.size)).head == world.chain.head
    assert {path.name for path in (folder / ".publishing").iterdir()} == {"lock"}


def test_one_publisher_at_a_time(world: World, tmp_path: Path) -> None:
    target = DirectoryTarget(tmp_path)
    with target.writing(), pytest.raises(Locked):
        publish(world.chain, tmp_path)
    publish(world.chain, tmp_path)


def test_another_log_lies_there(world: World, tmp_path: Path) -> None:
    other = World.make()
    publish(other.chain, tmp_path)
    before = files(tmp_path)
    with pytest.raises(StorageError, match="something else"):
        publish(world.chain, tmp_path)
    (tmp_path / "checkpoint").write_bytes(b"nonsense")
    with pytest.raises(StorageError, match="something else"):
        publish(world.chain, tmp_path)
    (tmp_path / "checkpoint").write_bytes(before["checkpoint"])
    assert files(tmp_path) == before


def test_an_old_copy_of_the_chain_is_caught(tmp_path: Path) -> None:
    """Restored from a backup it has less than is published; if it goes on, what it signs convicts it."""
    place, clock = tmp_path / "log", Clock()
    where: dict[str, Any] = {"authority": wallet("authority"), "contracts": CONTRACTS, "clock": clock}
    first = Chain.create(
        tmp_path / "a" / "chain", origin="log.example", mark=tmp_path / "a" / "mark", gate=None, **where
    )
    add(first, 3)
    first.close()
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    with Chain.open(tmp_path / "a" / "chain", mark=tmp_path / "a" / "mark", **where) as first:
        add(first, 6)
        publish(first, place)
    with Chain.open(tmp_path / "b" / "chain", mark=tmp_path / "b" / "mark", **where) as restored:
        with pytest.raises(Rewound, match="old copy"):
            publish(restored, place)
        add(restored, 9, amount=2)
        before = files(place)
        with pytest.raises(Forked) as caught:
            publish(restored, place)
        assert files(place) == before
        assert Evidence.parse(caught.value.evidence).verify(restored.trust) == restored.trust.log_keys


def add(chain: Chain, count: int, amount: int = 1) -> None:
    for _ in range(count):
        chain.send(Counting, Add(amount), by=[wallet("authority")])


def test_witnesses_come_before_the_checkpoint(world: World, tmp_path: Path) -> None:
    def refused(checkpoint: Checkpoint) -> Checkpoint:
        raise NotWitnessed("nobody answers", refusals={"w1": "unreachable"})

    grow(world, 3)
    with pytest.raises(NotWitnessed):
        publish(world.chain, tmp_path, cosign=refused)
    assert not (tmp_path / "checkpoint").exists()
    asked: list[Checkpoint] = []

    def agreed(checkpoint: Checkpoint) -> Checkpoint:
        asked.append(checkpoint)
        return evolve(checkpoint, note=checkpoint.note.signed_with(checkpoint.note.signatures[0]))

    done = publish(world.chain, tmp_path, cosign=agreed)
    assert done.checkpoint.note.signatures[:2] == asked[0].note.signatures
    assert len(Checkpoint.parse((tmp_path / "checkpoint").read_bytes()).note.signatures) == 3


def test_witnesses_are_not_lost_by_oversight(world: World, tmp_path: Path) -> None:
    def cosigned(checkpoint: Checkpoint) -> Checkpoint:
        return evolve(
            checkpoint, note=checkpoint.note.signed_with(CLASSIC.sign(checkpoint.note.text, 1_790_000_000))
        )

    first = publish(world.chain, tmp_path, cosign=cosigned).checkpoint
    assert publish(world.chain, tmp_path).checkpoint == first  # nothing is new, and nothing is replaced
    grow(world, 1)
    for forgotten in (None, lambda checkpoint: checkpoint):
        with pytest.raises(NotWitnessed, match=r"by w.example/1, .*unwitnessed=True"):
            publish(world.chain, tmp_path, cosign=forgotten)
    assert Checkpoint.parse((tmp_path / "checkpoint").read_bytes()) == first
    assert len(publish(world.chain, tmp_path, unwitnessed=True).checkpoint.note.signatures) == 2
    grow(world, 1)
    publish(world.chain, tmp_path)  # once is enough


class Unconditional:
    """A bucket that has no conditional writes."""

    def __init__(self, store: Any) -> None:
        self.store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def put(self, key: str, data: bytes, *, mode: Any, **more: Any) -> Any:
        if mode != "overwrite":
            raise NotImplementedError
        return self.store.put(key, data, mode=mode, **more)


@pytest.mark.parametrize("conditional", [True, False])
@pytest.mark.parametrize("begun", [True, False])
def test_a_bucket_is_never_rolled_back(world: World, conditional: bool, begun: bool) -> None:
    """Another publishes more while this one asks its witnesses."""
    bucket = pytest.importorskip("obstore.store").MemoryStore()
    if not conditional:
        bucket = Unconditional(bucket)
    if begun:
        publish(world.chain, bucket)
    grow(world, 1)

    def slow(checkpoint: Checkpoint) -> Checkpoint:
        grow(world, 3)
        publish(world.chain, bucket)
        return checkpoint

    with pytest.raises(Locked, match="meanwhile"):
        publish(world.chain, bucket, cosign=slow)
    assert Checkpoint.parse(bytes(bucket.get("checkpoint").bytes())).head == world.chain.head


@pytest.mark.parametrize("begun", [True, False])
def test_a_bucket_changes_just_before_the_write(
    world: World, begun: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between reading it again and writing; and an answer that is lost is no conflict."""
    bucket = pytest.importorskip("obstore.store").MemoryStore()
    target = BucketTarget(bucket)
    before = b"old" if begun else None
    if before:
        target.write("checkpoint", before)
    fetch = target._bucket.fetch

    def read_and_lose(*arguments: Any) -> Any:
        found = fetch(*arguments)
        bucket.put("checkpoint", b"other")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(target._bucket, "fetch", read_and_lose)
        with pytest.raises(Locked, match="meanwhile"):
            target.replace("checkpoint", b"new", before)
    with monkeypatch.context() as patch:
        patch.setattr(target._bucket, "create", lambda *_: (_ for _ in ()).throw(Conflict("409")))
        patch.setattr(target._bucket, "replace", lambda *_: (_ for _ in ()).throw(Conflict("409")))
        target.replace("checkpoint", b"other", b"other")


def test_a_directory_is_looked_at_again(tmp_path: Path) -> None:
    target = DirectoryTarget(tmp_path)
    with target.writing():
        target.write("checkpoint", b"other")
        with pytest.raises(Locked, match="meanwhile"):
            target.replace("checkpoint", b"new", b"old")


def test_what_was_deleted_or_damaged_comes_back(world: World, tmp_path: Path) -> None:
    grow(world, 300)
    publish(world.chain, tmp_path)
    whole = files(tmp_path)
    names = sorted(whole.keys() - {"checkpoint"})
    for number, change in enumerate((b"", b"short", b"longer than it was" * 1000)):
        lost, wrong = names[number : number + 2]
        (tmp_path / lost).unlink()
        (tmp_path / wrong).write_bytes(change)
        assert publish(world.chain, tmp_path).files == 0
        done = publish(world.chain, tmp_path, check=True)
        assert (done.files, done.bytes) == (2, len(whole[lost]) + len(whole[wrong]))
        assert files(tmp_path) == whole
    assert publish(world.chain, tmp_path, check=True).files == 0
    (tmp_path / names[0]).unlink()
    grow(world, 1)
    publish(world.chain, tmp_path, check=True)
    assert whole.items() - {("checkpoint", whole["checkpoint"])} <= files(tmp_path).items()


def test_what_stands_in_the_way(world: World, tmp_path: Path) -> None:
    (tmp_path / "tile").write_bytes(b"a file where a folder belongs")
    with pytest.raises(StorageError, match="tile"):
        publish(world.chain, tmp_path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError):
        publish(world.chain, tmp_path / "file")


def test_parts_know_where_they_begin() -> None:
    assert [part.start for part in (Part(None, 2, 1), Part(0, 2, 1), Part(1, 2, 1))] == [512, 512, 131_072]
