"""Sealed objects: data that opens only when the holders whom a policy names agree. Usable without a ledger.

Off chain: `seal`, `request`, `approve`, `open` (`open_parts` for objects of several parts) and, for what does
not fit into memory, `seal_file` and `open_file`. On a chain the steps are taken apart: `seal_to`,
`open_envelope`, `reseal`, `collect`, `open_segments`.

A wrong byte anywhere ends in an error, and the error says who is to blame where that can be proved:
`check_evidence` lets a third party judge the proof.
"""

from medchain._lazy import lazy

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "Approval": "medchain.sealing.offchain",
        "BadDealing": "medchain.sealing.evidence",
        "BadShare": "medchain.sealing.evidence",
        "Binding": "medchain.sealing.binding",
        "Complaint": "medchain.sealing.holding",
        "Conviction": "medchain.sealing.evidence",
        "Dealing": "medchain.sealing.documents",
        "Envelope": "medchain.sealing.documents",
        "Header": "medchain.sealing.documents",
        "HeldShares": "medchain.sealing.holding",
        "OpenedPart": "medchain.sealing.opening",
        "Part": "medchain.sealing.sealer",
        "PartKeys": "medchain.sealing.schedule",
        "Sealed": "medchain.sealing.offchain",
        "SealedHeader": "medchain.sealing.documents",
        "ShareRequest": "medchain.sealing.offchain",
        "approve": "medchain.sealing.offchain",
        "check_evidence": "medchain.sealing.evidence",
        "collect": "medchain.sealing.collecting",
        "open": "medchain.sealing.offchain",
        "open_envelope": "medchain.sealing.holding",
        "open_file": "medchain.sealing.files",
        "open_parts": "medchain.sealing.offchain",
        "open_segments": "medchain.sealing.opening",
        "read_header": "medchain.sealing.files",
        "request": "medchain.sealing.offchain",
        "reseal": "medchain.sealing.holding",
        "seal": "medchain.sealing.offchain",
        "seal_file": "medchain.sealing.files",
        "seal_to": "medchain.sealing.sealer",
    },
)
