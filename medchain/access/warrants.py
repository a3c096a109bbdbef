"""Putting together, beside a chain, what a gate wants to see."""

from __future__ import annotations

from typing import Any

from medchain.access.contract import AccessContract
from medchain.access.gate import Warrant
from medchain.access.messages import Decision
from medchain.access.proved import ProvedRequest
from medchain.chain import Chain
from medchain.errors import StorageError
from medchain.ledger.keys import Keys
from medchain.ledger.proof import LogProof
from medchain.ledger.tables import Table
from medchain.merkle import Head

__all__ = ["make_warrant"]

ATTEMPTS = 100


def make_warrant(chain: Chain, request: ProvedRequest, decision: Decision, *, since: Head | None) -> Warrant:
    """The proofs that a decision is on the log and live, all under one checkpoint.

    Args:
        chain: where the decision is.
        request: the request that it answers.
        decision: the decision, with its ``entry``.
        since: the largest head that the gate has seen.

    Raises:
        StorageError: the state changes faster than it can be proved.
    """
    rows: tuple[tuple[Table[Any], Any], ...] = (
        (AccessContract.decisions, decision.request),
        (AccessContract.records, decision.record),
        (Keys.parties, decision.asker),
        (Keys.signing, (request.asker.party, request.asker.key)),
    )
    for _ in range(ATTEMPTS):
        states = [chain.prove_state(table, key, fresh=True) for table, key in rows]
        checkpoints = [LogProof.parse(state).checkpoint for state in states]
        if len({checkpoint.head for checkpoint in checkpoints}) == 1:
            break
    else:
        raise StorageError("the state changes faster than it can be proved under one checkpoint")
    checkpoint = checkpoints[0]
    live, record, asker, key = states
    return Warrant(
        decision=chain.prove(decision, checkpoint=checkpoint),
        live=live,
        request=chain.prove(request.as_of.index, checkpoint=checkpoint),
        key=key,
        asker=asker,
        record=record,
        # A gate that has seen more than this log has will say so itself.
        consistency=None
        if since is None or since.size > checkpoint.size
        else chain.prove_consistency(since.size, checkpoint.size),
    )
