"""What is made in a program can be written to a trust file and read back; what cannot is refused when it is made."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

import medchain as mc
from medchain import testing
from medchain.keys.signing import SigningKey
from medchain.ledger.note import NoteSigner, VerifierKey
from medchain.ledger.quorum import Group, Quorum, Witness
from medchain.ledger.trust import Trust
from medchain.transparency import publication_trust, witness_signers

KEY = witness_signers(testing.wallets("uni")[0], "w.example/1")[0].key

MADE: dict[str, Callable[[str], object]] = {
    "name of a witness": lambda word: Witness(word, KEY),
    "URL of a witness": lambda word: Witness("uni", KEY, word),
    "name of a group": lambda word: Group(word, 1, ("uni",)),
}


@pytest.mark.parametrize("word", ["", "a b", "a\tb", "a\nquorum none", "a\r", "a\0", "a\x7f"])
def test_words(word: str) -> None:
    for what, make in MADE.items():
        with pytest.raises(ValueError, match=f"the {what} is one word"):
            make(word)
    with mc.Chain.in_memory() as chain, pytest.raises(ValueError, match="the URL of a log is one word"):
        publication_trust(chain, url=word)


@pytest.mark.parametrize("word", ["uni", "#1", "é", "a\xa0b", "x" * 300])
def test_other_words_are_read_back(word: str) -> None:
    group = Group(word + "2", 1, (word,))
    with mc.Chain.in_memory() as chain:
        quorum = Quorum((Witness(word, KEY, word),), (group,), group.name)
        trust = publication_trust(chain, quorum=quorum, url=word)
    assert Trust.parse(str(trust)) == trust


@pytest.mark.parametrize("name", ["", "a b", "x+y", "w\n", "w" * 256, "é" * 128])
def test_names_of_keys(name: str) -> None:
    for make in (
        lambda: VerifierKey(name, KEY.key, KEY.type),
        lambda: NoteSigner(name, SigningKey(b"\x01" * 32)),
        lambda: witness_signers(testing.wallets("uni")[0], name),
    ):
        with pytest.raises(ValueError, match=re.escape("1 to 255 bytes")):
            make()
