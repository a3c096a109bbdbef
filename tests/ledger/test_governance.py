"""Who governs: decisions of k authorities, at once and one by one, over members, gate and parameters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve
from ledger.council import Council, council, last_timer, names, strangers
from ledger.counting import Add, Counting, Later, Put
from ledger.world import START, World, wallet

from medchain.chain import Chain
from medchain.errors import InvalidTransaction, Refused
from medchain.keys.wallet import Wallet
from medchain.ledger.entry import Kind
from medchain.ledger.governance import (
    GATE,
    PARAMETERS,
    AddAuthority,
    AddGateMember,
    Approve,
    Approved,
    AuthorityRow,
    Closed,
    Decided,
    Expire,
    GateRow,
    GateThresholdChanged,
    Governance,
    ParameterChanged,
    Proposed,
    RemoveAuthority,
    RemoveGateMember,
    SetGateThreshold,
    SetParameter,
    Withdraw,
    Withdrawn,
)
from medchain.ledger.governance.contract import PROPOSALS_LIMIT
from medchain.ledger.keys import Keys, Register, Revoke, Rotate
from medchain.ledger.system import LedgerTables
from medchain.policy import GateSet

DAY = 86_400_000
MONTH = 30 * DAY


def revoke(chamber: Council, whom: Wallet, by: Wallet) -> str:
    """The code of an attempt to end somebody's keys."""
    body = chamber.body(Revoke(whom.party.id), by, of=Keys)
    return chamber.chain.submit(chamber.sign(body, by)).receipt(10).code


@pytest.fixture
def chamber() -> Iterator[Council]:
    with council() as made:
        yield made


