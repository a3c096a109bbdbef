"""Published logs: publishing, witnessing, following and auditing in the formats of the transparency community."""

from medchain._lazy import lazy

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "Evidence": "medchain.transparency.evidence",
        "LogAudit": "medchain.transparency.auditing",
        "LogFollowing": "medchain.transparency.following",
        "Publication": "medchain.transparency.publishing",
        "PublishedLog": "medchain.transparency.published",
        "Publisher": "medchain.transparency.publisher",
        "Update": "medchain.transparency.published",
        "Witness": "medchain.transparency.witness",
        "WitnessClient": "medchain.transparency.asking",
        "WitnessServer": "medchain.transparency.serving",
        "cosign": "medchain.transparency.asking",
        "publication_trust": "medchain.transparency.publishing",
        "publish": "medchain.transparency.publishing",
        "serve_witness": "medchain.transparency.serving",
        "witness_signers": "medchain.transparency.witness",
    },
)
