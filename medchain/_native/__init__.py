"""Typed front of the C extension: buffers in, bytes out, lengths checked before C sees them.

Nothing here knows what the bytes mean. Hashing gives up the interpreter lock while C works, so hash in batches; for a
handful of nodes `hashlib` is as fast. The scan for canonical form keeps the lock.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate, islice
from typing import TypeAlias

from medchain._native._ext import ffi, lib
from medchain._native._scan import lib as scan

__all__ = [
    "Buffer",
    "canonical",
    "force_kernel",
    "gf256_combine",
    "gf256_interpolate",
    "gf256_split",
    "kernel",
    "kernels",
    "leaf_hashes",
    "node_hashes",
    "piece_hashes",
    "root_of_hashes",
    "sha256",
    "sha256_many",
    "tree_root",
    "tree_root_of",
]

Buffer: TypeAlias = bytes | bytearray | memoryview
"""A contiguous buffer; ``collections.abc.Buffer`` is younger than the oldest supported Python."""

SECRET_AT = 255
"""The abscissa of the secret in SLIP-39; the shares of n holders lie at 0 … n-1."""

_CHUNK = 4096
"""Leaves joined and hashed at a time: so many make a call cheap, and few enough stay in the processor's cache."""

_LEAF = 0x00
_NO_PREFIX = -1

_REASONS = {
    scan.MC_TRUNCATED: "the data ends inside a value",
    scan.MC_TRAILING: "bytes after the value",
    scan.MC_NOT_SHORTEST: "a number or length is not in its shortest form",
    scan.MC_INDEFINITE: "a length is indefinite or reserved",
    scan.MC_INTEGER_RANGE: "an integer outside -2^63 .. 2^63-1",
    scan.MC_BAD_UTF8: "text is not UTF-8",
    scan.MC_TAG: "tags are not allowed",
    scan.MC_FLOAT: "floats are not allowed",
    scan.MC_SIMPLE: "a simple value other than false, true and null",
    scan.MC_KEY_NOT_TEXT: "a map key is not text",
    scan.MC_KEY_ORDER: "map keys are out of order",
    scan.MC_KEY_TWICE: "a map key stands twice",
    scan.MC_TOO_DEEP: "more than 64 lists and maps inside one another",
    scan.MC_TOO_MANY: "more values than are accepted",
}


def canonical(data: bytes, most: int) -> tuple[int, str] | None:
    """Whether `data` is one value in the DAG-CBOR profile: None, or offset and reason of the first fault.

    At most `most` values may stand in it, itself and the keys of its maps counted.
    """
    fault = scan.mc_canonical(data, len(data), most)
    return None if fault == 0 else (fault >> 8, _REASONS[fault & 0xFF])


def kernels() -> tuple[str, ...]:
    """The SHA-256 kernels that this processor can run, the fastest first."""
    return tuple(name for rank, name in enumerate(_NAMES) if lib.mc_kernel_usable(rank))


def kernel() -> str:
    """The SHA-256 kernel in use."""
    return _NAMES[lib.mc_kernel()]


def force_kernel(name: str | None) -> None:
    """Use the kernel `name` in the whole process, or with None the fastest again. For tests and benches.

    The environment variable ``MEDCHAIN_KERNEL`` does the same at start. ValueError if this processor lacks it.
    """
    if name is None:
        lib.mc_free_kernel()
    elif name not in _NAMES or lib.mc_force_kernel(_NAMES.index(name)) != 0:
        raise ValueError(f"no SHA-256 kernel {name!r} here; there are {', '.join(kernels())}")


def sha256(data: Buffer) -> bytes:
    """SHA-256 (FIPS 180-4) of `data`."""
    digest = bytearray(32)
    lib.mc_sha256(_view(data), _size(data), _into(digest))
    return bytes(digest)


def sha256_many(messages: Sequence[bytes]) -> bytes:
    """The SHA-256 of each message, end to end."""
    return _hash_many(_NO_PREFIX, messages)


def leaf_hashes(leaves: Sequence[bytes]) -> bytes:
    """H(0x00 ‖ leaf) of each leaf, end to end (RFC 9162, section 2.1.1)."""
    return _hash_many(_LEAF, leaves)


def piece_hashes(data: Buffer, size: int) -> bytes:
    """The leaf hashes of a buffer cut into pieces of `size` bytes, of which the last may be shorter.

    Nothing is copied: this is for ciphertext in segments and columns of rows.
    """
    _check_piece(size)
    total = _size(data)
    whole, rest = divmod(total, size)
    offsets = array("Q", range(0, total, size))
    offsets.append(total)
    count = whole + (rest > 0)
    out = bytearray(32 * count)
    lib.mc_hash_many(_LEAF, _view(data), 0, _offsets(offsets), count, _into(out))
    return bytes(out)


def node_hashes(children: Buffer) -> bytes:
    """H(0x01 ‖ left ‖ right) of each pair of 32-byte hashes in `children`, end to end (RFC 9162, section 2.1.1)."""
    pairs, rest = divmod(_size(children), 64)
    if rest:
        raise ValueError("children are pairs of 32-byte hashes")
    out = bytearray(32 * pairs)
    lib.mc_node_hashes(_view(children), pairs, _into(out))
    return bytes(out)


def tree_root(leaves: Iterable[bytes]) -> bytes:
    """The root of the RFC 9162 tree over `leaves`, in memory that does not grow with their number."""
    root = _Root()
    iterator = iter(leaves)
    while chunk := list(islice(iterator, _CHUNK)):
        root.append(_hash_many_into(_LEAF, chunk))
    return root.finish()


