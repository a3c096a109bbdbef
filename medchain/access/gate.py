"""The gate: gives its share only against a logged decision. The rule is pure; `Gate` adds wallet, clock and memory.

What the rule checks, in this order:

1. every proof holds under the gate's own trust, all of them under one checkpoint, but for that of the asker's signing
   key: rows of keys are never deleted, so an older one proves as much;
2. that checkpoint is no smaller than any that the gate has seen, and the log has only grown since;
3. its last header is at most 120 s away from the gate's clock;
4. the decision is in the log and in the state, unchanged, and has not expired;
5. the request that it answers is in the log, signed by the asker, whose keys are live;
6. the record is not erased and its policy is the one that was decided under;
7. the sealed documents are the record's, and the clause is gated.

Then the gate seals its share of the decision's parts, and of no others, to the one-use key in the request.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from os import PathLike

from attrs import evolve, field, frozen

from medchain._opening import system_clock
from medchain.access.contract import AccessContract
from medchain.access.messages import Decision
from medchain.access.proved import (
    ProvedRequest,
    check_asker,
    check_bundle,
    make_share,
    proved_record,
    proved_request,
)
from medchain.access.rules import within
from medchain.errors import Refused, VerificationError
from medchain.keys.party import Party
from medchain.keys.wallet import Decrypter
from medchain.ledger.keys import Keys
from medchain.ledger.trust import Trust
from medchain.ledger.verify import AsOf, verify, verify_state
from medchain.merkle import ConsistencyProof, Head
from medchain.records import decode_record, encode_record, short
from medchain.sealing.documents import SealedHeader
from medchain.storage.mark import Mark

__all__ = ["MOST_AGE", "Gate", "Judgement", "Release", "Warrant", "judge"]

MOST_AGE = 120_000
"""How far, in ms, the last header may be from the gate's clock."""

WARRANT_LIMIT = 16 << 20


