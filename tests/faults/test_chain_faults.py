"""A chain on a full disk, in folders that cannot be written, on a server that dies: it stops, is told why, and goes on.

What each store does with such faults is in `test_full_disk` and `test_killed_server`.
"""

from __future__ import annotations

import os
import random
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import postgres
import pytest
from ledger.counting import Add, Counting
from ledger.world import CONTRACTS, wallet
from processes import LONG, Forked, Start
from stores import FILES, Place

from medchain.chain import Chain
from medchain.errors import ConsensusError, MedchainError, StorageError, StorageFull
from medchain.ledger.draft import Signed
from medchain.ledger.transaction import Transaction
from medchain.storage import FileBlobs, MemoryBlobs, PostgresStore, Store

AUTHORITY = wallet("authority")
TESTS = Path(__file__).parent.parent
ROUNDS = 40 if LONG else 3


def created(folder: Path, store: Store, **more: Any) -> Chain:
    options = {"blobs": MemoryBlobs(), "mark": folder / "mark", **more}
    return Chain.create(
        folder / "chain",
        origin="faults.example",
        authority=AUTHORITY,
        gate=None,
        contracts=CONTRACTS,
        store=store,
        **options,
    )


def opened(folder: Path, store: Store, *, writing: bool = True) -> Chain:
    return Chain.open(
        folder / "chain",
        authority=AUTHORITY if writing else None,
        contracts=CONTRACTS,
        store=store,
        blobs=MemoryBlobs(),
        mark=folder / "mark",
    )


class Log:
    """What was sent to a chain, and the index at which each that was acknowledged is said to be."""

    def __init__(self) -> None:
        self.acknowledged: dict[bytes, int] = {}
        self.unknown: list[Transaction] = []

    def write_until_it_fails(self, chain: Chain, *, flying: int = 1) -> MedchainError:
        """Send, `flying` at a time; gives the first error."""
        failure: MedchainError | None = None
        while failure is None:
            sent = []
            try:
                for _ in range(flying):
                    body = chain.prepare(Counting, Add(1), [AUTHORITY.party])
                    transaction = Signed.start(body).sign(AUTHORITY).transaction
                    self.unknown.append(transaction)
                    sent.append((transaction, chain.submit(transaction)))
            except MedchainError as error:
                failure = error
            for transaction, submission in sent:
                try:
                    self.acknowledged[bytes(transaction)] = submission.result(30).index
                    self.unknown.remove(transaction)
                except MedchainError as error:
                    failure = failure or error
        return failure

    def check(self, chain: Chain) -> None:
        """All that was acknowledged is where it was said to be, and all of the chain holds."""
        for raw, index in self.acknowledged.items():
            entry: Any = chain.entry(index)
            assert entry.content == raw
        assert chain.audit().head == chain.head

    def settle(self, chain: Chain) -> None:
        """Send again what nobody knew about; all of it is there once then."""
        sent = [(transaction, chain.submit(transaction)) for transaction in self.unknown]
        for transaction, submission in sent:
            self.acknowledged[bytes(transaction)] = submission.result(30).index
        self.unknown = []
        self.check(chain)
        total = sum(1 for _, entry in chain.entries())
        assert total == len(self.acknowledged)
        assert chain.table(Counting.totals)[AUTHORITY.party.id].total == total


@pytest.mark.parametrize("flying", [1, 50])
@pytest.mark.parametrize("kind", FILES)
def test_a_full_disk_stops_the_engine_until_there_is_room(small_disk: Path, kind: str, flying: int) -> None:
    place, log = Place(kind, small_disk / "store"), Log()
    (small_disk / "ballast").write_bytes(bytes(1_500_000))
    with created(small_disk, place.open()) as chain:
        failure = log.write_until_it_fails(chain, flying=flying)
        assert isinstance(failure, ConsensusError)
        assert isinstance(failure.__cause__, StorageFull)
        with pytest.raises(ConsensusError, match="has stopped"):
            chain.send(Counting, Add(1), by=[AUTHORITY])
    assert log.acknowledged
    with opened(small_disk, place.open(read_only=True), writing=False) as reader:
        log.check(reader)
    (small_disk / "ballast").unlink()
    with opened(small_disk, place.open()) as chain:
        log.settle(chain)
        chain.checkpoint()


