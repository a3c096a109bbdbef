"""What is published is read by strangers: by a reader made from the specifications alone, and by tessera's programs."""

from __future__ import annotations

from pathlib import Path

import pytest
import tilereader
from engines.conftest import Publish
from engines.damage import FILES, PADDED, WAYS, stray
from engines.logs import LARGE, SIGNER, SIZES, Published, leaves_of, write
from engines.programs import fsck, oneshot, program
from serving import served
from tilereader import Wrong, bundle_paths, located, read, tile_paths, tiles_in

from medchain.ledger.note import Note
from medchain.merkle import LogTree
from medchain.transparency.layout import entries, tiles

ALL_SIZES = [*SIZES, pytest.param(LARGE, marks=pytest.mark.slow)]


class TestReader:
    """The reader itself: it is right about what is right, and finds whatever is not."""

    @pytest.mark.parametrize("size", [1, 2, 3, 255, 256, 257, 600])
    def test_reads_leaves_of_all_lengths(self, size: int, tmp_path: Path) -> None:
        leaves = leaves_of(size)
        log = read(write(tmp_path, leaves), str(SIGNER.key))
        assert list(log.entries) == leaves
        assert (log.origin, log.size, log.root) == (SIGNER.name, size, LogTree(leaves).root)

    def test_the_example_of_signed_note(self) -> None:
        """tlog-checkpoint's example: a note with a signature of which no key is known here is nobody's."""
        note = (
            "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
            "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nT"
            "o+zyWE+xeMcTOAYQ8=\n"
        )
        with pytest.raises(Wrong, match="nobody known"):
            tilereader.verify_note(note.encode(), [str(SIGNER.key)])
        assert tilereader.checkpoint(note.partition("\n\n")[0] + "\n")[:2] == (
            "example.com/behind-the-sofa",
            20852163,
        )

    def test_the_paths_of_the_specification(self) -> None:
        """The index 1234067, and the trees of 70,000 and of 256 entries."""
        assert bundle_paths(1234068 * 256)[-1] == "tile/entries/x001/x234/067"
        listed = tile_paths(70_000)
        assert len(listed) == 277
        assert [path for path in listed if ".p/" in path] == [
            "tile/0/273.p/112",
            "tile/1/001.p/17",
            "tile/2/000.p/1",
        ]
        assert [path for path in listed if path.startswith("tile/1/") and ".p/" not in path] == ["tile/1/000"]
        assert sum(path.startswith("tile/0/") and ".p/" not in path for path in listed) == 273
        assert tile_paths(256) == ["tile/0/000", "tile/1/000.p/1"]
        assert tile_paths(0) == bundle_paths(0) == []

    @pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 65_535, 65_536, 70_000, 16_777_216])
    def test_medchain_lays_out_the_same(self, size: int) -> None:
        assert [part.path for part in tiles(size)] == tile_paths(size)
        assert [part.path for part in entries(size)] == bundle_paths(size)
        assert all(located(part.path)[1:] == (part.index, part.width) for part in tiles(size))

    def test_there_is_nothing_else_to_spoil(self, small: Published) -> None:
        assert sorted([*tiles_in(small.directory), "checkpoint"]) == sorted(FILES)

    @pytest.mark.parametrize("way", [*WAYS, *PADDED])
    def test_finds_what_is_spoilt(self, small: Published, way: str) -> None:
        keys = small.key, str(small.cosigner.key)
        read(small.directory, *keys)
        (WAYS | PADDED)[way](small)
        with pytest.raises(Wrong):
            read(small.directory, *keys)
        with served(small.directory) as url, pytest.raises(Wrong):
            read(url, *keys)

    def test_finds_what_nobody_asks_for(self, small: Published) -> None:
        for path, data in stray(small.directory):
            file = small.directory / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
            with pytest.raises(Wrong, match=path):
                read(small.directory, small.key)
            file.unlink()
        read(small.directory, small.key)

    def test_takes_the_beginning_of_a_full_one(self, published: Publish, tmp_path: Path) -> None:
        """A log may remove partial ones when the full ones are there; nothing else is taken in their place."""
        old, new = published(255), published(257)
        log = new.copied(tmp_path / "log")
        assert old.leaves != new.leaves[:255]
        write(tmp_path / "small", new.leaves[:255], new.signer)
        (log.directory / "checkpoint").write_bytes((tmp_path / "small/checkpoint").read_bytes())
        with served(log.directory) as url:
            assert list(read(url, log.key).entries) == new.leaves[:255]


