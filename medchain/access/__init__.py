"""Access: requests, approvals, the gate, decisions, the trail of it all. One client for all applications."""

from medchain._lazy import lazy

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "Access": "medchain.access.client",
        "AccessContract": "medchain.access.contract",
        "BlobReport": "medchain.access.blob_report",
        "Decision": "medchain.access.messages",
        "Draft": "medchain.access.draft",
        "Drafts": "medchain.access.draft",
        "Erasure": "medchain.access.handles",
        "Finding": "medchain.access.blob_report",
        "Flaw": "medchain.access.blob_report",
        "Gate": "medchain.access.gate",
        "Judgement": "medchain.access.gate",
        "Opened": "medchain.access.handles",
        "PURPOSES": "medchain.access.purposes",
        "Record": "medchain.access.handles",
        "Release": "medchain.access.gate",
        "ReleaseKit": "medchain.access.kit",
        "Request": "medchain.access.handles",
        "Review": "medchain.access.review",
        "Status": "medchain.access.handles",
        "Step": "medchain.access.handles",
        "Warrant": "medchain.access.gate",
        "audit_blobs": "medchain.access.blob_audit",
        "judge": "medchain.access.gate",
    },
)
