"""After an emergency: the review of its decision, the block when nobody reviews it in time, and how that is lifted."""

from __future__ import annotations

from attrs import evolve

from medchain.access.lookups import Lookups
from medchain.access.messages import Judge, Judged, LiftBlock, Lifted, Overdue, ReviewOverdue
from medchain.access.rows import MarkRow
from medchain.access.rules import is_emergency
from medchain.ledger.contract import Context, handles

__all__ = ["Emergencies"]


class Emergencies(Lookups):
    """The part of the contract ``access`` that follows an emergency decision."""

    @handles(Judge)
    def judge(self, context: Context, message: Judge) -> None:
        """Take the reviewer's word, late or not."""
        row = self._request(context, message.request)
        review = self.reviews.get(message.request)
        if review is None or self._only_signer(context) != review.reviewer:
            context.refuse("denied")
        context.require(review.judged is None, "closed")
        self.reviews[message.request] = evolve(review, judged=context.time, justified=message.justified)
        if (row.asker, message.request) in self.overdue:
            del self.overdue[row.asker, message.request]
        context.emit(Judged(message.request, review.reviewer, message.justified))

    @handles(Overdue)
    def review_overdue(self, context: Context, message: Overdue) -> None:
        """Block the asker of an emergency that nobody has reviewed in time."""
        context.require(not context.signers, "wrong-signers")
        row = self._request(context, message.request)
        if self.reviews[message.request].judged is None:
            self.overdue[row.asker, message.request] = MarkRow(context.time)
            context.emit(ReviewOverdue(message.request, row.asker))

    @handles(LiftBlock)
    def lift(self, context: Context, message: LiftBlock) -> None:
        """Lift the blocks of a person that stand because of one record, on the word of its emergency quorum.

        Another record's quorum has no say: whoever is blocked would find, or add, a record whose holders are friends.
        """
        record = self._record(context, message.record)
        clause = self._clause(context, self._policy(record.policy), message.clause)
        context.require(is_emergency(clause), "denied")
        context.require(set(context.signers) <= set(clause.tree.holders) - {message.asker}, "denied")
        context.require(clause.tree.satisfied_by(context.signers), "no-quorum")
        blocks = [
            key
            for key in self.overdue.keys(under=(message.asker,))
            if self.reviews[key[1]].record == message.record
        ]
        context.require(blocks, "not-due")
        for key in blocks:
            del self.overdue[key]
        context.emit(Lifted(message.asker, context.signers))