class TestPublished:
    @pytest.mark.parametrize("size", ALL_SIZES)
    def test_a_stranger_reads_it(self, published: Publish, size: int) -> None:
        made = published(size)
        keys = made.key, str(made.cosigner.key)
        log = read(made.directory, *keys)
        assert list(log.entries) == made.leaves
        assert log.size == size
        assert log.signers == keys
        with served(made.directory) as url:
            assert read(url, *keys) == log

    @pytest.mark.slow
    def test_the_tiles_that_the_specification_lists(self, published: Publish) -> None:
        """And those of the sizes at which it was published before: partial ones stay."""
        before = {path for size in (1, 257) for path in (*tile_paths(size), *bundle_paths(size))}
        listed = {*tile_paths(LARGE), *bundle_paths(LARGE)}
        assert set(tiles_in(published(LARGE).directory)) == before | listed
        assert len(listed) == 277 + 274

    def test_each_size_is_its_own_tree(self, published: Publish) -> None:
        roots = {read(published(size).directory, published(size).key).root for size in SIZES}
        assert len(roots) == len(SIZES)


class TestFsck:
    @pytest.mark.parametrize("size", ALL_SIZES)
    def test_finds_it_right(self, published: Publish, size: int, tmp_path: Path) -> None:
        made = published(size)
        assert fsck(made.directory, made.signer.key, tmp_path) is None
        with served(made.directory) as url:
            assert fsck(url, made.signer.key, tmp_path) is None

    def test_takes_leaves_of_all_lengths(self, tmp_path: Path) -> None:
        assert fsck(write(tmp_path / "log", leaves_of(300)), SIGNER.key, tmp_path) is None

    @pytest.mark.parametrize("way", WAYS)
    def test_finds_what_is_spoilt(self, small: Published, way: str, tmp_path: Path) -> None:
        WAYS[way](small)
        assert fsck(small.directory, small.signer.key, tmp_path) is not None

    def test_of_another_log(self, small: Published, tmp_path: Path) -> None:
        assert fsck(small.directory, SIGNER.key, tmp_path) is not None


class TestOneshot:
    """Tessera's own publisher makes the same of the same leaves and key."""

    @pytest.mark.parametrize("size", ALL_SIZES)
    def test_writes_the_same(self, published: Publish, size: int, tmp_path: Path) -> None:
        program("posix-oneshot")
        made = published(size)
        theirs = oneshot(made.leaves, made.signer, tmp_path)
        for path in (*tile_paths(size), *bundle_paths(size)):
            assert (theirs / path).read_bytes() == (made.directory / path).read_bytes(), path
        # Ours has the post-quantum cosignature beside the signature, which is deterministic.
        ours = Note.parse((made.directory / "checkpoint").read_bytes())
        assert (theirs / "checkpoint").read_bytes() == bytes(Note(ours.text, ours.signatures[:1]))
        assert ours.signatures[0] == made.signer.sign(ours.text)

    def test_of_leaves_of_all_lengths(self, tmp_path: Path) -> None:
        leaves = leaves_of(300)
        ours = write(tmp_path / "ours", leaves)
        theirs = oneshot(leaves, SIGNER, tmp_path)
        for path in ("checkpoint", *tile_paths(300), *bundle_paths(300)):
            assert (theirs / path).read_bytes() == (ours / path).read_bytes(), path
        assert list(read(theirs, str(SIGNER.key)).entries) == leaves
