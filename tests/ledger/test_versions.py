"""Versions of contracts: they change at a height, keep the tables, and a node without the next one stops before it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from attrs import evolve, field, frozen
from ledger.council import Council, council, install, last_timer, names
from ledger.counting import Add, Counting
from ledger.versions import Admit, Discharge, Rename, Taken, Ward1, Ward2, Ward3, WardRow, WardRow2
from ledger.world import START, Clock, wallet

from medchain.chain import Chain
from medchain.errors import ConsensusError, EncodingError, InvalidTransaction, MalformedProof, Refused
from medchain.ledger.audit import audit
from medchain.ledger.contract import Context, Contract, handles
from medchain.ledger.draft import Signed
from medchain.ledger.entry import Kind
from medchain.ledger.governance import (
    Activate,
    ContractRow,
    ContractVersion,
    Governance,
    Scheduled,
    Unschedule,
    Unscheduled,
)
from medchain.ledger.registration import check, check_successor
from medchain.ledger.registry import Registry
from medchain.ledger.system import LedgerTables
from medchain.ledger.tables import Table
from medchain.ledger.verify import verify, verify_state
from medchain.records import ADDED


def activation(contract: type[Contract], height: int | None = None) -> Activate:
    return Activate(contract.name, contract.version, contract.digest(), height)


def use(chain: Chain, contract: type[Contract], message: Any, by: Any) -> str:
    """The code of a transaction for one version of a contract."""
    body = chain.prepare(contract, message, [by.party])
    return chain.submit(Signed.start(body).sign(by)).receipt(10).code


@pytest.fixture
def chamber() -> Iterator[Council]:
    """A chain that began with version 1, on a node that has them all by now."""
    with council([Counting, Ward1]) as made:
        install(made, Counting, Ward1, Ward2, Ward3)
        yield made


def tick(chamber: Council) -> int:
    """One more block; its height."""
    return chamber.send(Add(1), chamber.anna).height


class TestHeights:
    def test_the_version_changes_before_the_block_of_its_height(self, chamber: Council) -> None:
        height = chamber.chain.height + 4
        receipt = chamber.decide(activation(Ward2, height))
        assert receipt.events[1].read(Scheduled) == Scheduled("ward", 2, Ward2.digest(), height)
        while chamber.chain.height < height - 1:
            with pytest.raises(InvalidTransaction, match="no active ward/2"):
                use(chamber.chain, Ward2, Admit("a"), chamber.anna)
            assert use(chamber.chain, Ward1, Admit("a"), chamber.anna) == "ok"
        active = [set(chamber.chain.header(each).contracts) for each in range(height - 2, height)]
        assert ["ward/1" in each for each in active] == [True, False]
        assert ["ward/2" in each for each in active] == [False, True]
        with pytest.raises(InvalidTransaction, match="no active ward/1"):
            use(chamber.chain, Ward1, Admit("a"), chamber.anna)
        assert use(chamber.chain, Ward2, Admit("a"), chamber.anna) == "ok"
        assert chamber.chain.height == height

    def test_without_a_height_from_the_next_block(self, chamber: Council) -> None:
        receipt = chamber.decide(activation(Ward2))
        assert receipt.events[1].read(Scheduled).height == receipt.height + 1
        assert chamber.chain.table(Governance.contracts)["ward"] == ContractRow(
            ContractVersion(1, Ward1.digest(), 1),
            ContractVersion(2, Ward2.digest(), receipt.height + 1),
        )
        assert use(chamber.chain, Ward2, Admit("a"), chamber.anna) == "ok"

    def test_within_one_block_the_old_version_goes_on(self, chamber: Council) -> None:
        writer = chamber.chain._writer
        assert writer is not None
        with writer.begin() as builder:
            body = chamber.body(activation(Ward2), chamber.anna, chamber.berta, of=Governance)
            assert builder.add(chamber.sign(body, chamber.anna, chamber.berta)).ok
            body = chamber.body(Admit("a"), chamber.anna, of=Ward1)
            assert builder.add(chamber.sign(body, chamber.anna)).ok
            block = builder.close()
        writer.commit(block)
        assert "ward/2" in chamber.chain.header().contracts

    def test_a_contract_that_is_new(self, chamber: Council) -> None:
        class Pharmacy(Ward1):
            name = "pharmacy"
            events = ()
            wards = Table(WardRow)
            hidden = Table(WardRow)

        install(chamber, Counting, Ward1, Pharmacy)
        height = chamber.chain.height + 3
        chamber.decide(activation(Pharmacy, height))
        assert "pharmacy/1" not in chamber.chain.header().contracts
        row = chamber.chain.table(Governance.contracts)["pharmacy"]
        assert row == ContractRow(None, ContractVersion(1, Pharmacy.digest(), height))
        with pytest.raises(InvalidTransaction, match="no active pharmacy/1"):
            use(chamber.chain, Pharmacy, Rename("a", START), chamber.anna)
        tick(chamber)
        assert use(chamber.chain, Pharmacy, Rename("a", START), chamber.anna) == "ok"

    def test_upwards_only(self, chamber: Council) -> None:
        chamber.decide(activation(Ward2))
        tick(chamber)
        for contract in (Ward1, Ward2):
            assert chamber.govern(activation(contract), chamber.anna).code == "older-version"
        chamber.decide(activation(Ward3))

    def test_a_height_that_has_passed(self, chamber: Council) -> None:
        for late in (1 << 20, 1, 0):  # 0: the very block that holds the message
            passed = chamber.chain.height + 1 - late
            assert chamber.govern(activation(Ward2, passed), chamber.anna).code == "height-passed"
        proposal = chamber.propose(activation(Ward2, chamber.chain.height + 3))
        tick(chamber)
        tick(chamber)
        assert chamber.approve(proposal, chamber.berta).code == "height-passed"
        assert "ward/2" not in chamber.chain.header().contracts

    def test_a_later_decision_takes_the_place_of_a_scheduled_one(self, chamber: Council) -> None:
        chamber.decide(activation(Ward3, chamber.chain.height + 3))
        chamber.decide(activation(Ward2, chamber.chain.height + 5))
        for _ in range(3):
            assert "ward/1" in chamber.chain.header().contracts
            tick(chamber)
        tick(chamber)
        assert "ward/2" in chamber.chain.header().contracts
        chamber.decide(activation(Ward3))
        row = chamber.chain.table(Governance.contracts)["ward"]
        assert row.running is not None
        assert row.running.version == 2

    def test_unscheduled(self, chamber: Council) -> None:
        assert chamber.govern(Unschedule("ward"), chamber.anna).code == "not-scheduled"
        assert chamber.govern(Unschedule("nobody"), chamber.anna).code == "not-scheduled"
        height = chamber.chain.height + 4
        chamber.decide(activation(Ward2, height))
        receipt = chamber.decide(Unschedule("ward"))
        assert receipt.events[1].read(Unscheduled) == Unscheduled("ward", 2)
        while tick(chamber) < height:
            pass
        assert "ward/1" in chamber.chain.header().contracts
        chamber.decide(activation(Ward2))
        for _ in range(2):  # the first of these blocks is executed by version 2 already
            assert chamber.govern(Unschedule("ward"), chamber.anna).code == "not-scheduled"

    def test_a_first_version_unscheduled_leaves_nothing(self, chamber: Council) -> None:
        class Pharmacy(Counting):
            name = "pharmacy"
            events = ()
            totals = Table(WardRow)
            overall = Table(WardRow)
            notes = Table(WardRow)

        install(chamber, Counting, Ward1, Pharmacy)
        chamber.decide(activation(Pharmacy, chamber.chain.height + 9))
        chamber.decide(Unschedule("pharmacy"))
        assert set(chamber.chain.table(Governance.contracts)) == {"counting", "governance", "keys", "ward"}

    def test_several_at_one_height(self, chamber: Council) -> None:
        class Counting2(Counting):
            version = 2

        install(chamber, Counting, Counting2, Ward1, Ward2)
        height = chamber.chain.height + 4
        for contract in (Ward2, Counting2):
            chamber.decide(activation(contract, height))
        tick(chamber)
        assert {"counting/2", "ward/2"} <= set(chamber.chain.header().contracts)
        assert {"counting/1", "ward/1"} <= set(chamber.chain.header(height - 2).contracts)


class TestTables:
    def test_they_stay_with_all_that_is_in_them(self, chamber: Council) -> None:
        for ward in ("a", "a", "b"):
            assert use(chamber.chain, Ward1, Admit(ward), chamber.anna) == "ok"
        old = chamber.chain.prove_state(Ward1.wards, "a")
        chamber.decide(activation(Ward2))
        assert dict(chamber.chain.table(Ward2.wards).items()) == {
            "a": WardRow2(2, None),
            "b": WardRow2(1, None),
        }
        assert use(chamber.chain, Ward2, Admit("a"), chamber.anna) == "ok"
        assert chamber.chain.table(Ward2.wards)["a"] == WardRow2(3, 3)
        new = chamber.chain.prove_state(Ward2.wards, "a")
        trust = chamber.chain.trust
        assert verify_state(old, Ward1.wards, "a", trust=trust).value == WardRow(2)
        assert verify_state(old, Ward2.wards, "a", trust=trust).value == WardRow2(2, None)
        assert verify(new, WardRow2, trust=trust).value == WardRow2(3, 3)
        with pytest.raises(MalformedProof, match="unknown 'ever'"):
            verify(new, WardRow, trust=trust)
        with pytest.raises(EncodingError, match="unknown 'ever'"):
            chamber.chain.table(Ward1.wards)["a"]

    def test_old_timers_are_handled_by_the_new_version(self, chamber: Council) -> None:
        assert use(chamber.chain, Ward1, Admit("a"), chamber.anna) == "ok"
        assert use(chamber.chain, Ward1, Discharge("a", START + 5), chamber.anna) == "ok"
        chamber.decide(activation(Ward2))
        chamber.clock.now += 5
        timer = last_timer(chamber)
        assert (timer.kind, timer.outcome.code) == (Kind.TIMER, "ok")
        assert [event.read(Taken) for event in timer.outcome.events] == [Taken("a", 0)]
        assert chamber.chain.table(Ward2.wards)["a"] == WardRow2(0, None)

    def test_timers_that_the_new_version_does_not_know_are_consumed(self, chamber: Council) -> None:
        assert use(chamber.chain, Ward1, Rename("a", START + 5), chamber.anna) == "ok"
        chamber.decide(activation(Ward2))
        chamber.clock.now += 5
        timer = last_timer(chamber)
        assert (timer.kind, timer.outcome.code) == (Kind.TIMER, "internal")
        assert len(chamber.chain.table(LedgerTables.timers)) == 0

    def test_timers_with_other_fields_are_consumed(self, chamber: Council) -> None:
        another = attrs.make_class(
            "Discharge", {"ward": field(type=str), "bed": field(type=int)}, frozen=True
        )

        class Ward4(Ward1):
            version = 4
            discharge = None

            @handles(another)
            def free(self, context: Context, message: Any) -> None:
                context.refuse("full")

        install(chamber, Counting, Ward1, Ward4)
        assert use(chamber.chain, Ward1, Discharge("a", START + 5), chamber.anna) == "ok"
        chamber.decide(activation(Ward4))
        chamber.clock.now += 5
        timer = last_timer(chamber)
        assert timer.outcome.code == "internal"
        assert len(chamber.chain.table(LedgerTables.timers)) == 0


class TestNodes:
    def test_what_is_not_here_is_not_passed_on(self, chamber: Council) -> None:
        class Ward4(Ward3):
            version = 4

        size = chamber.chain.head.size
        for message in (activation(Ward4), evolve(activation(Ward2), digest=bytes(32))):
            with pytest.raises(InvalidTransaction, match="not installed") as caught:
                chamber.govern(message, chamber.anna)
            assert caught.value.reason == "not-installed"
        assert chamber.chain.head.size == size

    def test_a_node_without_the_next_version_stops_before_its_block(self, tmp_path: Path) -> None:
        anna, clock = wallet("anna"), Clock()
        place: Any = {"mark": tmp_path / "mark", "clock": clock}
        make: Any = {"origin": "ward.example", "authority": anna, "gate": None}
        with Chain.create(tmp_path / "chain", contracts=[Ward1], **make, **place) as chain:
            assert use(chain, Ward1, Admit("a"), anna) == "ok"
        old: Any = {"contracts": [Ward1], **place}
        new: Any = {"contracts": [Ward1, Ward2], **place}
        with Chain.open(tmp_path / "chain", authority=anna, **new) as chain:
            height = chain.height + 4
            chain.send(Governance, activation(Ward2, height), by=[anna])
        with Chain.open(tmp_path / "chain", authority=anna, **old) as chain:
            while chain.height < height - 1:
                assert use(chain, Ward1, Admit("a"), anna) == "ok"
            size = chain.head.size
            assert "ward/2" in chain.header().contracts
            for _ in range(2):
                with pytest.raises(ConsensusError, match=r"needs contract ward/2|has stopped"):
                    use(chain, Ward1, Admit("b"), anna)
            assert (chain.height, chain.head.size) == (height - 1, size)
        with pytest.raises(ConsensusError, match=f"block {height} needs contract ward/2"):
            Chain.open(tmp_path / "chain", authority=anna, **old)
        with Chain.open(tmp_path / "chain", contracts=[Ward1]) as reader:
            assert reader.height == height - 1
            reader.audit()  # it executes all that there is: the next block is not its concern
        with Chain.open(tmp_path / "chain", authority=anna, **new) as chain:
            assert use(chain, Ward2, Admit("b"), anna) == "ok"
            assert chain.height == height
            chain.audit()
        with (
            Chain.open(tmp_path / "chain", contracts=[Ward1]) as reader,
            pytest.raises(ConsensusError, match=f"block {height} needs contract ward/2"),
        ):
            reader.audit()

    def test_a_block_that_activates_what_is_not_here_is_executed(self, chamber: Council) -> None:
        """Intake is each node's own; a block of others holds for everybody."""
        chamber.decide(activation(Ward2, chamber.chain.height + 2))
        assert audit(chamber.chain._archive, Registry([Counting, Ward1])).head == chamber.chain.head
        use(chamber.chain, Ward2, Admit("a"), chamber.anna)
        with pytest.raises(ConsensusError, match="needs contract ward/2"):
            audit(chamber.chain._archive, Registry([Counting, Ward1]))

    def test_another_contract_of_that_name_and_version(self, chamber: Council) -> None:
        class Ward2b(Ward2):
            codes = ("full", "closed")

        chamber.decide(activation(Ward2))
        install(chamber, Counting, Ward1, Ward2b)
        with pytest.raises(ConsensusError, match="needs contract ward/2"):
            tick(chamber)

    def test_a_new_chain_begins_with_the_newest(self) -> None:
        with Chain.in_memory(contracts=[Ward2, Ward1, Ward3]) as chain:
            assert "ward/3" in chain.header().contracts
            assert [each for each in chain.header().contracts if each.startswith("ward")] == ["ward/3"]

    def test_proposals_by_several(self, chamber: Council) -> None:
        height = chamber.chain.height + 5
        proposal = chamber.propose(activation(Ward2, height))
        assert names(chamber.approve(proposal, chamber.clara)) == ["approved", "decided", "scheduled"]


