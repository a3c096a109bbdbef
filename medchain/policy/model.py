"""Clauses and policies: who may open what, for which purpose, within which limits.

A `Policy` names its parties by symbols and can be written down, compared and kept as text; binding it to
parties (`Policy.bind`) gives the `BoundPolicy` that things are sealed under. `ClauseRules` holds what both
kinds of clause have in common, so that what a text may say and what bytes from outside may say is judged by
one set of rules.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from attrs import Factory, field, frozen

from medchain.errors import PolicyError
from medchain.policy.moments import DAY, MAX_DURATION, MAX_TIME
from medchain.policy.names import Role, check_form, check_purpose, check_word, shown
from medchain.policy.tree import MAX_POSITIONS, H, Position, Tree, as_tree, check_holder

if TYPE_CHECKING:
    from medchain.keys import Party
    from medchain.policy.bound import BoundPolicy, GateSet

MAX_CLAUSES = 32
MAX_LIST = 32
"""Most purposes, askers, parties to notify, objectors of a clause; most labels of a policy."""
MAX_USES = 1_000_000_000
REVIEW_WITHIN = 3 * DAY
"""The deadline of a review that names none."""

T = TypeVar("T")


class Mark(enum.StrEnum):
    """What sets a clause apart from ordinary access.

    Unmarked clauses need the owner, wherever there is one.
    """

    EMERGENCY = "emergency"
    RECOVERY = "recovery"


def _tuple(value: Any) -> Any:
    """One word alone as a tuple of it; any other iterable as a tuple."""
    if isinstance(value, str | bytes | Role):
        return (value,)
    return tuple(value) if isinstance(value, Iterable) else value


def _tuple_or_none(value: Any) -> Any:
    return None if value is None else _tuple(value)


def _tree(value: Any) -> Any:
    return as_tree(value)


def _mark(value: Any) -> Mark | None:
    if value is None or isinstance(value, Mark):
        return value
    try:
        return Mark(value)
    except ValueError:
        raise PolicyError(f"mark {shown(value)} is neither `emergency` nor `recovery`") from None


def _within(least: int, most: int) -> Callable[[Any, Any, Any], None]:
    def check(_instance: Any, attribute: Any, value: Any) -> None:
        if value is None:
            return
        if type(value) is not int:
            raise TypeError(f"{attribute.name} is an int, not {type(value).__name__}")
        if not least <= value <= most:
            raise PolicyError(f"{attribute.name} is {value}, not between {least} and {most}")

    return check


def _flag(_instance: Any, attribute: Any, value: Any) -> None:
    if type(value) is not bool:
        raise TypeError(f"{attribute.name} is a bool, not {type(value).__name__}")


def _distinct(what: str, values: Sequence[object]) -> None:
    if not isinstance(values, tuple):
        raise TypeError(f"{what} are a list of words, not {type(values).__name__}")
    if len(values) > MAX_LIST:
        raise PolicyError(f"at most {MAX_LIST} {what}, not {len(values)}")
    if len(set(values)) < len(values):
        twice = next(value for value in values if values.count(value) > 1)
        name = twice.hex()[:8] if isinstance(twice, bytes) else twice
        raise PolicyError(f"{what} name {shown(name)} twice")


@frozen
class ClauseRules(Generic[H]):
    """What a clause says, with holders as symbols (`Clause`) or as party ids (`BoundClause`).

    Attributes:
        name: ``[a-z][a-z0-9_]{0,31}``, unique in the policy; it appears on chain.
        purposes: what may be asked for under this clause, at least one.
        tree: who has to agree.
        mark: `Mark.EMERGENCY`, `Mark.RECOVERY` or None.
        askers: holders and roles that may ask; None: anyone.
        not_before, not_after: first and last millisecond (since 1970, UTC) in which the clause may be used,
            or None.
        uses: most decisions under this clause for one object, or None.
        notify: whom each decision is announced to.
        separate_asker: whether the asker's own agreement does not count.
        gated: whether the gate's share is needed as well; without it, opening leaves no record (`unlogged`).
        reviewer, review_within: who reviews an emergency, and within how many milliseconds.
        waiting, objectors: how many milliseconds a recovery waits for objections, and whose objection stops
            it.
    """

    kind: ClassVar[type]

    name: str
    purposes: tuple[str, ...] = field(converter=_tuple)
    tree: Tree[H] = field(converter=_tree)
    mark: Mark | None = field(default=None, converter=_mark, kw_only=True)
    askers: tuple[H | Role, ...] | None = field(default=None, converter=_tuple_or_none, kw_only=True)
    not_before: int | None = field(default=None, validator=_within(0, MAX_TIME), kw_only=True)
    not_after: int | None = field(default=None, validator=_within(0, MAX_TIME), kw_only=True)
    uses: int | None = field(default=None, validator=_within(1, MAX_USES), kw_only=True)
    notify: tuple[H, ...] = field(default=(), converter=_tuple, kw_only=True)
    separate_asker: bool = field(default=False, validator=_flag, kw_only=True)
    gated: bool = field(default=True, validator=_flag, kw_only=True)
    reviewer: H | None = field(default=None, kw_only=True)
    review_within: int | None = field(
        default=Factory(lambda self: None if self.reviewer is None else REVIEW_WITHIN, takes_self=True),
        validator=_within(1, MAX_DURATION),
        kw_only=True,
    )
    waiting: int | None = field(default=None, validator=_within(1, MAX_DURATION), kw_only=True)
    objectors: tuple[H, ...] = field(default=(), converter=_tuple, kw_only=True)

    def __attrs_post_init__(self) -> None:
        check_form("a clause's name", self.name)
        _distinct("purposes", self.purposes)
        if not self.purposes:
            raise PolicyError("a clause has at least one purpose")
        for purpose in self.purposes:
            check_purpose(purpose)
        self._check_holders()
        if self.askers == ():
            raise PolicyError("askers are at least one, or None for anyone")
        if self.reviewer is not None and self.mark is not Mark.EMERGENCY:
            raise PolicyError("only an emergency clause has a reviewer")
        if (self.reviewer is None) != (self.review_within is None):
            raise PolicyError("a reviewer and the deadline of the review go together")
        if (self.waiting or self.objectors) and self.mark is not Mark.RECOVERY:
            raise PolicyError("only a recovery clause waits for objections")
        if self.objectors and self.waiting is None:
            raise PolicyError("an objection needs a waiting time in which to make it")

    def _check_holders(self) -> None:
        lists = (("askers", self.askers or ()), ("notified", self.notify), ("objectors", self.objectors))
        for what, values in lists:
            _distinct(what, values)
        for holder in self.mentioned:
            if type(holder) is not self.kind:
                wrong, right = type(holder).__name__, self.kind.__name__
                raise TypeError(f"clause {self.name}: {wrong} where {right} is due")
            check_holder(holder)

    @property
    def mentioned(self) -> Iterator[H]:
        """Every holder that the clause names anywhere, as often as it does."""
        yield from self.tree.holders
        yield from (asker for asker in self.askers or () if not isinstance(asker, Role))
        yield from self.notify
        if self.reviewer is not None:
            yield self.reviewer
        yield from self.objectors

    def positions(self) -> list[Position[H]]:
        """The leaves of the tree in tree order; each holds one share."""
        return list(self.tree.positions())

    def satisfied_by(self, holders: Iterable[H], *, asker: H | None = None) -> bool:
        """Whether the agreement of `holders` is enough; that of `asker` does not count if the asker must
        be separate."""
        return self.tree.satisfied_by(set(holders) - set(self._excluded(asker)))

    def waiting_for(self, holders: Iterable[H], *, asker: H | None = None) -> tuple[H, ...]:
        """Whose agreement still counts after that of `holders` (see `Tree.waiting_for`)."""
        return self.tree.waiting_for(holders, never=self._excluded(asker))

    def requires(self, holder: H) -> bool:
        """Whether nothing opens under this clause without `holder`."""
        return not self.tree.possible_without((holder,))

    def active_at(self, time: int) -> bool:
        """Whether `time` (milliseconds since 1970) lies in the clause's period, both ends included."""
        return (self.not_before or 0) <= time <= (MAX_TIME if self.not_after is None else self.not_after)

    def _excluded(self, asker: H | None) -> tuple[H, ...]:
        return (asker,) if self.separate_asker and asker is not None else ()


