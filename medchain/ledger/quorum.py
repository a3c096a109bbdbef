"""Which witnesses must have cosigned a checkpoint: ``witness``, ``group`` and ``quorum`` lines of a C2SP tlog-policy.

A group witnesses a checkpoint if at least k of its members do, which are witnesses or groups that were named before it.
Each name is a member once, so nobody counts twice.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from attrs import field, frozen

from medchain.ledger.cosignature import ED25519_COSIGNATURE, MLDSA44_COSIGNATURE
from medchain.ledger.note import VerifierKey

__all__ = ["MOST", "NONE", "Group", "Quorum", "Witness", "check_word"]

NONE = "none"
"""The name that stands for no witness at all."""

MOST = 64
"""How many logs, witnesses and groups a policy has at most; every implementation is to take 32 of each."""


WORD = re.compile("[^\x00-\x20\x7f]+")


def check_word(what: str, text: str) -> None:
    """Refuse what would not be one word in a policy file: ValueError."""
    if not WORD.fullmatch(text):
        raise ValueError(f"{what} is one word without blanks or control characters: {text!r}")


@frozen
class Witness:
    """Somebody who cosigns checkpoints of logs that only grow.

    Attributes:
        name: under which the policy speaks of it.
        key: its cosignature key; its own name stands there.
        url: submission prefix of its HTTP service (C2SP tlog-witness), if known.
    """

    name: str
    key: VerifierKey
    url: str | None = None

    def __attrs_post_init__(self) -> None:
        if self.key.type not in (ED25519_COSIGNATURE, MLDSA44_COSIGNATURE):
            raise ValueError(f"the key of witness {self.name} is for {self.key.kind.name} signatures")
        check_word("the name of a witness", self.name)
        if self.url is not None:
            check_word("the URL of a witness", self.url)

    def __str__(self) -> str:
        return f"witness {self.name} {self.key}" + (f" {self.url}" if self.url else "")


@frozen
class Group:
    """At least `threshold` of `members`, names of witnesses and groups."""

    name: str
    threshold: int
    members: tuple[str, ...]

    def __attrs_post_init__(self) -> None:
        if not 1 <= self.threshold <= len(self.members):
            raise ValueError(f"group {self.name}: a threshold is from 1 to the number of members")
        check_word("the name of a group", self.name)

    def __str__(self) -> str:
        return f"group {self.name} {self.threshold} {' '.join(self.members)}"


@frozen
class Quorum:
    """Who must have cosigned.

    Attributes:
        witnesses: all that are known; what others sign does not count.
        groups: each after the names that it speaks of.
        name: the witness or group that must have witnessed a checkpoint, or ``none``.

    >>> print(Quorum())
    quorum none
    """

    witnesses: tuple[Witness, ...] = ()
    groups: tuple[Group, ...] = ()
    name: str = NONE
    _by_name: dict[str, Witness | Group] = field(init=False, repr=False, eq=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        if max(len(self.witnesses), len(self.groups)) > MOST:
            raise ValueError(f"a policy has at most {MOST} witnesses and {MOST} groups here")
        if len({witness.key.key for witness in self.witnesses}) != len(self.witnesses):
            raise ValueError("two witnesses have one key")
        members: set[str] = set()
        parts: tuple[Witness | Group, ...] = (*self.witnesses, *self.groups)
        for each in parts:
            for member in each.members if isinstance(each, Group) else ():
                if member not in self._by_name:
                    raise ValueError(f"group {each.name} names {member!r} before it is defined")
                if member in members:
                    raise ValueError(f"{member!r} is a member twice")
                members.add(member)
            if each.name == NONE or each.name in self._by_name:
                raise ValueError(f"the name {each.name!r} is taken")
            self._by_name[each.name] = each
        if self.name != NONE and self.name not in self._by_name:
            raise ValueError(f"quorum {self.name!r} is not defined")

    @classmethod
    def of(cls, threshold: int, *witnesses: Witness) -> Quorum:
        """At least `threshold` of `witnesses`.

        The group's name is no word of the policy language, which some tools do not take for a name.
        """
        group = Group("witnesses", threshold, tuple(witness.name for witness in witnesses))
        return cls(tuple(witnesses), (group,), group.name)

    @property
    def asks(self) -> bool:
        """Whether it asks for any witness."""
        return self.name != NONE

    def met_by(self, keys: Collection[VerifierKey]) -> bool:
        """Whether cosignatures by these keys are enough."""
        return self.name == NONE or self._witnessed(self.name, keys)

    def _witnessed(self, name: str, keys: Collection[VerifierKey]) -> bool:
        found = self._by_name[name]
        if isinstance(found, Witness):
            return found.key in keys
        return sum(self._witnessed(member, keys) for member in found.members) >= found.threshold

    def wanted(self, keys: Collection[VerifierKey]) -> str:
        """What is missing, for people: ``2 of (w1, w2, w3), cosigned by w1``."""
        have = [witness.name for witness in self.witnesses if witness.key in keys]
        return f"{self._text(self.name)}, cosigned by {', '.join(have) or 'none of them'}"

    def _text(self, name: str) -> str:
        found = self._by_name[name]
        if isinstance(found, Witness):
            return name
        return f"{found.threshold} of ({', '.join(map(self._text, found.members))})"

    def lines(self) -> Iterator[str]:
        """Its lines in a policy file."""
        yield from map(str, self.witnesses)
        yield from map(str, self.groups)
        yield f"quorum {self.name}"

    def __str__(self) -> str:
        return "\n".join(self.lines())
