"""Wallets for tests and notebooks: the same name gives the same wallet always. Nothing real belongs to them."""

from __future__ import annotations

import hashlib

from medchain.keys.wallet import Wallet

__all__ = ["wallets"]

_LABEL = b"medchain/testing/v1"


def wallets(*names: str) -> tuple[Wallet, ...]:
    """One wallet for each name. Anybody can make them again: never use them for anything real.

    >>> ann, bob = wallets("ann", "bob")
    >>> ann == wallets("ann")[0], ann == bob
    (True, False)
    """
    return tuple(Wallet.from_seed(hashlib.sha256(_LABEL + name.encode()).digest()) for name in names)
