"""Transactions through the embedded engine, durable in LMDB, against a budget and against their bare signatures."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ledger.counting import Add, Counting
from ledger.world import wallet

from medchain.chain import Chain
from medchain.consensus import Submission
from medchain.keys.signing import verify
from medchain.keys.wallet import Wallet
from medchain.ledger import Signed, Transaction
from medchain.ledger.keys import Keys, Register

Compare = Callable[..., object]

PEOPLE, EACH, ROUNDS, IN_FLIGHT = 16, 125, 3, 100
COUNT = PEOPLE * EACH
BUDGET = COUNT / 2_000
"""Seconds for one round: 2,000 transactions a second are asked for."""


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Chain]:
    authority = wallet("authority")
    with Chain.create(
        tmp_path / "chain",
        origin="bench.example/ledger",
        authority=authority,
        gate=None,
        contracts=[Counting],
        mark=tmp_path / "mark",
    ) as made:
        yield made


def signed(chain: Chain, people: list[Wallet]) -> list[bytes]:
    """Transactions of all people in turns; each touches three rows: two totals and its sender's replay window."""
    return [
        bytes(Signed.start(chain.prepare(Counting, Add(1), [person.party])).sign(person).transaction)
        for _ in range(EACH)
        for person in people
    ]


def push(chain: Chain, transactions: list[bytes]) -> None:
    """Submit all, at most 100 at a time without a receipt."""
    flying: deque[Submission] = deque()
    for raw in transactions:
        if len(flying) == IN_FLIGHT:
            flying.popleft().result(60)
        flying.append(chain.submit(raw))
    for submission in flying:
        submission.result(60)


def bare(transactions: list[bytes], people: list[Wallet]) -> Callable[[], None]:
    """Verify the same signatures and do nothing else."""
    checks = [
        (people[number % PEOPLE].party.signing_key, read.signed_bytes, read.signatures[0])
        for number, read in enumerate(map(Transaction.from_bytes, transactions))
    ]

    def run() -> None:
        for key, message, signature in checks:
            verify(key, message, signature)

    return run


@pytest.mark.parametrize("against", ["2,000 a second", "bare signatures"])
def test_commit(compare: Compare, chain: Chain, against: str) -> None:
    people = [wallet(f"person {number}") for number in range(PEOPLE)]
    for person in people:
        new = Register("person", person.party.signing_key, person.party.recipient_key)
        chain.send(Keys, new, by=[wallet("authority"), person])
    batches = [
        signed(chain, people) for _ in range(2 * ROUNDS)
    ]  # the comparison and pytest-benchmark use them up
    fresh, budget = iter(batches), against.startswith("2,000")
    compare(
        f"commit, 100 in flight: {against}",
        lambda: push(chain, next(fresh)),
        BUDGET if budget else bare(batches[0], people),
        count=COUNT,
        target=1 if budget else None,
        rounds=ROUNDS,
    )
