"""ReplicatedBlobs: the loss of any one store, damage, quorums, erasures that a store missed."""

from __future__ import annotations

import errno
import shutil
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from medchain.errors import BlobDamaged, BlobMissing, StorageError, StorageFull
from medchain.storage import FileBlobs, LateBlobs, MemoryBlobs, ReplicatedBlobs
from medchain.storage import _members as members
from medchain.storage import replicated as module
from medchain.testing import FaultBlobs
from medchain.testing.faults import Fault, fail, lose_answer, tear

OBJECT = b"\x0b" * 32
OTHER = b"\x0c" * 32
PLENTY = 1 << 30
CONTENT = bytes(range(100))


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    return [tmp_path / name for name in "abc"]


@pytest.fixture
def blobs(paths: list[Path]) -> ReplicatedBlobs:
    return ReplicatedBlobs([FileBlobs(path) for path in paths], write_quorum=2)


def trio() -> tuple[list[FaultBlobs], ReplicatedBlobs]:
    members = [FaultBlobs(MemoryBlobs()) for _ in range(3)]
    return members, ReplicatedBlobs(members, write_quorum=2)


class TestReading:
    @pytest.mark.parametrize("lost", [0, 1, 2])
    def test_the_loss_of_any_one_disk_loses_nothing(
        self, blobs: ReplicatedBlobs, paths: list[Path], lost: int
    ) -> None:
        digests = [
            blobs.put(object_id, CONTENT + bytes([n])) for object_id in (OBJECT, OTHER) for n in range(3)
        ]
        shutil.rmtree(paths[lost])
        for object_id, digest in zip([OBJECT] * 3 + [OTHER] * 3, digests, strict=True):
            assert blobs.check(object_id, digest) == 101
            assert blobs.get(object_id, digest, limit=PLENTY)[:100] == CONTENT
            assert blobs.read(object_id, digest, 10, 5) == CONTENT[10:15]
        assert blobs.away == (lost,)
        replaced = FileBlobs(paths[lost])
        report = blobs.repair()
        assert (report.blobs, report.copied, report.lost, report.away) == (6, 6, (), ())
        assert [*replaced.list(OBJECT), *replaced.list(OTHER)] == sorted(digests[:3]) + sorted(digests[3:])

    @pytest.mark.parametrize("member", [0, 1, 2])
    def test_any_byte_damaged_in_any_member_is_repaired_by_reading(
        self, blobs: ReplicatedBlobs, paths: list[Path], member: int
    ) -> None:
        digest = blobs.put(OBJECT, CONTENT)
        file = paths[member] / OBJECT.hex() / digest.hex()
        for position in range(0, 100, 9):
            file.write_bytes(CONTENT[:position] + b"!" + CONTENT[position + 1 :])
            assert blobs.get(OBJECT, digest, limit=PLENTY) == CONTENT
            blobs.check(OBJECT, digest)
            assert file.read_bytes() == CONTENT

    def test_reading_repairs_what_it_passes(self, blobs: ReplicatedBlobs, paths: list[Path]) -> None:
        digest = blobs.put(OBJECT, CONTENT)
        (paths[0] / OBJECT.hex() / digest.hex()).unlink()
        (paths[1] / OBJECT.hex() / digest.hex()).write_bytes(CONTENT[::-1])
        assert blobs.get(OBJECT, digest, limit=PLENTY) == CONTENT
        for path in paths[:2]:
            assert (path / OBJECT.hex() / digest.hex()).read_bytes() == CONTENT

    @pytest.mark.parametrize("damage", [CONTENT[:50], CONTENT * 1000, b""])
    def test_a_copy_of_another_length_misleads_nobody(
        self, blobs: ReplicatedBlobs, paths: list[Path], damage: bytes
    ) -> None:
        digest = blobs.put(OBJECT, CONTENT)
        (paths[0] / OBJECT.hex() / digest.hex()).write_bytes(damage)
        assert blobs.size(OBJECT, digest) == 100
        assert blobs.read(OBJECT, digest, 60, 40) == CONTENT[60:]
        assert blobs.get(OBJECT, digest, limit=100) == CONTENT

    def test_a_copy_that_is_too_long_is_replaced_and_a_blob_that_is_too_long_is_refused(
        self, blobs: ReplicatedBlobs, paths: list[Path]
    ) -> None:
        digest = blobs.put(OBJECT, CONTENT)
        (paths[0] / OBJECT.hex() / digest.hex()).write_bytes(CONTENT * 2)
        assert blobs.get(OBJECT, digest, limit=100) == CONTENT
        assert (paths[0] / OBJECT.hex() / digest.hex()).read_bytes() == CONTENT
        with pytest.raises(StorageError, match="has 100 bytes, more than the 99 asked for"):
            blobs.get(OBJECT, digest, limit=99)
        assert blobs.away == ()

    def test_damage_in_every_member_is_told_and_nothing_is_overwritten(
        self, blobs: ReplicatedBlobs, paths: list[Path]
    ) -> None:
        digest = blobs.put(OBJECT, CONTENT)
        for path in paths:
            (path / OBJECT.hex() / digest.hex()).write_bytes(CONTENT[::-1])
        for attempt in (lambda: blobs.get(OBJECT, digest, limit=PLENTY), lambda: blobs.check(OBJECT, digest)):
            with pytest.raises(BlobDamaged):
                attempt()
        assert blobs.repair().lost == ((OBJECT, digest),)
        assert (paths[0] / OBJECT.hex() / digest.hex()).read_bytes() == CONTENT[::-1]

    def test_a_blob_is_called_missing_only_if_a_store_must_know(self) -> None:
        members, blobs = trio()
        members[0].down = True
        with pytest.raises(BlobMissing):
            blobs.get(OBJECT, bytes(32), limit=PLENTY)
        members[1].down = True
        with pytest.raises(StorageError) as caught:
            blobs.get(OBJECT, bytes(32), limit=PLENTY)
        assert not isinstance(caught.value, BlobMissing)

    def test_repair_tells_its_progress(self, blobs: ReplicatedBlobs) -> None:
        for number in range(3):
            blobs.put(OBJECT, bytes([number]))
        seen: list[tuple[int, int]] = []
        blobs.repair(progress=lambda done, total: seen.append((done, total)))
        assert seen == [(1, 3), (2, 3), (3, 3)]