class TestSuccession:
    """What a newer version may change: the rules of `check_successor`, one by one."""

    def test_good_ones(self) -> None:
        for older, newer in ((Ward1, Ward2), (Ward2, Ward3), (Ward1, Ward3)):
            check(newer)
            check_successor(older, newer)

    def refuse(self, newer: Any, match: str) -> None:
        check(newer)
        with pytest.raises(TypeError, match=match):
            check_successor(Ward1, newer)
        with pytest.raises(TypeError, match=match):
            Registry([Ward1, newer])

    def test_tables_stay(self) -> None:
        class Gone(Contract):
            name, version, codes = "ward", 2, ("full",)
            wards = Table(WardRow, public=True)

            @handles(Admit)
            def admit(self, context: Context, message: Admit) -> None: ...

        class Private(Ward1):
            version = 2
            wards = Table(WardRow)

        class Public(Ward1):
            version = 2
            hidden = Table(WardRow, public=True)

        self.refuse(Gone, "table hidden is gone")
        self.refuse(Private, "table wards was public")
        check_successor(Ward1, Public)

    def test_fields_stay(self) -> None:
        @frozen
        class Renamed:
            number: int

        @frozen
        class Retyped:
            beds: str

        @frozen
        class Optional:
            beds: int | None

        @frozen
        class Unmarked:
            beds: int
            ever: int | None

        for row, match in (
            (Renamed, "field beds of table wards is gone"),
            (Retyped, "field beds of table wards is gone or another"),
            (Optional, "field beds of table wards is gone or another"),
            (Unmarked, "field ever of table wards is new and not marked"),
        ):
            self.refuse(type("Ward", (Ward1,), {"version": 2, "wards": Table(row, public=True)}), match)

    def test_fields_that_were_added_stay_marked(self) -> None:
        @frozen
        class Settled:
            beds: int
            ever: int | None

        newer = type("Ward", (Ward2,), {"version": 3, "wards": Table(Settled, public=True)})
        with pytest.raises(TypeError, match="field ever of table wards is gone or another"):
            check_successor(Ward2, newer)

    def test_events_keep_their_fields(self) -> None:
        other = attrs.make_class("Taken", {"ward": field(type=str)}, frozen=True)
        self.refuse(
            type("Ward", (Ward1,), {"version": 2, "events": (other,)}), "event taken has other fields"
        )
        check_successor(Ward1, type("Ward", (Ward1,), {"version": 2, "events": ()}))

    def test_where_fields_may_be_added(self) -> None:
        @frozen
        class Plain:
            beds: int
            ever: int = field(metadata=ADDED)

        @frozen
        class Outer:
            inner: WardRow2

        @frozen
        class Later:
            inner: WardRow2 | None = field(metadata=ADDED)

        for row, match in (
            (Plain, "is X | None"),
            (Outer, "only a row itself"),
            (Later, "only a row itself"),
        ):
            made = type("Ward", (Ward1,), {"version": 2, "wards": Table(row, public=True)})
            with pytest.raises(TypeError, match=match.replace("|", r"\|")):
                check(made)
        with pytest.raises(TypeError, match="no record of a table"):
            check(type("Ward", (Ward1,), {"version": 2, "events": (WardRow2,)}))

    def test_a_digest_tells_added_fields_apart(self) -> None:
        same = attrs.make_class(
            "WardRow2", {"beds": field(type=int), "ever": field(type=int | None)}, frozen=True
        )
        made = type("Ward", (Ward2,), {"wards": Table(same, public=True)})
        assert made.digest() != Ward2.digest()


def test_a_refusal_is_still_a_refusal(chamber: Council) -> None:
    for _ in range(3):
        use(chamber.chain, Ward1, Admit("a"), chamber.anna)
    with pytest.raises(Refused, match="full"):
        chamber.chain.send(Ward1, Admit("a"), by=[chamber.anna])
    chamber.decide(activation(Ward2))
    assert use(chamber.chain, Ward2, Admit("a"), chamber.anna) == "ok"