class TestProposals:
    def test_enough_signers_decide_at_once(self, chamber: Council) -> None:
        dora = chamber.register("dora")
        receipt = chamber.govern(AddAuthority(dora.party.id), chamber.clara, chamber.anna)
        assert names(receipt) == ["decided", "authority-added"]
        by = (chamber.clara.party.id, chamber.anna.party.id)
        assert receipt.events[0].read(Decided) == Decided(receipt.id, "add-authority", by)
        assert chamber.chain.table(Governance.authorities)[dora.party.id] == AuthorityRow(receipt.height)
        assert not chamber.proposals
        assert not chamber.approvals

    def test_others_approve_one_by_one(self, chamber: Council) -> None:
        dora = chamber.register("dora")
        message = AddAuthority(dora.party.id)
        receipt = chamber.govern(message, chamber.anna)
        proposal, expires = receipt.id, START + MONTH
        assert receipt.events[0].read(Proposed) == Proposed(
            proposal, "add-authority", (chamber.anna.party.id,), expires
        )
        row = chamber.proposals[proposal]
        assert (row.action, row.message) == ("add-authority", {"party": dora.party.id})
        assert (row.proposer, row.proposed, row.expires) == (chamber.anna.party.id, START, expires)
        assert dora.party.id not in chamber.authorities
        agreed = chamber.approve(proposal, chamber.berta)
        assert names(agreed) == ["approved", "decided", "authority-added"]
        assert agreed.events[0].read(Approved) == Approved(proposal, (chamber.berta.party.id,), 0)
        decided = agreed.events[1].read(Decided)
        assert (decided.proposal, set(decided.by)) == (
            proposal,
            {chamber.anna.party.id, chamber.berta.party.id},
        )
        assert dora.party.id in chamber.authorities
        assert not chamber.proposals
        assert not chamber.approvals

    def test_three_of_three(self, chamber: Council) -> None:
        chamber.decide(SetParameter("authority_threshold", 3))
        proposal = chamber.propose(SetParameter("proposal_ms", DAY), chamber.clara)
        receipt = chamber.approve(proposal, chamber.anna)
        assert [event.read(Approved).missing for event in receipt.events] == [1]
        assert names(chamber.approve(proposal, chamber.berta))[1:] == ["decided", "parameter-changed"]

    def test_several_approve_together(self, chamber: Council) -> None:
        chamber.decide(SetParameter("authority_threshold", 3))
        proposal = chamber.propose(SetParameter("proposal_ms", DAY))
        assert "decided" in names(chamber.approve(proposal, chamber.clara, chamber.berta))

    def test_authorities_only(self, chamber: Council) -> None:
        dora = chamber.register("dora")
        message = SetParameter("proposal_ms", DAY)
        proposal = chamber.propose(message)
        for signers in ((dora,), (dora, chamber.anna, chamber.berta), (chamber.anna, chamber.berta, dora)):
            assert chamber.govern(message, *signers).code == "not-an-authority"
        for each in (Approve(proposal), Withdraw(proposal)):
            assert chamber.govern(each, dora).code == "not-an-authority"
            assert chamber.govern(each, chamber.anna, dora).code == "not-an-authority"
        assert chamber.parameter("proposal_ms") is None
        assert chamber.approvals == {(proposal, chamber.anna.party.id)}

    def test_nobody_approves_twice(self, chamber: Council) -> None:
        chamber.decide(SetParameter("authority_threshold", 3))
        proposal = chamber.propose(SetParameter("proposal_ms", DAY), chamber.anna, chamber.berta)
        for again in (chamber.anna, chamber.berta):
            assert chamber.approve(proposal, again).code == "already-approved"
            assert chamber.approve(proposal, chamber.clara, again).code == "already-approved"
        assert len(chamber.approvals) == 2
        assert chamber.approve(proposal, chamber.clara).ok

    def test_what_is_not_open(self, chamber: Council) -> None:
        decided = chamber.decide(SetParameter("proposal_ms", DAY)).id
        for proposal in (bytes(32), decided):
            assert chamber.approve(proposal, chamber.anna).code == "unknown-proposal"
            assert chamber.withdraw(proposal, chamber.anna).code == "unknown-proposal"
        assert chamber.proposals == {}

    def test_expiry(self, chamber: Council) -> None:
        proposal = chamber.propose(SetParameter("proposal_ms", DAY))
        chamber.clock.now = START + MONTH - 1
        second = chamber.propose(SetParameter("proposal_ms", 2 * DAY))
        assert set(chamber.proposals) == {proposal, second}
        chamber.clock.now = START + MONTH
        assert chamber.approve(proposal, chamber.berta).code == "unknown-proposal"
        timer = last_timer(chamber)
        assert [event.read(Closed) for event in timer.outcome.events] == [Closed(proposal, "expired")]
        assert set(chamber.proposals) == {second}
        assert chamber.approvals == {(second, chamber.anna.party.id)}

    def test_expiry_does_not_wait_for_a_crowd_of_timers(self, chamber: Council) -> None:
        """What is past its time takes no approval, even if its timer has not had its turn."""
        chamber.decide(SetParameter("timers_per_block", 1))
        for _ in range(3):
            chamber.send(Later(START + MONTH - 5, 1), chamber.anna)
        proposal = chamber.propose(SetParameter("proposal_ms", DAY))
        chamber.clock.now = START + MONTH
        assert chamber.approve(proposal, chamber.berta).code == "expired"
        assert chamber.parameter("proposal_ms") is None

    def test_expiry_of_what_is_closed_already(self, chamber: Council) -> None:
        proposal = chamber.propose(SetParameter("proposal_ms", DAY))
        assert chamber.approve(proposal, chamber.berta).ok
        chamber.clock.now += MONTH
        timer = last_timer(chamber)
        assert (timer.kind, timer.outcome.code, timer.outcome.events) == (Kind.TIMER, "ok", ())

    def test_nobody_sends_the_timer(self, chamber: Council) -> None:
        proposal = chamber.propose(SetParameter("proposal_ms", DAY))
        for signers in ((chamber.berta,), (chamber.anna, chamber.berta, chamber.clara)):
            assert chamber.govern(Expire(proposal), *signers).code == "wrong-signers"
        assert proposal in chamber.proposals

    def test_withdrawal(self, chamber: Council) -> None:
        chamber.decide(SetParameter("authority_threshold", 3))
        proposal = chamber.propose(SetParameter("proposal_ms", DAY))
        assert chamber.withdraw(proposal, chamber.berta).code == "not-approved"
        assert chamber.approve(proposal, chamber.berta).ok
        receipt = chamber.withdraw(proposal, chamber.anna)
        assert [event.read(Withdrawn) for event in receipt.events] == [
            Withdrawn(proposal, (chamber.anna.party.id,))
        ]
        assert chamber.approvals == {(proposal, chamber.berta.party.id)}
        assert chamber.withdraw(proposal, chamber.anna).code == "not-approved"
        assert chamber.approve(proposal, chamber.clara).ok
        assert chamber.approve(proposal, chamber.anna).ok
        assert chamber.parameter("proposal_ms") == DAY

    def test_a_proposal_that_nobody_wants_any_more(self, chamber: Council) -> None:
        proposal = chamber.propose(SetParameter("proposal_ms", DAY))
        receipt = chamber.withdraw(proposal, chamber.anna)
        assert names(receipt) == ["withdrawn", "closed"]
        assert receipt.events[1].read(Closed) == Closed(proposal, "withdrawn")
        assert chamber.approve(proposal, chamber.berta).code == "unknown-proposal"

    def test_the_same_wish_twice(self, chamber: Council) -> None:
        """Each proposal has an id of its own: an approval of a closed one counts for no later one."""
        message = SetParameter("proposal_ms", DAY)
        first = chamber.propose(message)
        kept_back = chamber.sign(chamber.body(Approve(first), chamber.berta, of=Governance), chamber.berta)
        chamber.withdraw(first, chamber.anna)
        second = chamber.propose(message)
        assert first != second
        assert chamber.chain.submit(kept_back).receipt(10).code == "unknown-proposal"
        assert chamber.parameter("proposal_ms") is None
        third = chamber.propose(message)
        assert chamber.approve(second, chamber.berta).ok
        assert chamber.approve(third, chamber.berta).code == "no-change"

    def test_what_has_become_impossible(self, chamber: Council) -> None:
        """The approval is refused with the decision's code, and the proposal waits for better times."""
        dora, proposal = chamber.register("dora"), chamber.propose(RemoveAuthority(chamber.clara.party.id))
        chamber.decide(SetParameter("authority_threshold", 3))
        assert chamber.approve(proposal, chamber.berta).ok
        assert chamber.approve(proposal, chamber.clara).code == "below-threshold"
        assert len(chamber.approvals) == 2
        assert chamber.govern(AddAuthority(dora.party.id), chamber.anna, chamber.berta, chamber.clara).ok
        assert chamber.approve(proposal, dora).ok
        assert chamber.clara.party.id not in chamber.authorities

    def test_a_lower_threshold_decides_with_the_next_approval(self, chamber: Council) -> None:
        chamber.decide(SetParameter("authority_threshold", 3))
        proposal = chamber.propose(SetParameter("proposal_ms", DAY), chamber.anna, chamber.berta)
        lower = chamber.propose(SetParameter("authority_threshold", 2), chamber.anna, chamber.berta)
        assert chamber.approve(lower, chamber.clara).ok
        assert proposal in chamber.proposals
        assert chamber.withdraw(proposal, chamber.anna).ok
        assert "decided" in names(chamber.approve(proposal, chamber.anna))

    def test_who_has_approved_before_decides_when_all_have(self, chamber: Council) -> None:
        """Else nobody could: after a removal and a lower threshold there may be nobody who has not approved."""
        chamber.decide(SetParameter("authority_threshold", 3))
        proposal = chamber.propose(SetParameter("proposal_ms", DAY), chamber.anna, chamber.berta)
        assert chamber.approve(proposal, chamber.anna).code == "already-approved"
        everybody = (chamber.anna, chamber.berta, chamber.clara)
        assert chamber.govern(SetParameter("authority_threshold", 2), *everybody).ok
        chamber.decide(RemoveAuthority(chamber.clara.party.id))
        assert proposal in chamber.proposals
        assert chamber.approve(proposal, chamber.clara).code == "not-an-authority"
        receipt = chamber.approve(proposal, chamber.anna)
        assert names(receipt) == ["approved", "decided", "parameter-changed"]
        by = (chamber.anna.party.id,)
        assert receipt.events[0].read(Approved) == Approved(proposal, by, 0)
        assert set(receipt.events[1].read(Decided).by) == {chamber.anna.party.id, chamber.berta.party.id}
        assert not chamber.proposals
        assert not chamber.approvals

    def test_open_proposals_are_limited(self, chamber: Council) -> None:
        for number in range(PROPOSALS_LIMIT):
            last = chamber.propose(SetParameter("proposal_ms", DAY + number))
        assert chamber.govern(SetParameter("proposal_ms", 2 * DAY), chamber.anna).code == "too-many"
        assert chamber.propose(SetParameter("proposal_ms", 2 * DAY), chamber.berta)
        assert chamber.withdraw(last, chamber.anna).ok
        assert chamber.propose(SetParameter("proposal_ms", 2 * DAY))
        chamber.decide(SetParameter("proposal_ms", 3 * DAY))

    def test_a_wrong_proposal_is_refused_at_once(self, chamber: Council) -> None:
        for message, code in (
            (AddAuthority(bytes(32)), "unknown-party"),
            (SetParameter("weather", 1), "unknown-parameter"),
            (RemoveGateMember(bytes(32)), "not-a-member"),
        ):
            assert chamber.govern(message, chamber.anna).code == code
        assert not chamber.proposals


