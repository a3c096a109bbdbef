"""Bound policies: parties instead of symbols, canonical bytes, one hash.

Only party ids are encoded; the names that people use for them and their keys stay on this machine (`names`,
`parties`). The encoding has every field of the model, null where unset, and reading it back checks all that
the model checks. Its hash goes into every share, envelope and approval.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from attrs import evolve, field, frozen

from medchain.encoding import Value
from medchain.errors import EncodingError, PolicyError
from medchain.policy.model import ClauseRules, check_whole, find_clause
from medchain.policy.names import OWNER, RESERVED, Role, close_to, shown
from medchain.policy.tree import Holder, Threshold, Tree
from medchain.records import decode_record, encode_record, from_value, short

if TYPE_CHECKING:
    from medchain.keys import Party
    from medchain.policy.analysis import Analysis
    from medchain.policy.model import Clause, Policy

LABEL = b"medchain/policy/v1"
MAX_BYTES = 49_152
"""Longest encoding: a bound policy fits into one entry of the ledger."""
MAX_GATE = 254


def _tuple(value: Iterable[Any]) -> Any:
    return tuple(value)


@frozen
class GateSet:
    """The gate: `threshold` of these parties give their share, only against a logged decision."""

    threshold: int
    parties: tuple[Party, ...] = field(converter=_tuple)

    def __attrs_post_init__(self) -> None:
        for party in self.parties:
            party_id("the gate", party)
        BoundGate(self.threshold, tuple(party.id for party in self.parties))


@frozen
class BoundGate:
    """The gate of a bound policy, as it is encoded: `threshold` of the party ids in `members`."""

    threshold: int
    members: tuple[bytes, ...] = field(repr=lambda ids: f"[{', '.join(map(short, ids))}]")

    def __attrs_post_init__(self) -> None:
        if type(self.threshold) is not int:
            raise TypeError(f"the gate's threshold is an int, not {type(self.threshold).__name__}")
        for member in self.members:
            Holder(member)
        if not 1 <= len(self.members) <= MAX_GATE or len(set(self.members)) < len(self.members):
            raise PolicyError(f"a gate has 1 to {MAX_GATE} different parties")
        if not 1 <= self.threshold <= len(self.members):
            raise PolicyError(f"a gate of {self.threshold} of {len(self.members)} can never open")


_PLAIN: dict[str, Any] = {
    "name": str,
    "mark": str | None,
    "purposes": tuple[str, ...],
    "not_before": int | None,
    "not_after": int | None,
    "uses": int | None,
    "notify": tuple[bytes, ...],
    "separate_asker": bool,
    "gated": bool,
    "reviewer": bytes | None,
    "review_within": int | None,
    "waiting": int | None,
    "objectors": tuple[bytes, ...],
}
"""The fields of a clause that are encoded as they are; `tree` and `askers` have a form of their own."""


@frozen
class BoundClause(ClauseRules[bytes]):
    """One clause of a `BoundPolicy`: the fields of `ClauseRules`, parties as ids of 32 bytes."""

    kind = bytes

    def __to_value__(self) -> dict[str, Value]:
        value: dict[str, Value] = {name: _plain(getattr(self, name)) for name in _PLAIN}
        value["tree"] = _tree_value(self.tree)
        value["askers"] = None if self.askers is None else [_asker_value(asker) for asker in self.askers]
        return value

    @classmethod
    def __from_value__(cls, value: Any) -> BoundClause:
        _keys("a clause", value, {*_PLAIN, "tree", "askers"})
        plain = {name: from_value(kind, value[name]) for name, kind in _PLAIN.items()}
        askers = value["askers"]
        if askers is not None:
            askers = tuple(_load_asker(asker) for asker in _list("askers", askers))
        return cls(tree=_load_tree(value["tree"]), askers=askers, **plain)


@frozen(repr=False)
class BoundPolicy:
    """A policy with its parties: what things are sealed under. Made by `Policy.bind` or read by `from_bytes`.

    ``bytes(bound)`` is the canonical encoding. Equality and `hash` are those of the encoding: names do not
    count.

    Attributes:
        clauses: the clauses, parties as ids.
        gate: threshold and ids of the gate, None if every clause is ungated.
        owner: id of the party bound to `owner`, or None.
        erasure: who has to agree to an order to erase; None leaves it to the application.
        labels: what a single holder may see without opening anything.
        names: the symbols that ids were bound to. Local: not encoded, empty after `from_bytes`.
        parties: the parties with their keys, by id. Local as well.
    """

    clauses: tuple[BoundClause, ...] = field(converter=_tuple)
    gate: BoundGate | None
    owner: bytes | None
    erasure: Tree[bytes] | None
    labels: tuple[str, ...] = field(converter=_tuple)
    names: Mapping[bytes, str] = field(factory=dict, eq=False)
    parties: Mapping[bytes, Party] = field(factory=dict, eq=False)

    def __attrs_post_init__(self) -> None:
        check_whole(self.clauses, self.erasure, self.labels, bytes)
        if self.gate is None and any(clause.gated for clause in self.clauses):
            raise PolicyError("a gated clause needs a gate")
        if self.owner is not None:
            Holder(self.owner)

    @functools.cached_property
    def hash(self) -> bytes:
        """H("medchain/policy/v1" ‖ encoding), 32 bytes: what shares, envelopes and approvals are bound to."""
        return hashlib.sha256(LABEL + bytes(self)).digest()

    def clause(self, name: str) -> BoundClause:
        """The clause called `name`. Raises PolicyError if there is none."""
        return find_clause(self.clauses, name)

    def name(self, party: bytes) -> str:
        """The local name of a party id, else the beginning of its hex."""
        return self.names.get(party) or party.hex()[:8]

    @property
    def ids(self) -> tuple[bytes, ...]:
        """Every party id that the policy mentions: clauses, erasure, owner, gate; each once, in that
        order."""
        mentioned = [party for clause in self.clauses for party in clause.mentioned]
        mentioned += self.erasure.holders if self.erasure else ()
        mentioned += [self.owner] if self.owner else []
        return tuple(dict.fromkeys([*mentioned, *(self.gate.members if self.gate else ())]))

    def named(self, **symbols: Party) -> BoundPolicy:
        """The same policy with these local names and parties beside those it has; strangers to it are left
        out."""
        ours = {symbol: party for symbol, party in symbols.items() if party_id(symbol, party) in self.ids}
        names = {**self.names, **{party.id: symbol for symbol, party in ours.items()}}
        parties = {**self.parties, **{party.id: party for party in ours.values()}}
        return evolve(self, names=names, parties=parties)

    def explain(self) -> str:
        """Each clause in one plain sentence, and what holds for the whole."""
        from medchain.policy.explain import explain

        return explain(self)

    def analyse(self) -> Analysis:
        """What the policy amounts to: smallest quorums, who opens alone, whose loss locks out, what never
        fires."""
        from medchain.policy.analysis import analyse

        return analyse(self)

    def __bytes__(self) -> bytes:
        return encode_record(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> BoundPolicy:
        """Read `bytes(bound)` back. Names and parties are empty: see `named`.

        Raises:
            EncodingError: not canonical, too long, or not a policy that the model allows.
        """
        return decode_record(cls, data, limit=MAX_BYTES)

    def __to_value__(self) -> dict[str, Value]:
        gate: Value = None
        if self.gate is not None:
            gate = {"threshold": self.gate.threshold, "members": list(self.gate.members)}
        return {
            "clauses": [clause.__to_value__() for clause in self.clauses],
            "gate": gate,
            "owner": self.owner,
            "erasure": None if self.erasure is None else _tree_value(self.erasure),
            "labels": list(self.labels),
        }

    @classmethod
    def __from_value__(cls, value: Any) -> BoundPolicy:
        _keys("a policy", value, {"clauses", "gate", "owner", "erasure", "labels"})
        owner: Any = bytes | None
        labels: Any = tuple[str, ...]
        return cls(
            clauses=tuple(from_value(BoundClause, clause) for clause in _list("clauses", value["clauses"])),
            gate=None if value["gate"] is None else from_value(BoundGate, value["gate"]),
            owner=from_value(owner, value["owner"]),
            erasure=None if value["erasure"] is None else _load_tree(value["erasure"]),
            labels=from_value(labels, value["labels"]),
        )

    def __repr__(self) -> str:
        names = ", ".join(clause.name for clause in self.clauses)
        return f"<BoundPolicy {self.hash.hex()[:12]}: {names}>"

    def _repr_html_(self) -> str:
        from medchain.policy.display import policy_html

        return policy_html(self)


def _plain(value: Any) -> Value:
    if isinstance(value, tuple):
        return list(value)
    plain: Value = str(value) if isinstance(value, str) else value
    return plain


def _tree_value(tree: Tree[bytes]) -> Value:
    if isinstance(tree, Holder):
        party: bytes = tree.holder
        return party
    assert isinstance(tree, Threshold)
    return {"k": tree.k, "of": [_tree_value(member) for member in tree.members]}


def _load_tree(value: Any) -> Tree[bytes]:
    """A tree from its encoded form.

    The depth of `value` is bounded by the encoding, that of the tree by Threshold.
    """
    if type(value) is bytes:
        return Holder(value)
    _keys("a threshold", value, {"k", "of"})
    return Threshold(value["k"], tuple(_load_tree(member) for member in _list("members", value["of"])))


def _asker_value(asker: bytes | Role) -> Value:
    return [asker.contract, asker.name] if isinstance(asker, Role) else asker


def _load_asker(value: Any) -> bytes | Role:
    if type(value) is bytes:
        return value
    if len(_list("a role", value)) != 2:
        raise EncodingError("a role is a list of contract and name")
    return Role(*value)


def _list(what: str, value: Any) -> list[Any]:
    if type(value) is not list:
        raise EncodingError(f"{what}: expected a list, found {type(value).__name__}")
    return value


def _keys(what: str, value: Any, names: Iterable[str]) -> None:
    if type(value) is not dict or value.keys() != set(names):
        raise EncodingError(f"{what} is a map of exactly {', '.join(sorted(names))}")


def party_id(symbol: str, party: Any) -> bytes:
    """The id of what was given as a party; TypeError if it is none."""
    found = getattr(party, "id", None)
    if type(found) is bytes and len(found) == 32:
        return found
    hint = "; name its public half, .party" if hasattr(party, "party") else ""
    raise TypeError(f"{symbol} is bound to a party, not to {type(party).__name__}{hint}")


def bind(policy: Policy, gate: GateSet | Party | None, symbols: Mapping[str, Party]) -> BoundPolicy:
    """See `Policy.bind`."""
    _check_symbols(policy.symbols, symbols)
    ids = {symbol: party_id(symbol, party) for symbol, party in symbols.items()}
    if gate is not None and not isinstance(gate, GateSet):
        party_id("gate", gate)
        gate = GateSet(1, (gate,))
    gate_parties = gate.parties if gate is not None else ()
    # An id under several symbols goes by the first; the owner is the owner whatever else it is called.
    names = {
        party.id: f"gate_{at}" if len(gate_parties) > 1 else "gate"
        for at, party in enumerate(gate_parties, 1)
    }
    order = [symbol for symbol in policy.symbols if symbol != OWNER]
    names |= {ids[symbol]: symbol for symbol in reversed(order)}
    names |= {ids[OWNER]: OWNER} if OWNER in ids else {}
    bound = BoundPolicy(
        clauses=tuple(_bind_clause(clause, ids, gate is not None) for clause in policy.clauses),
        gate=None if gate is None else BoundGate(gate.threshold, tuple(party.id for party in gate.parties)),
        owner=ids.get(OWNER),
        erasure=None if policy.erasure is None else policy.erasure.map(ids.__getitem__),
        labels=policy.labels,
        names=names,
        parties={party.id: party for party in (*gate_parties, *symbols.values())},
    )
    if len(bytes(bound)) > MAX_BYTES:
        raise PolicyError(f"the bound policy takes {len(bytes(bound))} bytes: at most {MAX_BYTES}")
    return bound


def _check_symbols(needed: tuple[str, ...], given: Mapping[str, Party]) -> None:
    missing = [symbol for symbol in needed if symbol not in given]
    unknown = [symbol for symbol in given if symbol not in needed and symbol != OWNER]
    if not missing and not unknown:
        return
    reasons = []
    for symbol in missing:
        meant = close_to(symbol, unknown) or close_to(symbol, RESERVED - {symbol})
        hint = f" (given is {meant})" if meant in unknown else f" (or was `{meant}` meant?)" if meant else ""
        reasons.append(f"no party for {symbol}{hint}")
    reasons += [f"the policy has no symbol {shown(symbol)}" for symbol in unknown]
    raise PolicyError("; ".join(reasons))


def _bind_clause(clause: Clause, ids: Mapping[str, bytes], gated: bool) -> BoundClause:
    def each(symbols: Iterable[str]) -> tuple[bytes, ...]:
        return tuple(dict.fromkeys(ids[symbol] for symbol in symbols))

    askers: tuple[bytes | Role, ...] | None = None
    if clause.askers is not None:
        askers = tuple(dict.fromkeys(one if isinstance(one, Role) else ids[one] for one in clause.askers))
    return BoundClause(
        name=clause.name,
        purposes=clause.purposes,
        tree=clause.tree.map(ids.__getitem__),
        mark=clause.mark,
        askers=askers,
        not_before=clause.not_before,
        not_after=clause.not_after,
        uses=clause.uses,
        notify=each(clause.notify),
        separate_asker=clause.separate_asker,
        gated=clause.gated and gated,
        reviewer=None if clause.reviewer is None else ids[clause.reviewer],
        review_within=clause.review_within,
        waiting=clause.waiting,
        objectors=each(clause.objectors),
    )
