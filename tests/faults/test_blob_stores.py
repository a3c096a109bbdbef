"""Any one of three blob stores is lost or damaged: every record opens, the audit names what was lost, repair brings it
back, and what is erased stays erased.

The short form does each harm once to a disk in each place, and to a bucket; MEDCHAIN_FAULTS=long does it with many
seeds, more records and long payloads.
"""

from __future__ import annotations

import os
import random
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import clinic
import pytest
from attrs import define
from buckets import ObjectServer
from clinic import Clinic

import medchain as mc
from medchain.access import BlobReport, Flaw, Record, Request, audit_blobs
from medchain.errors import BlobMissing, StorageError
from medchain.sealing import Part
from medchain.storage import BlobStore, FileBlobs, MemoryBlobs, ObjectBlobs, ReplicatedBlobs
from medchain.testing import FaultBlobs
from medchain.testing.faults import fail

LONG = os.environ.get("MEDCHAIN_FAULTS") == "long"
SEEDS = range(4 if LONG else 1)
RECORDS = 4 if LONG else 2
LARGE = (6 << 20) if LONG else 300_000

Address = tuple[bytes, bytes]
"""Object id and hash of a blob."""


class Disk(ABC):
    """What lies beneath one blob store, to be looked at and harmed from outside."""

    @abstractmethod
    def open(self) -> BlobStore:
        """The store, made anew if there is none."""

    @abstractmethod
    def keys(self) -> list[str]:
        """The names of everything that lies there."""

    @abstractmethod
    def get(self, key: str) -> bytes: ...

    @abstractmethod
    def put(self, key: str, content: bytes) -> None: ...

    @abstractmethod
    def remove(self, key: str) -> None: ...

    @abstractmethod
    def lose(self) -> None:
        """The disk is gone."""

    @abstractmethod
    def replace(self) -> None:
        """Put a new, empty disk in its place."""

    def blobs(self) -> dict[Address, str]:
        """Under which name the bytes of each blob lie."""
        found = {}
        for key in self.keys():
            parts = key.removeprefix("objects/").removesuffix(".at").split("/")
            if len(parts) == 2 and all(len(part) == 64 for part in parts):
                address = bytes.fromhex(parts[0]), bytes.fromhex(parts[1])
                if key.endswith(".at"):
                    key = f"objects/{parts[0]}/{self.get(key).decode().strip()}.body"
                found[address] = key
        return found

    def content(self) -> dict[Address, bytes]:
        """Every blob."""
        return {address: self.get(key) for address, key in self.blobs().items()}

    def under(self, object_id: bytes) -> list[str]:
        """What lies under an object, tombstones apart."""
        return [key for key in self.keys() if f"{object_id.hex()}/" in key]

    def copy(self) -> dict[str, bytes]:
        """All of it, as a backup has it."""
        return {key: self.get(key) for key in self.keys()}

    def empty(self) -> None:
        """Remove everything that lies there."""
        for key in self.keys():
            self.remove(key)

    def put_back(self, copy: dict[str, bytes]) -> None:
        """Let there be what was there when the copy was made, and nothing else."""
        for key in self.keys():
            self.remove(key)
        for key, content in copy.items():
            self.put(key, content)


class Folder(Disk):
    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self) -> BlobStore:
        return FileBlobs(self.path)

    def keys(self) -> list[str]:
        return sorted(str(each.relative_to(self.path)) for each in self.path.rglob("*") if each.is_file())

    def get(self, key: str) -> bytes:
        return (self.path / key).read_bytes()

    def put(self, key: str, content: bytes) -> None:
        (self.path / key).parent.mkdir(parents=True, exist_ok=True)
        (self.path / key).write_bytes(content)

    def remove(self, key: str) -> None:
        (self.path / key).unlink()

    def empty(self) -> None:
        self.lose()
        self.path.mkdir()

    def lose(self) -> None:
        shutil.rmtree(self.path)

    def replace(self) -> None:
        FileBlobs(self.path)


