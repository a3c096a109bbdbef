"""Blobs in an object store: S3 and what speaks like it, through the package obstore.

Under the prefix of a store lie

    format                       what this prefix is
    objects/<object id>/<hash>   a blob of at most one part; names in hexadecimal
    objects/<object id>/<hash>.at        a longer blob: the name of its body
    objects/<object id>/<name>.body      its bytes, sent in parts before their hash was known
    erasing/<object id>          an erasure that is not finished
    erased/<object id>           a tombstone; nothing is stored under its id again
    probe/<random>               gone a moment after a store was opened

An object store cannot rename, and the hash of a long blob is known when its last byte has been sent. So its bytes
lie under a random name, and a small object under its hash says which; that one is written on condition that no
other writer has been there meanwhile.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from medchain.errors import BlobDamaged, NewerFormat, NotAChain, StorageError
from medchain.storage._bucket import Bucket, Conflict, import_obstore, name_of
from medchain.storage._probe import PROBES, probe
from medchain.storage._upload import Upload
from medchain.storage.blobs import BlobStore, BlobWriter, missing

if TYPE_CHECKING:
    from obstore.store import ObjectStore

__all__ = ["ObjectBlobs", "connect"]

PART = 16 << 20
SMALLEST_PART = 5 << 20
MOST_PARTS = 10_000
"""What S3 allows: parts of at least 5 MiB, at most 10,000 of them."""

_FORMAT = b"medchain-objects 1\n"
_SMALL = 1 << 10
"""More bytes than any object has that is not a blob or the body of one."""
_NAME = re.compile(r"[0-9a-f]{64}")
_OBJECTS, _ERASING, _GRAVES = "objects", "erasing", "erased"
_BODIES_KNOWN = 1024
_ERASURE_ROUNDS = 3


class ObjectBlobs(BlobStore):
    """A `BlobStore` in an object store, usable by several processes at once; `ObjectBlobs.at` opens one by its address.

    Args:
        store: a store of obstore, or an object with its methods: the bucket or prefix is for this alone. Time limits
            and retries are the ones that it was made with.
        create: make an empty store where there is none. With False there must be one.
        read_only: write nothing, not even when opening; the bucket is not tried out then.
        part_size: bytes of one part of an upload, at least 5 MiB. A blob has at most 10,000 parts, and a `put` takes
            the memory of about six.

    Before it is used a bucket is tried out: a store that shows old states, or keeps old versions of what is deleted,
    is refused, since nothing in it could be erased. If it only ignores conditional writes, `conditional` is False and
    it is used all the same: then two writers that put the same long blob at the same moment may leave a second copy
    of its bytes behind, which nothing reads and which is removed when its object is erased.

    Erasure cannot reach uploads that were never completed, for they are not listed: give the bucket a lifecycle rule
    that aborts them after a day.

    Raises NotAChain if the prefix holds other things or lacks a store, NewerFormat, or StorageError.
    """

    def __init__(
        self, store: ObjectStore, *, create: bool = True, read_only: bool = False, part_size: int = PART
    ) -> None:
        if part_size < SMALLEST_PART:
            raise ValueError(f"a part has at least {SMALLEST_PART} bytes, not {part_size}")
        self._bucket = bucket = Bucket(store, name_of(store))
        self._read_only = read_only
        self._bodies: dict[tuple[bytes, bytes], str] = {}
        self.part_size = part_size
        self.conditional = False
        present = self._is_present()
        if not present and (read_only or not create):
            raise NotAChain(f"{bucket.name} holds no blob store")
        if not read_only:
            if not present and not bucket.holds_only((_OBJECTS, _ERASING, _GRAVES, PROBES)):
                raise NotAChain(
                    f"{bucket.name} holds other things, but no blob store; take a prefix of its own"
                )
            self.conditional = probe(bucket)
            if not present:
                self._claim()
            self._finish_erasures()

    def _finish_erasures(self) -> None:
        for object_id in self._ids(self._bucket.keys(_ERASING)):
            with suppress(
                StorageError
            ):  # a lock holds it: the next to open tries again, and an audit names it
                self._erase(object_id)

    @classmethod
    def at(
        cls,
        address: str,
        *,
        create: bool = True,
        read_only: bool = False,
        part_size: int = PART,
        **options: Any,
    ) -> ObjectBlobs:
        """Open the store at an address like ``s3://bucket/prefix``.

        Args:
            address: of the bucket and the prefix, without keys: they come from the environment (AWS_ACCESS_KEY_ID,
                AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL, …), from the machine's role, or from `options`.
            create, read_only, part_size: as for the class.
            options: of obstore's ``from_url``, like ``region=`` and ``endpoint=``. Unless they say otherwise, a
                connection is waited for 5 s, an answer 60 s, and a request is repeated at most 4 times in 60 s.

        Raises:
            ValueError: the address has keys in it, or an option that there is not.
            NotAChain, NewerFormat, StorageError: as for the class.
        """
        store = connect(address, options)
        return cls(store, create=create, read_only=read_only, part_size=part_size)

    def _is_present(self) -> bool:
        found = self._bucket.read("format", _SMALL)
        if found is not None and found[0] != _FORMAT:
            kind = NewerFormat if found[0].startswith(b"medchain-objects ") else NotAChain
            raise kind(
                f"{self._bucket.name} has the format {found[0][:64]!r}; this version reads {_FORMAT!r}"
            )
        return found is not None

    def _claim(self) -> None:
        if not self._put_new("format", _FORMAT):
            self._is_present()  # somebody else was faster: with the same format, or it raises

    def _check_present(self) -> None:
        if not self._is_present():
            raise StorageError(f"the blob store at {self._bucket.name} has gone")

    # Names

    @staticmethod
    def _ids(names: Iterable[str]) -> list[bytes]:
        return [bytes.fromhex(name) for name in names if _NAME.fullmatch(name)]

    def _key(self, object_id: bytes, digest: bytes) -> str:
        return f"{_OBJECTS}/{object_id.hex()}/{digest.hex()}"

    def _body(self, object_id: bytes, name: str) -> str:
        return f"{_OBJECTS}/{object_id.hex()}/{name}.body"

    def _body_of(self, object_id: bytes, digest: bytes) -> tuple[str, str | None] | None:
        """The name of a long blob's body, and the tag of the object that says so."""
        found = self._bucket.read(self._key(object_id, digest) + ".at", _SMALL)
        if found is None:
            return None
        name = found[0].decode("ascii", "replace").strip()
        if not _NAME.fullmatch(name):
            raise BlobDamaged(f"the blob {digest.hex()} lies under no name that is one")
        return name, found[1]

    def _put_new(self, key: str, data: bytes) -> bool:
        """Store a small object unless there is one; tell whether that was done. As good as the store can."""
        if not self.conditional:
            if self._bucket.read(key, _SMALL) is not None:
                return False
            self._bucket.put(key, data)
            return True
        with suppress(Conflict):
            self._bucket.create(key, data)
            return True
        return False

    # Reading

    def _find(self, object_id: bytes, digest: bytes, read: Any) -> Any:
        """What `read` gives for the key under which the bytes of a blob lie; None is taken for an absent key."""
        if self._erased(object_id):
            raise missing(object_id, digest)
        address = object_id, digest
        known = self._bodies.get(address)
        if known is not None and (found := read(self._body(object_id, known))) is not None:
            return found
        self._bodies.pop(address, None)  # another writer has replaced it
        if (found := read(self._key(object_id, digest))) is not None:
            return found
        body = self._body_of(object_id, digest)
        if body is not None and (found := read(self._body(object_id, body[0]))) is not None:
            if len(self._bodies) >= _BODIES_KNOWN:
                self._bodies.clear()
            self._bodies[address] = body[0]
            return found
        self._check_present()
        raise missing(object_id, digest)

    def _read(self, object_id: bytes, digest: bytes, offset: int, length: int) -> bytes:
        found: bytes = self._find(object_id, digest, lambda key: self._bucket.read_range(key, offset, length))
        return found

    def _fetch(self, object_id: bytes, digest: bytes, limit: int) -> bytes | None:
        limit = min(limit, self.part_size)  # longer ones have bodies, and are read by ranges
        found: tuple[bytes | None, object] = self._find(
            object_id, digest, lambda key: self._bucket.fetch(key, limit)
        )
        return found[0]

    def _size(self, object_id: bytes, digest: bytes) -> int:
        size: int = self._find(object_id, digest, self._bucket.size)
        return size

    # What there is

    def _list(self, object_id: bytes) -> Iterable[bytes]:
        names = self._bucket.keys(f"{_OBJECTS}/{object_id.hex()}")
        found = set(self._ids(name.removesuffix(".at") for name in names))
        if not found:
            self._check_present()
        return found

    def _objects(self) -> Iterable[bytes]:
        self._check_present()
        return self._ids(self._bucket.folders(_OBJECTS))

    def _erased(self, object_id: bytes) -> bool:
        return self._bucket.read(f"{_GRAVES}/{object_id.hex()}", _SMALL) is not None

    def _tombstones(self) -> Iterable[bytes]:
        self._check_present()
        return self._ids(self._bucket.keys(_GRAVES))

    def _remains(self) -> Iterable[bytes]:
        suspects = set(self._objects()) & set(self._tombstones())
        return [found for found in suspects if self._keys_of(found)]

    def _keys_of(self, object_id: bytes) -> list[str]:
        folder = f"{_OBJECTS}/{object_id.hex()}"
        return [f"{folder}/{name}" for name in self._bucket.keys(folder)]

    # Erasing

    def _erase(self, object_id: bytes) -> int:
        self._check_present()
        name = object_id.hex()
        self._bucket.put(f"{_ERASING}/{name}", b"")  # first, so that whoever opens the store next goes on
        self._put_new(f"{_GRAVES}/{name}", b"")  # the first one stays: its date is when the object was erased
        count = len(set(self._list(object_id)))
        for _ in range(_ERASURE_ROUNDS):
            keys = self._keys_of(object_id)
            if not keys:
                break
            self._bucket.delete(keys)
        else:
            if self._keys_of(object_id):
                raise StorageError(
                    f"object {name} is not erased: {self._bucket.name} does not remove what it is told to;"
                    " lift locks and retention from it, then erase the object again"
                )
        self._bucket.delete([f"{_ERASING}/{name}"])
        return count

    # Writing

    def _writer(self, object_id: bytes) -> BlobWriter:
        self._check_present()
        return _ObjectWriter(self, object_id)

    def _call_body(self, object_id: bytes, digest: bytes, name: str) -> bool:
        """Let a long blob lie under `name` from now on; False if another writer has just stored it."""
        key = self._key(object_id, digest) + ".at"
        try:
            old = self._body_of(object_id, digest)
        except BlobDamaged:
            old = None
            self._bucket.delete([key])
        data = name.encode() + b"\n"
        try:
            if not self.conditional:
                self._bucket.put(key, data)
            elif old is None:
                self._bucket.create(key, data)
            else:
                self._bucket.replace(key, data, old[1])
        except Conflict:  # or this very call was carried out twice, as retries do when an answer is lost
            now = self._body_of(object_id, digest)
            if now is None or now[0] != name:
                return False
        self._bodies.pop((object_id, digest), None)
        stale = [self._key(object_id, digest)]
        stale += [self._body(object_id, old[0])] if old is not None else []
        self._bucket.delete(stale)
        return True

    def __repr__(self) -> str:
        mode = ", read-only" if self.read_only else "" if self.conditional else ", no conditional writes"
        return f"<ObjectBlobs: {self._bucket.name}{mode}>"


