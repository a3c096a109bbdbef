"""The public methods of the base classes: only documented errors get out, whatever an implementation raises."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Iterator

import pytest

from medchain.errors import MedchainError, StorageError, StorageFull
from medchain.storage import Batch, MemoryStore, Snapshot, Store
from medchain.testing import FaultStore
from medchain.testing.faults import Fault, delay, fail, lose_answer, tear


class BrokenSnapshot(Snapshot):
    def _get(self, key: bytes) -> bytes | None:
        raise KeyError(key)

    def _scan(
        self, start: bytes, end: bytes | None, reverse: bool, limit: int | None
    ) -> Iterator[tuple[bytes, bytes]]:
        yield b"first", b"pair"
        raise RuntimeError("broken")

    def _close(self) -> None:
        return None


class BrokenStore(Store):
    def _snapshot(self) -> Snapshot:
        return BrokenSnapshot(self)

    def _commit(self, batch: Batch) -> None:
        raise ConnectionResetError(errno.ECONNRESET, "gone")

    def _close(self) -> None:
        raise AssertionError("cannot close")


def batch() -> Batch:
    made = Batch()
    made.put(b"a", b"1")
    made.put(b"b", b"2")
    return made


def test_whatever_an_implementation_raises_becomes_a_storage_error() -> None:
    store = BrokenStore()
    scan = store.scan()
    assert next(scan) == (b"first", b"pair")
    for operation in (
        lambda: store.get(b"k"),
        lambda: next(scan),
        lambda: store.commit(batch()),
        store.close,
    ):
        with pytest.raises(StorageError) as caught:
            operation()
        assert caught.value.__cause__ is not None


def test_errors_of_the_caller_pass_through_a_scan_untouched() -> None:
    store = MemoryStore()
    store.commit(batch())

    def consume() -> None:
        for _ in store.scan():
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        consume()


@pytest.mark.parametrize(
    ("fault", "kind", "left"),
    [
        (fail(), StorageError, []),
        (fail(errno.ENOSPC), StorageFull, []),
        (fail(errno.EDQUOT), StorageFull, []),
        (tear(), StorageError, [b"a"]),
        (lose_answer(), StorageError, [b"a", b"b"]),
    ],
)
def test_a_fault_store_fails_the_chosen_commit_only(
    fault: Fault, kind: type[MedchainError], left: list[bytes]
) -> None:
    store = FaultStore(MemoryStore(), {1: fault})
    with pytest.raises(kind):
        store.commit(batch())
    assert [key for key, _ in store.scan()] == left
    store.commit(batch())
    assert [key for key, _ in store.scan()] == [b"a", b"b"]
    assert store.writes == 2


def test_a_delayed_commit_arrives() -> None:
    store = FaultStore(MemoryStore(), {1: delay(0.01)})
    store.commit(batch())
    assert store.get(b"b") == b"2"


def test_importing_the_package_loads_no_lmdb() -> None:
    script = (
        "import sys, medchain.storage as s; s.Store, s.MemoryStore, s.FileBlobs; print('lmdb' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
