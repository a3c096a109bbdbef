"""Followers of a published log: they take what was signed and fits, and nothing else; forks are kept as evidence."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve
from ledger.counting import Add, Counting
from ledger.world import CONTRACTS
from transparency.logs import Published, checkpoint_of, publish_leaves

import medchain as mc
from medchain.errors import (
    ConsensusError,
    Forked,
    InvalidBlock,
    MedchainError,
    NotAChain,
    Rewound,
    StorageError,
    VerificationError,
)
from medchain.ledger.entry import Entry, Header, parse_leaf
from medchain.ledger.note import Note, NoteSigner
from medchain.ledger.quorum import Quorum, Witness
from medchain.ledger.trust import Trust
from medchain.merkle import ConsistencyProof, Head, LogTree
from medchain.storage import MemoryStore
from medchain.transparency import PublishedLog, layout, publication_trust, publish
from medchain.transparency.evidence import Evidence
from medchain.transparency.fetching import fetched_runs
from medchain.transparency.source import DirectorySource
from medchain.transparency.tree import PublishedTree

BOTH = pytest.mark.parametrize("contracts", [None, CONTRACTS], ids=["leaves", "executed"])


@pytest.fixture
def published(tmp_path: Path) -> Published:
    return Published.make(tmp_path / "pub")


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """A log with full and partial tiles and bundles; left as it is."""
    return Published.make(tmp_path_factory.mktemp("long") / "pub", 170)


@pytest.fixture
def log(published: Published) -> Iterator[PublishedLog]:
    with PublishedLog(published.folder, published.trust) as found:
        found.update()
        yield found


@BOTH
def test_a_copy_grows_with_the_log_and_is_it(tmp_path: Path, published: Published, contracts: object) -> None:
    chain, seen = published.world.chain, []
    with PublishedLog(published.folder, published.trust, tmp_path / "copy", contracts=contracts) as log:
        assert (log.head, log.checkpoint, log.size) == (None, None, 0)
        with pytest.raises(StorageError, match="update"):
            log.prove(0)
        first = log.update(lambda done, total: seen.append((done, total)))
        assert (first.before, first.added) == (0, log.size) == (0, chain.head.size)
        assert seen[-1] == (chain.head.size, chain.head.size)
        for count in (1, 140, 3):
            published.grow(count)
            assert log.update().added == 2 * count
            assert log.head == chain.head
        assert log.update().added == 0
        assert str(log.size) in repr(log)
    with PublishedLog(tmp_path / "gone", published.trust, tmp_path / "copy", contracts=contracts) as log:
        assert log.head == chain.head  # reading needs no source
        proof = log.prove(7)
        assert mc.verify(proof, Entry, trust=published.trust).as_of.index == 7
        assert list(log._copy.archive.leaves(0, log.size)) == published.leaves()
        for level, index in ((0, 0), (0, 1), (1, 0)):
            assert log._copy.archive.tile(level, index) == chain._archive.tile(level, index)
        assert log.compare(chain.checkpoint()).new_size == log.size
        log.audit()
        with pytest.raises(StorageError, match="no directory"):
            log.update()


def test_an_executed_copy_has_the_rows_and_is_a_chain(tmp_path: Path, published: Published) -> None:
    with PublishedLog(published.folder, published.trust, tmp_path / "copy", contracts=CONTRACTS) as log:
        log.update()
        mine = dict(Counting.totals.view(published.world.chain._archive).items())
        assert dict(log.table(Counting.totals).items()) == mine != {}
        assert log.audit().executed
    with mc.Chain.open(tmp_path / "copy", contracts=CONTRACTS) as chain:
        assert chain.audit().head == published.world.chain.head
        assert chain.trust == published.trust


def test_a_copy_without_contracts_has_no_rows_and_is_no_chain(tmp_path: Path, published: Published) -> None:
    with PublishedLog(published.folder, published.trust, tmp_path / "copy") as log:
        log.update()
        with pytest.raises(ValueError, match="contracts="):
            log.table(Counting.totals)
    with pytest.raises(NotAChain):
        mc.Chain.open(tmp_path / "copy", contracts=CONTRACTS)
    with pytest.raises(StorageError, match="made without"):
        PublishedLog(published.folder, published.trust, tmp_path / "copy", contracts=CONTRACTS)


def test_other_stores_and_other_logs_are_refused(tmp_path: Path, published: Published) -> None:
    chain = published.world.chain
    with pytest.raises(StorageError, match="something else"):
        PublishedLog(published.folder, published.trust, chain._archive.store, contracts=CONTRACTS)
    other = evolve(published.trust, chain=bytes(32))
    with PublishedLog(published.folder, other) as log, pytest.raises(InvalidBlock, match="another chain"):
        log.update()
    with PublishedLog(published.folder, evolve(published.trust, tag=bytes(32)), contracts=CONTRACTS) as log:
        with pytest.raises(InvalidBlock, match="another chain"):
            log.update()
        assert log.size == 0
    with PublishedLog(published.folder, published.trust, tmp_path / "copy") as log:
        log.update()
    with pytest.raises(StorageError, match="another log"):
        PublishedLog(published.folder, other, tmp_path / "copy")


def test_entries_are_read_by_contract_and_place(log: PublishedLog, published: Published) -> None:
    found = list(log.entries())
    assert [each.contract for each in found] == ["keys", *["counting"] * 5]
    assert [each.index for each in found] == [1, 3, 5, 7, 9, 11]
    last = found[-1]
    assert (last.message, last.outcome, last.ok, last.height) == ("add", "ok", True, 6)
    assert last.signers == (published.person.party.id,)
    assert last.time == published.world.clock.now
    assert published.world.chain._archive.find(last.id) == last.index
    assert list(log.entries(contract="keys")) == found[:1]
    assert list(log.entries(since=9)) == found[-2:]
    assert list(log.entries(contract="none")) == []
    assert log.path(last).verify(published.leaves()[11], index=11, head=log.head)
    for wrong in (-1, log.size):
        with pytest.raises(IndexError):
            log.prove(wrong)
        with pytest.raises(IndexError):
            log.path(wrong)
    with pytest.raises(ValueError, match="log index"):
        log.entries(since=-1)


def test_a_contract_that_is_missing_stops_executing(published: Published, tmp_path: Path) -> None:
    with PublishedLog(published.folder, published.trust, tmp_path / "copy", contracts=()) as log:
        with pytest.raises(ConsensusError, match="not installed"):
            log.update()
        with log.follow(every=0.01) as following:
            assert following.wait(30)
        assert isinstance(following.error, ConsensusError)
    with PublishedLog(published.folder, published.trust, tmp_path / "copy", contracts=CONTRACTS) as log:
        assert log.update().checkpoint.size == published.world.chain.head.size


# What is published wrong.


def every_file(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and ".publishing" not in path.parts)


@BOTH
def test_every_flipped_appended_cut_or_missing_file_is_found(
    long: Published, tmp_path: Path, contracts: object
) -> None:
    """Of those files that the checkpoint speaks of; nothing wrong is ever in the copy."""
    size = long.world.chain.head.size
    parts = [part.path for part in (*layout.entries(size), *layout.tiles(size))]
    assert size > 256
    assert len(parts) == 5
    place = tmp_path / "wrong"
    damages = (
        lambda data: data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :],
        lambda data: bytes([data[0] ^ 0x80]) + data[1:],
        lambda data: data + b"\0",
        lambda data: data + bytes(32),
        lambda data: data[:-1],
        lambda data: b"",
        None,
    )
    for part in parts:
        for damage in damages:
            shutil.copytree(long.folder, place)
            file = place / part
            if damage is None:
                file.unlink()
            else:
                file.write_bytes(damage(file.read_bytes()))
            with PublishedLog(place, long.trust, contracts=contracts) as log:
                with pytest.raises(VerificationError) as caught:
                    log.update()
                assert not isinstance(caught.value, Forked)
                assert part in str(caught.value)
                assert log.size == 0
                taken = log._copy.size
                assert list(log._copy.archive.leaves(0, taken)) == long.leaves()[:taken]
                log.source = DirectorySource(long.folder)
                assert log.update().checkpoint.size == size  # it goes on where the files are right
                log.audit()
            shutil.rmtree(place)
    assert {str(each.relative_to(long.folder)) for each in every_file(long.folder)} == {*parts, "checkpoint"}


def test_a_full_file_serves_where_the_partial_one_is_gone(published: Published, tmp_path: Path) -> None:
    old = published.world.chain.head.size
    checkpoint = (published.folder / "checkpoint").read_bytes()
    published.grow(130)
    (published.folder / "checkpoint").write_bytes(checkpoint)
    for name in ("0", "entries"):
        (published.folder / f"tile/{name}/000.p/{old}").unlink()
    with PublishedLog(published.folder, published.trust) as log:
        assert log.update().added == old
        assert list(log._copy.archive.leaves(0, old)) == published.leaves()[:old]
        (published.folder / "checkpoint").write_bytes(bytes(published.world.chain.checkpoint()))
        assert log.update().checkpoint.size == old + 260


def test_a_checkpoint_that_is_none_or_of_others_is_refused(log: PublishedLog, published: Published) -> None:
    place = published.folder / "checkpoint"
    right = place.read_bytes()
    for wrong in (b"", b"nothing", right.replace(b"chain", b"other"), right[:-20], b"\0" * 200_000):
        place.write_bytes(wrong)
        with pytest.raises((VerificationError, StorageError)):
            log.update()
    place.unlink()
    with pytest.raises(VerificationError, match="no checkpoint"):
        log.update()
    stranger = evolve(published, world=evolve(published.world, authority=published.person))
    place.write_bytes(bytes(checkpoint_of(stranger, log.head)))
    with pytest.raises(VerificationError):
        log.update()
    empty = checkpoint_of(published, Head(0, Head(0, bytes(32)).root))
    place.write_bytes(bytes(empty))
    with pytest.raises(VerificationError, match="empty"):
        log.update()
    place.write_bytes(right)
    assert log.update().added == 0


# What is signed wrong.


def remade(leaves: list[bytes], index: int, /, **changes: object) -> list[bytes]:
    """A log in which one leaf says something else, and all headers after it fit it as far as hashes go."""
    from medchain.merkle import LogTree

    made, tree, previous = [], LogTree(), bytes(32)
    for at, leaf in enumerate(leaves):
        parsed = parse_leaf(leaf)
        if isinstance(parsed, Header) and at:
            parsed = evolve(parsed, previous=previous, log_root=tree.root)
        if at == index:
            parsed = evolve(parsed, **changes)
        made.append(parsed.leaf)
        if isinstance(parsed, Header):
            previous = parsed.hash
        tree.append(parsed.leaf)
    return made


WRONG = {
    "height": (12, {"height": 7}),
    "time": (12, {"time": 1}),
    "other time": (12, {"time": 1 << 45}),
    "previous": (12, {"previous": bytes(32)}),
    "first": (12, {"first": 10}),
    "log root": (12, {"log_root": bytes(32)}),
    "chain": (12, {"chain": bytes(32)}),
    "origin": (12, {"origin": "memory.example/other"}),
    "height of an entry": (11, {"height": 5}),
    "place of an entry": (11, {"index": 1}),
    "time of an entry": (11, {"time": 1}),
    "later time of an entry": (11, {"time": 1 << 45}),
    "genesis": (0, {"height": 1}),
}


@BOTH
@pytest.mark.parametrize("name", WRONG)
def test_a_log_that_signs_what_breaks_the_rules_is_refused(
    name: str, published: Published, tmp_path: Path, contracts: object
) -> None:
    index, changes = WRONG[name]
    publish_leaves(published, remade(published.leaves(), index, **changes), tmp_path / "wrong")
    with PublishedLog(tmp_path / "wrong", published.trust, contracts=contracts) as log:
        with pytest.raises(InvalidBlock) as caught:
            log.update()
        assert caught.value.index in (index, index + 1, index - 1)
        assert log.size == 0


def test_a_wrong_state_root_is_found_by_executing(published: Published, tmp_path: Path) -> None:
    leaves = remade(published.leaves(), 12, state_root=bytes(32))
    publish_leaves(published, leaves, tmp_path / "wrong")
    with PublishedLog(tmp_path / "wrong", published.trust) as log:
        assert log.update().added == len(leaves)  # nobody can tell without the contracts
    with PublishedLog(tmp_path / "wrong", published.trust, contracts=CONTRACTS) as log:
        with pytest.raises(InvalidBlock, match="header is not what executing") as caught:
            log.update()
        assert (caught.value.height, caught.value.index) == (6, 12)
        assert log._copy.size == 11  # up to there all was right


def test_a_wrong_outcome_is_found_by_executing(published: Published, tmp_path: Path) -> None:
    entry = parse_leaf(published.leaves()[9])
    assert isinstance(entry, Entry)
    wrong = evolve(entry.outcome, code="denied", events=())
    publish_leaves(published, remade(published.leaves(), 9, outcome=wrong), tmp_path / "wrong")
    with PublishedLog(tmp_path / "wrong", published.trust, contracts=CONTRACTS) as log:
        with pytest.raises(InvalidBlock, match="entry is not what executing") as caught:
            log.update()
        assert (caught.value.height, caught.value.index) == (5, 9)


@BOTH
def test_a_checkpoint_in_the_middle_of_a_block_and_leaves_that_are_none(
    published: Published, tmp_path: Path, contracts: object
) -> None:
    for leaves, index in (
        (published.leaves()[:-1], 11),
        ([*published.leaves(), b"\1no entry", published.leaves()[-1]], 13),
        ([*published.leaves(), b""], 13),
        ([b"\0nothing"], 0),
        (published.leaves()[1:], 0),
    ):
        publish_leaves(published, leaves, tmp_path / "wrong")
        with PublishedLog(tmp_path / "wrong", published.trust, contracts=contracts) as log:
            with pytest.raises(InvalidBlock) as caught:
                log.update()
            assert caught.value.index == index
            assert log.size == 0


# Forks.


def fork(published: Published, common: int = 9) -> list[bytes]:
    """Another history of the log, signed by nobody yet, that begins with the same leaves."""
    leaves = published.leaves()
    entry = parse_leaf(leaves[common])
    assert isinstance(entry, Entry)
    return remade(leaves, common, outcome=evolve(entry.outcome, code="denied", events=()))


def check(evidence: bytes, trust: Trust) -> Evidence:
    """That it convicts the log by itself, as a file that somebody else reads."""
    found = Evidence.parse(evidence)
    assert found.verify(trust) == trust.log_keys[:1]
    return found


@BOTH
def test_another_history_stops_the_copy_and_leaves_evidence(
    published: Published, tmp_path: Path, contracts: object
) -> None:
    with PublishedLog(published.folder, published.trust, tmp_path / "copy", contracts=contracts) as log:
        log.update()
        head, real = log.head, published.world.chain.checkpoint()
        published.send(2)
        publish_leaves(published, fork(published), tmp_path / "fork")
        log.source = DirectorySource(tmp_path / "fork")
        with pytest.raises(Forked) as caught:
            log.update()
        evidence = check(caught.value.evidence, published.trust)
        assert (evidence.first.head, evidence.second.size) == (real.head, head.size + 4)
        assert log.head == head
        log.source = DirectorySource(published.folder)
        with pytest.raises(Forked):  # for good
            log.update()
    (kept,) = (tmp_path / "copy").glob("fork-*.txt")
    assert kept.read_bytes() == caught.value.evidence
    with PublishedLog(published.folder, published.trust, tmp_path / "copy", contracts=contracts) as log:
        assert log.evidence == evidence
        assert "forked" in repr(log)
        assert log.audit().evidence == evidence
        assert log.head == head
        with pytest.raises(Forked):
            log.update()


@pytest.mark.parametrize("difference", [0, -2], ids=["same size", "smaller"])
def test_a_fork_of_the_same_size_or_a_smaller_one(
    published: Published, tmp_path: Path, difference: int
) -> None:
    with PublishedLog(published.folder, published.trust) as log:
        log.update()
        other = fork(published)
        publish_leaves(published, other[: len(other) + difference], tmp_path / "fork")
        log.source = DirectorySource(tmp_path / "fork")
        with pytest.raises(Forked) as caught:
            log.update()
        check(caught.value.evidence, published.trust)


def test_a_fork_signed_by_another_key_of_the_log_is_caught(published: Published, tmp_path: Path) -> None:
    chain, bad = published.world.chain, fork(published)
    with PublishedLog(published.folder, publication_trust(chain), tmp_path / "copy") as log:
        log.update()
        publish_leaves(published, bad, published.folder)
        head = LogTree(bad).head
        said = mc.Checkpoint.text(chain.origin, head)
        assert chain.cosigner is not None
        other = mc.Checkpoint(chain.origin, head, Note(said, (chain.cosigner.sign(said, 1_800_000_000),)))
        (published.folder / layout.CHECKPOINT).write_bytes(bytes(other))
        with pytest.raises(Forked) as caught:
            log.update()
        assert Evidence.parse(caught.value.evidence).verify(log.trust) == log.trust.log_keys


def test_less_than_before_is_a_rewound_log(published: Published, tmp_path: Path) -> None:
    with PublishedLog(published.folder, published.trust) as log:
        shutil.copytree(published.folder, tmp_path / "old")
        published.grow(3)
        log.update()
        log.source = DirectorySource(tmp_path / "old")
        with pytest.raises(Rewound):
            log.update()
        with log.follow(every=0.01) as following:
            assert following.wait(30)
        assert isinstance(following.error, Rewound)
        assert following.evidence is None
        log.source = DirectorySource(published.folder)
        assert log.update().added == 0


def test_tiles_that_do_not_fit_are_no_fork(published: Published, tmp_path: Path) -> None:
    """A server that lies about a log proves nothing against it."""
    with PublishedLog(published.folder, published.trust) as log:
        log.update()
        published.grow(2)
        publish_leaves(published, fork(published), tmp_path / "fork")
        shutil.copy(published.folder / "checkpoint", tmp_path / "fork/checkpoint")
        log.source = DirectorySource(tmp_path / "fork")
        with pytest.raises(VerificationError) as caught:
            log.update()
        assert not isinstance(caught.value, Forked)
        assert log.evidence is None
        log.source = DirectorySource(published.folder)
        assert log.update().added == 4


def restored(published: Published, folder: Path, count: int) -> Published:
    """The authority, back from a backup as of now, goes on with other entries."""
    from ledger.world import CONTRACTS, Clock, World, content, copy

    clock = Clock(published.world.clock.now + 5)
    store = copy(content(published.world.chain))
    (folder / "mark").parent.mkdir(parents=True, exist_ok=True)
    from medchain.storage.mark import Mark

    Mark(folder / "mark", chain_id=published.world.chain.id).advance(published.world.chain.head)
    chain = mc.Chain.open(
        folder / "nowhere",
        authority=published.world.authority,
        contracts=CONTRACTS,
        store=store,
        mark=folder / "mark",
        clock=clock,
        blobs=mc.storage.MemoryBlobs(),
    )
    other = Published(World(chain, clock, published.world.authority), published.person, folder / "pub")
    other.world.send(Add(1000), other.person)
    other.grow(count)
    return other


def test_a_split_view_is_caught_as_soon_as_two_compare(published: Published, tmp_path: Path) -> None:
    """Both histories are real ones of the authority, which shows each follower another."""
    other = restored(published, tmp_path / "restored", 3)
    published.grow(2)
    for asks in ("one", "two"):
        with (
            PublishedLog(published.folder, published.trust, contracts=CONTRACTS) as one,
            PublishedLog(other.folder, published.trust, contracts=CONTRACTS) as two,
        ):
            one.update()
            two.update()
            assert two.size != one.size
            with pytest.raises(Forked) as caught:
                one.compare(two) if asks == "one" else two.compare(one)
            asked = one if asks == "one" else two
            with pytest.raises(Forked):  # whoever has asked goes no further
                asked.update()
            check(caught.value.evidence, published.trust)
    with PublishedLog(published.folder, published.trust) as one:  # by a checkpoint in hand, of any size
        one.update()
        assert other.world.chain.head.size > one.size
        one.source = DirectorySource(other.folder)
        with pytest.raises(Forked) as caught:
            one.compare(bytes(other.world.chain.checkpoint()))
        check(caught.value.evidence, published.trust)


def test_a_restored_backup_that_goes_on_is_caught(published: Published, tmp_path: Path) -> None:
    with PublishedLog(published.folder, published.trust) as log:
        log.update()
        backup = restored(published, tmp_path / "restored", 4)
        published.grow(2)
        log.update()
        log.source = DirectorySource(backup.folder)
        with pytest.raises(Forked) as caught:
            log.update()
        check(caught.value.evidence, published.trust)
        with pytest.raises(Forked):  # nor does it publish where the real history lies
            publish(backup.world.chain, published.folder)


def test_comparing_with_one_history_proves_it(published: Published) -> None:
    with (
        PublishedLog(published.folder, published.trust) as one,
        PublishedLog(published.folder, published.trust) as two,
    ):
        one.update()
        old = one.checkpoint
        published.grow(3)
        two.update()
        for proof in (one.compare(two), two.compare(one), two.compare(str(old)), one.compare(two.checkpoint)):
            assert proof.verify(old=old.head, new=two.head) == two.head
        stranger = evolve(published, world=evolve(published.world, authority=published.person))
        with pytest.raises(VerificationError):
            two.compare(checkpoint_of(stranger, old.head))


# Being broken off.


class Killed(BaseException):
    """The follower dies."""


@BOTH
def test_a_killed_follower_goes_on(
    long: Published, tmp_path: Path, contracts: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medchain.transparency.fetching.RUN", 64)
    size = long.world.chain.head.size
    commits = 0
    for _ in range(400):
        store = _Dying(tmp_path, 2)
        with PublishedLog(long.folder, long.trust, tmp_path / "copy", contracts=contracts) as log:
            monkeypatch.setattr(log._store, "commit", store.wrap(log._store.commit))
            before = log._copy.size
            try:
                log.update()
                break
            except Killed:
                commits += 1
            taken = log._copy.size
            assert taken >= before
            assert log.size == 0
            assert list(log._copy.archive.leaves(0, taken)) == long.leaves()[:taken]
    assert commits >= 2
    with PublishedLog(long.folder, long.trust, tmp_path / "copy", contracts=contracts) as log:
        assert log.head == long.world.chain.head
        assert log.size == size
        log.audit()


class _Dying:
    """Lets some commits of a store through."""

    def __init__(self, _: Path, count: int) -> None:
        self.left = count

    def wrap(self, commit):  # type: ignore[no-untyped-def]
        def dying(batch):  # type: ignore[no-untyped-def]
            if self.left == 0:
                raise Killed
            self.left -= 1
            commit(batch)

        return dying


def test_a_log_that_forks_while_an_update_is_broken_off_is_convicted(
    published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoint for which leaves were taken is kept before any leaf."""
    store = MemoryStore()
    log = PublishedLog(published.folder, published.trust, store)
    (published.folder / f"tile/entries/000.p/{published.world.chain.head.size}").rename(tmp_path / "bundle")
    with pytest.raises(VerificationError):
        log.update()
    publish_leaves(published, fork(published), tmp_path / "fork")
    log.source = DirectorySource(tmp_path / "fork")
    with pytest.raises(Forked) as caught:
        log.update()
    check(caught.value.evidence, published.trust)


