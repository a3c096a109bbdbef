"""The registration check: a guard against what is plainly not deterministic or not well formed."""

from __future__ import annotations

import datetime
import random
import time
from typing import Any

import attrs
import pytest
from attrs import frozen
from ledger.counting import Add, Counting, NoteRow, TotalRow
from ledger.world import World

from medchain.chain import Chain
from medchain.ledger.contract import Context, Contract, handles, wire_name
from medchain.ledger.governance import Governance
from medchain.ledger.keys import Keys
from medchain.ledger.registration import check
from medchain.ledger.tables import Table


@frozen
class Ask:
    value: int


@frozen
class Weigh:
    kilograms: float | None


@attrs.define
class Changeable:
    value: int


@frozen
class Event:
    x: int


@frozen
class Whatever:
    inner: tuple[dict[str, Any], ...]


@frozen
class Holds:
    inner: Holds | None


@frozen
class OwnForm:
    text: str

    def __to_value__(self) -> Any:
        return self.text

    @classmethod
    def __from_value__(cls, value: Any) -> OwnForm:
        return cls(value)


@frozen
class Listing:
    items: list[int]


@frozen
class Pair:
    pair: tuple[int, str]


def test_good_contracts_pass() -> None:
    for contract in (Counting, Keys, Governance):
        check(contract)


def test_wire_names() -> None:
    for name, wire in (
        ("AddRecord", "add-record"),
        ("HTTPGet", "http-get"),
        ("A", "a"),
        ("Add2Be", "add2-be"),
    ):
        assert wire_name(type(name, (), {})) == wire


def refuse(contract: Any, match: str) -> None:
    with pytest.raises(TypeError, match=match):
        check(contract)


def test_form() -> None:
    class Nameless(Contract):
        @handles(Ask)
        def ask(self, context: Context, message: Ask) -> None: ...

    class Ledger(Nameless):
        name = "ledger"

    class Zero(Nameless):
        name = "zero"
        version = 0

    class Silent(Contract):
        name = "silent"

    class Codes(Nameless):
        name = "codes"
        codes = ("internal",)

    class Prose(Nameless):
        name = "prose"
        codes = ("No, thanks",)

    class Heir(Counting):
        name = "heir"
        events = ()

    class Mutable(Contract):
        name = "mutable"

        @handles(Changeable)
        def change(self, context: Context, message: Changeable) -> None: ...

    class Scales(Contract):
        name = "scales"

        @handles(Weigh)
        def weigh(self, context: Context, message: Weigh) -> None: ...

    class Rows(Nameless):
        name = "rows"
        weights = Table(Weigh)

    class Listed(Nameless):
        name = "listed"
        codes = ["no"]  # noqa: RUF012

    class TwoEvents(Nameless):
        name = "two"
        events = (Event, attrs.make_class("Event", {"x": attrs.field(type=int)}, frozen=True))

    class Untyped(Contract):
        name = "untyped"

        @handles(Whatever)
        def whatever(self, context: Context, message: Whatever) -> None: ...

    class Nested(Nameless):
        name = "nested"
        all = Table(Holds)

    class Own(Nameless):
        name = "own"
        all = Table(OwnForm)

    class Lists(Nameless):
        name = "lists"
        all = Table(Listing)

    class Pairs(Nameless):
        name = "pairs"
        all = Table(Pair)

    class Digest(Nameless):
        name = "digest"
        digest = Table(Ask)  # type: ignore[assignment]

    class Handle(Nameless):
        name = "handle"

        @handles(Holds)
        def handle(self, context: Context, message: Holds) -> None: ...  # type: ignore[override]

    refuse(Digest, "digest is what every contract has")
    refuse(Handle, "handle is what every contract has")
    refuse(Listed, "are tuples")
    refuse(TwoEvents, "two events have one name")
    refuse(Untyped, "type Any")
    refuse(Nested, "holds itself")
    refuse(Own, "form of its own")
    refuse(Lists, "no canonical form")
    refuse(Pairs, "no canonical form")
    refuse(7, "no Contract class")
    refuse(Ask, "no Contract class")
    refuse(Nameless, "name is")
    refuse(Ledger, "not 'ledger'")
    refuse(Zero, "version")
    refuse(Silent, "handles no message")
    refuse(Codes, "reserved")
    refuse(Prose, "code 'No, thanks'")
    refuse(Heir, "another contract's")
    refuse(Mutable, "no frozen attrs class")
    refuse(Scales, "no canonical form")
    refuse(Rows, "no canonical form")


