"""That the judgement of an input can go wrong: planted decoders, one for each thing that none may do."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from fuzz import judging
from fuzz.decoder import Decoder, fixed
from fuzz.judging import Wrong, judge, keep
from fuzz.mutations import Form, mutate

from medchain.encoding import decode, encode
from medchain.errors import EncodingError, MedchainError


def planted(read: Callable[[bytes], Any], **options: Any) -> Decoder:
    return Decoder("a planted one/3", read, (EncodingError,), fixed(b"\xa0"), **{"write": encode, **options})


def test_what_is_right_is_let_through() -> None:
    assert judge(planted(decode), encode([1, "a"])) == [1, "a"]
    assert judge(planted(decode), b"\xff") is None
    assert judge(planted(len, write=bytes, canonical=False), b"\0\0") == 2


class Evil(EncodingError):
    """An error that escapes from the rule for texts."""

    def __str__(self) -> str:
        return "\x1b[2J" * int(self.args[0])


class Unseen:
    def __bytes__(self) -> bytes:
        return b"x"

    def __repr__(self) -> str:
        raise IndexError


class Verbose(Unseen):
    def __repr__(self) -> str:
        return "x" * 1_000_000


def raising(error: BaseException) -> Callable[[bytes], Any]:
    def read(data: bytes) -> Any:
        raise error

    return read


@pytest.mark.parametrize(
    ("decoder", "what"),
    [
        (planted(raising(KeyError("x"))), "raised KeyError, documented is EncodingError"),
        (planted(raising(RecursionError())), "raised RecursionError"),
        (planted(raising(MemoryError())), "raised MemoryError"),
        (planted(raising(AssertionError())), "raised AssertionError"),
        (planted(raising(Evil(1))), "control characters"),
        (planted(raising(Evil(1_000))), "an error of 4000 characters"),
        (planted(lambda data: [0]), "takes 1 bytes for what is written in other 2 bytes"),
        (planted(lambda data: 1.5), "cannot be used: TypeError"),
        (planted(lambda data: {"n": len(data)}, canonical=False), "something else than it has written"),
        (planted(lambda data: Unseen(), write=bytes), "cannot be used: IndexError"),
        (planted(lambda data: Verbose(), write=bytes), "are shown in 1000000 characters"),
    ],
)
def test_what_is_wrong_is_said(decoder: Decoder, what: str) -> None:
    with pytest.raises(Wrong, match=what):
        judge(decoder, b"x")


def test_an_interrupt_is_no_finding() -> None:
    with pytest.raises(KeyboardInterrupt):
        judge(planted(raising(KeyboardInterrupt())), b"x")


def test_what_is_found_is_kept(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "KEPT", tmp_path)
    command = keep(planted(decode), b"\xff", "first")
    path = tmp_path / "a-planted-one-3" / "wrong" / "first"
    assert path.read_bytes() == b"\xff"
    assert command == f'make fuzz ARGS="--repeat {path}"'


@pytest.mark.parametrize("form", Form)
def test_mutations_find_a_planted_defect(form: Form) -> None:
    """Each way to change an input comes to what is one change away."""

    def read(data: bytes) -> Any:
        if data != seed and len(data) == len(seed):
            raise KeyError
        raise EncodingError("no")

    seed = encode([b"12345678", "text", 7]) if form is Form.CBOR else b'{"a": "text and\\n more"}\nb\n'
    decoder = Decoder("planted", read, (EncodingError,), fixed(seed), form)
    inputs = (mutate(seed, form, Random(number), [seed]) for number in range(2_000))
    with pytest.raises(Wrong, match="KeyError"):
        [judge(decoder, data) for data in inputs]


def test_mutations_are_the_same_for_the_same_choices() -> None:
    seed = encode({"a": [1, {"b": b"x" * 40}], "c": "text"})
    for form in Form:
        first, again = ([mutate(seed, form, Random(n), [seed]) for n in range(50)] for _ in range(2))
        assert first == again
        assert len(set(first)) > 25


def test_every_documented_error_is_one_of_the_library() -> None:
    from fuzz.decoders import DECODERS

    for decoder in DECODERS.values():
        assert all(issubclass(each, MedchainError) and each is not MedchainError for each in decoder.raises)
