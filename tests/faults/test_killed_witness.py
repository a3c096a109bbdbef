"""A witness's process dies at random moments, also between storing and signing: it never contradicts itself.

Its log is at worst: at every step it signs two histories that both grow from what was cosigned last, and asks for both
at once. What was cosigned of all that, before and after each kill, is one history.
"""

from __future__ import annotations

import itertools
import random
import threading
from pathlib import Path

import pytest
from attrs import define, field
from processes import LONG, Process, Start, hear
from stores import LASTING, Place
from transparency.witnesses import CLASSIC, ORIGIN, QUANTUM, Log

from medchain.errors import MedchainError
from medchain.ledger.cosignature import ED25519_COSIGNATURE, KINDS
from medchain.ledger.note import VerifierKey
from medchain.merkle import Head
from medchain.transparency import Witness, WitnessClient
from medchain.transparency.addcheckpoint import AddCheckpoint, read_cosignatures
from medchain.transparency.http import Server

TESTS = Path(__file__).parent.parent
ROUNDS = 200 if LONG else 8

SCRIPT = """
sys.path.insert(0, sys.argv[2])
from transparency.witnesses import CLASSIC, ORIGIN, QUANTUM, Log
from medchain.transparency import Witness, WitnessServer
witness = Witness([CLASSIC, QUANTUM], {ORIGIN: Log().keys}, store)
server = WitnessServer(witness)
say(server.url)
"""

DIES = """
import signal, medchain.transparency.witness as module
real = module.NoteSigner.sign
def sign(self, text, time=None):
    os.kill(os.getpid(), signal.SIGKILL)  # it is stored, and not signed yet
module.NoteSigner.sign = sign
"""


@define
class History:
    """What was cosigned, by whom it was told; and every history that the log has signed, by its head."""

    known: dict[Head, Log] = field(factory=lambda: {Log().tree.head: Log()})
    said: list[tuple[Head, int]] = field(factory=list)
    count: int = 0

    def ask(self, url: str, log: Log, old: int) -> int:
        """Send a checkpoint of this history; the status, or 0 if the witness has died."""
        request = AddCheckpoint.of(log.checkpoint(), old, log.prove(old, len(log.leaves)).path if old else ())
        self.known[request.head] = log
        try:
            with Server(url, seconds=20) as server:
                answer = server.post("add-checkpoint", bytes(request), limit=1 << 16)
        except MedchainError:
            return 0
        if answer.status == 200:
            lines = read_cosignatures(answer.body, request.note, (CLASSIC.key, QUANTUM.key))
            assert len(lines) == 2
            self.count += 1
            self.said += [(request.head, time_of(key, line.signature)) for key, line in lines.items()]
        return answer.status

    def check(self) -> None:
        """All cosigned heads are of one history, and no larger one names an earlier time."""
        ordered = sorted(set(self.said), key=lambda each: (each[0].size, each[1]))
        for (small, early), (large, late) in itertools.pairwise(ordered):
            log = self.known[large]
            assert log.tree.head_at(small.size) == small, "two histories were cosigned"
            assert early <= late

    def go_on_from(self, head: Head) -> None:
        """Forget all but what a later contradiction would be seen by."""
        self.known = {head: self.known[head]}
        self.said = [(said, time) for said, time in self.said if said == head]


def time_of(key: VerifierKey, signature: bytes) -> int:
    time = KINDS[key.type].time(signature)
    assert time is not None
    return time


