"""Medical ledgers that strangers can verify and that only key holders can read.

The names here are what most programs need; the packages below it are useful alone. Importing costs little: everything
is loaded when it is first used.
"""

from __future__ import annotations

from medchain._lazy import lazy

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "Absent": "medchain.ledger.verify",
        "Access": "medchain.access",
        "AccessDenied": "medchain.errors",
        "AuditReport": "medchain.ledger.audit",
        "BoundPolicy": "medchain.policy",
        "Chain": "medchain.chain",
        "Checkpoint": "medchain.ledger.checkpoint",
        "Consistency": "medchain.ledger.verify",
        "Contract": "medchain.ledger.contract",
        "Cursor": "medchain.ledger.events",
        "Decision": "medchain.access",
        "Entry": "medchain.ledger.entry",
        "Erased": "medchain.errors",
        "Gate": "medchain.access",
        "GateSet": "medchain.policy",
        "Header": "medchain.ledger.entry",
        "MedchainError": "medchain.errors",
        "Parties": "medchain.identity",
        "Party": "medchain.keys",
        "Pending": "medchain.errors",
        "Policy": "medchain.policy",
        "Receipt": "medchain.ledger.transition",
        "Record": "medchain.access",
        "Refused": "medchain.errors",
        "Request": "medchain.access",
        "Signed": "medchain.ledger.draft",
        "Submission": "medchain.consensus.engine",
        "Transaction": "medchain.ledger.transaction",
        "Trust": "medchain.ledger.trust",
        "Verified": "medchain.ledger.verify",
        "VerificationError": "medchain.errors",
        "Wallet": "medchain.keys",
        "verify": "medchain.ledger.verify",
        "verify_state": "medchain.ledger.verify",
    },
)
