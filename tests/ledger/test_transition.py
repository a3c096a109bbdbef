"""What a transaction, a timer and a block do, and what a contract with a bug cannot do."""

from __future__ import annotations

import itertools

import pytest
from attrs import frozen
from ledger.council import timers
from ledger.counting import Add, Added, Counting, Later, Misbehave, NoteRow, Other, Put, TotalRow, Undeclared
from ledger.world import START, Clock, World, wallet

from medchain.chain import Chain
from medchain.errors import ConsensusError, InvalidTransaction
from medchain.ledger.contract import Context, Contract, handles
from medchain.ledger.entry import LEAF_LIMIT, Entry, Kind
from medchain.ledger.governance import PARAMETERS, Governance, SetParameter
from medchain.ledger.registry import Registry
from medchain.ledger.system import LedgerTables
from medchain.ledger.tables import Table
from medchain.ledger.transaction import TRANSACTION_LIMIT
from medchain.merkle import LogTree, leaf_hash


def entry(world: World, index: int) -> Entry:
    found = world.chain.entry(index)
    assert isinstance(found, Entry)
    return found


class TestOutcomes:
    def test_accepted(self, world: World) -> None:
        receipt = world.send(Add(5), world.authority)
        assert receipt.ok
        assert receipt.code == "ok"
        assert [event.read(Added) for event in receipt.events] == [Added(world.authority.party.id, 5)]
        assert world.chain.table(Counting.totals)[world.authority.party.id] == TotalRow(5, receipt.height)
        logged = entry(world, receipt.index)
        assert (logged.height, logged.time, logged.kind) == (receipt.height, START, Kind.TRANSACTION)
        assert logged.outcome.ok
        assert logged.outcome.events == receipt.events
        assert receipt.events[0].is_a(Added)
        assert not receipt.events[0].is_a(Undeclared)

    def test_refused(self, world: World) -> None:
        receipt = world.send(Add(-1, (bytes(32),)), world.authority)
        assert (receipt.ok, receipt.code, receipt.events) == (False, "negative", ())
        assert world.authority.party.id not in world.chain.table(Counting.totals)
        logged = entry(world, receipt.index)
        assert [concern.count for concern in logged.outcome.subjects] == [1]

    @pytest.mark.parametrize(
        ("how", "why"),
        [
            ("crash", "a handler with a bug"),
            ("undeclared code", "does not declare the code"),
            ("undeclared event", "does not declare the event"),
            ("short subject", "32 bytes"),
            ("wrong type", "expected str"),
            ("large row", "a row has at most"),
            ("large timer", "a scheduled message has at most"),
            ("far timer", "no block time"),
            ("foreign timer", "handles no"),
            ("private table", "not public"),
            ("write public", "PartyRow"),
        ],
    )
    def test_a_crash_leaves_the_transaction_out(self, world: World, how: str, why: str) -> None:
        before = (world.chain.head, world.chain.header().state_root)
        with pytest.raises(InvalidTransaction, match=why) as caught:
            world.send(Misbehave(how), world.authority)
        assert caught.value.reason == "internal"
        assert (world.chain.head, world.chain.header().state_root) == before
        assert world.send(Add(1), world.authority).ok

    @pytest.mark.parametrize("what", ["subjects", "events"])
    def test_too_much_is_refused(self, world: World, what: str) -> None:
        receipt = world.send(Misbehave(what), world.authority)
        assert receipt.code == f"too-many-{what}"
        assert world.authority.party.id not in world.chain.table(Counting.totals)
        assert len(world.chain.table(LedgerTables.subjects)) == (64 if what == "subjects" else 0)

    def test_the_largest_entry_is_a_leaf(self, world: World) -> None:
        subjects = tuple(number.to_bytes(32, "big") for number in range(64))
        note = Put("x", "x" * (TRANSACTION_LIMIT - 600))
        index = world.send(note, world.authority).index
        assert len(entry(world, index).content) > TRANSACTION_LIMIT - 400
        index = world.send(Add(1, subjects), world.authority).index
        rest = len(entry(world, index).leaf) - len(entry(world, index).content)
        events_limit = 7_000
        assert rest + events_limit + TRANSACTION_LIMIT < LEAF_LIMIT