class _ObjectWriter(BlobWriter):
    """Keeps what fits into one part; what is longer is on its way as soon as that is known."""

    def __init__(self, blobs: ObjectBlobs, object_id: bytes) -> None:
        self._blobs = blobs
        self._object_id = object_id
        self._part = bytearray()
        self._parts = 0
        self._name = secrets.token_hex(32)
        self._upload: Upload | None = None
        self._named = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        rest = memoryview(data).cast("B")
        while rest:
            if len(self._part) == self._blobs.part_size:
                self._send()
            room = self._blobs.part_size - len(self._part)
            self._part += rest[:room]
            rest = rest[room:]

    def _send(self) -> None:
        self._parts += 1
        if self._parts >= MOST_PARTS:
            raise StorageError(
                f"a blob in an object store has at most {MOST_PARTS} parts of {self._blobs.part_size} bytes;"
                " open the store with a larger part_size="
            )
        if self._upload is None:
            body = self._blobs._body(self._object_id, self._name)
            self._upload = Upload(self._blobs._bucket, body, self._blobs.part_size)
        self._upload.send(bytes(self._part))
        self._part.clear()

    def commit(self, digest: bytes) -> None:
        blobs, key = self._blobs, self._blobs._key(self._object_id, digest)
        if self._upload is None:
            blobs._bucket.put(key, bytes(self._part))
            made = [key]
        else:
            body = blobs._body(self._object_id, self._name)
            self._upload.finish(bytes(self._part))
            self._named = True  # from here on it may be in use, whatever the answer
            if not blobs._call_body(self._object_id, digest, self._name):
                blobs._bucket.delete([body])
            made = [f"{key}.at", body]
        # Erasure puts up its tombstone before it looks for blobs: of two at once, one sees the other.
        if blobs._erased(self._object_id):
            blobs._bucket.delete(made)
            raise StorageError(f"object {self._object_id.hex()} was erased meanwhile")

    def abort(self) -> None:
        self._part = bytearray()
        if self._upload is not None and not self._named:
            self._upload.abort()
            with suppress(StorageError):
                self._blobs._bucket.delete([self._blobs._body(self._object_id, self._name)])


