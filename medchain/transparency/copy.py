"""A verified copy of a published log in a store, laid out as a chain is (docs/spec/store.md).

A copy that was made with the contracts holds the rows, too, and is a chain that opens for reading. One that was made
without them holds leaves, tiles and the place of each header.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from medchain._opening import load_tip
from medchain.encoding import encode
from medchain.errors import InvalidBlock, NewerFormat, StorageError
from medchain.ledger.archive import Archive
from medchain.ledger.checkpoint import Checkpoint
from medchain.ledger.entry import Genesis, Kind
from medchain.ledger.layout import COPY, TARGET, StoredTip, height_key, leaf_key
from medchain.ledger.registry import Registry
from medchain.ledger.replaying import execute_again, found_again
from medchain.ledger.transition import Tip
from medchain.ledger.trust import Trust
from medchain.ledger.versions import stored_nodes
from medchain.merkle import Head
from medchain.records import encode_record
from medchain.storage.api import Batch, Store
from medchain.transparency.rules import BlockRules, check_genesis

__all__ = ["Copy", "ExecutedCopy", "LeavesCopy", "copy_in"]

LEAVES, STATE = encode("leaves 1"), encode("state 1")
"""What a copy says of itself: what it holds, and the version of its form."""

LONGEST_BLOCK = 64 << 20
"""Most bytes of the leaves of a block that is executed here. No engine closes one of more than 4 MiB and its timers."""


class Copy(ABC):
    """What both kinds have in common: where they stand, and what was signed over them."""

    kind = b""

    def __init__(self, store: Store, trust: Trust) -> None:
        self.store = store
        self.archive = Archive(store)
        self.trust = trust

    @property
    def executed(self) -> bool:
        """Whether the rows are here."""
        return self.kind == STATE

    @property
    def size(self) -> int:
        """How many leaves are here: at least those of the checkpoint, more while an update is under way."""
        return self.archive.tip().size if self.store.get(b"mtip") is not None else 0

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The last one up to which everything is here."""
        return _note(self.archive.checkpoint())

    @property
    def target(self) -> Checkpoint | None:
        """The one up to which an update is under way, or was, before it was broken off."""
        return _note(self.store.get(TARGET))

    def begin(self, target: Checkpoint) -> None:
        """Remember the checkpoint that vouches for the leaves to come."""
        batch = Batch()
        batch.put(COPY, self.kind)
        batch.put(TARGET, bytes(target))
        self.store.commit(batch)

    @abstractmethod
    def add(self, leaves: Sequence[bytes], hashes: bytes) -> None:
        """Take the next leaves, whose hashes were found under the target. InvalidBlock if they break a rule."""

    def finish(self, checkpoint: Checkpoint) -> None:
        """Everything up to `checkpoint` is here.

        Raises:
            InvalidBlock: it does not end with a header, or the store holds something else than was put into it.
        """
        tip = self.archive.tip()
        if tip.header != checkpoint.size - 1:
            raise InvalidBlock("a checkpoint was signed in the middle of a block", index=checkpoint.size - 1)
        if Head(tip.size, tip.log.root) != checkpoint.head:
            raise InvalidBlock("the copy is damaged: it is not what was put into it")
        batch = Batch()
        batch.put(b"mcheckpoint", bytes(checkpoint))
        batch.delete(TARGET)
        self.store.commit(batch)


class LeavesCopy(Copy):
    """Leaves, tiles, and the place of each header: every hash and every rule of form has been checked, no outcome."""

    kind = LEAVES

    def __init__(self, store: Store, trust: Trust) -> None:
        super().__init__(store, trust)
        self._rules = self._resumed() if self.size else BlockRules(trust)

    def _resumed(self) -> BlockRules:
        tip = self.archive.tip()
        rules = BlockRules(self.trust, tip.log, self.archive.header(tip.header), tip.header)
        if tip.size > tip.header + 1:
            rules.resume(self.archive.parsed(tip.header + 1))
        return rules

    def add(self, leaves: Sequence[bytes], hashes: bytes) -> None:
        """Check and store them in one batch."""
        try:
            self._add(leaves, hashes)
        except BaseException:
            self._rules = self._resumed() if self.size else BlockRules(self.trust)
            raise

    def _add(self, leaves: Sequence[bytes], hashes: bytes) -> None:
        first = self._rules.log.size
        created, headers = self._rules.add(leaves, hashes)
        batch = Batch()
        batch.put_many({leaf_key(index): leaf for index, leaf in enumerate(leaves, first)})
        batch.put_many({height_key(header.height): index.to_bytes(8, "big") for header, index in headers})
        self.archive.put_tiles(batch, created)
        log = self._rules.log
        batch.put(b"mtip", encode_record(StoredTip(log.size, log.nodes, self._rules.at)))
        self.store.commit(batch)


