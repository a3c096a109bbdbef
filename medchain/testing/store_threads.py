"""What a store promises to several threads of one process; part of the public suite."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from medchain.errors import StorageError
from medchain.storage.api import Store
from medchain.testing.machine import batch_of, puts

__all__ = ["StoreUnderThreads"]

Pairs = list[tuple[bytes, bytes]]


class StoreUnderThreads:
    """The part of `medchain.testing.stores.StoreConformance` in which threads read, commit and close."""

    make: Callable[[Path], Store]
    """Opens the store at a path for writing, new or again."""

    def test_threads_read_whole_commits_while_one_writes(self, store: Store) -> None:
        store.commit(batch_of(("put", b"left", b"0"), ("put", b"right", b"0")))
        torn: list[Pairs] = []
        done = threading.Event()

        def read() -> None:
            while not done.is_set():
                with store.snapshot() as snapshot:
                    pairs = list(snapshot.scan())
                    if len({value for _, value in pairs}) != 1 or snapshot.get(b"left") != pairs[0][1]:
                        torn.append(pairs)
                left, right = store.get_many([b"left", b"right"])
                if left != right:
                    torn.append([(b"left", left or b""), (b"right", right or b"")])

        readers = [threading.Thread(target=read) for _ in range(3)]
        for reader in readers:
            reader.start()
        try:
            for number in range(50):
                store.commit(batch_of(("put", b"left", b"%d" % number), ("put", b"right", b"%d" % number)))
        finally:
            done.set()
            for reader in readers:
                reader.join()
        assert torn == []

    def test_commits_of_several_threads_all_arrive(self, store: Store) -> None:
        def write(name: int) -> None:
            for number in range(20):
                store.commit(puts(b"%d-%02d" % (name, number)))

        writers = [threading.Thread(target=write, args=(name,)) for name in range(4)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert sum(1 for _ in store.scan()) == 80

    def test_closing_ends_the_reads_of_other_threads_with_a_named_error(self, path: Path) -> None:
        store = self.make(path)
        store.commit(puts(*(b"%04d" % number for number in range(1_000))))
        started = threading.Barrier(4)
        ends: list[Exception] = []

        def read() -> None:
            started.wait()
            try:
                while True:
                    with store.snapshot() as snapshot:
                        assert len(list(snapshot.scan())) == 1_000
                    assert store.get_many([b"0001", b"x"]) == [b"0001", None]
            except Exception as error:
                ends.append(error)

        readers = [threading.Thread(target=read) for _ in range(3)]
        for reader in readers:
            reader.start()
        started.wait()
        store.get(b"0500")
        store.close()
        for reader in readers:
            reader.join()
        assert [error for error in ends if not isinstance(error, (ValueError, StorageError))] == []
        assert len(ends) == 3