class Bucket(Disk):
    def __init__(self, server: ObjectServer) -> None:
        self.server = server
        self.name = server.bucket()

    def open(self) -> BlobStore:
        return ObjectBlobs.at(f"s3://{self.name}", part_size=5 << 20, **self.server.options())

    def keys(self) -> list[str]:
        return self.server.keys(self.name)

    def get(self, key: str) -> bytes:
        return self.server.get(self.name, key)

    def put(self, key: str, content: bytes) -> None:
        self.server.put(self.name, key, content)

    def remove(self, key: str) -> None:
        self.server.client.delete_object(Bucket=self.name, Key=key)

    def lose(self) -> None:
        self.empty()
        self.server.client.delete_bucket(Bucket=self.name)

    def replace(self) -> None:
        if self.name not in [each["Name"] for each in self.server.client.list_buckets()["Buckets"]]:
            self.server.client.create_bucket(Bucket=self.name)
        self.open()


# A clinic whose sealed data lies on three disks.


@define
class World:
    house: Clinic
    disks: list[Disk]
    contents: dict[bytes, bytes]
    """What each live record opens to, by its id."""
    requests: dict[bytes, Request]
    erased: Record
    erased_request: Request
    backups: list[dict[str, bytes]]
    """Copies of the disks from before the erasure and the last approvals."""

    def audit(self) -> BlobReport:
        return audit_blobs(self.house.chain)

    def open(self, id: bytes) -> bytes:
        return self.house.access.open(self.requests[id], by=self.house["dr_lee"]).raw


@contextmanager
def world(disks: list[Disk], chance: random.Random) -> Iterator[World]:
    with clinic.clinic(ReplicatedBlobs([disk.open() for disk in disks], write_quorum=2)) as house:
        contents: dict[bytes, bytes] = {}
        requests: dict[bytes, Request] = {}
        for number in range(RECORDS):
            sizes = [chance.randrange(1, 2000) for _ in range(3)] + [LARGE if number == 0 else 0]
            parts = [Part(chance.randbytes(size)) for size in sizes]
            record = house.access.add(parts, house.bind(), by=[house["hospital"], house["owner"]])
            contents[record.id] = b"".join(bytes(part.data) for part in parts)
            requests[record.id] = house.decided(record) if number else house.ask(record)
        erased = house.add()
        erased_request = house.decided(erased)
        backups = [disk.copy() for disk in disks]
        house.access.erase(erased, by=[house["owner"]])
        first = next(iter(requests.values()))
        house.approve(first, "owner", "dr_wu")
        yield World(house, disks, contents, requests, erased, erased_request, backups)


Make = Callable[[str, int], tuple[list[Disk], Disk]]


KINDS = ("folder", "bucket")


