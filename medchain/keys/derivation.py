"""How all keys of a wallet come from its seed: one HKDF call for each, told apart by what the key is for."""

from __future__ import annotations

import re
from typing import Any

from attrs import field, frozen
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from medchain import records
from medchain.encoding import encode

__all__ = ["SEED_SIZE", "Derivation", "derive"]

SEED_SIZE = 32
_SALT = b"medchain/wallet/v1"
_WARD = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}", re.ASCII)


def _ward(instance: Any, attribute: Any, value: str | None) -> None:
    if value is not None and not _WARD.fullmatch(value):
        raise ValueError(f"a ward is named by 1 to 32 of a-z 0-9 _ -, a letter or digit first, not {value!r}")


def _generation(instance: Any, attribute: Any, value: int) -> None:
    if type(value) is not int or not 0 <= value < 1 << 31:
        raise ValueError(f"a generation counts from 0, not {value!r}")


@frozen
class Derivation:
    """Which of a seed's wallets one is. No secret by itself; with the seed it gives all keys."""

    chain: bytes | None = records.fixed(32, default=None)
    """The tag of the chain on which the persona acts; None for the wallet itself."""
    counterparty: bytes | None = records.fixed(32, default=None)
    """The id of the party towards which the persona acts; None for the wallet itself."""
    ward: str | None = field(default=None, validator=_ward)
    """For whom the person acts in this role (a parent for each child); None for oneself."""
    generation: int = field(default=0, validator=_generation)
    """How often the keys have been rotated."""


def derive(seed: bytes, use: str, where: Derivation) -> bytes:
    """The 32-byte secret of one use: HKDF-SHA256, info enc[use, chain, counterparty, ward, generation]."""
    info = encode([use, where.chain, where.counterparty, where.ward, where.generation])
    return HKDF(SHA256(), 32, _SALT, info).derive(seed)
