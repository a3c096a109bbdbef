"""A newer version's rows refuse no more than the older one's did, or it could not read what stands in the tables."""

from __future__ import annotations

import re
from typing import Any

import pytest
from attrs import field, frozen
from ledger.versions import Ward1

from medchain.ledger.registration import check, check_successor
from medchain.ledger.registry import Registry
from medchain.ledger.tables import Table
from medchain.records import ADDED, form, length


def positive(instance: object, attribute: object, value: int) -> None:
    if value < 1:
        raise ValueError("no bed")


@frozen
class Nurse:
    name: str = field(validator=length(1, 8))


@frozen
class ShortNurse:
    name: str = field(validator=length(1, 7))


@frozen
class Row:
    beds: int = field(validator=positive)
    code: bytes = field(validator=length(32))
    floor: str = field(validator=form(re.compile("[a-z]+")))
    nurses: tuple[Nurse, ...] = field()


@frozen
class Same:
    """Written anew, with the same rules."""

    beds: int = field(validator=positive)
    code: bytes = field(validator=length(32))
    floor: str = field(validator=form(re.compile("[a-z]+")))
    nurses: tuple[Nurse, ...] = field()
    ever: int | None = field(metadata=ADDED)


@frozen
class Derived(Row):
    ever: int | None = field(metadata=ADDED)


@frozen
class Free:
    """Without a rule."""

    beds: int
    code: bytes
    floor: str
    nurses: tuple[Nurse, ...]


@frozen
class Longer(Free):
    code: bytes = field(validator=length(32, 64), kw_only=True)


@frozen
class Upper(Free):
    floor: str = field(validator=form(re.compile("[A-Z]+")), kw_only=True)


@frozen
class Converted(Free):
    beds: int = field(converter=abs, kw_only=True)


@frozen
class Staffed(Free):
    nurses: tuple[ShortNurse, ...] = field(kw_only=True)


@frozen
class Judged(Free):
    def __attrs_post_init__(self) -> None:
        positive(self, None, self.beds)


@frozen
class StillJudged(Judged):
    ever: int | None = field(metadata=ADDED)


@frozen
class JudgedAnew(Free):
    def __attrs_post_init__(self) -> None:
        positive(self, None, self.beds)


def ward(version: int, row: type) -> Any:
    return type("Ward", (Ward1,), {"version": version, "wards": Table(row, public=True)})


@pytest.mark.parametrize(
    ("older", "newer"),
    [(Row, Same), (Row, Derived), (Row, Free), (Judged, StillJudged), (Judged, Free)],
)
def test_the_same_rules_or_fewer(older: type, newer: type) -> None:
    for version, row in ((1, older), (2, newer)):
        check(ward(version, row))
    check_successor(ward(1, older), ward(2, newer))


@pytest.mark.parametrize(
    ("older", "newer", "what"),
    [
        (Free, Row, "field [a-z]+ of Row has another validator"),
        (Row, Longer, "field code of Longer has another validator"),
        (Row, Upper, "field floor of Upper has another validator"),
        (Free, Converted, "field beds of Converted has another converter"),
        (Free, Staffed, "field name of ShortNurse has another validator"),
        (Free, Judged, "Judged has another __attrs_post_init__"),
        (Judged, JudgedAnew, "JudgedAnew has another __attrs_post_init__"),
    ],
)
def test_other_rules(older: type, newer: type, what: str) -> None:
    check(ward(2, newer))
    with pytest.raises(TypeError, match=f"ward/2 cannot follow ward/1: table wards: {what}"):
        Registry([ward(1, older), ward(2, newer)])
