"""The language: format and parse are inverse, mistakes are shown at their place, hostile texts are bounded."""

from __future__ import annotations

import contextlib
import re
import textwrap
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from medchain.errors import PolicySyntaxError
from medchain.policy import Clause, Policy, Role, all_of, any_of, k_of
from medchain.policy.lexer import MAX_TEXT
from medchain.policy.moments import (
    DAY,
    HOUR,
    MAX_DURATION,
    MAX_TIME,
    MINUTE,
    UNITS,
    format_duration,
    format_moment,
)
from medchain.policy.moments import parse_moment as moment
from medchain.policy.names import RESERVED
from medchain.testing.policies import policies

FULL = """\
treatment for TREAT: owner and 1 of (dr_wu, guardian), separate asker
emergency night for ETREAT: er_desk and guardian, notify owner, review by auditor within 3 days
recovery lost for RECOVER, PATRQT:
    2 of (guardian, hospital, a and b),
    asked by guardian, role(credentials:physician),
    from 2026-01-01 until 2026-06-30,
    at most 3 uses,
    notify owner, auditor,
    wait 14 days,
    objection by owner, guardian,
    ungated
erasure by owner
show label, media_type"""


@given(policies())
@settings(max_examples=200)
def test_format_and_parse_are_inverse(policy):
    assert Policy.parse(str(policy)) == policy
    assert str(Policy.parse(str(policy))) == str(policy)


def test_the_full_example_is_canonical_and_means_what_it_says():
    policy = Policy.parse(FULL)
    assert str(policy) == FULL
    assert eval(repr(policy), {"Policy": Policy}) == policy
    assert policy == Policy(
        (
            Clause("treatment", "TREAT", all_of("owner", any_of("dr_wu", "guardian")), separate_asker=True),
            Clause(
                "night",
                "ETREAT",
                all_of("er_desk", "guardian"),
                mark="emergency",
                notify="owner",
                reviewer="auditor",
                review_within=3 * DAY,
            ),
            Clause(
                "lost",
                ("RECOVER", "PATRQT"),
                k_of(2, "guardian", "hospital", all_of("a", "b")),
                mark="recovery",
                askers=("guardian", Role("credentials", "physician")),
                not_before=moment("2026-01-01"),
                not_after=moment("2026-07-01") - 1,
                uses=3,
                notify=("owner", "auditor"),
                waiting=14 * DAY,
                objectors=("owner", "guardian"),
                gated=False,
            ),
        ),
        erasure="owner",
        labels=("label", "media_type"),
    )


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("t for T: a or b", "t for T: 1 of (a, b)"),
        ("t for T: ((a)) and (b)", "t for T: a and b"),
        ("t for T: 1 of (a)", "t for T: a"),
        ("t for T: 2 of (a, b)", "t for T: a and b"),
        ("t for T: a and (b or c)", "t for T: a and 1 of (b, c)"),
        ("t for T: a, ungated, separate asker", "t for T: a, separate asker, ungated"),
        ("t for T: a, until 2026-01-01, from 2025-01-01", "t for T: a, from 2025-01-01 until 2026-01-01"),
        ("t for T: a, at most 1 uses", "t for T: a, at most 1 use"),
        ("recovery t for T: a, wait 336h", "recovery t for T: a, wait 14 days"),
        ("recovery t for T: a, wait 2 weeks", "recovery t for T: a, wait 14 days"),
        ("emergency t for T: a, review by b", "emergency t for T: a, review by b within 3 days"),
        ("t for T: a, notify b, ungated", "t for T: a, notify b, ungated"),
        ("\r\n t\tfor T :a # comment, with: everything ( \n\n\n", "t for T: a"),
        ("t for\tT,\n U:\n a\n and b", None),
        (
            "t for T:\n a and\n b,\n # half-way\n ungated\nu for T: (a\n or\n b)",
            "t for T: a and b, ungated\nu for T: 1 of (a, b)",
        ),
    ],
)
def test_other_ways_to_say_the_same(text, same):
    if same is None:
        with pytest.raises(PolicySyntaxError):  # a line that is complete ends there
            Policy.parse(text)
    else:
        assert str(Policy.parse(text)) == same


