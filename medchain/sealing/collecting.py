"""What an asker does: open the shares that came back, check each, combine them, deal again and compare."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from medchain.errors import Pending, SealingError
from medchain.sealing.binding import Binding
from medchain.sealing.documents import SealedHeader
from medchain.sealing.evidence import BadDealing, BadShare, disclose
from medchain.sealing.holding import check_binding
from medchain.sealing.layout import Seat
from medchain.sealing.openings import Opened, find_fault, recover, unseal
from medchain.sealing.schedule import PartKeys

__all__ = ["collect"]


def collect(
    bundle: SealedHeader,
    binding: Binding,
    blobs: Mapping[bytes, bytes],
    decrypt: Callable[[bytes, bytes], bytes],
    *,
    gate: Mapping[bytes, bytes] | None = None,
    parts: Iterable[int] | None = None,
    seed: bytes | None = None,
    dealer: bytes | None = None,
) -> PartKeys:
    """The part keys out of re-sealed shares.

    Args:
        bundle: header, dealing and envelopes.
        binding: what was asked for.
        blobs: the re-sealed shares by holder id: those of the tree, and those of gate members who hold nothing in it.
        decrypt: opens what is sealed to the request's one-use key, given (sealed, info).
        gate: the shares of gate members, by id, where one of them holds a share in the tree too.
        parts: which of the parts asked for must open; None: all of them.
        seed: the seed of the one-use key, to be disclosed in evidence; without it a bad share is told, not proved.
        dealer: id of who sealed the object, to be named if the dealing is bad.

    Raises:
        Pending: the shares are no quorum for some part; ``waiting_for`` says whose could complete it.
        SealingError: a share is wrong, foreign or for another request (``culprit`` is its holder), or the dealing
            is (``culprit`` is `dealer`); ``evidence`` is for `check_evidence`.
    """
    check_binding(bundle, binding)
    opened = [
        _unseal(bundle, binding, seat, share, decrypt, seed)
        for seat, share in _seats(bundle, binding.clause, blobs, gate or {}).items()
    ]
    wanted = binding.parts if parts is None else bundle.header.part_set(parts)
    if not set(wanted) <= set(binding.parts):
        raise ValueError("parts must open that were not asked for")
    keys, waiting = recover(bundle.dealing, binding.clause, opened, wanted)
    if waiting:
        raise _pending(bundle, binding.clause, waiting)
    fault = find_fault(bundle.header, bundle.dealing, binding.clause, opened, keys)
    if fault is not None:
        evidence = BadDealing(bundle.header, bundle.dealing, binding.clause, tuple(map(disclose, opened)))
        raise SealingError(f"the dealer cheated: {fault}", culprit=dealer, evidence=evidence)
    return PartKeys(bundle.object_id, keys)


def _seats(
    bundle: SealedHeader, clause: str, blobs: Mapping[bytes, bytes], gate: Mapping[bytes, bytes]
) -> dict[Seat, bytes]:
    layout, seats = bundle.dealing.layout(clause), {}
    for given, side in ((blobs, None), (gate, True)):
        for holder, share in given.items():
            seat = layout.seat(holder, gate=side)
            if seat is None:
                name = bundle.policy.name(holder)
                raise SealingError(f"a foreign share: {name} holds none under clause {clause}", culprit=None)
            seats[seat] = share
    return seats


def _unseal(
    bundle: SealedHeader,
    binding: Binding,
    seat: Seat,
    share: bytes,
    decrypt: Callable[[bytes, bytes], bytes],
    seed: bytes | None,
) -> Opened:
    try:
        return unseal(bundle.header, bundle.dealing, binding, seat, share, decrypt)
    except SealingError as error:
        evidence = None
        if seed is not None:
            evidence = BadShare(bundle.header, bundle.dealing, binding, seat.holder, seat.gate, share, seed)
        name = bundle.policy.name(seat.holder)
        raise SealingError(f"the share of {name}: {error}", culprit=seat.holder, evidence=evidence) from None


def _pending(bundle: SealedHeader, clause: str, waiting: Mapping[int, tuple[bytes, ...]]) -> Pending:
    ids = tuple(dict.fromkeys(holder for holders in waiting.values() for holder in holders))
    names = ", ".join(bundle.policy.name(holder) for holder in ids)
    parts = sorted(part for part in waiting if part)
    which = (
        f" for parts {', '.join(map(str, parts[:8]))}{'…' if len(parts) > 8 else ''}"
        if parts and len(bundle.header.parts) > 2
        else ""
    )
    return Pending(f"too few shares under clause {clause}{which}: still waiting for {names}", waiting_for=ids)