def test_a_fork_between_the_copy_and_an_update_that_was_broken_off_is_convicted(
    published: Published, tmp_path: Path
) -> None:
    """It is smaller than what was shown last, and larger than what is here."""
    with PublishedLog(published.folder, published.trust, tmp_path / "copy") as log:
        log.update()
        held = log.head
        published.send(4)
        leaves = published.leaves()
        publish_leaves(published, leaves, tmp_path / "broken")
        shutil.rmtree(tmp_path / "broken" / "tile" / "entries")
        log.source = DirectorySource(tmp_path / "broken")
        with pytest.raises(VerificationError, match="missing"):
            log.update()
        publish_leaves(published, leaves[:-4], tmp_path / "old")
        log.source = DirectorySource(tmp_path / "old")
        with pytest.raises(Rewound):
            log.update()
        assert log.unproved == ()
        shutil.rmtree(tmp_path / "old" / "tile")
        with pytest.raises(Rewound):
            log.update()
        assert [each.size for each in log.unproved] == [len(leaves) - 4]
        publish_leaves(published, fork(published)[:-4], tmp_path / "fork")
        log.source = DirectorySource(tmp_path / "fork")
        with pytest.raises(Forked) as caught:
            log.update()
        evidence = check(caught.value.evidence, published.trust)
        assert (evidence.first.head, evidence.second.size) == (held, len(leaves) - 4)