class TestSubjects:
    def test_lists_are_compact_ranges_of_leaf_hashes(self, world: World) -> None:
        ann, bob = bytes([1] * 32), bytes([2] * 32)
        lists: dict[bytes, list[bytes]] = {ann: [], bob: []}
        for number, subjects in enumerate([(ann,), (ann, bob), (bob, ann, bob), (), (ann,)]):
            receipt = world.send(Add(number if number != 2 else -1, subjects), world.authority)
            leaf = entry(world, receipt.index).leaf
            for concern in entry(world, receipt.index).outcome.subjects:
                lists[concern.subject].append(leaf)
                assert concern.count == len(lists[concern.subject])
        for subject, leaves in lists.items():
            row = world.chain.table(LedgerTables.subjects)[subject]
            assert row.count == len(leaves)
            assert LogTree(leaves).root == _root(row.count, row.nodes)


def _root(size: int, nodes: tuple[bytes, ...]) -> bytes:
    from medchain.merkle import CompactRange

    return CompactRange(size, nodes).root


@frozen
class Call:
    """Answer with the same, at the time that is asked for."""

    at: int


class Echo(Contract):
    """Answers its own timer, as soon as it may."""

    name = "echo"
    calls = Table(NoteRow)

    @handles(Call)
    def call(self, context: Context, message: Call) -> None:
        context.schedule(message.at, message)


def run_timers(world: World) -> None:
    """Make a block of what is due, if anything is and the engine has not made it already."""
    writer = world.chain._writer
    assert writer is not None

    def make() -> None:
        with writer.begin() as builder:
            builder.run_timers()
            block = None if builder.empty else builder.close()
        if block is not None:
            writer.commit(block)

    writer.engine.run(make)


