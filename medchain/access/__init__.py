"""Access: requests, approvals, the gate, decisions, the trail of it all. One client for all applications."""

from medchain._lazy import lazy

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "AccessContract": "medchain.access.contract",
        "Decision": "medchain.access.messages",
    },
)
