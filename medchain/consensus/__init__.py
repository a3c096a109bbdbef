"""How transactions become final: the Engine interface, and solo, the embedded engine of one authority."""

from medchain._lazy import lazy

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "Application": "medchain.consensus.engine",
        "Engine": "medchain.consensus.engine",
        "Notifier": "medchain.consensus.notifier",
        "Solo": "medchain.consensus.solo",
        "Submission": "medchain.consensus.engine",
    },
)
