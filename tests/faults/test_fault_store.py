"""Commits that fail, tear, lose their answer or take their time, at any step of a chain's life.

A commit is whole or never happened; a failed one fails its own block and what waits behind it, and stops the engine.
Nobody is told that something is final which is not there afterwards.
"""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from ledger.counting import Add, Counting
from ledger.world import CONTRACTS, Clock, copy, wallet

from medchain.chain import Chain
from medchain.errors import ConsensusError, InvalidBlock, MedchainError, StorageError, StorageFull
from medchain.ledger.archive import Archive
from medchain.ledger.draft import Signed
from medchain.ledger.transition import Receipt
from medchain.storage.blobs import MemoryBlobs
from medchain.storage.mark import Mark
from medchain.storage.memory import MemoryStore
from medchain.testing.faults import Fault, FaultStore, delay, fail, lose_answer, tear

AUTHORITY = wallet("authority")
STEPS = 12


class Disk(MemoryStore):
    """A store whose pairs outlive its being closed."""

    @property
    def pairs(self) -> dict[bytes, bytes]:
        return dict(self._version.pairs)

    def _close(self) -> None:
        pass


class Life:
    """A chain that is founded, written to, checkpointed and closed over a store that spoils one commit."""

    def __init__(self, folder: Path, step: int, fault: Fault) -> None:
        self.disk = Disk()
        self.store = FaultStore(self.disk, {step: fault})
        self.mark = folder / "mark"
        self.acknowledged: list[Receipt] = []
        self.unknown: list[bytes] = []
        self.failures: list[MedchainError] = []

    def run(self) -> None:
        try:
            chain = self.create()
        except StorageError as error:
            self.failures.append(error)
            return
        try:
            self.write(chain)
        finally:
            try:
                chain.close()
            except MedchainError as error:
                self.failures.append(error)

    def create(self) -> Chain:
        return Chain.create(
            self.mark.parent / "chain", origin="faults.example", authority=AUTHORITY, gate=None, contracts=CONTRACTS,
            store=self.store, blobs=MemoryBlobs(), mark=self.mark, clock=Clock(),
        )  # fmt: skip

    def write(self, chain: Chain) -> None:
        for number in range(STEPS):
            try:
                body = chain.prepare(Counting, Add(number), [AUTHORITY.party])
                transaction = Signed.start(body).sign(AUTHORITY).transaction
            except MedchainError as error:
                self.failures.append(error)
                return
            self.unknown.append(bytes(transaction))
            try:
                self.acknowledged.append(chain.submit(transaction).result(10))
            except MedchainError as error:
                self.failures.append(error)
            else:
                self.unknown.pop()
            if number % 3 == 2:
                try:
                    chain.checkpoint()
                except MedchainError as error:
                    self.failures.append(error)

    def reopened(self) -> Chain:
        return Chain.open(
            self.mark.parent / "chain", authority=AUTHORITY, contracts=CONTRACTS, store=copy(self.disk.pairs),
            blobs=MemoryBlobs(), mark=self.mark, clock=Clock(),
        )  # fmt: skip


def lived(folder: Path, step: int, fault: Fault) -> Life:
    life = Life(folder, step, fault)
    life.run()
    return life


FAULTS = {
    "fails": fail(),
    "disk full": fail(errno.ENOSPC),
    "answer lost": lose_answer(),
    "late": delay(0.05),
}


@pytest.mark.parametrize("step", range(1, STEPS + 6))
@pytest.mark.parametrize("kind", FAULTS)
def test_nothing_acknowledged_is_lost_and_the_chain_goes_on(tmp_path: Path, step: int, kind: str) -> None:
    life = lived(tmp_path, step, FAULTS[kind])
    if step == 1 and kind in ("fails", "disk full"):
        assert not life.disk.pairs, "a chain that could not be founded leaves nothing"
        return
    if kind != "late" and step <= life.store.writes:
        assert life.failures
        assert all(isinstance(error, StorageError | ConsensusError) for error in life.failures)
        if kind == "disk full":
            causes = [*life.failures, *(error.__cause__ for error in life.failures)]
            assert any(isinstance(error, StorageFull) for error in causes)
    with life.reopened() as chain:
        for receipt in life.acknowledged:
            assert chain.entry(receipt.index).height == receipt.height
        for raw in life.unknown:  # the same bytes again: the first receipt, or a new one
            receipt = chain.submit(raw).result(10)
            assert [index for index, entry in chain.entries() if entry.content == raw] == [receipt.index]
        chain.audit()


@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("step", range(2, 9))
def test_a_store_that_tears_a_commit_is_not_written_to_again(
    tmp_path: Path, step: int, fraction: float
) -> None:
    """No store may do that. If one does, the chain says so, and never builds on half a block."""
    life = lived(tmp_path, step, tear(fraction))
    torn = life.disk.pairs
    kept = Mark(life.mark, chain_id=bytes.fromhex(life.mark.read_text().split()[3])).latest
    assert kept is not None
    try:
        with life.reopened() as chain:
            chain.audit()
            for receipt in life.acknowledged:
                assert chain.entry(receipt.index).height == receipt.height
    except (InvalidBlock, StorageError):
        assert any(key[:1] == b"e" and int.from_bytes(key[1:], "big") >= tip_size(torn) for key in torn)


def tip_size(pairs: dict[bytes, bytes]) -> int:
    return Archive(copy(pairs)).tip().size
