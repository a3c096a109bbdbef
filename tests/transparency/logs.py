"""Logs that are published for tests: a chain in memory, a folder that it is published in, and who signs in its name."""

from __future__ import annotations

import shutil
from pathlib import Path

from attrs import define
from ledger.counting import Add
from ledger.world import CONTRACTS, World

import medchain as mc
from medchain.ledger.note import Note, NoteSigner
from medchain.ledger.trust import Trust
from medchain.merkle import Head, LogTree
from medchain.transparency import layout, publish

__all__ = ["CONTRACTS", "Published", "checkpoint_of", "publish_leaves"]


@define
class Published:
    """A chain and where it is published."""

    world: World
    person: mc.Wallet
    folder: Path

    @classmethod
    def make(cls, folder: Path, count: int = 5) -> Published:
        world = World.make()
        made = cls(world, world.register("ann"), folder)
        made.grow(count)
        return made

    @property
    def trust(self) -> Trust:
        return self.world.chain.trust

    def send(self, count: int) -> None:
        """More blocks of one entry each, a minute apart."""
        for number in range(count):
            self.world.clock.now += 60_000
            self.world.send(Add(number), self.person)

    def grow(self, count: int) -> None:
        """More blocks, and published."""
        self.send(count)
        publish(self.world.chain, self.folder)

    def leaves(self) -> list[bytes]:
        archive = self.world.chain._archive
        return list(archive.leaves(0, archive.tip().size))

    def sign(self, leaves: list[bytes]) -> mc.Checkpoint:
        """A checkpoint of any leaves, signed by the log."""
        return checkpoint_of(self, LogTree(leaves).head)


def checkpoint_of(published: Published, head: Head) -> mc.Checkpoint:
    """What the log signs when it lies."""
    chain = published.world.chain
    key = published.world.authority.log_key(chain.tag)
    said = mc.Checkpoint.text(chain.origin, head)
    note = Note(said, ()).signed_with(NoteSigner(chain.origin, key).sign(said))
    return mc.Checkpoint(chain.origin, head, note)


def publish_leaves(published: Published, leaves: list[bytes], folder: Path) -> mc.Checkpoint:
    """Publish any leaves as if they were the log's, whatever they say, in place of what is in the folder."""
    if folder.exists():
        shutil.rmtree(folder)
    tree, checkpoint = LogTree(leaves), published.sign(leaves)
    for part in (*layout.entries(len(leaves)), *layout.tiles(len(leaves))):
        if part.level is None:
            data = layout.pack(leaves[part.start : part.start + part.width])
        else:
            first = part.index * layout.WIDTH
            data = b"".join(tree.node(8 * part.level, first + each) for each in range(part.width))
        path = folder / part.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (folder / layout.CHECKPOINT).write_bytes(bytes(checkpoint))
    return checkpoint
