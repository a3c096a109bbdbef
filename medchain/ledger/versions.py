"""The state of a stored chain as of its last 1,024 blocks: nodes of the state map, and rows that were replaced since.

A row lies in the store as it is now. What it was before lies under the height of the block that changed it, so that the
changes of one block lie together and what is no longer kept is deleted as a range (docs/spec/store.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING

from medchain.errors import InvalidBlock
from medchain.ledger.entry import Header
from medchain.ledger.transition import KEPT_VERSIONS, Block
from medchain.merkle import MapProof
from medchain.merkle.packed import Load, PackedMap, least_version
from medchain.storage.api import Batch, Reader, prefix_end

if TYPE_CHECKING:
    from medchain.ledger.archive import Archive

__all__ = [
    "NODES",
    "REPLACED",
    "RebuiltVersions",
    "map_at",
    "oldest_kept",
    "put_state",
    "replaced_since",
    "row_at",
    "stored_nodes",
]

NODES, REPLACED = b"n", b"u"
"""First bytes of the keys of map nodes and of replaced rows; the height follows, in 8 bytes."""


def _at(kind: bytes, height: int) -> bytes:
    return kind + height.to_bytes(8, "big")


def oldest_kept(height: int) -> int:
    """The least height whose state can be read when the chain is at `height`, unless it was restored later."""
    return max(0, height - KEPT_VERSIONS + 1)


def stored_nodes(reader: Reader) -> Load:
    """How a map loads its nodes from a store."""

    def load(keys: Sequence[bytes]) -> list[bytes | None]:
        return reader.get_many([NODES + key for key in keys])

    return load


def put_state(batch: Batch, reader: Reader, block: Block) -> None:
    """Add a block's version of the state map, and delete what only versions before the oldest kept one need."""
    height = block.tip.header.height
    batch.put_many({NODES + key: node for key, node in block.state})
    replaced = _at(REPLACED, height)
    batch.put_many({replaced + key: row for key, row in block.replaced})
    oldest = oldest_kept(height)
    if oldest:
        batch.delete_range(REPLACED, _at(REPLACED, oldest + 1))
        root = reader.get(_at(NODES, oldest))
        if root is not None:  # a chain that was restored later has no such version
            batch.delete_range(NODES, _at(NODES, least_version(root, oldest)))


def map_at(archive: Archive, header: Header) -> PackedMap:
    """The state map as of a header.

    Raises:
        IndexError: the state of that block is not kept any more.
        InvalidBlock: what is stored is not what was hashed.
    """
    height = archive.header(archive.tip().header).height
    if header.height < oldest_kept(height) or archive.reader.get(_at(NODES, header.height)) is None:
        raise IndexError(
            f"the state of block {header.height} is not kept any more, that of {height} is the last"
        )
    return PackedMap.at(header.height, header.state_root, stored_nodes(archive.reader))


def row_at(
    archive: Archive, state: PackedMap, order_key: bytes, map_key: bytes
) -> tuple[bytes | None, MapProof]:
    """A row as of a version of the state, None if there was none, and the proof of it.

    Args:
        archive: the chain, on one moment; while blocks go on, a version may come to its end.
        state: the version.
        order_key, map_key: of the row.

    Raises:
        InvalidBlock: what is stored is not what was hashed.
    """
    proof = state.prove_hashed(map_key)
    if proof.value_hash is None:
        return None, proof
    row = archive.get(order_key)
    if row is None or sha256(row).digest() != proof.value_hash:
        row = _replaced(archive, state.version, map_key, proof.value_hash)
    return row, proof


def replaced_since(archive: Archive, height: int) -> Iterator[tuple[bytes, bytes]]:
    """Rows that blocks after `height` have changed or taken away, as they were before, with their keys in the map.

    In the order of those blocks; a row that has changed several times comes several times.
    """
    for key, row in archive.reader.scan(_at(REPLACED, height + 1), prefix_end(REPLACED)):
        yield key[9:], row


def _replaced(archive: Archive, version: int, map_key: bytes, value_hash: bytes) -> bytes:
    """A row of `version` that has changed since, from the block that replaced it.

    Found by halving between a version that has the row and a later one that has another. A row that hashes right is
    right, so it does not matter if it came back in between.
    """
    low, high = version, archive.header(archive.tip().header).height
    while high - low > 1:
        middle = (low + high) // 2
        header = archive.header(archive.header_index(middle))
        if map_at(archive, header).get_hashed(map_key) == value_hash:
            low = middle
        else:
            high = middle
    row = archive.reader.get(_at(REPLACED, high) + map_key)
    if row is None or sha256(row).digest() != value_hash:
        raise InvalidBlock("a stored row is not what the state says", height=version)
    return row


class RebuiltVersions:
    """In memory what `put_state` keeps in a store, for an audit to compare with."""

    def __init__(self) -> None:
        self._kept: dict[bytes, dict[int, dict[bytes, bytes]]] = {NODES: {}, REPLACED: {}}

    def load(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Nodes of the state map, as a `Load`."""
        versions = self._kept[NODES]
        return [versions.get(int.from_bytes(key[:8], "big"), {}).get(key) for key in keys]

    def add(self, block: Block) -> None:
        """Add a block's version, and drop what is no longer kept."""
        height = block.tip.header.height
        self._kept[NODES][height] = dict(block.state)
        self._kept[REPLACED][height] = {_at(b"", height) + key: row for key, row in block.replaced}
        oldest = oldest_kept(height)
        self._drop(REPLACED, oldest + 1 if oldest else 0)
        if oldest in self._kept[NODES]:  # a chain that was restored later has no such version
            self._drop(NODES, least_version(self._kept[NODES][oldest][_at(b"", oldest)], oldest))

    def _drop(self, kind: bytes, before: int) -> None:
        versions = self._kept[kind]
        while versions and (first := next(iter(versions))) < before:
            del versions[first]

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        """All pairs in the order of their keys in a store."""
        for kind, versions in self._kept.items():
            for pairs in versions.values():
                yield from ((kind + key, pairs[key]) for key in sorted(pairs))
