"""The tree of a signed head, read from published tiles of which none is believed before it fits the head.

The last tile of each level, the border, together makes the root. Each full tile makes one hash of a tile above it. So
every hash is checked on the way down from the root, and every file that does not fit is known by its name.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from medchain._native import root_of_hashes
from medchain.errors import VerificationError
from medchain.merkle import ConsistencyProof, Head, fold, prove_consistency
from medchain.merkle.proofs import root_of
from medchain.transparency.layout import HEIGHT, WIDTH, Part
from medchain.transparency.source import Source

__all__ = ["PublishedTree", "read_part"]

SLACK = 1024
"""So many bytes too many are still read, so that a file with something appended is told from an endless one."""

KEPT = 4_096
"""Full tiles that are kept in memory, 32 MB at most."""


def read_part(source: Source, part: Part, limit: int) -> tuple[bytes, Part]:
    """The bytes of a tile or a bundle, and which it was: where a partial one is gone, the full one takes its place.

    Raises:
        VerificationError: there is none.
        Unreachable, StorageError: it cannot be read, or has far more than `limit` bytes.
    """
    data = source.read(part.path, limit + SLACK)
    if data is not None:
        return data, part
    if part.width < WIDTH:
        data = source.read(part.whole.path, limit * WIDTH // part.width + SLACK)
        if data is not None:
            return data, part.whole
    raise VerificationError(f"{source.name}: {part.path} is missing, and the checkpoint speaks of it")


class PublishedTree:
    """Verified hashes of the tree of `head`.

    Attributes:
        head: size and root that somebody has signed.
    """

    def __init__(self, source: Source, head: Head) -> None:
        self.head = head
        self._source = source
        self._full: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._lock = threading.Lock()
        self._border: dict[int, bytes] | None = None

    def check_border(self) -> None:
        """Read the tiles that make the root; errors as `tile`. After it several threads may read others."""
        self._borders()

    def tile(self, level: int, index: int) -> bytes:
        """The hashes of a tile, checked up to the root.

        Raises:
            VerificationError: it is missing, of another length, or not the one that was signed; names the file.
            Unreachable, StorageError: it cannot be read.
        """
        width = min(WIDTH, (self.head.size >> HEIGHT * level) - index * WIDTH)
        if width < 1:
            raise IndexError(f"the tree of {self.head.size} leaves has no tile {level}/{index}")
        if width < WIDTH:
            return self._borders()[level]
        known = self._full.get((level, index))
        if known is None:
            above = self.tile(level + 1, index // WIDTH)[32 * (index % WIDTH) :][:32]
            part = Part(level, index, WIDTH)
            known = self._read(part)
            if root_of_hashes(known) != above:
                raise VerificationError(f"{self._source.name}: {part.path} is not the tile that was signed")
            with self._lock:
                self._full[level, index] = known
                if len(self._full) > KEPT:
                    self._full.popitem(last=False)
        return known

    def _borders(self) -> dict[int, bytes]:
        """The partial tile of each level that has one; together they make the root."""
        if self._border is None:
            found: dict[int, bytes] = {}
            level, count = 0, self.head.size
            while count:
                if count % WIDTH:
                    found[level] = self._read(Part(level, count // WIDTH, count % WIDTH))
                level, count = level + 1, count >> HEIGHT
            if fold(list(_peaks(found))) != self.head.root:
                names = ", ".join(
                    Part(level, self.head.size >> HEIGHT * (level + 1), len(tile) // 32).path
                    for level, tile in found.items()
                )
                raise VerificationError(
                    f"{self._source.name}: one of {names or 'no tiles'} is not the tile that was signed: together"
                    " they do not make the root of the checkpoint"
                )
            self._border = found
        return self._border

    def _read(self, part: Part) -> bytes:
        data, which = read_part(self._source, part, 32 * part.width)
        if len(data) != 32 * which.width:
            raise VerificationError(
                f"{self._source.name}: {which.path} has {len(data)} bytes, not {32 * which.width}"
            )
        return data[: 32 * part.width]

    def node(self, level: int, index: int) -> bytes:
        """The hash of a complete node; errors as `tile`."""
        tile_level, below = divmod(level, HEIGHT)
        first = index << below
        hashes = self.tile(tile_level, first // WIDTH)[32 * (first % WIDTH) :][: 32 << below]
        return hashes if below == 0 else root_of_hashes(hashes)

    def root_at(self, size: int) -> bytes:
        """The root that the tree had with its first `size` leaves; errors as `tile`."""
        return self.head.root if size == self.head.size else root_of(size, self.node)

    def prove_consistency(self, old: int) -> ConsistencyProof:
        """That it begins with the tree of its first `old` leaves; of none, an empty proof. Errors as `tile`."""
        if old == 0:
            return ConsistencyProof(0, self.head.size, ())
        return prove_consistency(old, self.head.size, self.node)


def _peaks(border: dict[int, bytes]) -> list[bytes]:
    """The complete nodes that make the root, largest first: those of which the border's tiles consist."""
    nodes = []
    for level in sorted(border, reverse=True):
        tile, at = border[level], 0
        for bit in reversed(range(HEIGHT)):
            if len(tile) // 32 >> bit & 1:
                hashes = tile[at : at + (32 << bit)]
                nodes.append(hashes if bit == 0 else root_of_hashes(hashes))
                at += 32 << bit
    return nodes