def withheld(published: Published, head: Head, folder: Path) -> mc.Checkpoint:
    """A checkpoint without any tile."""
    folder.mkdir()
    signed = checkpoint_of(published, head)
    (folder / layout.CHECKPOINT).write_bytes(bytes(signed))
    return signed


def test_half_of_a_fork_is_kept_until_the_other_half_comes(published: Published, tmp_path: Path) -> None:
    """A log that signs a fork and withholds its tiles has still signed it."""
    published.send(2)
    leaves = published.leaves()
    with PublishedLog(published.folder, published.trust, tmp_path / "copy") as log:
        log.update()
        honest = withheld(published, LogTree(leaves).head, tmp_path / "late")
        liar = withheld(published, Head(len(leaves), b"\7" * 32), tmp_path / "fork")
        for folder in ("late", "fork", "fork"):
            log.source = DirectorySource(tmp_path / folder)
            with pytest.raises(VerificationError, match="missing"):
                log.update()
        assert log.unproved == (honest, liar)
    kept = list((tmp_path / "copy").glob("unproved-*.txt"))
    assert {path.read_bytes() for path in kept} == {bytes(honest), bytes(liar)}
    with PublishedLog(published.folder, published.trust, tmp_path / "copy") as log:
        assert set(log.unproved) == {honest, liar}
        published.grow(1)
        with pytest.raises(Forked) as caught:
            log.update()
        assert check(caught.value.evidence, published.trust).first == liar
        assert log.evidence_file is not None
        assert log.evidence_file.read_bytes() == caught.value.evidence


