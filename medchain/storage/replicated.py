"""Blobs in several stores at once, so that the loss of any one loses nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import TypeVar

from attrs import frozen

from medchain.errors import BlobDamaged, BlobMissing, StorageError, StorageFull
from medchain.storage._guard import guarded
from medchain.storage._members import Member
from medchain.storage.blobs import BlobStore, BlobWriter, TooLong, check_address, missing
from medchain.storage.late import LateBlobs

__all__ = ["Repair", "ReplicatedBlobs"]

_POOR = (BlobMissing, BlobDamaged, TooLong)
"""What says something about one copy, and nothing about the store."""

T = TypeVar("T")
Address = tuple[bytes, bytes]


@frozen
class Repair:
    """What `ReplicatedBlobs.repair` found and did.

    `blobs` were looked at; `copied` copies were written to stores where they were missing or damaged; `swept`
    counts the erased objects of which something lay in a store all the same, and is removed now; `lost` names
    the (object id, hash) of blobs of which no store that answers has a good copy; `away` the positions of
    stores that do not answer.
    """

    blobs: int
    copied: int
    swept: int
    lost: tuple[Address, ...]
    away: tuple[int, ...]


class ReplicatedBlobs(BlobStore):
    """A `BlobStore` that keeps every blob in all of `stores`, and calls it stored when `write_quorum` of them have it.

    Reading goes from store to store until one has the blob; `get`, `check` and `repair` also put good copies
    where there is none or a damaged one. A store that fails is *away*: others serve meanwhile, and when it
    answers again the erasures that it missed are replayed before it is used. What a failed `put` leaves in
    some stores is an ordinary blob of its object: putting it again completes it, erasing the object removes
    it.

    Stores that are open for reading only serve what they have, are never written to, and do not count for the
    quorum; with too few others for it, this one is for reading only, too. What any store has erased is not read
    from them either.

    A store that may be away when the program starts is given as a function that opens it, like
    ``lambda: FileBlobs("/mnt/b", create=False)``; it is called when the store is needed, until it succeeds.
    """

    def __init__(self, stores: Sequence[BlobStore | Callable[[], BlobStore]], write_quorum: int) -> None:
        if not 1 <= write_quorum <= len(stores):
            raise ValueError(
                f"the quorum is {write_quorum}; with {len(stores)} stores it is 1 to {len(stores)}"
            )
        if len({id(store) for store in stores}) != len(stores):
            raise ValueError("a store counts only once")
        self.write_quorum = write_quorum
        self._members = tuple(
            Member(position, store if isinstance(store, BlobStore) else LateBlobs(store, f"store {position}"))
            for position, store in enumerate(stores)
        )
        self._lock = threading.Lock()
        self._erased_here: set[bytes] = set()  # what was seen erased and lies in stores that are only read
        self._replay_erasures(self._members)

    @property
    def stores(self) -> tuple[BlobStore, ...]:
        """The stores, in the order in which they are read."""
        return tuple(member.store for member in self._members)

    @property
    def read_only(self) -> bool:
        """Whether too few stores can be written to for the quorum: `put` and `erase` are refused with ValueError."""
        return sum(not member.read_only for member in self._members) < self.write_quorum

    @property
    def away(self) -> tuple[int, ...]:
        """The positions of the stores that failed when they were last used."""
        return tuple(member.position for member in self._members if member.away)

    # Members that come and go

    def _present(self) -> list[Member]:
        """Give the members that can be used now, at least one."""
        if any(member.away and not member.rests and member.graves() is not None for member in self._members):
            self._replay_erasures([member for member in self._members if not member.rests])
        present = [member for member in self._members if not member.away]
        if not present:
            raise StorageError(f"none of the {len(self._members)} blob stores answers")
        return present

    def _replay_erasures(self, members: Iterable[Member]) -> None:
        """Erase in all of them that answer what any of them has erased; then those that came back count again."""
        with self._lock:
            answers = [(member, member.graves()) for member in members]
            erased = set[bytes]().union(*(graves for _, graves in answers if graves is not None))
            if any(member.read_only for member in members):
                self._erased_here |= erased
            for member, graves in answers:
                member.away = graves is None or not member.replay(erased - graves)

    @contextmanager
    def _using(self, member: Member) -> Iterator[None]:
        """Mark a member as away if it fails; a blob that is missing or damaged is no failure of the store."""
        began = time.monotonic()
        try:
            with guarded("use a blob store"):
                yield
        except _POOR:
            raise
        except StorageError:
            member.rest(began)
            raise

    # Reading

    def _first(
        self, object_id: bytes, digest: bytes, read: Callable[[BlobStore], T]
    ) -> tuple[T, list[Member]]:
        """Give what the first member with a usable copy answers, and the members before it whose copy is not."""
        if self._erased(object_id):
            raise missing(object_id, digest)
        poor: list[Member] = []
        errors: list[StorageError] = []
        for member in self._present():
            try:
                with self._using(member):
                    return read(member.store), poor
            except _POOR as error:
                poor.append(member)
                errors.append(error)
            except StorageError as error:
                errors.append(error)
        raise self._worst(errors, object_id, digest)

    def _worst(self, errors: list[StorageError], object_id: bytes, digest: bytes) -> StorageError:
        for kind in (TooLong, BlobDamaged):
            for error in errors:
                if isinstance(error, kind):
                    return error
        if (
            len(self.away) >= self.write_quorum
        ):  # a quorum that has it may have gone; else one store would know it
            return StorageError(f"no blob store that answers has the blob {digest.hex()}; away: {self.away}")
        return missing(object_id, digest)

    def get(self, object_id: bytes, digest: bytes, *, limit: int) -> bytes:
        """Give a whole blob as `BlobStore.get` does, and put it where a copy was missing or damaged on the way."""
        check_address(object_id, digest)
        data, poor = self._first(object_id, digest, lambda store: store.get(object_id, digest, limit=limit))
        for member in poor:
            self._copy(object_id, digest, (data,), member)
        return data

    def check(self, object_id: bytes, digest: bytes) -> int:
        """Check every copy that can be reached, repair those that are missing or damaged, if they may be written.

        Gives the size.

        Raises BlobMissing, BlobDamaged if no copy is good, or StorageError.
        """
        check_address(object_id, digest)
        return self._mend(object_id, digest)[0]

    def _read(self, object_id: bytes, digest: bytes, offset: int, length: int) -> bytes:
        return self._first(object_id, digest, lambda store: store.read(object_id, digest, offset, length))[0]

    def _size(self, object_id: bytes, digest: bytes) -> int:
        sizes: set[int] = set()

        def collect(store: BlobStore) -> int:
            sizes.add(size := store.size(object_id, digest))
            return size

        size, _ = self._first(object_id, digest, collect)
        for member in self._present():
            with suppress(StorageError), self._using(member):
                collect(member.store)
        return size if len(sizes) == 1 else self.check(object_id, digest)

    # Repair

    def repair(self, *, progress: Callable[[int, int], None] | None = None) -> Repair:
        """Bring every store up to date: read all copies of all blobs, and replace those that are missing or damaged.

        First the stores erase whatever any of them has erased, so nothing that is gone comes back by a store that
        returns. `progress(done, total)` counts blobs. Raises StorageError if no store answers at all.
        """
        self._replay_erasures(self._members)
        swept = sum(map(self._sweep, self._present()))
        blobs = [(object_id, digest) for object_id in self.objects() for digest in self.list(object_id)]
        copied = 0
        lost: list[Address] = []
        for done, (object_id, digest) in enumerate(blobs, start=1):
            try:
                copied += self._mend(object_id, digest)[1]
            except StorageError:
                if not self.erased(object_id):
                    lost.append((object_id, digest))
            if progress is not None:
                progress(done, len(blobs))
        return Repair(len(blobs), copied, swept, tuple(lost), self.away)

    def _sweep(self, member: Member) -> int:
        """Erase again in a member what lies there of erased objects."""
        swept = 0
        if member.read_only:
            return swept
        with suppress(StorageError), self._using(member):
            for object_id in member.store.remains():
                member.store.erase(object_id)
                swept += 1
        return swept

    def _mend(self, object_id: bytes, digest: bytes) -> tuple[int, int]:
        """Check all copies, replace the poor ones from a good one; give size and number of copies written."""
        if self._erased(object_id):
            raise missing(object_id, digest)
        good: dict[int, Member] = {}
        poor: list[Member] = []
        errors: list[StorageError] = []
        for member in self._present():
            try:
                with self._using(member):
                    good[member.store.check(object_id, digest)] = member
            except _POOR as error:
                poor.append(member)
                errors.append(error)
            except StorageError as error:
                errors.append(error)
        if not good:
            raise self._worst(errors, object_id, digest)
        size, source = good.popitem()
        copied = sum(
            self._copy(object_id, digest, source.store._checked_chunks(object_id, digest), member)
            for member in poor
        )
        return size, copied

    def _copy(self, object_id: bytes, digest: bytes, chunks: Iterable[bytes], target: Member) -> bool:
        """Try to store a good copy; that it does not work is the target's failure, not the reader's."""
        if target.read_only:
            return False
        try:
            with self._using(target):
                target.store.put(object_id, chunks, expect=digest)
        except StorageError:
            return False
        return True

    # Writing

    def _writer(self, object_id: bytes) -> BlobWriter:
        return _FanOut(self, object_id)

    def _erase(self, object_id: bytes) -> int:
        counts: list[int] = []
        for member in self._present():
            if member.read_only:
                continue
            with suppress(StorageError), self._using(member):
                counts.append(member.store.erase(object_id))
        if len(counts) < self.write_quorum:
            raise StorageError(
                f"object {object_id.hex()} is erased in {len(counts)} of {len(self._members)} stores,"
                f" {self.write_quorum} are needed; erase it again when they answer"
            )
        return max(counts)

    # What there is

    def _list(self, object_id: bytes) -> Iterable[bytes]:
        return self._gather(lambda store: store.list(object_id))

    def _objects(self) -> Iterable[bytes]:
        return self._gather(lambda store: store.objects())

    def _erased(self, object_id: bytes) -> bool:
        here = object_id in self._erased_here
        return here or bool(self._gather(lambda store: (object_id,) if store.erased(object_id) else ()))

    def _tombstones(self) -> Iterable[bytes]:
        return self._erased_here | self._gather(lambda store: store.tombstones())

    def _remains(self) -> Iterable[bytes]:
        return {*super()._remains(), *self._gather(lambda store: store.remains())}

    def _gather(self, ask: Callable[[BlobStore], Iterable[bytes]]) -> set[bytes]:
        """Unite what the members that answer say, of which there must be one."""
        found: set[bytes] = set()
        for member in self._present():
            with suppress(StorageError), self._using(member):
                found.update(ask(member.store))
        self._present()
        return found

    def __repr__(self) -> str:
        return f"<ReplicatedBlobs: {len(self._members)} stores, quorum {self.write_quorum}, away {self.away}>"


class _FanOut(BlobWriter):
    """One blob on its way into all members; members that fail drop out until too few are left."""

    def __init__(self, blobs: ReplicatedBlobs, object_id: bytes) -> None:
        self._blobs = blobs
        self._object_id = object_id
        self._writers: list[tuple[Member, BlobWriter]] = []
        self._failure: StorageError | None = None
        for member in blobs._present():
            if not member.read_only:
                self._attempt(member, partial(self._begin, member))
        self._check_quorum()

    def _begin(self, member: Member) -> None:
        self._writers.append((member, member.store._writer(self._object_id)))

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._each(lambda writer: writer.write(data))

    def commit(self, digest: bytes) -> None:
        self._each(lambda writer: writer.commit(digest))

    def abort(self) -> None:
        for _, writer in self._writers:
            writer.abort()

    def _each(self, step: Callable[[BlobWriter], None]) -> None:
        going = []
        for member, writer in self._writers:
            if self._attempt(member, partial(step, writer)):
                going.append((member, writer))
            else:
                writer.abort()
        self._writers = going
        self._check_quorum()

    def _attempt(self, member: Member, step: Callable[[], None]) -> bool:
        try:
            with self._blobs._using(member):
                step()
        except StorageError as error:
            self._failure = error
            return False
        return True

    def _check_quorum(self) -> None:
        if len(self._writers) >= self._blobs.write_quorum:
            return
        self.abort()
        kind = StorageFull if isinstance(self._failure, StorageFull) else StorageError
        raise kind(
            f"{len(self._writers)} of {len(self._blobs.stores)} blob stores take the blob,"
            f" {self._blobs.write_quorum} are needed" + (f": {self._failure}" if self._failure else "")
        ) from self._failure
