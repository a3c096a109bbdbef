"""Keys: wallets and parties, signing, sealing to recipients, threshold shares, keystores, recovery words."""

from medchain._lazy import lazy

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "CosignKey": "medchain.keys.cosigning",
        "Decrypter": "medchain.keys.wallet",
        "Derivation": "medchain.keys.derivation",
        "Party": "medchain.keys.party",
        "RecipientKey": "medchain.keys.recipients",
        "Signer": "medchain.keys.wallet",
        "SigningKey": "medchain.keys.signing",
        "Wallet": "medchain.keys.wallet",
        "cosigning": "medchain.keys.cosigning",
        "derivation": "medchain.keys.derivation",
        "keystore": "medchain.keys.keystore",
        "recipients": "medchain.keys.recipients",
        "recovery": "medchain.keys.recovery",
        "shares": "medchain.keys.shares",
        "signing": "medchain.keys.signing",
    },
)