class TestWriting:
    def test_a_blob_lies_in_every_member(self, blobs: ReplicatedBlobs) -> None:
        digest = blobs.put(OBJECT, [CONTENT, CONTENT])
        for member in blobs.stores:
            assert member.get(OBJECT, digest, limit=PLENTY) == CONTENT * 2

    @pytest.mark.parametrize("write", [1, 2, 3])
    @pytest.mark.parametrize("fault", [fail(), tear(), lose_answer()])
    def test_one_member_that_fails_at_any_step_does_not_matter(self, write: int, fault: Fault) -> None:
        members = [FaultBlobs(MemoryBlobs(), {write: fault}), MemoryBlobs(), MemoryBlobs()]
        blobs = ReplicatedBlobs(members, write_quorum=2)
        digest = blobs.put(OBJECT, [CONTENT, CONTENT])
        for member in members[1:]:
            assert member.check(OBJECT, digest) == 200
        assert blobs.repair().away == ()
        assert members[0].check(OBJECT, digest) == 200

    @pytest.mark.parametrize("write", [1, 2, 3])
    def test_without_a_quorum_the_put_fails_and_can_be_repeated(self, write: int) -> None:
        members = [FaultBlobs(MemoryBlobs(), {write: fail()}) for _ in range(2)] + [FaultBlobs(MemoryBlobs())]
        blobs = ReplicatedBlobs(members, write_quorum=2)
        with pytest.raises(StorageError, match="1 of 3 blob stores take the blob, 2 are needed"):
            blobs.put(OBJECT, [CONTENT, CONTENT])
        digest = blobs.put(OBJECT, [CONTENT, CONTENT])
        assert [member.check(OBJECT, digest) for member in members] == [200] * 3

    def test_what_a_failed_put_left_is_erased_with_its_object(self) -> None:
        members = [FaultBlobs(MemoryBlobs(), {2: fail()}) for _ in range(2)] + [FaultBlobs(MemoryBlobs())]
        blobs = ReplicatedBlobs(members, write_quorum=2)
        with pytest.raises(StorageError):
            blobs.put(OBJECT, [CONTENT])
        blobs.erase(OBJECT)
        assert [member.list(OBJECT) for member in members] == [[]] * 3

    def test_full_disks_are_told_as_such(self) -> None:
        members = [FaultBlobs(MemoryBlobs(), {1: fail(errno.ENOSPC)}) for _ in range(2)]
        with pytest.raises(StorageFull):
            ReplicatedBlobs(members, write_quorum=2).put(OBJECT, CONTENT)

    @pytest.mark.parametrize("quorum", [-1, 0, 4])
    def test_a_quorum_fits_the_stores(self, quorum: int) -> None:
        with pytest.raises(ValueError, match="quorum"):
            ReplicatedBlobs([MemoryBlobs() for _ in range(3)], write_quorum=quorum)

    def test_a_store_counts_once(self) -> None:
        store = MemoryBlobs()
        with pytest.raises(ValueError, match="only once"):
            ReplicatedBlobs([store, store], write_quorum=1)


