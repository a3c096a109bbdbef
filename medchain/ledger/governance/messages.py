"""What authorities decide, and what governance tells: messages and events of the contract ``governance``."""

from __future__ import annotations

import re
from typing import TypeAlias

from attrs import field, frozen

from medchain.ledger.contract import CODE, NAME, RESERVED_NAMES
from medchain.records import form, length, short

__all__ = [
    "Action",
    "Activate",
    "AddAuthority",
    "AddGateMember",
    "Approve",
    "Approved",
    "AuthorityAdded",
    "AuthorityRemoved",
    "Closed",
    "Decided",
    "Expire",
    "GateMemberAdded",
    "GateMemberRemoved",
    "GateThresholdChanged",
    "ParameterChanged",
    "Proposed",
    "RemoveAuthority",
    "RemoveGateMember",
    "Scheduled",
    "SetGateThreshold",
    "SetParameter",
    "Unschedule",
    "Unscheduled",
    "Withdraw",
    "Withdrawn",
]


CONTRACT = re.compile(rf"(?!(?:{'|'.join(sorted(RESERVED_NAMES))})\Z){NAME.pattern}")


def _contract_version(instance: object, attribute: object, value: int) -> None:
    if not 1 <= value < 1 << 31:
        raise ValueError("a version counts from 1")


@frozen
class AddAuthority:
    """Let a registered party govern."""

    party: bytes = field(validator=length(32), repr=short)


@frozen
class RemoveAuthority:
    """Let a party govern no more; its approvals of open proposals go with it, and proposals that only it approves."""

    party: bytes = field(validator=length(32), repr=short)


@frozen
class AddGateMember:
    """Bind new policies to one more party; the first one makes the threshold 1."""

    party: bytes = field(validator=length(32), repr=short)


@frozen
class RemoveGateMember:
    """Bind new policies to a party no more. Policies that are bound to it stay so."""

    party: bytes = field(validator=length(32), repr=short)


@frozen
class SetGateThreshold:
    """Let another number of gate members release, for new policies."""

    threshold: int


@frozen
class Activate:
    """Let a version of a contract execute the blocks from `height` on; null: from the next block.

    It takes the place of what was scheduled for this contract.
    """

    contract: str = field(validator=form(CONTRACT))
    version: int = field(validator=_contract_version)
    digest: bytes = field(validator=length(32), repr=short)
    height: int | None = None


@frozen
class Unschedule:
    """Let the version that executes now go on, and forget the scheduled one."""

    contract: str = field(validator=form(CONTRACT))


@frozen
class SetParameter:
    """Give a parameter another value, from the next block on."""

    name: str = field(validator=form(NAME))
    value: int = field()


Action: TypeAlias = (
    AddAuthority
    | RemoveAuthority
    | AddGateMember
    | RemoveGateMember
    | SetGateThreshold
    | Activate
    | Unschedule
    | SetParameter
)
"""What can be decided."""


@frozen
class Approve:
    """Agree to an open proposal. Signers: authorities that have not yet; any, if as many have as are needed by now."""

    proposal: bytes = field(validator=length(32), repr=short)


@frozen
class Withdraw:
    """Take approvals back; a proposal that nobody approves any more is closed."""

    proposal: bytes = field(validator=length(32), repr=short)


@frozen
class Expire:
    """Close a proposal whose time is over, or that nobody approves: a timer."""

    proposal: bytes = field(validator=length(32), repr=short)


@frozen
class Proposed:
    """Some authorities want something decided, fewer than are needed."""

    proposal: bytes = field(validator=length(32), repr=short)
    action: str = field(validator=form(CODE))
    by: tuple[bytes, ...] = field()
    expires: int = field()


@frozen
class Approved:
    """Authorities have agreed; `missing` more are needed."""

    proposal: bytes = field(validator=length(32), repr=short)
    by: tuple[bytes, ...] = field()
    missing: int = field()


@frozen
class Withdrawn:
    """Authorities have taken back their approvals."""

    proposal: bytes = field(validator=length(32), repr=short)
    by: tuple[bytes, ...] = field()


@frozen
class Closed:
    """A proposal came to nothing: ``expired``, ``withdrawn``, or ``abandoned`` when who approved it was removed."""

    proposal: bytes = field(validator=length(32), repr=short)
    reason: str = field(validator=form(CODE))


@frozen
class Decided:
    """Enough authorities agree. `proposal` is the transaction that proposed it, or decided it at once."""

    proposal: bytes = field(validator=length(32), repr=short)
    action: str = field(validator=form(CODE))
    by: tuple[bytes, ...] = field()


@frozen
class AuthorityAdded:
    """A party governs from here on."""

    party: bytes = field(validator=length(32), repr=short)


@frozen
class AuthorityRemoved:
    """A party governs no more."""

    party: bytes = field(validator=length(32), repr=short)


@frozen
class GateMemberAdded:
    """A party is a member of the gate from here on."""

    party: bytes = field(validator=length(32), repr=short)


@frozen
class GateMemberRemoved:
    """A party is no member of the gate any more."""

    party: bytes = field(validator=length(32), repr=short)


@frozen
class GateThresholdChanged:
    """Another number of gate members releases, for new policies; 0 before the first member came."""

    before: int
    after: int


@frozen
class Scheduled:
    """A contract version will execute the blocks from `height` on."""

    contract: str = field(validator=form(CONTRACT))
    version: int = field()
    digest: bytes = field(validator=length(32), repr=short)
    height: int = field()


@frozen
class Unscheduled:
    """A contract version that was scheduled will not come."""

    contract: str = field(validator=form(CONTRACT))
    version: int = field()


@frozen
class ParameterChanged:
    """A parameter has another value from the next block on."""

    name: str = field(validator=form(NAME))
    before: int = field()
    after: int = field()
