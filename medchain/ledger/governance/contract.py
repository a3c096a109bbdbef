"""The system contract ``governance``: who governs the chain, who is its gate, which contracts run, which numbers hold.

What can be decided is a message of its own: `AddAuthority`, `Activate`, `SetParameter` and so on. If as many
authorities as the threshold says sign it, it is decided with that transaction. If fewer do, it is a proposal, known by
the id of its transaction, which covers every byte of it; the others approve one by one, each of them once, until it
expires. What a decision needs is checked when it is proposed and again when it is made: an approval is refused if the
decision has become impossible meanwhile.

The set of authorities, and the gate, never shrink below their thresholds. An authority that is removed takes its
approvals with it, and proposals that nobody else approves are closed. A threshold that falls decides nothing by itself:
where enough have approved by then, somebody has to say so once more, who may have approved before.
"""

from __future__ import annotations

from typing import Any

from attrs import evolve, frozen

from medchain.encoding import encode
from medchain.errors import EncodingError
from medchain.keys.party import Party
from medchain.ledger.contract import Context, Contract, handles, wire_name
from medchain.ledger.entry import Genesis
from medchain.ledger.governance.messages import (
    Action,
    Activate,
    AddAuthority,
    AddGateMember,
    Approve,
    Approved,
    AuthorityAdded,
    AuthorityRemoved,
    Closed,
    Decided,
    Expire,
    GateMemberAdded,
    GateMemberRemoved,
    GateThresholdChanged,
    ParameterChanged,
    Proposed,
    RemoveAuthority,
    RemoveGateMember,
    Scheduled,
    SetGateThreshold,
    SetParameter,
    Unschedule,
    Unscheduled,
    Withdraw,
    Withdrawn,
)
from medchain.ledger.governance.rows import (
    AUTHORITY_THRESHOLD,
    GATE,
    MEMBERS_LIMIT,
    PARAMETERS,
    ApprovalRow,
    AuthorityRow,
    ContractRow,
    ContractVersion,
    GateRow,
    GovernanceTables,
    ParameterRow,
    ProposalRow,
    parameter,
)
from medchain.ledger.keys import Keys, current_party
from medchain.ledger.tables import Rows, TableView, WritableRows
from medchain.ledger.transaction import Body
from medchain.records import from_value, to_value

__all__ = ["CONTRACTS_LIMIT", "PROPOSALS_LIMIT", "Governance", "activated_by", "establish", "gate_of"]

PROPOSALS_LIMIT = 8
"""Most proposals of one authority that are open at the same time."""

CONTRACTS_LIMIT = 256
"""Most contracts of a chain: their digests stand in every header."""


@frozen
class Change:
    """A row as a decision leaves it; None: it goes."""

    table: TableView[Any]
    key: Any
    row: Any


@frozen
class Effect:
    """What a decision changes, what it tells, and the open proposals that nobody approves any more after it."""

    changes: tuple[Change, ...]
    events: tuple[Any, ...]
    abandoned: tuple[bytes, ...] = ()


