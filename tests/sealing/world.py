"""Wallets, policies and short cuts for the tests of sealing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from medchain import sealing
from medchain.keys import Wallet
from medchain.policy import BoundPolicy, GateSet, Policy
from medchain.sealing import Approval, Part, Sealed, SealedHeader, ShareRequest

CONTEXT = b"acme/17"
NAMES = (
    "owner",
    "guardian",
    "dr_wu",
    "dr_lee",
    "er_desk",
    "auditor",
    "a",
    "z9_",
    "keeper",
    "second",
    "third",
)
WALLETS = {name: Wallet.from_seed(bytes([number]) * 32) for number, name in enumerate(NAMES, 1)}
ASKER = WALLETS["dr_lee"]

TREATMENT = "treatment for TREAT: owner and 1 of (dr_wu, guardian), separate asker"
ALONE = "own for PATRQT: owner"


def party(name: str):
    return WALLETS[name].party


def bind(text: str | Policy, gate: str | Sequence[str] | None = None, threshold: int = 1) -> BoundPolicy:
    """A policy whose symbols are bound to the wallets of the same names."""
    policy = Policy.parse(text) if isinstance(text, str) else text
    members = [gate] if isinstance(gate, str) else gate
    gate_set = None if members is None else GateSet(threshold, tuple(party(name) for name in members))
    return policy.bind(gate=gate_set, **{symbol: party(symbol) for symbol in policy.symbols})


def seal(
    data: bytes | Sequence[Part] = b"the record", text: str = TREATMENT, gate: str | None = None
) -> Sealed:
    return sealing.seal(data, bind(text, gate), context=CONTEXT)


def ask(sealed: Sealed, by: Wallet = ASKER, **options) -> ShareRequest:
    clause = options.pop("clause", sealed.header.policy.clauses[0].name)
    purpose = options.pop("purpose", sealed.header.policy.clause(clause).purposes[0])
    return sealing.request(sealed.header, clause, purpose=purpose, context=CONTEXT, by=by, **options)


def approve(
    sealed: Sealed, request: ShareRequest, *names: str, to: Wallet = ASKER, **options
) -> list[Approval]:
    return [
        sealing.approve(sealed.header, request, to=to.party, context=CONTEXT, by=WALLETS[name], **options)
        for name in names
    ]


def open_(sealed: Sealed, request: ShareRequest, shares: Iterable[Approval], by: Wallet = ASKER) -> bytes:
    return sealing.open(sealed, request, shares, context=CONTEXT, by=by)


def redealt(sealed: Sealed, change: Callable[[SealedHeader], SealedHeader]) -> Sealed:
    return Sealed(change(sealed.header), sealed.payload)


def flips(data: bytes) -> Iterator[bytes]:
    """`data` with one bit of one byte flipped, for each byte; which bit goes round."""
    for at in range(len(data)):
        altered = bytearray(data)
        altered[at] ^= 1 << at % 8
        yield bytes(altered)
