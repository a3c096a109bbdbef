"""The example checks itself; here it is run, found by its entry point, and its rules are tried one by one."""

from __future__ import annotations

import runpy
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from ledger.world import Clock

import medchain as mc
from medchain.chain import installed_contracts
from medchain.ledger import Entry, check
from medchain.ledger.registration import check_successor
from medchain.testing import wallets

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SCRIPT = EXAMPLES / "write_a_contract.py"
HOUR = 3_600_000
MAKER, PHARMACY, PROBE, STRANGER = wallets("maker", "pharmacy", "probe", "stranger")


@pytest.fixture(autouse=True)
def beside_the_example(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def chain(clock: Clock) -> Iterator[mc.Chain]:
    from cold_chain.contract import ColdChain

    with mc.Chain.in_memory(authority=MAKER, contracts=[ColdChain], clock=clock) as made:
        mc.Parties(made).register(PHARMACY, PROBE, STRANGER, by=MAKER)
        yield made


def test_it_runs(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(SCRIPT), run_name="__main__")
    told = capsys.readouterr().out.splitlines()
    assert told[-1].endswith("the same bytes")
    assert len(told) == 19


def test_its_exit_status_tells(tmp_path: Path) -> None:
    """A rule that does not hold is told, and ends with status 1."""
    copy = tmp_path / "examples"
    (copy / "cold_chain").mkdir(parents=True)
    for file in (SCRIPT, *(EXAMPLES / "cold_chain").glob("*.py")):
        (copy / file.relative_to(EXAMPLES)).write_text(file.read_text())
    contract = copy / "cold_chain" / "contract.py"
    for before, after, status in (("== row.probe", "== row.probe", 0), ("== row.probe", "!= b''", 1)):
        contract.write_text(contract.read_text().replace(before, after))
        done = subprocess.run(
            [sys.executable, str(copy / SCRIPT.name)], capture_output=True, text=True, check=False
        )
        assert done.returncode == status, done.stderr
    assert done.stderr == "this does not hold: a stranger measures nothing\n"


def test_its_contracts_are_registered() -> None:
    from cold_chain.contract import ColdChain
    from cold_chain.second import ColdChain2

    check(ColdChain)
    check(ColdChain2)
    check_successor(ColdChain, ColdChain2)


def test_contracts_are_found_by_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an installer writes for the pyproject.toml of the how-to."""
    from cold_chain.contract import ColdChain
    from cold_chain.second import ColdChain2

    installed = tmp_path / "cold_chain-2.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: cold-chain\nVersion: 2.0\n")
    page = (EXAMPLES.parent / "docs" / "how-to" / "write-a-contract.md").read_text()
    section = page.partition('[project.entry-points."medchain.contracts"]\n')[2].partition("```")[0]
    lines = [line.replace('"', "") for line in section.strip().splitlines()]
    (installed / "entry_points.txt").write_text("\n".join(["[medchain.contracts]", *lines, ""]))
    assert ColdChain not in installed_contracts()
    monkeypatch.syspath_prepend(tmp_path)
    assert {ColdChain, ColdChain2} < set(installed_contracts())
    with mc.Chain.in_memory(authority=MAKER) as chain:
        assert {"access/1", "cold_chain/2"} <= set(chain.header().contracts)


def ship(chain: mc.Chain, **changes: Any) -> Any:
    """A new shipment's row and id; Refused if it is."""
    from cold_chain.contract import ColdChain
    from cold_chain.messages import Ship

    message = Ship(secrets.token_bytes(32), PHARMACY.party.id, PROBE.party.id, 20, 80, HOUR)
    chain.send(ColdChain, evolve(message, **changes), by=[MAKER])
    return message.shipment


def code(chain: mc.Chain, message: Any, by: mc.Wallet) -> str:
    from cold_chain.contract import ColdChain

    try:
        chain.send(ColdChain, message, by=[by])
    except mc.Refused as refused:
        return refused.reason
    return "ok"


def timers(chain: mc.Chain) -> list[Entry]:
    chain.checkpoint(fresh=True)
    return [entry for _, entry in chain.entries() if entry.kind.name == "TIMER"]


class TestRules:
    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"low": 81}, "bad-bounds"),
            ({"every": 0}, "bad-bounds"),
            ({"receiver": bytes(32)}, "unknown-party"),
            ({"probe": bytes(32)}, "unknown-party"),
        ],
    )
    def test_shipments_that_are_refused(self, chain: mc.Chain, changes: dict[str, Any], reason: str) -> None:
        ship(chain)
        with pytest.raises(mc.Refused, match=reason):
            ship(chain, **changes)

    def test_a_shipment_has_one_id(self, chain: mc.Chain) -> None:
        taken = ship(chain)
        with pytest.raises(mc.Refused, match="already-shipped"):
            ship(chain, shipment=taken)

    def test_bounds_belong_to_the_range(self, chain: mc.Chain) -> None:
        from cold_chain.client import Shipments
        from cold_chain.messages import Delivered

        shipments, sent = Shipments(chain), ship(chain)
        for tenths in (20, 80):
            assert shipments.measure(sent, tenths, by=PROBE).events == ()
        receipt = shipments.deliver(sent, by=PHARMACY)
        assert receipt.events[0].read(Delivered) == Delivered(sent, intact=True)
        assert shipments.get(sent).flaws == 0
        sent = ship(chain)
        for number, tenths in enumerate((19, 81)):
            assert len(shipments.measure(sent, tenths, by=PROBE).events) == 1
            assert shipments.get(sent).flaws == number + 1

    def test_one_without_a_reading_is_not_intact(self, chain: mc.Chain) -> None:
        from cold_chain.client import Shipments
        from cold_chain.messages import Delivered

        sent = ship(chain)
        receipt = Shipments(chain).deliver(sent, by=PHARMACY)
        assert receipt.events[0].read(Delivered) == Delivered(sent, intact=False)

    def test_readings_lie_by_shipment_and_number(self, chain: mc.Chain) -> None:
        from cold_chain.client import Shipments

        shipments = Shipments(chain)
        two = [ship(chain), ship(chain)]
        for number in range(12):  # 10 comes after 9: keys are numbers, not text
            for sent in two:
                shipments.measure(sent, 30 + number, by=PROBE)
        for sent in two:
            assert [each.tenths for each in shipments.readings(sent)] == list(range(30, 42))

    def test_silence_is_counted_once_and_only_before_delivery(self, chain: mc.Chain, clock: Clock) -> None:
        from cold_chain.client import Shipments

        shipments = Shipments(chain)
        early, late = ship(chain), ship(chain)
        clock.now += HOUR - 1
        assert timers(chain) == []
        shipments.deliver(early, by=PHARMACY)
        clock.now += 1
        clock.now += HOUR
        ran = timers(chain)
        assert [len(entry.outcome.events) for entry in ran].count(1) == 1
        assert len(ran) == 2
        assert (shipments.get(early).flaws, shipments.get(late).flaws) == (0, 1)
        clock.now += 9 * HOUR
        assert len(timers(chain)) == 2

    def test_who_may_do_what(self, chain: mc.Chain) -> None:
        from cold_chain.messages import Deliver, Measure, Missing

        sent = ship(chain)
        assert code(chain, Measure(sent, 50), PHARMACY) == "not-yours"
        assert code(chain, Deliver(sent), PROBE) == "not-yours"
        assert code(chain, Missing(sent, 0), PROBE) == "not-yours"
        for message in (Measure(bytes(32), 50), Deliver(bytes(32))):
            assert code(chain, message, PROBE) == "unknown-shipment"
        assert code(chain, Deliver(sent), PHARMACY) == "ok"
        assert code(chain, Measure(sent, 50), PROBE) == "closed"
        assert code(chain, Deliver(sent), PHARMACY) == "closed"