MISTAKES = [
    (
        "treatment for TREAT: owner and 1 of dr_wu, guardian",
        """\
        line 1, column 37: expected `(`, found `dr_wu`
            treatment for TREAT: owner and 1 of dr_wu, guardian
                                                ^^^^^
        such as: 1 of (a, b, c)""",
    ),
    (
        "treatment for TREAT: owner and dr_wu or guardian",
        """\
        line 1, column 38: `and` and `or` are mixed
            treatment for TREAT: owner and dr_wu or guardian
                                                 ^^
        parentheses say what belongs together: a and (b or c)""",
    ),
    (
        "treatment for TREAT: owner separate asker",
        """\
        line 1, column 28: expected `,` and an option, or the end of the line, found `separate`
            treatment for TREAT: owner separate asker
                                       ^^^^^^^^
        options are parted by commas""",
    ),
    (
        "treatment for TREAT: owner, notify guardian, sepparate asker",
        """\
        line 1, column 56: expected `,` and an option, or the end of the line, found `asker`
            treatment for TREAT: owner, notify guardian, sepparate asker
                                                                   ^^^^^
        was `separate` meant instead of `sepparate`?""",
    ),
    (
        "treatment for TREAT: owner, ungatd",
        """\
        line 1, column 29: expected an option (`asked by`, `separate asker`, `from`, `until`, `at most`, `notify`, \
`review by`, `wait`, `objection by`, `ungated`), found `ungatd`
            treatment for TREAT: owner, ungatd
                                        ^^^^^^
        was `ungated` meant instead of `ungatd`?""",
    ),
    (
        "treatment for treat: owner",
        """\
        line 1, column 15: purposes are written in capitals: `treat` is not
            treatment for treat: owner
                          ^^^^^
        was `TREAT` meant?""",
    ),
    (
        "treatment: owner",
        """\
        line 1, column 10: expected `for` and the purposes, found `:`
            treatment: owner
                     ^""",
    ),
    (
        "a for T: owner\n\na for U: owner",
        """\
        line 3, column 1: a clause `a` stands in line 1 already
            a for U: owner
            ^""",
    ),
    (
        "a for T: 2 of (owner, dr_wu\nb for U: owner",
        """\
        line 2, column 1: expected `,` or `)`, found `b`
            b for U: owner
            ^
        the parenthesis of line 1, column 15 is still open""",
    ),
    (
        "a for T: 3 of (owner, dr_wu)",
        """\
        line 1, column 10: 3 of 2 can never be reached
            a for T: 3 of (owner, dr_wu)
                     ^""",
    ),
    (
        "a for T: owner and asker",
        """\
        line 1, column 20: `asker` cannot stand here: the asker is known only when somebody asks, and nothing can be \
sealed to it before
            a for T: owner and asker
                               ^^^^^""",
    ),
    (
        "a for T: owner, review by auditor",
        """\
        line 1, column 17: only an emergency clause has a review
            a for T: owner, review by auditor
                            ^^^^^^
        mark it: emergency … for …""",
    ),
    (
        "emergency for ETREAT: owner",
        """\
        line 1, column 11: expected the clause's name after `emergency`, found `for`
            emergency for ETREAT: owner
                      ^^^
        such as: emergency night for …""",
    ),
    (
        "emergancy night for ETREAT: owner",
        """\
        line 1, column 11: expected `for` and the purposes, found `night`
            emergancy night for ETREAT: owner
                      ^^^^^
        was `emergency` meant?""",
    ),
    (
        "a for T: owner,\nb for T: owner",
        """\
        line 2, column 1: expected an option (`asked by`, `separate asker`, `from`, `until`, `at most`, `notify`, \
`review by`, `wait`, `objection by`, `ungated`), found `b`
            b for T: owner
            ^
        the comma before it goes on with the clause""",
    ),
    (
        "a for T: owner,",
        """\
        line 1, column 16: expected an option (`asked by`, `separate asker`, `from`, `until`, `at most`, `notify`, \
`review by`, `wait`, `objection by`, `ungated`), found the end of the text
            a for T: owner,
                           ^""",
    ),
    (
        "a for T: owner, until 30.06.2026",
        """\
        line 1, column 25: `.` has no meaning here
            a for T: owner, until 30.06.2026
                                    ^""",
    ),
    (
        "a for T: owner, until 2026-02-30",
        """\
        line 1, column 23: there is no such day or time
            a for T: owner, until 2026-02-30
                                  ^^^^^^^^^^""",
    ),
    (
        "a for T: any of (owner, dr_wu)",
        """\
        line 1, column 14: expected `,` and an option, or the end of the line, found `of`
            a for T: any of (owner, dr_wu)
                         ^^
        a threshold begins with a number: 1 of (a, b), 2 of (a, b, c)""",
    ),
    (
        "a for T: owner && dr-wu",
        """\
        line 1, column 16: `&` has no meaning here
            a for T: owner && dr-wu
                           ^
        write `and`""",
    ),
    (
        "a for T: Owner",
        """\
        line 1, column 10: a party's symbol has 1 to 32 lower-case letters, digits and `_`: `Owner` does not
            a for T: Owner
                     ^^^^^
        was `owner` meant?""",
    ),
    (
        "# nothing but a comment",
        """\
        line 1, column 24: a policy has at least one clause
            # nothing but a comment
                                   ^
        such as: treatment for TREAT: owner""",
    ),
]


