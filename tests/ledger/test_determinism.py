"""Double execution catches what depends on more than state and message, and lets the bundled contracts pass."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from clinic import DAY, HOUR, clinic
from ledger import planted
from ledger.council import council, install, timers
from ledger.counting import Counting, Later, Misbehave, Other, Put
from ledger.versions import Admit, Discharge, Ward1, Ward2
from ledger.world import CONTRACTS, START, World

from medchain.chain import Chain
from medchain.encoding import MAX_VALUES, encode
from medchain.ledger.contract import Contract
from medchain.ledger.draft import Signed
from medchain.ledger.governance import Activate, AddAuthority, Governance, RemoveAuthority, SetParameter
from medchain.records import encode_record
from medchain.storage.memory import MemoryStore
from medchain.testing import assert_deterministic
from medchain.testing._execute import Executed, Workload
from medchain.testing.determinism import _execute

WORDS = (
    "aspirin",
    "codeine",
    "heparin",
    "insulin",
    "ketamine",
    "lidocaine",
    "morphine",
    "naloxone",
    "quinine",
)


def recorded(world: World, contract: type[Contract]) -> None:
    """Let a chain record what a contract makes of some words."""
    install(world, Counting, Other, contract)
    world.chain.send(Governance, Activate(contract.name, 1, contract.digest()), by=[world.authority])
    for number in range(3):
        take(world, contract, *WORDS[number:], *WORDS[:number])


def take(world: World, contract: type[Contract], *words: str) -> None:
    body = world.chain.prepare(contract, planted.Take(words), [world.authority.party])
    world.chain.submit(Signed.start(body).sign(world.authority)).receipt(10)


def test_what_is_deterministic_passes(world: World) -> None:
    recorded(world, planted.Planted)
    assert_deterministic(world.chain)


CAUGHT = {
    "Telling": r"planted take has events .* instead of",
    "BySet": r"the state after block \d+ differs",
    "ById": r"the state after block \d+ differs",
    "ByAddress": r"the state after block \d+ differs",
    "ByHash": r"the state after block \d+ differs",
    "ByDict": r"the state after block \d+ differs",
    "ByDefaultRepr": r"the state after block \d+ differs",
    "ByClock": r"the state after block \d+ differs",
    "ByZone": r"the state after block \d+ differs",
    "ByChance": r"the state after block \d+ differs",
    "ByProcess": r"the state after block \d+ differs",
    "ByAssertion": r"planted take has code ok instead of later",
    "ByGlobal": r"the state after block \d+ differs",
    "ByTimer": r"the state after block \d+ differs",
}


@pytest.mark.parametrize("name", CAUGHT)
def test_what_is_not_is_caught(world: World, name: str) -> None:
    recorded(world, getattr(planted, name))
    with pytest.raises(AssertionError, match=CAUGHT[name]) as caught:
        assert_deterministic(world.chain)
    assert "comes out differently under seed" in str(caught.value)


def test_a_crash_that_depends_on_the_seed(world: World) -> None:
    """Each word crashes under half of the seeds; what this process has recorded, others leave out."""
    install(world, Counting, Other, planted.ByCrash)
    world.chain.send(Governance, Activate("planted", 1, planted.ByCrash.digest()), by=[world.authority])
    logged = [word for word in map(str, range(32)) if hash(word) % 2 == 0]
    for word in logged:
        take(world, planted.ByCrash, word)
    assert logged
    with pytest.raises(AssertionError, match=r"planted take is left out: planted failed: ZeroDivisionError"):
        assert_deterministic(world.chain, seeds=range(1, 5))


def test_the_tables_are_named(world: World) -> None:
    recorded(world, planted.BySet)
    with pytest.raises(AssertionError, match=r"in planted\.words$"):
        assert_deterministic(world.chain, seeds=(1, 3))


def test_nothing_to_execute(world: World) -> None:
    with pytest.raises(ValueError, match="nothing to execute"):
        assert_deterministic(world.chain)


def test_a_chain_without_its_past(world: World, tmp_path: Path) -> None:
    world.send(Put("x", "y"), world.authority)
    world.chain.snapshot(tmp_path / "snapshot")
    restored = Chain.restore(
        tmp_path,
        tmp_path / "snapshot",
        trust=world.chain.trust,
        contracts=CONTRACTS,
        store=MemoryStore(),
        blobs=world.chain.blobs,
    )
    with restored, pytest.raises(ValueError, match="restored from a snapshot"):
        assert_deterministic(restored)


def test_a_contract_that_nobody_finds(world: World) -> None:
    class Hidden(Counting):
        """The same, but inside of a function."""

    install(world, Hidden, Other)
    world.send(Put("x", "y"), world.authority)
    with pytest.raises(ValueError, match=r"cannot find .*Hidden"):
        assert_deterministic(world.chain)


def test_what_is_printed_does_not_count(world: World) -> None:
    recorded(world, planted.Talking)
    assert_deterministic(world.chain)


class TestTheOtherProcess:
    """What it may say, and what is made of its silence."""

    @pytest.fixture
    def says(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
        """Put a program in its place that says something and ends."""

        def say(out: bytes, error: str = "", code: int = 0) -> None:
            (tmp_path / "out").write_bytes(out)
            program = tmp_path / "program"
            program.write_text(f"#!/bin/sh\ncat {tmp_path}/out\necho '{error}' >&2\nexit {code}\n")
            program.chmod(0o700)
            monkeypatch.setattr(sys, "executable", str(program))

        return say

    def test_a_block_of_more_values_than_other_documents_may_have(self, says: Callable[..., None]) -> None:
        block = Executed((b"leaf",), [[b"key", b"value"]] * (MAX_VALUES // 3 + 1))
        says(encode([encode_record(block)]))
        assert _execute(b"", 1) == [block]

    def test_more_leaves_than_that(self) -> None:
        """They are read: it fails at the first, which is none."""
        workload = Workload(tuple(sys.path), (), (b"",) * (MAX_VALUES + 1))
        with pytest.raises(AssertionError, match="under seed 1 failed") as caught:
            _execute(encode_record(workload), 1)
        assert "execute(workload)" in str(caught.value)

    def test_it_fails(self, says: Callable[..., None]) -> None:
        says(encode([]), "out of luck", 1)
        with pytest.raises(AssertionError, match=r"under seed 1 failed:\nout of luck"):
            _execute(b"", 1)

    def test_it_says_what_nobody_understands(self, says: Callable[..., None]) -> None:
        for nonsense in (b"", b"hello", encode([b"hello"])):
            says(nonsense)
            with pytest.raises(AssertionError, match="under seed 1 tells cannot be read: "):
                _execute(b"", 1)


class TestBundled:
    """Recorded workloads of what medchain brings along."""

    def test_records_and_requests(self) -> None:
        with clinic() as house:
            record = house.add()
            request = house.decided(record)
            house.access.open(request, by=house["dr_lee"])
            house.approve(house.ask(record, parts=(1, 2)), "owner", "guardian", parts=(1,))
            house.access.decline(house.ask(record), by=house["owner"])
            night = house.ask(record, "night", "ETREAT", by="er_desk")
            house.approve(night, "er_desk", "guardian")
            lost = house.ask(record, "lost", "PATRQT", by="guardian", expires_in=30 * DAY)
            house.approve(lost, "guardian", "dr_wu")
            house.wait(3 * DAY)  # the review of the emergency is overdue
            house.wait(5 * DAY)  # the recovery settles
            house.ask(house.add(), expires_in=HOUR)
            house.access.erase(record, by=[house["owner"]])
            codes = {code for (_, code) in house.chain.audit().outcomes}
            assert codes == {"ok"}
            assert house.chain.audit().outcomes["timer", "ok"] >= 2
            assert_deterministic(house.chain)

    def test_governance_and_versions(self) -> None:
        with council([Counting, Ward1]) as chamber:
            install(chamber, Counting, Ward1, Ward2)
            people = [chamber.register(name) for name in ("dora", "emil", "frieda")]
            for each in people:
                chamber.decide(AddAuthority(each.party.id))
            chamber.decide(SetParameter("authority_threshold", 4))
            proposal = chamber.propose(RemoveAuthority(chamber.clara.party.id))
            chamber.approve(proposal, chamber.clara)
            chamber.withdraw(proposal, chamber.clara)
            chamber.approve(proposal, *people)
            chamber.propose(SetParameter("proposal_ms", 1 << 30), people[0])
            ward = chamber.chain.height + 4
            chamber.govern(Activate("ward", 2, Ward2.digest(), ward), chamber.anna, chamber.berta, *people)
            chamber.chain.send(Ward1, Admit("a"), by=[chamber.anna])
            chamber.chain.send(Ward1, Discharge("a", START + 7), by=[chamber.anna])
            while chamber.chain.height < ward:
                chamber.send(Later(START + 5, 1), chamber.anna)
            chamber.chain.send(Ward2, Admit("a"), by=[chamber.anna])
            chamber.send(Misbehave("events"), chamber.anna)
            chamber.clock.now += 40 * DAY  # the open proposal expires, timers run
            ran = timers(chamber)
            assert {event.name for entry in ran for event in entry.outcome.events} == {
                "added",
                "closed",
                "taken",
            }
            assert_deterministic(chamber.chain)
