"""ObjectBlobs: what lies in the bucket, stores that lie, servers in trouble, keys that nobody may see."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from buckets import KEY_ID, SECRET, ObjectServer, answering, options

from medchain.errors import (
    BlobDamaged,
    BlobMissing,
    Locked,
    NewerFormat,
    NotAChain,
    StorageError,
    StorageFull,
)
from medchain.storage import ObjectBlobs

obstore = pytest.importorskip("obstore", reason="obstore is not installed: pip install 'medchain[s3]'")

OBJECT = b"\x0b" * 32
PLENTY = 1 << 30
PART = 5 << 20
LONG = bytes(range(256)) * (11 << 12)
"""11 MiB: three parts."""


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


@pytest.fixture
def bucket(object_server: ObjectServer) -> str:
    return object_server.bucket()


@pytest.fixture
def blobs(object_server: ObjectServer, bucket: str) -> ObjectBlobs:
    return opened(object_server, bucket)


def opened(server: ObjectServer, bucket: str, **more: Any) -> ObjectBlobs:
    return ObjectBlobs.at(f"s3://{bucket}/sealed", part_size=PART, **server.options(**more))


def in_memory(**more: Any) -> ObjectBlobs:
    return ObjectBlobs(obstore.store.MemoryStore(), **more)


def pieces(data: bytes, size: int = 1 << 20) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


class Altered:
    """A store of obstore's in memory with some methods replaced."""

    def __init__(self, **methods: Callable[..., Any]) -> None:
        self.inner = obstore.store.MemoryStore()
        self._methods = methods

    def __getattr__(self, name: str) -> Any:
        own = self._methods.get(name)
        if own is None:
            return getattr(self.inner, name)
        return lambda *arguments, **more: own(self.inner, *arguments, **more)


