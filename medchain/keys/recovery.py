"""Recovery words: a secret in groups of SLIP-39 mnemonics, and back.

The words are those of SLIP-0039 as hardware wallets use it, by Trezor's shamir-mnemonic. A passphrase, if
any, is part of the key: with a wrong one SLIP-39 gives another secret and no error, so whoever recovers
must compare what comes out with something known (`Wallet.from_slip39` compares the party id).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import shamir_mnemonic
from shamir_mnemonic import MnemonicError

from medchain.errors import KeystoreError

__all__ = ["combine", "split"]

_ITERATION_EXPONENT = 1
_MOST_ITERATION_EXPONENT = 5
"""320,000 rounds of PBKDF2, under a second. Foreign words could ask for a thousand times that."""
_MOST_GROUPS = 16
_MOST_MEMBERS = 16
_LEAST_BYTES, _MOST_BYTES = 16, 64
_MOST_WORDS = 59
"""Words for a secret of 64 bytes. Reading a mnemonic takes time that grows with the square of its length."""


def split(
    secret: bytes, groups: Sequence[tuple[int, int]], *, group_threshold: int = 1, passphrase: str = ""
) -> list[list[str]]:
    """Mnemonics for each group ``(k, n)``: n of them, of which k complete the group.

    Args:
        secret: an even number of bytes, 16 to 64.
        groups: at most 16; a group has at most 16 members, and only one if a single member is enough.
        group_threshold: how many groups must be complete.
        passphrase: printable ASCII.

    Raises:
        ValueError: one of these rules is broken.
    """
    if not 1 <= len(groups) <= _MOST_GROUPS:
        raise ValueError(f"1 to {_MOST_GROUPS} groups, not {len(groups)}")
    if any(not 1 <= k <= n <= _MOST_MEMBERS for k, n in groups):
        raise ValueError(f"a group (k, n) needs 1 <= k <= n <= {_MOST_MEMBERS}")
    if not _LEAST_BYTES <= len(secret) <= _MOST_BYTES:
        raise ValueError(f"a secret has {_LEAST_BYTES} to {_MOST_BYTES} bytes, not {len(secret)}")
    mnemonics: list[list[str]] = shamir_mnemonic.generate_mnemonics(
        group_threshold, groups, secret, _passphrase(passphrase), iteration_exponent=_ITERATION_EXPONENT
    )
    return mnemonics


def combine(mnemonics: Iterable[str], passphrase: str = "") -> bytes:
    """The secret in a set of mnemonics: exactly as many groups as needed, with exactly k members each.

    A wrong passphrase is not noticed here.

    Raises:
        KeystoreError: the mnemonics are too few, too many, damaged or of different secrets.
        ValueError: the passphrase is not printable ASCII.
    """
    secret_words = _passphrase(passphrase)
    given = list(islice(mnemonics, _MOST_GROUPS * _MOST_MEMBERS + 1))
    if len(given) > _MOST_GROUPS * _MOST_MEMBERS:
        raise KeystoreError(f"more than {_MOST_GROUPS * _MOST_MEMBERS} mnemonics are never needed")
    try:
        groups = shamir_mnemonic.decode_mnemonics(map(_tidy, given))
        encrypted = shamir_mnemonic.recover_ems(groups)
    except (MnemonicError, ValueError) as error:
        raise KeystoreError(f"these words do not recover anything: {error}") from None
    _check_effort(encrypted)
    secret: bytes = encrypted.decrypt(secret_words)
    return secret


def _check_effort(encrypted: Any) -> None:
    if encrypted.iteration_exponent > _MOST_ITERATION_EXPONENT:
        raise KeystoreError(
            f"these words ask for an iteration exponent of {encrypted.iteration_exponent}; "
            f"medchain goes up to {_MOST_ITERATION_EXPONENT}"
        )


def _tidy(words: str) -> str:
    """The words as the word list has them, however they were typed."""
    found = words.lower().split()
    if len(found) > _MOST_WORDS:
        raise KeystoreError(f"a mnemonic has at most {_MOST_WORDS} words, not {len(found)}")
    return " ".join(found)


def _passphrase(passphrase: str) -> bytes:
    if not (passphrase.isascii() and passphrase.isprintable()):
        raise ValueError("a SLIP-39 passphrase is printable ASCII")
    return passphrase.encode("ascii")
