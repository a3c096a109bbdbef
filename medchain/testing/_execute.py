"""The other process of `medchain.testing.determinism`: a workload from stdin, executed, what came of it to stdout.

A transaction that a contract crashes on is left out, as the embedded engine would, and the rest goes on.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import random
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from attrs import field, frozen

from medchain.encoding import encode
from medchain.errors import InvalidTransaction
from medchain.ledger.contract import Contract
from medchain.ledger.entry import Entry, Header, Kind, parse_leaf
from medchain.ledger.registry import Registry
from medchain.ledger.state import NO_ROWS, Overlay
from medchain.ledger.transaction import Transaction
from medchain.ledger.transition import Block, BlockBuilder, found
from medchain.ledger.versions import RebuiltVersions
from medchain.records import decode_record, encode_record

__all__ = ["LEFT_OUT", "LIMIT", "Executed", "Reference", "Workload"]

LIMIT = 1 << 31
"""Most bytes that go to a process or come back, and so most values: the chain's own process wrote them."""

LEFT_OUT = b"\xff"
"""The beginning of what stands in the place of an entry that was left out; the reason follows."""


@frozen
class Reference:
    """Where a process finds a contract: module, name in it, file."""

    module: str
    name: str
    file: str

    @classmethod
    def to(cls, contract: type[Contract]) -> Reference:
        """The reference to a contract; ValueError if it is not at the top of a module in a file."""
        file = getattr(sys.modules.get(contract.__module__), "__file__", None)
        if file is None or "<locals>" in contract.__qualname__:
            raise ValueError(
                f"another process cannot find {contract.__qualname__}: define it at the top of a module in a file"
            )
        return cls(contract.__module__, contract.__qualname__, file)

    def load(self) -> Any:
        """The contract, imported by its module's name, or else from its file."""
        module = sys.modules.get(self.module) if self.module != "__main__" else None
        if module is None:
            module = self._import()
        return getattr(module, self.name)

    def _import(self) -> Any:
        if self.module != "__main__":
            try:
                return importlib.import_module(self.module)
            except ImportError:  # imported from its file there, as pytest does
                pass
        name = "recorded" if self.module == "__main__" else self.module
        spec = importlib.util.spec_from_file_location(name, self.file)
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module


@frozen
class Workload:
    """What a process is given: where to look for modules, the contracts, a chain's leaves."""

    path: tuple[str, ...]
    contracts: tuple[Reference, ...]
    leaves: tuple[bytes, ...] = field(repr=False)


@frozen
class Executed:
    """A block as a process has executed it: leaves, header last, and the rows that it changed: [key, value or null]."""

    leaves: tuple[bytes, ...]
    rows: Any


def execute(workload: Workload) -> Iterator[Executed]:
    """Execute a chain from its genesis on."""
    registry = Registry(reference.load() for reference in workload.contracts)
    first = parse_leaf(workload.leaves[0])
    assert isinstance(first, Header)
    assert first.genesis is not None
    rows, versions = Overlay(NO_ROWS), RebuiltVersions()
    block = found(registry, first.genesis, versions.load)
    yield _executed(block, block.leaves)
    for leaves in _blocks(workload.leaves[1:]):
        rows.changes.update(block.rows)
        versions.add(block)
        *entries, header = map(parse_leaf, leaves)
        assert isinstance(header, Header)
        builder = BlockBuilder(registry, first.genesis, block.tip, rows, header.time)
        builder.run_timers()
        left_out = dict(_add(builder, entries))
        block = builder.close()
        made = list(block.leaves)
        for place, why in left_out.items():
            made.insert(place, LEFT_OUT + why.encode())
        yield _executed(block, made)


def _add(builder: BlockBuilder, entries: Sequence[Any]) -> Iterator[tuple[int, str]]:
    """Execute the transactions of a block; the places of those that are left out, and why."""
    for place, entry in enumerate(entries):
        assert isinstance(entry, Entry)
        if entry.kind is Kind.TRANSACTION:
            try:
                builder.add(Transaction.from_bytes(entry.content))
            except InvalidTransaction as error:
                yield place, str(error)


def _blocks(leaves: Sequence[bytes]) -> Iterator[list[bytes]]:
    block: list[bytes] = []
    for leaf in leaves:
        block.append(leaf)
        if leaf[0] == Kind.HEADER:
            yield block
            block = []


def _executed(block: Block, leaves: Sequence[bytes]) -> Executed:
    return Executed(tuple(leaves), [[key, value] for key, value in block.rows.items()])


def _scatter(seed: int) -> list[bytes]:
    """Fill memory with holes, so that new objects lie in another order than they are made in."""
    chance = random.Random(seed)  # noqa: S311 - nothing secret
    made = [bytes(chance.randrange(16, 512)) for _ in range(20_000)]
    return [each for each in made if chance.random() < 0.5]


def main() -> None:
    """Read a workload, execute it, write the list of encoded blocks. Whatever else is printed goes to stderr."""
    answer = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    workload = decode_record(Workload, sys.stdin.buffer.read(), limit=LIMIT, values=LIMIT)
    sys.path[:] = workload.path
    kept = _scatter(int(os.environ["PYTHONHASHSEED"]))
    blocks = [encode_record(block) for block in execute(workload)]
    with answer:
        answer.write(encode([*blocks]))
    del kept


if __name__ == "__main__":
    main()