class TestAuthorities:
    def test_whom_nobody_knows(self, chamber: Council) -> None:
        dora, revoked = wallet("dora"), chamber.register("revoked")
        chamber.chain.send(Keys, Revoke(revoked.party.id), by=[revoked])
        for each in (dora, revoked):
            assert chamber.govern(AddAuthority(each.party.id), chamber.anna).code == "unknown-party"
        assert chamber.govern(AddAuthority(chamber.clara.party.id), chamber.anna).code == "already-member"
        assert chamber.govern(RemoveAuthority(dora.party.id), chamber.anna).code == "not-a-member"

    def test_never_fewer_than_the_threshold(self, chamber: Council) -> None:
        chamber.decide(RemoveAuthority(chamber.clara.party.id))
        for each in (chamber.anna, chamber.berta):
            code = chamber.govern(RemoveAuthority(each.party.id), chamber.anna, chamber.berta).code
            assert code == "below-threshold"
        chamber.decide(SetParameter("authority_threshold", 1))
        assert chamber.govern(RemoveAuthority(chamber.anna.party.id), chamber.anna).ok
        assert chamber.authorities == {chamber.berta.party.id}
        assert (
            chamber.govern(RemoveAuthority(chamber.berta.party.id), chamber.berta).code == "below-threshold"
        )
        assert chamber.govern(SetParameter("authority_threshold", 2), chamber.anna).code == "not-an-authority"

    def test_the_removed_decide_nothing(self, chamber: Council) -> None:
        chamber.decide(RemoveAuthority(chamber.clara.party.id))
        message = SetParameter("proposal_ms", DAY)
        assert chamber.govern(message, chamber.clara).code == "not-an-authority"
        assert chamber.govern(message, chamber.anna, chamber.clara).code == "not-an-authority"

    def test_their_approvals_go_with_them(self, chamber: Council) -> None:
        chamber.decide(SetParameter("authority_threshold", 3))
        dora = chamber.register("dora")
        all_three = (chamber.anna, chamber.berta, chamber.clara)
        assert chamber.govern(AddAuthority(dora.party.id), *all_three).ok
        message = SetParameter("proposal_ms", DAY)
        proposal = chamber.propose(message, chamber.clara, chamber.anna)
        alone = chamber.propose(message, chamber.clara)
        assert chamber.govern(RemoveAuthority(chamber.clara.party.id), chamber.anna, chamber.berta, dora).ok
        assert chamber.approvals == {(proposal, chamber.anna.party.id)}
        assert chamber.approve(proposal, chamber.berta).events[0].read(Approved).missing == 1
        # Who is let in again begins anew.
        assert chamber.govern(AddAuthority(chamber.clara.party.id), chamber.anna, chamber.berta, dora).ok
        assert len([key for key in chamber.approvals if key[0] == proposal]) == 2
        assert names(chamber.approve(proposal, chamber.clara))[1:] == ["decided", "parameter-changed"]
        # A proposal without any approval left is closed.
        assert chamber.approve(alone, dora).code == "unknown-proposal"
        closed = [each.event for each in chamber.chain.events() if isinstance(each.event, Closed)]
        assert closed == [Closed(alone, "abandoned")]

    def test_a_removal_closes_whatever_nobody_else_approves(self, chamber: Council) -> None:
        """However many that are: each is closed in an entry of its own."""
        chamber.decide(SetParameter("authority_threshold", 3))
        dora, all_three = chamber.register("dora"), (chamber.anna, chamber.berta, chamber.clara)
        assert chamber.govern(AddAuthority(dora.party.id), *all_three).ok
        for by in all_three:
            for number in range(PROPOSALS_LIMIT):
                proposal = chamber.propose(SetParameter("proposal_ms", DAY + number), by)
                if by != chamber.clara:
                    assert chamber.approve(proposal, chamber.clara).ok
                if by != chamber.clara and (by, number) != (chamber.berta, 0):
                    assert chamber.withdraw(proposal, by).ok
        left = [key for key in chamber.approvals if key[1] == chamber.berta.party.id]
        assert (len(chamber.proposals), len(left)) == (3 * PROPOSALS_LIMIT, 1)
        receipt = chamber.govern(RemoveAuthority(chamber.clara.party.id), chamber.anna, chamber.berta, dora)
        assert names(receipt) == ["decided", "authority-removed"]
        chamber.send(Add(1), chamber.anna)
        assert chamber.approvals == set(left)
        assert set(chamber.proposals) == {left[0][0]}
        reasons = [each.event.reason for each in chamber.chain.events() if isinstance(each.event, Closed)]
        assert reasons == ["abandoned"] * (3 * PROPOSALS_LIMIT - 1)
        chamber.clock.now += MONTH  # their timers come all the same, and find nothing
        chamber.send(Add(1), chamber.anna)
        assert not chamber.proposals

    def test_one_who_approves_in_time_keeps_a_proposal(self, chamber: Council) -> None:
        proposal = chamber.propose(SetParameter("proposal_ms", DAY), chamber.clara)
        chamber.decide(AddAuthority(chamber.register("dora").party.id))
        chamber.decide(SetParameter("authority_threshold", 3))
        removal = chamber.body(
            RemoveAuthority(chamber.clara.party.id),
            *(each := (chamber.anna, chamber.berta, wallet("dora"))),
            of=Governance,
        )
        approval = chamber.body(Approve(proposal), chamber.berta, of=Governance)
        writer = chamber.chain._writer
        assert writer is not None

        def block() -> None:
            with writer.begin() as builder:
                assert builder.add(chamber.sign(removal, *each)).ok
                assert builder.add(chamber.sign(approval, chamber.berta)).ok
                made = builder.close()
            writer.commit(made)

        writer.engine.run(block)
        timer = last_timer(chamber)
        assert (timer.outcome.code, timer.outcome.events) == ("ok", ())
        assert chamber.approvals == {(proposal, chamber.berta.party.id)}
        assert set(chamber.proposals) == {proposal}

    def test_who_removes_itself_has_its_say(self, chamber: Council) -> None:
        proposal = chamber.propose(RemoveAuthority(chamber.anna.party.id))
        receipt = chamber.approve(proposal, chamber.clara)
        assert set(receipt.events[1].read(Decided).by) == {chamber.anna.party.id, chamber.clara.party.id}
        assert chamber.authorities == {chamber.berta.party.id, chamber.clara.party.id}
        assert not chamber.approvals

    def test_at_most_64(self, chamber: Council) -> None:
        chamber.decide(SetParameter("authority_threshold", 1))
        for number, each in enumerate(strangers(62)):
            message = Register("person", each.party.signing_key, each.party.recipient_key)
            chamber.chain.send(Keys, message, by=[chamber.anna, each])
            code = chamber.govern(AddAuthority(each.party.id), chamber.anna).code
            assert code == ("ok" if number < 61 else "too-many")
        assert len(chamber.authorities) == 64
        assert chamber.govern(SetParameter("authority_threshold", 65), chamber.anna).code == "out-of-bounds"

    def test_a_threshold_above_the_signers_of_one_transaction(self, chamber: Council) -> None:
        chamber.decide(SetParameter("authority_threshold", 1))
        people = strangers(15)
        for each in people:
            message = Register("person", each.party.signing_key, each.party.recipient_key)
            chamber.chain.send(Keys, message, by=[chamber.anna, each])
            chamber.govern(AddAuthority(each.party.id), chamber.anna)
        assert chamber.govern(SetParameter("authority_threshold", 18), chamber.anna).ok
        proposal = chamber.propose(SetParameter("proposal_ms", DAY), chamber.anna, *people)
        assert chamber.approve(proposal, chamber.berta, chamber.clara).ok
        assert chamber.parameter("proposal_ms") == DAY

    def test_authorities_sponsor_as_long_as_they_are_that(self, chamber: Council) -> None:
        eve = chamber.register("eve", sponsor=chamber.clara)
        chamber.decide(RemoveAuthority(chamber.clara.party.id))
        new = wallet("new")
        message = Register("person", new.party.signing_key, new.party.recipient_key)
        body = chamber.body(message, chamber.clara, new, of=Keys)
        receipt = chamber.chain.submit(chamber.sign(body, chamber.clara, new)).receipt(10)
        assert receipt.code == "not-a-sponsor"
        assert revoke(chamber, eve, chamber.clara) == "not-yours"
        assert revoke(chamber, eve, eve) == "ok"

    def test_a_founder_that_is_removed_sponsors_nobody(self, chamber: Council) -> None:
        chamber.decide(RemoveAuthority(chamber.anna.party.id))
        new = wallet("new")
        message = Register("person", new.party.signing_key, new.party.recipient_key)
        body = chamber.body(message, chamber.anna, new, of=Keys)
        assert chamber.chain.submit(chamber.sign(body, chamber.anna, new)).receipt(10).code == "not-a-sponsor"
        assert revoke(chamber, chamber.clara, chamber.anna) == "not-yours"

    def test_one_cannot_shut_out_another(self, chamber: Council) -> None:
        """Anna has sponsored berta and clara; that must not make her the only one left."""
        for signer in (chamber.anna, chamber.berta):
            assert revoke(chamber, chamber.berta, signer) == "in-office"
        chamber.decide(RemoveAuthority(chamber.clara.party.id))
        assert revoke(chamber, chamber.clara, chamber.anna) == "ok"
        assert chamber.govern(AddAuthority(chamber.clara.party.id), chamber.anna).code == "unknown-party"

    def test_the_log_key_stays_the_founders(self, chamber: Council) -> None:
        chamber.decide(RemoveAuthority(chamber.anna.party.id))
        assert chamber.chain.checkpoint().size == chamber.chain.head.size
        assert chamber.chain.trust.verify(chamber.chain.checkpoint())


