"""What a published log looks like: C2SP tlog-tiles. Paths of tiles and entry bundles, and what stands in them.

A tile holds 256 hashes of one level, a bundle the 256 entries under one tile of level 0, each after its length in two
bytes. The last of each level may be partial; its path ends in ``.p/`` and its width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attrs import frozen

from medchain.errors import MalformedProof

__all__ = [
    "CHECKPOINT",
    "HEIGHT",
    "LONGEST_BUNDLE",
    "WIDTH",
    "Part",
    "entries",
    "pack",
    "parts",
    "tiles",
    "unpack",
]

CHECKPOINT = "checkpoint"
HEIGHT, WIDTH = 8, 256
LONGEST_ENTRY = (1 << 16) - 1
LONGEST_BUNDLE = WIDTH * (2 + LONGEST_ENTRY)


@frozen(order=True)
class Part:
    """A tile or an entry bundle.

    Attributes:
        level: of the tile; None for a bundle.
        index: within its level.
        width: how many hashes or entries it has: 1 to 256.
    """

    level: int | None
    index: int
    width: int

    @property
    def path(self) -> str:
        """Where it is served (tlog-tiles, Merkle Tree and Log entries).

        >>> Part(0, 1234067, 256).path
        'tile/0/x001/x234/067'
        >>> Part(None, 273, 112).path
        'tile/entries/273.p/112'
        """
        digits = f"{self.index:03d}"
        digits = digits.rjust(-(-len(digits) // 3) * 3, "0")
        groups = [digits[start : start + 3] for start in range(0, len(digits), 3)]
        place = "/".join([f"x{group}" for group in groups[:-1]] + groups[-1:])
        partial = "" if self.width == WIDTH else f".p/{self.width}"
        return f"tile/{'entries' if self.level is None else self.level}/{place}{partial}"

    @property
    def start(self) -> int:
        """Log index of the first entry under it."""
        return self.index << HEIGHT * ((self.level or 0) + 1)

    @property
    def whole(self) -> Part:
        """The full one of the same index, which may have replaced a partial one."""
        return Part(self.level, self.index, WIDTH)


def parts(level: int | None, size: int, start: int = 0) -> Iterator[Part]:
    """The tiles of one level, or the bundles, of a log of `size` entries that hold anything from entry `start` on."""
    count = size >> HEIGHT * (level or 0)
    first = start >> HEIGHT * ((level or 0) + 1)
    for index in range(first, -(-count // WIDTH)):
        yield Part(level, index, min(WIDTH, count - index * WIDTH))


def tiles(size: int, start: int = 0) -> Iterator[Part]:
    """All tiles of a log of `size` entries that have changed since it had `start`.

    >>> len(list(tiles(70_000)))
    277
    """
    level = 0
    while size >> HEIGHT * level:
        changed = start >> HEIGHT * level
        if size >> HEIGHT * level > changed:
            yield from parts(level, size, changed << HEIGHT * level)
        level += 1


def entries(size: int, start: int = 0) -> Iterator[Part]:
    """All bundles of a log of `size` entries that have changed since it had `start`."""
    return parts(None, size, start) if size > start else iter(())


def pack(leaves: Sequence[bytes]) -> bytes:
    """A bundle of leaf data; ValueError if one is too long for its two bytes of length."""
    if any(len(leaf) > LONGEST_ENTRY for leaf in leaves):
        raise ValueError(f"an entry of a published log has at most {LONGEST_ENTRY} bytes")
    return b"".join([part for leaf in leaves for part in (len(leaf).to_bytes(2, "big"), leaf)])


def unpack(data: bytes, count: int) -> list[bytes]:
    """The `count` leaves of a bundle.

    Raises:
        MalformedProof: it holds fewer, or more bytes than they take.
    """
    leaves: list[bytes] = []
    at = 0
    for _ in range(count):
        start = at + 2
        at = start + int.from_bytes(data[at:start], "big")
        if start > len(data) or at > len(data):
            raise MalformedProof(f"an entry bundle ends inside entry {len(leaves)} of {count}")
        leaves.append(data[start:at])
    if at != len(data):
        raise MalformedProof(f"an entry bundle has {len(data) - at} bytes after its {count} entries")
    return leaves
