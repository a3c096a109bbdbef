"""A contract with a bug stops nothing but its own transactions. The guard is left out here: it sees some of these."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen
from ledger.council import install, last_timer
from ledger.counting import Add, Counting
from ledger.world import START, Clock, World, wallet

from medchain.chain import Chain
from medchain.errors import InvalidTransaction, StorageError
from medchain.ledger.contract import Context, Contract, Event, handles
from medchain.ledger.draft import Signed
from medchain.ledger.entry import Kind
from medchain.ledger.governance import Activate, Governance
from medchain.ledger.system import LedgerTables
from medchain.ledger.tables import Table
from medchain.ledger.transition import Receipt


@frozen
class Do:
    """Do something stupid, `amount` being how much of it."""

    what: str
    amount: int
    doses: dict[str, int]


@frozen
class DoLater:
    """The same by a timer."""

    what: str
    amount: int


@frozen
class Done:
    """It has done something."""

    doses: dict[str, int]


@frozen
class DoseRow:
    doses: dict[str, int]


class Odd(BaseException):
    """Derived from what nobody catches."""


class Mute(Exception):
    """Fails once more when somebody asks what it says."""

    def __str__(self) -> str:
        raise Odd


class Faulty(Contract):
    """Does what a contract must not do."""

    name = "faulty"
    events = (Done,)
    codes = ("no",)
    doses = Table(DoseRow)

    @handles(Do)
    def do(self, context: Context, message: Do) -> Any:
        self.doses["x"] = DoseRow({"x": 1})
        return self._do(context, message.what, message.amount, message.doses)

    @handles(DoLater)
    def do_later(self, context: Context, message: DoLater) -> Any:
        if context.signers:
            context.schedule(START + 5, message)
            return None
        self.doses["x"] = DoseRow({"x": 1})
        return self._do(context, message.what, message.amount, {})

    def _do(self, context: Context, what: str, amount: int, doses: dict[str, int]) -> Any:
        match what:
            case "raise":
                raise ZeroDivisionError
            case "key":
                _ = {}["nothing"]
            case "stop":
                raise StopIteration
            case "exit":
                raise SystemExit(1)
            case "generator exit":
                raise GeneratorExit
            case "odd":
                raise Odd
            case "odd ones":
                raise BaseExceptionGroup("several", [Odd(), ValueError()])
            case "cancelled":
                raise asyncio.CancelledError
            case "mute":
                raise Mute
            case "assert":
                raise AssertionError
            case "recursion":
                self._do(context, what, amount + 1, doses)
            case "memory":
                _ = bytes(amount)
            case "too large":
                _ = "x" * (1 << 62)
            case "garbage":
                return NotImplemented
            case "generator":
                return (each for each in "abc")
            case "true":
                return True
            case "foreign rows":
                Counting.notes.view(self._rows).get("x")
            case "foreign scan":
                list(Counting.notes.view(self._rows))
            case "foreign write":
                del Counting.notes.view(self._rows)["x"]
            case "system write":
                del Governance.authorities.view(self._rows)[context.signers[0]]
            case "mutate":
                doses["x"] = 99
                context.emit(Done(doses))
                doses["x"] = 100
                self.doses["y"] = DoseRow(doses)
                doses["x"] = 101
                context.require(amount, "no")
            case "mutate and crash":
                doses["x"] = 99
                raise ZeroDivisionError
        return None


CRASHES = (
    *("raise", "key", "stop", "exit", "generator exit", "assert", "recursion", "memory", "too large"),
    *("odd", "odd ones", "cancelled", "mute"),
    *("garbage", "generator", "true", "foreign rows", "foreign scan", "foreign write", "system write"),
)


@pytest.fixture
def faulty(world: World) -> Iterator[World]:
    install(world, *(each for each in world.chain._registry.classes.values()), Faulty)
    world.chain.send(Governance, Activate("faulty", 1, Faulty.digest()), by=[world.authority])
    yield world
    world.chain.audit()


def do(world: World, what: str, amount: int = 1, doses: dict[str, int] | None = None) -> Receipt:
    message = Do(what, amount, {"a": 1} if doses is None else doses)
    body = world.body(message, world.authority, of=Faulty)
    return world.chain.submit(Signed.start(body).sign(world.authority)).receipt(30)


@pytest.mark.parametrize("what", CRASHES)
def test_a_transaction_is_left_out(faulty: World, what: str) -> None:
    before = faulty.chain.head, faulty.chain.header().state_root
    for _ in range(2):
        with pytest.raises(InvalidTransaction, match="faulty failed") as caught:
            do(faulty, what, 1 << 60)
        assert caught.value.reason == "internal"
    assert (faulty.chain.head, faulty.chain.header().state_root) == before
    assert do(faulty, "nothing").ok
    assert faulty.send(Add(1), faulty.authority).ok


TIMER_CRASHES = [each for each in CRASHES if each not in ("memory", "too large", "system write")]
"""Timers have no signers; and too little memory is no outcome of a timer, see below."""


@pytest.mark.parametrize("what", TIMER_CRASHES)
def test_a_timer_is_consumed(faulty: World, what: str) -> None:
    assert faulty.chain.send(Faulty, DoLater(what, 1), by=[faulty.authority]).ok
    faulty.clock.now += 5
    timer = last_timer(faulty)
    assert (timer.outcome.code, timer.outcome.events) == ("internal", ())
    assert len(faulty.chain.table(LedgerTables.timers)) == 0
    assert "x" not in faulty.chain.table(Faulty.doses)
    assert do(faulty, "nothing").ok


def test_a_timer_with_a_bug_does_not_come_back(tmp_path: Path) -> None:
    """On disk: it is consumed, the writer goes on, and so does the one after it."""
    options: dict[str, Any] = {"authority": wallet("authority"), "mark": tmp_path / "mark"}
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("medchain._opening.check", lambda _: None)
        with Chain.create(
            tmp_path / "chain", origin="x.example/y", gate=None, contracts=[Faulty], clock=clock, **options
        ) as chain:
            chain.send(Faulty, DoLater("odd", 1), by=[options["authority"]])
            clock.now += 5
            assert chain.send(Faulty, Do("nothing", 1, {}), by=[options["authority"]]).ok
        with Chain.open(tmp_path / "chain", contracts=[Faulty], clock=clock, **options) as chain:
            timers = [entry.outcome.code for _, entry in chain.entries() if entry.kind is Kind.TIMER]
            assert timers == ["internal"]
            assert chain.send(Faulty, Do("nothing", 1, {}), by=[options["authority"]]).ok
            assert chain.audit()


def test_too_little_memory_is_no_outcome_of_a_timer(faulty: World) -> None:
    """Nodes differ in it, and what a timer did is logged. So the node stops, and nothing is logged."""
    assert faulty.chain.send(Faulty, DoLater("too large", 1), by=[faulty.authority]).ok
    faulty.clock.now += 5
    with faulty.chain._writer.begin() as builder, pytest.raises(MemoryError):  # type: ignore[union-attr]
        builder.run_timers()


def test_a_store_that_fails_is_no_bug_of_the_contract(faulty: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise StorageError("the disk is gone")

    with faulty.chain._writer.begin() as builder:  # type: ignore[union-attr]
        transaction = faulty.sign(
            faulty.body(Do("nothing", 1, {}), faulty.authority, of=Faulty), faulty.authority
        )
        monkeypatch.setattr(Faulty, "_do", fail)
        with pytest.raises(StorageError, match="gone"):
            builder.add(transaction)


def test_an_interrupt_is_nobodys_bug(faulty: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with faulty.chain._writer.begin() as builder:  # type: ignore[union-attr]
        transaction = faulty.sign(
            faulty.body(Do("nothing", 1, {}), faulty.authority, of=Faulty), faulty.authority
        )
        monkeypatch.setattr(Faulty, "_do", interrupt)
        with pytest.raises(KeyboardInterrupt):
            builder.add(transaction)


class TestMutation:
    def test_what_was_emitted_and_stored_stays(self, faulty: World) -> None:
        doses = {"a": 1}
        receipt = do(faulty, "mutate", doses=doses)
        assert receipt.events == (Event("faulty", "done", {"doses": {"a": 1, "x": 99}}),)
        assert faulty.chain.table(Faulty.doses)["y"] == DoseRow({"a": 1, "x": 100})
        assert doses == {"a": 1}

    def test_the_same_object_executed_again_is_the_same_message(self, faulty: World) -> None:
        """A crashed transaction may be sent again: what its handler did to the message must be gone."""
        body = faulty.body(Do("mutate and crash", 1, {"a": 1}), faulty.authority, of=Faulty)
        transaction = faulty.sign(body, faulty.authority)
        for _ in range(2):
            with pytest.raises(InvalidTransaction, match="internal"):
                faulty.chain.submit(transaction).result(10)
            assert transaction.body.message[1] == {"what": "mutate and crash", "amount": 1, "doses": {"a": 1}}

    def test_a_refusal_drops_it_all(self, faulty: World) -> None:
        receipt = do(faulty, "mutate", 0)
        assert (receipt.code, receipt.events) == ("no", ())
        assert not list(faulty.chain.table(Faulty.doses))
