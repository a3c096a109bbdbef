"""What handlers of the contract ``access`` look up before they decide anything: records, requests, policies, uses."""

from __future__ import annotations

from medchain.access.messages import Parts
from medchain.access.rows import AccessTables, RecordRow, RequestRow, State
from medchain.access.rules import load_policy, quorum_of
from medchain.ledger.contract import Context
from medchain.policy.bound import BoundClause, BoundPolicy

__all__ = ["Lookups"]


class Lookups(AccessTables):
    """The tables, and what handlers ask them. What is missing and what is forbidden are one refusal."""

    def _only_signer(self, context: Context) -> bytes:
        context.require(len(context.signers) == 1, "wrong-signers")
        return context.signers[0]

    def _record(self, context: Context, record: bytes) -> RecordRow:
        """An existing record, whose subject is concerned from here on."""
        row = self.records.get(record)
        if row is None:
            context.refuse("denied")
        context.concerns(row.subject)
        return row

    def _request(self, context: Context, request: bytes) -> RequestRow:
        row = self.requests.get(request)
        if row is None:
            context.refuse("denied")
        self._record(context, row.record)
        return row

    def _open_request(self, context: Context, request: bytes) -> tuple[RequestRow, RecordRow, BoundClause]:
        """A request that a holder of its clause may still answer."""
        row = self._request(context, request)
        record = self.records[row.record]
        clause = self._policy(row.policy).clause(row.clause)
        context.require(self._only_signer(context) in clause.tree.holders, "denied")
        context.require(record.erased is None, "erased")
        context.require(row.state == State.OPEN, "closed")
        context.require(context.time <= row.expiry, "late")
        return row, record, clause

    def _holder(self, context: Context, request: bytes) -> bytes:
        """The signer, who has not answered this request yet."""
        holder = context.signers[0]
        context.require((request, holder) not in self.approvals, "already-approved")
        context.require((request, holder) not in self.declines, "already-declined")
        return holder

    def _policy(self, policy: bytes) -> BoundPolicy:
        return load_policy(self.policies[policy].policy)

    def _clause(self, context: Context, policy: BoundPolicy, name: str) -> BoundClause:
        for clause in policy.clauses:
            if clause.name == name:
                return clause
        return context.refuse("denied")

    def _uses(self, record: bytes, clause: BoundClause) -> int:
        row = self.uses.get((record, clause.name))
        return 0 if row is None else row.count

    def _quorum(
        self, request: bytes, row: RequestRow, clause: BoundClause
    ) -> tuple[tuple[bytes, ...], Parts] | None:
        approvals = {key[1]: each.parts for key, each in self.approvals.items(under=(request,))}
        return quorum_of(clause, row.parts, approvals, row.asker)
