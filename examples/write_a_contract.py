"""A contract of one's own, running: rules, refusals, a timer, a proof, a second version that keeps the tables.

Run it: python examples/write_a_contract.py

The contract stands in examples/cold_chain; docs/how-to/write-a-contract.md builds it from nothing. Every line that is
printed was checked first. The exit status is 1 if one does not hold.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cold_chain.client import Shipments
from cold_chain.contract import ColdChain
from cold_chain.messages import Delivered, Missing, ReadingRow, Silent, Spoiled
from cold_chain.second import ColdChain2, Recall, ShipmentRow2

import medchain as mc
from medchain.errors import InvalidTransaction
from medchain.ledger.governance import Activate, Governance
from medchain.testing import assert_deterministic, wallets

HOUR = 3_600_000
MAKER, PHARMACY, PROBE, STRANGER = wallets("maker", "pharmacy", "probe", "stranger")


class Clock:
    """The time now, ms, set by hand: nobody wants to wait for hours here."""

    now = 1_800_000_000_000

    def __call__(self) -> int:
        return self.now


def show(claim: object, told: str) -> None:
    """Print what holds; end with exit status 1 if it does not."""
    if not claim:
        raise SystemExit(f"this does not hold: {told}")
    print(f"· {told}")


def code(action: Callable[..., Any], *arguments: Any, **options: Any) -> str:
    """The code with which the contract refuses, or ``ok``."""
    try:
        action(*arguments, **options)
    except mc.Refused as refused:
        return refused.reason
    return "ok"


def events(chain: mc.Chain, kind: type) -> list[Any]:
    """All events of one class, oldest first."""
    logged = (event for _, entry in chain.entries() for event in entry.outcome.events)
    return [event.read(kind) for event in logged if event.is_a(kind)]


def first_version(chain: mc.Chain, clock: Clock) -> bytes:
    """A shipment from the maker to the pharmacy; its id."""
    mc.Parties(chain).register(PHARMACY, PROBE, STRANGER, by=MAKER)
    shipments = Shipments(chain)
    ship = shipments.ship(by=MAKER, to=PHARMACY.party, probe=PROBE.party, low=20, high=80, every=HOUR)
    for tenths in (45, 52, 61):
        clock.now += HOUR // 2
        shipments.measure(ship, tenths, by=PROBE)
    readings = list(shipments.readings(ship))
    show([each.tenths for each in readings] == [45, 52, 61], "readings lie in the order of their numbers")
    show(readings[0] == ReadingRow(45, clock.now - HOUR), "with the block time, which no sender chooses")

    show(code(shipments.measure, ship, 50, by=STRANGER) == "not-yours", "a stranger measures nothing")
    show(code(shipments.deliver, ship, by=STRANGER) == "not-yours", "a stranger takes nothing over")
    show(
        code(shipments.measure, bytes(32), 50, by=PROBE) == "unknown-shipment",
        "nor does one that is not there",
    )
    timer = Missing(ship, 3)
    show(code(chain.send, ColdChain, timer, by=[STRANGER]) == "not-yours", "a timer's message cannot be sent")

    receipt = shipments.measure(ship, 93, by=PROBE)
    show(receipt.events[0].read(Spoiled) == Spoiled(ship, 93), "too warm: the receipt says so")
    clock.now += 2 * HOUR
    chain.checkpoint(fresh=True)  # on a server nobody has to ask: a block is cut when a timer is due
    show(events(chain, Silent) == [Silent(ship, 4)], "two hours without a reading: the timer has noticed")
    receipt = shipments.deliver(ship, by=PHARMACY)
    show(receipt.events[0].read(Delivered) == Delivered(ship, intact=False), "so it arrived, but not intact")
    show(code(shipments.measure, ship, 50, by=PROBE) == "closed", "and takes no readings any more")
    return ship


def proofs(chain: mc.Chain, ship: bytes) -> None:
    """Files that anybody checks who has the chain's trust file, and nothing else."""
    proof, trust = Shipments(chain).prove(ship), chain.trust
    row = mc.verify_state(proof, ColdChain.shipments, ship, trust=trust).value
    show(row and (row.readings, row.flaws) == (4, 2), "a proof shows the shipment's row to an inspector")
    well = Shipments(chain).ship(by=MAKER, to=PHARMACY.party, probe=PROBE.party, low=20, high=80, every=HOUR)
    check = (ColdChain.shipments, ship)
    show(
        _fails(mc.verify_state, Shipments(chain).prove(well), *check, trust=trust),
        "who asks for this shipment is not shown another one, which came through well",
    )
    altered = proof[:-9] + bytes([proof[-9] ^ 1]) + proof[-8:]
    show(_fails(mc.verify_state, altered, *check, trust=trust), "an altered proof shows nothing")
    absent = mc.verify(chain.prove_absent(ColdChain.shipments, bytes(32)), mc.Absent, trust=trust).value
    show(
        absent == mc.Absent("cold_chain", "shipments", bytes(32)),
        "another one shows that there is no such shipment",
    )


def second_version(chain: mc.Chain, ship: bytes) -> None:
    """Let version 2 execute from a height on."""
    height = chain.height + 3
    decision = Activate(ColdChain2.name, ColdChain2.version, ColdChain2.digest(), height)
    chain.send(Governance, decision, by=[MAKER])
    shipments = Shipments(chain)
    second = shipments.ship(by=MAKER, to=PHARMACY.party, probe=PROBE.party, low=20, high=80, every=HOUR)
    show(chain.height == height - 1, f"before height {height} version 1 goes on")
    show(_fails(shipments.measure, second, 50, by=PROBE), "from there on its messages are refused")
    rows = chain.table(ColdChain2.shipments)
    show(
        isinstance(rows[ship], ShipmentRow2) and rows[ship].recalled is None, "old rows are read as new ones"
    )
    chain.send(ColdChain2, Recall(second), by=[MAKER])
    show(rows[second].recalled == chain.header().time, "and version 2 recalls a shipment of version 1")


def _fails(action: Callable[..., Any], *arguments: Any, **options: Any) -> bool:
    try:
        action(*arguments, **options)
    except (mc.VerificationError, InvalidTransaction):
        return True
    return False


def main() -> None:
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        path, mark = Path(folder) / "chain", Path(folder) / "mark"
        with mc.Chain.create(
            path,
            origin="vaccines.example/cold-chain",
            authority=MAKER,
            gate=None,
            contracts=[ColdChain],
            mark=mark,
            clock=clock,
        ) as chain:
            ship = first_version(chain, clock)
            proofs(chain, ship)
        # The software is updated; it has both versions now, and keeps the first for all blocks that it executed.
        both = [ColdChain, ColdChain2]
        with mc.Chain.open(path, authority=MAKER, contracts=both, mark=mark, clock=clock) as chain:
            second_version(chain, ship)
            chain.audit()
            assert_deterministic(chain)
            show(True, "executed again from the beginning, twice, under other hash seeds: the same bytes")


if __name__ == "__main__":
    main()
