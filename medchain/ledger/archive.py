"""How a chain lies in a store: leaves, hash tiles, rows, and what finds them (docs/spec/store.md).

=============================  ====================================================================
key                            value
=============================  ====================================================================
``m`` name                     ``format``: version of this layout; ``tip``: size, nodes and last header;
                               ``checkpoint``: the last signed note; ``base``: where a restored chain begins;
                               ``restoring``: that one is being restored; ``copy``: that it follows a
                               published log, ``target``: up to which signed note, while it is catching up
``e`` index                    leaf data
``h`` height                   index of that header's leaf
``i`` transaction id           index of its entry
``r`` contract 0 table 0 key   a row: enc[key, record]
``t`` level index              a tile: up to 256 hashes of level 8 x `level`
``n`` version path             a node of the state map, of the block of that height
``u`` version row key          a row as it was before that block changed it
``p`` level index              a node of the log before the snapshot from which the chain was restored
=============================  ====================================================================

Numbers are 8 bytes, big-endian; a tile's level is one byte. One block is one atomic batch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

from medchain._native import root_of_hashes
from medchain.encoding import decode, encode
from medchain.errors import EncodingError, InvalidBlock, NewerFormat, NotAChain, StorageError
from medchain.ledger.entry import Entry, Header, Kind, parse_leaf
from medchain.ledger.layout import (
    COPY,
    FORMAT,
    TARGET,
    TILE_HEIGHT,
    TILE_WIDTH,
    UNKNOWN,
    Base,
    StoredTip,
    height_key,
    leaf_key,
    pin_key,
    read_number,
    stored_number,
    tile_key,
)
from medchain.ledger.transition import Block
from medchain.ledger.versions import put_state
from medchain.merkle import Head, leaf_hash, node_hash, prove_inclusion, root_of
from medchain.merkle.compact import Created
from medchain.merkle.proofs import ConsistencyProof, InclusionProof, prove_consistency
from medchain.records import decode_record, encode_record
from medchain.storage._paging import paged
from medchain.storage.api import Batch, Reader, Store

__all__ = ["Archive"]

Tiles: TypeAlias = Callable[[int, int], bytes | None]
"""Gives a tile by its level and index; None if there is none."""

RUN = 1_024
"""Leaves that are read at once when many are."""


class Archive:
    """The chain in `store`; reads by leaf, height, transaction and node, and the batch that adds a block.

    It reads what the store holds now; `at` gives the same reads on one moment.
    """

    def __init__(self, store: Store, reader: Reader | None = None) -> None:
        self.store = store
        self.reader: Reader = reader or store

    def at(self, moment: Reader) -> Archive:
        """The chain as it is in a snapshot of the store."""
        return Archive(self.store, moment)

    def check_format(self) -> None:
        """Refuse a store that holds no chain or one of a newer format: NotAChain, NewerFormat."""
        data = self.reader.get(b"mformat")
        if data is None:
            raise NotAChain("the store holds no medchain chain; Chain.create makes one")
        try:
            version = decode(data, limit=16)
        except EncodingError:
            version = None
        if type(version) is not int or version < 1:
            raise NotAChain("the store's format is none of medchain's")
        if version > FORMAT:
            raise NewerFormat(
                f"the chain has format {version}, this version of medchain reads up to {FORMAT}: update it"
            )

    @property
    def empty(self) -> bool:
        """Whether the store holds nothing at all."""
        return next(iter(self.reader.scan(limit=1)), None) is None

    @property
    def followed(self) -> int:
        """How many keys say that it is a copy of a published log."""
        return sum(self.reader.get(key) is not None for key in (COPY, TARGET))

    @property
    def founded(self) -> bool:
        """Whether the store holds a chain."""
        return self.reader.get(b"mformat") is not None

    def tip(self) -> StoredTip:
        """Where the stored chain ends.

        Raises:
            NotAChain: the store has no last block.
            InvalidBlock: what it says of it is damaged.
        """
        data = self.reader.get(b"mtip")
        if data is None:
            raise NotAChain("the store has no last block")
        try:
            return decode_record(StoredTip, data)
        except EncodingError as error:
            raise InvalidBlock(f"the place of the last block is damaged: {error}") from error

    def leaf(self, index: int) -> bytes:
        """Leaf data at a log index; IndexError if the log is shorter."""
        data = self.reader.get(leaf_key(index)) if 0 <= index < 1 << 63 else None
        if data is None:
            raise IndexError(f"the log has no leaf {index}")
        return data

    def leaves(self, start: int, stop: int) -> Iterator[bytes]:
        """Leaf data from `start` on and before `stop`; read in runs, so that no snapshot stays open for long.

        Raises:
            InvalidBlock: one is missing.
        """
        for first in range(start, stop, RUN):
            last = min(first + RUN, stop)
            run = list(self.reader.scan(leaf_key(first), leaf_key(last)))
            for index in range(first, last):
                if index - first >= len(run) or run[index - first][0] != b"e" + stored_number(index):
                    raise InvalidBlock("a leaf is missing from the store", index=index)
                yield run[index - first][1]

    def parsed(self, index: int) -> Entry | Header:
        """The entry or header at a log index."""
        try:
            return parse_leaf(self.leaf(index))
        except EncodingError as error:
            raise InvalidBlock(f"a stored leaf is damaged: {error}", index=index) from error

    def header(self, index: int) -> Header:
        """The header at a log index, checked against the stored hash of its leaf.

        Raises:
            InvalidBlock: there is none, or it is not the one that was hashed.
        """
        try:
            header = self.parsed(index)
        except IndexError as error:
            raise InvalidBlock("a header is missing from the store", index=index) from error
        if not isinstance(header, Header):
            raise InvalidBlock("the store has no header where one should be", index=index)
        if leaf_hash(header.leaf) != self.node(0, index):
            raise InvalidBlock("a stored header is not the one that was hashed", index=index)
        return header

    def header_index(self, height: int) -> int:
        """The log index of the header at `height`; IndexError if there is none yet."""
        data = self.reader.get(height_key(height)) if 0 <= height < 1 << 63 else None
        if data is None:
            raise IndexError(f"the chain has no block {height}")
        return read_number(data)

    def find(self, transaction: bytes) -> int | None:
        """The log index of a transaction by its id."""
        data = self.reader.get(b"i" + transaction)
        return None if data is None else read_number(data)

    def find_many(self, transactions: Sequence[bytes]) -> list[int | None]:
        """The log index of each transaction by its id."""
        found = self.reader.get_many([b"i" + each for each in transactions])
        return [None if data is None else read_number(data) for data in found]

    def get(self, key: bytes) -> bytes | None:
        """A row by its order key."""
        return self.reader.get(key)

    def scan(
        self, start: bytes, end: bytes | None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Rows in the order of their keys.

        At a moment (`at`) all are of it. Otherwise they are read by pages, each of a moment of its own, so that no
        snapshot stays open while the caller's code runs, which may write.
        """
        if self.reader is not self.store:
            return self.reader.scan(start, end, reverse=reverse)

        def page(start: bytes, end: bytes | None, count: int) -> list[tuple[bytes, bytes]]:
            return list(self.store.scan(start, end, reverse=reverse, limit=count))

        return paged(page, start, end, reverse=reverse)

    def node(self, level: int, index: int) -> bytes:
        """The hash of a complete node of the log.

        Raises:
            StorageError: it is before the snapshot from which this chain was restored.
            InvalidBlock: it is missing.
        """
        return self._node(self.tile, level, index)

    def _node(self, tile_at: Tiles, level: int, index: int) -> bytes:
        tile_level, below = divmod(level, TILE_HEIGHT)
        first = index << below
        start = first % TILE_WIDTH
        hashes = (tile_at(tile_level, first // TILE_WIDTH) or b"")[32 * start : 32 * (start + (1 << below))]
        if len(hashes) != 32 << below or _some_unknown(hashes):
            return self._pinned(tile_at, level, index)
        return hashes if below == 0 else root_of_hashes(hashes)

    def _nodes(self) -> Callable[[int, int], bytes]:
        """`node` for several nodes of one moment: each tile is read once."""
        return functools.partial(self._node, functools.cache(self.tile))

    def _pinned(self, tile_at: Tiles, level: int, index: int) -> bytes:
        """A node that no tile has: of the border of a snapshot, or over one such and what came later."""
        base = self.base
        if base is None or index << level >= base.size:
            raise InvalidBlock(f"the store lacks the log's node {level}/{index}")
        pinned = self.reader.get(pin_key(level, index))
        if pinned is not None:
            return pinned
        if (index + 1) << level <= base.size:
            raise StorageError(
                f"this chain was restored from a snapshot at size {base.size}; what was logged before is not here"
            )
        left, right = (self._node(tile_at, level - 1, child) for child in (2 * index, 2 * index + 1))
        return node_hash(left, right)

    @property
    def base(self) -> Base | None:
        """Where a restored chain begins; None for a chain that is here from its genesis."""
        data = self.reader.get(b"mbase")
        try:
            return None if data is None else decode_record(Base, data)
        except EncodingError as error:
            raise InvalidBlock(f"the place where the restored chain begins is damaged: {error}") from error

    def prove_inclusion(self, index: int, size: int) -> InclusionProof:
        """That leaf `index` is in the log of `size` leaves."""
        return prove_inclusion(index, size, self._nodes())

    def prove_consistency(self, old: int, new: int) -> ConsistencyProof:
        """That the log of `new` leaves begins with that of `old`."""
        return prove_consistency(old, new, self._nodes())

    def head(self, size: int) -> Head:
        """The head that the log had at `size`."""
        return Head(size, root_of(size, self._nodes()))

    def tile(self, level: int, index: int) -> bytes | None:
        """A stored tile; None if there is none."""
        return self.reader.get(tile_key(level, index))

    def checkpoint(self) -> bytes | None:
        """The last note that was signed over this store, if one was."""
        return self.reader.get(b"mcheckpoint")

    def keep_checkpoint(self, note: bytes) -> None:
        """Remember a signed note, for readers that have no key."""
        batch = Batch()
        batch.put(b"mcheckpoint", note)
        self.store.commit(batch)

    def commit(self, block: Block) -> None:
        """Store a block: all of it, durably, or nothing."""
        batch = Batch()
        if block.first == 0:
            batch.put(b"mformat", encode(FORMAT))
        for offset, leaf in enumerate(block.leaves):
            batch.put(leaf_key(block.first + offset), leaf)
        last = block.first + len(block.leaves) - 1
        batch.put(height_key(block.tip.header.height), stored_number(last))
        for receipt in block.receipts:
            if block.leaves[receipt.index - block.first][0] == Kind.TRANSACTION:
                batch.put(b"i" + receipt.id, stored_number(receipt.index))
        for key, value in block.rows.items():
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        self.put_tiles(batch, block.nodes)
        put_state(batch, self.reader, block)
        log = block.tip.log
        batch.put(b"mtip", encode_record(StoredTip(log.size, log.nodes, last)))
        self.store.commit(batch)

    def put_tiles(self, batch: Batch, nodes: Iterable[Created]) -> None:
        """Append the new hashes of every eighth level to their tiles, of which only the last are partial.

        Raises:
            InvalidBlock: a stored tile has another length than the log.
        """
        changed: dict[tuple[int, int], bytearray] = {}
        for level, index, hashed in nodes:
            if level % TILE_HEIGHT:
                continue
            place = (level // TILE_HEIGHT, index // TILE_WIDTH)
            tile = changed.get(place)
            if tile is None:
                tile = changed[place] = bytearray(self.tile(*place) or b"" if index % TILE_WIDTH else b"")
                if len(tile) != 32 * (index % TILE_WIDTH):
                    raise InvalidBlock(
                        f"the stored hash tile {place[0]}/{place[1]} has another length than the log"
                    )
            tile += hashed
        for (level, index), tile in changed.items():
            batch.put(tile_key(level, index), bytes(tile))


def _some_unknown(hashes: bytes) -> bool:
    return UNKNOWN in hashes and UNKNOWN in (hashes[at : at + 32] for at in range(0, len(hashes), 32))
