"""What signing does, in plain words, out of what was proved and the names that this device knows.

Names come from the device's `Trust` alone; whoever it does not know goes by the beginning of its id. Nothing that the
server could choose freely stands in these texts: media types are quoted, everything else is a number, a code or a name
of fixed form.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from attrs import frozen

from medchain.access.messages import AddRecord, Parts, RequestAccess
from medchain.access.purposes import describe_purpose
from medchain.access.rules import within
from medchain.ledger.governance.rows import GateRow
from medchain.ledger.keys import PartyRow
from medchain.ledger.transaction import Body
from medchain.ledger.trust import Trust
from medchain.ledger.verify import AsOf, moment
from medchain.policy import BoundPolicy
from medchain.policy.explain import explain_clause, joined
from medchain.policy.moments import format_duration
from medchain.sealing import SealedHeader

if TYPE_CHECKING:
    from medchain.access.review import Answered

__all__ = ["Words", "approval", "names_for", "record", "refusal", "request"]

SHOWN_PARTS = 8
_KINDS = {
    "authority": "the authority of this chain",
    "gate": "a gate of this chain",
    "organisation": "an organisation",
    "person": "a person",
    "pseudonym": "a pseudonym",
}


def names_for(body: Body, trust: Trust, policy: BoundPolicy, gate: GateRow | None) -> Mapping[bytes, str]:
    """What the parties of a policy are called on this device; who signs alone is ``you``.

    Only the proved gate of the chain is called ``gate``, where it is one party; any other goes by its id.
    """
    members: tuple[bytes, ...] = policy.gate.members if policy.gate is not None else ()
    names = {party: trust.names.get(party) or f"party:{party[:4].hex()}" for party in policy.ids}
    if len(members) == 1 and gate is not None and members == gate.members and members[0] not in trust.names:
        names[members[0]] = "gate"
    if len(body.signers) == 1:
        names[body.signers[0].party] = "you"
    return names


@frozen
class Words:
    """Names, places and times for one text."""

    policy: BoundPolicy
    trust: Trust
    as_of: AsOf
    body: Body

    def name(self, party: bytes) -> str:
        """A party as this device knows it."""
        if len(self.body.signers) == 1 and self.body.signers[0].party == party:
            return "you"
        return self.trust.names.get(party) or f"party:{party[:4].hex()}"

    def full_name(self, party: bytes, row: PartyRow) -> str:
        """A party with its id, what it is, and who vouches for it."""
        kind = _KINDS.get(row.kind, "a party")
        voucher = f" vouched for by {self.name(row.sponsor)}" if row.sponsor is not None else ""
        known = self.trust.names.get(party)
        about = f"{kind}{voucher}" if known is None else f"party:{party[:4].hex()}, {kind}{voucher}"
        return f"{self.name(party)} ({about})"

    def text(self, title: str, effect: str, lines: Iterable[tuple[str, str]], warning: str) -> str:
        """Title, what signing does, the facts, what cannot be undone, and as of when all that is proved."""
        facts = [f"  {label:<8} {fact}" for label, fact in lines]
        proved = f"Proved {self.as_of}, log {self.trust.origin}."
        return "\n".join([title, "", effect, *facts, *([warning] if warning else []), proved])


def approval(found: Answered, parts: Parts, words: Words) -> str:
    """The text of an approval for `parts`; None: for all that are asked for."""
    message, asker = found.request.message, found.request.asker.party
    chosen = message.parts if parts is None else parts
    name = words.name(asker)
    lines = _request_lines(found, chosen, words)
    if chosen != message.parts:
        lines.insert(2, ("asked", f"it asked for {_parts(message.parts, found.bundle)}"))
    lines += [("agreed", _agreed(found, chosen, words)), ("then", _then(found, chosen, words))]
    return words.text(
        f"Approve: {name} asks to open a record",
        f"Signing gives {words.full_name(asker, found.asker)} your share of the keys to the parts below, "
        "sealed to a key of this one request, and puts your approval on the log.",
        lines,
        f"This cannot be taken back: what {name} has opened it can keep.",
    )


def refusal(found: Answered, words: Words) -> str:
    """The text of a decline."""
    asker = found.request.asker.party
    return words.text(
        f"Decline: {words.name(asker)} asks to open a record",
        f"Signing says no to {words.full_name(asker, found.asker)} on the log. No key leaves this device.",
        _request_lines(found, found.request.message.parts, words),
        "You cannot approve this request any more; it can be asked again.",
    )


def request(message: RequestAccess, signer: bytes, bundle: SealedHeader, words: Words) -> str:
    """The text of a request."""
    clause = words.policy.clause(message.clause)
    assert words.policy.owner is not None
    return words.text(
        "Ask to open a record",
        f"Signing asks on the log, as {words.name(signer)}, for the parts below, to be sealed to a key that "
        "this device makes for this one request.",
        [
            ("record", f"{message.record.hex()[:12]}…, of {words.name(words.policy.owner)}"),
            ("parts", _parts(message.parts, bundle)),
            ("purpose", describe_purpose(message.purpose)),
            ("until", moment(message.expiry)),
            ("clause", explain_clause(words.policy, clause)),
        ],
        "That you have asked, when and for what purpose stays on the log.",
    )


def record(message: AddRecord, author: bytes, bundle: SealedHeader, words: Words) -> str:
    """The text of a new record."""
    clauses = [("opens", line) for line in words.policy.explain().split("\n")]
    return words.text(
        "Add a record",
        f"Signing puts a record of {words.name(message.subject)}, made by {words.name(author)}, on the log under the "
        "policy below.",
        [
            ("record", f"{message.record.hex()[:12]}…"),
            ("parts", _parts(None, bundle)),
            *clauses,
        ],
        "Pseudonyms, times and hashes stay on the log, also when the content is erased.",
    )


def _request_lines(found: Answered, parts: Parts, words: Words) -> list[tuple[str, str]]:
    message, row = found.request.message, found.record
    added = f"added {moment(row.added)} by {words.name(row.author)}"
    lines = [
        ("record", f"{message.record.hex()[:12]}…, of {words.name(row.subject)}, {added}"),
        ("parts", _parts(parts, found.bundle)),
    ]
    if words.policy.labels:
        lines.append(("labels", f"the policy lets a single holder see {joined(words.policy.labels)}"))
    return [
        *lines,
        ("purpose", describe_purpose(message.purpose)),
        ("until", moment(message.expiry)),
        ("clause", explain_clause(words.policy, found.clause)),
    ]


def _parts(parts: Parts, bundle: SealedHeader) -> str:
    """Parts with what the header says of them; what they are is in the manifest, which is sealed."""
    infos = bundle.header.parts
    numbers = range(1, len(infos)) if parts is None else parts
    each = [f'{at} ("{infos[at].media_type}", {infos[at].length:,} bytes)' for at in numbers[:SHOWN_PARTS]]
    more = [f"{len(numbers) - SHOWN_PARTS} more"] if len(numbers) > SHOWN_PARTS else []
    count = len(infos) - 1
    everything = f"all {count}" if count > 1 else "the only one"
    which = everything if len(numbers) == count else f"{len(numbers)} of {count}"
    return f"{which}: {joined([*each, *more])}"


def _agreed(found: Answered, parts: Parts, words: Words) -> str:
    """Who has approved, and of whom that does not count for all of `parts`."""
    full = _covering(found, parts)
    names = [f"{words.name(each)}{'' if each in full else ' (other parts)'}" for each in found.approvals]
    return joined(names) if names else "nobody so far"


def _then(found: Answered, parts: Parts, words: Words) -> str:
    """What is still missing once this signer has approved."""
    clause = found.clause
    never = [found.request.asker.party] if clause.separate_asker else []
    agreed = [*_covering(found, parts), words.body.signers[0].party]
    waiting = clause.tree.waiting_for(agreed, never=never)
    if waiting:
        return f"it still takes {joined([words.name(each) for each in waiting], 'or')}"
    if clause.waiting is not None:
        return (
            f"nobody else is needed; it is decided after {format_duration(clause.waiting)} without objection"
        )
    gate = " and the gate has seen the decision" if clause.gated else ""
    return f"nobody else is needed: it opens once you have signed{gate}"


def _covering(found: Answered, parts: Parts) -> list[bytes]:
    """Whose approval covers all of `parts`."""
    return [
        holder for holder, row in found.approvals.items() if row.parts is None or within(parts, row.parts)
    ]