@pytest.mark.parametrize(("text", "message"), MISTAKES, ids=[text.split("\n")[0] for text, _ in MISTAKES])
def test_mistakes_are_shown_at_their_place(text, message):
    with pytest.raises(PolicySyntaxError) as caught:
        Policy.parse(text)
    assert str(caught.value) == textwrap.dedent(message)
    line, column = caught.value.line, caught.value.column
    assert str(caught.value).startswith(f"line {line}, column {column}: ")


@pytest.mark.parametrize(
    ("text", "column", "what"),
    [
        ("a for T: b, at most 0 uses", 21, "between 1 and"),
        ("a for T: b, at most 3", 22, "expected `uses`"),
        ("a for T: b, at most 2000000000 uses", 21, "between 1 and 1000000000"),
        ("a for T: b, ungated, ungated", 22, "said twice"),
        ("a for T: b, notify c, c", 23, "named twice"),
        ("a for T, T: b", 10, "named twice"),
        ("a for T: b, from 2026-01-01 until 2026-01-02, until 2026-01-03", 47, "said twice"),
        ("a for T: b, until 2026-01-03, from 2026-01-01 until 2026-01-02", 47, "said twice"),
        ("a for T: b, from 1969-12-31", 18, "before 1970"),
        ("a for T: b, from 2026-1-1", 18, "written 2026-01-31"),
        ("a for T: b, from tomorrow", 18, "expected a day"),
        ("recovery a for T: b, wait 3 fortnights", 29, "unit of time"),
        ("recovery a for T: b, wait 101 years", 31, "unit of time"),
        ("recovery a for T: b, wait 0 days", 27, "length of time"),
        ("recovery a for T: b, wait 99999999999999 days", 27, "length of time"),
        ("recovery a for T: b, objection by c", 10, "needs a waiting time"),
        ("a for T: b, wait 3 days", 13, "only a recovery clause"),
        ("a for T: b, asked by role(x)", 28, "expected `:`"),
        ("a for T: b, asked role", 19, "expected `by`"),
        ("a for T: b, asked by asker", 22, "cannot stand here"),
        ("a for T: gate", 10, "bind\\(gate=…\\)"),
        ("a for T: b AND c", 12, "keywords are written in lower case"),
        ("a for T: b c", 12, "expected `,` and an option"),
        ("a for T: b)", 11, "expected `,` and an option"),
        ("a for T: 2 of (b, c", 20, "expected `,` or `\\)`, found the end of the text"),
        ("a for T: 2 b", 12, "expected `of`"),
        ("a for T:", 9, "expected a party's symbol, found the end of the text"),
        ("a for T b", 9, "expected `:`"),
        ("for T: b", 1, "expected a clause's name"),
        ("a for T: b\nerasure by b\nerasure by c", 1, "said twice"),
        ("a for T: b\nshow c\nshow d", 1, "said twice"),
        ("a for T: b\nerasure b", 9, "expected `by`"),
        ("a for T: b\nerasure by b, c", 13, "expected the end of the line"),
        ("a for T: é", 10, "no meaning"),
        ("a for T: b\u2028", 11, "no meaning"),
    ],
)
def test_places_of_more_mistakes(text, column, what):
    with pytest.raises(PolicySyntaxError, match=what) as caught:
        Policy.parse(text)
    assert caught.value.column == column


def test_every_reserved_word_is_refused_as_a_symbol_and_a_name():
    for word in RESERVED:
        for text in (f"a for T: {word}", f"{word} for T: a", f"a for T: b and {word}"):
            with pytest.raises(PolicySyntaxError):
                Policy.parse(text)


def test_messages_stay_short_and_printable_on_hostile_lines():
    text = "a for T: " + " and ".join(["b"] * 200) + " \x1b[31m" + "c" * 100_000
    with pytest.raises(PolicySyntaxError) as caught:
        Policy.parse(text)
    shown = str(caught.value)
    assert len(shown) < 500
    assert "\x1b" not in shown
    assert shown.split("\n")[1].endswith("…")