def run(history: History, url: str, base: Log, name: str) -> None:
    """Two histories at once, step by step, until the witness dies."""
    for step in range(10_000):
        branches = [
            base.grow(*(f"{name} {step} {branch} {leaf}" for leaf in range(1 + branch))) for branch in (0, 1)
        ]
        statuses = [0, 0]

        def ask(
            at: int, base: Log = base, branches: list[Log] = branches, statuses: list[int] = statuses
        ) -> None:
            statuses[at] = history.ask(url, branches[at], len(base.leaves))

        threads = [threading.Thread(target=ask, args=(at,)) for at in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if 0 in statuses:
            return
        assert sorted(statuses) == [200, 409]
        base = branches[statuses.index(200)]


def stored(place: Place) -> Head | None:
    with place.open() as store:
        latest = Witness([CLASSIC, QUANTUM], {ORIGIN: Log().keys}, store).latest(ORIGIN)
    return latest.head if latest else None


@pytest.mark.parametrize("kind", LASTING)
def test_a_killed_witness_says_nothing_that_contradicts_it(tmp_path: Path, start: Start, kind: str) -> None:
    place, history, chance = Place(kind, tmp_path / "memory"), History(), random.Random(kind)
    with place.open() as store:
        Witness.begin(store, [CLASSIC, QUANTUM])
    for number in range(ROUNDS):
        process = start(f"store = {place.code()}" + SCRIPT + "hear()", tmp_path, TESTS)
        url = hear(process)
        head = stored_by(url, history)
        assert head.size >= max((said.size for said, _ in history.said), default=0), "it has forgotten"
        killer = threading.Timer(chance.uniform(0, 0.15), process.kill)
        killer.start()
        run(history, url, history.known[head], str(number))
        killer.join()
        process.communicate()
        history.check()
        latest = stored(place)
        assert_not_older(latest, history)
        if latest is not None:
            history.go_on_from(latest)
    assert history.count > ROUNDS


def stored_by(url: str, history: History) -> Head:
    """What the witness remembers: of all heads of the size that it names, the one that it cosigns again."""
    with Server(url, seconds=20) as server:
        largest = max(history.known.values(), key=lambda log: len(log.leaves)).grow("a larger one")
        request = AddCheckpoint.of(largest.checkpoint(), len(largest.leaves), ())
        answer = server.post("add-checkpoint", bytes(request), limit=99)
    assert answer.status == 409
    size = int(answer.body)
    again = [
        log
        for head, log in history.known.items()
        if head.size == size and (size == 0 or history.ask(url, log, size) == 200)
    ]
    assert len(again) == 1, "it cosigns one history of the size that it remembers"
    return again[0].tree.head


def assert_not_older(head: Head | None, history: History) -> None:
    largest = max((said for said, _ in history.said), key=lambda said: said.size, default=None)
    if largest is not None:
        assert head is not None
        assert head.size >= largest.size
        assert history.known[head].tree.head_at(largest.size) == largest


@pytest.mark.parametrize("kind", LASTING)
def test_killed_between_storing_and_signing(tmp_path: Path, start: Start, kind: str) -> None:
    """The worst moment, hit each time: the larger size is remembered, and the smaller one is never cosigned again."""
    place, history = Place(kind, tmp_path / "memory"), History()
    with place.open() as store:
        Witness.begin(store, [CLASSIC, QUANTUM])
    log = Log()
    for number in range(3):
        old, log = len(log.leaves), log.grow(str(number))
        dying: Process = start(f"store = {place.code()}" + SCRIPT + DIES + "hear()", tmp_path, TESTS)
        assert history.ask(hear(dying), log, old) == 0
        dying.wait(20)
        assert stored(place) == log.tree.head
        other = Log([*log.leaves[:-1], "another"])
        process = start(f"store = {place.code()}" + SCRIPT + "hear()", tmp_path, TESTS)
        url = hear(process)
        assert history.ask(url, other, old) == 409
        assert history.ask(url, other, len(log.leaves)) == 409
        assert history.ask(url, other.grow("more"), len(log.leaves)) == 422
        with WitnessClient(url, CLASSIC.key) as client:
            line = client.add_checkpoint(log.checkpoint(), log.prove, since=old)[CLASSIC.key]
        assert KINDS[ED25519_COSIGNATURE].time(line.signature)
        process.kill()
        process.communicate()
    history.check()
