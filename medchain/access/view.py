"""Looking at records and requests: where they stand, what waits for whom, what has happened and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from attrs import evolve

from medchain._opening import system_clock
from medchain.access import trail
from medchain.access.adding import analyse_on
from medchain.access.contract import AccessContract
from medchain.access.handles import Record, Request, Status, Step
from medchain.access.messages import Decision
from medchain.access.rows import RecordRow, RequestRow, State
from medchain.chain import Chain
from medchain.errors import Refused
from medchain.keys.party import Party
from medchain.ledger.tables import Table
from medchain.ledger.trust import Trust
from medchain.policy.analysis import Analysis
from medchain.policy.bound import BoundClause, BoundPolicy

__all__ = ["AccessView", "named_id"]

A = TypeVar("A")
_ANSWERS: tuple[Table[Any], ...] = (AccessContract.approvals, AccessContract.declines)


class AccessView:
    """The reading half of `Access`: it needs no wallet, and a chain that is open for reading will do."""

    def __init__(
        self, chain: Chain, *, trust: Trust | None = None, clock: Callable[[], int] = system_clock
    ) -> None:
        self.chain = chain
        self.trust = trust or chain.trust
        self._clock = clock
        self._policies: dict[bytes, BoundPolicy] = {}
        self._entries: dict[bytes, int] = {}
        self._decided: dict[bytes, int] = {}

    @property
    def _now(self) -> int:
        """The time now; never before the last block's."""
        return max(self.chain.header().time, self._clock())

    def analyse(self, bound: BoundPolicy) -> Analysis:
        """What a policy amounts to on this chain, before anything is sealed under it.

        Beside what `BoundPolicy.analyse` finds, ``reviewer-of-house``: who may not ask in an emergency, since its
        reviewer is of the same organisation (docs/adr/0013). Parties that are not registered are not looked at.
        """
        return analyse_on(bound, self.chain)

    def record(self, record: Record | bytes) -> Record:
        """A record by its id, as it stands now. Refused (``denied``) if there is none."""
        id = named_id(record)
        row = self._record_row(id)
        if isinstance(record, Record) and record.policy.names and record.policy.hash == row.policy:
            self._policies[row.policy] = record.policy
        entry = self._entries.get(id)
        if entry is None:
            entry = self._entries[id] = trail.record_index(self.chain, row.height, id)
        policy = self._policy(row.policy)
        return Record(id, row.object, row.subject, row.author, policy, row.version, row.added, entry)

    def status(self, request: Request | bytes) -> Status:
        """Where a request stands. Refused (``denied``) if there is none."""
        id = named_id(request)
        row = self._request_row(id)
        policy = self._policy(row.policy)
        state = self._state(row)
        return Status(
            request=self._request(id, row),
            state=state,
            reason=row.reason,
            waiting_for=self._waiting_for(id, row, policy.clause(row.clause)) if state == State.OPEN else (),
            approved_by=tuple(self._answers(AccessContract.approvals, id)),
            declined_by=tuple(self._answers(AccessContract.declines, id)),
            settles=row.settles,
            decision=self._decision(id),
            names={**self.trust.names, **policy.names},
        )

    def _state(self, row: RequestRow) -> str:
        """The state of a request as of now."""
        if self._record_row(row.record).erased is not None:
            return "erased"
        if row.state in (State.OPEN, State.DECIDED) and self._now > row.expiry:
            return "expired"
        return row.state

    def _answers(self, table: Table[A], request: bytes) -> dict[bytes, A]:
        """Approvals or declines of a request by holder."""
        return {key[1]: row for key, row in self.chain.table(table).items(under=(request,))}

    def _waiting_for(self, id: bytes, row: RequestRow, clause: BoundClause) -> tuple[bytes, ...]:
        """Whose approval still counts: of those who have not answered, whoever could complete a full approval."""
        approvals = self._answers(AccessContract.approvals, id)
        full = [holder for holder, each in approvals.items() if each.parts in (None, row.parts)]
        never = [*self._answers(AccessContract.declines, id), *([row.asker] if clause.separate_asker else [])]
        return tuple(
            holder for holder in clause.tree.waiting_for(full, never=never) if holder not in approvals
        )

    def pending(self, *, holder: Party) -> tuple[Request, ...]:
        """The inbox: requests that have not expired and that `holder` may still answer, the first to expire first."""
        found = []
        for _, id in self.chain.table(AccessContract.unexpired).keys(start=(self._now,)):
            row = self._request_row(id)
            clause = self._policy(row.policy).clause(row.clause)
            excluded = clause.separate_asker and holder.id == row.asker
            if holder.id in clause.tree.holders and not excluded and self._state(row) == State.OPEN:
                answered = [self._answers(table, id) for table in _ANSWERS]
                if not any(holder.id in each for each in answered):
                    found.append(self._request(id, row))
        return tuple(found)

    def history(self, subject: Party | Record | bytes) -> tuple[Step, ...]:
        """Every entry of the log that concerns a subject, in order, refused ones included."""
        if isinstance(subject, Record):
            return trail.history(self.chain, subject.subject)
        if isinstance(subject, Party):
            return trail.history(self.chain, subject.id)
        if isinstance(subject, bytes):
            return trail.history(self.chain, subject)
        raise TypeError(f"name a subject by its party, record or id in bytes, not {type(subject).__name__}")

    def why(self, decision: Decision) -> str:
        """One paragraph for a person: who may open what, and on whose word."""
        if self._decision(decision.request) != decision:
            raise Refused("the chain has no such decision", reason="denied")
        names = {**self.trust.names, **self._policy(decision.policy).names}
        return trail.why(self.chain, decision, names)

    # Rows.

    def _request(self, id: bytes, row: RequestRow) -> Request:
        entry = self._entries.get(id)
        if entry is None:
            entry = self._entries[id] = trail.transaction_index(self.chain, row.height, id)
        return Request(id, row.record, row.asker, row.clause, row.purpose, row.parts, row.expiry, entry)

    def _decision(self, id: bytes) -> Decision | None:
        row = self.chain.table(AccessContract.decisions).get(id)
        if row is None:
            return None
        entry = self._decided.get(id)
        if entry is None:
            entry = self._decided[id] = trail.decision_index(self.chain, row.height, id)
        return evolve(row.decision, entry=entry)

    def _record_row(self, id: bytes) -> RecordRow:
        row = self.chain.table(AccessContract.records).get(id)
        if row is None:
            raise Refused("there is no such record, or it is not for you", reason="denied")
        return row

    def _request_row(self, id: bytes) -> RequestRow:
        row = self.chain.table(AccessContract.requests).get(id)
        if row is None:
            raise Refused("there is no such request, or it is not for you", reason="denied")
        return row

    def _policy(self, hash: bytes) -> BoundPolicy:
        """A policy of the chain, with local names if this client knows them."""
        if hash not in self._policies:
            self._policies[hash] = BoundPolicy.from_bytes(
                self.chain.table(AccessContract.policies)[hash].policy
            )
        return self._policies[hash]


def named_id(named: Record | Request | bytes) -> bytes:
    """The id of what may be named by itself or by its id; TypeError if it is neither."""
    if isinstance(named, bytes):
        return named
    if isinstance(named, Record | Request):
        return named.id
    raise TypeError(f"name a record or a request by itself or by its id in bytes, not {type(named).__name__}")
