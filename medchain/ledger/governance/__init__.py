"""The system contract ``governance``: who governs, who is the gate, which contracts run, which parameters hold.

`messages` says what authorities decide, `rows` what the state keeps, `contract` by which rules.
"""

from medchain._lazy import lazy

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "Action": "medchain.ledger.governance.messages",
        "Activate": "medchain.ledger.governance.messages",
        "AddAuthority": "medchain.ledger.governance.messages",
        "AddGateMember": "medchain.ledger.governance.messages",
        "ApprovalRow": "medchain.ledger.governance.rows",
        "Approve": "medchain.ledger.governance.messages",
        "Approved": "medchain.ledger.governance.messages",
        "AuthorityAdded": "medchain.ledger.governance.messages",
        "AuthorityRemoved": "medchain.ledger.governance.messages",
        "AuthorityRow": "medchain.ledger.governance.rows",
        "Closed": "medchain.ledger.governance.messages",
        "ContractRow": "medchain.ledger.governance.rows",
        "ContractVersion": "medchain.ledger.governance.rows",
        "Decided": "medchain.ledger.governance.messages",
        "Expire": "medchain.ledger.governance.messages",
        "GATE": "medchain.ledger.governance.rows",
        "GateMemberAdded": "medchain.ledger.governance.messages",
        "GateMemberRemoved": "medchain.ledger.governance.messages",
        "GateRow": "medchain.ledger.governance.rows",
        "GateThresholdChanged": "medchain.ledger.governance.messages",
        "Governance": "medchain.ledger.governance.contract",
        "GovernanceTables": "medchain.ledger.governance.rows",
        "PARAMETERS": "medchain.ledger.governance.rows",
        "Parameter": "medchain.ledger.governance.rows",
        "ParameterChanged": "medchain.ledger.governance.messages",
        "ParameterRow": "medchain.ledger.governance.rows",
        "ProposalRow": "medchain.ledger.governance.rows",
        "Proposed": "medchain.ledger.governance.messages",
        "RemoveAuthority": "medchain.ledger.governance.messages",
        "RemoveGateMember": "medchain.ledger.governance.messages",
        "Scheduled": "medchain.ledger.governance.messages",
        "SetGateThreshold": "medchain.ledger.governance.messages",
        "SetParameter": "medchain.ledger.governance.messages",
        "Unschedule": "medchain.ledger.governance.messages",
        "Unscheduled": "medchain.ledger.governance.messages",
        "Withdraw": "medchain.ledger.governance.messages",
        "Withdrawn": "medchain.ledger.governance.messages",
    },
)