class TestGate:
    def test_members_come_and_go(self, chamber: Council) -> None:
        assert chamber.chain.gate == GateSet(1, (chamber.anna.party,))
        keeper = chamber.register("keeper")
        receipt = chamber.decide(AddGateMember(keeper.party.id))
        assert names(receipt) == ["decided", "gate-member-added"]
        gate = chamber.chain.gate
        assert gate is not None
        assert gate.threshold == 1
        assert set(gate.parties) == {chamber.anna.party, keeper.party}
        receipt = chamber.decide(SetGateThreshold(2))
        assert receipt.events[1].read(GateThresholdChanged) == GateThresholdChanged(1, 2)
        assert chamber.chain.gate == GateSet(2, gate.parties)
        members = tuple(sorted((chamber.anna.party.id, keeper.party.id)))
        assert chamber.chain.table(Governance.gate)[GATE] == GateRow(2, members)
        assert chamber.govern(SetGateThreshold(2), chamber.anna).code == "no-change"
        for each in (keeper, chamber.anna):
            assert chamber.govern(RemoveGateMember(each.party.id), chamber.anna).code == "below-threshold"
        chamber.decide(SetGateThreshold(1))
        assert names(chamber.decide(RemoveGateMember(chamber.anna.party.id)))[1] == "gate-member-removed"
        assert chamber.chain.gate == GateSet(1, (keeper.party,))
        assert chamber.govern(RemoveGateMember(keeper.party.id), chamber.anna).code == "below-threshold"
        assert chamber.govern(RemoveGateMember(chamber.anna.party.id), chamber.anna).code == "not-a-member"
        assert chamber.govern(AddGateMember(keeper.party.id), chamber.anna).code == "already-member"

    def test_a_chain_that_began_without_one(self, tmp_path: Path) -> None:
        anna = wallet("anna")
        with Chain.create(
            tmp_path / "chain",
            origin="gateless.example",
            authority=anna,
            gate=None,
            contracts=[Counting],
            mark=tmp_path / "mark",
        ) as chain:
            assert chain.gate is None
            with pytest.raises(Refused, match="out-of-bounds"):
                chain.send(Governance, SetGateThreshold(1), by=[anna])
            receipt = chain.send(Governance, AddGateMember(anna.party.id), by=[anna])
            assert names(receipt) == ["decided", "gate-member-added", "gate-threshold-changed"]
            assert chain.gate == GateSet(1, (anna.party,))
            with pytest.raises(Refused, match="below-threshold"):
                chain.send(Governance, RemoveGateMember(anna.party.id), by=[anna])
        with Chain.open(tmp_path / "chain", contracts=[Counting]) as chain:
            assert chain.gate == GateSet(1, (anna.party,))
            chain.audit()

    def test_its_keys_are_those_of_now(self, chamber: Council) -> None:
        keeper, new = chamber.register("keeper"), wallet("new keeper")
        chamber.decide(AddGateMember(keeper.party.id))
        body = chamber.body(Rotate(new.party.signing_key, new.party.recipient_key), keeper, of=Keys)
        ref = evolve(body.signers[0], key=new.party.key_id)
        body = evolve(body, signers=(body.signers[0], ref))
        assert chamber.chain.submit(chamber.sign(body, keeper, new)).result(10).ok
        gate = chamber.chain.gate
        assert gate is not None
        keys = {party.id: party.recipient_key for party in gate.parties}
        assert keys[keeper.party.id] == new.party.recipient_key

    def test_members_are_not_revoked(self, chamber: Council) -> None:
        keeper = chamber.register("keeper")
        chamber.decide(AddGateMember(keeper.party.id))
        assert revoke(chamber, keeper, keeper) == "in-office"
        assert revoke(chamber, keeper, chamber.anna) == "in-office"
        chamber.decide(RemoveGateMember(keeper.party.id))
        assert revoke(chamber, keeper, keeper) == "ok"


