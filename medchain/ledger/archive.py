"""How a chain lies in a store: leaves, hash tiles, rows, and what finds them (docs/spec/store.md).

=============================  ====================================================================
key                            value
=============================  ====================================================================
``m`` name                     ``format``: version of this layout; ``tip``: size, nodes and last header;
                               ``checkpoint``: the last signed note
``e`` index                    leaf data
``h`` height                   index of that header's leaf
``i`` transaction id           index of its entry
``r`` contract 0 table 0 key   a row: enc[key, record]
``t`` level index              a tile: up to 256 hashes of level 8 x `level`
=============================  ====================================================================

Numbers are 8 bytes, big-endian; a tile's level is one byte. One block is one atomic batch.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from medchain.encoding import decode, encode
from medchain.errors import EncodingError, InvalidBlock, NewerFormat, NotAChain
from medchain.ledger.entry import Entry, Header, Kind, parse_leaf
from medchain.ledger.tables import ROW_LIMIT, map_key, order_key, read_key
from medchain.ledger.transition import Block
from medchain.merkle import CompactRange, Head, node_hash, prove_inclusion, root_of
from medchain.merkle.proofs import ConsistencyProof, InclusionProof, prove_consistency
from medchain.records import decode_record, encode_record
from medchain.storage.api import Batch, Reader, Store

__all__ = ["FORMAT", "TILE_HEIGHT", "TILE_WIDTH", "Archive", "StoredTip"]

FORMAT = 1
TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT
RUN = 1_024
"""Leaves that are read at once when many are."""


@frozen
class StoredTip:
    """Size and nodes of the log, and where its last header is."""

    size: int
    nodes: tuple[bytes, ...]
    header: int

    def __attrs_post_init__(self) -> None:
        CompactRange(self.size, self.nodes)  # ValueError if they do not belong together

    @property
    def log(self) -> CompactRange:
        """The log's compact range."""
        return CompactRange(self.size, self.nodes)


def _number(value: int) -> bytes:
    return value.to_bytes(8, "big")


