"""Keystore files: what is kept, what is refused, and that a failed write leaves the old file."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from pathlib import Path

import pytest

from medchain import records
from medchain.encoding import encode
from medchain.errors import KeystoreError, StorageError, StorageFull
from medchain.keys import Wallet, keystore
from medchain.keys.keystore import Cost

WALLET = Wallet.from_seed(bytes(range(32)))
HOSPITAL = Wallet.from_seed(b"\x22" * 32)
PERSONA = WALLET.persona(toward=HOSPITAL.party, chain=bytes(32), ward="child-1", generation=1)
WALLETS = {"phone": WALLET, "at the hospital": PERSONA, "Klinik Süd": HOSPITAL}
CHEAP = Cost(memory=1 << 13, iterations=1, lanes=1)
PASSWORD = "correct horse"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "wallets.keys"
    keystore.save(path, WALLETS, PASSWORD, cost=CHEAP)
    return path


def reseal(path: Path, data: bytes) -> None:
    """Write a file whose trailing hash is right, as only an attacker would."""
    path.write_bytes(data + hashlib.sha256(data).digest())


def test_round_trip(path: Path) -> None:
    loaded = keystore.load(path, PASSWORD)
    assert loaded == WALLETS
    assert list(loaded) == sorted(WALLETS, key=lambda name: (len(name.encode()), name.encode()))
    assert loaded["at the hospital"].derivation == PERSONA.derivation
    assert loaded["phone"].persona(toward=HOSPITAL.party, chain=bytes(32)).party.is_original


def test_default_cost_is_that_of_rfc_9106(tmp_path: Path) -> None:
    assert Cost() == Cost(memory=64 * 1024, iterations=3, lanes=4)
    keystore.save(tmp_path / "k", {}, b"\xff\x00 raw")
    assert keystore.load(str(tmp_path / "k"), b"\xff\x00 raw") == {}


def test_nothing_secret_in_the_file(path: Path) -> None:
    data = path.read_bytes()
    for secret in (b"phone", bytes(range(8)), PASSWORD.encode(), WALLET.party.id[:8]):
        assert secret not in data


def test_only_the_owner_may_read_it(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    keystore.save(path, WALLETS, PASSWORD, cost=CHEAP)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("password", ["wrong", "correct horse ", "Correct horse", b"correct hors"])
def test_wrong_password(path: Path, password: str | bytes) -> None:
    with pytest.raises(KeystoreError, match=r"^wrong password$"):
        keystore.load(path, password)


def test_an_accent_typed_in_either_way(tmp_path: Path) -> None:
    keystore.save(tmp_path / "k", WALLETS, "Gezeiten\u00fcber", cost=CHEAP)
    assert keystore.load(tmp_path / "k", "Gezeitenu\u0308ber") == WALLETS


def test_each_flipped_byte_is_noticed_before_any_work(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = path.read_bytes()
    monkeypatch.setattr(keystore, "Argon2id", None)
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(KeystoreError, match=r"damaged|not a medchain keystore"):
            keystore.load(path, PASSWORD)


def test_each_byte_flipped_by_an_attacker_who_mends_the_hash(path: Path) -> None:
    data = path.read_bytes()[:-32]
    for at in range(len(data)):
        reseal(path, data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(KeystoreError):
            keystore.load(path, PASSWORD)


def test_each_truncation_is_noticed(path: Path) -> None:
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(KeystoreError):
            keystore.load(path, PASSWORD)
    path.write_bytes(data + b"\0")
    with pytest.raises(KeystoreError, match="damaged"):
        keystore.load(path, PASSWORD)


def test_altered_content_is_told_from_a_wrong_password(path: Path) -> None:
    data = bytearray(path.read_bytes()[:-32])
    data[-1] ^= 1
    reseal(path, bytes(data))
    with pytest.raises(KeystoreError, match="altered"):
        keystore.load(path, PASSWORD)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("memory", 1 << 30),
        ("memory", (1 << 20) + 1),
        ("memory", 0),
        ("iterations", 1 << 40),
        ("lanes", 0),
        ("lanes", -1),
    ],
)
def test_a_hostile_file_asks_in_vain(path: Path, name: str, value: int) -> None:
    magic = b"medchain keystore 1\n"
    body = path.read_bytes()[len(magic) : -32]
    plain = records.to_value(records.decode_record(keystore._File, body))
    plain["head"]["cost"][name] = value
    reseal(path, magic + encode(plain))
    start = time.monotonic()
    with pytest.raises(KeystoreError, match=f"{name} is {value}"):
        keystore.load(path, PASSWORD)
    assert time.monotonic() - start < 1


def test_too_little_memory_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Starved:
        def __init__(self, **parameters: object) -> None: ...

        def derive(self, password: bytes) -> bytes:
            raise MemoryError

    monkeypatch.setattr(keystore, "Argon2id", Starved)
    with pytest.raises(KeystoreError, match="not enough memory: the keystore's cost is 8 MiB"):
        keystore.load(path, PASSWORD)


def test_what_is_no_keystore(tmp_path: Path) -> None:
    with pytest.raises(KeystoreError, match="No such file"):
        keystore.load(tmp_path / "absent", PASSWORD)
    with pytest.raises(KeystoreError, match="Is a directory"):
        keystore.load(tmp_path, PASSWORD)
    for data, text in (
        (b"", "not a medchain keystore"),
        (b"-----BEGIN PRIVATE KEY-----", "not a medchain keystore"),
        (b"medchain keystore 2\n" + bytes(100), "another format version"),
        (bytes(5 << 20), "larger than any keystore"),
    ):
        (tmp_path / "k").write_bytes(data)
        with pytest.raises(KeystoreError, match=text):
            keystore.load(tmp_path / "k", PASSWORD)


@pytest.mark.parametrize(
    ("code", "error"), [(errno.ENOSPC, StorageFull), (errno.EDQUOT, StorageFull), (errno.EIO, StorageError)]
)
def test_a_failed_write_leaves_the_old_file(
    path: Path, code: int, error: type[StorageError], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = path.read_bytes()

    def fsync(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(error):
        keystore.save(path, {"other": HOSPITAL}, PASSWORD, cost=CHEAP)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_an_interrupted_write_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def fsync(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(KeyboardInterrupt):
        keystore.save(path, {"other": HOSPITAL}, PASSWORD, cost=CHEAP)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_password_that_no_encoding_has_opens_nothing(path: Path) -> None:
    with pytest.raises(ValueError, match="lone surrogate") as caught:
        keystore.load(path, "\udc80")
    assert caught.type is ValueError


def test_caller_mistakes(tmp_path: Path) -> None:
    for password in ("", b""):
        with pytest.raises(ValueError, match="empty"):
            keystore.save(tmp_path / "k", WALLETS, password)
    for call in (
        lambda: keystore.save(tmp_path / "k", WALLETS, "pass\ud800", cost=CHEAP),
        lambda: keystore.save(tmp_path / "k", {"\ud800": WALLET}, PASSWORD, cost=CHEAP),
    ):
        with pytest.raises(ValueError, match="lone surrogate") as caught:
            call()
        assert caught.type is ValueError
        assert "pass" not in str(caught.value).replace("password", "")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="name"):
        keystore.save(tmp_path / "k", {"": WALLET}, PASSWORD)
    with pytest.raises(ValueError, match="memory"):
        Cost(memory=1024)
    with pytest.raises(StorageError, match="No such file"):
        keystore.save(tmp_path / "absent" / "k", WALLETS, PASSWORD, cost=CHEAP)
