"""Health records: FHIR R4 bundles, sealed entry by entry, and given back byte for byte."""

from medchain._lazy import lazy

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "Bundle": "medchain.ehr.bundle",
        "FRAGMENT": "medchain.ehr.bundle",
        "Fragment": "medchain.ehr.bundle",
        "Records": "medchain.ehr.records",
    },
)
