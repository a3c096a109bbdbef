"""The ledger: one append-only log of entries and headers, a provable state, contracts that change it, and proofs.

Nothing here does input or output besides `Archive`, which says how a chain lies in a store.
"""

from medchain._lazy import lazy

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "Absent": "medchain.ledger.verify",
        "Archive": "medchain.ledger.archive",
        "AsOf": "medchain.ledger.verify",
        "Attachment": "medchain.ledger.draft",
        "Block": "medchain.ledger.transition",
        "BlockBuilder": "medchain.ledger.transition",
        "Body": "medchain.ledger.transaction",
        "Checkpoint": "medchain.ledger.checkpoint",
        "Context": "medchain.ledger.contract",
        "Contract": "medchain.ledger.contract",
        "Cursor": "medchain.ledger.events",
        "Entry": "medchain.ledger.entry",
        "Event": "medchain.ledger.contract",
        "Genesis": "medchain.ledger.entry",
        "Governance": "medchain.ledger.governance",
        "Header": "medchain.ledger.entry",
        "Keys": "medchain.ledger.keys",
        "LogProof": "medchain.ledger.proof",
        "LoggedEvent": "medchain.ledger.events",
        "Note": "medchain.ledger.note",
        "Outcome": "medchain.ledger.entry",
        "Predecessor": "medchain.ledger.entry",
        "Receipt": "medchain.ledger.transition",
        "Registry": "medchain.ledger.registry",
        "Signed": "medchain.ledger.draft",
        "SignerRef": "medchain.ledger.transaction",
        "Table": "medchain.ledger.tables",
        "TableView": "medchain.ledger.tables",
        "Tip": "medchain.ledger.transition",
        "Transaction": "medchain.ledger.transaction",
        "Trust": "medchain.ledger.trust",
        "VerifierKey": "medchain.ledger.note",
        "Verified": "medchain.ledger.verify",
        "check": "medchain.ledger.registration",
        "handles": "medchain.ledger.contract",
        "verify": "medchain.ledger.verify",
        "verify_state": "medchain.ledger.verify",
        "wire_name": "medchain.ledger.contract",
    },
)