def root_of_hashes(hashes: bytes) -> bytes:
    """The root of the RFC 9162 tree whose leaves have these hashes, end to end, at least one."""
    if not hashes or len(hashes) % 32:
        raise ValueError("hashes of 32 bytes, one or more")
    work, root = bytearray(hashes), bytearray(32)
    lib.mc_root_of_hashes(_into(work), len(work) // 32, _into(root))
    return bytes(root)


def tree_root_of(data: Buffer, size: int) -> bytes:
    """The root of the RFC 9162 tree over a buffer cut into leaves of `size` bytes, the last may be shorter."""
    _check_piece(size)
    root = _Root()
    view = memoryview(data).cast("B")
    for start in range(0, len(view), _CHUNK * size):
        root.append(bytearray(piece_hashes(view[start : start + _CHUNK * size], size)))
    return root.finish()


def gf256_split(secret: bytes, k: int, n: int, fixed: Sequence[bytes]) -> list[bytes]:
    """Share `secret` among `n` so that any `k` recover it and fewer learn nothing, on SLIP-39's field and layout.

    Args:
        secret: what is shared, at abscissa 255.
        k: how many shares recover it.
        n: how many shares there are, 254 at most, at abscissae 0 … n-1.
        fixed: the first k-1 shares, each as long as the secret and uniformly random; the others follow from them.
    """
    if not 1 <= k <= n <= SECRET_AT - 1:
        raise ValueError(f"{k} of {n} is no threshold: 1 ≤ k ≤ n ≤ 254")
    if len(fixed) != k - 1 or any(len(share) != len(secret) for share in fixed):
        raise ValueError(f"{k} of {n} takes {k - 1} fixed shares, as long as the secret")
    xs = bytes([*range(k - 1), SECRET_AT])
    rows = gf256_interpolate(xs, b"".join([*fixed, secret]), bytes(range(k - 1, n)))
    size = len(secret)
    return [*fixed, *(rows[i * size : (i + 1) * size] for i in range(n - k + 1))]


def gf256_combine(indices: bytes, shares: Sequence[bytes]) -> bytes:
    """The secret that the shares at `indices` (0 … 253, distinct) recover; exactly as many as the threshold asks."""
    if len(indices) != len(shares):
        raise ValueError(f"{len(shares)} shares at {len(indices)} indices")
    if len({len(share) for share in shares}) != 1:
        raise ValueError("shares have one length")
    return gf256_interpolate(indices, b"".join(shares), bytes([SECRET_AT]))


def gf256_interpolate(xs: bytes, ys: Buffer, at: bytes) -> bytes:
    """Values at abscissae `at` of the polynomials over GF(256) that run through the points given.

    Args:
        xs: distinct abscissae, one byte each; as many as the polynomials have coefficients.
        ys: one row of equal length for each abscissa, end to end.
        at: where to evaluate.

    Returns:
        One row for each byte of `at`, end to end. Time does not depend on the bytes of `ys`.
    """
    if not xs or len(set(xs)) != len(xs):
        raise ValueError("interpolation needs one or more distinct abscissae")
    size, rest = divmod(_size(ys), len(xs))
    if rest:
        raise ValueError(f"{_size(ys)} bytes are not {len(xs)} rows of equal length")
    out = bytearray(size * len(at))
    lib.mc_gf256_interpolate(xs, len(xs), _view(ys), size, at, len(at), _into(out))
    return bytes(out)


class _Root:
    """A tree of which only the complete nodes on the border are kept."""

    def __init__(self) -> None:
        self._nodes = bytearray(64 * 32)
        self._size = 0

    def append(self, hashes: bytearray) -> None:
        """Append leaf hashes; `hashes` is used up."""
        count = len(hashes) // 32
        lib.mc_tree_append(_into(self._nodes), self._size, _into(hashes), count)
        self._size += count

    def finish(self) -> bytes:
        root = bytearray(32)
        lib.mc_tree_root(_into(self._nodes), self._size, _into(root))
        return bytes(root)


def _hash_many(prefix: int, messages: Sequence[bytes]) -> bytes:
    return bytes(_hash_many_into(prefix, messages))


def _hash_many_into(prefix: int, messages: Sequence[bytes]) -> bytearray:
    count = len(messages)
    out = bytearray(32 * count)
    if count == 0:
        return out
    data = b"".join(messages)
    lengths = list(map(len, messages))
    if lengths.count(lengths[0]) == count:
        lib.mc_hash_many(prefix, data, lengths[0], ffi.NULL, count, _into(out))
    else:
        offsets = array("Q", accumulate(lengths, initial=0))
        lib.mc_hash_many(prefix, data, 0, _offsets(offsets), count, _into(out))
    return out


def _check_piece(size: int) -> None:
    if size < 1:
        raise ValueError(f"pieces have one byte or more, not {size}")


def _offsets(offsets: array[int]) -> object:
    return ffi.from_buffer("uint64_t[]", offsets)


def _into(buffer: bytearray) -> object:
    return ffi.from_buffer("uint8_t[]", buffer, require_writable=True)


def _size(data: Buffer) -> int:
    return len(data) if isinstance(data, bytes | bytearray) else data.nbytes


def _view(data: Buffer) -> object:
    """`data` in the form that costs least to hand over: bytes as they are, anything else as a view."""
    return data if type(data) is bytes else ffi.from_buffer("uint8_t[]", data)


def _kernel_names() -> tuple[str, ...]:
    names: list[str] = []
    while (name := lib.mc_kernel_name(len(names))) != ffi.NULL:
        names.append(ffi.string(name).decode())
    return tuple(names)


_NAMES = _kernel_names()

if "MEDCHAIN_KERNEL" in os.environ:
    force_kernel(os.environ["MEDCHAIN_KERNEL"])
