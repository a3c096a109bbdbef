"""What governance keeps in the state: authorities, gate, contract versions, parameters, open proposals.

Everybody may read it: contracts, the transition, and whoever proves a row. Only the contract ``governance`` writes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from attrs import field, frozen

from medchain.encoding import decode
from medchain.ledger.tables import OwnRows, Rows, Table
from medchain.records import length, short

__all__ = [
    "AUTHORITY_THRESHOLD",
    "GATE",
    "MEMBERS_LIMIT",
    "PARAMETERS",
    "ApprovalRow",
    "AuthorityRow",
    "ContractRow",
    "ContractVersion",
    "GateRow",
    "GovernanceTables",
    "Parameter",
    "ParameterRow",
    "ProposalRow",
    "active_contracts",
    "parameter",
]

MEMBERS_LIMIT = 64
"""Most authorities, and most members of the gate."""

AUTHORITY_THRESHOLD = "authority_threshold"
GATE = "gate"
"""The key of the one row that a chain with a gate has in the table ``gate``."""

DAY = 86_400_000


@frozen
class AuthorityRow:
    """A party that governs; `since` is the height from which it does."""

    since: int


@frozen
class GateRow:
    """The gate of the chain: party ids in ascending order, and how many of them have to release."""

    threshold: int
    members: tuple[bytes, ...]


@frozen
class ContractVersion:
    """A version of a contract, and the height of the first block that it executes."""

    version: int
    digest: bytes = field(validator=length(32), repr=short)
    height: int = field()


@frozen
class ContractRow:
    """The version of a contract that executes now, and the one that follows it; the key is the contract's name.

    Attributes:
        running: None while the contract's first version is still to come.
        following: takes the place of `running` at its height, without a further entry; None if nothing is scheduled.
    """

    running: ContractVersion | None
    following: ContractVersion | None

    def at(self, height: int) -> ContractVersion | None:
        """The version that executes the block at `height`, if nothing else is decided until then."""
        if self.following is not None and self.following.height <= height:
            return self.following
        return self.running


@frozen
class ParameterRow:
    """The value of a parameter; the key is its name."""

    value: int


@frozen
class ProposalRow:
    """An open proposal; the key is the id of the transaction that made it.

    Attributes:
        action: name of the message that is proposed.
        fields: its fields, encoded.
        proposer: the authority that signed it first.
        proposed, expires: block times, ms.
    """

    action: str
    fields: bytes = field(repr=short)
    proposer: bytes = field(validator=length(32), repr=short)
    proposed: int
    expires: int

    @property
    def message(self) -> Any:
        """The proposed fields as a plain value."""
        return decode(self.fields)


@frozen
class ApprovalRow:
    """An authority's approval of an open proposal; the key is (proposal, authority)."""

    time: int


class GovernanceTables:
    """The tables of the contract ``governance``."""

    name: ClassVar[str] = "governance"
    authorities = Table(AuthorityRow, public=True)
    gate = Table(GateRow, public=True)
    """One row under `GATE`, or none on a chain without a gate: what policies are held against."""
    contracts = Table(ContractRow, public=True)
    parameters = Table(ParameterRow, public=True)
    proposals = Table(ProposalRow, public=True)
    approvals = Table(ApprovalRow, public=True)


@frozen
class Parameter:
    """A number that authorities may change, within bounds, and that the ledger obeys from the next block on.

    Attributes:
        default: holds as long as nothing else stands in the state. It never changes, nor would old blocks hold.
        least, most: bounds; of a threshold, `most` is the number of members at the time.
    """

    default: int
    least: int
    most: int


PARAMETERS = {
    AUTHORITY_THRESHOLD: Parameter(1, 1, MEMBERS_LIMIT),
    "proposal_ms": Parameter(30 * DAY, 3_600_000, 366 * DAY),
    "timer_interval_ms": Parameter(1_000, 100, 60_000),
    "timers_per_block": Parameter(1_000, 1, 10_000),
    "transaction_bytes": Parameter(48_000, 8_000, 48_000),
}
"""All parameters by name; there are no others.

``authority_threshold``: how many authorities decide. ``proposal_ms``: how long a proposal stays open.
``timer_interval_ms``: how long a timer that sets another one lets it wait at least, or a chain that rests would never
rest again. ``timers_per_block``: most timers that one block runs. ``transaction_bytes``: most bytes of a
transaction; a governance message of 16 signers fits into the least.
"""


def parameter(rows: Rows | OwnRows, name: str) -> int:
    """The value of a parameter as the state has it."""
    row = GovernanceTables.parameters.view(rows).get(name)
    return PARAMETERS[name].default if row is None else row.value


def active_contracts(rows: Rows, height: int) -> Iterator[tuple[str, ContractVersion]]:
    """Names and versions of the contracts that execute the block at `height`, by name."""
    for name, row in GovernanceTables.contracts.view(rows).items():
        version = row.at(height)
        if version is not None:
            yield name, version
