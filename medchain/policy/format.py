"""Policies as text: the one canonical way to write each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from medchain.policy.moments import format_duration, format_moment
from medchain.policy.names import Role
from medchain.policy.tree import H

if TYPE_CHECKING:
    from medchain.policy.model import Clause, ClauseRules, Policy

WIDTH = 100
"""A clause that is longer goes on several lines, one for each option."""


def format_policy(policy: Policy) -> str:
    """The text that parses to `policy`: a line for each clause, then what holds for the whole."""
    lines = [format_clause(clause) for clause in policy.clauses]
    if policy.erasure is not None:
        lines.append(f"erasure by {policy.erasure}")
    if policy.labels:
        lines.append(f"show {', '.join(policy.labels)}")
    return "\n".join(lines)


def format_clause(clause: Clause) -> str:
    """The text of one clause."""
    mark = f"{clause.mark} " if clause.mark else ""
    head = f"{mark}{clause.name} for {', '.join(clause.purposes)}:"
    body = [str(clause.tree), *format_options(clause, str)]
    line = f"{head} {', '.join(body)}"
    if len(line) <= WIDTH:
        return line
    return f"{head}\n    " + ",\n    ".join(body)


def format_options(clause: ClauseRules[H], name: Callable[[H], str]) -> list[str]:
    """The options of a clause that are set, in their canonical order, holders called by `name`."""

    def names(holders: Iterable[H | Role]) -> str:
        return ", ".join(str(one) if isinstance(one, Role) else name(one) for one in holders)

    options: list[str] = []
    if clause.askers is not None:
        options.append(f"asked by {names(clause.askers)}")
    if clause.separate_asker:
        options.append("separate asker")
    if clause.not_before is not None or clause.not_after is not None:
        options.append(format_period(clause.not_before, clause.not_after))
    if clause.uses is not None:
        options.append(f"at most {clause.uses} {'use' if clause.uses == 1 else 'uses'}")
    if clause.notify:
        options.append(f"notify {names(clause.notify)}")
    if clause.reviewer is not None and clause.review_within is not None:
        options.append(f"review by {name(clause.reviewer)} within {format_duration(clause.review_within)}")
    if clause.waiting is not None:
        options.append(f"wait {format_duration(clause.waiting)}")
    if clause.objectors:
        options.append(f"objection by {names(clause.objectors)}")
    if not clause.gated:
        options.append("ungated")
    return options


def format_period(not_before: int | None, not_after: int | None) -> str:
    """``from … until …``, either half alone, or nothing."""
    parts = []
    if not_before is not None:
        parts.append(f"from {format_moment(not_before)}")
    if not_after is not None:
        parts.append(f"until {format_moment(not_after, last=True)}")
    return " ".join(parts)
