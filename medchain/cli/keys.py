"""Wallets for commands that sign: out of a keystore, whose password is asked for or read from standard input."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medchain.keys.wallet import Wallet

__all__ = ["add_wallet", "wallet_of"]


def add_wallet(command: Any, whose: str, *, required: bool = True) -> None:
    """Add the options ``--keystore`` and ``--wallet`` to a command."""
    command.add_argument(
        "--keystore",
        type=Path,
        required=required,
        metavar="FILE",
        help=f"keystore with the wallet of {whose}",
    )
    command.add_argument("--wallet", required=required, metavar="NAME", help="its name in the keystore")


def wallet_of(path: Path, name: str) -> Wallet:
    """The wallet of this name; LookupError if the keystore has none."""
    from medchain.keys import keystore

    if sys.stdin.isatty():
        password = getpass.getpass(f"password of {path}: ")
    else:
        password = sys.stdin.readline().removesuffix("\n")
    wallets = keystore.load(path, password)
    if name not in wallets:
        raise LookupError(f"{path} has no wallet {name!r}, but {', '.join(map(repr, sorted(wallets)))}")
    return wallets[name]