@frozen
class Warrant:
    """What is put before a gate: proofs as bytes, all but `key` under one checkpoint.

    Attributes:
        decision: tlog-proof of the entry with the decision.
        live: state proof of the decision's row.
        request: tlog-proof of the request's entry.
        key: state proof of the asker's signing key, under any checkpoint: rows of keys are never deleted.
        asker: state proof of the asker's row: its keys are not revoked.
        record: state proof of the record's row.
        consistency: that the log has only grown since the head that the gate saw last; None if it saw none.
    """

    decision: bytes = field(repr=short)
    live: bytes = field(repr=short)
    request: bytes = field(repr=short)
    key: bytes = field(repr=short)
    asker: bytes = field(repr=short)
    record: bytes = field(repr=short)
    consistency: ConsistencyProof | None = field(repr=False)

    def __bytes__(self) -> bytes:
        return encode_record(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> Warrant:
        """Read what ``bytes(warrant)`` wrote; EncodingError if it is anything else."""
        return decode_record(cls, data, limit=WARRANT_LIMIT)


@frozen
class Judgement:
    """What a warrant proves.

    Attributes:
        decision: the decision, with its place in the log.
        request: the request that it answers.
        head: the log under which everything was proved, but for the row of the asker's key.
    """

    decision: Decision
    request: ProvedRequest
    head: Head


def judge(warrant: Warrant, bundle: SealedHeader, *, trust: Trust, seen: Head | None, now: int) -> Judgement:
    """Whether a gate may release its share: the pure rule.

    Args:
        warrant: the proofs.
        bundle: the sealed documents of the record.
        trust: the gate's own.
        seen: the largest head that the gate has seen; None if none.
        now: the gate's clock, ms since the epoch.

    Raises:
        VerificationError: something that claims to be proved is not, or was before `seen`.
        Refused: all is proved, and the answer is no: ``stale``, ``expired``, ``erased``, ``revoked``, ``stale-policy``,
            ``ungated``; ``behind`` if the consistency proof starts elsewhere than at `seen`.
        SealingError: the documents are not the record's.
    """
    decided = verify(warrant.decision, Decision, trust=trust)
    decision, as_of = decided.value, decided.as_of
    _check_growth(seen, as_of.head, warrant.consistency)
    time = _check_live(warrant, decision, as_of, trust)
    if abs(now - time) > MOST_AGE:
        raise Refused(
            f"the last header is {abs(now - time) // 1000} s away from the gate's clock", reason="stale"
        )
    if max(now, time) > decision.expires:
        raise Refused("the decision has expired", reason="expired")
    request = _check_request(warrant, decision, as_of.head, trust)
    _check_record(warrant, decision, as_of.head, bundle, trust)
    return Judgement(evolve(decision, entry=as_of.index), request, as_of.head)


def _check_growth(seen: Head | None, head: Head, consistency: ConsistencyProof | None) -> None:
    if seen is None:
        return
    if head.size < seen.size:
        raise VerificationError(
            f"the checkpoint has size {head.size}; the gate has seen this log with {seen.size}: it was rolled back"
        )
    if consistency is None or consistency.old_size != seen.size:
        raise Refused("the proof of growth does not start where the gate is", reason="behind")
    consistency.verify(old=seen, new=head)


def _check_live(warrant: Warrant, decision: Decision, as_of: AsOf, trust: Trust) -> int:
    """Whether decision and asker stand in the state as of the last header; its time."""
    row = verify_state(warrant.live, AccessContract.decisions, decision.request, trust=trust)
    asker = verify_state(warrant.asker, Keys.parties, decision.asker, trust=trust)
    for found in (row, asker):
        _check_current(found.as_of, as_of.head)
    if row.value is None or row.value.decision != decision:
        raise VerificationError("the decision is not what the state says")
    if asker.value is None or asker.value.key is None:
        raise Refused("the asker's keys are revoked", reason="revoked")
    return row.as_of.time


def _check_request(warrant: Warrant, decision: Decision, head: Head, trust: Trust) -> ProvedRequest:
    request = proved_request(warrant.request, trust=trust)
    message = request.message
    if request.as_of.head != head:
        raise VerificationError("the proofs are not all under one checkpoint")
    wanted = (decision.request, decision.asker, decision.record, decision.clause, decision.purpose)
    asked = (request.id, request.asker.party, message.record, message.clause, message.purpose)
    limits = (message.policy, message.expiry) == (decision.policy, decision.expires)
    if asked != wanted or not limits or not within(decision.parts, message.parts):
        raise VerificationError("the request is another one than the decision answers")
    check_asker(request, warrant.key, trust=trust)
    return request


def _check_record(
    warrant: Warrant, decision: Decision, head: Head, bundle: SealedHeader, trust: Trust
) -> None:
    record, as_of = proved_record(warrant.record, decision.record, trust=trust)
    _check_current(as_of, head)
    if record.erased is not None:
        raise Refused("the record is erased", reason="erased")
    if record.policy != decision.policy:
        raise Refused("the record has another policy since the decision", reason="stale-policy")
    check_bundle(record, trust.chain, bundle)
    if not bundle.policy.clause(decision.clause).gated:
        raise Refused("the clause needs no gate", reason="ungated")


def _check_current(as_of: AsOf, head: Head) -> None:
    if as_of.head != head or not as_of.latest:
        raise VerificationError("the state is not proved as of the one checkpoint")


@frozen
class Release:
    """One line of a gate's own list.

    Attributes:
        decision: for which it gave its share, with its place in the log.
        time: when, ms since the epoch by the gate's clock.
        share: SHA-256 of what it gave.
    """

    decision: Decision
    time: int
    share: bytes = field(repr=short)


class Gate:
    """A member of the gate in this process.

    Asking again for the same decision gives the same share: one decision is one use, however often it is opened.

    Args:
        wallet: of a party of the chain's gate.
        trust: whom to believe about the chain. Without it, the gate pins the first trust that it is attached with.
        mark: file in which the gate keeps the largest head that it has seen, of its own: not the chain's mark, not
            another gate's. Without it, a gate that is started again has seen nothing, and for as long as a checkpoint
            is fresh believes one from before an erasure or a revocation.
        clock: the time now, ms since the epoch.

    Raises:
        StorageError: the mark cannot be read, is damaged, or belongs to another chain.
    """

    def __init__(
        self,
        wallet: Decrypter,
        trust: Trust | None = None,
        *,
        mark: str | PathLike[str] | None = None,
        clock: Callable[[], int] = system_clock,
    ) -> None:
        self._wallet = wallet
        self._trust: Trust | None = None
        self._place = mark
        self._mark: Mark | None = None
        self._clock = clock
        self._seen: Head | None = None
        self._given: dict[bytes, tuple[Release, bytes]] = {}
        self._lock = threading.Lock()
        if trust is not None:
            self.attach(trust)

    @property
    def party(self) -> Party:
        """The gate party that it speaks for."""
        return self._wallet.party

    @property
    def seen(self) -> Head | None:
        """The largest head of the log that it has seen, in an earlier process too if it keeps a mark."""
        return self._seen

    @property
    def releases(self) -> tuple[Release, ...]:
        """What it has released, in order: to be compared with the decisions on the log."""
        return tuple(release for release, _ in self._given.values())

    def attach(self, trust: Trust) -> None:
        """Pin `trust`, unless one is pinned already, and read the mark.

        Raises:
            StorageError: the mark cannot be read, is damaged, or belongs to another chain.
        """
        with self._lock:
            if self._trust is None:
                if self._place is not None:
                    self._mark = Mark(self._place, chain_id=trust.chain)
                    self._seen = self._mark.latest
                self._trust = trust

    def release(self, warrant: Warrant, bundle: SealedHeader) -> bytes:
        """The gate's share for the decision that `warrant` proves, sealed to the asker's one-use key.

        Raises:
            VerificationError, Refused, SealingError: as `judge`; nothing leaves the gate.
            StorageError: the mark cannot be written, or another process has moved it; nothing leaves the gate.
        """
        with self._lock:
            if self._trust is None:
                raise ValueError("the gate has no trust yet: attach it, or name one")
            found = judge(warrant, bundle, trust=self._trust, seen=self._seen, now=self._clock())
            self._remember(found.head)
            decision = found.decision
            given = self._given.get(decision.request)
            if given is None:
                share = make_share(bundle, found.request, self._wallet, decision.parts, gate=True)
                release = Release(decision, self._clock(), hashlib.sha256(share).digest())
                given = self._given[decision.request] = release, share
            return given[1]

    def _remember(self, head: Head) -> None:
        """Take `head` as the largest one seen; durable, where there is a mark, before a share leaves."""
        if self._mark is not None:
            self._mark.advance(head)
        self._seen = head

    def __repr__(self) -> str:
        return f"<Gate of {self.party}: {len(self._given)} releases>"