def connect(address: str, options: dict[str, Any]) -> ObjectStore:
    """The store of obstore at an address, with limits on time."""
    from datetime import timedelta

    obstore = import_obstore()
    parts = urlsplit(address)
    if not parts.scheme:
        raise ValueError("an address of an object store begins with its kind, like s3://bucket/prefix")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError(
            "an address stands in logs, so it has no keys in it: they come from the environment or by options"
        )
    if parts.scheme not in ("file", "memory"):
        limits: dict[str, Any] = {
            # options of the client hide those of the environment, of which this one is needed to try things out
            "allow_http": os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true"),
            "connect_timeout": timedelta(seconds=5),
            "read_timeout": timedelta(seconds=60),
            "timeout": timedelta(minutes=5),
        }
        retries = {"max_retries": 4, "retry_timeout": timedelta(seconds=60)}
        options = options | {
            "client_options": {**limits, **options.get("client_options", {})},
            "retry_config": {**retries, **options.get("retry_config", {})},
        }
    problem: ValueError
    try:
        store: ObjectStore = obstore.store.from_url(address, **options)
        return store
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException:  # obstore panics at some options
        names = f" with the options {', '.join(sorted(options))}" if options else ""
        problem = ValueError(f"{address} is no address of an object store{names}")
    raise problem