class TestWhatLiesThere:
    def test_a_short_blob_lies_under_its_hash(
        self, object_server: ObjectServer, bucket: str, blobs: ObjectBlobs
    ) -> None:
        digest = blobs.put(OBJECT, b"content")
        key = f"sealed/objects/{OBJECT.hex()}/{digest.hex()}"
        assert object_server.keys(bucket) == ["sealed/format", key]
        assert object_server.get(bucket, key) == b"content"

    def test_a_long_blob_goes_in_parts_and_is_read_like_any_other(
        self, object_server: ObjectServer, bucket: str, blobs: ObjectBlobs
    ) -> None:
        digest = blobs.put(OBJECT, pieces(LONG))
        assert digest == sha256(LONG)
        name, body = sorted(object_server.keys(bucket), key=len)[1:]
        assert name == f"sealed/objects/{OBJECT.hex()}/{digest.hex()}.at"
        assert body.endswith(".body")
        for store in (blobs, opened(object_server, bucket), opened(object_server, bucket, read_only=True)):
            assert store.list(OBJECT) == [digest]
            assert store.size(OBJECT, digest) == len(LONG)
            assert store.read(OBJECT, digest, PART - 3, 7) == LONG[PART - 3 : PART + 4]
            assert store.check(OBJECT, digest) == len(LONG)
            assert store.get(OBJECT, digest, limit=PLENTY) == LONG
            with pytest.raises(BlobDamaged):
                store.read(OBJECT, digest, len(LONG) - 1, 2)

    @pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, 2 * PART])
    def test_every_length_around_a_part_comes_back(self, size: int) -> None:
        blobs = in_memory(part_size=PART)
        content = LONG[:size]
        digest = blobs.put(OBJECT, content)
        assert digest == sha256(content)
        assert blobs.size(OBJECT, digest) == size
        assert blobs.get(OBJECT, digest, limit=PLENTY) == content

    def test_putting_a_long_blob_again_leaves_one_body(
        self, object_server: ObjectServer, bucket: str, blobs: ObjectBlobs
    ) -> None:
        for _ in range(3):
            digest = blobs.put(OBJECT, pieces(LONG))
        assert len(object_server.keys(bucket)) == 3
        assert blobs.get(OBJECT, digest, limit=PLENTY) == LONG

    def test_a_damaged_blob_is_noticed_and_mended_by_putting_it_again(
        self, object_server: ObjectServer, bucket: str, blobs: ObjectBlobs
    ) -> None:
        short, long = blobs.put(OBJECT, b"content"), blobs.put(OBJECT, pieces(LONG))
        for digest, content in ((short, b"content"), (long, LONG)):
            at = [key for key in object_server.keys(bucket) if key.endswith((short.hex(), ".body"))]
            for key in at:
                object_server.put(bucket, key, b"damaged")
            with pytest.raises(BlobDamaged):
                blobs.check(OBJECT, digest)
            blobs.put(OBJECT, pieces(content))
            assert blobs.check(OBJECT, digest) == len(content)

    def test_a_long_blob_takes_the_place_of_a_short_one_that_is_damaged(self) -> None:
        store = obstore.store.MemoryStore()
        digest = ObjectBlobs(store, part_size=2 * PART).put(OBJECT, LONG[: PART + 1])
        store.put(f"objects/{OBJECT.hex()}/{digest.hex()}", b"damaged")
        again = ObjectBlobs(store, part_size=PART)
        again.put(OBJECT, LONG[: PART + 1])
        assert again.check(OBJECT, digest) == PART + 1
        assert again.list(OBJECT) == [digest]

    def test_a_body_that_was_removed_or_is_called_by_no_name_is_noticed_and_mended(self) -> None:
        store = obstore.store.MemoryStore()
        blobs = ObjectBlobs(store, part_size=PART)
        digest = blobs.put(OBJECT, LONG)
        at = f"objects/{OBJECT.hex()}/{digest.hex()}.at"
        store.delete(f"objects/{OBJECT.hex()}/{bytes(store.get(at).bytes()).decode().strip()}.body")
        with pytest.raises(BlobMissing):
            blobs.check(OBJECT, digest)
        store.put(at, b"../../elsewhere\n")
        with pytest.raises(BlobDamaged):
            blobs.check(OBJECT, digest)
        blobs.put(OBJECT, LONG)
        assert blobs.check(OBJECT, digest) == len(LONG)

    def test_a_reader_follows_when_another_writer_replaces_a_body(self) -> None:
        store = obstore.store.MemoryStore()
        reader, writer = ObjectBlobs(store, part_size=PART), ObjectBlobs(store, part_size=PART)
        digest = writer.put(OBJECT, LONG)
        assert reader.read(OBJECT, digest, 0, 4) == LONG[:4]
        writer.put(OBJECT, LONG)
        assert reader.read(OBJECT, digest, 4, 4) == LONG[4:8]

    def test_a_source_that_fails_late_leaves_nothing(
        self, object_server: ObjectServer, bucket: str, blobs: ObjectBlobs
    ) -> None:
        def source() -> Iterator[bytes]:
            yield from pieces(LONG)
            assert object_server.uploads(bucket) == 1
            raise LookupError("the source broke")

        with pytest.raises(LookupError, match="the source broke"):
            blobs.put(OBJECT, source())
        with pytest.raises(BlobDamaged):
            blobs.put(OBJECT, pieces(LONG), expect=bytes(32))
        assert object_server.keys(bucket) == ["sealed/format"]
        assert object_server.uploads(bucket) == 0

    def test_more_parts_than_there_may_be_are_refused_with_what_to_do(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("medchain.storage.objects.MOST_PARTS", 2)
        blobs = in_memory(part_size=PART)
        with pytest.raises(StorageError, match="larger part_size"):
            blobs.put(OBJECT, pieces(LONG))
        assert list(blobs.objects()) == []

    def test_large_blobs_need_little_memory(self, object_server: ObjectServer, bucket: str) -> None:
        script = """
import os, psutil, sys, threading
from medchain.storage import ObjectBlobs
blobs = ObjectBlobs.at(f"s3://{sys.argv[2]}", part_size=5 << 20, endpoint=sys.argv[1], region="us-east-1",
                       access_key_id="a", secret_access_key="b", client_options={"allow_http": True})
blobs.put(bytes(32), bytes(6 << 20))
process = psutil.Process()
before, peak, size = process.memory_info().rss, 0, 120
def source():
    global peak
    for _ in range(size):
        peak = max(peak, process.memory_info().rss)
        yield os.urandom(1 << 20)
digest = blobs.put(bytes(32), source())
print(blobs.check(bytes(32), digest) >> 20, (peak - before) >> 20)
"""
        command = [sys.executable, "-c", script, object_server.url, bucket]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        size, grown = map(int, done.stdout.split())
        assert size == 120
        assert grown < 60


class TestTwoAtOnce:
    def test_one_body_is_left_whoever_is_faster(self) -> None:
        store = obstore.store.MemoryStore()
        stores = [ObjectBlobs(store, part_size=PART) for _ in range(4)]
        digests: list[bytes] = []
        threads = [
            threading.Thread(target=lambda one=one: digests.append(one.put(OBJECT, pieces(LONG))))
            for one in stores
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert digests == [sha256(LONG)] * 4
        assert len([meta for page in store.list("objects") for meta in page]) == 2
        assert stores[0].check(OBJECT, digests[0]) == len(LONG)

    def test_who_loses_the_race_removes_its_own_bytes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        store = obstore.store.MemoryStore()
        slow, fast = ObjectBlobs(store, part_size=PART), ObjectBlobs(store, part_size=PART)
        looked = slow._body_of

        def overtaken(object_id: bytes, digest: bytes) -> Any:
            found = looked(object_id, digest)
            monkeypatch.setattr(slow, "_body_of", looked)
            fast.put(OBJECT, LONG)
            return found

        for _ in range(2):  # once where there is none yet, once where there is one to replace
            monkeypatch.setattr(slow, "_body_of", overtaken)
            digest = slow.put(OBJECT, LONG)
            assert len([meta for page in store.list("objects") for meta in page]) == 2
            assert slow.check(OBJECT, digest) == len(LONG)

    def test_a_write_whose_answer_was_lost_and_that_was_repeated_counts_as_done(self) -> None:
        def put(inner: Any, key: str, data: Any, *, mode: Any = None, **more: Any) -> Any:
            made = inner.put(key, data, mode=mode, **more)
            if key.endswith(".at") and mode != "overwrite":
                inner.put(key, data, mode=mode, **more)  # as a retry does
            return made

        blobs = ObjectBlobs(Altered(put=put), part_size=PART)
        assert blobs.conditional
        for _ in range(2):
            digest = blobs.put(OBJECT, LONG)
            assert blobs.check(OBJECT, digest) == len(LONG)

    def test_an_erasure_during_a_long_put_wins(
        self, object_server: ObjectServer, bucket: str, blobs: ObjectBlobs
    ) -> None:
        def source() -> Iterator[bytes]:
            yield from pieces(LONG)
            blobs.erase(OBJECT)

        with pytest.raises(StorageError, match="erased meanwhile"):
            blobs.put(OBJECT, source())
        assert object_server.keys(bucket) == [f"sealed/erased/{OBJECT.hex()}", "sealed/format"]


class TestErasure:
    def test_everything_of_the_object_goes_and_a_tombstone_stays(
        self, object_server: ObjectServer, bucket: str, blobs: ObjectBlobs
    ) -> None:
        blobs.put(OBJECT, b"content")
        blobs.put(OBJECT, pieces(LONG))
        object_server.put(bucket, f"sealed/objects/{OBJECT.hex()}/{bytes(32).hex()}.body", b"orphan")
        assert blobs.erase(OBJECT) == 2
        assert object_server.keys(bucket) == [f"sealed/erased/{OBJECT.hex()}", "sealed/format"]

    def test_an_erasure_that_was_broken_off_is_finished_when_the_store_is_opened(
        self, object_server: ObjectServer, bucket: str, blobs: ObjectBlobs
    ) -> None:
        digest = blobs.put(OBJECT, b"content")
        object_server.put(bucket, f"sealed/erasing/{OBJECT.hex()}", b"")
        object_server.put(bucket, f"sealed/erased/{OBJECT.hex()}", b"")
        with pytest.raises(BlobMissing):
            blobs.get(OBJECT, digest, limit=PLENTY)
        assert list(blobs.remains()) == [OBJECT]
        again = opened(object_server, bucket)
        assert list(again.remains()) == []
        assert object_server.keys(bucket) == [f"sealed/erased/{OBJECT.hex()}", "sealed/format"]

    def test_the_first_tombstone_stays(self, object_server: ObjectServer, bucket: str) -> None:
        writes: list[tuple[str, Any]] = []

        def put(inner: Any, key: str, data: Any, *, mode: Any = None, **more: Any) -> Any:
            made = inner.put(key, data, mode=mode, **more)
            writes.append((key, mode))
            return made

        blobs = ObjectBlobs(Altered(put=put))
        for _ in range(2):
            blobs.erase(OBJECT)
        assert [mode for key, mode in writes if key.startswith("erased/")] == ["create"]

    def test_a_store_that_does_not_remove_is_told(self) -> None:
        kept = Altered(delete=lambda inner, keys: None if "objects/" in str(keys) else inner.delete(keys))
        blobs = ObjectBlobs(kept)
        blobs.put(OBJECT, b"content")
        with pytest.raises(StorageError, match="lift locks and retention"):
            blobs.erase(OBJECT)
        assert blobs.list(OBJECT) == []
        assert list(blobs.remains()) == [OBJECT]


class TestTryingOut:
    def test_a_bucket_that_keeps_versions_is_refused(self, object_server: ObjectServer, bucket: str) -> None:
        object_server.keep_versions(bucket)
        with pytest.raises(StorageError, match="keeps old versions"):
            opened(object_server, bucket)
        assert object_server.keys(bucket) == []

    def test_one_whose_versioning_is_suspended_is_taken(
        self, object_server: ObjectServer, bucket: str
    ) -> None:
        object_server.keep_versions(bucket)
        object_server.keep_versions(bucket, "Suspended")
        blobs = opened(object_server, bucket)
        blobs.put(OBJECT, b"content")
        assert blobs.erase(OBJECT) == 1

    def test_conditional_writes_are_found_to_work(self, blobs: ObjectBlobs) -> None:
        assert blobs.conditional
        assert "conditional" not in repr(blobs)

    @pytest.mark.parametrize("ignored", ["create", "replace", "both", "unsupported", "not implemented"])
    def test_a_store_without_conditional_writes_is_used_all_the_same(self, ignored: str) -> None:
        def put(inner: Any, key: str, data: Any, *, mode: Any = None, **more: Any) -> Any:
            if ignored == "unsupported" and mode not in (None, "overwrite"):
                raise obstore.exceptions.NotSupportedError("no")
            if ignored == "not implemented" and mode not in (None, "overwrite"):
                raise obstore.exceptions.GenericError(
                    "Server returned non-2xx status code: 501 Not Implemented"
                )
            drops = {"create": mode == "create", "replace": isinstance(mode, dict), "both": True}
            return inner.put(key, data, mode="overwrite" if drops.get(ignored) else mode, **more)

        blobs = ObjectBlobs(Altered(put=put), part_size=PART)
        assert not blobs.conditional
        assert repr(blobs) == "<ObjectBlobs: Altered, no conditional writes>"
        for _ in range(2):
            digest = blobs.put(OBJECT, LONG)
            assert blobs.check(OBJECT, digest) == len(LONG)
        for _ in range(2):
            blobs.erase(OBJECT)
        assert list(blobs.tombstones()) == [OBJECT]
        assert list(blobs.remains()) == []

    @pytest.mark.parametrize(
        ("methods", "why"),
        [
            ({"delete": lambda inner, keys: None}, "what was deleted is still there"),
            ({"get_range": lambda inner, key, **more: inner.get(key).bytes()}, "a range is not read"),
            ({"list": lambda inner, prefix, **more: iter([])}, "is not listed right after"),
            ({"head": lambda inner, key: {"size": 3}}, "not what is read right after"),
        ],
    )
    def test_a_store_that_does_not_do_what_it_says_is_refused(
        self, methods: dict[str, Callable[..., Any]], why: str
    ) -> None:
        with pytest.raises(StorageError, match=why):
            ObjectBlobs(Altered(**methods))

    def test_nothing_is_left_of_it(
        self, object_server: ObjectServer, bucket: str, blobs: ObjectBlobs
    ) -> None:
        opened(object_server, bucket)
        assert object_server.keys(bucket) == ["sealed/format"]


class TestOpening:
    def test_a_prefix_with_other_things_is_left_alone(self, object_server: ObjectServer, bucket: str) -> None:
        object_server.put(bucket, "sealed/holiday.jpg", b"photo")
        with pytest.raises(NotAChain, match="prefix of its own"):
            opened(object_server, bucket)
        assert object_server.keys(bucket) == ["sealed/holiday.jpg"]
        ObjectBlobs.at(f"s3://{bucket}/elsewhere", **object_server.options())

    @pytest.mark.parametrize(
        ("content", "kind"),
        [
            (b"medchain-objects 2\n", NewerFormat),
            (b"medchain-blobs 1\n", NotAChain),
            (b"something else", NotAChain),
            (bytes(2000), StorageError),
        ],
    )
    def test_formats_of_others_and_of_the_future_are_told_apart(
        self, content: bytes, kind: type[StorageError]
    ) -> None:
        store = obstore.store.MemoryStore()
        store.put("format", content)
        with pytest.raises(kind):
            ObjectBlobs(store)

    def test_a_store_is_made_only_where_that_is_wanted(
        self, object_server: ObjectServer, bucket: str
    ) -> None:
        for more in ({"create": False}, {"read_only": True}):
            with pytest.raises(NotAChain):
                opened(object_server, bucket, **more)
        assert object_server.keys(bucket) == []
        opened(object_server, bucket)
        opened(object_server, bucket, create=False)

    def test_reading_only_writes_nothing(self, object_server: ObjectServer, bucket: str) -> None:
        digest = opened(object_server, bucket).put(OBJECT, b"content")
        writes: list[str] = []

        def refuse(inner: Any, *arguments: Any, **more: Any) -> None:
            writes.append(str(arguments))
            raise AssertionError("a write")

        blobs = opened(object_server, bucket, read_only=True)
        blobs._bucket._store = Altered(put=refuse, delete=refuse)
        blobs._bucket._store.inner = obstore.store.from_url(
            f"s3://{bucket}/sealed", **object_server.options()
        )
        assert blobs.get(OBJECT, digest, limit=PLENTY) == b"content"
        for attempt in (lambda: blobs.put(OBJECT, b"more"), lambda: blobs.erase(OBJECT)):
            with pytest.raises(ValueError, match="reading only"):
                attempt()
        assert writes == []

    @pytest.mark.parametrize(
        "address",
        [
            "bucket/prefix",
            f"s3://{KEY_ID}:{SECRET}@bucket/prefix",
            f"https://account.blob.core.windows.net/box?sig={SECRET}",
            "nothing://bucket",
        ],
    )
    def test_an_address_is_one_and_has_no_keys_in_it(self, address: str) -> None:
        with pytest.raises(ValueError, match="address") as caught:
            ObjectBlobs.at(address)
        assert SECRET not in str(caught.value)

    def test_an_option_that_there_is_not_is_named_without_its_value(self) -> None:
        with pytest.raises(ValueError, match="secret_acces_key") as caught:
            ObjectBlobs.at("s3://bucket", secret_acces_key=SECRET, region="us-east-1")
        assert SECRET not in "".join(traceback.format_exception(caught.value))

    def test_parts_are_as_large_as_they_have_to_be(self) -> None:
        with pytest.raises(ValueError, match="part"):
            in_memory(part_size=PART - 1)

    def test_without_obstore_it_is_said_how_to_get_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "obstore", None)
        with pytest.raises(StorageError, match=r"pip install 'medchain\[s3\]'"):
            ObjectBlobs.at("s3://bucket")

    def test_the_environment_gives_keys_and_endpoint(
        self, object_server: ObjectServer, bucket: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        monkeypatch.setenv("AWS_ENDPOINT_URL", object_server.url)
        monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
        ObjectBlobs.at(f"s3://{bucket}/sealed").put(OBJECT, b"content")
        assert len(object_server.keys(bucket)) == 2


class TestTrouble:
    @pytest.mark.parametrize("how", ["emptied", "removed"])
    def test_a_bucket_that_has_gone_fails_and_does_not_come_back_empty(
        self, object_server: ObjectServer, bucket: str, blobs: ObjectBlobs, how: str
    ) -> None:
        digest = blobs.put(OBJECT, b"content")
        object_server.empty(bucket)
        if how == "removed":
            object_server.client.delete_bucket(Bucket=bucket)
        for attempt in (
            lambda: blobs.get(OBJECT, digest, limit=PLENTY),
            lambda: blobs.put(OBJECT, b"more"),
            lambda: blobs.erase(OBJECT),
            lambda: blobs.list(OBJECT),
            lambda: list(blobs.objects()),
            lambda: list(blobs.tombstones()),
        ):
            with pytest.raises(StorageError) as caught:
                attempt()
            assert not isinstance(caught.value, BlobMissing)

    def test_a_bucket_that_never_was(self, object_server: ObjectServer) -> None:
        with pytest.raises(StorageError, match="there is no such bucket; make it first"):
            opened(object_server, "never-made")

    @pytest.mark.parametrize(
        ("status", "code", "kind", "advice"),
        [
            (403, "InvalidAccessKeyId", StorageError, "are the keys right"),
            (403, "SignatureDoesNotMatch", StorageError, "are the keys right"),
            (401, "Unauthorized", StorageError, "are the keys right"),
            (400, "AuthorizationHeaderMalformed", StorageError, "check region"),
            (301, "PermanentRedirect", StorageError, "check region"),
            (500, "InternalError", StorageError, "try again later"),
            (503, "SlowDown", StorageError, "try again later"),
            (507, "XMinioStorageFull", StorageFull, "it is full"),
            (418, "Teapot", StorageError, "418 Teapot"),
        ],
    )
    def test_what_a_server_says_is_told_by_its_code_alone(
        self, status: int, code: str, kind: type[StorageError], advice: str
    ) -> None:
        body = (
            f"<Error><Code>{code}</Code><AWSAccessKeyId>{KEY_ID}</AWSAccessKeyId>"
            f"<StringToSign>{SECRET}</StringToSign></Error>"
        )
        with answering(status, body) as url, pytest.raises(StorageError) as caught:
            ObjectBlobs.at("s3://bucket/sealed", **options(url))
        assert type(caught.value) is kind
        assert advice in str(caught.value)
        assert "s3://bucket/sealed" in str(caught.value)
        no_secrets(caught.value)

    def test_a_server_that_is_not_there(self) -> None:
        with answering(200) as url:
            pass
        with pytest.raises(StorageError, match="cannot be reached") as caught:
            ObjectBlobs.at("s3://bucket/sealed", **options(url))
        no_secrets(caught.value)

    def test_a_server_that_never_answers_is_given_up(self) -> None:
        quick = {"allow_http": True, "timeout": "300ms"}
        began = time.monotonic()
        with answering(200, wait=60) as url, pytest.raises(StorageError, match="answer in time") as caught:
            ObjectBlobs.at("s3://bucket/sealed", **options(url, client_options=quick))
        assert time.monotonic() - began < 30
        no_secrets(caught.value)

    def test_a_server_that_dies_during_a_long_put(self, tmp_path: Path) -> None:
        from buckets import need_servers, object_server

        need_servers()
        with object_server(tmp_path) as server:
            blobs = opened(server, server.bucket())

            def source() -> Iterator[bytes]:
                yield from pieces(LONG)
                server.process.kill()
                server.process.wait()
                yield from pieces(LONG)

            with pytest.raises(StorageError, match="cannot be reached") as caught:
                blobs.put(OBJECT, source())
            no_secrets(caught.value)

    def test_no_representation_shows_a_key(self, object_server: ObjectServer, blobs: ObjectBlobs) -> None:
        for shown in (repr(blobs), str(blobs), f"{blobs!r}"):
            assert KEY_ID not in shown
            assert SECRET not in shown
        assert "s3://bucket-" in repr(blobs)

    def test_a_forked_child_opens_its_own(
        self, blobs: ObjectBlobs, forked: Callable[[Callable[[], object]], str]
    ) -> None:
        answer = forked(lambda: blobs.list(OBJECT))
        assert Locked.__name__ in answer
        assert "open it again" in answer


def no_secrets(error: BaseException) -> None:
    """Neither the error nor anything that hangs on it tells a key."""
    told = "".join(traceback.format_exception(error))
    assert KEY_ID not in told
    assert SECRET not in told
    assert error.__cause__ is None
    assert error.__context__ is None


def test_importing_the_package_loads_no_obstore() -> None:
    script = "import sys, medchain.storage as s; s.ObjectBlobs; print('obstore' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_the_process_is_not_the_one_that_opened_it(monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = in_memory()
    monkeypatch.setattr(os, "getpid", lambda: -1)
    with pytest.raises(Locked):
        blobs.list(OBJECT)
