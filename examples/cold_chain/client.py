"""What a developer calls: a few verbs over the chain."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import medchain as mc
from cold_chain.contract import ColdChain
from cold_chain.messages import Deliver, Measure, ReadingRow, Ship, ShipmentRow


class Shipments:
    """The shipments of a chain."""

    def __init__(self, chain: mc.Chain) -> None:
        self._chain = chain

    def ship(self, *, by: mc.Wallet, to: mc.Party, probe: mc.Party, low: int, high: int, every: int) -> bytes:
        """Send a new shipment; its id."""
        shipment = secrets.token_bytes(32)
        self._chain.send(ColdChain, Ship(shipment, to.id, probe.id, low, high, every), by=[by])
        return shipment

    def measure(self, shipment: bytes, tenths: int, *, by: mc.Wallet) -> mc.Receipt:
        """Log a temperature; Refused with ``closed`` once it is delivered."""
        return self._chain.send(ColdChain, Measure(shipment, tenths), by=[by])

    def deliver(self, shipment: bytes, *, by: mc.Wallet) -> mc.Receipt:
        """Take a shipment over."""
        return self._chain.send(ColdChain, Deliver(shipment), by=[by])

    def get(self, shipment: bytes) -> ShipmentRow:
        """What the chain knows of a shipment; KeyError if nothing."""
        return self._chain.table(ColdChain.shipments)[shipment]

    def readings(self, shipment: bytes) -> Iterator[ReadingRow]:
        """The readings of one shipment, in order."""
        return self._chain.table(ColdChain.readings).values(under=(shipment,))

    def prove(self, shipment: bytes) -> bytes:
        """A file that shows to anybody what the chain knows of a shipment."""
        return self._chain.prove_state(ColdChain.shipments, shipment)
