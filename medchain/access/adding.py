"""What the client checks before it seals anything: a refusal by the contract would come too late to be clear."""

from __future__ import annotations

from attrs import evolve

from medchain.access.messages import POLICY_LIMIT
from medchain.access.purposes import check_purposes
from medchain.access.rules import check_policy
from medchain.chain import Chain
from medchain.errors import ContractError, PolicyError
from medchain.keys.party import Party
from medchain.policy.bound import BoundPolicy

__all__ = ["check_addable", "with_parties"]


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


def check_addable(bound: BoundPolicy, chain: Chain, subject: Party, *, force: bool = False) -> None:
    """Whether this chain takes a record of `subject` under a policy, and whether it should.

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
    _check_gate(bound, chain)
    errors = bound.analyse().errors
    if errors and not force:
        reasons = "; ".join(finding.text for finding in errors)
        raise PolicyError(f"this policy can lock everybody out: {reasons} (force=True takes it all the same)")


def _check_gate(bound: BoundPolicy, chain: Chain) -> None:
    if bound.gate is None:
        return
    gate = chain.gate
    members = None if gate is None else (gate.threshold, {party.id for party in gate.parties})
    if members != (bound.gate.threshold, set(bound.gate.members)):
        raise PolicyError("the policy is bound to another gate than the chain's: bind(gate=chain.gate, …)")
