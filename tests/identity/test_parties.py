"""Registering, looking up, rotating, revoking."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import medchain as mc
from medchain.errors import Refused
from medchain.identity import Parties
from medchain.testing import wallets

hospital, clinic, ann, bob = wallets("hospital", "clinic", "ann", "bob")


@pytest.fixture
def chain() -> Iterator[mc.Chain]:
    with mc.Chain.in_memory(authority=hospital) as made:
        yield made


def test_parties_are_registered_together_and_in_order(chain: mc.Chain) -> None:
    many = wallets(*(f"person-{number}" for number in range(200)))
    assert Parties(chain).register(*many, by=hospital) == tuple(wallet.party for wallet in many)
    assert len(list(Parties(chain).find(kind="person", sponsor=hospital.party))) == 200
    assert chain.height < 100


def test_a_persona_is_a_pseudonym(chain: mc.Chain) -> None:
    persona = ann.persona(toward=hospital.party, chain=chain.tag)
    [party] = Parties(chain).register(persona, by=hospital)
    registration = Parties(chain).get(party.id)
    assert (registration.kind, registration.sponsor) == ("pseudonym", hospital.party.id)
    assert registration.party == party
    assert "pseudonym" in str(registration)
    assert party.id in Parties(chain)


def test_registering_again_changes_nothing(chain: mc.Chain) -> None:
    parties = Parties(chain)
    assert parties.register(ann, bob, by=hospital) == parties.register(ann, bob, by=hospital)
    assert parties.register(ann, ann, by=hospital) == (ann.party, ann.party)
    size = chain.head.size
    parties.register(ann, by=bob)
    assert chain.head.size == size


def test_an_organisation_sponsors_and_a_person_does_not(chain: mc.Chain) -> None:
    parties = Parties(chain)
    parties.register(clinic, by=hospital, kind="organisation")
    parties.register(ann, by=clinic)
    assert parties.get(ann.party.id).sponsor == clinic.party.id
    with pytest.raises(Refused, match="not-a-sponsor"):
        parties.register(bob, by=ann)
    assert bob.party.id not in parties


def test_one_refusal_does_not_stop_the_others(chain: mc.Chain) -> None:
    parties = Parties(chain)
    parties.register(ann, by=hospital)
    parties.revoke(ann.party, by=hospital)
    with pytest.raises(Refused, match="already-registered"):
        parties.register(ann, bob, by=hospital)
    assert parties.get(bob.party.id).party == bob.party


def test_keys_rotate_and_end(chain: mc.Chain) -> None:
    parties = Parties(chain)
    old, new = mc.Wallet.from_seed(bytes(32)), mc.Wallet.from_seed(bytes(32), generation=1)
    parties.register(old, by=hospital)
    parties.rotate(old, new)
    assert parties.get(old.party.id).party == new.party
    assert parties.register(new, by=hospital) == (new.party,)
    with pytest.raises(Refused, match="other keys"):
        parties.register(old, by=hospital)
    with pytest.raises(ValueError, match="another party"):
        parties.rotate(new, ann)
    with pytest.raises(Refused, match="not-yours"):
        parties.revoke(new.party, by=_registered(parties, bob))
    parties.revoke(new.party, by=new)
    registration = parties.get(old.party.id)
    assert registration.revoked
    assert "revoked" in str(registration)


def _registered(parties: Parties, wallet: mc.Wallet) -> mc.Wallet:
    parties.register(wallet, by=hospital)
    return wallet


def test_who_is_unknown_is_said_so(chain: mc.Chain) -> None:
    with pytest.raises(LookupError, match="knows no party"):
        Parties(chain).get(bytes(32))
    with pytest.raises(ValueError, match="kind"):
        Parties(chain).register(ann, by=hospital, kind="authority")


def test_names_give_wallets_that_last() -> None:
    first, second = wallets("ann", "ann")
    assert first == second == ann
    assert ann.party.id.hex().startswith("bbbb2df29aa0196a")
