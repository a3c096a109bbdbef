"""Trying out a bucket before anything is entrusted to it: some object stores only look like the others.

A store that answers every request with success and does something else cannot be told from a good one by its
errors. So what blobs depend on is done once with a small object and looked at from the other side.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress

from medchain.errors import StorageError
from medchain.storage._bucket import Bucket, Conflict, Unsupported

__all__ = ["PROBES", "probe"]

PROBES = "probe"
_CONTENT = b"medchain looks whether this store does what it says\n"
_OTHER = b"if this is read, a condition was ignored\n"
_LIMIT = 1 << 10


def probe(bucket: Bucket) -> bool:
    """Whether conditional writes hold in a bucket, of which everything else is demanded.

    Raises:
        StorageError: it does not show what was just written or removed, cannot read ranges, keeps what is deleted,
            or its keys do not allow one of these.
    """
    key = f"{PROBES}/{secrets.token_hex(16)}"
    conditional = True
    try:
        try:
            version = bucket.create(key, _CONTENT)
        except (Conflict, Unsupported):  # no condition on a new random name can fail
            conditional = False
            version = bucket.put(key, _CONTENT)
        conditional = conditional and _refuses(lambda: bucket.create(key, _OTHER))
        conditional = conditional and _refuses(lambda: bucket.replace(key, _OTHER, '"of no version"'))
        if not conditional:
            version = bucket.put(key, _CONTENT)
        _check_reading(bucket, key)
        bucket.delete([key])
        _check_gone(bucket, key, version)
    finally:
        with suppress(StorageError):
            bucket.delete([key])
    return conditional


def _refuses(write: Callable[[], object]) -> bool:
    """Whether a write whose condition does not hold is refused for that."""
    try:
        write()
    except Conflict:
        return True
    except Unsupported:
        return False
    return False


def _check_reading(bucket: Bucket, key: str) -> None:
    found = bucket.read(key, _LIMIT)
    if found is None or found[0] != _CONTENT or bucket.size(key) != len(_CONTENT):
        raise _unfit(bucket, "what was written is not what is read right after it")
    if bucket.read_range(key, 9, 5) != _CONTENT[9:14]:
        raise _unfit(bucket, "a range is not read as it was asked for")
    if key.removeprefix(f"{PROBES}/") not in bucket.keys(PROBES):
        raise _unfit(bucket, "what was written is not listed right after it")


def _check_gone(bucket: Bucket, key: str, version: str | None) -> None:
    if bucket.read(key, _LIMIT) is not None or key.removeprefix(f"{PROBES}/") in bucket.keys(PROBES):
        raise _unfit(bucket, "what was deleted is still there right after it")
    if version is not None and _kept(bucket, key, version):
        raise StorageError(
            f"{bucket.name} keeps old versions of what is deleted, so nothing in it could ever be erased. Take a bucket"
            " without versioning for sealed data; against loss, keep it in several stores (ReplicatedBlobs)"
        )


def _kept(bucket: Bucket, key: str, version: str) -> bool:
    """Whether a deleted version can still be read. Where that may not be asked, it is taken to be kept."""
    try:
        return bucket.read(key, _LIMIT, version=version) is not None
    except StorageError:
        return True


def _unfit(bucket: Bucket, why: str) -> StorageError:
    return StorageError(
        f"{bucket.name} cannot hold sealed data: {why}. Erasure relies on it; take a store that is strongly consistent"
    )
