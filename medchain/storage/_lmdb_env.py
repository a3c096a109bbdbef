"""One LMDB environment as all handles of this process share it.

LMDB forbids to open a file twice in one process, kills open read transactions when the map grows, and notices
neither a second writer's larger map nor a fork by itself. This module takes care of that:

- environments stand in a registry by the identity of their data file; handles come and go, the last one
  closes it;
- the map is far larger than the file, so that it need not grow while somebody reads (docs/adr/0037);
- every transaction is counted, and what moves the map all the same (growth where address space is scarce, a
  change from reading to writing) waits until none is open;
- the data file is kept longer than what is used of it, sparsely, so that a truncated file is known when it is
  opened instead of killing the process (SIGBUS) when a missing page is touched.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeAlias
from weakref import WeakKeyDictionary

import lmdb

from medchain.errors import NewerFormat, NotAChain, StorageBusy, StorageError, StorageFull
from medchain.storage._folders import LMDB_FILE, OpenFiles
from medchain.storage._guard import is_full, nearly_full

__all__ = ["SharedEnvironment", "Txn", "translated"]

Txn: TypeAlias = "lmdb.Transaction[bytes]"

DATA_FILE: Final = LMDB_FILE
TABLE: Final = b"medchain-store-1"
TABLE_STEM: Final = b"medchain-store-"
FIRST_MAP: Final = 1 << 20
LARGEST_STEP: Final = 256 << 20
MAX_READERS: Final = 1024
LOCK_TABLE: Final = "lock.mdb"
LOCK_TABLE_BYTES: Final = 64 * MAX_READERS + 4096
"""A cache line for each reader, and less than a page before them."""

ROOMS: tuple[int, ...] = (1 << 40, 1 << 34, 0) if sys.maxsize > 1 << 32 and os.name == "posix" else (0,)
"""Bytes that are mapped beyond the file: the first that address space and file system allow.