class TestErasure:
    def test_a_store_that_was_away_erases_before_it_serves(self) -> None:
        members, blobs = trio()
        digest = blobs.put(OBJECT, CONTENT)
        members[0].down = True
        assert blobs.erase(OBJECT) == 1
        assert blobs.away == (0,)
        members[0].down = False
        with pytest.raises(BlobMissing):
            blobs.get(OBJECT, digest, limit=PLENTY)
        assert blobs.away == ()
        assert members[0].list(OBJECT) == []
        assert members[0].erased(OBJECT)

    def test_erasures_are_replayed_after_a_restart(self) -> None:
        members, blobs = trio()
        digest = blobs.put(OBJECT, CONTENT)
        members[2].down = True
        blobs.erase(OBJECT)
        members[2].down = False
        again = ReplicatedBlobs(members, write_quorum=2)
        assert members[2].list(OBJECT) == []
        assert again.repair().copied == 0
        with pytest.raises(BlobMissing):
            again.get(OBJECT, digest, limit=PLENTY)

    def test_an_old_copy_of_a_disk_does_not_bring_erased_data_back(
        self, blobs: ReplicatedBlobs, paths: list[Path], tmp_path: Path
    ) -> None:
        digest = blobs.put(OBJECT, CONTENT)
        shutil.copytree(paths[0], tmp_path / "backup")
        blobs.erase(OBJECT)
        shutil.rmtree(paths[0])
        (tmp_path / "backup").rename(paths[0])
        assert blobs.list(OBJECT) == []
        with pytest.raises(BlobMissing):
            blobs.get(OBJECT, digest, limit=PLENTY)
        blobs.repair()
        assert not (paths[0] / OBJECT.hex()).exists()
        assert not (paths[1] / OBJECT.hex()).exists()

    def test_a_new_disk_learns_what_was_erased(self, blobs: ReplicatedBlobs, paths: list[Path]) -> None:
        blobs.put(OBJECT, CONTENT)
        blobs.erase(OBJECT)
        shutil.rmtree(paths[1])
        FileBlobs(paths[1])
        blobs.repair()
        with pytest.raises(StorageError, match="erased"):
            FileBlobs(paths[1]).put(OBJECT, CONTENT)

    def test_an_erasure_that_reaches_too_few_is_an_error_and_still_holds(self) -> None:
        members, blobs = trio()
        digest = blobs.put(OBJECT, CONTENT)
        members[0].down = members[1].down = True
        with pytest.raises(StorageError, match="erased in 1 of 3 stores, 2 are needed"):
            blobs.erase(OBJECT)
        members[0].down = members[1].down = False
        with pytest.raises(BlobMissing):
            blobs.get(OBJECT, digest, limit=PLENTY)
        assert [member.erased(OBJECT) for member in members] == [True] * 3

    def test_repair_removes_what_lies_under_erased_ids(
        self, blobs: ReplicatedBlobs, paths: list[Path]
    ) -> None:
        digest = blobs.put(OBJECT, CONTENT)
        blobs.erase(OBJECT)
        place = paths[1] / OBJECT.hex() / digest.hex()
        place.parent.mkdir()
        place.write_bytes(CONTENT)
        assert list(blobs.remains()) == [OBJECT]
        report = blobs.repair()
        assert (report.blobs, report.copied, report.swept, report.lost) == (0, 0, 1, ())
        assert not place.exists()
        assert list(blobs.remains()) == []

    def test_remains_in_a_store_that_missed_the_erasure_are_told(self) -> None:
        members, blobs = trio()
        blobs.put(OBJECT, CONTENT)
        members[0].erase(OBJECT)  # behind the others' back
        assert list(blobs.remains()) == [OBJECT]
        again = ReplicatedBlobs(members, write_quorum=2)
        assert list(again.remains()) == []

    def test_none_that_answers_is_an_error_whatever_is_asked(self) -> None:
        members, blobs = trio()
        for member in members:
            member.down = True
        for attempt in (
            lambda: blobs.put(OBJECT, CONTENT),
            lambda: blobs.get(OBJECT, bytes(32), limit=1),
            lambda: blobs.list(OBJECT),
            lambda: blobs.erase(OBJECT),
            blobs.objects,
            blobs.tombstones,
            blobs.repair,
        ):
            with pytest.raises(StorageError, match=r"none of the 3 blob stores answers|needed"):
                attempt()