def test_what_was_only_late_is_forgotten(published: Published, tmp_path: Path) -> None:
    published.send(2)
    with PublishedLog(published.folder, published.trust, tmp_path / "copy") as log:
        log.update()
        withheld(published, LogTree(published.leaves()).head, tmp_path / "late")
        log.source = DirectorySource(tmp_path / "late")
        with pytest.raises(VerificationError, match="missing"):
            log.update()
        published.grow(1)
        log.source = DirectorySource(published.folder)
        log.update()
        assert log.unproved == ()
        assert list((tmp_path / "copy").glob("unproved-*.txt")) == []
        for number in range(20):
            folder = tmp_path / str(number)
            withheld(published, Head(900 + number, bytes(32)), folder)
            log.source = DirectorySource(folder)
            with pytest.raises(VerificationError, match="missing"):
                log.update()
        assert len(log.unproved) == 16


def test_kept_files_are_verified(published: Published, tmp_path: Path) -> None:
    """What somebody has put beside a copy stops it only if it convicts the log."""
    copy = tmp_path / "copy"
    with PublishedLog(published.folder, published.trust, copy) as log:
        log.update()
    one, two = published.sign(published.leaves()), published.sign(fork(published))
    framed = bytes(Evidence.of(one, two, two.root, ConsistencyProof(one.size, two.size, ())))
    for name, data in (
        ("fork-1-2.txt", framed.replace(published.trust.origin.encode(), b"x.example/y")),
        ("fork-1-2.txt", framed.replace(b"root ", b"root AAAA")),
        ("fork-1-2.txt", b"nothing"),
        ("unproved-1-2.txt", bytes(one).replace(published.trust.origin.encode(), b"x.example/y")),
    ):
        (copy / name).write_bytes(data)
        with pytest.raises(StorageError, match=name):
            PublishedLog(published.folder, published.trust, copy)
        (copy / name).unlink()
    signer = NoteSigner.cosigner("w.example", published.person.log_key(bytes(32)))
    trust = evolve(published.trust, quorum=Quorum.of(1, Witness("w", signer.key)))
    (copy / "fork-1-2.txt").write_bytes(framed)
    (copy / "unproved-1-2.txt").write_bytes(bytes(one))
    with PublishedLog(published.folder, trust, copy) as log:  # nobody need have witnessed what convicts
        assert log.evidence is not None
        assert log.unproved == (one,)
    lines = [each.note.signed_with(signer.sign(each.note.text, 7)).signatures[-1:] for each in (one, two)]
    alone = [
        evolve(each, note=evolve(each.note, signatures=line))
        for each, line in zip((one, two), lines, strict=True)
    ]
    framed = bytes(Evidence.of(*alone, two.root, ConsistencyProof(one.size, two.size, ())))
    (copy / "fork-1-2.txt").write_bytes(framed)
    with pytest.raises(StorageError, match="witness alone"):
        PublishedLog(published.folder, trust, copy)


