"""The words that policies are made of: symbols, clause names, purposes, roles, and what is reserved."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any

from attrs import field, frozen

from medchain.errors import PolicyError

OWNER = "owner"

MARKS = ("emergency", "recovery")
STATEMENTS = ("erasure", "show")
OPTIONS = ("asked", "separate", "from", "until", "at", "notify", "review", "wait", "objection", "ungated")
GLUE = ("and", "or", "of", "for", "by", "within", "most", "role")

REASONS = {
    "asker": "the asker is known only when somebody asks, and nothing can be sealed to it before",
    "gate": "the gate stands outside the tree and is named when the policy is bound, by bind(gate=…)",
}
"""Words that look like symbols but cannot be, and why."""

RESERVED = frozenset((*MARKS, *STATEMENTS, *OPTIONS, *GLUE, *REASONS))

NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
PURPOSE = re.compile(r"[A-Z][A-Z0-9_]{0,31}")


def is_name(value: object) -> bool:
    """Whether `value` has the form of a name: ``[a-z][a-z0-9_]{0,31}``."""
    return isinstance(value, str) and NAME.fullmatch(value) is not None


def check_form(what: str, value: object) -> None:
    """Refuse what does not have the form of a name. `what` says in the message what the name is for."""
    if not isinstance(value, str):
        raise TypeError(f"{what} is a str, not {type(value).__name__}")
    if not is_name(value):
        raise PolicyError(f"{what} {shown(value)} is not of the form [a-z][a-z0-9_]{{0,31}}")


def check_word(what: str, value: object) -> None:
    """Refuse what cannot stand for a name in a policy text, reserved words included."""
    check_form(what, value)
    if value in RESERVED:
        reason = REASONS.get(str(value), "the language uses this word itself")
        raise PolicyError(f"{what} {shown(value)} is reserved: {reason}")


def check_purpose(value: object) -> None:
    """Refuse what is not a purpose: ``[A-Z][A-Z0-9_]{0,31}``."""
    if not isinstance(value, str):
        raise TypeError(f"a purpose is a str, not {type(value).__name__}")
    if not PURPOSE.fullmatch(value):
        raise PolicyError(f"purpose {shown(value)} is not of the form [A-Z][A-Z0-9_]{{0,31}}")


def shown(value: object, limit: int = 40) -> str:
    """`value` in quotes, short and printable whatever it holds."""
    text = str(value)
    text = text if len(text) <= limit else text[: limit - 1] + "…"
    return "`" + "".join(c if c.isprintable() else "?" for c in text) + "`"


def close_to(word: str, words: Iterable[str]) -> str | None:
    """The one of `words` that `word` was probably meant to be, or None.

    >>> close_to("sepparate", OPTIONS)
    'separate'
    """
    found = difflib.get_close_matches(word[:40], list(words), n=1, cutoff=0.75)
    return found[0] if found else None


def _contract(_instance: Any, _attribute: Any, value: Any) -> None:
    check_form("a role's contract", value)


def _role(_instance: Any, _attribute: Any, value: Any) -> None:
    check_form("a role", value)


@frozen(order=True)
class Role:
    """A role that a contract answers for: whoever holds it when asking may ask.

    Written ``role(contract:name)``.
    """

    contract: str = field(validator=_contract)
    name: str = field(validator=_role)

    def __str__(self) -> str:
        return f"role({self.contract}:{self.name})"