class TestParameters:
    def test_the_list_is_closed(self, chamber: Council) -> None:
        for name in ("weather", "gate_threshold", "x" * 32):
            assert chamber.govern(SetParameter(name, 1), chamber.anna).code == "unknown-parameter"
        for name in ("", "Authority_Threshold", "authority_threshold ", "x" * 33):
            with pytest.raises(ValueError, match="name is not of the form"):
                SetParameter(name, 1)

    @pytest.mark.parametrize(
        "name", ["proposal_ms", "timer_interval_ms", "timers_per_block", "transaction_bytes"]
    )
    def test_bounds(self, chamber: Council, name: str) -> None:
        bounds = PARAMETERS[name]
        for value in (bounds.least - 1, bounds.most + 1, 0, -1, 1 << 62, -(1 << 63)):
            assert chamber.govern(SetParameter(name, value), chamber.anna).code == "out-of-bounds"
        for value in {bounds.least, bounds.most} - {bounds.default}:
            before = chamber.parameter(name) or bounds.default
            receipt = chamber.decide(SetParameter(name, value))
            assert receipt.events[1].read(ParameterChanged) == ParameterChanged(name, before, value)
            assert chamber.parameter(name) == value
            assert chamber.govern(SetParameter(name, value), chamber.anna).code == "no-change"

    def test_thresholds_are_bound_by_members(self, chamber: Council) -> None:
        for value in (0, -1, 4):
            code = chamber.govern(SetParameter("authority_threshold", value), chamber.anna).code
            assert code == "out-of-bounds"
        for value in (0, -1, 2):
            assert chamber.govern(SetGateThreshold(value), chamber.anna).code == "out-of-bounds"

    def test_timers_per_block(self, chamber: Council) -> None:
        chamber.decide(SetParameter("timers_per_block", 2))
        for _ in range(5):
            chamber.send(Later(START + 1, 1), chamber.anna)
        chamber.clock.now += 1
        chamber.send(Add(1), chamber.anna)
        assert len(chamber.chain.table(LedgerTables.timers)) <= 3
        runs = [
            len([e for _, e in chamber.chain.entries() if e.height == height and e.kind is Kind.TIMER])
            for height in range(chamber.chain.height + 1)
        ]
        assert max(runs) == 2

    def test_transaction_bytes(self, chamber: Council) -> None:
        large = Put("x", "x" * 9_000)
        assert chamber.send(large, chamber.anna).ok
        chamber.decide(SetParameter("transaction_bytes", 8_000))
        with pytest.raises(InvalidTransaction, match="too-large"):
            chamber.send(large, chamber.anna)
        assert chamber.send(Put("x", "x" * 7_000), chamber.anna).ok
        chamber.decide(SetParameter("transaction_bytes", 48_000))
        assert chamber.send(large, chamber.anna).ok

    def test_proposal_ms(self, chamber: Council) -> None:
        chamber.decide(SetParameter("proposal_ms", 3_600_000))
        proposal = chamber.propose(SetParameter("proposal_ms", DAY))
        assert chamber.proposals[proposal].expires == START + 3_600_000

    def test_a_genesis_may_begin_with_others(self, world: World) -> None:
        genesis = world.chain.genesis
        for parameters in ({"weather": 1}, {"authority_threshold": 1}, {"timers_per_block": 0}):
            with pytest.raises(ValueError, match=r"parameter|timers_per_block"):
                evolve(genesis, parameters=parameters)
        assert evolve(genesis, parameters={"timers_per_block": 7}).id != genesis.id


def test_malformed_messages_never_enter(chamber: Council) -> None:
    for message in (
        ["add-authority", {"party": bytes(31)}],
        ["approve", {"proposal": b"short"}],
        ["activate", {"contract": "ledger", "version": 1, "digest": bytes(32), "height": None}],
        ["activate", {"contract": "No Name", "version": 1, "digest": bytes(32), "height": None}],
        ["activate", {"contract": "x", "version": 0, "digest": bytes(32), "height": None}],
        ["activate", {"contract": "x", "version": 1, "digest": bytes(31), "height": None}],
        ["set-parameter", {"name": "proposal_ms"}],
        ["decided", {}],
    ):
        body = evolve(chamber.body(Approve(bytes(32)), chamber.anna, of=Governance), message=message)
        with pytest.raises(InvalidTransaction, match=r"malformed|unknown-message"):
            chamber.chain.submit(chamber.sign(body, chamber.anna)).result(10)
