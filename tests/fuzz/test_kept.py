"""Inputs that something was wrong with once. Each has a test beside the module that it is about, too."""

from __future__ import annotations

import pytest
from fuzz import seeds
from fuzz.decoders import DECODERS
from fuzz.judging import judge

from medchain.encoding import decode, encode

KEPT: list[tuple[str, bytes]] = [
    ("policy.Policy.parse", b"t for TREAT: owner,"),
    ("policy.Policy.parse", b"\n\n\n\nt for TREAT: owner,"),
    ("sealing.Envelope", encode({"suite": bytes(1 << 16), "sealed": b"", "recipient": bytes(16)})),
    ("keys.recovery.combine", b"academic acid " * 2_000),
    ("keys.recovery.combine", b"academic " + "\u202e".encode() * 2_000),
    ("ledger.tables row", encode([None, {}])),
    ("ledger.tables row", encode([{"a": 1}, {}])),
    ("ledger.tables row", encode([[["a"]], {}])),
    ("access.trail of a stored timer", b"\x81\x80"),
    ("access.trail of a stored timer", encode("access")),
    ("access.trail of a stored timer", encode([0, b"", "access", 7])),
    ("access.trail of a stored timer", encode([0, b"", "access", ["settle"]])),
    ("cli inspect", b"log \xff\n"),
    ("ledger.transition of signed messages", encode(["access", ["dr_wu"], ["\x1b[2J", {}]])),
    ("ledger.transition of signed messages", encode(["access", ["dr_wu"], ["x" * 30_000, {}]])),
    ("merkle.least_version", b""),
    ("ehr.read_resource", b"{}"),
    ("ehr.read_entry", b'"' + b'\\"' * 1_000),
]


@pytest.mark.parametrize(("name", "data"), KEPT, ids=[f"{name} {at}" for at, (name, _) in enumerate(KEPT)])
def test_it_is_refused_as_documented(name: str, data: bytes) -> None:
    assert judge(DECODERS[name], data) is None or not DECODERS[name].raises


def test_a_clause_that_is_no_name_in_evidence() -> None:
    """It stood in the text of the error as it came."""
    good = seeds.offchain_papers()["bad-share"][0]
    bad = good.replace(b"fclauseitreatment", b"fclausei\x1b[2Jment\n")
    assert bad != good
    assert judge(DECODERS["sealing.check_evidence against an approver"], bad) is None


@pytest.mark.parametrize("rows", [0, 1 << 60, (1 << 64) - 1])
def test_a_stored_branch_that_says_how_many_rows_it_has(rows: int) -> None:
    """They added up to more than C takes, or to none."""
    door = DECODERS["merkle.PackedMap of a root node"]
    node = bytearray(door.seeds()[0])
    for at in range(4 + 48, len(node), 56):
        node[at : at + 8] = rows.to_bytes(8, "big")
    assert judge(door, bytes(node)) is None


def test_a_header_below_the_genesis() -> None:
    """A signed snapshot of height -1 was taken, until its state got this number for a version."""
    door = DECODERS["ledger.restore of leaves"]
    genesis, header = decode(door.seeds()[0])
    below = header[:1] + encode(decode(header[1:]) | {"height": -1})
    assert judge(door, encode([genesis, below])) is None