They cost nothing but addresses, of which a process of 64 bits has 128 TB. LMDB on Windows would make the file as long.
"""

PATIENCE = 10.0
"""Seconds for which moving the map waits until snapshots of this process are closed."""

SPARE_FOR_CHANGE: Final = 8 << 10
"""Bytes by which one change may lengthen what is used of the file, beside its own: a split, and one above it."""


def translated(error: lmdb.Error, path: Path) -> StorageError:
    """Turn an error of LMDB into one of ours."""
    # LMDB reports a write that was cut short, which is how a disk gets full, as EIO.
    if is_full(error.code) or (error.code == errno.EIO and nearly_full(path)):
        return StorageFull(f"no room for the store at {path}: {error}")
    if isinstance(error, lmdb.ReadersFullError):
        return StorageError(f"more than {MAX_READERS} snapshots of {path} are open in all processes together")
    if isinstance(error, (lmdb.CorruptedError, lmdb.PageNotFoundError)):
        return StorageError(f"the store at {path} is damaged ({error}); restore it from a copy")
    return StorageError(f"the store at {path} fails: {error}")


class SharedEnvironment:
    """The LMDB environment of one directory, shared by the handles of this process; made by `acquire`."""

    def __init__(self, path: Path, *, writable: bool) -> None:
        self.path = path
        self._handles = 0
        # Open transactions, and the threads that began them.
        self._open: WeakKeyDictionary[Txn, int] = WeakKeyDictionary()
        self._moving = False
        # Always taken as ``with self._lock``, which an interrupt cannot tear apart as it can a condition's.
        self._lock = threading.RLock()
        self._gate = threading.Condition(self._lock)
        self._writable = writable
        self._env, self._table = _open_environment(path, writable=writable)
        self._page_size = self._env.stat()["psize"]

    # Handles

    @staticmethod
    def acquire(path: Path, *, writable: bool) -> SharedEnvironment:
        """Give the environment of an existing store, opened if need be; to be paired with `release`."""
        with _open_files.lock:
            identity = _open_files.identify(path / DATA_FILE)
            shared = _open_files.items.get(identity)
            if shared is None:
                shared = _open_files.items[identity] = SharedEnvironment(path, writable=writable)
            shared._handles += 1
            try:
                if writable and not shared._writable:
                    with shared._alone("open it for writing"):
                        shared._reopen(writable=True)
            except BaseException:
                shared.release()
                raise
            return shared

    def release(self) -> None:
        """Give a handle back; the last one closes the environment and with it what is still open."""
        with _open_files.lock:
            self._handles -= 1
            if self._handles == 0:
                for identity in [key for key, shared in _open_files.items.items() if shared is self]:
                    del _open_files.items[identity]
                self._env.close()

    def _reopen(self, *, writable: bool, least: int = 0) -> None:
        """Map the file anew, at least `least` bytes; nothing may be open.

        LMDB can do so by itself, but has no map at all, and crashes, after an attempt that failed.
        """
        self._env.close()
        try:
            self._env, self._table = _open_environment(self.path, writable=writable, least=least)
            self._writable = writable
        except BaseException:
            self._env, self._table = _open_environment(self.path, writable=self._writable)
            raise

    # Transactions

    def begin(self, *, write: bool = False) -> Txn:
        """Begin a transaction on the store's table; it counts as open until `end`, or until forgotten."""
        while True:
            with self._lock:
                # Who already reads must get on, or it could never come to close what the mover waits for.
                while self._moving and threading.get_ident() not in self._open.values():
                    self._gate.wait()
                with suppress(lmdb.MapResizedError):
                    txn = self._env.begin(self._table, write=write)
                    self._open[txn] = threading.get_ident()
                    return txn
            with self._alone("follow its growth"):
                self._reopen(writable=self._writable)

    def hand_over(self, txn: Txn, thread: int) -> None:
        """Count a transaction as another thread's than that which began it."""
        with self._lock:
            self._open[txn] = thread

    def end(self, txn: Txn) -> None:
        """Drop a transaction if it is not committed, and stop counting it."""
        with self._lock:
            txn.abort()
            self._open.pop(txn, None)
            if not self._open:
                self._gate.notify_all()

    def cursor(self, txn: Txn) -> lmdb.Cursor[bytes]:
        """Open a cursor over the store's table."""
        return txn.cursor(self._table)

    def write(self, apply: Callable[[Txn], None], *, size: int, changes: int) -> None:
        """Run `apply` in a write transaction and commit it durably; without room, grow and run again.

        `size` and `changes` are the bytes of the batch and how many changes it has.
        """
        used = self._used()
        if self._map_size() - used < min(used, LARGEST_STEP) and not self._open:
            # Early and without waiting; what cannot be now can be later.
            with suppress(StorageError, OSError):
                self._grow(0, patience=0)
        self._lengthen(used, min(used, LARGEST_STEP) + FIRST_MAP + 2 * size + SPARE_FOR_CHANGE * changes)
        while True:
            txn = self.begin(write=True)
            try:
                apply(txn)
                txn.commit()
                break
            except lmdb.MapFullError:
                pass
            finally:
                self.end(txn)
            self._grow(size, patience=PATIENCE)
        self._lengthen(self._used(), 0)

    def _lengthen(self, used: int, spare: int) -> None:
        """See to it that the file has as much as is used of it and `spare` bytes more, if that is allowed.

        A commit may leave pages at the end unwritten, that is, a file which is shorter than LMDB says what it uses.
        Who would open it, had we died then, could not tell it from a truncated one. So it is lengthened before: by as
        much as it holds, for that is what copying each page once takes, and by what the changes bring. And by twice
        that, for syncing takes longer when the length has changed.
        """
        if (self.path / DATA_FILE).stat().st_size < used + spare:
            for length in (used + 2 * spare, used + spare):
                with suppress(OSError):  # if there is no room for it, writing will tell
                    _extend(self.path, length)
                    return

    @contextmanager
    def _alone(self, purpose: str, patience: float = PATIENCE) -> Iterator[None]:
        """Hold new transactions back and wait until none is open."""
        deadline = time.monotonic() + patience
        with self._lock:
            while self._moving:
                self._gate.wait()
            self._moving = True
            try:
                while self._open:
                    rest = deadline - time.monotonic()
                    if rest <= 0 or set(self._open.values()) == {threading.get_ident()}:
                        raise StorageBusy(
                            f"{len(self._open)} open snapshots of the store at {self.path} stand in the way:"
                            f" cannot {purpose}. Close snapshots, run scans to their end, and try again"
                        )
                    self._gate.wait(min(rest, 0.05))  # a forgotten snapshot ends without notice
                yield
            finally:
                self._moving = False
                self._gate.notify_all()

    # The map

    def _map_size(self) -> int:
        return self._env.info()["map_size"]

    def _used(self) -> int:
        return (self._env.info()["last_pgno"] + 1) * self._page_size

    def _grow(self, size: int, *, patience: float) -> None:
        """Enlarge the map so that it surely takes a batch of `size` bytes that it could not take before."""
        with self._alone("enlarge it", patience):
            old = self._map_size()
            self._reopen(writable=True, least=old + max(min(old, LARGEST_STEP), _round_up(4 * size)))


