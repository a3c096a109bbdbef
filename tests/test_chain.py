"""A chain on disk: who may open it, what is refused, and that nothing harms what is stored. Ctrl-C: test_interrupts."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import define
from ledger.counting import Add, Counting, TotalRow
from ledger.world import CONTRACTS, wallet

from medchain.chain import Chain
from medchain.encoding import encode
from medchain.errors import (
    ConsensusError,
    InvalidBlock,
    Locked,
    NewerFormat,
    NotAChain,
    StorageBusy,
    StorageError,
    StorageFull,
)
from medchain.ledger.draft import Signed
from medchain.ledger.keys import Keys
from medchain.ledger.layout import FORMAT
from medchain.ledger.transaction import Transaction
from medchain.storage import Batch, LmdbStore, _lmdb_env
from medchain.storage.mark import Mark
from medchain.testing import FaultStore
from medchain.testing.faults import fail, lose_answer

AUTHORITY = wallet("authority")
HOW_TO = Path(__file__).parents[1] / "docs" / "how-to"


@define
class Disk:
    """Where a chain and its mark lie."""

    folder: Path

    @property
    def path(self) -> Path:
        return self.folder / "c"

    @property
    def mark(self) -> Path:
        return self.folder / "marks" / "mark"

    def create(self, **more: Any) -> Chain:
        return Chain.create(
            self.path,
            **{
                "origin": "clinic.example/ehr",
                "authority": AUTHORITY,
                "gate": None,
                "contracts": CONTRACTS,
                "mark": self.mark,
                **more,
            },
        )

    def open(self, **more: Any) -> Chain:
        return Chain.open(
            self.path, **{"authority": AUTHORITY, "contracts": CONTRACTS, "mark": self.mark, **more}
        )

    def read(self, **more: Any) -> Chain:
        return Chain.open(self.path, **{"contracts": CONTRACTS, **more})

    def change(self, key: bytes, value: bytes) -> None:
        """Write into the closed chain's store."""
        with LmdbStore(self.path / "store") as store:
            batch = Batch()
            batch.put(key, value)
            store.commit(batch)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


@pytest.fixture
def stored(disk: Disk) -> Disk:
    """A chain with one entry, closed."""
    with disk.create() as chain:
        add(chain)
    return disk


def signed(chain: Chain, amount: int = 1) -> Transaction:
    body = chain.prepare(Counting, Add(amount), [AUTHORITY.party])
    return Signed.start(body).sign(AUTHORITY).transaction


def add(chain: Chain, amount: int = 1) -> None:
    assert chain.send(Counting, Add(amount), by=[AUTHORITY], timeout=20).ok


def total(chain: Chain) -> int:
    row: TotalRow = chain.table(Counting.totals)[AUTHORITY.party.id]
    return row.total


class TestOneWriter:
    def test_a_second_writer_of_another_store_is_locked_out_and_readers_are_not(self, stored: Disk) -> None:
        with stored.open() as writer:
            with pytest.raises(Locked):
                stored.open(store=LmdbStore(stored.path / "store"))
            with stored.read() as reader:
                add(writer, 5)
                assert total(reader) == 6
                assert reader.read_only
                assert reader.audit().head == reader.head == writer.head
            add(writer)
        with stored.open() as again:
            assert total(again) == 7

    def test_another_process_is_locked_out(self, stored: Disk) -> None:
        script = "import sys; from test_chain import Disk; from pathlib import Path; Disk(Path(sys.argv[1])).open()"
        with stored.open() as chain:
            done = python(script, stored.folder)
            assert done.returncode == 1
            assert "Locked" in done.stderr.splitlines()[-1]
            assert f"process {os.getpid()}" in done.stderr
            assert (HOW_TO / "several-web-workers.md").name in done.stderr
            assert (HOW_TO / "several-web-workers.md").exists(), "the page that it names"
            add(chain)
        assert python(script + ".close()", stored.folder).returncode == 0

    @pytest.mark.skipif(not hasattr(sys, "getdlopenflags"), reason="fork is for POSIX systems")
    def test_a_forked_child_cannot_touch_its_parents_chain(self, stored: Disk) -> None:
        done = python(FORKED, stored.folder)
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == ["Locked"] * 5 + ["closed", "parent", "3"]
        with stored.open() as chain:
            assert chain.audit().head == chain.head


