"""A random comparison of a store with a dict, through reopening and crashes; part of the public suite.

`batch_of` and `puts` make batches of plain values, here and in the tests of `medchain.testing.stores`.
"""

from __future__ import annotations

import os
import shutil
import signal
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from medchain.storage.api import Batch, Store

__all__ = ["StoreMachine", "batch_of", "puts"]


def batch_of(*operations: tuple[Any, ...]) -> Batch:
    """Build a batch out of ("put", key, value), ("delete", key) and ("delete_range", start, end)."""
    batch = Batch()
    for name, *arguments in operations:
        getattr(batch, name)(*arguments)
    return batch


def puts(*keys: bytes) -> Batch:
    """Build a batch that sets each key to itself."""
    return batch_of(*(("put", key, key) for key in keys))


_keys = st.one_of(
    st.binary(min_size=1, max_size=2),
    st.text("ab\x00\xff", min_size=1, max_size=3).map(lambda text: text.encode("latin-1")),
)
_bounds = st.one_of(st.just(b""), _keys)
_operations = st.lists(
    st.one_of(
        st.tuples(st.just("put"), _keys, st.binary(max_size=40)),
        st.tuples(st.just("put"), _keys, st.integers(0, 9000).map(bytes)),
        st.tuples(st.just("delete"), _keys),
        st.tuples(st.just("delete_range"), _bounds, st.one_of(st.none(), _keys)),
    ),
    max_size=12,
)


class StoreMachine(RuleBasedStateMachine):
    """A store beside a dict: whatever is done to both, they stay equal, and so do their snapshots."""

    def __init__(self, make: Callable[[Path], Store], path: Path, persistent: bool) -> None:
        super().__init__()
        self.make, self.path, self.crashes = make, path, 0
        self.persistent = persistent
        self.store = make(path)
        self.model: dict[bytes, bytes] = {}
        self.snapshots: list[tuple[Any, dict[bytes, bytes]]] = []

    @rule(operations=_operations)
    def commit(self, operations: list[tuple[Any, ...]]) -> None:
        self.store.commit(batch_of(*operations))
        self._follow(operations)

    def _follow(self, operations: list[tuple[Any, ...]]) -> None:
        for name, *arguments in operations:
            if name == "put":
                self.model[arguments[0]] = arguments[1]
            elif name == "delete":
                self.model.pop(arguments[0], None)
            else:
                self.model = {key: value for key, value in self.model.items() if not _inside(key, *arguments)}

    @rule(operations=_operations)
    def build_a_batch_and_never_commit_it(self, operations: list[tuple[Any, ...]]) -> None:
        batch_of(*operations)

    @rule(key=_keys)
    def get(self, key: bytes) -> None:
        assert self.store.get(key) == self.model.get(key)

    @rule(keys=st.lists(_keys, max_size=6))
    def get_many(self, keys: list[bytes]) -> None:
        for reader, model in [(self.store, self.model), *self.snapshots]:
            assert reader.get_many(keys) == [model.get(key) for key in keys]

    @rule(start=_bounds, end=st.none() | _keys, reverse=st.booleans(), limit=st.none() | st.integers(0, 5))
    def scan(self, start: bytes, end: bytes | None, reverse: bool, limit: int | None) -> None:
        for reader, model in [(self.store, self.model), *self.snapshots]:
            expected = sorted(
                (pair for pair in model.items() if _inside(pair[0], start, end)), reverse=reverse
            )
            assert list(reader.scan(start, end, reverse=reverse, limit=limit)) == expected[:limit]

    @precondition(lambda self: len(self.snapshots) < 3)
    @rule()
    def open_snapshot(self) -> None:
        self.snapshots.append((self.store.snapshot(), dict(self.model)))

    @precondition(lambda self: self.snapshots)
    @rule()
    def close_oldest_snapshot(self) -> None:
        self.snapshots.pop(0)[0].close()

    @precondition(lambda self: self.persistent)
    @rule()
    def reopen(self) -> None:
        self._close()
        self._open(self.path)

    @precondition(lambda self: self.persistent and self.path.exists())
    @rule()
    def crash(self) -> None:
        """The machine dies at once: nothing is closed, and the store is opened from what the disk holds just now."""
        self.crashes += 1
        disk = self.path.with_name(f"{self.path.name.partition('.')[0]}.{self.crashes}")
        (shutil.copytree if self.path.is_dir() else shutil.copyfile)(self.path, disk)
        self._close()
        self._open(disk)

    @precondition(lambda self: self.persistent and hasattr(os, "fork"))
    @rule(operations=_operations)
    def commit_and_be_killed(self, operations: list[tuple[Any, ...]]) -> None:
        """A process commits and dies at once, with all that it has open: files, locks, sessions of a server."""
        self._close()
        _commit_and_die(partial(self.make, self.path), batch_of(*operations))
        self._follow(operations)
        self._open(self.path)

    def _close(self) -> None:
        self.store.close()
        self.snapshots.clear()

    def _open(self, path: Path) -> None:
        self.path = path
        self.store = self.make(path)
        assert dict(self.store.scan()) == self.model

    def teardown(self) -> None:
        with suppress(AttributeError):
            self.store.close()


def _commit_and_die(open: Callable[[], Store], batch: Batch) -> None:
    """Commit in a forked process that is killed once it has, with everything open."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads; this child does little
        child = os.fork()
    if child == 0:  # pragma: no cover
        try:
            store = open()
            store.commit(batch)
            os.write(writing, b"committed")
        except BaseException as error:
            os.write(writing, repr(error).encode())
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    assert said == b"committed", said


def _inside(key: bytes, start: bytes, end: bytes | None) -> bool:
    return key >= start and (end is None or key < end)
