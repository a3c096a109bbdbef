"""Every store of the project under the public suites."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from buckets import ObjectServer
from stores import Place

from medchain.storage import (
    BlobStore,
    FileBlobs,
    LateBlobs,
    LmdbStore,
    MemoryBlobs,
    MemoryStore,
    ObjectBlobs,
    ReplicatedBlobs,
    SqliteStore,
    Store,
)
from medchain.testing import BlobStoreConformance, FaultBlobs, FaultStore, StoreConformance


class TestMemoryStore(StoreConformance):
    persistent = False

    def make(self, path: Path) -> Store:
        return MemoryStore()


class TestLmdbStore(StoreConformance):
    make = LmdbStore


class TestSqliteStore(StoreConformance):
    make = SqliteStore


class TestPostgresStore(StoreConformance):
    machine_examples = 10  # each step is a round trip or more

    def make(self, path: Path) -> Store:
        return Place("postgres", path).open()


class TestStoreOfTheHowTo(StoreConformance):
    persistent = False

    def make(self, path: Path) -> Store:
        page = Path(__file__).parents[2] / "docs" / "how-to" / "write-a-store.md"
        code = page.read_text().split("```{testcode}\n")[1].split("```")[0].split("with TupleStore()")[0]
        names: dict[str, Any] = {}
        exec(code, names)
        store: Store = names["TupleStore"]()
        return store


class TestFaultStoreWithoutFaults(StoreConformance):
    persistent = False

    def make(self, path: Path) -> Store:
        return FaultStore(MemoryStore(), {})


class TestMemoryBlobs(BlobStoreConformance):
    persistent = False

    def make(self, path: Path) -> BlobStore:
        return MemoryBlobs()


class TestFileBlobs(BlobStoreConformance):
    make = FileBlobs


class TestReplicatedBlobs(BlobStoreConformance):
    def make(self, path: Path) -> BlobStore:
        return ReplicatedBlobs([FileBlobs(path / name) for name in "abc"], write_quorum=2)


class TestReplicatedBlobsWithOneDown(BlobStoreConformance):
    def make(self, path: Path) -> BlobStore:
        down = FaultBlobs(MemoryBlobs())
        down.down = True
        return ReplicatedBlobs([down, FileBlobs(path / "a"), FileBlobs(path / "b")], write_quorum=2)


class TestFaultBlobsWithoutFaults(BlobStoreConformance):
    persistent = False

    def make(self, path: Path) -> BlobStore:
        return FaultBlobs(MemoryBlobs())


class TestLateBlobs(BlobStoreConformance):
    def make(self, path: Path) -> BlobStore:
        return LateBlobs(lambda: FileBlobs(path))


class TestObjectBlobs(BlobStoreConformance):
    @pytest.fixture(autouse=True)
    def bucket(self, object_server: ObjectServer) -> None:
        self.server, self.name = object_server, object_server.bucket()

    def make(self, path: Path) -> BlobStore:
        return ObjectBlobs.at(f"s3://{self.name}/{path.name}", part_size=5 << 20, **self.server.options())


class TestObjectBlobsInMemory(BlobStoreConformance):
    persistent = False

    def make(self, path: Path) -> BlobStore:
        return ObjectBlobs(pytest.importorskip("obstore").store.MemoryStore())


class TestObjectBlobsInAFolder(BlobStoreConformance):
    def make(self, path: Path) -> BlobStore:
        return ObjectBlobs(pytest.importorskip("obstore").store.LocalStore(path, mkdir=True))


class TestReplicatedBlobsOnDiskAndInABucket(BlobStoreConformance):
    @pytest.fixture(autouse=True)
    def bucket(self, object_server: ObjectServer) -> None:
        self.server, self.name = object_server, object_server.bucket()

    def make(self, path: Path) -> BlobStore:
        bucket = ObjectBlobs.at(f"s3://{self.name}", **self.server.options())
        return ReplicatedBlobs([FileBlobs(path / "a"), bucket, FileBlobs(path / "b")], write_quorum=2)