@frozen
class Clause(ClauseRules[str]):
    """One clause of a `Policy`, its parties named by symbols. See `ClauseRules` for the fields.

    Raises PolicyError for what no clause may say, TypeError for values of another type.

    >>> from medchain.policy import all_of, any_of
    >>> tree = all_of("owner", any_of("dr_wu", "guardian"))
    >>> clause = Clause("treatment", "TREAT", tree, separate_asker=True)
    >>> print(clause)
    treatment for TREAT: owner and 1 of (dr_wu, guardian), separate asker
    >>> clause.waiting_for(["dr_wu"])
    ('owner',)
    """

    kind = str

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        check_word("a clause's name", self.name)

    def __str__(self) -> str:
        from medchain.policy.format import format_clause

        return format_clause(self)


def _clauses(value: Any) -> Any:
    return (value,) if isinstance(value, Clause) else tuple(value)


def _tree_or_none(value: Any) -> Any:
    return None if value is None else as_tree(value)


def check_whole(
    clauses: Sequence[ClauseRules[Any]], erasure: Tree[Any] | None, labels: tuple[str, ...], kind: type
) -> None:
    """What holds for a policy as a whole, bound or not: bounds, unique names, one kind of holder."""
    if not 1 <= len(clauses) <= MAX_CLAUSES:
        raise PolicyError(f"a policy has 1 to {MAX_CLAUSES} clauses, not {len(clauses)}")
    names = [clause.name for clause in clauses]
    for name in names:
        if names.count(name) > 1:
            raise PolicyError(f"two clauses have the name {shown(name)}")
    positions = sum(clause.tree.size for clause in clauses)
    if positions > MAX_POSITIONS:
        raise PolicyError(f"a policy has at most {MAX_POSITIONS} positions, not {positions}")
    if erasure is not None and any(type(holder) is not kind for holder in erasure.holders):
        raise TypeError(f"erasure: {kind.__name__} is due")
    _distinct("labels", labels)
    for label in labels:
        check_form("a label", label)


