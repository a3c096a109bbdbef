"""Shares that have been opened: checked against the dealing, combined to part keys, and dealt again.

Collecting (`medchain.sealing.collecting`) and judging evidence (`medchain.sealing.evidence`) share these steps, so
that what convicts somebody here convicts them there.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Mapping

from attrs import field, frozen

from medchain.errors import EncodingError, SealingError
from medchain.sealing.binding import Binding
from medchain.sealing.dealing import combine, commitment_root, deal_shares, leaves, pick, places
from medchain.sealing.documents import Dealing, Header
from medchain.sealing.holding import ResealedShare, leaf_indices
from medchain.sealing.layout import Seat
from medchain.sealing.limits import BLOCK
from medchain.sealing.multiproof import root_from, sibling_count
from medchain.sealing.schedule import KEY_SIZE
from medchain.sealing.segments import check_key

__all__ = ["Opened", "check_opened", "find_fault", "recover", "unseal"]


@frozen
class Opened:
    """What one seat's re-sealed share held: blocks for some parts, then the siblings that lead to its root."""

    seat: Seat
    parts: tuple[int, ...]
    plain: bytes = field(repr=False)

    @property
    def blocks(self) -> bytes:
        """The blocks without the siblings."""
        return self.plain[: BLOCK * len(self.seat.positions) * len(self.parts)]


def unseal(
    header: Header,
    dealing: Dealing,
    binding: Binding,
    seat: Seat,
    share: bytes,
    decrypt: Callable[[bytes, bytes], bytes],
) -> Opened:
    """Open the bytes of a `ResealedShare` and check what is in them. SealingError says what is wrong with it."""
    try:
        sealed = ResealedShare.from_bytes(share)
    except EncodingError as error:
        raise SealingError(f"it is malformed: {error}") from None
    if not set(sealed.parts) <= set(binding.parts):
        raise SealingError("it is for parts that were not asked for")
    try:
        plain = decrypt(sealed.sealed, binding.with_parts(sealed.parts).info(seat.positions))
    except SealingError:
        raise SealingError(
            "it does not open: altered, or for another request, asker, purpose or parts"
        ) from None
    opened = Opened(seat, sealed.parts, plain)
    check_opened(header, dealing, binding.clause, opened)
    return opened


def check_opened(header: Header, dealing: Dealing, clause: str, opened: Opened) -> None:
    """Check opened shares against the commitments of the dealing. SealingError if they are not those."""
    seat, parts = opened.seat, opened.parts
    indices, size = leaf_indices(seat, parts), len(header.parts) * len(seat.positions)
    others = opened.plain[BLOCK * len(indices) :]
    if len(opened.plain) < BLOCK * len(indices) or len(others) != 32 * sibling_count(size, indices):
        raise SealingError("it does not hold one share for each part")
    known = dict(
        zip(indices, leaves(header, dealing.policy.hash, clause, seat, parts, opened.blocks), strict=True)
    )
    root = root_from(size, known, [others[at : at + 32] for at in range(0, len(others), 32)])
    if not hmac.compare_digest(root, dealing.deal(clause, seat).root):
        raise SealingError("its shares are not those that the dealing commits to")


def recover(
    dealing: Dealing, clause: str, opened: Iterable[Opened], parts: Iterable[int]
) -> tuple[dict[int, bytes], dict[int, tuple[bytes, ...]]]:
    """What shares combine to for each part, and for parts without a quorum whose share could still complete one.

    A quorum is one set of holders for a part: shares of different parts never add up.
    """
    layout = dealing.layout(clause)
    # Holders choose the parts that they give, so there may be as many groups as parts: each is gone through once.
    held = [(each.seat, each.blocks, places(each.seat, each.parts)) for each in opened]
    groups: dict[tuple[int, ...], list[int]] = {}
    for part in parts:
        who = tuple(number for number, (_, _, at) in enumerate(held) if part in at)
        groups.setdefault(who, []).append(part)
    keys: dict[int, bytes] = {}
    waiting: dict[int, tuple[bytes, ...]] = {}
    for who, members in groups.items():
        group = [held[number] for number in who]
        given = [(seat, b"".join([blocks[at[part]] for part in members])) for seat, blocks, at in group]
        combined = combine(layout, given)
        if combined is None:
            missing = layout.missing(seat for seat, _, _ in group)
            waiting |= dict.fromkeys(members, missing)
        else:
            rows = [combined[at : at + KEY_SIZE] for at in range(0, len(combined), KEY_SIZE)]
            keys |= zip(members, rows, strict=True)
    return dict(sorted(keys.items())), waiting


def find_fault(
    header: Header, dealing: Dealing, clause: str, opened: Iterable[Opened], keys: Mapping[int, bytes]
) -> str | None:
    """What shows, in shares that match the dealing's commitments, that the dealer did not deal honestly; or None.

    Every key must be the committed one, and dealing again must give every share that was opened. With the keys of
    all parts it must also give every commitment of the dealing, for all clauses and holders.
    """
    for part, key in keys.items():
        try:
            check_key(header, part, key)
        except SealingError:
            return f"the shares of part {part} combine to another key than the header commits to"
    policy = dealing.policy
    again = deal_shares(header, policy.hash, dealing.layout(clause), keys)
    order = tuple(keys)
    for each in opened:
        common = [part for part in each.parts if part in keys]
        ours = pick(each.seat, order, common, again[each.seat])
        if not hmac.compare_digest(ours, pick(each.seat, each.parts, common, each.blocks)):
            return (
                f"the share of {policy.name(each.seat.holder)} is not the one that follows from the part keys"
            )
    if order != tuple(range(len(header.parts))):
        return None
    for other in policy.clauses:
        dealt = (
            again
            if other.name == clause
            else deal_shares(header, policy.hash, dealing.layout(other.name), keys)
        )
        for seat, blocks in dealt.items():
            root = commitment_root(header, policy.hash, other.name, seat, blocks)
            if not hmac.compare_digest(root, dealing.deal(other.name, seat).root):
                name = policy.name(seat.holder)
                return f"the commitment for {name} under {other.name} does not follow from the part keys"
    return None
