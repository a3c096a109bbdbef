"""The contract ``access``: records under policies, requests, approvals, decisions, reviews, erasure.

What is missing and what is forbidden share one code, ``denied``. Every message about an existing record goes on the
list of its subject, whether it is accepted or refused. What follows an emergency is in
`medchain.access.emergencies`, the rules that need no state are in `medchain.access.rules`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from attrs import evolve

from medchain.access.emergencies import Emergencies
from medchain.access.messages import (
    AddRecord,
    Approve,
    Complain,
    Complaint,
    Decision,
    Decline,
    Erase,
    Judged,
    Lifted,
    Notice,
    Oppose,
    Overdue,
    Parts,
    RecordAdded,
    RecordErased,
    RequestAccess,
    RequestRefused,
    ReviewDue,
    ReviewOverdue,
    Settle,
)
from medchain.access.rows import (
    ApprovalRow,
    DecisionRow,
    DeclineRow,
    MarkRow,
    ObjectRow,
    PolicyRow,
    RecordRow,
    RequestRow,
    ReviewRow,
    State,
    UsesRow,
)
from medchain.access.rules import check_gate, check_policy, erasers, is_emergency, load_policy, within
from medchain.ledger.contract import Context, Contract, handles
from medchain.ledger.governance.rows import GATE, GovernanceTables
from medchain.ledger.keys import Keys, organisation
from medchain.policy.bound import BoundClause, BoundPolicy
from medchain.policy.names import Role

__all__ = ["EXPIRY_LIMIT", "AccessContract"]

EXPIRY_LIMIT = 366 * 86_400_000
"""How far ahead, in ms, a request may expire."""


class AccessContract(Emergencies, Contract):
    """Who may open which record, for what, and on whose word."""

    name = "access"
    version = 1
    events = (
        RecordAdded,
        Decision,
        RequestRefused,
        Notice,
        ReviewDue,
        Judged,
        ReviewOverdue,
        Lifted,
        RecordErased,
        Complaint,
    )
    codes = (
        "denied",
        "wrong-signers",
        "wrong-subject",
        "unknown-party",
        "already-added",
        "bad-policy",
        "unsupported-policy",
        "owner-missing",
        "reviewer-inside",
        "foreign-gate",
        "stale-policy",
        "wrong-purpose",
        "outside-period",
        "used-up",
        "bad-expiry",
        "role-unanswered",
        "no-quorum",
        "review-overdue",
        "bad-parts",
        "erased",
        "late",
        "closed",
        "already-approved",
        "already-declined",
        "asker-approves",
        "not-due",
    )

    # Records.

    @handles(AddRecord)
    def add(self, context: Context, message: AddRecord) -> None:
        """Take a record whose author and subject have signed."""
        context.require(len(context.signers) <= 2, "wrong-signers")
        context.require(context.signers[-1] == message.subject, "wrong-subject")
        policy = load_policy(message.policy)
        check_policy(policy, message.subject)
        self._check_parties(context, policy)
        for clause in policy.clauses:
            self._check_reviewer(
                context, clause, [one for one in clause.askers or () if isinstance(one, bytes)]
            )
        check_gate(policy, context.read(GovernanceTables.gate).get(GATE))
        context.require(message.record not in self.records, "already-added")
        context.require(message.object not in self.objects, "already-added")
        context.concerns(message.subject)
        self.records[message.record] = RecordRow(
            object=message.object,
            subject=message.subject,
            author=context.signers[0],
            header=message.header,
            dealing=message.dealing,
            policy=policy.hash,
            version=1,
            added=context.time,
            height=context.height,
            erased=None,
            erased_by=(),
        )
        self.objects[message.object] = ObjectRow(message.record)
        self.policies[policy.hash] = PolicyRow(message.policy)
        context.emit(
            RecordAdded(message.record, message.object, message.subject, context.signers[0], policy.hash)
        )

    def _check_parties(self, context: Context, policy: BoundPolicy) -> None:
        """Everybody whom a policy names is a live party."""
        parties = context.read(Keys.parties)
        for party in policy.ids:
            row = parties.get(party)
            context.require(row is not None and row.key is not None, "unknown-party")

    @handles(Erase)
    def erase(self, context: Context, message: Erase) -> None:
        """Mark a record as erased, on the word of those whom its policy names for that."""
        record = self._record(context, message.record)
        tree = erasers(self._policy(record.policy))
        context.require(set(context.signers) <= set(tree.holders), "denied")
        context.require(tree.satisfied_by(context.signers), "denied")
        context.require(record.erased is None, "erased")
        self.records[message.record] = evolve(record, erased=context.time, erased_by=context.signers)
        context.emit(RecordErased(message.record, record.object, context.signers))

    @handles(Complain)
    def complain(self, context: Context, message: Complain) -> None:
        """Log that a holder's envelope is wrong."""
        record = self._record(context, message.record)
        signer = self._only_signer(context)
        policy = self._policy(record.policy)
        clause = self._clause(context, policy, message.clause)
        gate = policy.gate.members if clause.gated and policy.gate is not None else ()
        context.require(signer in (*clause.tree.holders, *gate), "denied")
        context.emit(Complaint(message.record, message.clause, signer))

    # Requests.

    @handles(RequestAccess)
    def request(self, context: Context, message: RequestAccess) -> None:
        """Take a request that may lead somewhere."""
        record = self._record(context, message.record)
        asker = self._only_signer(context)
        clause = self._clause(context, self._policy(record.policy), message.clause)
        self._check_asker(context, record, clause, asker)
        context.require(record.erased is None, "erased")
        context.require(message.policy == record.policy, "stale-policy")
        context.require(message.purpose in clause.purposes, "wrong-purpose")
        self._check_limits(context, message.record, clause)
        context.require(context.time < message.expiry <= context.time + EXPIRY_LIMIT, "bad-expiry")
        context.require(clause.not_after is None or message.expiry <= clause.not_after, "outside-period")
        nobody = (asker,) if clause.separate_asker else ()
        context.require(clause.tree.possible_without(nobody), "no-quorum")
        if is_emergency(clause):
            context.require(next(self.overdue.keys(under=(asker,)), None) is None, "review-overdue")
        self.requests[context.id] = RequestRow(
            record=message.record,
            asker=asker,
            clause=message.clause,
            purpose=message.purpose,
            parts=message.parts,
            policy=record.policy,
            key=hashlib.sha256(message.recipient_key).digest(),
            expiry=message.expiry,
            asked=context.time,
            height=context.height,
            state=State.OPEN,
            reason=None,
            settles=None,
        )
        self.unexpired[message.expiry, context.id] = MarkRow(context.time)

    def _check_asker(self, context: Context, record: RecordRow, clause: BoundClause, asker: bytes) -> None:
        """Askers are those whom the clause names; where it names nobody, public parties and the subject."""
        context.require(asker != clause.reviewer, "denied")
        if clause.askers is None:
            pseudonym = context.read(Keys.parties)[asker].kind == "pseudonym"
            context.require(asker == record.subject or not pseudonym, "denied")
        elif asker not in clause.askers:
            roles = [one for one in clause.askers if isinstance(one, Role)]
            context.refuse("role-unanswered" if roles else "denied")
        self._check_reviewer(context, clause, [asker])

    def _check_reviewer(self, context: Context, clause: BoundClause, askers: list[bytes]) -> None:
        """Who reviews an emergency is not of an asker's organisation: nobody judges the own house."""
        if clause.reviewer is None:
            return
        parties = context.read(Keys.parties)
        of_reviewer = organisation(clause.reviewer, parties[clause.reviewer])
        of_askers = [organisation(asker, parties[asker]) for asker in askers]
        context.require(of_reviewer not in of_askers, "reviewer-inside")

    def _check_limits(self, context: Context, record: bytes, clause: BoundClause) -> None:
        """Period and number of uses, as of now."""
        context.require(clause.active_at(context.time), "outside-period")
        context.require(clause.uses is None or self._uses(record, clause) < clause.uses, "used-up")

    @handles(Approve)
    def approve(self, context: Context, message: Approve) -> None:
        """Take a holder's approval; the decision follows when a quorum has approved."""
        row, record, clause = self._open_request(context, message.request)
        holder = self._holder(context, message.request)
        context.require(not clause.separate_asker or holder != row.asker, "asker-approves")
        context.require(row.policy == record.policy == message.policy, "stale-policy")
        context.require(message.parts is None or within(message.parts, row.parts), "bad-parts")
        self._check_limits(context, row.record, clause)
        self.approvals[message.request, holder] = ApprovalRow(message.parts, message.share, context.time)
        found = self._quorum(message.request, row, clause)
        if found is not None and clause.waiting is not None:
            settles = context.time + clause.waiting
            self._close(message.request, evolve(row, state=State.WAITING, settles=settles))
            context.schedule(settles, Settle(message.request))
        elif found is not None:
            self._decide(context, message.request, row, record, clause, *found)

    @handles(Decline)
    def decline(self, context: Context, message: Decline) -> None:
        """Take a holder's no; the request is refused when nobody else can make up for it."""
        row, _, clause = self._open_request(context, message.request)
        holder = self._holder(context, message.request)
        self.declines[message.request, holder] = DeclineRow(context.time)
        against = [key[1] for key in self.declines.keys(under=(message.request,))]
        against += [row.asker] if clause.separate_asker else []
        if not clause.tree.possible_without(against):
            self._refuse_request(context, message.request, row, "declined")

    @handles(Oppose)
    def oppose(self, context: Context, message: Oppose) -> None:
        """Stop a recovery."""
        row = self._request(context, message.request)
        clause = self._policy(row.policy).clause(row.clause)
        context.require(self._only_signer(context) in clause.objectors, "denied")
        context.require(row.state in (State.OPEN, State.WAITING), "closed")
        self._refuse_request(context, message.request, row, "opposed")

    # Decisions.

    @handles(Settle)
    def settle(self, context: Context, message: Settle) -> None:
        """Decide a recovery against which nobody has objected."""
        context.require(not context.signers, "wrong-signers")
        row = self._request(context, message.request)
        record = self.records[row.record]
        clause = self._policy(row.policy).clause(row.clause)
        context.require(row.state == State.WAITING, "closed")
        found = self._quorum(message.request, row, clause)
        reason = None
        if record.erased is not None:
            reason = "erased"
        elif row.policy != record.policy:
            reason = "stale-policy"
        elif context.time > row.expiry or not clause.active_at(context.time):
            reason = "late"
        elif clause.uses is not None and self._uses(row.record, clause) >= clause.uses:
            reason = "used-up"
        if reason is not None or found is None:
            self._refuse_request(context, message.request, row, reason or "no-quorum")
        else:
            self._decide(context, message.request, row, record, clause, *found)

    def _decide(
        self,
        context: Context,
        request: bytes,
        row: RequestRow,
        record: RecordRow,
        clause: BoundClause,
        quorum: tuple[bytes, ...],
        parts: Parts,
    ) -> None:
        """Write the decision, take one use, tell whom it concerns, and set the review of an emergency."""
        count = self._uses(row.record, clause) + 1
        self.uses[row.record, clause.name] = UsesRow(count)
        decision = Decision(
            request=request,
            record=row.record,
            object=record.object,
            asker=row.asker,
            clause=row.clause,
            purpose=row.purpose,
            parts=parts,
            quorum=quorum,
            policy=row.policy,
            version=record.version,
            expires=row.expiry,
            uses_left=None if clause.uses is None else clause.uses - count,
        )
        self.decisions[request] = DecisionRow(decision, context.time, context.height)
        self._close(request, evolve(row, state=State.DECIDED))
        context.emit(decision)
        if clause.notify:
            context.emit(Notice(request, row.record, row.clause, clause.notify))
        if clause.reviewer is not None and clause.review_within is not None:
            due = context.time + clause.review_within
            self.reviews[request] = ReviewRow(row.record, row.asker, clause.reviewer, due, None, None)
            context.schedule(due, Overdue(request))
            context.emit(ReviewDue(request, clause.reviewer, due))

    def _refuse_request(self, context: Context, request: bytes, row: RequestRow, reason: str) -> None:
        self._close(request, evolve(row, state=State.REFUSED, reason=reason))
        context.emit(RequestRefused(request, row.record, reason))

    def _close(self, request: bytes, row: RequestRow) -> None:
        """Write a request that takes no more approvals."""
        self.requests[request] = row
        if (row.expiry, request) in self.unexpired:
            del self.unexpired[row.expiry, request]

    # What comes along.

    def attached(self, signers: tuple[bytes, ...], message: object) -> Mapping[bytes, bytes]:
        """The re-sealed share of a holder's approval, under the object of the record."""
        request = self.requests.get(message.request) if isinstance(message, Approve) else None
        if request is None or not isinstance(message, Approve):
            return {}
        holders = self._policy(request.policy).clause(request.clause).tree.holders
        return {message.share: self.records[request.record].object} if signers[0] in holders else {}