@pytest.mark.parametrize("kind", FILES)
def test_a_limit_on_file_size_stops_it_likewise(tmp_path: Path, start: Start, kind: str) -> None:
    pytest.importorskip("resource")
    place = Place(kind, tmp_path / "store")
    created(tmp_path, place.open()).close()
    script = f"""
import resource
sys.path.insert(0, {str(TESTS)!r})
from faults.test_chain_faults import Log, opened
log = Log()
resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, 2 << 20))
with opened(path, {place.code()}) as chain:
    failure = log.write_until_it_fails(chain, flying=20)
say(type(failure).__name__, type(failure.__cause__).__name__, len(log.acknowledged))
for raw, index in log.acknowledged.items():
    say(raw.hex(), index)
for transaction in log.unknown:
    say(bytes(transaction).hex())
"""
    said, errors = start(script, tmp_path).communicate(timeout=120)
    first, *lines = said.splitlines()
    assert first.startswith("ConsensusError StorageFull"), errors
    log = Log()
    for words in map(str.split, lines):
        raw = bytes.fromhex(words[0])
        if len(words) == 2:
            log.acknowledged[raw] = int(words[1])
        else:
            log.unknown.append(Transaction.from_bytes(raw))
    assert len(log.acknowledged) == int(first.split()[2]) > 0
    with opened(tmp_path, place.open()) as chain:
        log.settle(chain)


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder that another user can reach."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        allow(folder, True)


def allow(folder: Path, writing: bool) -> None:
    """Let folders and files below be written, or not."""
    for path in [folder, *folder.rglob("*")]:
        path.chmod((0o755 if path.is_dir() else 0o644) if writing else (0o555 if path.is_dir() else 0o444))


def without_rights(attempt: Callable[[], object]) -> Callable[[], object]:
    """The attempt as a user who obeys permissions, which root does not."""

    def run() -> object:
        if os.getuid() == 0:
            os.setuid(65534)
        return attempt()

    return run


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("kind", FILES)
def test_in_a_folder_that_cannot_be_written_nothing_is_opened_or_founded(
    shared_folder: Path, forked: Forked, kind: str
) -> None:
    place, other = Place(kind, shared_folder / "store"), Place(kind, shared_folder / "other")
    with created(shared_folder, place.open()) as chain:
        first = chain.send(Counting, Add(1), by=[AUTHORITY])
    allow(shared_folder, False)
    for attempt in (
        lambda: opened(shared_folder, place.open()),
        lambda: created(shared_folder / "new", other.open()),
        lambda: Chain.create(
            shared_folder / "new",
            origin="x.example",
            authority=AUTHORITY,
            gate=None,
            mark=shared_folder / "m",
        ),
        lambda: FileBlobs(shared_folder / "blobs"),
    ):
        assert forked(without_rights(attempt)).startswith("medchain.errors.StorageError")
    allow(shared_folder, True)
    assert not (shared_folder / "new").exists()
    with opened(shared_folder, place.open()) as chain:
        assert chain.entry(first.index).height == first.height
        assert chain.send(Counting, Add(1), by=[AUTHORITY]).ok
        assert chain.audit().head == chain.head


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_without_its_mark_it_signs_nothing_and_goes_on_when_the_mark_can_be_moved(
    shared_folder: Path, forked: Forked
) -> None:
    marks = shared_folder / "marks"
    marks.mkdir()
    for folder in (shared_folder, marks):
        os.chown(folder, 65534 if os.getuid() == 0 else -1, -1)

    def life() -> str:
        said = []
        with created(
            shared_folder, Place("lmdb", shared_folder / "store").open(), mark=marks / "mark"
        ) as chain:
            signed = chain.checkpoint()
            marks.chmod(0o555)
            said.append(chain.send(Counting, Add(1), by=[AUTHORITY]).ok)
            try:
                chain.checkpoint()
            except StorageError as error:
                said.append(error.code)
            said.append(chain._archive.checkpoint() == bytes(signed.note))
            marks.chmod(0o755)
            said.append(chain.checkpoint().size == chain.head.size)
        return str(said)

    assert forked(without_rights(life)) == "[True, 'storage', True, True]"


def close(chain: Chain) -> None:
    """Close it on a server that is gone: it may tell that the last checkpoint could not be kept, and closes."""
    with suppress(StorageError):
        chain.close()
    with pytest.raises(ValueError, match="closed"):
        chain.checkpoint()


def test_a_server_killed_at_any_moment_keeps_the_chain_that_it_acknowledged(tmp_path: Path) -> None:
    chance, log = random.Random(5), Log()
    with postgres.own_server() as server:

        def store() -> Store:
            return PostgresStore(server.conninfo, schema="clinic")

        chain = created(tmp_path, store())
        for _ in range(ROUNDS):
            killer = threading.Timer(chance.uniform(0.05, 0.4), server.kill)
            killer.start()
            try:
                failure = log.write_until_it_fails(chain, flying=chance.choice([1, 20]))
                killer.join()
                assert isinstance(failure, StorageError) or isinstance(failure.__cause__, StorageError)
                close(chain)
            finally:
                server.start()
            chain = opened(tmp_path, store())
            log.settle(chain)
        assert len(log.acknowledged) > ROUNDS
        server.kill()  # while nothing is written
        for attempt in (chain.audit, lambda: chain.send(Counting, Add(1), by=[AUTHORITY])):
            with pytest.raises((StorageError, ConsensusError)):
                attempt()
        close(chain)
        server.start()
        with opened(tmp_path, store()) as chain:
            log.check(chain)
            assert chain.send(Counting, Add(1), by=[AUTHORITY]).ok
