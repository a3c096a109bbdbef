"""A table as it was at an earlier block: its rows in order, out of those of now and those that were replaced since.

A version of the state is a tree over hashes, and knows no order. But a row that a table had at a kept block either is
still there, perhaps with another value, or was taken away later, and is kept under the height of that block. So keys
come from the rows of now and from the replaced ones, and the tree of the version says which of them were there, and
with which value.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from heapq import merge
from typing import Any

from medchain.errors import EncodingError, InvalidBlock
from medchain.ledger.archive import Archive
from medchain.ledger.layout import row_map_key
from medchain.ledger.tables import Table, key_in_order, read_row
from medchain.ledger.versions import map_at, replaced_since, row_at
from medchain.storage.api import prefix_end

__all__ = ["MOST_GONE", "PastRows"]

MOST_GONE = 4_096
"""Keys of rows that are gone which are in memory at once, 2 MB at most; with more, the replaced rows are read again."""


class PastRows:
    """The rows of one table as of the block at `height`, as `Table.view` takes them. Each is checked by the state root.

    Args:
        archive: the chain. Each reading takes a moment of its own, so that it holds together while blocks go on.
        table: whose rows.
        height: of the block.

    Raises:
        IndexError: there is no such block, or its state is not kept any more. So does reading, later on.
    """

    def __init__(self, archive: Archive, table: Table[Any], height: int) -> None:
        self._archive = archive
        self._table = table
        with archive.store.snapshot() as moment:
            here = archive.at(moment)
            self._header = here.header(here.header_index(height))
            map_at(here, self._header)

    def get(self, key: bytes) -> bytes | None:
        """The row under an order key, or None."""
        place = self._table.map_key(key_in_order(key[len(self._table.prefix) :]))
        with self._archive.store.snapshot() as moment:
            here = self._archive.at(moment)
            return row_at(here, map_at(here, self._header), key, place)[0]

    def set(self, key: bytes, value: bytes | None, map_key: bytes) -> None:
        """Refused: TypeError."""
        raise TypeError(f"{self._table.contract}.{self._table.name} as of a block is only read")

    def scan(
        self, start: bytes, end: bytes | None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Rows with start <= key < end in order, all of the same version."""
        last = prefix_end(self._table.prefix)
        assert last is not None
        low, high = max(start, self._table.prefix), last if end is None else min(end, last)
        with self._archive.store.snapshot() as moment:
            here = self._archive.at(moment)
            state = map_at(here, self._header)
            for key, place in self._keys(here, low, high, reverse):
                row = row_at(here, state, key, place)[0]
                if row is not None:
                    yield key, row

    def _keys(self, here: Archive, low: bytes, high: bytes, reverse: bool) -> Iterator[tuple[bytes, bytes]]:
        """The keys, in store and in map, of every row that is there now or was replaced since."""
        while low < high:
            gone, whole = self._gone(here, low, high, reverse)
            first, stop = low, high
            if not whole and reverse:
                first = high = gone[0][0]
            elif not whole:
                stop = low = gone[-1][0] + b"\0"
            present = ((key, row_map_key(key, row)) for key, row in here.scan(first, stop, reverse=reverse))
            yield from merge(present, reversed(gone) if reverse else gone, reverse=reverse)
            if whole:
                return

    def _gone(
        self, here: Archive, low: bytes, high: bytes, reverse: bool
    ) -> tuple[list[tuple[bytes, bytes]], bool]:
        """The keys between `low` and `high` of rows that were replaced since and are not there now, in order.

        Returns:
            At most so many as are kept in memory, those that come first, and whether they are all.
        """
        found: list[tuple[bytes, bytes]] = []
        whole = True
        for place, row in replaced_since(here, self._header.height):
            key = self._order_key(place, row)
            if key is None or not low <= key < high or here.get(key) is not None:
                continue
            at = bisect_left(found, (key, place))
            if at < len(found) and found[at][0] == key:
                continue
            found.insert(at, (key, place))
            if len(found) > MOST_GONE:
                whole = False
                del found[0 if reverse else -1]
        return found, whole

    def _order_key(self, place: bytes, row: bytes) -> bytes | None:
        """The order key of a replaced row, if it is one of this table."""
        try:
            key, _ = read_row(row)
        except EncodingError as error:
            raise InvalidBlock(f"a stored row is damaged: {error}", height=self._header.height) from error
        return self._table.order_key(key) if self._table.map_key(key) == place else None
