"""What is derived from a part key: the key of its segments, its commitment, the draws of its dealing.

All of it is HKDF-SHA256 (RFC 5869) with the object id as salt and 32 bytes of output. So each part key is
extracted once, and every use is one HMAC: over thousands of draws that is what sealing costs.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence

from medchain.encoding import encode

__all__ = ["KEY_SIZE", "SEGMENT", "PartKeys", "draw", "extract", "part_hash", "segment_keys"]

KEY_SIZE = 32
SEGMENT = 65_536
"""Plaintext bytes in a segment; the last one of a part may have fewer."""

_PART_LABEL = "medchain/part/v1"


class PartKeys(Mapping[int, bytes]):
    """The keys of some parts of an object, by index. The repr does not show them."""

    __slots__ = ("_keys", "object_id")

    def __init__(self, object_id: bytes, keys: Mapping[int, bytes]) -> None:
        self.object_id = object_id
        self._keys = dict(keys)

    def __getitem__(self, index: int) -> bytes:
        return self._keys[index]

    def __iter__(self) -> Iterator[int]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        return f"<PartKeys of {self.object_id.hex()[:12]}…: parts {sorted(self._keys)}>"


def extract(object_id: bytes, part_key: bytes) -> bytes:
    """HKDF-Extract: what all keys of a part are expanded from."""
    return hmac.digest(object_id, part_key, "sha256")


def _expand(extracted: bytes, info: bytes) -> bytes:
    """HKDF-Expand to 32 bytes, which is its first block."""
    return hmac.digest(extracted, info + b"\x01", "sha256")


def part_hash(object_id: bytes, index: int, media_type: str) -> bytes:
    """H(part header): what the ciphertext of a part is bound to."""
    return hashlib.sha256(encode([_PART_LABEL, object_id, index, media_type, SEGMENT])).digest()


def segment_keys(extracted: bytes, header_hash: bytes) -> tuple[bytes, bytes]:
    """The AES key of a part's segments, and the commitment that its part key must reproduce."""
    return _expand(extracted, b"enc" + header_hash), _expand(extracted, b"commit" + header_hash)


def draw(extracted: Sequence[bytes], info: bytes) -> bytes:
    """32 bytes for each part, end to end: the same place in the dealing of every one."""
    data = info + b"\x01"
    return b"".join([hmac.digest(key, data, "sha256") for key in extracted])
