"""For tests of your own: contracts executed twice, conformance suites for stores, stores that fail on command,
strategies, ready-made wallets.

Nothing in medchain imports this package. The suites need pytest and Hypothesis.
"""

from medchain._lazy import lazy

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "BlobStoreConformance": "medchain.testing.blobs",
        "FaultBlobs": "medchain.testing.faults",
        "FaultStore": "medchain.testing.faults",
        "StoreConformance": "medchain.testing.stores",
        "assert_deterministic": "medchain.testing.determinism",
        "faults": "medchain.testing.faults",
        "policies": "medchain.testing.policies",
        "wallets": "medchain.testing.people",
    },
)