@pytest.mark.parametrize(
    "text",
    [
        "(" * 100_000,
        "a for T: " + "(" * 100_000,
        "a for T: " + "1 of (" * 80_000,
        "a for T: " + "(b and " * 17 + "b" + ")" * 17,
        "a for T: " + " and ".join(["b"] * 60_000),
        "a for T: " + "9" * 100_000 + " of (a, b)",
        "a for T: " + "b" * 500_000,
        "a for T: b, notify " + ", ".join(f"p{at}" for at in range(30_000)),
        "a for T: b, until " + "9" * 1000 + "-01-01",
        "\n" * 500_000,
        "a for T: b" + "\n#" * 250_000 + "\n!",
        "\n".join(f"c{at} for T: b" for at in range(20_000)),
        "a for T: "
        + ", ".join("1 of (" + ", ".join(["b"] * 254) + ")" for _ in range(5)).join(("1 of (", ")")),
        "x" * (MAX_TEXT + 1),
        "a for T: b # " + "x" * 1_000_000,
        "\ud800\x00\uffff",
        "",
    ],
    ids=range(17),
)
def test_hostile_texts_are_refused_in_bounded_time(text):
    with pytest.raises(PolicySyntaxError) as caught:
        Policy.parse(text)
    assert len(str(caught.value)) < 1000


_pieces = st.sampled_from(
    [
        *sorted(RESERVED),
        *"():,#\n",
        " ",
        "a",
        "owner",
        "T",
        "TREAT",
        "2",
        "72h",
        "2026-01-01",
        "é",
        "\x00",
        "days",
        "uses",
    ]
)


@given(st.lists(_pieces, max_size=40).map(" ".join) | st.text(max_size=60))
@example("a for T : 2 of ( a , owner ) , until 2026-01-01")
@settings(max_examples=400)
def test_any_text_is_a_policy_or_a_syntax_error(text):
    try:
        policy = Policy.parse(text)
    except PolicySyntaxError as error:
        line, column = error.line, error.column
    else:
        line = column = 1
        assert Policy.parse(str(policy)) == policy
    assert 1 <= line <= text.count("\n") + 1
    assert 1 <= column <= len(text) + 1


def pieces_of(text):
    """What is left of a text that was cut off at either end, or has lost one character or one word."""
    for at in range(len(text) + 1):
        yield text[:at]
        yield text[at:]
        yield text[:at] + text[at + 1 :]
    for word in re.finditer(r"\S+", text):
        yield text[: word.start()] + text[word.end() :]


def test_every_damaged_copy_of_the_full_example_is_a_policy_or_a_syntax_error():
    parsed = 0
    for text in pieces_of(FULL):
        with contextlib.suppress(PolicySyntaxError):
            policy = Policy.parse(text)
            assert Policy.parse(str(policy)) == policy
            parsed += 1
    assert parsed > 100


def test_only_texts_are_parsed():
    with pytest.raises(TypeError):
        Policy.parse(b"a for T: b")


@given(st.integers(0, MAX_TIME), st.booleans())
def test_moments_come_back(time, last):
    assert moment(format_moment(time, last=last), last=last) == time


@given(st.integers(1, MAX_DURATION))
def test_durations_come_back(length):
    text = f"recovery a for T: b, wait {format_duration(length)}"
    assert Policy.parse(text).clauses[0].waiting == length


def test_units_and_days():
    assert format_duration(72 * HOUR) == "3 days"
    assert format_duration(90 * MINUTE) == "90 minutes"
    assert format_duration(1) == "1 millisecond"
    assert format_moment(moment("2026-06-30", last=True), last=True) == "2026-06-30"
    assert moment("2026-06-30", last=True) == moment("2026-07-01") - 1
    assert format_moment(moment("2026-06-30T08:30Z")) == "2026-06-30T08:30:00Z"
    assert format_moment(moment("2026-06-30T08:30:00.5Z")) == "2026-06-30T08:30:00.500Z"


def test_the_published_page_says_what_the_code_does():
    page = (Path(__file__).parents[2] / "docs/spec/policy.md").read_text("utf-8")
    example = page.split("```text\n", 1)[1].split("```", 1)[0]
    assert str(Policy.parse(example)) == example.split("\n", 1)[1].rstrip()
    grammar = page.split("```ebnf\n", 1)[1].split("```", 1)[0]
    words = set(re.findall(r'"([a-z]+)"', re.sub(r"\(\*.*?\*\)", "", grammar)))
    assert words - set(UNITS) - {"use", "uses", "asker"} == RESERVED - {"asker", "gate"}
    assert set(
        re.search(r"unit +=(.*?);", grammar, re.S)[1].replace('"', "").replace("|", " ").split()
    ) == set(UNITS)
    reserved = page.split("- Reserved:", 1)[1].split(". ", 1)[0]
    assert set(re.findall(r"`([a-z]+)`", reserved)) == RESERVED
