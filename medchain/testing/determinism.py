"""Double execution: a recorded chain executed again in processes that differ in all that must not matter.

The registration check reads source, and cannot read all. Here the contracts run, in one process for each seed: each has
its own order of sets and hashes of text (``PYTHONHASHSEED``), and they differ in the addresses of objects, the
allocator, the time zone and whether assertions count. Every entry must come out as it was recorded, and every header,
with the state root in it.

>>> import medchain as mc
>>> with mc.Chain.in_memory(authority=(hospital := mc.Wallet.generate())) as chain:
...     _ = mc.Parties(chain).register(mc.Wallet.generate(), by=hospital)
...     assert_deterministic(chain)
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from medchain.chain import Chain
from medchain.encoding import decode
from medchain.errors import EncodingError
from medchain.ledger.entry import Entry, Header, Kind, parse_leaf
from medchain.ledger.transaction import Transaction
from medchain.records import decode_record, encode_record
from medchain.testing._execute import LEFT_OUT, LIMIT, Executed, Reference, Workload

__all__ = ["assert_deterministic"]


def assert_deterministic(chain: Chain, *, seeds: Sequence[int] = (1, 2)) -> None:
    """Execute all of a chain again, once for each seed, and compare every leaf with the recorded one.

    What it can show depends on what the chain has recorded: let each message come, with many of whatever it takes
    several of. A set of two has the same order in every second process.

    Args:
        chain: open for reading or writing, with all its leaves: none that was restored from a snapshot.
        seeds: of the processes, odd and even ones.

    Raises:
        AssertionError: with the first entry that comes out differently, and how.
        ValueError: there is nothing to execute, or not all of it is here; or a contract is not defined at the top of a
            module in a file.
    """
    try:
        leaves = tuple(chain.entry(index).leaf for index in range(chain.head.size))
    except IndexError:
        raise ValueError("the chain was restored from a snapshot: what it executed is not here") from None
    if all(leaf[0] == Kind.HEADER for leaf in leaves):
        raise ValueError("the chain has no entries: there is nothing to execute")
    contracts = tuple(
        Reference.to(each)
        for each in chain._registry.classes.values()
        if not each.__module__.startswith("medchain.ledger.")  # every registry has these
    )
    workload = encode_record(Workload(tuple(sys.path), contracts, leaves))
    with ThreadPoolExecutor() as pool:
        results = list(pool.map(lambda seed: _execute(workload, seed), seeds))
    for seed, blocks in zip(seeds, results, strict=True):
        _compare(leaves, blocks, results, f"under seed {seed}")


def _execute(workload: bytes, seed: int) -> list[Executed]:
    """What a process of its own makes of the workload."""
    even = seed % 2 == 0
    environment = os.environ | {
        "PYTHONHASHSEED": str(seed),
        "PYTHONMALLOC": "malloc" if even else "pymalloc",
        "TZ": "Asia/Kathmandu" if even else "America/St_Johns",
    }
    flags = ["-O"] if even else []
    command = [sys.executable, *flags, "-m", "medchain.testing._execute"]
    done = subprocess.run(command, input=workload, capture_output=True, env=environment, check=False)  # noqa: S603
    if done.returncode != 0:
        raise AssertionError(
            f"executing the chain again under seed {seed} failed:\n{done.stderr.decode(errors='replace')}"
        )
    try:
        blocks: Any = decode(done.stdout, limit=LIMIT, values=LIMIT)
        return [decode_record(Executed, block, limit=LIMIT, values=LIMIT) for block in blocks]
    except EncodingError as error:
        raise AssertionError(f"what the process under seed {seed} tells cannot be read: {error}") from error


def _compare(
    leaves: Sequence[bytes], blocks: Sequence[Executed], results: Sequence[Sequence[Executed]], where: str
) -> None:
    """Refuse the first leaf of `blocks` that is not the recorded one; `results` are the blocks of all processes."""
    position = 0
    for height, block in enumerate(blocks):
        recorded = leaves[position : position + len(block.leaves)]
        for offset, (mine, theirs) in enumerate(zip(block.leaves, recorded, strict=True)):
            if mine != theirs:
                what = _difference(theirs, mine, _tables([each[height] for each in results]))
                raise AssertionError(f"entry {position + offset} comes out differently {where}: {what}")
        position += len(block.leaves)
    assert position == len(leaves)


def _difference(recorded: bytes, executed: bytes, tables: str) -> str:
    """In words, what differs between two leaves."""
    if executed[:1] == LEFT_OUT:
        return f"{_about(recorded)} is left out: {executed[1:].decode()}"
    before, after = parse_leaf(recorded), parse_leaf(executed)
    if isinstance(before, Entry) and isinstance(after, Entry):
        pairs = {
            "code": (before.outcome.code, after.outcome.code),
            "events": (before.outcome.events, after.outcome.events),
            "subjects": (before.outcome.subjects, after.outcome.subjects),
        }
        told = [f"{name} {was} instead of {is_}" for name, (is_, was) in pairs.items() if is_ != was]
        return f"{_about(recorded)} has {'; '.join(told) or 'other content'}"
    assert isinstance(before, Header)
    return f"the state after block {before.height} differs{tables}"


def _tables(blocks: Sequence[Executed]) -> str:
    """The tables in whose rows processes differ from each other; nothing if they only differ from the recording."""
    rows: list[dict[bytes, bytes | None]] = [dict(block.rows) for block in blocks]
    differing = {key for each in rows for key in each if any(each[key] != one.get(key) for one in rows)}
    names = {".".join(key[1:].decode(errors="replace").split("\0")[:2]) for key in differing}
    return f", in {', '.join(sorted(names))}" if names else ""


def _about(leaf: bytes) -> str:
    entry = parse_leaf(leaf)
    assert isinstance(entry, Entry)
    if entry.kind is Kind.TIMER:
        content: Any = decode(entry.content)
        return f"the timer {content[2]} {content[3][0]}"
    body = Transaction.from_bytes(entry.content).body
    return f"{body.contract} {body.message_name}"
