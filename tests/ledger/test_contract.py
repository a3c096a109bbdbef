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
