"""All rows of the state as of an earlier block that is still kept: what changed since is taken back while reading.

Rows lie in the store as they are now. Which of them came or changed since a block stands in the map's nodes that were
written later, and what changed or went lies under the heights that did it (docs/spec/store.md). So this reads all rows
once, and of the map what is new; nothing that was before is copied for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha256
from heapq import merge

from medchain.errors import EncodingError, InvalidBlock, StorageError
from medchain.ledger.archive import Archive
from medchain.ledger.entry import Header
from medchain.ledger.layout import row_map_key
from medchain.ledger.tables import map_key as hash_key
from medchain.ledger.tables import order_key, read_row, row_prefix
from medchain.ledger.versions import map_at, replaced_since
from medchain.storage.api import prefix_end

__all__ = ["ROWS", "rows_at"]

ROWS = b"r"
"""First byte of the order keys of rows."""

Pair = tuple[bytes, bytes]
TableName = tuple[str, str]


def rows_at(archive: Archive, header: Header, tables: Iterable[TableName]) -> tuple[int, Iterator[Pair]]:
    """How many rows there were as of a block, and these, as (order key, stored bytes) in the order of their keys.

    Args:
        archive: the chain, on one moment, which stays open until the last row is read.
        header: of the block.
        tables: contract and table of tables that may have lost all their rows since.

    Raises:
        IndexError: the state of that block is not kept any more.
        InvalidBlock: what is stored contradicts itself; also while reading.
        StorageError: a row has gone from a table that is not named.
    """
    then, now = map_at(archive, header), map_at(archive, archive.header(archive.tip().header))
    newer, replaced = now.since(header.height), _replaced(archive, header.height)
    added, changed, gone = set[bytes](), dict[bytes, bytes](), dict[bytes, bytes]()
    for key in newer.keys() | replaced.keys():
        was, is_now = then.get_hashed(key), newer.get(key) or now.get_hashed(key)
        if was == is_now:
            continue
        if was is None:
            added.add(key)
            continue
        row = replaced.get(key)
        if row is None or sha256(row).digest() != was:
            raise InvalidBlock("a stored row is not what the state says", height=header.height)
        (gone if is_now is None else changed)[key] = row
    names = {*tables, *_tables(archive)} if gone else set()
    return len(then), merge(
        _present(archive, added, changed), sorted(_gone(key, row, names) for key, row in gone.items())
    )


def _replaced(archive: Archive, height: int) -> dict[bytes, bytes]:
    """By map key, what the first block after `height` that changed a row found there."""
    found: dict[bytes, bytes] = {}
    for key, row in replaced_since(archive, height):
        found.setdefault(key, row)
    return found


def _present(archive: Archive, added: set[bytes], changed: dict[bytes, bytes]) -> Iterator[Pair]:
    """The rows that are there now, as they were; those that came later are left out."""
    for key, row in archive.scan(ROWS, prefix_end(ROWS)):
        map_key = row_map_key(key, row)
        if map_key not in added:
            yield key, changed.get(map_key, row)


def _gone(map_key: bytes, row: bytes, tables: Iterable[TableName]) -> Pair:
    """A row that is there no more, under its order key. It tells its key in the table; which table, has to be tried."""
    try:
        key, _ = read_row(row)
    except EncodingError as error:
        raise InvalidBlock(f"a stored row is damaged: {error}") from error
    for contract, table in tables:
        if hash_key(contract, table, key) == map_key:
            return row_prefix(contract, table) + order_key(key), row
    raise StorageError(
        "a row has gone from a table that no contract here has: have the writer sign, or open the chain with the"
        " contract that had it"
    )


def _tables(archive: Archive) -> Iterator[TableName]:
    """The tables that have rows now, each found by one step over the rows of the one before."""
    start = ROWS
    while pair := next(iter(archive.reader.scan(start, prefix_end(ROWS), limit=1)), None):
        try:
            contract, table, _ = pair[0][1:].split(b"\0", 2)
            name = contract.decode(), table.decode()
        except ValueError as error:  # of Unicode, too
            raise InvalidBlock("a stored row lies under a key that is none") from error
        yield name
        start = prefix_end(row_prefix(*name)) or b""
