"""A long chain against a short one: opening, appending, proving, auditing; what it takes in memory.

``MEDCHAIN_BENCH_ENTRIES`` says how long the long one is, by default 100,000 entries; 1,000,000 take minutes to grow.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ledger.counting import Counting
from ledger.world import wallet
from test_ledger import EACH, PEOPLE, bare, push, signed
from ticking import Tick, Ticking, grown, reopened

import medchain as mc
from medchain.chain import Chain
from medchain.ledger.keys import Keys, Register
from medchain.ledger.transition import KEPT_VERSIONS

Compare = Callable[..., object]

LONG, SHORT = int(os.environ.get("MEDCHAIN_BENCH_ENTRIES", "100000")), 1_000
PROOFS, APPENDED, OPENINGS = 200, 100, 10


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    places = {}
    for size in (SHORT, LONG):
        places[size] = tmp_path_factory.mktemp("chain")
        grown(places[size], size)[0].close()
    return places


def test_open(compare: Compare, folders: dict[int, Path]) -> None:
    def opening(size: int) -> Callable[[], None]:
        def run() -> None:
            for _ in range(OPENINGS):
                reopened(folders[size]).close()

        return run

    compare(
        f"open: {LONG:,} entries against {SHORT:,}",
        opening(LONG),
        opening(SHORT),
        count=OPENINGS,
        target=1 / 1.5,
    )


def test_append(compare: Compare, folders: dict[int, Path]) -> None:
    """Each block also deletes what the one before the kept states had: so first all of those are blocks like these."""
    chains = {size: reopened(folder) for size, folder in folders.items()}
    for chain in chains.values():
        for _ in range(KEPT_VERSIONS + 1):
            chain.send(Ticking, Tick(1), by=[wallet("authority")])

    def appending(size: int) -> Callable[[], None]:
        def run() -> None:
            for _ in range(APPENDED):
                chains[size].send(Ticking, Tick(1), by=[wallet("authority")])

        return run

    compare(
        f"append: {LONG:,} entries against {SHORT:,}",
        appending(LONG),
        appending(SHORT),
        count=APPENDED,
        target=1 / 1.3,
    )
    for chain in chains.values():
        chain.close()


@pytest.fixture
def proving(folders: dict[int, Path]) -> Iterator[tuple[Chain, list[int]]]:
    """The long chain, and some of its entries."""
    with reopened(folders[LONG]) as chain:
        indexes = random.Random(1).sample(range(1, chain.head.size), 2 * PROOFS)
        yield chain, [index for index in indexes if isinstance(chain.entry(index), mc.Entry)][:PROOFS]


def test_prove(compare: Compare, proving: tuple[Chain, list[int]]) -> None:
    chain, indexes = proving
    compare(
        "prove an entry, in 200 µs",
        lambda: [chain.prove(index) for index in indexes],
        PROOFS * 200e-6,
        count=PROOFS,
        target=1,
    )


def test_verify(compare: Compare, proving: tuple[Chain, list[int]]) -> None:
    chain, indexes = proving
    proofs = [chain.prove(index) for index in indexes]
    compare(
        "verify a proof, in 1 ms",
        lambda: [mc.verify(proof, mc.Entry, trust=chain.trust) for proof in proofs],
        PROOFS * 1e-3,
        count=PROOFS,
        target=1,
    )


def test_audit(compare: Compare, tmp_path: Path) -> None:
    """Every signature is checked again and every entry executed again, on one thread."""
    authority = wallet("authority")
    people = [wallet(f"person {number}") for number in range(PEOPLE)]
    where: dict[str, Any] = {"path": tmp_path / "chain", "mark": tmp_path / "mark", "contracts": [Counting]}
    with Chain.create(origin="bench.example/audit", authority=authority, gate=None, **where) as chain:
        for person in people:
            new = Register("person", person.party.signing_key, person.party.recipient_key)
            chain.send(Keys, new, by=[authority, person])
        transactions = signed(chain, people)
        push(chain, transactions)
        compare(
            "audit against bare signatures",
            chain.audit,
            bare(transactions, people),
            count=PEOPLE * EACH,
            target=0.5,
            rounds=3,
        )


MEMORY = """
import sys
from pathlib import Path
import psutil
from ticking import Tick, Ticking, reopened
from ledger.world import wallet
chain = reopened(Path(sys.argv[1]))
for _ in range(100):
    chain.send(Ticking, Tick(1), by=[wallet("authority")])
chain.prove(chain.head.size // 2)
print(psutil.Process().memory_info().rss)
"""


def test_memory(folders: dict[int, Path], weigh: Callable[[str, float, float], None]) -> None:
    """What a process takes that has opened the long chain, appended and proved. (Its peak would count this one's.)"""
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(folders[LONG])],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    weigh(f"memory of an open chain of {LONG:,} entries, in 200 MB", int(done.stdout) / (1 << 20), 200)
