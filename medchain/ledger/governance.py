"""The system contract ``governance``: who governs the chain, who is its gate, which contract versions are active.

Authorities act together: a transaction signed by at least ``threshold`` of them is their decision. An activation holds
from the next block; a node that does not have the very contract (by its digest) leaves the transaction out.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import field, frozen

from medchain.ledger.contract import NAME, Context, Contract, handles
from medchain.ledger.tables import Rows, Table
from medchain.records import form, length, short

__all__ = [
    "GATE",
    "Activate",
    "Activated",
    "AuthorityRow",
    "ContractRow",
    "GateRow",
    "Governance",
    "ParameterRow",
    "active_contracts",
]


@frozen
class Activate:
    """Make a contract version the active one. Signers: at least the threshold of authorities."""

    contract: str = field(validator=form(NAME))
    version: int = field()
    digest: bytes = field(validator=length(32), repr=short)


@frozen
class Activated:
    """A contract version is active from the block after `height`."""

    contract: str = field(validator=form(NAME))
    version: int = field()
    digest: bytes = field(validator=length(32), repr=short)
    height: int = field()


@frozen
class AuthorityRow:
    """A party that governs; `since` is the height from which it does."""

    since: int


@frozen
class ContractRow:
    """The active version of a contract and the height after which it is active."""

    version: int
    digest: bytes = field(validator=length(32), repr=short)
    height: int = field()


GATE = "gate"
"""The key of the one row that a chain with a gate has in ``Governance.gate``."""


@frozen
class GateRow:
    """The gate of the chain: party ids in ascending order, and how many of them have to release."""

    threshold: int
    members: tuple[bytes, ...]


@frozen
class ParameterRow:
    """A named number of the chain."""

    value: int


class Governance(Contract):
    """Authorities, gate, active contracts, parameters."""

    name = "governance"
    version = 1
    events = (Activated,)
    codes = ("not-enough-authorities", "older-version")

    authorities = Table(AuthorityRow, public=True)
    gate = Table(GateRow, public=True)
    """One row under `GATE`, or none on a chain without a gate: what policies are held against."""
    contracts = Table(ContractRow, public=True)
    parameters = Table(ParameterRow, public=True)

    @handles(Activate)
    def activate(self, context: Context, message: Activate) -> None:
        """Activate a contract that is new to the chain, or a newer version of one that is active."""
        self._require_authorities(context)
        row = self.contracts.get(message.contract)
        context.require(row is None or row.version < message.version, "older-version")
        if context.installed.get((message.contract, message.version)) != message.digest:
            raise LookupError(
                f"{message.contract}/{message.version} with this digest is not installed on this node"
            )
        self.contracts[message.contract] = ContractRow(message.version, message.digest, context.height)
        context.emit(Activated(message.contract, message.version, message.digest, context.height))

    def _require_authorities(self, context: Context) -> None:
        present = {signer for signer in context.signers if signer in self.authorities}
        context.require(
            len(present) >= self.parameters["authority_threshold"].value, "not-enough-authorities"
        )


def active_contracts(rows: Rows) -> Iterator[tuple[str, ContractRow]]:
    """Names and rows of all active contracts, by name."""
    return Governance.contracts.view(rows).items()
