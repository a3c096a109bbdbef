"""Parties on chain: who takes part, under whose sponsorship, with which keys.

>>> import medchain as mc
>>> hospital, nurse = mc.Wallet.generate(), mc.Wallet.generate()
>>> with mc.Chain.in_memory(authority=hospital) as chain:
...     parties = mc.Parties(chain)
...     [party] = parties.register(nurse, by=hospital)
...     parties.get(party.id).kind
'person'
"""

from medchain._lazy import lazy

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "Parties": "medchain.identity.parties",
        "Registration": "medchain.identity.parties",
    },
)
