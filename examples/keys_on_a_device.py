"""Keys stay on phones; the server gets signatures and re-sealed shares. Only bytes pass between them.

Run it: python examples/keys_on_a_device.py
"""

from __future__ import annotations

from attrs import evolve

import medchain as mc
from medchain.access import Draft, ReleaseKit
from medchain.errors import VerificationError
from medchain.sealing import Part

CONTENT = b'{"resourceType": "AllergyIntolerance"}'
POLICY = """
    treatment for TREAT: owner and 1 of (dr_wu, guardian), separate asker
    recovery lost for PATRQT: dr_wu and guardian, wait 14 days, ungated
"""


class Phone:
    """A wallet, the trust file that came with the application, and the largest checkpoint seen."""

    def __init__(self, wallet: mc.Wallet, trust: str) -> None:
        self.wallet, self.trust = wallet, mc.Trust.parse(trust)
        self.seen: mc.ledger.Checkpoint | None = None

    def answer(self, draft: bytes) -> tuple[str, bytes]:
        """What the person is shown, and what goes back if the person agrees."""
        review = Draft.from_bytes(draft).review(self.trust, since=self.seen)
        self.seen = review.seen
        return review.text, bytes(review.sign(self.wallet))

    def open(self, kit: bytes) -> bytes:
        """What a release kit opens."""
        content: bytes = ReleaseKit.from_bytes(kit).open(self.wallet, trust=self.trust, since=self.seen).raw
        return content


def main() -> None:
    hospital, keeper, patient_seed, dr_wu, guardian, dr_lee = (mc.Wallet.generate() for _ in range(6))
    with mc.Chain.in_memory(authority=hospital, gate=keeper.party) as chain:
        patient = patient_seed.persona(toward=hospital.party, chain=chain.tag)
        mc.Parties(chain).register(patient, guardian, dr_wu, dr_lee, by=hospital)
        access = mc.Access(chain, gate=mc.Gate(keeper))
        bound = mc.Policy.parse(POLICY).bind(
            gate=chain.gate, owner=patient.party, dr_wu=dr_wu.party, guardian=guardian.party
        )
        record = access.add([Part(CONTENT, "application/fhir+json")], bound, by=[hospital, patient])

        names = {dr_lee.party.id: "Dr Lee", dr_wu.party.id: "Dr Wu", hospital.party.id: "City Hospital"}
        trust = str(mc.Trust(chain.trust.log_keys, chain.id, chain.tag, names))
        owner, doctor, asker = (Phone(wallet, trust) for wallet in (patient, dr_wu, dr_lee))

        party = asker.wallet.party
        draft = access.draft.request(record, "treatment", purpose="TREAT", by=party, since=asker.seen)
        _, signed = asker.answer(bytes(draft))
        request = chain.submit(mc.Signed.from_bytes(signed)).result(timeout=5).id
        print(f"asked     draft {len(bytes(draft)):,} bytes, signed {len(signed):,}")

        # A server that would rather have the answer for somebody else's request, under this one's proofs.
        other = access.request(record, "treatment", purpose="TREAT", by=guardian)
        mine, theirs = (access.draft.approve(each, by=patient.party, since=None) for each in (request, other))
        try:
            owner.answer(bytes(evolve(mine, body=theirs.body)))
        except VerificationError as refusal:
            print(f"caught    a swapped request: {refusal}")
        else:
            raise AssertionError("the phone has believed the server")

        text = ""
        for phone in (owner, doctor):
            draft = access.draft.approve(request, by=phone.wallet.party, since=phone.seen)
            text, signed = phone.answer(bytes(draft))
            assert "Dr Lee" in text
            chain.submit(mc.Signed.from_bytes(signed)).result(timeout=5)
            print(f"approved  draft {len(bytes(draft)):,} bytes, signed {len(signed):,}")
        print("\n" + text + "\n")

        kit = bytes(access.release(request, to=party, since=asker.seen))
        assert CONTENT not in kit
        assert asker.open(kit) == CONTENT
        print(f"opened    kit {len(kit):,} bytes: byte for byte")


if __name__ == "__main__":
    main()
