"""The parser of the policy language (docs/spec/policy.md).

Recursive descent over the tokens of a text, one method for each rule of the grammar. The model judges what a
clause may say; the parser's own checks exist where it can point closer at the place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from medchain.policy.lexer import Cursor, Source, Token
from medchain.policy.model import MAX_LIST, MAX_USES, Clause, Mark, Policy
from medchain.policy.moments import MAX_DURATION, UNITS, parse_moment
from medchain.policy.names import (
    MARKS,
    REASONS,
    RESERVED,
    STATEMENTS,
    Role,
    check_purpose,
    close_to,
    is_name,
    shown,
)
from medchain.policy.tree import MAX_DEPTH, MAX_MEMBERS, Holder, Tree, all_of, any_of, k_of

__all__ = ["parse"]

T = TypeVar("T")

_OPTION_FORMS = {
    "asked": "asked by",
    "separate": "separate asker",
    "from": "from",
    "until": "until",
    "at": "at most",
    "notify": "notify",
    "review": "review by",
    "wait": "wait",
    "objection": "objection by",
    "ungated": "ungated",
}


def parse(text: str) -> Policy:
    """The policy that `text` describes.

    Raises PolicySyntaxError with the place and what was expected there.
    """
    return _Parser(text).policy()


class _Parser(Cursor):
    def __init__(self, text: str) -> None:
        super().__init__(Source(text))
        self.clauses: list[Clause] = []
        self.named: dict[str, Token] = {}
        self.erasure: Tree[str] | None = None
        self.labels: tuple[str, ...] = ()
        self.options: dict[str, Callable[[Token, dict[str, Any]], None]] = {
            "asked": self.asked,
            "separate": self.separate,
            "from": self.period_from,
            "until": self.period_until,
            "at": self.at_most,
            "notify": self.notify,
            "review": self.review,
            "wait": self.wait,
            "objection": self.objection,
            "ungated": self.ungated,
        }

    # --- statements ---

    def policy(self) -> Policy:
        while self.next.kind != "end":
            if self.next.kind == "newline":
                self.take()
                continue
            self.statement()
            if self.next.kind not in ("newline", "end"):
                self.expected("the end of the line", hint=self.hint_after_statement())
        if not self.clauses:
            self.fail(
                self.next, "a policy has at least one clause", hint="such as: treatment for TREAT: owner"
            )
        return self.checked(
            self.tokens[0], lambda: Policy(tuple(self.clauses), erasure=self.erasure, labels=self.labels)
        )

    def hint_after_statement(self) -> str | None:
        if self.next.text in self.options:
            return "options are parted by commas"
        if self.next.text == "of":
            return "a threshold begins with a number: 1 of (a, b), 2 of (a, b, c)"
        return self.near_keyword()

    def statement(self) -> None:
        token = self.next
        if token.text == "erasure":
            self.take()
            if self.erasure is not None:
                self.fail(token, "erasure is said twice")
            self.expect("by")
            self.erasure = self.tree()
        elif token.text == "show":
            self.take()
            if self.labels:
                self.fail(token, "`show` is said twice", hint="list all labels after one `show`")
            self.labels = self.several("label", self.label)
        else:
            self.clause()

    def clause(self) -> None:
        start = self.next
        mark = Mark(self.take().text) if start.text in MARKS else None
        name = self.clause_name(mark)
        if self.next.text != "for":
            meant = close_to(name.text, (*MARKS, *STATEMENTS))
            self.expected("`for` and the purposes", hint=f"was `{meant}` meant?" if meant else None)
        self.take()
        said: dict[str, Any] = {"purposes": self.several("purpose", self.purpose), "mark": mark}
        self.expect(":", why=" and who has to agree")
        said["tree"] = self.tree()
        seen: dict[str, Token] = {}
        while self.take_if(","):
            self.option(said, seen)
        if self.next.kind not in ("newline", "end"):
            self.expected("`,` and an option, or the end of the line", hint=self.hint_after_statement())
        self.clauses.append(self.checked(name, lambda: Clause(name.text, **said)))

    def clause_name(self, mark: Mark | None) -> Token:
        name = self.next
        if name.text == "for" and mark:
            self.expected(f"the clause's name after `{mark}`", hint=f"such as: {mark} night for …")
        if name.kind != "word":
            self.expected("a clause: its name, `for` and the purposes")
        self.word("clause's name")
        if name.text in self.named:
            line, _ = self.source.place(self.named[name.text])
            self.fail(name, f"a clause {name} stands in line {line} already")
        self.named[name.text] = name
        return name

    # --- trees ---

    def tree(self, nesting: int = 0) -> Tree[str]:
        start = self.next
        members = [self.term(nesting)]
        joint = self.next.text
        if joint not in ("and", "or"):
            return members[0]
        while self.take_if(joint):
            members.append(self.term(nesting))
        if self.next.text in ("and", "or"):
            self.fail(
                self.next,
                "`and` and `or` are mixed",
                hint="parentheses say what belongs together: a and (b or c)",
            )
        self.bounded(start, members)
        return self.checked(start, lambda: all_of(*members) if joint == "and" else any_of(*members))

    def term(self, nesting: int) -> Tree[str]:
        if self.next.kind == "number":
            return self.threshold(nesting)
        if self.next.text == "(":
            opened = self.open(nesting)
            tree = self.tree(nesting + 1)
            self.close(opened, "`and`, `or` or `)`")
            return tree
        return Holder(self.symbol())

    def threshold(self, nesting: int) -> Tree[str]:
        start = self.next
        k = self.number()
        if self.next.text != "of":
            self.expected("`of`", hint=f"such as: {k} of (a, b, c)")
        self.take()
        if self.next.text != "(":
            self.expected("`(`", hint=f"such as: {k} of (a, b, c)")
        opened = self.open(nesting)
        members = [self.tree(nesting + 1)]
        while self.take_if(","):
            members.append(self.tree(nesting + 1))
        self.close(opened, "`,` or `)`")
        self.bounded(start, members)
        return self.checked(start, lambda: k_of(k, *members))

    def bounded(self, start: Token, members: list[Tree[str]]) -> None:
        if len(members) > MAX_MEMBERS:
            self.fail(start, f"a threshold has at most {MAX_MEMBERS} members, not {len(members)}")

    def open(self, nesting: int) -> Token:
        if nesting >= MAX_DEPTH:
            self.fail(self.next, f"parentheses nest at most {MAX_DEPTH} deep")
        return self.take()

    def close(self, opened: Token, what: str) -> None:
        if not self.take_if(")"):
            line, column = self.source.place(opened)
            self.expected(what, hint=f"the parenthesis of line {line}, column {column} is still open")

    # --- words, lists, numbers ---

    def symbol(self) -> str:
        return self.word("party's symbol").text

    def label(self) -> str:
        return self.word("label").text

    def word(self, what: str) -> Token:
        """A name that is no word of the language; `what` says in the message what it is for."""
        token = self.next
        if token.kind != "word":
            self.expected(f"a {what}")
        if token.text in REASONS:
            self.fail(token, f"{token} cannot stand here: {REASONS[token.text]}")
        if token.text in RESERVED:
            self.expected(f"a {what}", hint=f"{token} is a word of the language")
        if not is_name(token.text):
            low = token.text.lower()
            hint = f"was `{low}` meant?" if low not in RESERVED and is_name(low) else self.near_keyword()
            self.fail(
                token, f"a {what} has 1 to 32 lower-case letters, digits and `_`: {token} does not", hint=hint
            )
        return self.take()

    def purpose(self) -> str:
        token = self.next
        if token.kind != "word" or token.text in RESERVED:
            self.expected("a purpose")
        if token.text != token.text.upper():
            self.fail(
                token,
                f"purposes are written in capitals: {token} is not",
                hint=f"was {shown(token.text.upper())} meant?",
            )
        self.checked(token, lambda: check_purpose(token.text))
        return self.take().text

    def asker(self) -> str | Role:
        if self.next.text != "role":
            return self.symbol()
        self.take()
        self.expect("(", hint="such as: role(credentials:physician)")
        contract = self.word("contract's name").text
        self.expect(":", hint="such as: role(credentials:physician)")
        name = self.word("role's name").text
        self.expect(")")
        return Role(contract, name)

    def several(self, what: str, item: Callable[[], T]) -> tuple[T, ...]:
        """A comma-separated list; it ends before a comma that an option follows."""
        found: list[T] = []
        while True:
            token = self.next
            one = item()
            if one in found:
                self.fail(token, f"the {what} {shown(one)} is named twice")
            found.append(one)
            if len(found) > MAX_LIST:
                self.fail(token, f"at most {MAX_LIST} can be listed")
            after = self.tokens[self.at + 1] if self.next.text == "," else self.next
            if self.next.text != "," or after.text in self.options:
                return tuple(found)
            self.take()

    def number(self) -> int:
        token = self.next
        if token.kind != "number":
            self.expected("a number")
        if len(token.text) > 15:
            self.fail(token, "the number is too large")
        return int(self.take().text)

    def duration(self) -> int:
        start = self.next
        count = self.number()
        unit = self.next
        if unit.text not in UNITS:
            self.expected("a unit of time", hint="such as: 72 hours, 14 days, 2 weeks")
        self.take()
        length = count * UNITS[unit.text]
        if not 1 <= length <= MAX_DURATION:
            self.fail(start, "a length of time lies between a millisecond and a hundred years")
        return length

    def moment(self, *, last: bool) -> int:
        token = self.next
        if token.kind not in ("moment", "number"):
            self.expected("a day or a moment", hint="such as: 2026-01-31 or 2026-01-31T08:30:00Z")
        time = self.checked(token, lambda: parse_moment(token.text, last=last))
        self.take()
        return time

    # --- options: each gets its first token and what the clause says so far ---

    def option(self, said: dict[str, Any], seen: dict[str, Token]) -> None:
        token = self.next
        read = self.options.get(token.text)
        if read is None:
            forms = ", ".join(f"`{form}`" for form in _OPTION_FORMS.values())
            after = self.tokens[self.at + 1].text if token.kind != "end" else ""
            goes_on = "the comma before it goes on with the clause" if after in ("for", *MARKS) else None
            self.expected(f"an option ({forms})", hint=goes_on)
        if token.text in seen:
            self.fail(token, f"`{_OPTION_FORMS[token.text]}` is said twice")
        seen[token.text] = token
        self.take()
        read(token, said)

    def asked(self, _token: Token, said: dict[str, Any]) -> None:
        self.expect("by")
        said["askers"] = self.several("asker", self.asker)

    def separate(self, _token: Token, said: dict[str, Any]) -> None:
        self.expect("asker")
        said["separate_asker"] = True

    def period_from(self, _token: Token, said: dict[str, Any]) -> None:
        said["not_before"] = self.moment(last=False)
        if self.next.text == "until":
            if "not_after" in said:
                self.fail(self.next, "`until` is said twice")
            self.period_until(self.take(), said)

    def period_until(self, token: Token, said: dict[str, Any]) -> None:
        if "not_after" in said:
            self.fail(token, "`until` is said twice")
        said["not_after"] = self.moment(last=True)

    def at_most(self, _token: Token, said: dict[str, Any]) -> None:
        self.expect("most")
        start = self.next
        said["uses"] = self.number()
        if not 1 <= said["uses"] <= MAX_USES:
            self.fail(start, f"a number of uses lies between 1 and {MAX_USES}")
        if self.next.text not in ("use", "uses"):
            self.expected("`uses`")
        self.take()

    def notify(self, _token: Token, said: dict[str, Any]) -> None:
        said["notify"] = self.several("party", self.symbol)

    def review(self, token: Token, said: dict[str, Any]) -> None:
        if said["mark"] is not Mark.EMERGENCY:
            self.fail(token, "only an emergency clause has a review", hint="mark it: emergency … for …")
        self.expect("by")
        said["reviewer"] = self.symbol()
        if self.take_if("within"):
            said["review_within"] = self.duration()

    def wait(self, token: Token, said: dict[str, Any]) -> None:
        self.only_recovery(token, said)
        said["waiting"] = self.duration()

    def objection(self, token: Token, said: dict[str, Any]) -> None:
        self.only_recovery(token, said)
        self.expect("by")
        said["objectors"] = self.several("party", self.symbol)

    def only_recovery(self, token: Token, said: dict[str, Any]) -> None:
        if said["mark"] is not Mark.RECOVERY:
            self.fail(token, "only a recovery clause waits for objections", hint="mark it: recovery … for …")

    def ungated(self, _token: Token, said: dict[str, Any]) -> None:
        said["gated"] = False