class Archive:
    """The chain in `store`; reads by leaf, height, transaction and node, and the batch that adds a block.

    It reads what the store holds now; `at` gives the same reads on one moment.
    """

    def __init__(self, store: Store, reader: Reader | None = None) -> None:
        self.store = store
        self._reader = reader or store

    def at(self, moment: Reader) -> Archive:
        """The chain as it is in a snapshot of the store."""
        return Archive(self.store, moment)

    def check_format(self) -> None:
        """Refuse a store that holds no chain or one of a newer format: NotAChain, NewerFormat."""
        data = self._reader.get(b"mformat")
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
        return next(iter(self._reader.scan(limit=1)), None) is None

    def tip(self) -> StoredTip:
        """Where the stored chain ends.

        Raises:
            NotAChain: the store has no last block.
            InvalidBlock: what it says of it is damaged.
        """
        data = self._reader.get(b"mtip")
        if data is None:
            raise NotAChain("the store has no last block")
        try:
            return decode_record(StoredTip, data)
        except EncodingError as error:
            raise InvalidBlock(f"the place of the last block is damaged: {error}") from error

    def leaf(self, index: int) -> bytes:
        """Leaf data at a log index; IndexError if the log is shorter."""
        data = self._reader.get(b"e" + _number(index)) if index >= 0 else None
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
            run = list(self._reader.scan(b"e" + _number(first), b"e" + _number(last)))
            for index in range(first, last):
                if index - first >= len(run) or run[index - first][0] != b"e" + _number(index):
                    raise InvalidBlock("a leaf is missing from the store", index=index)
                yield run[index - first][1]

    def parsed(self, index: int) -> Entry | Header:
        """The entry or header at a log index."""
        try:
            return parse_leaf(self.leaf(index))
        except EncodingError as error:
            raise InvalidBlock(f"a stored leaf is damaged: {error}", index=index) from error

    def header_index(self, height: int) -> int:
        """The log index of the header at `height`; IndexError if there is none yet."""
        data = self._reader.get(b"h" + _number(height)) if height >= 0 else None
        if data is None:
            raise IndexError(f"the chain has no block {height}")
        return _read_number(data)

    def find(self, transaction: bytes) -> int | None:
        """The log index of a transaction by its id."""
        data = self._reader.get(b"i" + transaction)
        return None if data is None else _read_number(data)

    def get(self, key: bytes) -> bytes | None:
        """A row by its order key."""
        return self._reader.get(key)

    def scan(
        self, start: bytes, end: bytes | None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Rows in the order of their keys."""
        return self._reader.scan(start, end, reverse=reverse)

    def rows(self) -> Iterator[tuple[bytes, bytes, bytes]]:
        """Every row as (order key, key in the state map, stored bytes).

        Raises:
            InvalidBlock: one is damaged, or lies where it does not belong.
        """
        for key, data in self._reader.scan(b"r", b"s"):
            contract, _, rest = key[1:].partition(b"\0")
            table, _, tail = rest.partition(b"\0")
            try:
                pair = decode(data, limit=ROW_LIMIT)
                if type(pair) is not list or len(pair) != 2:
                    raise EncodingError("a row is [key, record]")
                row_key = read_key(pair[0])
                if order_key(row_key) != tail:
                    raise EncodingError("it lies under another key than its own")
                yield key, map_key(contract.decode(), table.decode(), row_key), data
            except (EncodingError, UnicodeDecodeError) as error:
                raise InvalidBlock(f"a stored row of {contract!r} {table!r} is damaged: {error}") from error

    def node(self, level: int, index: int) -> bytes:
        """The hash of a complete node of the log."""
        tile_level, below = divmod(level, TILE_HEIGHT)
        first = index << below
        tile = self.tile(tile_level, first // TILE_WIDTH) or b""
        start = first % TILE_WIDTH
        hashes = [tile[at : at + 32] for at in range(32 * start, 32 * (start + (1 << below)), 32)]
        if len(hashes[-1]) != 32:
            raise InvalidBlock(f"the store lacks the log's node {level}/{index}")
        while len(hashes) > 1:
            hashes = [node_hash(hashes[at], hashes[at + 1]) for at in range(0, len(hashes), 2)]
        return hashes[0]

    def prove_inclusion(self, index: int, size: int) -> InclusionProof:
        """That leaf `index` is in the log of `size` leaves."""
        return prove_inclusion(index, size, self.node)

    def prove_consistency(self, old: int, new: int) -> ConsistencyProof:
        """That the log of `new` leaves begins with that of `old`."""
        return prove_consistency(old, new, self.node)

    def head(self, size: int) -> Head:
        """The head that the log had at `size`."""
        return Head(size, root_of(size, self.node))

    def tile(self, level: int, index: int) -> bytes | None:
        """A stored tile; None if there is none."""
        return self._reader.get(_tile_key(level, index))

    def checkpoint(self) -> bytes | None:
        """The last note that was signed over this store, if one was."""
        return self._reader.get(b"mcheckpoint")

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
            batch.put(b"e" + _number(block.first + offset), leaf)
        last = block.first + len(block.leaves) - 1
        batch.put(b"h" + _number(block.tip.header.height), _number(last))
        for receipt in block.receipts:
            if block.leaves[receipt.index - block.first][0] == Kind.TRANSACTION:
                batch.put(b"i" + receipt.id, _number(receipt.index))
        for key, value in block.rows.items():
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        self._put_tiles(batch, block)
        log = block.tip.log
        batch.put(b"mtip", encode_record(StoredTip(log.size, log.nodes, last)))
        self.store.commit(batch)

    def _put_tiles(self, batch: Batch, block: Block) -> None:
        """Append the new hashes of every eighth level to their tiles, of which only the last are partial."""
        changed: dict[tuple[int, int], bytearray] = {}
        for level, index, hashed in block.nodes:
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
            batch.put(_tile_key(level, index), bytes(tile))


def _read_number(data: bytes) -> int:
    if len(data) != 8:
        raise InvalidBlock("a stored index is damaged: it is no log index")
    return int.from_bytes(data, "big")


def _tile_key(level: int, index: int) -> bytes:
    return b"t" + bytes([level]) + _number(index)