# A child must not close the parent's environments: that would free the parent's reader slots in shared memory.
_open_files: OpenFiles[SharedEnvironment] = OpenFiles()


def _round_up(size: int) -> int:
    return -(-size // FIRST_MAP) * FIRST_MAP


def _extend(path: Path, size: int) -> None:
    """Make the data file at least so long. Takes no blocks on a file system with sparse files."""
    data = path / DATA_FILE
    if data.stat().st_size < size:
        os.truncate(data, size)


def _allocate_lock_file(path: Path) -> None:
    """Give the readers' table its blocks: on a full disk, a missing one would kill whoever writes to it (SIGBUS).

    Only for a process that does not have the environment open: closing a file ends the locks that are held on it.
    """
    if hasattr(os, "posix_fallocate"):
        try:
            fd = os.open(path / LOCK_TABLE, os.O_RDWR | os.O_CREAT, 0o600)
        except PermissionError as error:
            raise _no_permission(path) from error
        try:
            os.posix_fallocate(fd, 0, LOCK_TABLE_BYTES)
        finally:
            os.close(fd)


def create_environment(path: Path) -> None:
    """Make an empty store in an empty directory."""
    _allocate_lock_file(path)
    with lmdb.open(str(path), map_size=FIRST_MAP, max_dbs=1, mode=0o600) as env:
        env.open_db(TABLE)
    _extend(path, FIRST_MAP)


def _open_environment(path: Path, *, writable: bool, least: int = 0) -> tuple[lmdb.Environment, Any]:
    length = (path / DATA_FILE).stat().st_size
    if length == 0:
        raise StorageError(f"the store at {path} is damaged: {DATA_FILE} is empty; restore it from a copy")
    _allocate_lock_file(path)
    env = _map(path, max(length, least, FIRST_MAP), writable=writable)
    try:
        _check_length(env, path)
        if writable:
            env.reader_check()
        return env, _open_table(env, path)
    except BaseException:
        env.close()
        raise


def _map(path: Path, size: int, *, writable: bool) -> lmdb.Environment:
    """Open the environment with a map of `size` bytes, and as much room beyond as there may be."""
    options: dict[str, Any] = {"max_dbs": 1, "max_readers": MAX_READERS, "mode": 0o600, "create": False}
    rooms = (0,) if _addresses_are_scarce() else ROOMS
    for room in rooms:
        try:
            return lmdb.open(str(path), map_size=size + room, readonly=not writable, **options)
        except lmdb.InvalidError as error:
            raise NotAChain(f"{path} holds no store: {error}") from error
        except lmdb.Error as error:
            if room == rooms[-1] or error.code not in _TOO_LARGE:
                raise _refused(error, path) from error
    raise AssertionError("there is always a last room")


_TOO_LARGE: Final = frozenset({errno.ENOMEM, errno.EINVAL, errno.EOVERFLOW, errno.EFBIG})
"""How systems refuse a map: no addresses, more than they have, more than a file of this file system can have."""


def _addresses_are_scarce() -> bool:
    """Tell whether this process has a limit on its address space, which it needs for other things."""
    try:
        import resource
    except ImportError:  # pragma: no cover  # Windows
        return True
    return resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY


def _refused(error: lmdb.Error, path: Path) -> StorageError:
    if isinstance(error, lmdb.VersionMismatchError):
        return NewerFormat(f"the store at {path} was written by another version of LMDB: {error}")
    if "Permission denied" in str(error):
        return _no_permission(path)
    return translated(error, path)


def _no_permission(path: Path) -> StorageError:
    return StorageError(
        f"no permission to open the store at {path}; readers too must be able to write {LOCK_TABLE}"
    )


def _check_length(env: lmdb.Environment, path: Path) -> None:
    needed = (env.info()["last_pgno"] + 1) * env.stat()["psize"]
    length = (path / DATA_FILE).stat().st_size  # looked up afterwards, since a writer may let it grow
    if length < needed:
        raise StorageError(
            f"the store at {path} is damaged: {DATA_FILE} has {length} bytes of {needed};"
            " restore it from a copy"
        )


def _open_table(env: lmdb.Environment, path: Path) -> Any:
    try:
        return env.open_db(TABLE, create=False)
    except lmdb.NotFoundError:
        pass
    except lmdb.Error as error:
        raise translated(error, path) from error
    with env.begin() as txn, txn.cursor() as cursor:
        if cursor.set_range(TABLE_STEM) and cursor.key().startswith(TABLE_STEM):
            raise NewerFormat(
                f"the store at {path} has the format {cursor.key()!r}; this version reads {TABLE!r}"
            )
    raise NotAChain(f"{path} holds an LMDB database, but no medchain store")
