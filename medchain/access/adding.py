"""What comes before a record is on the chain: checks that a refusal would not explain, and sealing into the stores."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable, Sequence

from attrs import evolve

from medchain.access.houses import HOUSE, analyse_among, named_of_house
from medchain.access.messages import POLICY_LIMIT
from medchain.access.purposes import check_purposes
from medchain.access.rules import check_gate, check_policy
from medchain.chain import Chain
from medchain.errors import ContractError, PolicyError, StorageError
from medchain.keys.party import Party
from medchain.ledger.governance.rows import GATE, GovernanceTables
from medchain.ledger.keys import Keys, PartyRow
from medchain.policy.analysis import Analysis
from medchain.policy.bound import BoundPolicy
from medchain.policy.explain import joined
from medchain.sealing.documents import SealedHeader
from medchain.sealing.sealer import Part, seal_to

__all__ = ["analyse_on", "check_addable", "drop", "seal_into", "with_parties"]


def with_parties(bound: BoundPolicy, chain: Chain) -> BoundPolicy:
    """The policy with the keys that the chain has for its parties: they get the envelopes.

    Raises:
        PolicyError: somebody is not registered, is revoked, or is bound with other keys than the chain's.
    """
    parties = {}
    for id in bound.ids:
        party = chain.party(id)
        if party is None:
            raise PolicyError(
                f"{bound.name(id)} is not registered on this chain, or revoked: Parties.register"
            )
        if bound.parties.get(id, party) != party:
            raise PolicyError(
                f"{bound.name(id)} has other keys on this chain than in the policy: bind it again"
            )
        parties[id] = party
    return evolve(bound, parties=parties)


def analyse_on(bound: BoundPolicy, chain: Chain) -> Analysis:
    """What a policy amounts to on this chain, see `AccessView.analyse`."""
    return analyse_among(bound, _rows(bound, chain))


def _rows(bound: BoundPolicy, chain: Chain) -> dict[bytes, PartyRow]:
    table = chain.table(Keys.parties)
    return {id: row for id in bound.ids if (row := table.get(id)) is not None}


def check_addable(bound: BoundPolicy, chain: Chain, subject: Party, *, force: bool = False) -> None:
    """Whether this chain takes a record of `subject` under a policy, and whether it should.

    Warns (UserWarning) where those who agree to an emergency will be refused when they ask for it.

    Raises:
        PolicyError: it does not, or (unless `force`) the policy locks everybody out when one wallet is lost.
    """
    try:
        check_policy(bound, subject.id)
    except ContractError as error:
        raise PolicyError(str(error)) from error
    if len(bytes(bound)) > POLICY_LIMIT:
        raise PolicyError(
            f"the bound policy takes {len(bytes(bound))} bytes; on a chain at most {POLICY_LIMIT}"
        )
    check_purposes(purpose for clause in bound.clauses for purpose in clause.purposes)
    try:
        check_gate(bound, chain.table(GovernanceTables.gate).get(GATE))
    except ContractError as error:
        raise PolicyError(f"{error}: bind(gate=chain.gate, …)") from error
    rows = _rows(bound, chain)
    for clause in bound.clauses:
        if inside := named_of_house(clause, rows):
            names = joined([bound.name(party) for party in inside])
            raise PolicyError(
                f"reviewer-inside: clause {clause.name} is reviewed from within the organisation of {names},"
                " who may ask"
            )
    found = analyse_among(bound, rows)
    for finding in found:
        if finding.code == HOUSE:
            warnings.warn(str(finding), stacklevel=3)  # of whoever calls `add`
    if found.errors and not force:
        reasons = "; ".join(finding.text for finding in found.errors)
        raise PolicyError(f"this policy can lock everybody out: {reasons} (force=True takes it all the same)")


def seal_into(chain: Chain, parts: Sequence[Part], bound: BoundPolicy) -> SealedHeader:
    """Seal parts for a chain: payload and documents lie in its blob stores when this returns, or nothing does.

    Raises:
        StorageError: the stores cannot take it.
    """
    objects: list[bytes] = []

    def write(object_id: bytes, chunks: Iterable[bytes]) -> bytes:
        objects.append(object_id)
        return chain.blobs.put(object_id, chunks)

    try:
        bundle = seal_to(parts, bound, chain=chain.id, write=write)
        for document in bundle.documents():
            chain.blobs.put(bundle.object_id, document)
    except BaseException:
        for object_id in objects:
            drop(chain, object_id)
        raise
    return bundle


def drop(chain: Chain, object_id: bytes) -> None:
    """Remove an object that no record names; what a store cannot remove now is ciphertext that nothing opens."""
    with contextlib.suppress(StorageError):
        chain.blobs.erase(object_id)
