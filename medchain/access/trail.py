"""Reading back from the log: where things stand in it, what concerns a subject, why a decision was made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from medchain.access.contract import AccessContract
from medchain.access.handles import Step, parts_text
from medchain.access.messages import Decision, RecordAdded
from medchain.access.purposes import describe_purpose
from medchain.chain import Chain
from medchain.encoding import decode
from medchain.errors import EncodingError, InvalidBlock
from medchain.ledger.entry import LEAF_LIMIT, Entry, Kind
from medchain.ledger.transaction import Transaction
from medchain.ledger.verify import moment

__all__ = ["decision_index", "history", "record_index", "transaction_index", "why"]


def transaction_index(chain: Chain, height: int, id: bytes) -> int:
    """The log index of a transaction that is in the block at `height`."""
    for index, entry in _block(chain, height):
        if entry.kind is Kind.TRANSACTION and Transaction.from_bytes(entry.content).id == id:
            return index
    raise InvalidBlock(f"the block has no transaction {id.hex()[:12]}…", height=height)


def decision_index(chain: Chain, height: int, request: bytes) -> int:
    """The log index of the entry with the decision on a request, in the block at `height`."""
    for index, entry in _block(chain, height):
        for event in entry.outcome.events:
            if event.is_a(Decision) and event.read(Decision).request == request:
                return index
    raise InvalidBlock(f"the block has no decision on request {request.hex()[:12]}…", height=height)


def record_index(chain: Chain, height: int, record: bytes) -> int:
    """The log index of the entry that added a record, in the block at `height`."""
    for index, entry in _block(chain, height):
        for event in entry.outcome.events:
            if event.is_a(RecordAdded) and event.read(RecordAdded).record == record:
                return index
    raise InvalidBlock(f"the block has not added record {record.hex()[:12]}…", height=height)


def _block(chain: Chain, height: int) -> Iterator[tuple[int, Entry]]:
    for index, entry in chain.entries(chain.header(height).first):
        if entry.height != height:
            return
        yield index, entry


def history(chain: Chain, subject: bytes) -> tuple[Step, ...]:
    """Every entry that the contracts attribute to a subject, in the order of the log."""
    return tuple(_steps(chain, subject))


def _steps(chain: Chain, subject: bytes) -> Iterator[Step]:
    for index, entry in chain.entries():
        for concern in entry.outcome.subjects:
            if concern.subject == subject:
                by, name, message = _content(entry)
                events = tuple(event.name for event in entry.outcome.events)
                yield Step(index, entry.time, name, by, entry.outcome.code, events, concern.count, message)


def _content(entry: Entry) -> tuple[tuple[bytes, ...], str, Any]:
    """Signers, message name and fields of an entry. InvalidBlock if a timer is none."""
    if entry.kind is Kind.TRANSACTION:
        body = Transaction.from_bytes(entry.content).body
        return tuple(signer.party for signer in body.signers), body.message_name, body.message[1]
    try:
        timer = decode(entry.content, limit=LEAF_LIMIT)
    except EncodingError as error:
        raise InvalidBlock(f"a stored timer is damaged: {error}", height=entry.height) from error
    match timer:
        case [_, _, _, [str(name), fields]]:
            return (), name, fields
    raise InvalidBlock("a stored timer is damaged: it holds no message", height=entry.height)


def why(chain: Chain, decision: Decision, names: Mapping[bytes, str]) -> str:
    """One paragraph for a person: who may open what, and on whose word."""

    def called(party: bytes) -> str:
        return names.get(party) or f"party:{party[:4].hex()}"

    request = chain.table(AccessContract.requests)[decision.request]
    made = chain.table(AccessContract.decisions)[decision.request]
    approvals = chain.table(AccessContract.approvals)
    agreed = [
        f"{called(each)} at {moment(approvals[decision.request, each].time)}" for each in decision.quorum
    ]
    uses = "as often as it is asked for" if decision.uses_left is None else f"{decision.uses_left} more times"
    return (
        f"{called(decision.asker)} may open {parts_text(decision.parts)} of record {decision.record.hex()[:12]}… for "
        f"{describe_purpose(decision.purpose)} until {moment(decision.expires)}, because clause {decision.clause} of "
        f"version {decision.version} of its policy ({decision.policy.hex()[:12]}…) was satisfied. It was asked for at "
        f"{moment(request.asked)}; {', and '.join(agreed)} agreed; the decision was logged at {moment(made.time)}. "
        f"The clause may be used {uses}."
    )