@frozen(repr=False)
class Policy:
    """A policy in symbols: at least one clause, who may order erasure, which labels show before opening.

    ``str(policy)`` is its text in the policy language and ``Policy.parse`` reads it back: they are inverse.

    Attributes:
        clauses: 1 to 32, with unique names.
        erasure: who has to agree to an order to erase; None leaves it to the application.
        labels: names of the labels that a single holder may see without opening anything.

    >>> policy = Policy.parse("treatment for TREAT: owner and dr_wu  # the general practitioner")
    >>> print(policy)
    treatment for TREAT: owner and dr_wu
    >>> policy.symbols
    ('owner', 'dr_wu')
    """

    clauses: tuple[Clause, ...] = field(converter=_clauses)
    erasure: Tree[str] | None = field(default=None, converter=_tree_or_none, kw_only=True)
    labels: tuple[str, ...] = field(default=(), converter=_tuple, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if not all(isinstance(clause, Clause) for clause in self.clauses):
            raise TypeError("a Policy is made of Clause")
        check_whole(self.clauses, self.erasure, self.labels, str)
        for label in self.labels:
            check_word("a label", label)

    @classmethod
    def parse(cls, text: str) -> Policy:
        """The policy that a text in the policy language describes (docs/spec/policy.md).

        Raises:
            PolicySyntaxError: the text is not a policy; the message shows the place and what was expected
            there.
        """
        from medchain.policy.language import parse

        return parse(text)

    @property
    def symbols(self) -> tuple[str, ...]:
        """Every symbol that binding needs a party for, in order of first mention."""
        mentioned = [symbol for clause in self.clauses for symbol in clause.mentioned]
        return tuple(dict.fromkeys([*mentioned, *(self.erasure.holders if self.erasure else ())]))

    def clause(self, name: str) -> Clause:
        """The clause called `name`. Raises PolicyError if there is none."""
        return find_clause(self.clauses, name)

    def bind(self, /, *, gate: GateSet | Party | None, **symbols: Party) -> BoundPolicy:
        """Give each symbol its party: what comes out can be sealed under.

        Args:
            gate: whose share is needed beside those of the tree, and given only against a logged decision;
                one party stands for itself alone. None must be said: every clause is then ungated, and
                openings `unlogged`.
            symbols: one party for each of `self.symbols`. `owner` may be given beyond them: it says whose
                data it is.

        Raises:
            PolicyError: a symbol without a party, or a party for a symbol that the policy does not use.
            TypeError: something that is not a party.
        """
        from medchain.policy.bound import bind

        return bind(self, gate, symbols)

    def __str__(self) -> str:
        from medchain.policy.format import format_policy

        return format_policy(self)

    def __repr__(self) -> str:
        return f"Policy.parse({str(self)!r})"

    def _repr_html_(self) -> str:
        from medchain.policy.display import policy_html

        return policy_html(self)


C = TypeVar("C", bound=ClauseRules[Any])


def find_clause(clauses: Sequence[C], name: str) -> C:
    """The clause called `name`, or a PolicyError that lists those there are."""
    for clause in clauses:
        if clause.name == name:
            return clause
    raise PolicyError(f"no clause {shown(name)}: there is {', '.join(clause.name for clause in clauses)}")
