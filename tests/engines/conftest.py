"""Published logs of chains, made once for all tests that read them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from engines.logs import LARGE, Published, grow
from ledger.world import World

from medchain.ledger.note import NoteSigner
from medchain.transparency import publish

Publish = Callable[[int], Published]


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Publish:
    """Gives the log of a chain of so many entries, published; the large one was published at two sizes before."""

    @cache
    def made(size: int) -> Published:
        directory = tmp_path_factory.mktemp("published") / str(size)
        world = World.make()
        with world.chain as chain:
            for each in (1, 257, size) if size == LARGE else (size,):
                grow(world, each)
                publish(chain, directory)
            assert chain.cosigner is not None
            signer = NoteSigner(chain.cosigner.name, chain._writer._signer.private)  # type: ignore[union-attr]
            leaves = list(chain._archive.leaves(0, size))
            return Published(directory, size, leaves, signer, chain.cosigner)

    return made


@pytest.fixture
def small(published: Publish, tmp_path: Path) -> Published:
    """A log of 257 entries, in a directory that the test may spoil."""
    return published(257).copied(tmp_path / "log")
