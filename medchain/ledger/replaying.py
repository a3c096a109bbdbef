"""Executing a block again: what its leaves have to be, given all that came before."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from medchain.errors import EncodingError, InvalidBlock, InvalidTransaction
from medchain.ledger.entry import Genesis, Header, Kind, entry_content, parse_leaf
from medchain.ledger.registry import Registry
from medchain.ledger.tables import Rows
from medchain.ledger.transaction import Transaction
from medchain.ledger.transition import Block, BlockBuilder, Receipt, Tip, found
from medchain.merkle.packed import Load

__all__ = ["execute_again", "found_again"]

Seen = Callable[[Transaction, Receipt], object]


def execute_again(
    registry: Registry,
    genesis: Genesis,
    tip: Tip,
    rows: Rows,
    leaves: Sequence[bytes],
    seen: Seen | None = None,
) -> Block:
    """One block on top of `tip`, executed again; its leaves are exactly `leaves`, of which the last is the header.

    Args:
        registry: the contract classes of this node.
        genesis: the document that founded the chain.
        tip: where the chain stands before the block,
        rows: and its rows there.
        leaves: what the log has.
        seen: called with each transaction and what came of it.

    Raises:
        InvalidBlock: with the place of the first contradiction.
        ConsensusError: a contract that executes the block is not installed here.
    """
    place = {"height": tip.header.height + 1, "index": tip.log.size}
    try:
        entries, header = [entry_content(leaf) for leaf in leaves[:-1]], parse_leaf(leaves[-1])
    except EncodingError as error:
        raise InvalidBlock(f"a leaf is damaged: {error}", **place) from error
    if header.time < tip.header.time:
        raise InvalidBlock("block time runs backwards", **place)
    builder = BlockBuilder(registry, genesis, tip, rows, header.time)
    builder.run_timers()
    for offset, (kind, content) in enumerate(entries):
        _add(builder, kind, content, {"height": builder.height, "index": builder.first + offset}, seen)
    block = builder.close()
    for offset, (expected, leaf) in enumerate(zip(block.leaves, leaves, strict=False)):
        if expected != leaf:
            what = "header" if leaf is leaves[-1] else "entry"
            raise InvalidBlock(
                f"the {what} is not what executing it gives",
                height=builder.height,
                index=block.first + offset,
            )
    if len(block.leaves) != len(leaves):
        raise InvalidBlock("a timer that was due is missing, or an entry is one too many", **place)
    return block


def _add(builder: BlockBuilder, kind: int, content: bytes, place: dict[str, int], seen: Seen | None) -> None:
    if kind == Kind.TRANSACTION:
        try:
            transaction = Transaction.from_bytes(content)
            receipt = builder.add(transaction)
        except InvalidTransaction as error:
            raise InvalidBlock(f"it holds a transaction that may not enter: {error}", **place) from error
        if seen is not None:
            seen(transaction, receipt)
    elif kind != Kind.TIMER:
        raise InvalidBlock("evidence has no place in a chain of one authority", **place)


def genesis_in(leaf: bytes) -> Genesis:
    """The document that founded a chain, out of the first leaf of its log.

    Raises:
        InvalidBlock: the leaf holds none.
    """
    try:
        header = parse_leaf(leaf)
    except EncodingError as error:
        raise InvalidBlock(f"the genesis is damaged: {error}", index=0) from error
    if not isinstance(header, Header) or header.genesis is None:
        raise InvalidBlock("the first leaf holds no genesis document", index=0)
    return header.genesis


def found_again(registry: Registry, leaf: bytes, load: Load) -> tuple[Genesis, Block]:
    """The genesis document in a log's first leaf, and the block that founding a chain with it gives: that very leaf.

    Raises:
        InvalidBlock: the leaf holds no such document, or is not what follows from it.
        ConsensusError: a contract of the document is not installed here.
    """
    genesis = genesis_in(leaf)
    try:
        block = found(registry, genesis, load)
    except ValueError as error:  # a document that nobody could have founded a chain with
        raise InvalidBlock(f"the genesis document founds no chain: {error}", height=0, index=0) from error
    if block.leaves[0] != leaf:
        raise InvalidBlock("the genesis header does not follow from its document", height=0, index=0)
    return genesis, block
