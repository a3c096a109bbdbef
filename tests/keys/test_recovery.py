"""Recovery words: official vectors, and that a wrong passphrase is noticed."""

from __future__ import annotations

import contextlib
import itertools
import json

import pytest
import shamir_mnemonic
import vectors
from hypothesis import given, settings
from hypothesis import strategies as st

from medchain.errors import KeystoreError
from medchain.keys import Wallet, recovery

WALLET = Wallet.from_seed(bytes(range(32)))
ID = WALLET.party.id


def test_slip39_vectors() -> None:
    verdicts = []
    for name, mnemonics, secret, _ in json.loads(vectors.path("crypto/slip39/vectors.json").read_text()):
        verdicts.append(bool(secret))
        if secret:
            assert recovery.combine(mnemonics, "TREZOR").hex() == secret, name
        else:
            with pytest.raises(KeystoreError):
                recovery.combine(mnemonics, "TREZOR")
    assert (verdicts.count(True), verdicts.count(False)) == (15, 30)


def test_every_quorum_brings_the_wallet_back() -> None:
    family, lawyer, safe = WALLET.to_slip39([(2, 3), (1, 1), (2, 2)], group_threshold=2, passphrase="tide")
    for pair in itertools.combinations(family, 2):
        assert Wallet.from_slip39([*pair, *lawyer], "tide", expect=ID) == WALLET
    assert Wallet.from_slip39([*lawyer, *safe], "tide", expect=ID) == WALLET
    rotated = Wallet.from_slip39([*lawyer, *safe], "tide", expect=ID, generation=2)
    assert rotated == Wallet.from_seed(bytes(range(32)), 2)
    typed = [f"  {words.upper()}\n".replace(" ", "  ") for words in (*lawyer, *safe)]
    assert Wallet.from_slip39(typed, "tide", expect=ID) == WALLET


def test_a_wrong_passphrase_is_noticed() -> None:
    words = WALLET.to_slip39([(1, 1)], passphrase="tide")[0]
    for passphrase in ("", "Tide", "tide "):
        with pytest.raises(KeystoreError, match="wrong passphrase"):
            Wallet.from_slip39(words, passphrase, expect=ID)
    assert Wallet.from_slip39(words, "", expect=None) != WALLET  # what `expect` is for


def test_wrong_sets_of_words() -> None:
    first, second = WALLET.to_slip39([(2, 3), (2, 3)], group_threshold=2)
    other = WALLET.to_slip39([(2, 3)])[0]
    for words in (
        [],
        first[:1],
        first[:2],
        [*first, *second],
        [*first[:2], *other[:2]],
        [first[0], first[0]],
        [""],
    ):
        with pytest.raises(KeystoreError):
            Wallet.from_slip39(words, expect=ID)


def test_each_changed_word_is_noticed() -> None:
    words = WALLET.to_slip39([(1, 1)])[0][0].split()
    for at in range(len(words)):
        replacement = "academic" if words[at] != "academic" else "acid"
        with pytest.raises(KeystoreError):
            recovery.combine([" ".join([*words[:at], replacement, *words[at + 1 :]])])


def test_words_that_ask_for_endless_work() -> None:
    encrypted = shamir_mnemonic.EncryptedMasterSecret(7, True, 15, bytes(32))
    share = shamir_mnemonic.split_ems(1, [(1, 1)], encrypted)[0][0]
    with pytest.raises(KeystoreError, match="exponent of 15"):
        recovery.combine([share.mnemonic()])


def test_words_without_end() -> None:
    """Their checksum is right, so that nothing but their number stands between them and hours of arithmetic."""
    share = shamir_mnemonic.share.Share(7, True, 1, 0, 1, 1, 0, 1, bytes(4_000))
    with pytest.raises(KeystoreError, match="at most 59 words, not 3207"):
        recovery.combine([share.mnemonic()])
    for length in (16, 64):
        words = recovery.split(bytes(length), [(1, 1)])[0]
        assert recovery.combine(words) == bytes(length)
    for length in (0, 14, 66):
        with pytest.raises(ValueError, match="16 to 64 bytes"):
            recovery.split(bytes(length), [(1, 1)])
    with pytest.raises(KeystoreError, match="more than 256"):
        recovery.combine(itertools.repeat("academic"))


def test_words_of_another_length_of_seed() -> None:
    words = recovery.split(bytes(16), [(1, 1)])[0]
    with pytest.raises(KeystoreError, match="16 bytes"):
        Wallet.from_slip39(words, expect=None)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=60) | st.just(WALLET.to_slip39([(1, 1)])[0][0]), max_size=3))
def test_any_text_gives_a_secret_or_a_keystore_error(mnemonics: list[str]) -> None:
    with contextlib.suppress(KeystoreError):
        recovery.combine(mnemonics)


@pytest.mark.parametrize(
    ("groups", "threshold", "passphrase"),
    [
        ([], 1, ""),
        ([(1, 1)] * 17, 1, ""),
        ([(3, 2)], 1, ""),
        ([(0, 2)], 1, ""),
        ([(2, 17)], 1, ""),
        ([(1, 2)], 1, ""),
        ([(1, 1)], 2, ""),
        ([(1, 1)], 0, ""),
        ([(1, 1)], 1, "Gezeiten ü"),
        ([(1, 1)], 1, "tab\t"),
    ],
)
def test_caller_mistakes(groups: list[tuple[int, int]], threshold: int, passphrase: str) -> None:
    with pytest.raises(ValueError):
        WALLET.to_slip39(groups, group_threshold=threshold, passphrase=passphrase)


def test_a_persona_is_backed_up_by_its_wallet() -> None:
    with pytest.raises(ValueError, match="persona"):
        WALLET.persona(toward=WALLET.party, chain=bytes(32)).to_slip39([(1, 1)])
