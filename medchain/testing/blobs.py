"""The promises of `medchain.storage.BlobStore`, as tests that any implementation can be put under.

    class TestMyBlobs(BlobStoreConformance): make = MyBlobs                      # called with a path that
    does not exist yet, or that an earlier store left

Each test is named after the promise that it keeps.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medchain.errors import BlobDamaged, BlobMissing, StorageError
from medchain.storage.blobs import BlobStore

__all__ = ["BlobStoreConformance"]

OBJECT = b"\x0b" * 32
OTHER = b"\xff" * 32
PLENTY = 1 << 30


def sha256(data: bytes) -> bytes:
    """Hash as blob stores name their blobs."""
    return hashlib.sha256(data).digest()


class BlobStoreConformance:
    """Inherit from this in a test class and set `make`; leave `persistent` unless the store lives in memory only."""

    make: Callable[[Path], BlobStore]
    """Opens the store at a path, new or again."""

    persistent: ClassVar[bool] = True
    """Whether blobs are there when the store is opened again at the same path."""

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        """A place for a store."""
        return tmp_path / "blobs"

    @pytest.fixture
    def blobs(self, path: Path) -> BlobStore:
        """An empty store."""
        return self.make(path)

    # Writing and reading

    def test_a_new_store_is_empty(self, blobs: BlobStore) -> None:
        assert list(blobs.objects()) == []
        assert blobs.list(OBJECT) == []
        assert list(blobs.tombstones()) == []

    def test_a_blob_is_named_by_its_hash_and_read_back(self, blobs: BlobStore) -> None:
        assert blobs.put(OBJECT, b"content") == sha256(b"content")
        assert blobs.get(OBJECT, sha256(b"content"), limit=7) == b"content"
        assert blobs.size(OBJECT, sha256(b"content")) == 7

    @pytest.mark.parametrize(
        "chunks", [[], [b""], [b"one"], [b"", b"a", b"", bytearray(b"bc"), memoryview(b"def")]]
    )
    def test_chunks_are_joined(self, blobs: BlobStore, chunks: list[Any]) -> None:
        whole = b"".join(chunks)
        digest = blobs.put(OBJECT, iter(chunks))
        assert digest == sha256(whole)
        assert blobs.get(OBJECT, digest, limit=PLENTY) == whole

    def test_a_blob_of_several_megabytes_is_kept_whole(self, blobs: BlobStore) -> None:
        chunk = bytes(range(256)) * 256
        digest = blobs.put(OBJECT, (chunk for _ in range(50)))
        assert blobs.check(OBJECT, digest) == 50 * len(chunk)
        assert blobs.get(OBJECT, digest, limit=PLENTY) == chunk * 50

    def test_putting_the_same_again_changes_nothing(self, blobs: BlobStore) -> None:
        digest = blobs.put(OBJECT, b"same")
        assert blobs.put(OBJECT, b"same") == digest
        assert blobs.list(OBJECT) == [digest]

    def test_objects_are_kept_apart(self, blobs: BlobStore) -> None:
        digest = blobs.put(OBJECT, b"same")
        with pytest.raises(BlobMissing):
            blobs.get(OTHER, digest, limit=PLENTY)
        blobs.put(OTHER, b"same")
        blobs.erase(OBJECT)
        assert blobs.get(OTHER, digest, limit=PLENTY) == b"same"

    def test_what_there_is_is_listed_in_order(self, blobs: BlobStore) -> None:
        digests = sorted(blobs.put(OTHER, b"%d" % number) for number in range(5))
        blobs.put(OBJECT, b"x")
        assert blobs.list(OTHER) == digests
        assert list(blobs.objects()) == [OBJECT, OTHER]

    def test_ranges_are_read_exactly(self, blobs: BlobStore) -> None:
        content = bytes(range(200))
        digest = blobs.put(OBJECT, content)

        @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.integers(0, 210), st.integers(0, 210))
        def compare(offset: int, length: int) -> None:
            if offset + length <= 200:
                assert blobs.read(OBJECT, digest, offset, length) == content[offset : offset + length]
            elif length:
                with pytest.raises(BlobDamaged):
                    blobs.read(OBJECT, digest, offset, length)

        compare()

    def test_a_limit_is_kept(self, blobs: BlobStore) -> None:
        digest = blobs.put(OBJECT, b"four")
        assert blobs.get(OBJECT, digest, limit=4) == b"four"
        with pytest.raises(StorageError, match="more than the 3"):
            blobs.get(OBJECT, digest, limit=3)

    @pytest.mark.parametrize("ask", ["get", "read", "size", "check"])
    def test_a_missing_blob_is_missing_whatever_is_asked(self, blobs: BlobStore, ask: str) -> None:
        blobs.put(OBJECT, b"another")
        for object_id in (OBJECT, OTHER):
            with pytest.raises(BlobMissing):
                _ask(blobs, ask, object_id, sha256(b"this"))

    # Failed writes

    def test_content_with_another_hash_than_expected_is_not_stored(self, blobs: BlobStore) -> None:
        assert blobs.put(OBJECT, b"right", expect=sha256(b"right")) == sha256(b"right")
        with pytest.raises(BlobDamaged):
            blobs.put(OBJECT, b"wrong", expect=sha256(b"other"))
        assert blobs.list(OBJECT) == [sha256(b"right")]

    def test_a_source_that_fails_leaves_nothing(self, blobs: BlobStore) -> None:
        def source() -> Iterator[bytes]:
            yield b"begun"
            raise LookupError("the source broke")

        with pytest.raises(LookupError, match="the source broke"):
            blobs.put(OBJECT, source())
        assert blobs.list(OBJECT) == []
        assert list(blobs.objects()) == []

    def test_only_bytes_are_stored(self, blobs: BlobStore) -> None:
        chunks: Any = ["text"]
        with pytest.raises(TypeError):
            blobs.put(OBJECT, chunks)
        assert list(blobs.objects()) == []

    @pytest.mark.parametrize("name", [b"", b"short", b"x" * 33])
    def test_names_of_a_wrong_length_are_refused(self, blobs: BlobStore, name: bytes) -> None:
        for call in (
            lambda: blobs.put(name, b""),
            lambda: blobs.erase(name),
            lambda: blobs.list(name),
            lambda: blobs.get(OBJECT, name, limit=1),
            lambda: blobs.read(name, OBJECT, 0, 1),
            lambda: blobs.put(OBJECT, b"", expect=name),
        ):
            with pytest.raises(ValueError, match="32 bytes"):
                call()

    def test_names_are_bytes(self, blobs: BlobStore) -> None:
        name: Any = "../../../../etc/passwd1234567890"
        with pytest.raises(TypeError):
            blobs.put(name, b"")
        with pytest.raises(TypeError):
            blobs.get(OBJECT, name, limit=1)

    def test_negative_ranges_are_refused(self, blobs: BlobStore) -> None:
        digest = blobs.put(OBJECT, b"content")
        for offset, length in ((-1, 1), (0, -1)):
            with pytest.raises(ValueError, match="range"):
                blobs.read(OBJECT, digest, offset, length)

    # Erasure

    def test_erasure_removes_every_blob_of_the_object(self, blobs: BlobStore) -> None:
        digests = [blobs.put(OBJECT, b"%d" % number) for number in range(3)]
        assert blobs.erase(OBJECT) == 3
        assert blobs.list(OBJECT) == []
        assert list(blobs.objects()) == []
        assert list(blobs.remains()) == []
        for digest in digests:
            for ask in ("get", "read", "size", "check"):
                with pytest.raises(BlobMissing):
                    _ask(blobs, ask, OBJECT, digest)

    def test_nothing_is_stored_under_an_erased_id_again(self, blobs: BlobStore) -> None:
        blobs.put(OBJECT, b"content")
        blobs.erase(OBJECT)
        with pytest.raises(StorageError, match="erased"):
            blobs.put(OBJECT, b"content")
        assert blobs.list(OBJECT) == []

    def test_erasure_can_come_first_and_twice(self, blobs: BlobStore) -> None:
        assert blobs.erase(OBJECT) == 0
        assert blobs.erase(OBJECT) == 0
        assert blobs.erased(OBJECT)
        assert not blobs.erased(OTHER)
        assert list(blobs.tombstones()) == [OBJECT]

    def test_a_blob_on_its_way_does_not_survive_an_erasure(self, blobs: BlobStore) -> None:
        def source() -> Iterator[bytes]:
            yield b"begun"
            blobs.erase(OBJECT)
            yield b"ended"

        with pytest.raises(StorageError):
            blobs.put(OBJECT, source())
        assert blobs.list(OBJECT) == []
        assert list(blobs.remains()) == []

    # Threads, and opening again

    def test_threads_put_the_same_and_other_blobs_at_once(self, blobs: BlobStore) -> None:
        contents = [b"%d" % number * 1000 for number in range(8)]

        def put_all() -> None:
            for content in contents:
                blobs.put(OBJECT, [content])

        threads = [threading.Thread(target=put_all) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert blobs.list(OBJECT) == sorted(map(sha256, contents))
        for content in contents:
            assert blobs.get(OBJECT, sha256(content), limit=PLENTY) == content

    def test_blobs_and_tombstones_are_there_after_reopening(self, path: Path) -> None:
        if not self.persistent:
            pytest.skip("the store lives in memory only")
        first = self.make(path)
        digest = first.put(OBJECT, b"content")
        first.put(OTHER, b"erased")
        first.erase(OTHER)
        again = self.make(path)
        assert again.get(OBJECT, digest, limit=PLENTY) == b"content"
        assert again.list(OTHER) == []
        with pytest.raises(StorageError, match="erased"):
            again.put(OTHER, b"erased")


def _ask(blobs: BlobStore, ask: str, object_id: bytes, digest: bytes) -> object:
    match ask:
        case "get":
            return blobs.get(object_id, digest, limit=PLENTY)
        case "read":
            return blobs.read(object_id, digest, 0, 1)
        case "size":
            return blobs.size(object_id, digest)
        case _:
            return blobs.check(object_id, digest)
