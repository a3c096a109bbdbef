"""Published logs for tests: of leaves of any kind, written by hand; and of a chain, which `publish` has written."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from attrs import evolve, frozen
from ledger.counting import Add
from ledger.world import World

from medchain._writer import Writer
from medchain.keys.signing import SigningKey
from medchain.ledger.draft import Signed
from medchain.ledger.note import Note, NoteSigner
from medchain.ledger.transaction import Transaction
from medchain.merkle import LogTree
from medchain.transparency.layout import CHECKPOINT, entries, pack, tiles

SIGNER = NoteSigner("log.example/written", SigningKey(b"\x07" * 32))
SIZES = (1, 255, 256, 257)
LARGE = 70_000
PER_BLOCK = 1_000


def leaves_of(size: int) -> list[bytes]:
    """Leaves of all lengths: the shortest, the longest that a bundle takes, and between."""
    odd = [b"", b"\xff" * 65_535, b"\x00", b"\x00\x01"]
    return (odd + [f"leaf {number}".encode() * (number % 7) for number in range(len(odd), size)])[:size]


def text_of(origin: str, size: int, root: bytes) -> str:
    """The text of a checkpoint."""
    return f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"


def write(directory: Path, leaves: Sequence[bytes], signer: NoteSigner = SIGNER) -> Path:
    """Publish leaves that no chain has."""
    tree = LogTree(leaves)
    for part in (*tiles(len(leaves)), *entries(len(leaves))):
        if part.level is None:
            data = pack(leaves[part.start : part.start + part.width])
        else:
            first = part.index * 256
            data = b"".join(tree.node(8 * part.level, first + each) for each in range(part.width))
        path = directory / part.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    text = text_of(signer.name, len(leaves), tree.root)
    (directory / CHECKPOINT).write_bytes(bytes(Note(text, (signer.sign(text),))))
    return directory


@frozen
class Published:
    """A chain's log, in a directory of its own, as it was at one size."""

    directory: Path
    size: int
    leaves: list[bytes]
    signer: NoteSigner
    cosigner: NoteSigner

    @property
    def key(self) -> str:
        """The log's verifier key."""
        return str(self.signer.key)

    def copied(self, directory: Path) -> Published:
        """The same in another directory."""
        return evolve(self, directory=Path(shutil.copytree(self.directory, directory)))


def grow(world: World, size: int) -> None:
    """Bring a chain's log to exactly `size` leaves, the header that closes each block included."""
    writer, author = world.chain._writer, world.authority
    assert writer is not None
    while left := size - world.chain.checkpoint().size:
        count = min(left - 1, PER_BLOCK)
        if left - count - 1 == 1:  # one leaf alone is no block
            count -= 1
        assert count > 0, f"no blocks lead to {size}"
        drafts = [Signed.start(world.body(Add(1), author)).sign(author) for _ in range(count)]
        writer.engine.run(partial(_block, writer, [draft.transaction for draft in drafts]))


def _block(writer: Writer, transactions: list[Transaction]) -> None:
    """Make one block of them."""
    with writer.begin() as builder:
        for each in transactions:
            builder.add(each)
        block = builder.close()
    writer.commit(block)


__all__ = ["LARGE", "SIGNER", "SIZES", "Published", "grow", "leaves_of", "text_of", "write"]