class TestComingAndGoing:
    def test_a_program_starts_although_a_store_is_away(self, paths: list[Path]) -> None:
        digest = ReplicatedBlobs([FileBlobs(path) for path in paths], write_quorum=2).put(OBJECT, CONTENT)
        shutil.move(paths[1], paths[1].with_name("unplugged"))
        blobs = ReplicatedBlobs(
            [lambda path=path: FileBlobs(path, create=False) for path in paths], write_quorum=2
        )
        assert blobs.away == (1,)
        assert blobs.get(OBJECT, digest, limit=PLENTY) == CONTENT
        erased = blobs.put(OTHER, CONTENT)
        blobs.erase(OTHER)
        other = blobs.put(OBJECT, CONTENT[:50])
        assert not paths[1].exists()
        shutil.move(paths[1].with_name("unplugged"), paths[1])
        assert blobs.repair().copied == 1
        assert blobs.away == ()
        returned = FileBlobs(paths[1])
        assert returned.list(OBJECT) == sorted([digest, other])
        assert returned.erased(OTHER)
        with pytest.raises(BlobMissing):
            returned.size(OTHER, erased)

    def test_a_store_that_is_opened_late_tells_why_it_is_not(self, tmp_path: Path) -> None:
        opened = 0

        def opening() -> FileBlobs:
            nonlocal opened
            opened += 1
            return FileBlobs(tmp_path / "a", create=False)

        late = LateBlobs(opening, "the first disk")
        assert repr(late) == "<LateBlobs: the first disk>"
        for attempt in (lambda: late.list(OBJECT), lambda: late.put(OBJECT, b""), lambda: late.erase(OBJECT)):
            with pytest.raises(StorageError, match="is its disk mounted"):
                attempt()
        FileBlobs(tmp_path / "a")
        late.put(OBJECT, CONTENT)
        late.put(OBJECT, CONTENT[:1])
        assert opened == 4
        assert repr(late) == repr(late.store)

    def test_a_store_that_is_opened_late_for_reading_takes_nothing(self, tmp_path: Path) -> None:
        FileBlobs(tmp_path / "a").put(OBJECT, CONTENT)
        for touch in (False, True):
            late = LateBlobs(lambda: FileBlobs(tmp_path / "a", read_only=True))
            if touch:
                assert len(late.list(OBJECT)) == 1
            for attempt in (lambda late=late: late.put(OTHER, b""), lambda late=late: late.erase(OBJECT)):
                with pytest.raises(ValueError, match="reading only"):
                    attempt()
            assert late.read_only

    def test_a_store_that_is_slow_to_fail_is_not_waited_for_at_each_use(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock = Time()
        for each in (module, members):
            monkeypatch.setattr(each, "time", SimpleNamespace(monotonic=clock))
        slow = Slow(clock)
        blobs = ReplicatedBlobs([slow, MemoryBlobs(), MemoryBlobs()], write_quorum=2)
        digest = blobs.put(OBJECT, CONTENT)
        slow.hangs = True
        for _ in range(20):
            assert blobs.get(OBJECT, digest, limit=PLENTY) == CONTENT
        assert slow.failures == 1
        assert blobs.away == (0,)
        slow.hangs = False
        blobs.get(OBJECT, digest, limit=PLENTY)
        assert blobs.away == (0,)
        clock.now += 61
        blobs.get(OBJECT, digest, limit=PLENTY)
        assert blobs.away == ()

    def test_a_store_that_comes_back_does_not_wake_one_that_is_slow(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock = Time()
        for each in (module, members):
            monkeypatch.setattr(each, "time", SimpleNamespace(monotonic=clock))
        slow, other = Slow(clock), FaultBlobs(MemoryBlobs())
        blobs = ReplicatedBlobs([slow, other, MemoryBlobs()], write_quorum=2)
        digest = blobs.put(OBJECT, CONTENT)
        slow.hangs = other.down = True
        assert blobs.get(OBJECT, digest, limit=PLENTY) == CONTENT
        assert blobs.away == (0, 1)
        other.down = False
        blobs.erase(OBJECT)
        assert blobs.away == (0,)
        assert slow.failures == 1
        slow.hangs = False
        clock.now += 61
        assert list(blobs.tombstones()) == [OBJECT]
        assert slow.erased(OBJECT)

    def test_repair_asks_a_slow_store_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = Time()
        for each in (module, members):
            monkeypatch.setattr(each, "time", SimpleNamespace(monotonic=clock))
        slow = Slow(clock)
        blobs = ReplicatedBlobs([slow, MemoryBlobs(), MemoryBlobs()], write_quorum=2)
        slow.hangs = True
        digest = blobs.put(OBJECT, CONTENT)
        slow.hangs = False
        report = blobs.repair()
        assert (report.copied, report.away) == (1, ())
        assert slow.list(OBJECT) == [digest]


class TestReadOnlyMembers:
    """Who reads a chain beside its writer has its blob stores for reading only."""

    @pytest.fixture
    def digest(self, blobs: ReplicatedBlobs) -> bytes:
        return blobs.put(OBJECT, CONTENT)

    def read(self, paths: list[Path], *, late: bool = False) -> ReplicatedBlobs:
        if late:
            return ReplicatedBlobs([partial(FileBlobs, path, read_only=True) for path in paths], 2)
        return ReplicatedBlobs([FileBlobs(path, read_only=True) for path in paths], 2)

    def everything(self, paths: list[Path]) -> dict[Path, bytes]:
        return {file: file.read_bytes() for path in paths for file in path.rglob("*") if file.is_file()}

    @pytest.mark.parametrize("late", [False, True])
    @pytest.mark.parametrize("lost", [0, 1, 2])
    def test_a_new_disk_in_place_of_a_lost_one_is_read_past_and_left_alone(
        self, digest: bytes, paths: list[Path], lost: int, late: bool
    ) -> None:
        shutil.rmtree(paths[lost])
        FileBlobs(paths[lost])
        before = self.everything(paths)
        reader = self.read(paths, late=late)
        assert reader.get(OBJECT, digest, limit=PLENTY) == CONTENT
        assert reader.check(OBJECT, digest) == reader.size(OBJECT, digest) == 100
        assert reader.read(OBJECT, digest, 10, 5) == CONTENT[10:15]
        assert list(reader.objects()) == [OBJECT]
        report = reader.repair()
        assert (report.blobs, report.copied, report.lost, report.away) == (1, 0, (), ())
        assert self.everything(paths) == before

    def test_a_damaged_copy_is_read_past_and_left_alone(self, digest: bytes, paths: list[Path]) -> None:
        (paths[0] / OBJECT.hex() / digest.hex()).write_bytes(CONTENT[:-1] + b"!")
        before = self.everything(paths)
        reader = self.read(paths)
        assert reader.get(OBJECT, digest, limit=PLENTY) == CONTENT
        assert reader.check(OBJECT, digest) == 100
        assert self.everything(paths) == before

    def test_what_is_erased_in_one_is_read_from_none(self, digest: bytes, paths: list[Path]) -> None:
        FileBlobs(paths[2]).erase(OBJECT)
        before = self.everything(paths)
        reader = self.read(paths)
        assert reader.away == ()
        for _ in range(2):
            assert reader.erased(OBJECT)
            assert (reader.list(OBJECT), list(reader.objects()), list(reader.tombstones())) == (
                [],
                [],
                [OBJECT],
            )
            for attempt in (
                lambda: reader.get(OBJECT, digest, limit=PLENTY),
                lambda: reader.read(OBJECT, digest, 0, 1),
                lambda: reader.check(OBJECT, digest),
            ):
                with pytest.raises(BlobMissing):
                    attempt()
            report = reader.repair()
            assert (report.blobs, report.swept) == (0, 0)
            assert list(reader.remains()) == [OBJECT]
            assert self.everything(paths) == before
            shutil.rmtree(paths[2], ignore_errors=True)  # and then the only one that knew is gone
            before = self.everything(paths)

    @pytest.mark.parametrize("late", [False, True])
    def test_nothing_is_put_or_erased(self, digest: bytes, paths: list[Path], late: bool) -> None:
        reader = self.read(paths, late=late)
        assert reader.read_only
        for attempt in (lambda: reader.put(OTHER, CONTENT), lambda: reader.erase(OBJECT)):
            with pytest.raises(ValueError, match="reading only"):
                attempt()

    def test_one_that_is_only_read_beside_others_does_not_count_for_the_quorum(
        self, digest: bytes, paths: list[Path]
    ) -> None:
        before = self.everything(paths[:1])
        mixed = ReplicatedBlobs(
            [FileBlobs(paths[0], read_only=True), FileBlobs(paths[1]), FileBlobs(paths[2])], 2
        )
        assert not mixed.read_only
        other = mixed.put(OTHER, CONTENT)
        assert [store.list(OTHER) for store in mixed.stores] == [[], [other], [other]]
        (paths[1] / OTHER.hex() / other.hex()).unlink()
        assert mixed.repair().copied == 1
        assert mixed.erase(OBJECT) == 1
        assert mixed.erased(OBJECT)
        with pytest.raises(BlobMissing):
            mixed.get(OBJECT, digest, limit=PLENTY)
        assert self.everything(paths[:1]) == before
        shutil.rmtree(paths[2])
        with pytest.raises(StorageError, match="1 of 3 blob stores"):
            mixed.put(OTHER, CONTENT + b"!")
        with pytest.raises(StorageError, match="in 1 of 3 stores"):
            mixed.erase(OTHER)


class Time:
    """A clock that stands still."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Slow(MemoryBlobs):
    """A store in memory that fails after half a minute, whatever it is asked."""

    def __init__(self, clock: Time) -> None:
        super().__init__()
        self.clock = clock
        self.hangs = False
        self.failures = 0

    def _erased(self, object_id: bytes) -> bool:
        self.hang()
        return super()._erased(object_id)

    def _tombstones(self) -> set[bytes]:
        self.hang()
        return set(super()._tombstones())

    def hang(self) -> None:
        if self.hangs:
            self.failures += 1
            self.clock.now += 30
            raise TimeoutError("no answer")
