"""The few calls of an object store that blobs are made of, with errors that say what to do.

obstore's errors carry the whole request and whatever the server said, and in that key ids, signatures and
tokens have been seen. So none of their text goes on: an error of ours has the status and the code that the
server gave, and is raised where no error of obstore's is attached to it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from medchain.errors import Locked, StorageError, StorageFull

if TYPE_CHECKING:
    from obstore.store import ObjectStore

__all__ = ["PARALLEL", "Bucket", "import_obstore", "name_of"]

T = TypeVar("T")

PARALLEL = 2
"""Parts of an upload that travel at once: with the part that is being filled they bound the memory."""

_PAGE = 1000
_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>([A-Za-z0-9]{1,64})</Code>")

_FULL = {"QuotaExceeded", "XMinioStorageFull", "StorageFull", "InsufficientStorage", "507"}
_DENIED = {"401", "403"}
_GONE = {"NoSuchBucket", "ContainerNotFound"}
_ELSEWHERE = {"301", "307", "400"}
_SIGNS = (
    (
        ("redential", "/latest/api/token"),  # the second is where a machine asks for the keys of its role
        "there are no keys for it; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role",
    ),
    (("kind: Timeout", "TimedOut"), "it does not answer in time; check the network, then try again"),
    (("BadScheme",), 'its endpoint is not https; client_options={"allow_http": True} allows that'),
    (
        ("kind: Connect", "error sending request"),
        "it cannot be reached; check network, endpoint and certificate",
    ),
)


class Absent(StorageError):
    """There is no object under the key."""


class Conflict(StorageError):
    """The condition of a write does not hold."""


class Unsupported(StorageError):
    """The store does not know how to do it."""


def import_obstore() -> Any:
    """The package obstore; StorageError if it is not installed."""
    try:
        import obstore
        import obstore.exceptions
        import obstore.store
    except ImportError:
        raise StorageError("object stores need the package obstore: pip install 'medchain[s3]'") from None
    return obstore


def name_of(store: Any) -> str:
    """What a store is called in messages: kind or bucket, and prefix; nothing of its configuration besides."""
    prefix = getattr(store, "prefix", None)
    if type(store).__name__ == "S3Store":
        return f"s3://{store.config['bucket']}" + (f"/{prefix}" if prefix else "")
    return type(store).__name__ + (f" {prefix}" if prefix else "")


class Bucket:
    """A store of obstore's, or one with the same methods. Every method raises StorageError where that fails."""

    def __init__(self, store: ObjectStore, name: str) -> None:
        self._exceptions = import_obstore().exceptions
        self._store: Any = store
        self._process = os.getpid()
        self.name = name

    # Reading

    def read(self, key: str, limit: int, version: str | None = None) -> tuple[bytes, str | None] | None:
        """A small object and its tag, or None."""
        found = self.fetch(key, limit, version)
        if found is None:
            return None
        data, tag = found
        if data is None:
            raise StorageError(f"{key} in {self.name} has more than {limit} bytes: it is not medchain's")
        return data, tag

    def fetch(
        self, key: str, limit: int, version: str | None = None
    ) -> tuple[bytes | None, str | None] | None:
        """An object (None in place of one that is longer than `limit`) and its tag, or None where there is none."""

        def get() -> tuple[bytes | None, str | None]:
            result = self._store.get(key, options={"version": version} if version else None)
            return None if result.meta["size"] > limit else bytes(result.bytes()), result.meta["e_tag"]

        return self._if_there("read", get)

    def size(self, key: str) -> int | None:
        """The length of an object, or None."""
        return self._if_there("read", lambda: int(self._store.head(key)["size"]))

    def read_range(self, key: str, offset: int, length: int) -> bytes | None:
        """Bytes of an object, fewer where it ends, or None."""

        def fetch() -> bytes:
            return bytes(self._store.get_range(key, start=offset, length=length))

        if length:
            try:
                return self._if_there("read", fetch)
            except StorageError as error:
                refused = error
        else:
            refused = None
        size = self.size(key)  # stores refuse an empty range, and one that starts at the end
        if refused is not None and (size is None or offset < size):
            raise refused
        return None if size is None else b""

    def keys(self, prefix: str | None) -> Iterator[str]:
        """The keys below a prefix, without it; all keys for None."""
        pages = iter(self._call("list", lambda: self._store.list(prefix, chunk_size=_PAGE)))
        while (page := self._call("list", lambda: next(pages, None))) is not None:
            for found in page:
                yield found["path"].removeprefix(f"{prefix}/" if prefix else "")

    def folders(self, prefix: str) -> list[str]:
        """What stands between a prefix and the next slash of the keys below it."""
        found = self._call("list", lambda: self._store.list_with_delimiter(prefix))
        return [path.rstrip("/").rpartition("/")[2] for path in found["common_prefixes"]]

    def holds_only(self, first: Iterable[str]) -> bool:
        """Whether every key begins with one of these steps."""
        own = set(first)
        return all(key.partition("/")[0] in own for key in self.keys(None))

    # Writing

    def put(self, key: str, data: bytes, attributes: Mapping[str, str] | None = None) -> str | None:
        """Store a small object in place of what is there; gives the version, where the store keeps versions.

        `attributes` are headers with which it is served, like its content type.
        """
        return self._put(key, data, "overwrite", attributes)

    def create(self, key: str, data: bytes, attributes: Mapping[str, str] | None = None) -> str | None:
        """Store a small object where there is none.

        Raises:
            Conflict: there is one; perhaps this very call made it, and its answer was lost on the way.
            Unsupported: the store has no such write.
        """
        return self._put(key, data, "create", attributes)

    def replace(
        self, key: str, data: bytes, tag: str | None, attributes: Mapping[str, str] | None = None
    ) -> str | None:
        """Store a small object in place of the one with that tag; raises as `create`."""
        return self._put(key, data, {"e_tag": tag}, attributes)

    def _put(
        self, key: str, data: bytes, mode: Any, attributes: Mapping[str, str] | None = None
    ) -> str | None:
        more = {"attributes": dict(attributes)} if attributes else {}
        result = self._call(
            "write", lambda: self._store.put(key, data, mode=mode, use_multipart=False, **more)
        )
        version = result["version"]
        return None if version == "null" else version  # what S3 says where versioning is off or suspended

    def upload(self, key: str, pieces: Iterator[bytes], part_size: int) -> None:
        """Store a large object in parts; nothing of it stays if `pieces` raises, which it may by StorageError."""
        self._call(
            "write",
            lambda: self._store.put(
                key, pieces, use_multipart=True, chunk_size=part_size, max_concurrency=PARALLEL
            ),
        )

    def delete(self, keys: list[str]) -> None:
        """Remove objects; those that are not there do not count."""
        for at in range(0, len(keys), _PAGE):
            batch = keys[at : at + _PAGE]
            if not self._delete(batch):  # stores that delete one by one stop at the first that is not there
                for key in batch:
                    self._delete([key])

    def _delete(self, keys: list[str]) -> bool:
        def delete() -> bool:
            self._store.delete(keys)
            return True

        return bool(self._if_there("delete", delete))

    # Errors

    def _if_there(self, what: str, function: Callable[[], T]) -> T | None:
        try:
            return self._call(what, function)
        except Absent:
            return None

    def _call(self, what: str, function: Callable[[], T]) -> T:
        if os.getpid() != self._process:
            raise Locked(f"{self.name} came through a fork; open it again in the child")
        problem: StorageError
        try:
            return function()
        except (StorageError, MemoryError):
            raise
        except Exception as error:
            problem = self._judge(what, error)
        raise problem  # here, where it has no other error for its context

    def _judge(self, what: str, error: Exception) -> StorageError:
        text = str(error)
        said = {match[1] for match in (_STATUS.search(text), _CODE.search(text)) if match}
        kind, advice = self._advice(error, text, said)
        shown = " ".join(sorted(said)) or type(error).__name__
        return kind(f"cannot {what} in {self.name}: {advice} [{shown}]")

    def _advice(self, error: Exception, text: str, said: set[str]) -> tuple[type[StorageError], str]:
        """What kind of failure it is, and what to do about it."""
        known = self._exceptions
        if _FULL & said:
            return StorageFull, "it is full, or its quota is used up"
        if _GONE & said:
            return StorageError, "there is no such bucket; make it first, or correct its name"
        if isinstance(error, FileNotFoundError):
            return Absent, "there is no such object"
        if isinstance(error, (known.AlreadyExistsError, known.PreconditionError)):
            return Conflict, "somebody else writes there; try again"
        if isinstance(error, (known.NotSupportedError, NotImplementedError)) or "501" in said:
            return Unsupported, "it does not know how to; take another store"
        if isinstance(error, (known.PermissionDeniedError, known.UnauthenticatedError)) or _DENIED & said:
            return (
                StorageError,
                "it refuses; are the keys right, not expired, and may they read, write, list, delete?",
            )
        if _ELSEWHERE & said or "BareRedirect" in text:
            return StorageError, "it does not take the request; check region, endpoint and bucket name"
        if any(status.startswith("5") for status in said):
            return StorageError, "it is in trouble; try again later"
        for signs, advice in _SIGNS:
            if any(sign in text for sign in signs):
                return StorageError, advice
        return StorageError, "it does not do what was asked"
