"""Canonical encoding, judged both ways, against libipld alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from libipld import decode_dag_cbor, encode_dag_cbor

from medchain.encoding import decode, encode

Compare = Callable[..., object]

BODY: Any = {
    "chain": bytes(range(32)),
    "signers": [[bytes(range(32)), bytes(range(16))]],
    "seq": 17,
    "not_after": None,
    "contract": "access",
    "version": 1,
    "message": {"kind": "request", "record": bytes(range(32)), "purpose": "TREAT"},
}
TIMES = 10_000


def repeat(function: Callable[[Any], object], value: Any) -> Callable[[], None]:
    def run() -> None:
        for _ in range(TIMES):
            function(value)

    return run


def test_encode(compare: Compare) -> None:
    compare("encode a transaction body", repeat(encode, BODY), repeat(encode_dag_cbor, BODY), count=TIMES)


def test_decode(compare: Compare) -> None:
    wire = encode(BODY)
    compare("decode a transaction body", repeat(decode, wire), repeat(decode_dag_cbor, wire), count=TIMES)
