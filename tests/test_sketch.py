"""The design's sketch of what using medchain feels like, as it stands there; around it only what it presupposes."""

# ruff: noqa: E501 (the lines are those of the design)
from __future__ import annotations

from pathlib import Path

import pytest

import medchain as mc
from medchain import ehr, sealing
from medchain.merkle import LogTree, SparseMap
from medchain.testing import wallets

BUNDLE = Path(__file__).parents[1] / "examples" / "data" / "bundle.json"


# Its auditor is registered among the hospital's people, of which adding the record warns.
@pytest.mark.filterwarnings("ignore:warning .reviewer-of-house:UserWarning")
def test_on_a_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    hospital, keeper, phone, guardian = wallets("hospital", "keeper", "phone", "guardian")
    dr_wu, dr_lee, er_desk, auditor = wallets("dr_wu", "dr_lee", "er_desk", "auditor")
    bundle = BUNDLE.read_bytes()

    # fmt: off
    with mc.Chain.create("clinic.medchain", origin="clinic.example/ehr", authority=hospital, gate=keeper.party) as chain:
        patient = phone.persona(toward=hospital.party, chain=chain.tag)      # pairwise pseudonym; again a Wallet
        mc.Parties(chain).register(patient, guardian, dr_wu, dr_lee, er_desk, auditor, by=hospital)
        policy = mc.Policy.parse("""
            treatment for TREAT: owner and 1 of (dr_wu, guardian), separate asker
            emergency night for ETREAT: er_desk and guardian, notify owner, review by auditor
        """)                                                                 # symbols only, no wallet; `owner`, `asker` are reserved
        bound = policy.bind(gate=chain.gate, owner=patient.party, dr_wu=dr_wu.party, guardian=guardian.party,
                            er_desk=er_desk.party, auditor=auditor.party)    # BoundPolicy: what can be sealed
        print(bound.analyse())
        access = mc.Access(chain, gate=mc.Gate(keeper))                      # gate=None: everything but release
        record = ehr.Records(access).add(bundle, bound, by=[hospital, patient])          # the owner countersigns
        request = access.request(record, "treatment", purpose="TREAT", by=dr_lee)        # access.status(request).waiting_for
        assert access.status(request).waiting_for == (patient.party.id, dr_wu.party.id, guardian.party.id)
        for holder in (patient, dr_wu):
            access.approve(request, by=holder)                               # opens its share, re-seals it to the asker, signs
        opened = access.open(request, by=dr_lee)                             # .raw .parts .decision; or Pending, Refused, Erased
        assert opened.raw == bundle
        proof = chain.prove(opened.decision)                                 # a tlog-proof: bytes for a file that other tools read

        # what came with the application, before any of this
        chain.trust.save("clinic.trust")
        seen = None
        request = access.request(record, "treatment", purpose="TREAT", by=dr_lee)
        access.approve(request, by=dr_wu)

        # the same verbs where keys live elsewhere: server, device, server
        trust = mc.Trust.load("clinic.trust")                                # came with the app, never from the chain it judges
        draft = access.draft.approve(request, by=patient.party, since=seen)  # Draft: no sign() of its own
        assert not hasattr(draft, "sign")
        signed = draft.review(trust).sign(patient)                           # on the device: checks proofs, shows the effect, acts
        receipt = chain.submit(signed).result(timeout=5)                     # or: await chain.submit(…); same bytes, same receipt
        assert chain.submit(signed).result() == receipt
        kit = access.release(request, to=dr_lee.party, since=seen)           # decision, gate's share, approvals, segments
        opened = kit.open(dr_lee, trust=trust)                               # on the asker's device
        assert opened.raw == bundle

    found = mc.verify(proof, mc.Decision, trust=trust)                       # Verified[Decision]: .value .as_of .order_by .state_by; or raises
    assert found.value.clause == "treatment"
    assert found.order_by == found.state_by == tuple(map(str, trust.log_keys))
    with mc.Chain.open("clinic.medchain") as chain:                          # without a key: reads, beside the writer
        report = chain.audit(progress=lambda done, total: None)
    # fmt: on
    assert report.outcomes["access", "ok"] == 7


def test_without_a_chain() -> None:
    ann, dr_wu, dr_lee = wallets("ann", "dr_wu", "dr_lee")
    policy = mc.Policy.parse("treatment for TREAT: owner and dr_wu")
    data = b"what is sealed"
    leaves = [bytes([number]) for number in range(9)]

    # fmt: off
    bound = policy.bind(gate=None, owner=ann.party, dr_wu=dr_wu.party)        # None must be said: `unlogged`
    sealed = sealing.seal(data, bound, context=b"acme/17")
    ask = sealing.request(sealed.header, "treatment", purpose="TREAT", context=b"acme/17", by=dr_lee)
    shares = [sealing.approve(sealed.header, ask, to=dr_lee.party, context=b"acme/17", by=holder)
              for holder in (ann, dr_wu)]                                    # the header is enough, not 5 GB
    data = sealing.open(sealed, ask, shares, context=b"acme/17", by=dr_lee)  # and seal_file, open_file
    tree = LogTree(leaves)                                                   # tree.head: size and root; a root alone fixes no position
    tree.prove_inclusion(5).verify(leaves[5], index=5, head=tree.head)
    tree.prove_consistency(3).verify(old=tree.head_at(3), new=tree.head)
    rows = SparseMap({b"k": b"v"}); rows.prove_absent(b"x").verify(b"x", root=rows.root)  # noqa: E702
    # fmt: on
    assert data == b"what is sealed"
    assert "unlogged" in bound.analyse().codes
