"""Version 2: a sender can recall a shipment. The tables stay, with all that is in them."""

from __future__ import annotations

from attrs import asdict, evolve, field, frozen

from cold_chain.contract import ColdChain
from cold_chain.messages import Deliver, Delivered, Ship, ShipmentRow
from medchain.ledger import Context, Table, handles
from medchain.records import ADDED, length, short


@frozen
class Recall:
    """Call a shipment back. Signer: its sender."""

    shipment: bytes = field(validator=length(32), repr=short)


@frozen
class ShipmentRow2(ShipmentRow):
    """The row of version 1 and one field more, which is None in rows that version 1 has written."""

    recalled: int | None = field(metadata=ADDED)


class ColdChain2(ColdChain):
    """Shipments that can be recalled."""

    version = 2
    shipments = Table(ShipmentRow2, public=True)

    @handles(Recall)
    def recall(self, context: Context, message: Recall) -> None:
        """Mark a shipment as recalled."""
        row = self._open(context, message.shipment)
        context.require(context.signers[0] == row.sender, "not-yours")
        self.shipments[message.shipment] = evolve(row, recalled=context.time)

    @handles(Deliver)
    def deliver(self, context: Context, message: Deliver) -> None:
        """End a shipment; one that was recalled is not intact."""
        row = self._open(context, message.shipment)
        context.require(context.signers[0] == row.receiver, "not-yours")
        self.shipments[message.shipment] = evolve(row, delivered=context.time)
        intact = row.flaws == 0 and row.readings > 0 and row.recalled is None
        context.emit(Delivered(message.shipment, intact))

    def _first_row(self, sender: bytes, message: Ship) -> ShipmentRow2:
        return ShipmentRow2(**asdict(super()._first_row(sender, message)), recalled=None)