FORKED = """
import os, sys
from pathlib import Path
from test_chain import Disk, add, signed, total
from medchain.errors import Locked
disk = Disk(Path(sys.argv[1]))
chain = disk.open()
ready = signed(chain)
if (child := os.fork()) == 0:
    writing = (lambda: chain.submit(ready), lambda: add(chain), chain.checkpoint)
    for attempt in (*writing, lambda: chain.entry(0), disk.open):
        try:
            attempt()
        except Locked:
            print("Locked", flush=True)
    chain.close()
    print("closed", flush=True)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
add(chain)
chain.submit(ready).result(20)
print("parent", total(chain))
chain.close()
"""


def python(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=Path(__file__).parent,
    )


class TestFullDisk:
    @pytest.mark.parametrize("fault", [fail(errno.ENOSPC), lose_answer(errno.ENOSPC)])
    def test_the_sender_hears_of_it_and_goes_on_later(self, stored: Disk, fault: Any) -> None:
        store = FaultStore(LmdbStore(stored.path / "store"), {2: fault})  # the first keeps the checkpoint
        with stored.open(store=store) as chain:
            transaction = signed(chain, 10)
            with pytest.raises(ConsensusError) as caught:
                chain.submit(transaction).result(20)
            assert isinstance(caught.value.__cause__, StorageFull)
            with pytest.raises(ConsensusError):
                chain.submit(transaction)
        with stored.open() as chain:
            first = chain.submit(transaction).result(20)
            assert chain.submit(transaction).result(20) == first
            assert total(chain) == 11
            assert chain.audit().head == chain.head

    @pytest.mark.parametrize("fault", [fail(errno.ENOSPC), lose_answer(errno.ENOSPC)])
    @pytest.mark.parametrize("commit", [1, 2])
    def test_while_it_is_founded(self, disk: Disk, commit: int, fault: Any) -> None:
        LmdbStore(disk.path / "store").close()
        store = FaultStore(LmdbStore(disk.path / "store"), {commit: fault})
        with pytest.raises(StorageFull):
            disk.create(store=store)
        with found_again(disk) as chain:
            add(chain)
            assert chain.audit().head == chain.head