@pytest.fixture
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Makes three folders, of which the one at a position is a bucket if that is asked for, and names it."""

    def disks(kind: str, position: int) -> tuple[list[Disk], Disk]:
        made: list[Disk] = [Folder(tmp_path / name) for name in "abc"]
        if kind == "bucket":
            made[position] = Bucket(request.getfixturevalue("object_server"))
        return made, made[position]

    return disks


# The harms. Each tells what it has done, blob by blob.

Harm = dict[Address, str]


def flip(content: bytes, chance: random.Random) -> bytes:
    altered = bytearray(content)
    for at in {chance.randrange(len(content)) for _ in range(3)}:
        altered[at] ^= 1 << chance.randrange(8)
    return bytes(altered)


def cut(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(len(content))]


def some(disk: Disk, chance: random.Random) -> dict[Address, str]:
    """About half of the blobs of a disk, at least one."""
    blobs = disk.blobs()
    chosen = [address for address in blobs if chance.random() < 0.5] or list(blobs)[:1]
    return {address: blobs[address] for address in chosen}


def flipped(world: World, disk: Disk, chance: random.Random) -> Harm:
    chosen = some(disk, chance)
    for key in chosen.values():
        disk.put(key, flip(disk.get(key), chance))
    return dict.fromkeys(chosen, Flaw.DAMAGED)


def all_flipped(world: World, disk: Disk, chance: random.Random) -> Harm:
    blobs = disk.blobs()
    for key in blobs.values():
        disk.put(key, flip(disk.get(key), chance))
    return dict.fromkeys(blobs, Flaw.DAMAGED)


def truncated(world: World, disk: Disk, chance: random.Random) -> Harm:
    chosen = some(disk, chance)
    for key in chosen.values():
        disk.put(key, cut(disk.get(key), chance))
    return dict.fromkeys(chosen, Flaw.DAMAGED)


def some_removed(world: World, disk: Disk, chance: random.Random) -> Harm:
    chosen = some(disk, chance)
    for key in chosen.values():
        disk.remove(key)
    return dict.fromkeys(chosen, Flaw.MISSING)


def all_removed(world: World, disk: Disk, chance: random.Random) -> Harm:
    blobs = disk.blobs()
    for key in blobs.values():
        disk.remove(key)
    return dict.fromkeys(blobs, Flaw.MISSING)


def swapped(world: World, disk: Disk, chance: random.Random) -> Harm:
    """The contents of two blobs of the largest object are exchanged."""
    blobs = disk.blobs()
    one, other = chance.sample(sorted(blobs), 2)
    first, second = disk.get(blobs[one]), disk.get(blobs[other])
    disk.put(blobs[one], second)
    disk.put(blobs[other], first)
    return dict.fromkeys((one, other), Flaw.DAMAGED)


def mixed(world: World, disk: Disk, chance: random.Random) -> Harm:
    """Each blob fares as it may, and the tombstone is gone."""
    done: Harm = {}
    for address, key in disk.blobs().items():
        match chance.choice(["kept", "removed", "flipped", "cut", "grown"]):
            case "removed":
                disk.remove(key)
                done[address] = Flaw.MISSING
            case "flipped":
                disk.put(key, flip(disk.get(key), chance))
                done[address] = Flaw.DAMAGED
            case "cut":
                disk.put(key, cut(disk.get(key), chance))
                done[address] = Flaw.DAMAGED
            case "grown":
                disk.put(key, disk.get(key) + b"\0")
                done[address] = Flaw.DAMAGED
    disk.remove(f"erased/{world.erased.object.hex()}")
    done[world.erased.object, b""] = Flaw.NO_TOMBSTONE
    return done


def put_back(world: World, disk: Disk, chance: random.Random) -> Harm:
    """An old copy of the disk comes back, from before the erasure and the last approval."""
    now = set(disk.blobs())
    disk.put_back(world.backups[world.disks.index(disk)])
    old = set(disk.blobs())
    assert {object_id for object_id, _ in old - now} == {world.erased.object}
    return {
        **dict.fromkeys(now - old, Flaw.MISSING),
        (world.erased.object, b""): Flaw.STILL_THERE,
    }


HARMS = [flipped, all_flipped, truncated, some_removed, all_removed, swapped, mixed, put_back]


def told(report: BlobReport, before: dict[Address, bytes], store: int) -> Harm:
    """What a report says of one store, blob by blob; it must say nothing of the others."""
    said: Harm = {}
    for finding in report.findings:
        assert set(finding.good) == {0, 1, 2} - {store}
        assert not finding.lost
        (copy,) = finding.copies
        assert copy.store == store
        if finding.blob is not None:
            said[finding.object, finding.blob] = copy.flaw
        elif copy.flaw == Flaw.MISSING:
            said |= {address: copy.flaw for address in before if address[0] == finding.object}
        else:
            said[finding.object, b""] = copy.flaw
    return said


def check_all_well(one: World, before: list[dict[Address, bytes]]) -> None:
    """Every store is as it was, everything opens, and nothing of what is erased is anywhere."""
    assert one.audit().holds
    assert [disk.content() for disk in one.disks] == before
    for id, content in one.contents.items():
        assert one.open(id) == content
    blobs = one.house.chain.blobs
    for disk in one.disks:
        assert disk.under(one.erased.object) == []
        assert disk.open().erased(one.erased.object)
        with pytest.raises(StorageError, match="erased"):
            disk.open().put(one.erased.object, b"again")
    with pytest.raises(BlobMissing):
        blobs.size(one.erased.object, bytes(32))
    with pytest.raises(mc.Erased):
        one.house.access.open(one.erased_request, by=one.house["dr_lee"])


def repair(one: World) -> None:
    """Repair, in which nothing may turn out to be lost."""
    blobs = one.house.chain.blobs
    assert isinstance(blobs, ReplicatedBlobs)
    report = blobs.repair()
    assert (report.lost, report.away) == ((), ())


PLACES = [(kind, position) for kind in KINDS for position in range(3)]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("kind", "position"), PLACES if LONG else [("folder", 0), ("bucket", 1)])
@pytest.mark.parametrize("harm", HARMS)
def test_a_damaged_store_loses_nothing_and_is_brought_back(
    make: Make, harm: Callable[[World, Disk, random.Random], Harm], kind: str, position: int, seed: int
) -> None:
    chance = random.Random(f"{harm.__name__} {kind} {position} {seed}")
    disks, victim = make(kind, position)
    with world(disks, chance) as one:
        before = [disk.content() for disk in disks]
        done = harm(one, victim, chance)
        assert done
        assert told(one.audit(), before[position], position) == done
        if seed % 2 == 0:  # reading repairs a part of it; repair has to manage without that, too
            for id, content in one.contents.items():
                assert one.open(id) == content
        repair(one)
        check_all_well(one, before)


@pytest.mark.parametrize(("kind", "position"), PLACES if LONG else PLACES[:4])
@pytest.mark.parametrize("how", ["lose", "empty"])
def test_a_store_that_is_gone_loses_nothing_and_a_new_disk_is_filled(
    make: Make, how: str, kind: str, position: int
) -> None:
    disks, victim = make(kind, position)
    with world(disks, random.Random(position)) as one:
        before = [disk.content() for disk in disks]
        getattr(victim, how)()
        report = one.audit()
        assert [store.error is None for store in report.stores] == [number != position for number in range(3)]
        assert report.findings == ()
        for id, content in one.contents.items():
            assert one.open(id) == content
        another = one.house.add()  # work goes on, and what was added meanwhile is brought as well
        one.requests[another.id] = one.house.decided(another)
        one.contents[another.id] = clinic.CONTENT
        victim.replace()
        whole = told(one.audit(), disks[position - 1].content(), position)
        assert set(whole.values()) == {Flaw.MISSING, Flaw.NO_TOMBSTONE}
        assert set(whole) == {*disks[position - 1].content(), (one.erased.object, b"")}
        repair(one)
        check_all_well(one, [disks[position - 1].content()] * 3)
        for number in range(3):
            assert before[number].items() <= disks[number].content().items()


@pytest.mark.parametrize(("kind", "position"), PLACES if LONG else PLACES[2:4])
def test_a_chain_is_opened_and_works_while_a_store_is_gone(make: Make, kind: str, position: int) -> None:
    disks, victim = make(kind, position)
    with world(disks, random.Random(position)) as one:
        victim.lose()
        others = [disk.open for disk in disks]
        others[position] = lambda: FileBlobs("/nowhere/at/all", create=False)
        one.house.chain.blobs = ReplicatedBlobs(others, write_quorum=2)
        for id, content in one.contents.items():
            assert one.open(id) == content
        another = one.house.add()
        one.house.access.erase(another, by=[one.house["owner"]])
        with pytest.raises(mc.Erased):
            one.house.access.open(one.erased_request, by=one.house["dr_lee"])


@pytest.mark.parametrize("broken", range(1, 60 if LONG else 25))
def test_a_repair_that_is_broken_off_anywhere_is_completed_by_the_next(broken: int) -> None:
    chance = random.Random(broken)
    target = FaultBlobs(MemoryBlobs(), {broken: fail()})
    good = [MemoryBlobs(), MemoryBlobs()]
    blobs = ReplicatedBlobs([*good, target], write_quorum=2)
    target.down = True
    names = [
        (bytes([number]) * 32, blobs.put(bytes([number]) * 32, chance.randbytes(99))) for number in range(8)
    ]
    for object_id, _ in names[:3]:
        blobs.erase(object_id)
    target.down = False
    first = blobs.repair()
    assert first.copied + len(first.away) >= 1
    second = blobs.repair()
    assert (second.lost, second.away) == ((), ())
    assert list(target.tombstones()) == [object_id for object_id, _ in names[:3]]
    for object_id, digest in names[3:]:
        assert target.check(object_id, digest) == 99
