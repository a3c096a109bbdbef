"""Snapshots: the state of a chain after one block, in a file that says who vouches for it (docs/spec/snapshot.md).

A snapshot is logical: rows in the order of their keys, the last header, the log's compact range, and the checkpoint
that covers them. Equal states give equal bytes, whatever store they lie in. It holds no history: a chain that is
restored from it goes on from there, and what was before is proved by the old chain or by proofs that were kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, Self

from attrs import field, frozen

from medchain.errors import EncodingError, InvalidBlock, NewerFormat, StorageError
from medchain.ledger.archive import Archive
from medchain.ledger.checkpoint import Checkpoint
from medchain.ledger.entry import Genesis, Header, parse_leaf
from medchain.ledger.rewinding import ROWS, TableName, rows_at
from medchain.ledger.tables import ROW_LIMIT
from medchain.ledger.trust import Trust
from medchain.merkle import CompactRange, Head, InclusionProof, cover
from medchain.records import decode_record, encode_record, short
from medchain.storage.api import MAX_KEY

__all__ = ["SnapshotHead", "SnapshotReader", "write_snapshot"]

Progress = Callable[[int, int | None], object]

FIRST_LINE = b"medchain-snapshot "
VERSION = b"1\n"
HEAD_LIMIT = 1 << 20
PIECE_ROWS = 1_000
"""Rows that are written at once."""


@frozen
class SnapshotHead:
    """What a snapshot says of itself.

    Attributes:
        genesis: leaf data of the genesis header.
        header: leaf data of the header of the block as of which it is.
        nodes: of the log's compact range, largest first; its size is in the checkpoint.
        first, last: inclusion proofs of the two, the log's first and last leaves.
        checkpoint: the note that vouches for the log, and so for the header.
        rows: how many follow.
    """

    genesis: bytes = field(repr=short)
    header: bytes = field(repr=short)
    nodes: tuple[bytes, ...] = field(repr=False)
    first: tuple[bytes, ...] = field(repr=False)
    last: tuple[bytes, ...] = field(repr=False)
    checkpoint: bytes = field(repr=False)
    rows: int = field()

    @property
    def log(self) -> Head:
        """Size and root of the log of which the snapshot is, as its checkpoint says."""
        return Checkpoint.parse(self.checkpoint).head

    @property
    def height(self) -> int:
        """Height of the block as of which it is."""
        return parse_leaf(self.header).height


def write_snapshot(
    archive: Archive,
    write: Callable[[bytes], object],
    progress: Progress | None = None,
    tables: Iterable[TableName] = (),
) -> SnapshotHead:
    """Write the state as of the last block that is signed, piece by piece to `write`.

    Args:
        archive: the chain, on one moment.
        progress: called as ``progress(rows done, rows in all)``.
        tables: contract and table of tables that may have lost all their rows since that block.

    Raises:
        StorageError: none is signed yet, or none whose state is still kept.
        InvalidBlock: what is stored contradicts itself.
    """
    tip, note = archive.tip(), archive.checkpoint()
    if note is None:
        raise StorageError("the writer has not signed a checkpoint yet, so nobody would vouch for a snapshot")
    signed = Checkpoint.parse(note).head
    if signed.size > tip.size or archive.head(signed.size) != signed:
        raise InvalidBlock("the stored checkpoint is of another log than the stored one")
    header = archive.header(signed.size - 1)
    if signed.size == tip.size:
        count, rows = sum(1 for _ in archive.scan(ROWS, b"s")), archive.scan(ROWS, b"s")
    else:
        try:
            count, rows = rows_at(archive, header, tables)
        except IndexError as error:
            raise StorageError(
                f"the last block that the writer has signed is {header.height}, and {error}: let the writer sign"
                " more often (docs/how-to/several-web-workers.md), or take the snapshot there"
            ) from error
    head = SnapshotHead(
        genesis=archive.header(0).leaf,
        header=header.leaf,
        nodes=tuple(archive.node(*node) for node in cover(0, signed.size)),
        first=archive.prove_inclusion(0, signed.size).path,
        last=archive.prove_inclusion(signed.size - 1, signed.size).path,
        checkpoint=note,
        rows=count,
    )
    data = encode_record(head)
    pieces = [FIRST_LINE, VERSION, len(data).to_bytes(4, "big"), data]
    done = 0
    for done, (key, row) in enumerate(rows, 1):
        pieces += (len(key).to_bytes(2, "big"), len(row).to_bytes(4, "big"), key, row)
        if done % PIECE_ROWS == 0:
            write(b"".join(pieces))
            pieces.clear()
            if progress is not None:
                progress(done, head.rows)
    if done != count:
        raise InvalidBlock(f"the store has {done} rows, the state {count}", height=header.height)
    write(b"".join(pieces))
    if progress is not None:
        progress(head.rows, head.rows)
    return head


class SnapshotReader:
    """A snapshot in the course of being read: its head is verified when it is opened, its rows when all are read.

    A context manager, which closes the source.

    Args:
        source: where to read from, from the start; a file, for the rows may be read again.
        trust: who is believed.

    Raises:
        EncodingError: it is no snapshot, or cut off.
        NewerFormat: a later version of medchain wrote it.
        VerificationError: the checkpoint is not one that `trust` believes, or the header is not in that log.
        InvalidBlock: its parts contradict one another.
    """

    def __init__(self, source: BinaryIO, trust: Trust) -> None:
        self._source = source
        line = source.read(len(FIRST_LINE) + len(VERSION))
        if not line.startswith(FIRST_LINE):
            raise EncodingError(
                "not a snapshot of a chain: its first line says 'medchain-snapshot 1'", offset=0
            )
        if line != FIRST_LINE + VERSION:
            raise NewerFormat("the snapshot is of another version: update medchain")
        self.head = decode_record(SnapshotHead, self._take(self._number(4), HEAD_LIMIT), limit=HEAD_LIMIT)
        self.checkpoint = Checkpoint.parse(self.head.checkpoint)
        trust.verify(self.checkpoint)
        self._begin = source.tell()
        self.log = self._log()
        self.header, self.genesis = self._header(trust)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._source.close()

    def _log(self) -> CompactRange:
        try:
            log = CompactRange(self.checkpoint.size, self.head.nodes)
        except ValueError as error:
            raise EncodingError(f"the snapshot's log: {error}") from error
        if log.head != self.checkpoint.head:
            raise InvalidBlock("the snapshot's log is not that of its checkpoint")
        return log

    def _header(self, trust: Trust) -> tuple[Header, Genesis]:
        """The proved header, and the document of the chain, which is proved, too."""
        for index, leaf, path in (
            (0, self.head.genesis, self.head.first),
            (self.log.size - 1, self.head.header, self.head.last),
        ):
            InclusionProof(index, self.log.size, path).verify(leaf, index=index, head=self.log.head)
        header, first = parse_leaf(self.head.header), parse_leaf(self.head.genesis)
        if not isinstance(header, Header) or not isinstance(first, Header) or first.genesis is None:
            raise EncodingError("a snapshot holds the header of its last block, and that of the genesis")
        if trust.chain != first.genesis.id or (header.genesis or first.genesis) != first.genesis:
            raise InvalidBlock("the snapshot is of another chain than the trusted one")
        if header.genesis is None and header.chain != first.genesis.id:
            raise InvalidBlock(
                "the snapshot's header is of another chain than its genesis", height=header.height
            )
        return header, first.genesis

    def rows(self) -> Iterator[tuple[bytes, bytes]]:
        """The rows as (order key, stored bytes). They are not verified before they make the header's state root.

        Raises:
            EncodingError: they are out of order, too many, too large, or cut off.
        """
        before = ROWS
        self._source.seek(self._begin)
        for _ in range(self.head.rows):
            key_size, row_size = self._number(2), self._number(4)
            key, row = self._take(key_size, MAX_KEY), self._take(row_size, ROW_LIMIT)
            if key <= before or not key.startswith(ROWS):
                raise EncodingError("the rows of a snapshot are in the order of their keys")
            yield key, row
            before = key
        if self._source.read(1):
            raise EncodingError("the snapshot goes on after its last row")

    def _number(self, size: int) -> int:
        return int.from_bytes(self._take(size, size), "big")

    def _take(self, size: int, limit: int) -> bytes:
        if size > limit:
            raise EncodingError(f"a part of the snapshot has {size} bytes, at most {limit} are allowed")
        data = self._source.read(size)
        if len(data) != size:
            raise EncodingError("the snapshot ends before it is complete")
        return data
