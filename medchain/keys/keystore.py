"""Keystore files: named wallets under a password, by Argon2id (RFC 9106) and AES-256-GCM.

A file is the magic line, one canonical map and the SHA-256 of both:

    medchain keystore 1
    enc{head: {cost: {memory, iterations, lanes}, salt, check, nonce}, sealed} ‖ H(all before)

Argon2id gives 64 bytes of the password: the first 32 encrypt, the others are `check`, so that a wrong
password is told from a damaged file, and so is damage that the trailing hash shows before any work is done.
The encoded head is the associated data. Inside lies a map of names to seed, derivation and the party id
that must come out of them.
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import os
import secrets
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from medchain import records
from medchain.errors import EncodingError, KeystoreError, StorageError, StorageFull
from medchain.keys.derivation import SEED_SIZE, Derivation
from medchain.keys.party import PARTY_ID_SIZE
from medchain.keys.wallet import Wallet

__all__ = ["Cost", "load", "save"]

_MAGIC = b"medchain keystore 1\n"
_FAMILY = b"medchain keystore "
_HASH_SIZE = 32
_TAG_SIZE = 16
_FILE_LIMIT = 4 << 20
_SALT_SIZE, _NONCE_SIZE, _KEY_SIZE, _CHECK_SIZE = 16, 12, 32, 32


def _between(low: int, high: int) -> Callable[[Any, Any, Any], None]:
    def check(instance: Any, attribute: Any, value: Any) -> None:
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"{attribute.name} is {value!r}, allowed is {low} to {high}")

    return check


@frozen
class Cost:
    """What one guess at the password costs. The bounds hold for files too: none asks for all memory or time.

    The default is the second recommendation of RFC 9106 (section 4): 64 MiB, about 0.1 s.
    """

    memory: int = field(default=1 << 16, validator=_between(1 << 13, 1 << 20))
    """KiB, from 8 MiB to 1 GiB."""
    iterations: int = field(default=3, validator=_between(1, 16))
    lanes: int = field(default=4, validator=_between(1, 16))


@frozen
class _Head:
    cost: Cost
    salt: bytes = records.fixed(_SALT_SIZE)
    check: bytes = records.fixed(_CHECK_SIZE)
    nonce: bytes = records.fixed(_NONCE_SIZE)


@frozen
class _File:
    head: _Head
    sealed: bytes = field(repr=False, validator=records.length(_TAG_SIZE, _FILE_LIMIT))


@frozen
class _Entry:
    seed: bytes = field(repr=False, validator=records.length(SEED_SIZE))
    derivation: Derivation
    party: bytes = records.fixed(PARTY_ID_SIZE)


@frozen
class _Content:
    wallets: dict[str, _Entry] = field(repr=False)


def save(
    path: str | os.PathLike[str],
    wallets: Mapping[str, Wallet],
    password: str | bytes,
    *,
    cost: Cost | None = None,
) -> None:
    """Write `wallets` under `password` to a file that only its owner may read, in place of what was there.

    The file is complete and on disk when this returns; if it fails or the power goes, the old file stands.

    Raises:
        ValueError: the password or a name is empty, or a text with a lone surrogate, which UTF-8 cannot say.
        StorageFull: no room on the disk.
        StorageError: the file cannot be written.
    """
    if not all(wallets):
        raise ValueError("a wallet in a keystore needs a name")
    entries = {name: _Entry(it.reveal_seed(), it.derivation, it.party.id) for name, it in wallets.items()}
    content = records.encode_record(_Content(entries))
    cost = cost or Cost()
    salt, nonce = secrets.token_bytes(_SALT_SIZE), secrets.token_bytes(_NONCE_SIZE)
    key, check = _stretch(_password(password), salt, cost)
    head = _Head(cost, salt, check, nonce)
    sealed = AESGCM(key).encrypt(nonce, content, records.encode_record(head))
    body = _MAGIC + records.encode_record(_File(head, sealed))
    if len(body) > _FILE_LIMIT:
        raise ValueError(f"{len(wallets)} wallets are too many for one keystore")
    _write(Path(path), body + hashlib.sha256(body).digest())


def load(path: str | os.PathLike[str], password: str | bytes) -> dict[str, Wallet]:
    """The wallets in a keystore file, by name.

    Raises:
        KeystoreError: no such file, no keystore, damaged, or the wrong password; the text says which.
        ValueError: no password at all: empty, or a text with a lone surrogate.
    """
    file = _parse(_read(Path(path)))
    head = file.head
    key, check = _stretch(_password(password), head.salt, head.cost)
    if not hmac.compare_digest(check, head.check):
        raise KeystoreError("wrong password")
    try:
        content = AESGCM(key).decrypt(head.nonce, file.sealed, records.encode_record(head))
        entries = records.decode_record(_Content, content, limit=_FILE_LIMIT).wallets
    except (InvalidTag, EncodingError):
        raise KeystoreError("the password is right, but the keystore has been altered") from None
    return {name: _wallet(name, entry) for name, entry in entries.items()}


def _wallet(name: str, entry: _Entry) -> Wallet:
    wallet = Wallet(entry.seed, entry.derivation)
    if wallet.party.id != entry.party:
        raise KeystoreError(f"wallet {name!r} is now {wallet.party}, but was party:{entry.party[:4].hex()}")
    return wallet


def _parse(data: bytes) -> _File:
    if not data.startswith(_MAGIC):
        if data.startswith(_FAMILY):
            raise KeystoreError("a keystore of another format version, or damaged in its first line")
        raise KeystoreError("not a medchain keystore")
    body, digest = data[:-_HASH_SIZE], data[-_HASH_SIZE:]
    if hashlib.sha256(body).digest() != digest:
        raise KeystoreError("the keystore is damaged or cut short; restore a copy of the file")
    try:
        return records.decode_record(_File, body[len(_MAGIC) :], limit=_FILE_LIMIT)
    except EncodingError as error:
        raise KeystoreError(f"the keystore is malformed: {error}") from None


def _stretch(password: bytes, salt: bytes, cost: Cost) -> tuple[bytes, bytes]:
    """Encryption key and check value of a password."""
    argon2 = Argon2id(
        salt=salt,
        length=_KEY_SIZE + _CHECK_SIZE,
        iterations=cost.iterations,
        lanes=cost.lanes,
        memory_cost=cost.memory,
    )
    try:
        stretched = argon2.derive(password)
    except MemoryError:
        raise KeystoreError(f"not enough memory: the keystore's cost is {cost.memory >> 10} MiB") from None
    return stretched[:_KEY_SIZE], stretched[_KEY_SIZE:]


def _password(password: str | bytes) -> bytes:
    """Its bytes; text in normal form C, so that keyboards need not agree on how an accent is typed."""
    try:
        data = (
            unicodedata.normalize("NFC", password).encode() if isinstance(password, str) else bytes(password)
        )
    except UnicodeEncodeError:
        raise ValueError("the password has a lone surrogate, which is no character") from None
    if not data:
        raise ValueError("the password is empty")
    return data


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_FILE_LIMIT + _HASH_SIZE + 1)
    except OSError as error:
        raise KeystoreError(f"cannot read the keystore {path}: {error.strerror}") from None
    if len(data) > _FILE_LIMIT + _HASH_SIZE:
        raise KeystoreError(f"{path} is larger than any keystore")
    return data


def _write(path: Path, data: bytes) -> None:
    """Replace the file in one step: a new one beside it, fsynced, renamed over it, the folder fsynced."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        kind = StorageFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else StorageError
        raise kind(f"cannot write the keystore {path}: {error.strerror}") from error
