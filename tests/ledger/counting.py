"""A small contract for tests and benches: it counts, remembers, refuses, crashes and schedules on demand."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from medchain.ledger.contract import Context, Contract, handles
from medchain.ledger.keys import Keys
from medchain.ledger.tables import Table
from medchain.records import length, short


@frozen
class Add:
    """Add to the sender's total, and put the entry on the lists of `concerns`."""

    amount: int
    concerns: tuple[bytes, ...] = ()


@frozen
class Later:
    """Add at block time `at`."""

    at: int
    amount: int


@frozen
class Misbehave:
    """Do what a contract must not do."""

    how: str


@frozen
class Put:
    """Write, or remove, a named note."""

    name: str
    text: str | None


@frozen
class Added:
    """A total has changed."""

    party: bytes = field(validator=length(32), repr=short)
    total: int = field()


@frozen
class TotalRow:
    total: int
    last: int


@frozen
class NoteRow:
    text: str


@frozen
class Undeclared:
    value: int


class Counting(Contract):
    """Totals by party, a total of all, notes by name."""

    name = "counting"
    version = 1
    events = (Added,)
    codes = ("negative", "strangers-only")

    totals = Table(TotalRow, public=True)
    overall = Table(TotalRow)
    notes = Table(NoteRow, public=True)

    def attached(self, signers: tuple[bytes, ...], message: object) -> Mapping[bytes, bytes]:
        """A note whose text is the hash of a blob of the object that is its name, both in hex."""
        if isinstance(message, Put) and message.text is not None and len(message.name) == 64:
            return {bytes.fromhex(message.text): bytes.fromhex(message.name)}
        return {}

    @handles(Add)
    def add(self, context: Context, message: Add) -> None:
        for subject in message.concerns:
            context.concerns(subject)
        context.require(message.amount >= 0, "negative")
        sender = context.signers[0]
        self._count(context, sender, message.amount)

    @handles(Later)
    def later(self, context: Context, message: Later) -> None:
        if context.signers:
            context.schedule(message.at, message)
        elif message.amount == 13:
            raise ZeroDivisionError("a handler with a bug")
        else:
            self._count(context, bytes(32), message.amount)

    @handles(Put)
    def put(self, context: Context, message: Put) -> None:
        if message.text is not None:
            self.notes[message.name] = NoteRow(message.text)
        elif message.name in self.notes:
            del self.notes[message.name]

    @handles(Misbehave)
    def misbehave(self, context: Context, message: Misbehave) -> None:
        self._count(context, context.signers[0], 1_000)
        match message.how:
            case "crash":
                raise ZeroDivisionError("a handler with a bug")
            case "undeclared code":
                context.refuse("nobody-knows")
            case "undeclared event":
                context.emit(Undeclared(1))
            case "short subject":
                context.concerns(b"short")
            case "subjects":
                for number in range(65):
                    context.concerns(number.to_bytes(32, "big"))
            case "events":
                for _ in range(200):
                    context.emit(Added(bytes(32), 1))
            case "three events":
                for number in range(3):
                    context.emit(Added(bytes(32), number))
            case "wrong type":
                self.notes["x"] = NoteRow(7)  # type: ignore[arg-type]
            case "large row":
                self.notes["x"] = NoteRow("x" * (1 << 20))
            case "large timer":
                context.schedule(context.time, Put("x", "x" * 40_000))
            case "far timer":
                context.schedule(1 << 60, Put("x", "x"))
            case "foreign timer":
                context.schedule(context.time, Undeclared(1))
            case "private table":
                context.read(Other.hidden)
            case "write public":
                context.read(Keys.parties)[bytes(32)] = None  # type: ignore[assignment]

    def _count(self, context: Context, party: bytes, amount: int) -> None:
        total = self._raised(self.totals.get(party), context, amount)
        self.totals[party] = total
        self.overall["all"] = self._raised(self.overall.get("all"), context, amount)
        context.emit(Added(party, total.total))

    @staticmethod
    def _raised(row: TotalRow | None, context: Context, amount: int) -> TotalRow:
        return TotalRow((row.total if row else 0) + amount, context.height)


class Other(Contract):
    """Somebody else's contract."""

    name = "other"
    hidden = Table(TotalRow)

    @handles(Undeclared)
    def nothing(self, context: Context, message: Undeclared) -> None:
        """Accept."""
