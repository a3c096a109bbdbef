"""Errors: what they say can be shown and logged, whatever strangers have sent."""

from __future__ import annotations

import pytest

from medchain import errors
from medchain.encoding import encode
from medchain.errors import (
    ContractError,
    EncodingError,
    InvalidTransaction,
    MedchainError,
    PolicySyntaxError,
    RootMismatch,
)
from medchain.records import decode_record
from medchain.sealing.documents import Envelope


def test_the_root_is_never_raised() -> None:
    with pytest.raises(TypeError):
        MedchainError("anything")


def test_codes_are_unique() -> None:
    classes = [getattr(errors, name) for name in errors.__all__]
    assert len({each.code for each in classes}) == len(classes)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 水 😀", "plain é 水 😀"),
        ("\x1b[2Jgone", "?[2Jgone"),
        ("a\rb\x08c\x7f\x9b", "a?b?c??"),
        ("txt.\u202egnp", "txt.?gnp"),
        ("lone \ud800", "lone ?"),
        ("two\nlines", "two\nlines"),
    ],
)
def test_a_terminal_obeys_no_text(text: str, shown: str) -> None:
    assert str(EncodingError(text)) == shown
    assert str(InvalidTransaction("malformed", text)) == f"{shown} [malformed]"
    assert str(PolicySyntaxError(text, line=1, column=1)) == shown


def test_a_text_ends() -> None:
    assert len(str(EncodingError("x" * 10_000))) == 2_000
    assert str(EncodingError("x" * 2_000)) == "x" * 2_000
    assert str(ContractError("code", "x" * 10_000)).endswith("…")


def test_what_programs_read_is_left_alone() -> None:
    assert InvalidTransaction("code\n", "text").reason == "code\n"
    assert RootMismatch("tree", expected=b"\x1b", computed=b"").expected == b"\x1b"


def test_quoted_input_is_cut() -> None:
    """An envelope with a suite of 64 KiB was refused with an error of 131,131 characters once."""
    data = encode({"suite": bytes(1 << 16), "sealed": b"", "recipient": bytes(16)})
    with pytest.raises(EncodingError, match="HPKE suite") as caught:
        decode_record(Envelope, data)
    assert len(str(caught.value)) == 2_000