def test_a_damaged_copy_is_found(published: Published) -> None:
    from medchain.storage.api import Batch

    for prefix in (b"e", b"t"):
        store = MemoryStore()
        with PublishedLog(published.folder, published.trust, store) as log:
            log.update()
            key, data = list(store.scan(prefix, prefix + b"\xff"))[-1]
            batch = Batch()
            batch.put(key, data[:-1] + bytes([data[-1] ^ 1]))
            store.commit(batch)
            with pytest.raises(InvalidBlock):
                log.audit()


# On a thread.


def test_following_tells_of_growth_and_survives_trouble(published: Published, tmp_path: Path) -> None:
    sizes: list[int] = []
    troubles: list[Exception] = []
    grown, troubled = threading.Event(), threading.Event()

    def tell(update: object) -> None:
        sizes.append(update.checkpoint.size)  # type: ignore[attr-defined]
        grown.set()

    def trouble(error: Exception) -> None:
        troubles.append(error)
        troubled.set()

    with (
        PublishedLog(published.folder, published.trust) as log,
        log.follow(tell, every=0.01, on_trouble=trouble) as following,
    ):
        assert grown.wait(30)
        place = published.folder / "checkpoint"
        right = place.read_bytes()
        place.write_bytes(b"nothing")
        assert troubled.wait(30)
        assert following.running
        place.write_bytes(right)
        grown.clear()
        published.grow(2)
        assert grown.wait(30)
        assert sizes[-1] == published.world.chain.head.size
    assert not following.running
    assert following.error is None
    assert all(isinstance(each, MedchainError) for each in troubles)