class TestScarceAddresses:
    """Where LMDB's map is as small as on a system of 32 bits, and has to grow."""

    @pytest.fixture(autouse=True)
    def scarce(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_lmdb_env, "ROOMS", (0,))
        monkeypatch.setattr(_lmdb_env, "PATIENCE", 0.1)

    def test_an_open_snapshot_fails_some_blocks_and_not_the_engine(self, stored: Disk) -> None:
        with stored.open() as chain:
            with chain._archive.store.snapshot() as moment:
                size = chain._archive.at(moment).tip().size
                transaction = fill(chain)
                with pytest.raises(StorageBusy, match="Close snapshots"):
                    chain.submit(transaction).result(20)
                assert chain._archive.at(moment).tip().size == size
            receipt = chain.submit(transaction).result(20)
            assert [index for index, entry in chain.entries() if entry.content == bytes(transaction)] == [
                receipt.index
            ]
            assert chain.audit().head == chain.head

    def test_a_snapshot_taken_beside_writing_is_waited_for(
        self, stored: Disk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(_lmdb_env, "PATIENCE", 20)
        monkeypatch.setattr("medchain.ledger.snapshot.PIECE_ROWS", 1)
        began, outcomes = threading.Event(), []

        def slowly(done: int, total: int | None) -> None:
            if not began.is_set():
                began.set()
                time.sleep(0.5)

        with stored.open() as chain:
            reader = threading.Thread(
                target=lambda: outcomes.append(chain.snapshot(tmp_path / "snapshot", progress=slowly))
            )
            reader.start()
            assert began.wait(20)
            environment = chain._archive.store._environment  # type: ignore[attr-defined]
            before = environment._map_size()
            while environment._map_size() == before:
                add(chain)
            reader.join()
            assert len(outcomes) == 1


def fill(chain: Chain) -> Transaction:
    """Write until the store must grow; gives the transaction that it has no room for."""
    while True:
        transaction = signed(chain, 1)
        try:
            chain.submit(transaction).result(20)
        except StorageBusy:
            return transaction


def found_again(disk: Disk) -> Chain:
    """The chain, if an attempt to found it got as far as that; else a new one in the same place."""
    try:
        return disk.open()
    except NotAChain:
        return disk.create()


class TestWhatIsNoChain:
    def test_nothing_or_something_else_is_there(self, disk: Disk) -> None:
        for open_it in (disk.read, disk.open):
            with pytest.raises(NotAChain):
                open_it()
            assert not disk.path.exists()
        disk.path.write_text("a file")
        for open_it in (disk.read, disk.open):
            with pytest.raises(NotAChain):
                open_it()
        with pytest.raises(StorageError, match="is a file"):
            disk.create()
        disk.path.unlink()
        disk.path.mkdir()
        (disk.path / "thesis.txt").write_text("mine")
        with pytest.raises(StorageError, match="thesis"):
            disk.create()
        assert [path.name for path in disk.path.iterdir()] == ["thesis.txt"]

    def test_a_store_without_a_chain(self, disk: Disk) -> None:
        LmdbStore(disk.path / "store").close()
        for open_it in (disk.read, disk.open):
            with pytest.raises(NotAChain):
                open_it()
        disk.create().close()

    def test_a_chain_is_not_founded_twice(self, stored: Disk) -> None:
        with pytest.raises(StorageError, match="holds a chain already"):
            stored.create(mark=stored.folder / "other")
        assert not (stored.folder / "other").exists()
        with stored.open() as chain:
            assert total(chain) == 1

    @pytest.mark.parametrize("origin", ["", "a b", "a+b", "a\tb", "a\u2003b", "x" * 256])
    def test_origins(self, disk: Disk, origin: str) -> None:
        with pytest.raises(ValueError, match="origin"):
            disk.create(origin=origin)
        assert not disk.path.exists()

    def test_a_newer_format(self, stored: Disk) -> None:
        stored.change(b"mformat", encode(FORMAT + 1))
        for open_it in (stored.read, stored.open):
            with pytest.raises(NewerFormat):
                open_it()
        stored.change(b"mformat", encode(FORMAT))
        stored.open().close()


class TestWhoMayWrite:
    def test_another_wallet(self, stored: Disk) -> None:
        with pytest.raises(ValueError, match="not the authority"):
            stored.open(authority=wallet("somebody"))
        stored.open().close()

    def test_who_only_reads_writes_nothing(self, stored: Disk) -> None:
        with stored.open() as chain:
            transaction = signed(chain)
        with stored.read() as chain:
            for attempt in (
                lambda: chain.submit(transaction),
                lambda: add(chain),
                lambda: chain.prepare(Counting, Add(1), [AUTHORITY.party]),
            ):
                with pytest.raises(ConsensusError, match="reading only"):
                    attempt()
            assert chain.checkpoint().head == chain.head

    def test_a_contract_that_is_not_installed(self, stored: Disk) -> None:
        with pytest.raises(ConsensusError, match="not installed"):
            stored.open(contracts=[])
        with stored.read(contracts=[]) as chain:
            assert chain.height == 1


class TestTheMark:
    def test_a_missing_mark(self, stored: Disk) -> None:
        stored.mark.unlink()
        with pytest.raises(StorageError, match=r"the mark .* is missing"):
            stored.open()
        with stored.read() as chain:
            assert chain.audit().head == chain.head

    def test_an_old_copy_cannot_sign(self, stored: Disk) -> None:
        shutil.copytree(stored.path, stored.folder / "backup")
        with stored.open() as chain:
            add(chain)
        shutil.rmtree(stored.path)
        shutil.copytree(stored.folder / "backup", stored.path)
        with pytest.raises(StorageError, match="an old copy"):
            stored.open()

    def test_a_copy_with_another_history_cannot_sign(self, stored: Disk) -> None:
        shutil.copytree(stored.path, stored.folder / "backup")
        kept = stored.mark.read_bytes()
        with stored.open() as chain:
            add(chain, 1)
        signed_here = stored.mark.read_bytes()
        shutil.rmtree(stored.path)
        shutil.copytree(stored.folder / "backup", stored.path)
        stored.mark.write_bytes(kept)
        with stored.open() as chain:
            add(chain, 2)
        stored.mark.write_bytes(signed_here)
        with pytest.raises(InvalidBlock, match="not the one that was signed"):
            stored.open()

    def test_two_copies_that_write_at_once_sign_one_history(self, stored: Disk) -> None:
        other = stored.folder / "twin"
        shutil.copytree(stored.path, other)
        with stored.open() as chain:
            twin = Chain.open(other, authority=AUTHORITY, contracts=CONTRACTS, mark=stored.mark)
            add(chain)
            add(twin, 2)
            signed_here = chain.checkpoint().head
            for sign in (twin.checkpoint, twin.close):
                with pytest.raises(StorageError, match="another copy"):
                    sign()
        assert Mark(stored.mark, chain_id=chain.id).latest == signed_here


class TestUse:
    @pytest.fixture
    def chain(self, stored: Disk) -> Iterator[Chain]:
        with stored.open() as chain:
            yield chain

    def test_closing_twice_and_using_it_afterwards(self, stored: Disk) -> None:
        chain = stored.open()
        transaction = signed(chain)
        chain.close()
        chain.close()
        assert "closed" in repr(chain)
        assert "closed" in chain._repr_html_()
        for attempt in (
            lambda: chain.head,
            lambda: chain.entry(0),
            lambda: chain.submit(transaction),
            chain.checkpoint,
            chain.audit,
        ):
            with pytest.raises(ValueError, match="closed"):
                attempt()
        stored.open().close()

    def test_what_is_not_there(self, chain: Chain) -> None:
        size = chain.head.size
        for attempt in (
            lambda: chain.entry(size),
            lambda: chain.header(5),
            lambda: chain.header(-1),
            lambda: chain.prove(size),
            lambda: chain.prove(-1),
        ):
            with pytest.raises(IndexError):
                attempt()
        for thing in (None, "1", b"1", 1.0, object()):
            with pytest.raises(TypeError):
                chain.prove(thing)
        assert chain.party(bytes(32)) is None
        assert list(chain.entries(size)) == []

    def test_what_cannot_be_prepared(self, chain: Chain) -> None:
        with pytest.raises(ValueError, match="at least one signer"):
            chain.prepare(Counting, Add(1), [])
        with pytest.raises(TypeError, match="handles no"):
            chain.prepare(Keys, Add(1), [AUTHORITY.party])

    def test_the_default_place_of_the_mark(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
        disk = Disk(tmp_path)
        with disk.create(mark=None) as chain:
            add(chain)
        assert Mark.of(chain.id).latest is not None
        disk.open(mark=None).close()


def test_a_successor_has_a_name_of_its_own(disk: Disk) -> None:
    with disk.create() as chain:
        ended = chain.ended
    following = Disk(disk.folder / "next")
    with pytest.raises(ValueError, match="needs an origin of its own"):
        following.create(origin=ended.origin, predecessor=ended)
    assert not following.folder.exists()
    with following.create(origin="clinic.example/ehr-2", predecessor=ended) as chain:
        assert chain.genesis.predecessor == ended
