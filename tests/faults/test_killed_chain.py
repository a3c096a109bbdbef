"""A chain's process dies at random moments: what it told another process to be final is there, and all of it holds."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from ledger.counting import Add, Counting
from ledger.world import CONTRACTS, wallet
from processes import LONG, Start
from stores import LASTING, Place

from medchain.chain import Chain
from medchain.storage import MemoryBlobs

TESTS = Path(__file__).parent.parent
ROUNDS = 200 if LONG else 3

SCRIPT = """
sys.path.insert(0, sys.argv[2])
from collections import deque
from ledger.counting import Add, Counting
from ledger.world import CONTRACTS, wallet
from medchain.chain import Chain
from medchain.ledger import Signed
from medchain.storage import MemoryBlobs
authority = wallet('authority')
chain = Chain.open(path, authority=authority, contracts=CONTRACTS, store=store, blobs=MemoryBlobs(), mark=path / 'mark')
flying = deque()
say('open')
while True:
    body = chain.prepare(Counting, Add(1), [authority.party])
    flying.append(chain.submit(Signed.start(body).sign(authority)))
    if len(flying) == 20:
        receipt = flying.popleft().result(60)
        say(receipt.index, receipt.id.hex())
    if len(flying) % 7 == 0:
        chain.checkpoint()
"""


def opened(place: Place, folder: Path, *, writing: bool) -> Chain:
    return Chain.open(
        folder,
        authority=wallet("authority") if writing else None,
        contracts=CONTRACTS,
        store=place.open(read_only=not writing),
        blobs=MemoryBlobs(),
        mark=folder / "mark",
    )


@pytest.mark.parametrize("kind", LASTING)
def test_what_was_acknowledged_is_there_and_everything_holds(tmp_path: Path, start: Start, kind: str) -> None:
    place, folder = Place(kind, tmp_path / "store"), tmp_path / "chain"
    folder.mkdir()
    Chain.create(
        folder, origin="killed.example", authority=wallet("authority"), gate=None, contracts=CONTRACTS,
        store=place.open(), blobs=MemoryBlobs(), mark=folder / "mark",
    ).close()  # fmt: skip
    chance, acknowledged = random.Random(kind), dict[int, str]()
    for number in range(ROUNDS):
        writer = start(f"store = {place.code()}" + SCRIPT, folder, TESTS)
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        time.sleep(chance.uniform(0, 0.3))
        writer.kill()
        lines = [
            line.split() for line in writer.communicate()[0].splitlines(keepends=True) if line.endswith("\n")
        ]
        acknowledged |= {int(index): id for index, id in lines}
        with opened(place, folder, writing=False) as chain:
            for index, id in acknowledged.items():
                assert chain._archive.find(bytes.fromhex(id)) == index
            if number % 20 == 0 or number == ROUNDS - 1:
                chain.audit()
    assert acknowledged
    with opened(place, folder, writing=True) as chain:
        total = sum(1 for _, entry in chain.entries() if entry.outcome.ok)
        assert chain.table(Counting.totals)[wallet("authority").party.id].total == total
        assert chain.send(Counting, Add(1), by=[wallet("authority")]).ok
        chain.audit()
