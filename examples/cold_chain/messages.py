"""What is written on chain: messages, events, rows. Temperatures are whole tenths of a degree Celsius, times ms."""

from __future__ import annotations

from attrs import field, frozen

from medchain.records import length, short


@frozen
class Ship:
    """Send a shipment on its way. Signer: the sender."""

    shipment: bytes = field(validator=length(32), repr=short)
    receiver: bytes = field(validator=length(32), repr=short)
    probe: bytes = field(validator=length(32), repr=short)
    low: int = field()
    high: int = field()
    every: int = field()


@frozen
class Measure:
    """Log a temperature. Signer: the probe that travels with the shipment."""

    shipment: bytes = field(validator=length(32), repr=short)
    tenths: int = field()


@frozen
class Deliver:
    """Take a shipment over. Signer: the receiver."""

    shipment: bytes = field(validator=length(32), repr=short)


@frozen
class Missing:
    """Look whether a reading has come since the one with this number. Signers: none, it is a timer."""

    shipment: bytes = field(validator=length(32), repr=short)
    number: int = field()


@frozen
class Spoiled:
    """A temperature was out of bounds."""

    shipment: bytes = field(validator=length(32), repr=short)
    tenths: int = field()


@frozen
class Silent:
    """No reading came in time after the one with this number."""

    shipment: bytes = field(validator=length(32), repr=short)
    number: int = field()


@frozen
class Delivered:
    """The receiver has the shipment; `intact` if every reading came in time and within bounds."""

    shipment: bytes = field(validator=length(32), repr=short)
    intact: bool = field()


@frozen
class ShipmentRow:
    """A shipment; the key is its id. `flaws` counts readings out of bounds and times of silence."""

    sender: bytes = field(validator=length(32), repr=short)
    receiver: bytes = field(validator=length(32), repr=short)
    probe: bytes = field(validator=length(32), repr=short)
    low: int = field()
    high: int = field()
    every: int = field()
    readings: int = field()
    flaws: int = field()
    delivered: int | None = field()


@frozen
class ReadingRow:
    """One reading; the key is (shipment, number), so that the readings of a shipment lie in order."""

    tenths: int
    time: int
