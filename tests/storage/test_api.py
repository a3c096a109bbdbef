"""The public methods of the base classes: only documented errors get out, whatever an implementation raises."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from medchain.errors import MedchainError, StorageError, StorageFull
from medchain.storage import Batch, MemoryStore, Snapshot, Store
from medchain.storage.api import MAX_KEY, MAX_VALUE
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


def test_many_puts_at_once_are_many_puts() -> None:
    one_by_one, at_once = Batch(), Batch()
    values = {b"%d" % i: b"value" * i for i in range(20)}
    for each in (one_by_one, at_once):
        each.put(b"3", b"before")
        each.delete(b"4")
        each.put(b"elsewhere", b"x")
        each.delete_range(b"0", b"2")
    for key, value in values.items():
        one_by_one.put(key, value)
    at_once.put_many(values)
    at_once.put_many({})
    for each in (one_by_one, at_once):
        each.delete(b"5")
        each.put(b"6", b"after")
    assert list(at_once) == list(one_by_one)
    assert list(at_once.steps()) == list(one_by_one.steps())
    assert (
        repr(at_once) == repr(one_by_one) == f"<Batch: {len(one_by_one)} operations, {one_by_one.size} bytes>"
    )
    values[b"7"] = b"changed by the caller afterwards"
    assert list(at_once) == list(one_by_one)


@pytest.mark.parametrize(
    ("key", "value", "error"),
    [
        (b"", b"", ValueError),
        (b"k" * (MAX_KEY + 1), b"", ValueError),
        (b"k", bytes(MAX_VALUE + 1), ValueError),
        ("k", b"", TypeError),
        (b"k", bytearray(1), TypeError),
        (b"k", None, TypeError),
    ],
)
def test_many_puts_are_checked_as_one(key: Any, value: Any, error: type[Exception]) -> None:
    for put in (Batch().put, lambda key, value: Batch().put_many({b"good": b"", key: value})):
        with pytest.raises(error):
            put(key, value)


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
