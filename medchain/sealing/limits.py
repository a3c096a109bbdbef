"""How large the documents beside the ciphertext may become.

Readers refuse more than they have to take, so whoever writes must not write more: what nobody can read is lost, and
the holder of an unreadable share would look guilty. What decides is known before anything is sealed: every part has
a share and a salt in every position of every clause.
"""

from __future__ import annotations

from medchain.policy import BoundPolicy
from medchain.sealing.layout import layout_of
from medchain.sealing.schedule import KEY_SIZE

__all__ = [
    "BLOCK",
    "BUNDLE_LIMIT",
    "DEALING_LIMIT",
    "DOCUMENT_LIMIT",
    "HEADER_LIMIT",
    "SEAT_LIMIT",
    "check_sizes",
]

BLOCK = 2 * KEY_SIZE
"""Bytes of one share and its salt."""

HEADER_LIMIT = 32 << 20
"""Twice what 65,536 parts with the longest media types take."""
DEALING_LIMIT = 16 << 20
"""Ten times what the largest policy takes."""
DOCUMENT_LIMIT = 64 << 20
"""Most bytes of an envelope or a re-sealed share."""
BUNDLE_LIMIT = 256 << 20

SEAT_LIMIT = DOCUMENT_LIMIT - (1 << 20)
"""Most bytes of blocks in one envelope. The rest is for HPKE and, in a re-sealed share, the part numbers. Siblings need
no room of their own: they stand in place of at least as many blocks, which are longer."""
_OBJECT_LIMIT = 192 << 20
"""Most bytes of blocks in all envelopes. The rest of a bundle is for header and dealing, at most 20 MiB together, and
1.3 KiB around the blocks of each of at most 9,152 seats."""


def check_sizes(bound: BoundPolicy, parts: int) -> None:
    """Refuse (ValueError) to share the keys of so many parts, the manifest counted, under a policy.

    A seat's blocks take at most 63 MiB, those of all seats of all clauses 192 MiB.
    """
    total = 0
    for clause in bound.clauses:
        for seat in layout_of(bound, clause.name).seats:
            size = BLOCK * parts * len(seat.positions)
            if size > SEAT_LIMIT:
                raise ValueError(
                    f"the shares of {bound.name(seat.holder)} under clause {clause.name} would take "
                    f"{_mib(size)} ({parts} parts in {len(seat.positions)} positions), at most "
                    f"{_mib(SEAT_LIMIT)} can be read: seal fewer parts in one object"
                )
            total += size
    if total > _OBJECT_LIMIT:
        raise ValueError(
            f"the shares of {parts} parts would take {_mib(total)} in all clauses, at most {_mib(_OBJECT_LIMIT)} "
            "can be read: seal fewer parts in one object"
        )


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB"
