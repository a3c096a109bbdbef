"""Governance against a naive model of its rules, over random proposals, approvals, withdrawals and time."""

from __future__ import annotations

import hashlib
from typing import Any

from attrs import define, field
from hypothesis import example, given, settings
from hypothesis import strategies as st

from medchain.errors import ContractError
from medchain.ledger.contract import Context, wire_name
from medchain.ledger.governance import (
    GATE,
    AddAuthority,
    AddGateMember,
    Approve,
    AuthorityRow,
    Expire,
    GateRow,
    Governance,
    ParameterRow,
    RemoveAuthority,
    RemoveGateMember,
    SetGateThreshold,
    SetParameter,
    Withdraw,
)
from medchain.ledger.keys import Keys
from medchain.ledger.state import NO_ROWS, Overlay
from medchain.testing.policies import stand_in

PEOPLE = [stand_in(name) for name in "abcdef"]
UNKNOWN = bytes(32)
LIFE = 30 * 86_400_000


@define
class Ledger:
    """The contract alone, on bare rows: no signatures, no blocks."""

    rows: Overlay = field(factory=lambda: Overlay(NO_ROWS))
    timers: list[tuple[int, Any]] = field(factory=list)
    count: int = 0
    time: int = 1

    def __attrs_post_init__(self) -> None:
        for party in PEOPLE:
            Keys(self.rows).admit(party, "person", None, 0)
        governance = Governance(self.rows)
        governance.authorities[PEOPLE[0].id] = AuthorityRow(0)
        governance.gate[GATE] = GateRow(1, (PEOPLE[0].id,))
        governance.parameters["authority_threshold"] = ParameterRow(1)

    def run(self, message: Any, *signers: bytes) -> tuple[str, bytes]:
        """Code and id of what became of a message."""
        self.count += 1
        overlay = Overlay(self.rows)
        context = Context(
            height=self.count,
            time=self.time,
            signers=signers,
            id=hashlib.sha256(str(self.count).encode()).digest(),
            chain=bytes(32),
            rows=overlay,
            earliest=self.time,
        )
        contract = Governance(overlay)
        try:
            contract.handle(context, wire_name(type(message)), message)
        except ContractError as refusal:
            return refusal.reason, context.id
        self.rows.take(overlay)
        self.timers += [(at, Expire(plain[1]["proposal"])) for at, _, plain in context.timers]
        return "ok", context.id

    def wait(self, ms: int) -> None:
        self.time += ms
        due = [message for at, message in self.timers if at <= self.time]
        self.timers = [(at, message) for at, message in self.timers if at > self.time]
        for message in due:
            assert self.run(message)[0] == "ok"

    def state(self) -> Any:
        governance = Governance(self.rows)
        gate = governance.gate[GATE]
        assert list(gate.members) == sorted(gate.members)
        thresholds = [governance.parameters["authority_threshold"].value, gate.threshold]
        proposals = {
            id: {key[1] for key in governance.approvals.keys(under=(id,))} for id in governance.proposals
        }
        return set(governance.authorities), set(gate.members), thresholds, proposals


