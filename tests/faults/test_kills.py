"""A writing process dies at random moments: what it acknowledged is there, and nothing is half there."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest
from processes import LONG, Start, hear
from stores import LASTING, Place

ROUNDS = 200 if LONG else 10

SCRIPT = """
number = int(store.get(b'number') or 0)
say(number)
while True:
    number += 1
    batch = Batch()
    batch.put(b'number', str(number).encode())
    batch.delete_range(b'part-', b'part.')
    for part in range(number % 50):
        batch.put(b'part-%d-%d' % (number, part), bytes(997))
    store.commit(batch)
    say(number)
"""


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("kind", LASTING)
def test_acknowledged_commits_survive_and_none_is_half_there(
    tmp_path: Path, start: Start, kind: str, death: signal.Signals
) -> None:
    place = Place(kind, tmp_path / "store")
    chance = random.Random(4)
    acknowledged = 0
    for _ in range(ROUNDS):
        writer = start(f"store = {place.code()}" + SCRIPT)
        assert int(hear(writer)) >= acknowledged
        time.sleep(chance.uniform(0, 0.08))
        writer.send_signal(death)
        lines = writer.communicate()[0].splitlines()
        acknowledged = max([acknowledged, *map(int, lines)])
        with place.open() as store:
            number = int(store.get(b"number") or 0)
            assert number in (acknowledged, acknowledged + 1)
            acknowledged = number
            parts = [key for key, _ in store.scan(b"part-", b"part.")]
            assert len(parts) == number % 50
            assert all(key.startswith(b"part-%d-" % number) for key in parts)
    assert acknowledged > ROUNDS
