"""The promises of `medchain.storage.Store`, as tests that any implementation can be put under.

    class TestMyStore(StoreConformance):
        make = MyStore                      # called with a path that does not exist yet, or that an earlier store left

Each test is named after the promise that it keeps.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from medchain.storage.api import MAX_KEY, MAX_VALUE, Batch, Store, prefix_end
from medchain.testing.machine import StoreMachine, batch_of, puts
from medchain.testing.store_threads import StoreUnderThreads

__all__ = ["StoreConformance"]


class StoreConformance(StoreUnderThreads):
    """Inherit from this in a test class and set `make`; leave `persistent` unless the store lives in memory only."""

    make: Callable[[Path], Store]
    """Opens the store at a path for writing, new or again."""

    persistent: ClassVar[bool] = True
    """Whether what is committed is there when the store is opened again at the same path."""

    machine_examples: ClassVar[int] = 25
    """Runs of the random comparison with a dict."""

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        """A place for a store."""
        return tmp_path / "store"

    @pytest.fixture
    def store(self, path: Path) -> Iterator[Store]:
        """An empty store."""
        with self.make(path) as store:
            yield store

    # Reading and writing

    def test_a_new_store_is_empty(self, store: Store) -> None:
        assert list(store.scan()) == []
        assert store.get(b"key") is None

    def test_what_is_committed_is_read_back(self, store: Store) -> None:
        store.commit(batch_of(("put", b"key", b"value"), ("put", b"empty", b"")))
        assert store.get(b"key") == b"value"
        assert store.get(b"empty") == b""

    def test_a_later_commit_wins(self, store: Store) -> None:
        store.commit(batch_of(("put", b"key", b"old and longer")))
        store.commit(batch_of(("put", b"key", b"new")))
        assert list(store.scan()) == [(b"key", b"new")]

    def test_deletion_removes_and_tolerates_absence(self, store: Store) -> None:
        store.commit(puts(b"a", b"b"))
        store.commit(batch_of(("delete", b"a"), ("delete", b"never there")))
        assert list(store.scan()) == [(b"b", b"b")]

    def test_a_range_is_deleted_from_its_start_to_before_its_end(self, store: Store) -> None:
        store.commit(puts(b"a", b"b", b"b\x00", b"c", b"d"))
        store.commit(batch_of(("delete_range", b"b", b"d")))
        assert [key for key, _ in store.scan()] == [b"a", b"d"]

    def test_a_range_without_end_is_deleted_to_the_last_key(self, store: Store) -> None:
        store.commit(puts(b"a", b"b", b"\xff" * MAX_KEY))
        store.commit(batch_of(("delete_range", b"b", None)))
        assert [key for key, _ in store.scan()] == [b"a"]

    def test_an_empty_range_deletes_nothing(self, store: Store) -> None:
        store.commit(puts(b"a", b"b"))
        store.commit(batch_of(("delete_range", b"b", b"b"), ("delete_range", b"z", b"a")))
        assert [key for key, _ in store.scan()] == [b"a", b"b"]

    def test_operations_of_a_batch_apply_in_their_order(self, store: Store) -> None:
        store.commit(puts(b"k1", b"k2", b"k3"))
        store.commit(
            batch_of(
                ("put", b"k4", b"deleted by the range"),
                ("delete_range", b"k", b"l"),
                ("put", b"k2", b"first"),
                ("put", b"k2", b"second"),
                ("put", b"k3", b"deleted"),
                ("delete", b"k3"),
            )
        )
        assert list(store.scan()) == [(b"k2", b"second")]

    def test_an_empty_batch_changes_nothing(self, store: Store) -> None:
        store.commit(Batch())
        assert list(store.scan()) == []

    def test_a_batch_can_be_committed_again(self, store: Store) -> None:
        batch = puts(b"a")
        store.commit(batch)
        store.commit(batch)
        assert list(store.scan()) == [(b"a", b"a")]

    def test_keys_of_every_allowed_length_are_kept(self, store: Store) -> None:
        keys = [b"k" * length for length in (1, 2, 255, 256, MAX_KEY)]
        store.commit(puts(*keys))
        assert [key for key, _ in store.scan()] == keys

    def test_keys_and_values_may_have_any_bytes(self, store: Store) -> None:
        keys = [bytes([byte]) for byte in range(256)] + [b"\x00\x00", b"\xff\xff", b"a\x00b", b"'\"%_;"]
        store.commit(puts(*keys))
        assert list(store.scan()) == [(key, key) for key in sorted(keys)]

    def test_large_values_are_kept_whole(self, store: Store) -> None:
        value = bytes(range(256)) * (MAX_VALUE // 256)
        store.commit(batch_of(("put", b"large", value)))
        assert store.get(b"large") == value

    def test_a_large_batch_is_committed_at_once(self, store: Store) -> None:
        batch = batch_of(*(("put", b"%06d" % number, b"v" * 200) for number in range(20_000)))
        store.commit(batch)
        assert sum(1 for _ in store.scan()) == 20_000

    # Many keys at once

    def test_many_values_come_in_the_order_of_their_keys(self, store: Store) -> None:
        store.commit(batch_of(("put", b"a", b"1"), ("put", b"b", b""), ("put", b"\xff", b"3")))
        assert store.get_many([b"\xff", b"a", b"missing", b"b", b"a"]) == [b"3", b"1", None, b"", b"1"]
        assert store.get_many((b"a",)) == [b"1"]
        assert store.get_many([]) == []

    def test_many_values_of_a_snapshot_are_of_its_moment(self, store: Store) -> None:
        store.commit(puts(b"a", b"b"))
        with store.snapshot() as snapshot:
            store.commit(batch_of(("delete", b"a"), ("put", b"b", b"new"), ("put", b"c", b"new")))
            assert snapshot.get_many([b"c", b"b", b"a"]) == [None, b"b", b"a"]
        assert store.get_many([b"c", b"b", b"a"]) == [b"new", b"new", None]

    def test_thousands_of_values_come_at_once(self, store: Store) -> None:
        keys = [b"%06d" % number for number in range(1_000)]
        store.commit(puts(*keys))
        asked = [*keys[::-1], *(key + b"x" for key in keys)]
        assert store.get_many(asked) == [*keys[::-1], *([None] * 1_000)]

    # Scans

    @pytest.fixture
    def lettered(self, store: Store) -> Store:
        """A store with the keys a, b, …, f, and b followed by a zero byte."""
        store.commit(puts(b"a", b"b", b"b\x00", b"c", b"d", b"e", b"f"))
        return store

    @pytest.mark.parametrize(
        ("start", "end", "keys"),
        [
            (b"", None, [b"a", b"b", b"b\x00", b"c", b"d", b"e", b"f"]),
            (b"b", b"d", [b"b", b"b\x00", b"c"]),
            (b"b\x00", None, [b"b\x00", b"c", b"d", b"e", b"f"]),
            (b"bb", b"dd", [b"c", b"d"]),
            (b"", b"b", [b"a"]),
            (b"f", b"zz", [b"f"]),
            (b"g", None, []),
            (b"", b"a", []),
            (b"c", b"c", []),
            (b"d", b"b", []),
        ],
    )
    def test_a_scan_gives_its_range_in_order_both_ways(
        self, lettered: Store, start: bytes, end: bytes | None, keys: list[bytes]
    ) -> None:
        assert [key for key, _ in lettered.scan(start, end)] == keys
        assert [key for key, _ in lettered.scan(start, end, reverse=True)] == keys[::-1]

    def test_a_limit_stops_a_scan_at_either_end(self, lettered: Store) -> None:
        assert [key for key, _ in lettered.scan(b"b", limit=2)] == [b"b", b"b\x00"]
        assert [key for key, _ in lettered.scan(end=b"d", reverse=True, limit=1)] == [b"c"]
        assert list(lettered.scan(limit=0)) == []
        assert len(list(lettered.scan(limit=100))) == 7

    def test_a_prefix_is_scanned_by_its_end(self, store: Store) -> None:
        store.commit(puts(b"row", b"row/1", b"row/2", b"row0", b"\xff", b"\xff\xff"))
        assert [key for key, _ in store.scan(b"row/", prefix_end(b"row/"))] == [b"row/1", b"row/2"]
        assert [key for key, _ in store.scan(b"\xff", prefix_end(b"\xff"))] == [b"\xff", b"\xff\xff"]

    def test_a_scan_sees_one_moment(self, lettered: Store) -> None:
        scan = lettered.scan()
        seen = [next(scan)[0]]
        lettered.commit(batch_of(("delete", b"c"), ("put", b"cc", b"new")))
        seen += [key for key, _ in scan]
        assert seen == [b"a", b"b", b"b\x00", b"c", b"d", b"e", b"f"]

    def test_long_scans_go_on_where_they_are_whatever_lies_between(self, store: Store) -> None:
        pairs = [(b"%05d" % number, b"v" * (number % 7 * 1_000)) for number in range(3_000)]
        store.commit(batch_of(*(("put", *pair) for pair in pairs)))
        up, down = store.scan(b"00100"), store.scan(end=b"02900", reverse=True)
        together = list(zip(up, down, strict=True))
        assert [first for first, _ in together] == pairs[100:]
        assert [second for _, second in together] == pairs[:2_900][::-1]
        assert [key for key, _ in store.scan(limit=2_500)] == [key for key, _ in pairs[:2_500]]

    def test_several_scans_of_a_snapshot_run_side_by_side(self, store: Store) -> None:
        store.commit(puts(*(b"%03d" % number for number in range(300))))
        with store.snapshot() as snapshot:
            for first, second in zip(snapshot.scan(), snapshot.scan(b"100"), strict=False):
                assert int(second[0]) == int(first[0]) + 100
                assert snapshot.get(first[0]) == first[0]

    def test_a_scan_can_be_left_early(self, lettered: Store) -> None:
        for _ in lettered.scan():
            break
        lettered.commit(puts(b"g"))
        assert lettered.get(b"g") == b"g"

    # Snapshots

    def test_a_snapshot_stays_at_its_moment(self, store: Store) -> None:
        store.commit(puts(b"a", b"b"))
        with store.snapshot() as snapshot:
            store.commit(batch_of(("delete_range", b"", None), ("put", b"c", b"c")))
            assert list(snapshot.scan()) == [(b"a", b"a"), (b"b", b"b")]
            assert list(snapshot.scan(b"a", b"b", reverse=True, limit=1)) == [(b"a", b"a")]
            assert snapshot.get(b"c") is None
        assert list(store.scan()) == [(b"c", b"c")]

    def test_snapshots_of_different_moments_live_together(self, store: Store) -> None:
        snapshots = []
        for number in range(5):
            store.commit(batch_of(("put", b"key", b"%d" % number)))
            snapshots.append(store.snapshot())
        assert [snapshot.get(b"key") for snapshot in snapshots] == [b"0", b"1", b"2", b"3", b"4"]
        for snapshot in snapshots:
            snapshot.close()

    def test_a_closed_snapshot_refuses_to_read(self, store: Store) -> None:
        snapshot = store.snapshot()
        snapshot.close()
        snapshot.close()
        with pytest.raises(ValueError, match="closed"):
            snapshot.get(b"key")
        with pytest.raises(ValueError, match="closed"):
            snapshot.scan()

    def test_closing_the_store_ends_its_snapshots(self, path: Path) -> None:
        store = self.make(path)
        store.commit(puts(b"a", b"b"))
        snapshot = store.snapshot()
        scan = snapshot.scan()
        next(scan)
        store.close()
        with pytest.raises(ValueError, match="closed"):
            snapshot.get(b"a")
        with pytest.raises(ValueError, match="closed"):
            next(scan)
        snapshot.close()

    # Mistakes

    @pytest.mark.parametrize("key", [b"", b"k" * (MAX_KEY + 1)])
    def test_keys_of_a_wrong_length_are_refused(self, store: Store, key: bytes) -> None:
        with pytest.raises(ValueError, match="key has 1 to"):
            store.get(key)
        with pytest.raises(ValueError, match="key has 1 to"):
            store.get_many([b"good", key])
        with pytest.raises(ValueError, match="key has 1 to"):
            Batch().put(key, b"")

    @pytest.mark.parametrize("key", ["text", bytearray(b"a"), memoryview(b"a"), 7, None])
    def test_keys_of_a_wrong_type_are_refused(self, store: Store, key: Any) -> None:
        with pytest.raises(TypeError):
            store.get(key)
        with pytest.raises(TypeError):
            store.get_many([key])
        with pytest.raises(TypeError):
            Batch().delete(key)
        if key is not None:
            with pytest.raises(TypeError):
                store.scan(b"", key)

    def test_values_of_a_wrong_type_or_size_are_refused(self) -> None:
        value: Any = "text"
        with pytest.raises(TypeError):
            Batch().put(b"key", value)
        with pytest.raises(ValueError, match="at most"):
            Batch().put(b"key", bytes(MAX_VALUE + 1))

    def test_a_negative_limit_is_refused(self, store: Store) -> None:
        with pytest.raises(ValueError, match="limit"):
            store.scan(limit=-1)

    def test_only_a_batch_is_committed(self, store: Store) -> None:
        batch: Any = [(b"key", b"value")]
        with pytest.raises(TypeError):
            store.commit(batch)

    def test_a_closed_store_refuses_everything(self, path: Path) -> None:
        store = self.make(path)
        store.close()
        store.close()
        assert store.closed
        for operation in (
            lambda: store.get(b"k"),
            lambda: store.get_many([b"k"]),
            store.scan,
            store.snapshot,
            lambda: store.commit(puts(b"k")),
        ):
            with pytest.raises(ValueError, match="closed"):
                operation()

    # Opening again

    def test_what_is_committed_is_there_after_reopening(self, path: Path) -> None:
        if not self.persistent:
            pytest.skip("the store lives in memory only")
        with self.make(path) as store:
            store.commit(puts(b"a", b"b", b"c"))
            store.commit(batch_of(("delete", b"b")))
        with self.make(path) as store:
            assert list(store.scan()) == [(b"a", b"a"), (b"c", b"c")]

    def test_a_store_equals_a_dict_under_random_use(self, tmp_path: Path) -> None:
        make, persistent, numbers = self.make, self.persistent, itertools.count()

        class Machine(StoreMachine):
            def __init__(self) -> None:
                super().__init__(make, tmp_path / f"run-{next(numbers)}", persistent)

        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=self.machine_examples,
                stateful_step_count=30,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