class ExecutedCopy(Copy):
    """A whole chain: every entry has been executed again, and every leaf, state roots included, is what that gives."""

    kind = STATE

    def __init__(self, store: Store, trust: Trust, registry: Registry) -> None:
        super().__init__(store, trust)
        self._registry = registry
        self._genesis: Genesis | None = None
        self._tip: Tip | None = None
        self._pending: list[bytes] = []
        self._bytes = 0
        if self.size:
            self._genesis = check_genesis(self.archive.leaf(0), trust)
            self._load()

    def _load(self) -> None:
        self._pending, self._bytes, self._tip = [], 0, None
        if self.size:
            with self.store.snapshot() as moment:
                self._tip = load_tip(self.archive.at(moment))

    def add(self, leaves: Sequence[bytes], hashes: bytes) -> None:
        """Execute and store the blocks that are whole with them. ConsensusError if a contract is not installed."""
        try:
            for leaf in leaves:
                self._pending.append(leaf)
                self._bytes += len(leaf)
                if leaf[:1] == bytes([Kind.HEADER]):
                    self._close()
                elif self._bytes > LONGEST_BLOCK:
                    raise InvalidBlock(f"a block has more than {LONGEST_BLOCK} bytes", index=self.size)
        except BaseException:
            self._load()
            raise

    def _close(self) -> None:
        leaves, self._pending, self._bytes = self._pending, [], 0
        if self._tip is None or self._genesis is None:
            check_genesis(leaves[0], self.trust)
            self._genesis, block = found_again(self._registry, leaves[0], stored_nodes(self.store))
        else:
            block = execute_again(self._registry, self._genesis, self._tip, self.archive, leaves)
        self.archive.commit(block)
        self._tip = block.tip

    def finish(self, checkpoint: Checkpoint) -> None:
        if self._pending:
            self._load()
            raise InvalidBlock("a checkpoint was signed in the middle of a block", index=checkpoint.size - 1)
        super().finish(checkpoint)


def copy_in(store: Store, trust: Trust, registry: Registry | None) -> Copy:
    """The copy that a store holds, or the beginning of one if it is empty.

    Raises:
        StorageError: the store holds something else, a copy of another log, or one of the other kind.
        InvalidBlock: what is stored contradicts itself.
    """
    archive = Archive(store)
    kind = store.get(COPY)
    wanted = LEAVES if registry is None else STATE
    if kind is None and not archive.empty:
        raise StorageError("the store holds something else than a copy of a published log")
    if kind is not None and kind not in (LEAVES, STATE):
        raise NewerFormat("the copy has a form that this version of medchain does not know: update it")
    if kind not in (None, wanted):
        made = "without the contracts, so it has no rows" if kind == LEAVES else "with contracts="
        raise StorageError(f"this copy was made {made}: go on in the same way, or begin another one")
    if store.get(b"mtip") is not None:
        try:
            check_genesis(archive.leaf(0), trust)
        except InvalidBlock as error:
            raise StorageError(f"the store holds a copy of another log: {error}") from error
        except IndexError as error:
            raise InvalidBlock("the copy is damaged: it lacks its genesis", index=0) from error
    return LeavesCopy(store, trust) if registry is None else ExecutedCopy(store, trust, registry)


def _note(data: bytes | None) -> Checkpoint | None:
    return None if data is None else Checkpoint.parse(data)
