"""Threshold shares: Shamir over GF(256) on the field and layout of SLIP-39, byte by byte.

The secret lies at x = 255, the shares of the members at x = 0 … n-1; the field is GF(2^8) modulo x^8 + x^4
+ x^3 + x + 1. SLIP-39's digest share is left out: whoever opens checks the share commitments of the dealing
instead, which also say who is to blame. Secrets of any length are shared at once, so the keys of all parts
of an object go through one call.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from medchain._native import SECRET_AT, gf256_combine, gf256_split
from medchain.encoding import encode

__all__ = ["MAX_SHARES", "SECRET_X", "combine", "share_leaf", "split"]

SECRET_X = SECRET_AT
"""Where the secret lies."""
MAX_SHARES = 254

_LEAF_LABEL = b"medchain/share/v1"


def split(secret: bytes, k: int, n: int, fixed: Sequence[bytes]) -> list[bytes]:
    """Shares 0 … n-1 of `secret`, of which any k give it back.

    Deterministic: the caller draws the first k-1 shares, which together with the secret fix all others.
    They must be uniformly random and independent of each other, or fewer than k shares tell something about
    the secret.

    Args:
        secret: one or more bytes.
        k: how many shares are needed, from 1 to n.
        n: how many there are, at most 254.
        fixed: shares 0 … k-2, each as long as the secret.

    >>> shares = split(b"secret", 2, 3, [b"random"])
    >>> combine({0: shares[0], 2: shares[2]})
    b'secret'
    """
    if not secret:
        raise ValueError("there is nothing to share")
    return gf256_split(secret, k, n, fixed)


def combine(shares: Mapping[int, bytes]) -> bytes:
    """The secret from k or more shares by their x.

    With fewer than k, or with a wrong one among them, other bytes come out and nothing tells: check what
    comes out.
    """
    if not shares:
        raise ValueError("no shares")
    if not all(0 <= x < MAX_SHARES for x in shares):
        raise ValueError(f"shares lie at x = 0 to {MAX_SHARES - 1}")
    return gf256_combine(bytes(shares), list(shares.values()))


def share_leaf(context: bytes, position: Sequence[int], part: int, salt: bytes, share: bytes) -> bytes:
    """The commitment to one share: SHA-256 over a label and enc[context, position, part, salt, share].

    Args:
        context: what the share belongs to (object, policy, clause), as the dealing names it.
        position: the path of the holder's leaf in the threshold tree.
        part: the index of the object's part.
        salt: 32 secret bytes, drawn for this leaf alone.
        share: the share itself.
    """
    return hashlib.sha256(_LEAF_LABEL + encode([context, list(position), part, salt, share])).digest()
