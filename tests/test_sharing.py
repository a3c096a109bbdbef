"""A chain that one process opens several times is one chain: cells that run twice, threads, the end of it all."""

from __future__ import annotations

import gc
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from ledger.counting import Add, Added, Counting
from ledger.world import CONTRACTS, Clock, wallet
from test_chain import AUTHORITY, Disk, add, python, signed, total
from test_interrupts import interrupted

import medchain as mc
from medchain import _sharing
from medchain.chain import Chain
from medchain.errors import ConsensusError, Locked, StorageError, StorageFull
from medchain.keys import Wallet
from medchain.ledger import Predecessor
from medchain.ledger.draft import Signed
from medchain.storage import LmdbStore, MemoryBlobs, SqliteStore
from medchain.storage.memory import MemoryStore

SOON = 30.0


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


def free(disk: Disk) -> bool:
    """Whether nothing in this process holds the chain's store any more."""
    try:
        LmdbStore(disk.path / "store").close()
    except Locked:
        return False
    return True


class TestHandles:
    def test_they_are_the_same_chain_and_the_last_one_closes_it(self, disk: Disk) -> None:
        first = disk.create()
        second = disk.open()
        assert first._writer is second._writer
        add(first)
        add(second)
        assert total(first) == total(second) == 2
        first.close()
        first.close()
        assert "closed" in repr(first)
        with pytest.raises(ValueError, match="closed"):
            add(first)
        add(second)
        assert not free(disk)
        second.close()
        assert free(disk)
        with disk.read() as reader:
            assert total(reader) == 3
            assert reader.checkpoint().head == reader.head

    def test_a_cell_runs_twice(self, disk: Disk) -> None:
        cell = """
chain = disk.create()
mc.Parties(chain).register(ann, by=AUTHORITY)
add(chain)
"""
        names: dict[str, Any] = {
            "disk": disk,
            "mc": mc,
            "ann": wallet("ann"),
            "AUTHORITY": AUTHORITY,
            "add": add,
        }
        for runs in (1, 2, 3):
            exec(cell, names)  # the handle of the run before is dropped without being closed
            assert total(names["chain"]) == runs
        names["chain"].close()
        assert free(disk)

    def test_a_cell_with_a_block_says_the_second_time_what_to_do(self, disk: Disk) -> None:
        with disk.create() as chain:
            add(chain)
        with pytest.raises(StorageError, match=r"holds a chain already; Chain\.open\(path, authority=…\)"):
            disk.create()
        with disk.open() as chain:
            assert total(chain) == 1

    def test_another_name_of_the_same_folder(self, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(disk.folder)
        link = disk.folder / "link"
        link.symlink_to(disk.path)
        with disk.create() as chain:
            for name in (link, "c", "../" + disk.folder.name + "/c"):
                with Chain.open(name, authority=AUTHORITY, contracts=CONTRACTS, mark=disk.mark) as other:
                    assert other._writer is chain._writer
            monkeypatch.chdir("/")
            with disk.open() as other:
                assert other._writer is chain._writer

    def test_readers_are_chains_of_their_own(self, disk: Disk) -> None:
        with disk.create() as writer, disk.read() as one, disk.read() as two:
            assert one.read_only
            assert one._archive.store is not two._archive.store
            two.close()
            add(writer)
            assert total(one) == 1

    def test_each_has_the_blobs_that_it_was_opened_with(self, disk: Disk) -> None:
        mine = MemoryBlobs()
        with disk.create() as first, disk.open(blobs=mine) as second, disk.open() as third:
            assert second.blobs is mine
            assert third.blobs is first.blobs

    def test_a_store_of_the_caller_is_known_by_what_it_is(self, disk: Disk) -> None:
        """Two writers over one store would log two histories."""
        store = MemoryStore()
        with disk.create(store=store) as chain:
            with pytest.raises(mc.errors.NotAChain):
                disk.open()
            with disk.open(store=store) as again, disk.create(store=store) as once_more:
                assert again._writer is once_more._writer is chain._writer
                add(again)
            assert disk.read(store=store)._writer is None
            with disk.create(store=MemoryStore(), mark=disk.folder / "other mark") as other:
                assert other.id != chain.id
            add(chain)
        assert not any(each.archive.store is store for each in _sharing._open.values())

    def test_a_cell_runs_twice_whatever_the_store(self, disk: Disk) -> None:
        place = f"sqlite:{disk.path}"
        terms: dict[str, Any] = {"authority": AUTHORITY, "contracts": CONTRACTS, "mark": disk.mark}
        first = Chain.create(place, origin="clinic.example/ehr", gate=None, **terms)
        again = Chain.create(place, origin="clinic.example/ehr", gate=None, **terms)
        once_more = Chain.open(disk.path, **terms)
        assert first._writer is again._writer is once_more._writer
        with pytest.raises(
            Locked, match=r"in this process; .*Chain\.open gives the same chain.*several-web-w"
        ):
            SqliteStore(disk.path / "store")
        for chain in (first, again, once_more):
            chain.close()

    def test_streams_end_with_their_own_handle(self, disk: Disk) -> None:
        with disk.create() as first:
            second = disk.open()
            mine, others = first.events(follow=True, timeout=SOON), second.events(follow=True, timeout=SOON)
            second.close()
            assert list(others) == []
            add(first)
            assert next(mine).event == Added(AUTHORITY.party.id, 1)


class TestTerms:
    @pytest.mark.parametrize("how", ["open", "create"])
    def test_another_authority(self, disk: Disk, how: str) -> None:
        with disk.create() as chain:
            with pytest.raises(ValueError, match="not the authority"):
                getattr(disk, how)(authority=wallet("somebody"))
            add(chain)

    @pytest.mark.parametrize("how", ["open", "create"])
    def test_another_mark(self, disk: Disk, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_STATE_HOME", str(disk.folder / "state"))
        with disk.create() as chain:
            for mark in (None, disk.folder / "other"):
                with pytest.raises(ValueError, match="another mark"):
                    getattr(disk, how)(mark=mark)
            getattr(disk, how)(mark=disk.mark.parent / "." / "mark").close()
            assert [path.name for path in disk.mark.parent.iterdir() if path.suffix == ""] == ["mark"]
            add(chain)
        assert not (disk.folder / "other").exists()

    def test_the_default_mark(self, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_STATE_HOME", str(disk.folder / "state"))
        with disk.create(mark=None) as first, disk.open(mark=None) as second:
            assert first._writer is second._writer
            with pytest.raises(ValueError, match="another mark"):
                disk.open()

    def test_another_clock(self, disk: Disk) -> None:
        clock = Clock()
        with disk.create(clock=clock) as chain:
            with disk.open(clock=clock) as same:
                assert same._writer is chain._writer
            for other in (dict[str, Any](), {"clock": Clock()}):
                with pytest.raises(ValueError, match="another clock"):
                    disk.open(**other)
        with disk.open(), pytest.raises(ValueError, match="another clock"):
            disk.open(clock=clock)

    def test_a_contract_whose_class_was_made_anew(self, disk: Disk) -> None:
        old = type("Counting", (Counting,), {"__module__": __name__})
        new = type("Counting", (Counting,), {"__module__": __name__})
        with disk.create(contracts=[old]):
            disk.open(contracts=[old]).close()
            for contracts in ([new], [], CONTRACTS):
                with pytest.raises(ValueError, match="another class for contract counting/1"):
                    disk.open(contracts=contracts)
        disk.open(contracts=[new]).close()

    def test_another_chain_is_not_founded_over_it(self, disk: Disk) -> None:
        past = Predecessor("old.example", 3, bytes(32))
        gate = wallet("gate").party
        with disk.create(gate=gate, predecessor=past) as chain:
            disk.create(gate=gate, predecessor=past).close()
            disk.create(gate=mc.GateSet(1, (gate,)), predecessor=past).close()
            for differing in (
                {"origin": "other.example"},
                {"gate": None},
                {"gate": wallet("other").party},
                {"predecessor": None},
            ):
                with pytest.raises(
                    StorageError, match=r"another chain, clinic\.example/ehr, .* open in this"
                ):
                    disk.create(**{"gate": gate, "predecessor": past, **differing})
            add(chain)

    def test_a_folder_that_was_removed_is_free(self, disk: Disk) -> None:
        old = disk.create()
        add(old)
        shutil.rmtree(disk.path)
        mark = disk.folder / "another"
        with disk.create(mark=mark) as new:
            assert new.id != old.id
            with disk.open(mark=mark) as other:
                assert other._writer is new._writer
            old.close()
            with disk.open(mark=mark) as other:
                assert other._writer is new._writer
            add(new)
        assert free(disk)

    def test_a_stopped_engine_is_not_shared(self, disk: Disk) -> None:
        chain = disk.create()
        add(chain)

        def fail() -> None:
            raise StorageFull("no room")

        with pytest.raises(StorageFull):
            chain._writer.engine.run(fail)  # type: ignore[union-attr]
        with pytest.raises(ConsensusError, match="close it first"):
            disk.open()
        chain.close()
        with disk.open() as again:
            add(again)
            assert total(again) == 2

    def test_a_stopped_engine_that_nobody_holds_is_closed(self, disk: Disk) -> None:
        chain = disk.create()
        chain._writer.engine.failure = StorageFull("no room")  # type: ignore[union-attr]
        del chain
        gc.collect()
        with disk.open() as again:
            add(again)


class TestTheEnd:
    def test_nothing_can_be_asked_of_a_closed_handle_though_the_chain_is_open(
        self, disk: Disk, tmp_path: Path
    ) -> None:
        with disk.create() as chain:
            add(chain)
            for closed in (disk.open(), disk.read()):
                closed.close()
                for ask in asked(closed, tmp_path / "snapshot"):
                    with pytest.raises(ValueError, match="the chain is closed"):
                        ask()
                assert "closed" in repr(closed)
                assert ", closed" in closed._repr_html_()
            assert "height" in chain._repr_html_()
            for ask in asked(chain, tmp_path / "snapshot"):
                ask()

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="fork is for POSIX systems")
    @pytest.mark.parametrize("writes", [True, False])
    def test_nothing_can_be_asked_in_a_forked_child(self, disk: Disk, tmp_path: Path, writes: bool) -> None:
        with disk.create() as chain:
            add(chain)
            handle = chain if writes else disk.read()
            read, write = os.pipe()
            child = os.fork()
            if child == 0:
                said = []
                for ask in asked(handle, tmp_path / "snapshot"):
                    try:
                        said.append(f"answered {ask()}")
                    except BaseException as error:
                        said.append(type(error).__name__)
                try:
                    said += [repr(handle).partition("… ")[2], str(handle.close())]
                finally:
                    os.write(write, "\n".join(said).encode())
                    os._exit(0)
            os.close(write)
            os.waitpid(child, 0)
            with os.fdopen(read) as answers:
                *said, shown, closed = answers.read().split("\n")
            assert set(said) == {"Locked"}
            assert shown.startswith("the parent's")
            assert closed == "None"
            add(chain)
            handle.close()

    def test_a_handle_that_nobody_holds_does_not_count(self, disk: Disk) -> None:
        disk.create().close()
        chain = disk.open()
        for _ in range(3):
            disk.open()
        gc.collect()
        chain.close()
        assert free(disk)

    def test_a_chain_that_nobody_holds_is_found_again(self, disk: Disk) -> None:
        writer = disk.create()._writer
        gc.collect()
        assert not free(disk)
        with disk.open() as chain:
            assert chain._writer is writer
            add(chain)
        assert free(disk)

    def test_closing_one_drains_what_was_submitted(self, disk: Disk) -> None:
        with disk.create() as first:
            with disk.open() as second:
                sent = [second.submit(signed(second)) for _ in range(50)]
            assert all(each.done for each in sent)
            assert total(first) == 50
            with disk.read() as reader:
                assert reader.checkpoint().head == first.head

    def test_the_same_bytes_after_another_handle_has_gone(self, disk: Disk) -> None:
        with disk.create() as first:
            with disk.open() as second:
                transaction = signed(second)
                receipt = second.submit(transaction).result(SOON)
            assert first.submit(bytes(transaction)).result(SOON) == receipt

    def test_opening_waits_for_the_closing(self, disk: Disk) -> None:
        chain = disk.create()
        running, go_on, opened = threading.Event(), threading.Event(), []
        engine = chain._writer.engine  # type: ignore[union-attr]
        threading.Thread(target=lambda: engine.run(lambda: (running.set(), go_on.wait(SOON)))).start()
        assert running.wait(SOON)
        closing = threading.Thread(target=chain.close)
        closing.start()
        until(lambda: chain._shared.closing)
        opening = threading.Thread(target=lambda: opened.append(disk.open()))
        opening.start()
        opening.join(0.05)
        assert opening.is_alive(), "it did not wait"
        go_on.set()
        opening.join(SOON)
        [again] = opened
        assert again._writer is not chain._writer
        add(again)
        again.close()
        closing.join(SOON)

    def test_opening_does_not_wait_for_ever(self, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_sharing, "PATIENCE", 0.02)
        chain = disk.create()
        chain._shared.closing = True
        with pytest.raises(Locked, match="being closed"):
            disk.open()
        chain.close()
        disk.open().close()

    def test_a_closing_that_was_interrupted_and_given_up(self, disk: Disk) -> None:
        disk.create().close()
        for at in range(1, 200, 3):
            chain = disk.open()
            more = interrupted(chain.close, at)
            del chain
            gc.collect()
            with disk.open() as chain:
                add(chain)
            if not more:
                break
        else:
            raise AssertionError("it is longer than that")
        assert free(disk)

    def test_what_keeps_the_last_checkpoint_from_being_signed_is_told_and_the_store_is_free(
        self, disk: Disk
    ) -> None:
        chain = disk.create()
        add(chain)
        disk.mark.write_text("damaged")
        with pytest.raises(StorageError, match="mark"):
            chain.close()
        chain.close()
        assert free(disk)

    def test_a_process_that_ends_without_closing_has_lost_nothing(self, disk: Disk) -> None:
        script = """
import sys
from pathlib import Path
from test_chain import Disk, add
disk = Disk(Path(sys.argv[1]))
add(disk.create())
add(disk.open())
"""
        done = python(script, disk.folder)
        assert done.returncode == 0, done.stderr
        with disk.open() as chain:
            assert total(chain) == 2


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + SOON
    while not holds():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.002)


def asked(chain: Chain, file: Path) -> list[Callable[[], object]]:
    """What an open chain can be asked for, so far as it is not an attribute of the genesis."""
    writes = [lambda: add(chain), lambda: chain.prepare(Counting, Add(1), [AUTHORITY.party])]
    return [
        lambda: chain.head,
        lambda: chain.height,
        lambda: chain.header(0),
        lambda: chain.entry(0),
        lambda: next(chain.entries()),
        lambda: chain.gate,
        lambda: chain.begins,
        lambda: chain.ended,
        lambda: next(chain.events()),
        lambda: chain.party(bytes(32)),
        lambda: chain.table(Counting.totals).get(bytes(32)),
        lambda: chain.checkpoint(),
        lambda: chain.prove(1),
        lambda: chain.prove_state(Counting.totals, bytes(32)),
        lambda: chain.prove_consistency(1, 1),
        lambda: chain.audit(),
        lambda: chain.snapshot(file),
        *([] if chain.read_only else writes),
    ]


def together(count: int, work: Callable[[int], None]) -> None:
    """Run `work` on so many threads at once; what one of them raises is raised."""
    errors: list[BaseException] = []
    start = threading.Barrier(count)

    def run(number: int) -> None:
        try:
            start.wait(SOON)
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(2 * SOON)
    assert not any(each.is_alive() for each in threads)
    if errors:
        raise errors[0]


class TestThreads:
    def test_many_open_write_and_close_as_they_like(self, disk: Disk) -> None:
        disk.create().close()

        def work(number: int) -> None:
            for _ in range(4):
                with disk.open() as chain:
                    add(chain)
                    if number % 2:
                        with disk.open() as other:
                            add(other)

        together(8, work)
        assert free(disk)
        with disk.open() as chain:
            assert total(chain) == 8 * 4 + 4 * 4
            assert chain.audit().head == chain.head

    def test_many_found_it_at_once_and_it_is_one(self, disk: Disk) -> None:
        chains: list[Chain] = []
        together(6, lambda _: chains.append(disk.create()))
        assert len({chain.id for chain in chains}) == 1
        for chain in chains:
            chain.close()
        assert free(disk)

    @pytest.mark.parametrize("memory", [False, True])
    def test_many_submit_prove_and_read_at_once(self, disk: Disk, memory: bool) -> None:
        people = [wallet(f"person {number}") for number in range(4)]
        chain = (
            Chain.in_memory(authority=AUTHORITY, contracts=CONTRACTS) if memory else disk.create(gate=None)
        )
        with chain:
            mc.Parties(chain).register(*people, by=AUTHORITY)
            receipts: dict[int, list[mc.Receipt]] = {number: [] for number in range(4)}
            stop = threading.Event()

            def write(number: int) -> None:
                who = people[number]
                for _ in range(12):
                    receipts[number].append(chain.send(Counting, Add(1), by=[who], timeout=SOON))

            def prove(number: int) -> None:
                who = people[number]
                until(lambda: bool(receipts[number]))
                for _ in range(8):
                    receipt = receipts[number][-1]
                    found = mc.verify(chain.prove(receipt), Added, trust=chain.trust)
                    assert found.value.party == who.party.id
                    proof = chain.prove_state(Counting.totals, who.party.id)
                    row = mc.verify_state(proof, Counting.totals, who.party.id, trust=chain.trust)
                    assert row.value is not None
                    assert row.value.total >= found.value.total

            def read(_: int) -> None:
                last = 0
                while not stop.is_set():
                    size = chain.head.size
                    assert size >= last
                    last = size
                    assert chain.header().height <= chain.height
                    assert chain.entry(size - 1)
                    totals = [row.total for _, row in chain.table(Counting.totals).items()]
                    assert all(0 < each <= 12 for each in totals)
                    assert len(list(chain.events(height=1))) >= sum(totals)

            def work(number: int) -> None:
                role, who = divmod(number, 4)
                try:
                    (write, prove, read)[role](who)
                finally:
                    if role == 1 and who == 0:
                        stop.set()

            together(10, work)
            assert [[each.ok for each in mine] for mine in receipts.values()] == [[True] * 12] * 4
            assert sorted({each.index for mine in receipts.values() for each in mine})
            for who in people:
                assert chain.table(Counting.totals)[who.party.id].total == 12
            assert chain.audit().head == chain.head

    def test_the_same_bytes_from_many_at_once_are_one_entry(self, disk: Disk) -> None:
        with disk.create() as chain:
            transaction = bytes(signed(chain))
            receipts: list[mc.Receipt] = []
            together(8, lambda _: receipts.append(chain.submit(transaction).result(SOON)))
            assert len({each.index for each in receipts}) == 1
            assert total(chain) == 1
            assert chain.submit(transaction).result(SOON) == receipts[0]


def test_nothing_of_it_is_left_behind(disk: Disk) -> None:
    """Threads and descriptors, after opening and closing again and again."""

    def held() -> tuple[int, int, int]:
        gc.collect()
        return threading.active_count(), psutil.Process().num_fds(), len(_sharing._open)

    disk.create().close()
    before = held()
    for _ in range(5):
        with disk.open() as chain, disk.open() as other:
            chain.submit(signed(other)).add_done_callback(lambda _: None)
    assert held() == before


def test_a_signature_from_elsewhere_survives_its_client(disk: Disk) -> None:
    """The device is gone, its request timed out; the bytes once more, perhaps to another process, give its receipt."""
    device = Wallet.generate()
    with disk.create() as chain:
        mc.Parties(chain).register(device, by=AUTHORITY)
        body = chain.prepare(Counting, Add(7), [device.party])
        wire = bytes(Signed.start(body).sign(device))
        with pytest.raises(TimeoutError):
            chain.submit(Signed.from_bytes(wire)).result(0)
    with disk.open() as chain:
        receipt = chain.submit(Signed.from_bytes(wire)).result(SOON)
        assert chain.table(Counting.totals)[device.party.id].total == 7
        assert chain.entry(receipt.index)
