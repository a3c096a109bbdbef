"""Sealing and opening: against bare AES-256-GCM for bulk, and per record, part and holder for small things."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable, Iterable

import pytest
from attrs import frozen
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from medchain import sealing
from medchain.keys import Wallet
from medchain.policy import BoundPolicy, Policy
from medchain.sealing import Part, PartKeys, SealedHeader, asker_key_hash

Compare = Callable[..., object]

SIZE = 64 << 20
SEGMENT = 65_536
CONTEXT = b"bench"
HOLDERS = {
    name: Wallet.from_seed(bytes([number]) * 32) for number, name in enumerate(("a", "b", "c", "d", "e"), 1)
}
KEEPER, ASKER = Wallet.from_seed(bytes([8]) * 32), Wallet.from_seed(bytes([9]) * 32)


def bind(text: str, gate: bool = True) -> BoundPolicy:
    policy = Policy.parse(text)
    symbols = {symbol: HOLDERS[symbol].party for symbol in policy.symbols}
    return policy.bind(gate=KEEPER.party if gate else None, **symbols)


def bare(data: bytes) -> Callable[[], None]:
    """AES-256-GCM over the same segments and nothing else."""
    cipher, view = AESGCM(bytes(32)), memoryview(data)

    def run() -> None:
        for number, start in enumerate(range(0, len(view), SEGMENT)):
            cipher.encrypt(number.to_bytes(12, "big"), view[start : start + SEGMENT], bytes(32))

    return run


def discard(object_id: bytes, chunks: Iterable[bytes]) -> None:
    for _ in chunks:
        pass


def unlock(bundle: SealedHeader) -> PartKeys:
    """The part keys of an object that `a` alone holds."""
    key = ASKER.request_key(bytes(32))
    binding = sealing.Binding(
        chain=None,
        context=CONTEXT,
        request=bytes(32),
        object=bundle.object_id,
        policy=bundle.policy_hash,
        clause="t",
        parts=bundle.header.part_set(None),
        asker_key=asker_key_hash(key.public),
        purpose="T",
        expiry=None,
    )
    held = sealing.open_envelope(bundle, "t", HOLDERS["a"], context=CONTEXT)
    share = sealing.reseal(held, binding, None, key.public)
    return sealing.collect(bundle, binding, {HOLDERS["a"].party.id: share}, key.decrypt)


@pytest.fixture(scope="module")
def data() -> bytes:
    return os.urandom(SIZE)


def test_seal_bulk(compare: Compare, data: bytes) -> None:
    bound = bind("t for T: a", gate=False)

    def seal() -> object:
        return sealing.seal_to([Part(data)], bound, context=CONTEXT, write=discard)

    compare("seal 64 MiB", seal, bare(data), target=0.15)


def test_open_bulk(compare: Compare, data: bytes) -> None:
    sealed = sealing.seal(data, bind("t for T: a", gate=False), context=CONTEXT)
    keys = unlock(sealed.header)

    def open_() -> None:
        (part,) = sealing.open_segments(sealed.header, keys, sealed.read)
        for _ in part:
            pass

    compare("open 64 MiB", open_, bare(data), target=0.15)


def test_memory() -> None:
    """What sealing 64 MiB from a stream takes at its peak, beside what 8 MiB take."""

    def peak(size: int) -> int:
        tracemalloc.start()
        part = Part(bytes(1 << 20) for _ in range(size >> 20))
        sealing.seal_to([part], bind("t for T: a", gate=False), context=CONTEXT, write=discard)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    small, large = peak(8 << 20), peak(SIZE)
    print(f"\npeak memory of sealing: {small >> 10} KiB for 8 MiB, {large >> 10} KiB for 64 MiB")
    assert large < small + (1 << 18)


@frozen
class Case:
    """Something small to seal, approve and open."""

    name: str
    text: str
    parts: int
    size: int
    quorum: int
    gate: bool


CASES = [
    Case("10 kB, 2 of 3 and gate", "t for T: 2 of (a, b, c)", 1, 10_000, 2, True),
    Case("40 parts, 3 of 5", "t for T: 3 of (a, b, c, d, e)", 40, 2_000, 3, False),
    Case("600 parts, 2 of 3 and gate", "t for T: 2 of (a, b, c)", 600, 1_000, 2, True),
]


@pytest.mark.parametrize("step", ["seal", "approve", "open"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_small(compare: Compare, case: Case, step: str) -> None:
    """One verb; the baseline is bare AES-256-GCM over the same parts."""
    bound, count = bind(case.text, case.gate), 20 if case.parts < 100 else 1
    contents = [os.urandom(case.size) for _ in range(case.parts)]
    parts = [Part(content, label=str(number)) for number, content in enumerate(contents)]
    holders = [*list(HOLDERS.values())[: case.quorum], *([KEEPER] if case.gate else [])]
    cipher = AESGCM(bytes(32))
    sealed = sealing.seal(parts, bound, context=CONTEXT)
    ask = sealing.request(sealed.header, "t", purpose="T", context=CONTEXT, by=ASKER)

    def approve(holder: Wallet) -> sealing.Approval:
        return sealing.approve(sealed.header, ask, to=ASKER.party, context=CONTEXT, by=holder)

    shares = [approve(holder) for holder in holders]

    def read_all() -> None:
        for part in sealing.open_parts(sealed, ask, shares, context=CONTEXT, by=ASKER):
            assert part.data

    verbs: dict[str, Callable[[], object]] = {
        "seal": lambda: sealing.seal(parts, bound, context=CONTEXT),
        "approve": lambda: approve(holders[0]),
        "open": read_all,
    }

    def ours() -> None:
        for _ in range(count):
            verbs[step]()

    def baseline() -> None:
        for _ in range(count):
            for content in contents:
                cipher.encrypt(bytes(12), content, None)

    compare(f"{case.name}: {step}", ours, baseline, count=count)
