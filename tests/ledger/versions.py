"""Versions of one contract: a ward that keeps how many beds are taken."""

from __future__ import annotations

from attrs import field, frozen

from medchain.ledger.contract import Context, Contract, handles
from medchain.ledger.tables import Table
from medchain.records import ADDED


@frozen
class Admit:
    """Take a bed."""

    ward: str


@frozen
class Discharge:
    """Free a bed at block time `at`: a timer."""

    ward: str
    at: int


@frozen
class Rename:
    """Only version 1 knows this one, as a message and as a timer."""

    ward: str
    at: int


@frozen
class Taken:
    """A ward has another number of beds taken."""

    ward: str
    beds: int


@frozen
class WardRow:
    beds: int


class Ward1(Contract):
    """Beds by ward."""

    name = "ward"
    version = 1
    events = (Taken,)
    codes = ("full",)

    wards = Table(WardRow, public=True)
    hidden = Table(WardRow)

    @handles(Admit)
    def admit(self, context: Context, message: Admit) -> None:
        row = self.wards.get(message.ward)
        context.require(row is None or row.beds < 3, "full")
        self._set(context, message.ward, 1 if row is None else row.beds + 1)

    @handles(Discharge)
    def discharge(self, context: Context, message: Discharge) -> None:
        if context.signers:
            context.schedule(message.at, message)
        else:
            self._set(context, message.ward, self.wards[message.ward].beds - 1)

    @handles(Rename)
    def rename(self, context: Context, message: Rename) -> None:
        context.schedule(message.at, message)

    def _set(self, context: Context, ward: str, beds: int) -> None:
        self.wards[ward] = WardRow(beds)
        context.emit(Taken(ward, beds))


@frozen
class WardRow2:
    """Version 2 also counts all who ever came."""

    beds: int
    ever: int | None = field(metadata=ADDED)


class Ward2(Ward1):
    """Larger wards, and a count of all who ever came; nothing is renamed any more."""

    version = 2
    wards = Table(WardRow2, public=True)
    rename = None

    @handles(Admit)
    def admit(self, context: Context, message: Admit) -> None:
        row = self.wards.get(message.ward) or WardRow2(0, 0)
        context.require(row.beds < 5, "full")
        self.wards[message.ward] = WardRow2(row.beds + 1, (row.ever or row.beds) + 1)
        context.emit(Taken(message.ward, row.beds + 1))

    def _set(self, context: Context, ward: str, beds: int) -> None:
        self.wards[ward] = WardRow2(beds, self.wards[ward].ever)
        context.emit(Taken(ward, beds))


class Ward3(Ward2):
    """The same again, for what follows on what."""

    version = 3
