"""A follower's process dies at random moments: its copy holds only what was signed, and goes on where it ended."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from processes import LONG, Start, hear
from transparency.logs import CONTRACTS, Published

from medchain.transparency import PublishedLog

TESTS = Path(__file__).parent.parent
ROUNDS = 100 if LONG else 6

SCRIPT = """
import medchain.transparency.published as module
from medchain.ledger.trust import Trust
sys.path.insert(0, sys.argv[4])
from transparency.logs import CONTRACTS
module.RUN = 32
executed = sys.argv[5] == "executed"
log = module.PublishedLog(sys.argv[2], sys.argv[3], path, contracts=CONTRACTS if executed else None)
commit, left = log._store.commit, int(sys.argv[6])
def dying(batch):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    commit(batch)
log._store.commit = dying
say("ready")
log.update()
say("done")
"""


@pytest.mark.parametrize("kind", ["leaves", "executed"])
def test_a_follower_that_is_killed_again_and_again(tmp_path: Path, start: Start, kind: str) -> None:
    published = Published.make(tmp_path / "pub", 150)
    published.trust.save(tmp_path / "trust")
    leaves, rng, sizes = published.leaves(), random.Random(5), [0]
    contracts = CONTRACTS if kind == "executed" else None
    copy = tmp_path / "copy"
    for _ in range(ROUNDS):
        arguments = (copy, tmp_path / "pub", tmp_path / "trust", TESTS, kind, rng.randrange(4))
        process = start(SCRIPT, *arguments)
        assert hear(process) == "ready"
        ended = hear(process)
        process.wait(60)
        with PublishedLog(published.folder, published.trust, copy, contracts=contracts) as log:
            taken = log._copy.size
            assert list(log._copy.archive.leaves(0, taken)) == leaves[:taken]
            assert taken >= sizes[-1]
            assert log.size == (taken if ended == "done" else 0)
        sizes.append(taken)
        if ended == "done":
            break
    assert len(sizes) > 2
    with PublishedLog(published.folder, published.trust, copy, contracts=contracts) as log:
        log.update()
        assert log.head == published.world.chain.head
        log.audit()