class Governance(GovernanceTables, Contract):
    """Authorities, gate, active contracts, parameters."""

    name = "governance"
    version = 1
    events = (
        Proposed,
        Approved,
        Withdrawn,
        Closed,
        Decided,
        AuthorityAdded,
        AuthorityRemoved,
        GateMemberAdded,
        GateMemberRemoved,
        GateThresholdChanged,
        Scheduled,
        Unscheduled,
        ParameterChanged,
    )
    codes = (
        "not-an-authority",
        "wrong-signers",
        "unknown-proposal",
        "expired",
        "already-approved",
        "not-approved",
        "unknown-party",
        "already-member",
        "not-a-member",
        "below-threshold",
        "too-many",
        "unknown-parameter",
        "out-of-bounds",
        "no-change",
        "older-version",
        "height-passed",
        "not-scheduled",
    )

    # Who agrees.

    @handles(
        *(AddAuthority, RemoveAuthority, AddGateMember, RemoveGateMember, SetGateThreshold),
        *(Activate, Unschedule, SetParameter),
    )
    def propose(self, context: Context, message: Action) -> None:
        """Decide something, if enough authorities sign; else open a proposal that those who sign approve."""
        signers = self._authorities(context)
        effect = self._effect(context, message)
        action = wire_name(type(message))
        if len(signers) >= self._value(AUTHORITY_THRESHOLD):
            self._decide(context, context.id, action, signers, effect)
            return
        mine = [row for row in self.proposals.values() if row.proposer == signers[0]]
        context.require(len(mine) < PROPOSALS_LIMIT, "too-many")
        expires = context.time + self._value("proposal_ms")
        self.proposals[context.id] = ProposalRow(
            action, encode(to_value(message)), signers[0], context.time, expires
        )
        for each in signers:
            self.approvals[context.id, each] = ApprovalRow(context.time)
        context.schedule(expires, Expire(context.id))
        context.emit(Proposed(context.id, action, signers, expires))

    @handles(Approve)
    def approve(self, context: Context, message: Approve) -> None:
        """Agree to a proposal; it is decided when the threshold is reached, or has been since it fell."""
        signers = self._authorities(context)
        row = self._proposal(context, message.proposal)
        context.require(context.time < row.expires, "expired")
        threshold = self._value(AUTHORITY_THRESHOLD)
        enough = len(self._agreed(message.proposal)) >= threshold
        for each in signers:
            context.require(enough or (message.proposal, each) not in self.approvals, "already-approved")
            self.approvals[message.proposal, each] = ApprovalRow(context.time)
        agreed = self._agreed(message.proposal)
        missing = threshold - len(agreed)
        context.emit(Approved(message.proposal, signers, max(missing, 0)))
        if missing <= 0:
            self._close(message.proposal)
            kind, _ = self.handlers[row.action]
            effect = self._effect(context, from_value(kind, row.message))
            self._decide(context, message.proposal, row.action, agreed, effect)

    @handles(Withdraw)
    def withdraw(self, context: Context, message: Withdraw) -> None:
        """Take back approvals of an open proposal."""
        signers = self._authorities(context)
        self._proposal(context, message.proposal)
        for each in signers:
            context.require((message.proposal, each) in self.approvals, "not-approved")
            del self.approvals[message.proposal, each]
        context.emit(Withdrawn(message.proposal, signers))
        if not self._agreed(message.proposal):
            self._close(message.proposal)
            context.emit(Closed(message.proposal, "withdrawn"))

    @handles(Expire)
    def expire(self, context: Context, message: Expire) -> None:
        """Close a proposal that is still open, if its time is over or nobody approves it."""
        context.require(not context.signers, "wrong-signers")
        row = self.proposals.get(message.proposal)
        if row is not None and context.time >= row.expires:
            self._close(message.proposal)
            context.emit(Closed(message.proposal, "expired"))
        elif row is not None and not self._agreed(message.proposal):
            self._close(message.proposal)
            context.emit(Closed(message.proposal, "abandoned"))

    def _authorities(self, context: Context) -> tuple[bytes, ...]:
        """The signers, who are authorities all of them."""
        for signer in context.signers:
            context.require(signer in self.authorities, "not-an-authority")
        context.require(context.signers, "wrong-signers")
        return context.signers

    def _proposal(self, context: Context, proposal: bytes) -> ProposalRow:
        row = self.proposals.get(proposal)
        if row is None:
            context.refuse("unknown-proposal")
        return row

    def _agreed(self, proposal: bytes) -> tuple[bytes, ...]:
        """Who approves an open proposal: authorities, since one that is removed takes its approvals along."""
        return tuple(key[1] for key in self.approvals.keys(under=(proposal,)))

    def _close(self, proposal: bytes) -> None:
        del self.proposals[proposal]
        for each in self._agreed(proposal):
            del self.approvals[proposal, each]

    def _decide(
        self, context: Context, proposal: bytes, action: str, by: tuple[bytes, ...], effect: Effect
    ) -> None:
        context.emit(Decided(proposal, action, by))
        for change in effect.changes:
            if change.row is None:
                del change.table[change.key]
            else:
                change.table[change.key] = change.row
        for event in effect.events:
            context.emit(event)
        for (
            each
        ) in effect.abandoned:  # each an entry of its own: there may be more than one entry has room for
            context.schedule(context.time, Expire(each))

    def _value(self, name: str) -> int:
        return parameter(self._rows, name)

    # What follows.

    def _effect(self, context: Context, action: Action) -> Effect:
        """What a decision would do now; it is refused if it cannot be made."""
        match action:
            case AddAuthority(party):
                return self._add_authority(context, party)
            case RemoveAuthority(party):
                return self._remove_authority(context, party)
            case AddGateMember(party):
                return self._add_gate_member(context, party)
            case RemoveGateMember(party):
                return self._remove_gate_member(context, party)
            case SetGateThreshold(threshold):
                return self._set_gate_threshold(context, threshold)
            case Activate():
                return self._activate(context, action)
            case Unschedule(contract):
                return self._unschedule(context, contract)
            case SetParameter(name, value):
                return self._set_parameter(context, name, value)

    def _add_authority(self, context: Context, party: bytes) -> Effect:
        self._check_newcomer(context, party, tuple(self.authorities))
        change = Change(self.authorities, party, AuthorityRow(context.height))
        return Effect((change,), (AuthorityAdded(party),))

    def _remove_authority(self, context: Context, party: bytes) -> Effect:
        context.require(party in self.authorities, "not-a-member")
        context.require(len(self.authorities) > self._value(AUTHORITY_THRESHOLD), "below-threshold")
        approved = [key for key in self.approvals if key[1] == party]
        changes = [Change(self.approvals, key, None) for key in approved]
        abandoned = tuple(proposal for proposal, _ in approved if self._agreed(proposal) == (party,))
        removed = Change(self.authorities, party, None)
        return Effect((*changes, removed), (AuthorityRemoved(party),), abandoned)

    def _check_newcomer(self, context: Context, party: bytes, members: tuple[bytes, ...]) -> None:
        row = context.read(Keys.parties).get(party)
        context.require(row is not None and row.key is not None, "unknown-party")
        context.require(party not in members, "already-member")
        context.require(len(members) < MEMBERS_LIMIT, "too-many")

    def _add_gate_member(self, context: Context, party: bytes) -> Effect:
        gate = self.gate.get(GATE) or GateRow(0, ())
        self._check_newcomer(context, party, gate.members)
        row = GateRow(gate.threshold or 1, tuple(sorted((*gate.members, party))))
        first = () if gate.threshold else (GateThresholdChanged(0, 1),)
        return Effect((Change(self.gate, GATE, row),), (GateMemberAdded(party), *first))

    def _remove_gate_member(self, context: Context, party: bytes) -> Effect:
        gate = self.gate.get(GATE)
        if gate is None or party not in gate.members:
            context.refuse("not-a-member")
        context.require(len(gate.members) > gate.threshold, "below-threshold")
        row = evolve(gate, members=tuple(member for member in gate.members if member != party))
        return Effect((Change(self.gate, GATE, row),), (GateMemberRemoved(party),))

    def _set_gate_threshold(self, context: Context, threshold: int) -> Effect:
        gate = self.gate.get(GATE)
        if gate is None or not 1 <= threshold <= len(gate.members):
            context.refuse("out-of-bounds")
        context.require(threshold != gate.threshold, "no-change")
        change = Change(self.gate, GATE, evolve(gate, threshold=threshold))
        return Effect((change,), (GateThresholdChanged(gate.threshold, threshold),))

    def _activate(self, context: Context, action: Activate) -> Effect:
        row = self.contracts.get(action.contract)
        running = None if row is None else row.at(context.height)
        height = context.height + 1 if action.height is None else action.height
        context.require(running is None or running.version < action.version, "older-version")
        context.require(height > context.height, "height-passed")
        context.require(row is not None or len(self.contracts) < CONTRACTS_LIMIT, "too-many")
        following = ContractVersion(action.version, action.digest, height)
        change = Change(self.contracts, action.contract, ContractRow(running, following))
        return Effect((change,), (Scheduled(action.contract, action.version, action.digest, height),))

    def _unschedule(self, context: Context, contract: str) -> Effect:
        row = self.contracts.get(contract)
        if row is None or row.following is None or row.following.height <= context.height:
            context.refuse("not-scheduled")
        left = None if row.running is None else ContractRow(row.running, None)
        change = Change(self.contracts, contract, left)
        return Effect((change,), (Unscheduled(contract, row.following.version),))

    def _set_parameter(self, context: Context, name: str, value: int) -> Effect:
        context.require(name in PARAMETERS, "unknown-parameter")
        most = len(self.authorities) if name == AUTHORITY_THRESHOLD else PARAMETERS[name].most
        context.require(PARAMETERS[name].least <= value <= most, "out-of-bounds")
        before = self._value(name)
        context.require(value != before, "no-change")
        change = Change(self.parameters, name, ParameterRow(value))
        return Effect((change,), (ParameterChanged(name, before, value),))