def test_a_fork_stops_following(published: Published, tmp_path: Path) -> None:
    with PublishedLog(published.folder, published.trust) as log, log.follow(every=0.01) as following:
        while not log.size:
            assert following.running
        published.send(2)
        publish_leaves(published, fork(published), tmp_path / "fork")
        log.source = DirectorySource(tmp_path / "fork")
        assert following.wait(30)
        assert isinstance(following.error, Forked)
        check(following.evidence, published.trust)
    with PublishedLog(published.folder, published.trust) as log:
        with log.follow(lambda update: 1 / 0, every=0.01) as following:
            assert following.wait(30)
        assert isinstance(following.error, ZeroDivisionError)
        for never in (0, -1, float("nan"), float("inf"), 1e300):
            with pytest.raises(ValueError, match="seconds"):
                log.follow(every=never)


def test_stopping_breaks_an_update_off(long: Published, tmp_path: Path) -> None:
    """It does not wait for all that is published, and what has come is no error."""
    first, going = threading.Event(), threading.Event()

    class Slow(DirectorySource):
        bundles = 0

        def read(self, path: str, limit: int) -> bytes | None:
            if "entries" in path:
                self.bundles += 1
                first.set()
                assert going.wait(30)
            return super().read(path, limit)

    with PublishedLog(Slow(long.folder), long.trust, tmp_path / "copy") as log:
        following = log.follow(every=0.01)
        assert first.wait(30)
        stopper = threading.Thread(target=following.stop)
        stopper.start()
        while not following._stopping.is_set():
            pass
        going.set()
        stopper.join(30)
        assert not following.running
        assert (following.error, following.trouble) == (None, None)
        assert isinstance(log.source, Slow)
        assert log.source.bundles == 1
        assert log.size == 0
        log.update()
        assert log.head == long.world.chain.head


def test_stopping_waits_for_no_file_that_was_not_asked_for(published: Published, tmp_path: Path) -> None:
    """Those that are fetched at once end; the threads that fetch them begin no others."""
    leaves = [b"%d" % number for number in range(10 * layout.WIDTH)]
    head = publish_leaves(published, leaves, tmp_path / "wide").head
    both, going, stopped = threading.Barrier(3), threading.Event(), threading.Event()
    asked: list[str] = []

    class Slow(DirectorySource):
        parallel = 2

        def read(self, path: str, limit: int) -> bytes | None:
            if "entries" in path:
                asked.append(path)
                if len(asked) <= 2:
                    both.wait(30)
                assert going.wait(30)
            return super().read(path, limit)

    def go_on() -> None:
        if stopped.is_set():
            raise KeyError("stopped")

    def stop() -> None:
        both.wait(30)
        stopped.set()
        going.set()

    source = Slow(tmp_path / "wide")
    tree = PublishedTree(source, head)
    tree.check_border()
    stopper = threading.Thread(target=stop)
    stopper.start()
    with pytest.raises(KeyError, match="stopped"):
        list(fetched_runs(source, tree, 0, go_on))
    stopper.join(30)
    assert len(asked) == 2