def test_determinism() -> None:
    class Clock(Contract):
        name = "clock"

        @handles(Ask)
        def ask(self, context: Context, message: Ask) -> None:
            time.time()

    class Today(Contract):
        name = "today"

        @handles(Ask)
        def ask(self, context: Context, message: Ask) -> None:
            datetime.datetime.now()  # noqa: DTZ005

    class Dice(Contract):
        name = "dice"

        @handles(Ask)
        def ask(self, context: Context, message: Ask) -> None:
            roll(1, 6)

    class Half(Contract):
        name = "half"

        @handles(Ask)
        def ask(self, context: Context, message: Ask) -> None:
            message.value / 2

    class Fraction(Contract):
        name = "fraction"

        @handles(Ask)
        def ask(self, context: Context, message: Ask) -> None:
            _ = 0.5

    class Identity(Contract):
        name = "identity"

        @handles(Ask)
        def ask(self, context: Context, message: Ask) -> None:
            id(message)

    class Importer(Contract):
        name = "importer"

        @handles(Ask)
        def ask(self, context: Context, message: Ask) -> None:
            import os  # noqa: F401

    class Heir(Clock):
        name = "heir"

    refuse(Clock, "time depends on more")
    refuse(Today, "datetime depends on more")
    refuse(Dice, "roll depends on more")
    refuse(Half, "use //")
    refuse(Fraction, "a float")
    refuse(Identity, "id depends on more")
    refuse(Importer, "import has no place")
    refuse(Heir, r"Clock\.ask, line")


roll = random.randint


def test_two_messages_of_one_name() -> None:
    another = attrs.make_class("Ask", {"x": attrs.field(type=int)}, frozen=True)
    with pytest.raises(TypeError, match="two messages called ask"):

        class Twice(Contract):
            name = "twice"

            @handles(Ask)
            def ask(self, context: Context, message: Ask) -> None: ...

            @handles(another)
            def other(self, context: Context, message: Any) -> None: ...


def test_one_method_for_several_messages() -> None:
    class Both(Contract):
        name = "both"

        @handles(Ask, Whatever)
        def all(self, context: Context, message: Any) -> None: ...

    assert Both.handlers == {"ask": (Ask, "all"), "whatever": (Whatever, "all")}


def test_a_later_version_takes_over_or_drops_what_it_is_derived_from() -> None:
    class First(Contract):
        name = "first"

        @handles(Ask)
        def ask(self, context: Context, message: Ask) -> None: ...

        @handles(Weigh)
        def weigh(self, context: Context, message: Weigh) -> None: ...

    another = attrs.make_class("Ask", {"x": attrs.field(type=int)}, frozen=True)

    class Second(First):
        version = 2
        weigh = None

        @handles(another)
        def ask(self, context: Context, message: Any) -> None: ...

    assert First.handlers == {"ask": (Ask, "ask"), "weigh": (Weigh, "weigh")}
    assert Second.handlers == {"ask": (another, "ask")}


def test_tables_may_come_from_a_base_that_is_no_contract() -> None:
    class Tables:
        name = "mixed"
        asked = Table(Ask, public=True)

    class Mixed(Tables, Contract):
        @handles(Ask)
        def ask(self, context: Context, message: Ask) -> None: ...

    check(Mixed)
    assert Mixed.tables == {"asked": Tables.asked}
    assert (Mixed.asked.contract, Mixed.asked.name) == ("mixed", "asked")


def test_a_table_may_have_any_name_that_is_not_taken(world: World) -> None:
    class Named(Contract):
        name = "named"
        rows = Table(Ask, public=True)
        context = Table(Ask)

        @handles(Ask)
        def ask(self, context: Context, message: Ask) -> None:
            self.rows["x"] = message
            self.context["x"] = self.rows["x"]

    with Chain.in_memory(authority=world.authority, contracts=[Named]) as chain:
        chain.send(Named, Ask(7), by=[world.authority])
        assert chain.table(Named.rows)["x"] == chain.table(Named.context)["x"] == Ask(7)


def test_events_belong_to_one_contract() -> None:
    with pytest.raises(TypeError, match="another contract"):

        class Thief(Contract):
            name = "thief"
            events = Counting.events


def test_digests_cover_what_a_contract_says() -> None:
    def make(**changes: Any) -> bytes:
        def add(self: Any, context: Context, message: Any) -> None: ...

        body = {"name": "made", "add": handles(Add)(add), "rows": Table(TotalRow), **changes}
        return type("Made", (Contract,), body).digest()

    plain = make()
    assert make() == plain
    changes: list[dict[str, Any]] = [
        {"version": 2},
        {"codes": ("x",)},
        {"rows": Table(NoteRow)},
        {"name": "mad"},
    ]
    assert len({plain, *(make(**change) for change in changes)}) == 5