@define
class Model:
    """The same rules over sets and dicts, as they would be told to somebody."""

    sets: dict[str, set[bytes]] = field(factory=lambda: {"authority": {PEOPLE[0].id}, "gate": {PEOPLE[0].id}})
    thresholds: dict[str, int] = field(factory=lambda: {"authority": 1, "gate": 1})
    open: dict[bytes, tuple[Any, set[bytes], int]] = field(factory=dict)

    def possible(self, action: Any) -> bool:
        match action:
            case AddAuthority(party):
                return party != UNKNOWN and party not in self.sets["authority"]
            case AddGateMember(party):
                return party != UNKNOWN and party not in self.sets["gate"]
            case RemoveAuthority(party):
                return (
                    party in self.sets["authority"]
                    and len(self.sets["authority"]) > self.thresholds["authority"]
                )
            case RemoveGateMember(party):
                return party in self.sets["gate"] and len(self.sets["gate"]) > self.thresholds["gate"]
            case SetParameter(_, value):
                return self._fits("authority", value)
            case SetGateThreshold(value):
                return self._fits("gate", value)
        raise AssertionError(action)

    def _fits(self, which: str, threshold: int) -> bool:
        return 1 <= threshold <= len(self.sets[which]) and threshold != self.thresholds[which]

    def carry_out(self, action: Any) -> None:
        match action:
            case AddAuthority(party):
                self.sets["authority"].add(party)
            case AddGateMember(party):
                self.sets["gate"].add(party)
            case RemoveAuthority(party):
                self.sets["authority"].remove(party)
                for _, approvals, _ in self.open.values():
                    approvals.discard(party)
                self.open = {id: each for id, each in self.open.items() if each[1]}
            case RemoveGateMember(party):
                self.sets["gate"].remove(party)
            case SetParameter(_, value):
                self.thresholds["authority"] = value
            case SetGateThreshold(value):
                self.thresholds["gate"] = value

    def propose(self, action: Any, signers: tuple[bytes, ...], id: bytes, time: int) -> bool:
        if not signers or not set(signers) <= self.sets["authority"] or not self.possible(action):
            return False
        if len(signers) >= self.thresholds["authority"]:
            self.carry_out(action)
        else:
            self.open[id] = (action, set(signers), time + LIFE)
        return True

    def approve(self, id: bytes, signers: tuple[bytes, ...]) -> bool:
        if not signers or not set(signers) <= self.sets["authority"] or id not in self.open:
            return False
        action, approvals, _ = self.open[id]
        if len(approvals) < self.thresholds["authority"] and approvals & set(signers):
            return False
        if len(approvals | set(signers)) >= self.thresholds["authority"]:
            if not self.possible(action):
                return False
            del self.open[id]
            self.carry_out(action)
        else:
            approvals |= set(signers)
        return True

    def withdraw(self, id: bytes, signers: tuple[bytes, ...]) -> bool:
        if not signers or not set(signers) <= self.sets["authority"] or id not in self.open:
            return False
        _, approvals, _ = self.open[id]
        if not set(signers) <= approvals:
            return False
        approvals -= set(signers)
        if not approvals:
            del self.open[id]
        return True

    def wait(self, time: int) -> None:
        self.open = {id: each for id, each in self.open.items() if each[2] > time}

    def state(self) -> Any:
        proposals = {id: approvals for id, (_, approvals, _) in self.open.items()}
        return self.sets["authority"], self.sets["gate"], [*self.thresholds.values()], proposals


parties = st.sampled_from([*(party.id for party in PEOPLE), UNKNOWN])
actions = st.one_of(
    *(st.builds(kind, parties) for kind in (AddAuthority, RemoveAuthority, AddGateMember, RemoveGateMember)),
    st.builds(SetParameter, st.just("authority_threshold"), st.integers(-1, 4)),
    st.builds(SetGateThreshold, st.integers(-1, 4)),
)
signers = st.lists(parties, min_size=1, max_size=4, unique=True).map(tuple)
steps = st.one_of(
    st.tuples(st.just("propose"), actions, signers),
    st.tuples(st.just("decide"), actions, st.just(())),
    st.tuples(st.sampled_from(["approve", "withdraw"]), st.integers(0, 3), signers),
    st.tuples(st.just("wait"), st.integers(1, LIFE // 2), st.just(())),
)


A, B, C = (party.id for party in PEOPLE[:3])
THREE = [("decide", AddAuthority(B), ()), ("decide", AddAuthority(C), ())]


def threshold(value: int) -> Any:
    return ("decide", SetParameter("authority_threshold", value), ())


@settings(max_examples=300, deadline=None)
@given(st.lists(steps, max_size=40))
@example(  # nobody is left who approves
    [*THREE, threshold(2), ("propose", AddGateMember(B), (C,)), ("propose", RemoveAuthority(C), (A, B))]
)
@example(  # nobody is left who has not approved
    [
        *(*THREE, threshold(3), ("propose", AddGateMember(B), (A, B)), threshold(2)),
        *(("propose", RemoveAuthority(C), (A, B)), ("approve", 0, (A,))),
    ]
)
def test_it_does_what_the_model_does(script: list[Any]) -> None:
    ledger, model = Ledger(), Model()
    for verb, what, by in script:
        if verb == "wait":
            ledger.wait(what)
            model.wait(ledger.time)
        elif verb in ("propose", "decide"):
            # Left alone, chance would rarely find enough authorities: "decide" takes just as many as are needed.
            some = tuple(sorted(model.sets["authority"])[: model.thresholds["authority"]])
            code, id = ledger.run(what, *(by or some))
            assert model.propose(what, by or some, id, ledger.time) == (code == "ok"), code
        else:
            ids = sorted(model.open) or [UNKNOWN]
            id = ids[what % len(ids)]
            code, _ = ledger.run({"approve": Approve, "withdraw": Withdraw}[verb](id), *by)
            assert getattr(model, verb)(id, by) == (code == "ok"), code
        ledger.wait(0)
        assert ledger.state() == model.state()
        for members, threshold in zip(ledger.state()[:2], ledger.state()[2], strict=True):
            assert 1 <= threshold <= len(members)