def establish(rows: WritableRows, genesis: Genesis) -> None:
    """Write what the genesis document says into the state."""
    governance = Governance(rows)
    for party in genesis.authorities:
        governance.authorities[party.id] = AuthorityRow(0)
    if genesis.gate:
        members = tuple(sorted(party.id for party in genesis.gate))
        governance.gate[GATE] = GateRow(genesis.gate_threshold, members)
    for name, value in sorted((genesis.parameters | {AUTHORITY_THRESHOLD: genesis.threshold}).items()):
        governance.parameters[name] = ParameterRow(value)
    for label, digest in sorted(genesis.contracts.items()):
        name, _, version = label.rpartition("/")
        governance.contracts[name] = ContractRow(ContractVersion(int(version), digest, 1), None)


def gate_of(rows: Rows) -> tuple[int, tuple[Party, ...]]:
    """The threshold and the members of the gate, with their current keys, by their ids; 0 and nobody: no gate.

    Members cannot be revoked (`medchain.ledger.keys.Keys.revoke`), so each has keys.
    """
    gate = Governance.gate.view(rows).get(GATE) or GateRow(0, ())
    members = [current_party(rows, member) for member in gate.members]
    return gate.threshold, tuple(member for member in members if member is not None)


def activated_by(body: Body) -> Activate | None:
    """The version that a transaction proposes to activate, if that is what it does."""
    if (body.contract, body.message_name) != (Governance.name, wire_name(Activate)):
        return None
    try:
        return from_value(Activate, body.message[1])
    except EncodingError:  # it is refused as malformed, by whoever executes it
        return None
