"""That nobody judges the own house is found out when a record is added, and not at night."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from clinic import PARTS, Clinic, clinic

import medchain as mc
from medchain.errors import PolicyError, Refused
from medchain.policy.analysis import Finding, Severity
from medchain.testing import wallets

TEXT = "treatment for TREAT: owner\nemergency night for ETREAT: {holders}, review by {reviewer}{rest}"


@pytest.fixture
def house() -> Iterator[Clinic]:
    with clinic() as made:
        parties = mc.Parties(made.chain)
        lab, medic, judge, alias = wallets("lab", "medic", "judge", "alias")
        made.wallets |= {"lab": lab, "medic": medic, "judge": judge, "alias": alias}
        parties.register(lab, by=made["hospital"], kind="organisation")
        parties.register(medic, by=lab)
        parties.register(judge, by=made["hospital"])
        parties.register(alias, by=made["hospital"], kind="pseudonym")
        yield made


def text(reviewer: str, holders: str = "er_desk and guardian", rest: str = "") -> str:
    return TEXT.format(reviewer=reviewer, holders=holders, rest=rest)


def found(house: Clinic, policy: str) -> list[Finding]:
    """What there is to say of houses; nothing of the policy alone is lost or said twice."""
    bound = house.bind(policy)
    all_of_it = list(house.access.analyse(bound))
    ours = [finding for finding in all_of_it if finding.code == "reviewer-of-house"]
    assert [finding for finding in all_of_it if finding not in ours] == list(bound.analyse())
    severities = [list(Severity).index(finding.severity) for finding in all_of_it]
    assert severities == sorted(severities)
    return ours


@pytest.mark.parametrize(
    ("reviewer", "holders", "inside"),
    [
        ("judge", "er_desk and guardian", ["er_desk", "guardian"]),  # the same sponsor
        ("hospital", "er_desk and guardian", ["er_desk", "guardian"]),  # the sponsor itself
        ("judge", "er_desk and medic", ["er_desk"]),
        ("judge", "hospital and medic", ["hospital"]),  # whose sponsor the reviewer has
        ("judge", "alias and er_desk", ["er_desk"]),  # a pseudonym asks for nothing of others anyway
        ("judge", "owner and medic", ["owner"]),  # but the subject may, and the hospital has vouched for it
        ("auditor", "er_desk and guardian", []),  # an organisation for which the same authority vouches
        ("lab", "er_desk and guardian", []),
        ("medic", "er_desk and guardian", []),
    ],
)
def test_those_who_agree_and_cannot_ask(
    house: Clinic, reviewer: str, holders: str, inside: list[str]
) -> None:
    policy = text(reviewer, holders)
    findings = found(house, policy)
    names = {house.party(name).id: name for name in holders.split(" and ")}
    assert [names[party] for finding in findings for party in finding.parties] == inside
    if not inside:
        house.add(policy, force=True)  # with warnings as errors: none
        return
    [finding] = findings
    assert (finding.severity, finding.clause) == (Severity.WARNING, "night")
    with pytest.warns(
        UserWarning, match=r"reviewer-of-house.*night: .*cannot ask.*is of the same organisation"
    ):
        record = house.add(policy, force=True)
    for name in inside:
        with pytest.raises(Refused) as caught:
            house.ask(record, "night", "ETREAT", name)
        assert caught.value.reason == "reviewer-inside"
    house.ask(record, "night", "ETREAT", "lab")


def test_a_named_asker_is_refused_before_anything_is_sealed(house: Clinic) -> None:
    policy = text("judge", rest=", asked by medic, dr_lee")
    [finding] = found(house, policy)
    assert finding.parties == (house.party("dr_lee").id,)
    size = house.chain.head.size
    objects = set(house.chain.blobs.objects())
    with pytest.raises(PolicyError, match=r"reviewer-inside: clause night .* dr_lee, who may ask"):
        house.add(policy, force=True)
    with pytest.raises(PolicyError, match="reviewer-inside"):
        house.access.draft.add(
            PARTS,
            house.bind(policy),
            by=[house.party("hospital"), house.party("owner")],
            since=None,
            force=True,
        )
    assert house.chain.head.size == size
    assert set(house.chain.blobs.objects()) == objects
    allowed = text("judge", rest=", asked by medic")
    assert found(house, allowed) == []  # er_desk and guardian agree, and are not meant to ask
    house.ask(house.add(allowed, force=True), "night", "ETREAT", "medic")


def test_a_draft_warns_where_it_is_made(house: Clinic) -> None:
    by = [house.party("hospital"), house.party("owner")]
    with pytest.warns(UserWarning, match="reviewer-of-house") as caught:
        house.access.draft.add(PARTS, house.bind(text("judge")), by=by, since=None, force=True)
    assert [each.filename for each in caught] == [__file__]


def test_who_is_not_registered_is_not_looked_at(house: Clinic) -> None:
    [unknown] = wallets("nobody on this chain")
    house.wallets["unknown"] = unknown
    assert found(house, text("unknown")) == []
    [finding] = found(house, text("judge", "unknown and er_desk"))
    assert finding.parties == (house.party("er_desk").id,)
    with pytest.raises(PolicyError, match="not registered"):
        house.add(text("judge", "unknown and er_desk"), force=True)
