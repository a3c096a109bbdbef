"""The rules: who may say what about a shipment, and what follows."""

from __future__ import annotations

from attrs import evolve

from cold_chain.messages import (
    Deliver,
    Delivered,
    Measure,
    Missing,
    ReadingRow,
    Ship,
    ShipmentRow,
    Silent,
    Spoiled,
)
from medchain.ledger import Context, Contract, Keys, Table, handles


class ColdChain(Contract):
    """Shipments that must stay within bounds, and the readings that show it."""

    name = "cold_chain"
    version = 1
    events = (Spoiled, Silent, Delivered)
    codes = ("already-shipped", "unknown-party", "bad-bounds", "unknown-shipment", "not-yours", "closed")

    shipments = Table(ShipmentRow, public=True)
    readings = Table(ReadingRow, public=True)

    @handles(Ship)
    def ship(self, context: Context, message: Ship) -> None:
        """Take a new shipment, and expect its first reading."""
        context.require(message.shipment not in self.shipments, "already-shipped")
        context.require(message.low <= message.high and message.every > 0, "bad-bounds")
        parties = context.read(Keys.parties)  # another contract's public table
        for party in (message.receiver, message.probe):
            context.require(party in parties, "unknown-party")
        self.shipments[message.shipment] = self._first_row(context.signers[0], message)
        context.schedule(context.time + message.every, Missing(message.shipment, 0))

    @handles(Measure)
    def measure(self, context: Context, message: Measure) -> None:
        """Log a reading, and expect the next one."""
        row = self._open(context, message.shipment)
        context.require(context.signers[0] == row.probe, "not-yours")
        number, good = row.readings + 1, row.low <= message.tenths <= row.high
        self.readings[message.shipment, number] = ReadingRow(message.tenths, context.time)
        self.shipments[message.shipment] = evolve(
            row, readings=number, flaws=row.flaws if good else row.flaws + 1
        )
        if not good:
            context.emit(Spoiled(message.shipment, message.tenths))
        context.schedule(context.time + row.every, Missing(message.shipment, number))

    @handles(Deliver)
    def deliver(self, context: Context, message: Deliver) -> None:
        """End a shipment."""
        row = self._open(context, message.shipment)
        context.require(context.signers[0] == row.receiver, "not-yours")
        self.shipments[message.shipment] = evolve(row, delivered=context.time)
        context.emit(Delivered(message.shipment, row.flaws == 0 and row.readings > 0))

    @handles(Missing)
    def missing(self, context: Context, message: Missing) -> None:
        """Count a silence, if nothing came since; a timer, so nobody can send it."""
        context.require(not context.signers, "not-yours")
        row = self.shipments[message.shipment]
        if row.delivered is None and row.readings == message.number:
            self.shipments[message.shipment] = evolve(row, flaws=row.flaws + 1)
            context.emit(Silent(message.shipment, message.number))

    def _first_row(self, sender: bytes, message: Ship) -> ShipmentRow:
        return ShipmentRow(
            sender=sender,
            receiver=message.receiver,
            probe=message.probe,
            low=message.low,
            high=message.high,
            every=message.every,
            readings=0,
            flaws=0,
            delivered=None,
        )

    def _open(self, context: Context, shipment: bytes) -> ShipmentRow:
        row = self.shipments.get(shipment)
        if row is None:
            context.refuse("unknown-shipment")
        context.require(row.delivered is None, "closed")
        return row