class TestTimers:
    def test_run_when_due_in_order_of_time_and_id(self, world: World) -> None:
        for at, amount in (
            (START + 30, 3),
            (START + 10, 1),
            (START + 20, 2),
            (START + 10, 1),
            (START + 99, 9),
        ):
            world.send(Later(at, amount), world.authority)
        assert len(world.chain.table(LedgerTables.timers)) == 5
        expected = [key for key in world.chain.table(LedgerTables.timers) if key[0] <= START + 30]
        world.clock.now = START + 30
        ran = timers(world)
        assert [each.index for each in ran] == [0, 1, 2, 3]
        assert len({each.height for each in ran}) == 1
        from medchain.encoding import decode

        contents = [decode(each.content) for each in ran]
        assert [(time, id) for time, id, *_ in contents] == expected  # type: ignore[misc, union-attr]
        assert world.chain.table(Counting.totals)[bytes(32)].total == 7
        assert len(world.chain.table(LedgerTables.timers)) == 1

    def test_a_crash_is_logged_and_consumes_the_timer(self, world: World) -> None:
        world.send(Later(START + 1, 13), world.authority)
        world.clock.now += 1
        [logged] = timers(world)
        assert (logged.outcome.code, logged.outcome.events) == ("internal", ())
        assert len(world.chain.table(LedgerTables.timers)) == 0
        assert bytes(32) not in world.chain.table(Counting.totals)

    def test_what_is_past_runs_in_the_next_block(self, world: World) -> None:
        world.send(Later(-5, 2), world.authority)
        world.send(Add(1), world.authority)
        assert world.chain.table(Counting.totals)[bytes(32)].total == 2

    def test_what_a_timer_sets_waits_for_an_interval(self) -> None:
        """Else one message would make blocks for ever on a chain that rests."""
        world = World.make([Echo])
        interval = PARAMETERS["timer_interval_ms"].default

        def due() -> list[int]:
            return [(at - START) // interval for at, _ in world.chain.table(LedgerTables.timers)]

        for at in (START, START + interval, START + 5 * interval):
            world.chain.send(Echo, Call(at), by=[world.authority])
        run_timers(world)
        assert due() == [1, 1, 5]
        heights = []
        for step in (interval - 1, 1, interval - 1, 1):
            world.clock.now += step
            run_timers(world)
            heights.append(world.chain.height)
        assert [after - before for before, after in itertools.pairwise(heights)] == [1, 0, 1]
        assert due() == [3, 3, 5]
        world.clock.now = START + 50 * interval  # one that is late does not make up for what it has missed
        run_timers(world)
        assert due() == [51, 51, 51]
        assert world.chain.audit()
        world.chain.close()

    def test_the_interval_is_a_parameter(self) -> None:
        world = World.make([Echo])
        world.chain.send(Governance, SetParameter("timer_interval_ms", 5_000), by=[world.authority])
        world.chain.send(Echo, Call(START), by=[world.authority])
        run_timers(world)
        assert [at for at, _ in world.chain.table(LedgerTables.timers)] == [START + 5_000]
        assert world.chain.audit()
        world.chain.close()

    def test_at_most_a_thousand_in_a_block(self, world: World) -> None:
        limit = PARAMETERS["timers_per_block"].default
        writer = world.chain._writer
        assert writer is not None
        with writer.begin() as builder:
            for _ in range(limit + 5):
                body = world.body(Later(START + 1, 1), world.authority)
                builder.add(world.sign(body, world.authority))
            block = builder.close()
        writer.commit(block)
        world.clock.now += 1
        for _ in range(2):  # the first may find that a block was cut for the timers alone
            world.send(Add(1), world.authority)
        kinds: dict[int, list[Kind]] = {}
        for _, each in world.chain.entries():
            kinds.setdefault(each.height, []).append(each.kind)
        ran = [block.count(Kind.TIMER) for block in kinds.values() if Kind.TIMER in block]
        assert ran == [limit, 5]
        assert all(
            block == sorted(block, key=lambda kind: kind is not Kind.TIMER) for block in kinds.values()
        )
        assert world.chain.table(Counting.totals)[bytes(32)].total == limit + 5
        assert world.chain.audit().outcomes["timer", "ok"] == limit + 5


class TestBlocks:
    def test_time_never_decreases(self, world: World) -> None:
        first = world.send(Add(1), world.authority)
        world.clock.now -= 10_000
        second = world.send(Add(1), world.authority)
        assert second.time == first.time
        world.clock.now = START + 1
        assert world.send(Add(1), world.authority).time == START + 1
        world.chain.audit()

    def test_headers_lead_from_one_to_the_next(self, world: World) -> None:
        for number in range(5):
            world.send(Add(number), world.authority)
        leaves = [world.chain._archive.leaf(index) for index in range(world.chain.head.size)]
        previous = world.chain.header(0)
        assert previous.chain == bytes(32)
        for height in range(1, world.chain.height + 1):
            header = world.chain.header(height)
            at = world.chain._archive.header_index(height)
            assert header.previous == previous.hash
            assert header.log_root == LogTree(leaves[:at]).root
            assert header.chain == world.chain.id
            assert header.genesis is None
            previous = header
        assert world.chain.head.root == LogTree(leaves).root
        assert leaf_hash(leaves[0]) == world.chain._archive.node(0, 0)

    def test_rest(self, world: World) -> None:
        size = world.chain.head.size
        world.chain.checkpoint(fresh=True)
        assert world.chain.head.size == size
        world.clock.now += 60_000
        assert world.chain.checkpoint(fresh=True).size == size + 1
        assert world.chain.header().first == size
        world.chain.audit()


class TestRegistry:
    def test_names_are_unique(self) -> None:
        class Twin(Other):
            name = "other"

        with pytest.raises(ValueError, match="two contracts"):
            Registry([Other, Twin])
        Registry([Other, Other])

    def test_contracts_that_are_not_installed(self, world: World) -> None:
        with pytest.raises(ConsensusError, match="counting/1"):
            Registry([Other]).active(world.chain._archive, 1)

    def test_a_genesis_that_is_no_leaf(self) -> None:
        from medchain.policy import GateSet

        gate = GateSet(1, tuple(wallet(f"gate {number}").party for number in range(50)))
        with pytest.raises(ValueError, match="genesis"):
            Chain.in_memory(gate=gate, contracts=[], clock=Clock())


def test_rows_of_notes(world: World) -> None:
    world.send(Put("a", "1"), world.authority)
    world.send(Put("b", "2"), world.authority)
    world.send(Put("a", None), world.authority)
    assert dict(world.chain.table(Counting.notes).items()) == {"b": NoteRow("2")}
    world.chain.audit()
