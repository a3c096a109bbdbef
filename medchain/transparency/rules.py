"""What holds of every log of a chain, contracts or none: how headers close blocks, and what entries say of theirs."""

from __future__ import annotations

from collections.abc import Sequence

from medchain.errors import EncodingError, InvalidBlock
from medchain.ledger.entry import Entry, Genesis, Header, Kind, parse_leaf
from medchain.ledger.replaying import genesis_in
from medchain.ledger.trust import Trust
from medchain.merkle import CompactRange
from medchain.merkle.compact import Created

__all__ = ["BlockRules", "check_genesis"]


def check_genesis(leaf: bytes, trust: Trust) -> Genesis:
    """The document that founded the log, which must be the one that `trust` pins.

    Raises:
        InvalidBlock: the first leaf of the log is no genesis, or that of another chain.
    """
    genesis = genesis_in(leaf)
    if (genesis.origin, genesis.id, genesis.tag) != (trust.origin, trust.chain, trust.tag):
        raise InvalidBlock("the log is that of another chain than the trusted one", height=0, index=0)
    return genesis


class BlockRules:
    """Goes over the leaves of a log, in order, and refuses the first that breaks a rule.

    Whether outcomes and state roots are right is not seen here: that takes the contracts.

    Args:
        trust: which chain it is.
        log: compact range of what was gone over before,
        header: the last header in it,
        at: and its index.
    """

    def __init__(
        self, trust: Trust, log: CompactRange | None = None, header: Header | None = None, at: int = -1
    ) -> None:
        self._trust = trust
        self.log = CompactRange() if log is None else log
        self.header, self.at = header, at
        self._time = 0 if header is None else header.time
        self._open = False

    @property
    def first(self) -> int:
        """Log index at which the block that is not closed yet begins."""
        return self.at + 1

    def resume(self, entry: Entry | Header) -> None:
        """Go on in the middle of a block, of which this is an entry that was gone over before."""
        self._time, self._open = entry.time, True

    def add(self, leaves: Sequence[bytes], hashes: bytes) -> tuple[list[Created], list[tuple[Header, int]]]:
        """Go over the next leaves, which have these hashes.

        Returns:
            The nodes of the log that they complete, and the headers among them with their indexes.

        Raises:
            InvalidBlock: a leaf breaks a rule; with its place.
        """
        created: list[Created] = []
        headers: list[tuple[Header, int]] = []
        for offset, leaf in enumerate(leaves):
            index = self.log.size
            try:
                parsed = parse_leaf(leaf)
            except EncodingError as error:
                raise InvalidBlock(f"a leaf is damaged: {error}", index=index) from error
            if isinstance(parsed, Header):
                self._close(parsed, leaf, index)
                headers.append((parsed, index))
            else:
                self._entry(parsed, index)
            created += self.log.append(hashes[32 * offset : 32 * offset + 32])
        return created, headers

    def _entry(self, entry: Entry, index: int) -> None:
        if self.header is None:
            raise InvalidBlock("the log does not begin with a genesis", index=index)
        height = self.header.height + 1
        if entry.height != height or entry.index != index - self.first:
            raise InvalidBlock(
                f"an entry says that it is number {entry.index} of block {entry.height}",
                height=height,
                index=index,
            )
        if entry.time < self._time or (self._open and entry.time != self._time):
            raise InvalidBlock("an entry has another time than its block", height=height, index=index)
        if entry.kind is Kind.EVIDENCE:
            raise InvalidBlock(
                "evidence has no place in a chain of one authority", height=height, index=index
            )
        self._time, self._open = entry.time, True

    def _close(self, header: Header, leaf: bytes, index: int) -> None:
        before = self.header
        if before is None:
            check_genesis(leaf, self._trust)
            expected = (0, bytes(32), bytes(32), 0)
        else:
            expected = (before.height + 1, self._trust.chain, before.hash, self.first)
        place = {"height": expected[0], "index": index}
        if (header.height, header.chain, header.previous, header.first) != expected:
            raise InvalidBlock("a header does not follow from the one before", **place)
        if header.origin != self._trust.origin or (header.genesis is None) != (before is not None):
            raise InvalidBlock("a header is that of another log", **place)
        if header.time < self._time or (self._open and header.time != self._time):
            raise InvalidBlock("block time runs backwards, or is not that of the entries", **place)
        if header.log_root != self.log.root:
            raise InvalidBlock("a header names another log than the one before it", **place)
        self.header, self.at = header, index
        self._time, self._open = header.time, False
