"""Paths, tiles and bundles of published logs: the specification's examples, and everything that is not one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medchain.errors import MalformedProof
from medchain.transparency.layout import WIDTH, Part, entries, pack, tiles, unpack


def test_paths_of_the_specification() -> None:
    """tlog-tiles, Merkle Tree: index 1234067 is ``x001/x234/067``."""
    assert Part(0, 1234067, 256).path == "tile/0/x001/x234/067"
    assert Part(2, 0, 1).path == "tile/2/000.p/1"
    assert Part(None, 999, 255).path == "tile/entries/999.p/255"
    assert Part(63, 1000, 256).path == "tile/63/x001/000"


def test_a_tree_of_70_000() -> None:
    """tlog-tiles, Partial Tiles: 273 full and one of 112 at level 0, a full one and one of 17 at 1, one of 1 at 2."""
    found = list(tiles(70_000))
    assert [part.width for part in found if part.level == 0] == [256] * 273 + [112]
    assert [part.width for part in found if part.level == 1] == [256, 17]
    assert [part.width for part in found if part.level == 2] == [1]
    assert len(found) == 277
    assert [part.width for part in entries(70_000)] == [256] * 273 + [112]


def test_a_tree_of_256() -> None:
    assert list(tiles(256)) == [Part(0, 0, 256), Part(1, 0, 1)]
    assert list(tiles(0)) == list(entries(0)) == []


@given(st.integers(0, 200_000), st.integers(0, 200_000))
def test_growing_writes_what_is_new(one: int, other: int) -> None:
    """All tiles of the larger log are those of the smaller one and those that are written when it grows."""
    old, new = sorted((one, other))
    whole = set(tiles(new))
    grown = set(tiles(new, old))
    assert grown <= whole
    assert whole <= set(tiles(old)) | grown
    assert not grown & set(tiles(old))
    assert {part for part in entries(new) if (part.index + 1) * WIDTH > old} == set(
        entries(new, old)
    ) or new == old


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_bundles(leaves: list[bytes]) -> None:
    data = pack(leaves)
    assert unpack(data, len(leaves)) == leaves
    with pytest.raises(MalformedProof):
        unpack(data + b"\0", len(leaves))
    with pytest.raises(MalformedProof):
        unpack(data, len(leaves) + 1)
    for cut in range(len(data)):
        with pytest.raises(MalformedProof):
            unpack(data[:cut], len(leaves))


def test_an_entry_has_at_most_65_535_bytes() -> None:
    assert unpack(pack([b"x" * 65_535]), 1) == [b"x" * 65_535]
    with pytest.raises(ValueError, match="at most"):
        pack([b"x" * 65_536])
