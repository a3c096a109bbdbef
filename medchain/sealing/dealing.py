"""Dealing part keys to the seats of a clause, and putting them together again.

Dealing is deterministic: shares 0 … t-2 of every threshold and all salts are drawn from the part key and the
place in the policy, and nothing else is random. So whoever has a part key can deal again and compare.

The shares of a seat are one run of bytes, part after part and in it position after position, share ‖ salt each:
*blocks*. The commitments to them are the leaves of one Merkle tree for each seat, in the same order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from medchain.encoding import Value, encode
from medchain.keys import shares
from medchain.policy import Holder, Threshold, Tree
from medchain.sealing.documents import Header
from medchain.sealing.layout import Layout, Path, Seat
from medchain.sealing.limits import BLOCK
from medchain.sealing.multiproof import tree_root
from medchain.sealing.schedule import KEY_SIZE, draw, extract

__all__ = ["combine", "commitment_root", "deal_shares", "leaves", "pick", "places"]

_SHARE_LABEL = "medchain/share-draw/v1"
_SALT_LABEL = "medchain/share-salt/v1"
_LEAF_LABEL = b"medchain/share/v1"
_BYTES_32 = b"\x58\x20"
"""How canonical CBOR begins a byte string of 32 bytes."""


def deal_shares(
    header: Header, policy_hash: bytes, layout: Layout, keys: Mapping[int, bytes]
) -> dict[Seat, bytes]:
    """The blocks of every seat for the parts whose keys are given, in the order of `keys`."""
    extracted = [extract(header.object, key) for key in keys.values()]
    clause = layout.clause.name

    def drawn(label: str, path: Path, index: int) -> bytes:
        info = encode([label, header.object, policy_hash, clause, list(path), index])
        return draw(extracted, info)

    def walk(tree: Tree[bytes], path: Path, secrets: bytes) -> Iterator[tuple[Path, bytes]]:
        if isinstance(tree, Holder):
            yield path, _interleave([secrets, drawn(_SALT_LABEL, path, 0)])
            return
        assert isinstance(tree, Threshold)
        for index, dealt in enumerate(split(path, secrets, tree.k, len(tree.members))):
            yield from walk(tree.members[index], (*path, index), dealt)

    def split(path: Path, secrets: bytes, k: int, n: int) -> list[bytes]:
        return shares.split(secrets, k, n, [drawn(_SHARE_LABEL, path, index) for index in range(k - 1)])

    count = len(layout.trees)
    roots = split((), b"".join(keys.values()), count, count)
    blocks = {
        path: data
        for side, tree in enumerate(layout.trees)
        for path, data in walk(tree, (side,), roots[side])
    }
    return {seat: _interleave([blocks[path] for path in seat.positions], BLOCK) for seat in layout.seats}


def combine(layout: Layout, given: Iterable[tuple[Seat, bytes]]) -> bytes | None:
    """The part keys, end to end, out of blocks of some seats for the same parts; None if they are no quorum.

    Shares beyond a threshold are left out. Nothing tells here whether the shares were right.
    """
    held: dict[Path, bytes] = {}
    for seat, blocks in given:
        step = BLOCK * len(seat.positions)
        for number, path in enumerate(seat.positions):
            at = range(number * BLOCK, len(blocks), step)
            held[path] = b"".join([blocks[start : start + KEY_SIZE] for start in at])

    def gather(tree: Tree[bytes], path: Path) -> bytes | None:
        if isinstance(tree, Holder):
            return held.get(path)
        assert isinstance(tree, Threshold)
        found: dict[int, bytes] = {}
        for index, member in enumerate(tree.members):
            secret = gather(member, (*path, index))
            if secret is not None:
                found[index] = secret
            if len(found) == tree.k:
                return shares.combine(found)
        return None

    sides: dict[int, bytes] = {}
    for side, tree in enumerate(layout.trees):
        secret = gather(tree, (side,))
        if secret is None:
            return None
        sides[side] = secret
    return shares.combine(sides)


def leaves(
    header: Header, policy_hash: bytes, clause: str, seat: Seat, parts: Iterable[int], blocks: bytes
) -> list[bytes]:
    """The commitments to the blocks of one seat for these parts: `keys.shares.share_leaf` of each, quickly.

    Only part number, salt and share change from leaf to leaf, so the rest is encoded once.
    """
    context = encode([header.object, policy_hash, clause])
    heads = [_LEAF_LABEL + b"\x85" + encode(context) + encode(list(path)) for path in seat.positions]
    result, at = [], 0
    for part in parts:
        number: Value = part
        middle = encode(number) + _BYTES_32
        for head in heads:
            share, salt = blocks[at : at + KEY_SIZE], blocks[at + KEY_SIZE : at + BLOCK]
            result.append(hashlib.sha256(head + middle + salt + _BYTES_32 + share).digest())
            at += BLOCK
    return result


def commitment_root(header: Header, policy_hash: bytes, clause: str, seat: Seat, blocks: bytes) -> bytes:
    """The root over the commitments to the blocks of one seat for all parts: what the dealing says of it."""
    return tree_root(leaves(header, policy_hash, clause, seat, range(len(header.parts)), blocks))


def pick(seat: Seat, have: Sequence[int], wanted: Iterable[int], blocks: bytes) -> bytes:
    """Those of a seat's blocks, which are for the parts `have`, that are for the parts `wanted`."""
    at = places(seat, have)
    return b"".join([blocks[at[part]] for part in wanted])


def places(seat: Seat, parts: Iterable[int]) -> dict[int, slice]:
    """Where each part stands in a seat's blocks, which are for `parts`."""
    step = BLOCK * len(seat.positions)
    return {part: slice(number * step, (number + 1) * step) for number, part in enumerate(parts)}


def _interleave(columns: Sequence[bytes], width: int = KEY_SIZE) -> bytes:
    """Item 0 of each column, item 1 of each, and so on; items have `width` bytes."""
    if len(columns) == 1:
        return columns[0]
    count = len(columns[0])
    return b"".join([column[at : at + width] for at in range(0, count, width) for column in columns])
