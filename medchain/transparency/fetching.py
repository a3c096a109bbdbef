"""Fetching the entries of a published log: bundles in order, several ahead, each checked against its tile."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from itertools import chain

from medchain._native import leaf_hashes
from medchain.errors import MalformedProof, VerificationError
from medchain.transparency import layout
from medchain.transparency.source import Source
from medchain.transparency.tree import PublishedTree, read_part

__all__ = ["fetched_runs"]

RUN, RUN_BYTES = 4_096, 8 << 20
"""So many leaves, or bytes of them, are taken into the copy at once."""


def fetched_runs(
    source: Source, tree: PublishedTree, start: int, go_on: Callable[[], object]
) -> Generator[tuple[list[bytes], bytes], None, None]:
    """The leaves from index `start` on with their hashes, checked, some thousand at a time.

    `go_on` is called before each bundle, by whichever thread fetches it; what it raises breaks the fetching off.
    """
    leaves: list[bytes] = []
    hashes, size = bytearray(), 0
    with closing(_bundles(source, tree, start, go_on)) as bundles:
        for part, (found, hashed) in bundles:
            skip = max(0, start - part.start)
            leaves += found[skip:]
            hashes += hashed[32 * skip :]
            size += sum(map(len, found))
            if len(leaves) >= RUN or size >= RUN_BYTES or part.start + part.width >= tree.head.size:
                yield leaves, bytes(hashes)
                leaves, hashes, size = [], bytearray(), 0


def _bundles(
    source: Source, tree: PublishedTree, start: int, go_on: Callable[[], object]
) -> Generator[tuple[layout.Part, tuple[list[bytes], bytes]], None, None]:
    """Bundles in order, several being fetched ahead."""
    parts = layout.entries(tree.head.size, start)
    if source.parallel == 1:
        yield from ((part, _bundle(source, tree, part, go_on)) for part in parts)
        return
    waiting: deque[tuple[layout.Part, Future[tuple[list[bytes], bytes]]]] = deque()
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(source.parallel, "medchain-follow"))
        stack.callback(pool.shutdown, wait=True, cancel_futures=True)
        for part in chain(parts, [None] * (2 * source.parallel)):
            if part is not None:
                waiting.append((part, pool.submit(_bundle, source, tree, part, go_on)))
            if waiting and (part is None or len(waiting) > 2 * source.parallel):
                first, future = waiting.popleft()
                yield first, future.result()


def _bundle(
    source: Source, tree: PublishedTree, part: layout.Part, go_on: Callable[[], object]
) -> tuple[list[bytes], bytes]:
    """The entries of a bundle, each of which hashes to what the tile says."""
    go_on()
    data, which = read_part(source, part, part.width * (2 + layout.LONGEST_ENTRY))
    try:
        leaves = layout.unpack(data, which.width)[: part.width]
    except MalformedProof as error:
        raise VerificationError(f"{source.name}: {which.path}: {error}") from error
    hashes = leaf_hashes(leaves)
    if hashes != tree.tile(0, part.index)[: 32 * part.width]:
        raise VerificationError(f"{source.name}: {which.path} does not hold the entries that were signed")
    return leaves, hashes
