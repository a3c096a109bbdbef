"""Trees as their specifications write them: recursive, slow, obviously right. Oracles for the fast ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256


def log_root(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 9162, section 2.1.1."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    k = _split(len(leaves))
    return sha256(b"\x01" + log_root(leaves[:k]) + log_root(leaves[k:])).digest()


def log_path(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PATH of RFC 9162, section 2.1.3.1."""
    if len(leaves) == 1:
        return []
    k = _split(len(leaves))
    if index < k:
        return [*log_path(index, leaves[:k]), log_root(leaves[k:])]
    return [*log_path(index - k, leaves[k:]), log_root(leaves[:k])]


def log_consistency(old: int, leaves: Sequence[bytes], known: bool = True) -> list[bytes]:
    """SUBPROOF of RFC 9162, section 2.1.4.1; PROOF is the one with a known old root."""
    if old == len(leaves):
        return [] if known else [log_root(leaves)]
    k = _split(len(leaves))
    if old <= k:
        return [*log_consistency(old, leaves[:k], known), log_root(leaves[k:])]
    return [*log_consistency(old - k, leaves[k:], False), log_root(leaves[:k])]


def map_root(rows: Mapping[bytes, bytes], depth: int = 0) -> bytes:
    """The root of the sparse map with these rows, given by row key and hash of the value."""
    if not rows:
        return bytes(32)
    if len(rows) == 1:
        ((key_hash, value_hash),) = rows.items()
        return sha256(b"\x00" + key_hash + value_hash).digest()
    halves: tuple[dict[bytes, bytes], dict[bytes, bytes]] = ({}, {})
    for key_hash, value_hash in rows.items():
        halves[key_hash[depth // 8] >> (7 - depth % 8) & 1][key_hash] = value_hash
    return sha256(b"\x01" + map_root(halves[0], depth + 1) + map_root(halves[1], depth + 1)).digest()


def _split(size: int) -> int:
    """The largest power of two smaller than `size`."""
    return 1 << (size - 1).bit_length() - 1
