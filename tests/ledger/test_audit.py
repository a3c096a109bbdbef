"""An audit reads everything that is stored, and nothing that was changed passes."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from ledger.counting import Add, Counting, Later, Other, Put
from ledger.world import CONTRACTS, START, World, content, copy

from medchain.chain import Chain
from medchain.errors import InvalidBlock, MedchainError, NewerFormat, NotAChain, StorageError
from medchain.ledger.archive import Archive
from medchain.ledger.audit import audit
from medchain.ledger.registry import Registry
from medchain.ledger.transition import found
from medchain.merkle import CompactRange, Head, leaf_hash
from medchain.storage.mark import Mark
from medchain.storage.memory import MemoryStore

REGISTRY = Registry(CONTRACTS)


@pytest.fixture(scope="module")
def world() -> Any:
    """A small chain with one of everything: entries of each outcome, a timer, a party, rows that came and went."""
    made = World.make()
    with made.chain:
        ann = made.register("ann")
        made.send(Add(1, (ann.party.id,)), ann)
        made.send(Add(-1, (ann.party.id,)), ann)
        made.send(Later(START + 1, 5), ann)
        made.send(Later(START + 99, 5), ann)
        made.send(Put("x", "1"), ann)
        made.clock.now += 1
        made.send(Put("x", None), ann)
        made.chain.checkpoint()
        yield made


def reopened(store: MemoryStore, world: World, mark: Path) -> Chain:
    blobs = world.chain.blobs
    return Chain.open(
        mark.parent, authority=world.authority, contracts=CONTRACTS, store=store, mark=mark, blobs=blobs
    )


def audited(pairs: dict[bytes, bytes]) -> None:
    audit(Archive(copy(pairs)), REGISTRY)


def test_a_good_chain(world: World, tmp_path: Path) -> None:
    report = world.chain.audit()
    assert report.head == world.chain.head
    assert report.height == world.chain.height
    assert (report.began, report.ended) == (START, START + 1)
    assert report.outcomes["counting", "ok"] == 5
    assert report.outcomes["counting", "negative"] == 1
    assert report.outcomes["timer", "ok"] == 1
    assert "all of it holds" in str(report)
    assert "counting" in report._repr_html_()
    seen: list[tuple[int, int | None]] = []
    world.chain.audit(progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (world.chain.head.size, world.chain.head.size)
    mark = tmp_path / "mark"
    Mark(mark, chain_id=world.chain.id).advance(world.chain.checkpoint().head)
    reopened(copy(content(world.chain)), world, mark).close()


def test_every_flipped_byte_of_every_value_is_found(world: World) -> None:
    pairs = content(world.chain)
    assert {key[:1] for key in pairs} == {b"e", b"h", b"i", b"m", b"n", b"r", b"t", b"u"}
    for key, value in pairs.items():
        for at in range(len(value)):
            bad = bytearray(value)
            bad[at] ^= 1 << at % 8
            with pytest.raises((InvalidBlock, NotAChain, NewerFormat)):
                audited({**pairs, key: bytes(bad)})


def test_every_missing_moved_or_additional_pair_is_found(world: World) -> None:
    pairs = content(world.chain)
    for key, value in pairs.items():
        rest = {other: each for other, each in pairs.items() if other != key}
        if key != b"mcheckpoint":
            with pytest.raises((InvalidBlock, NotAChain)):
                audited(rest)
        for moved in (key + b"\0", key[:-1] + bytes([key[-1] ^ 1]), key[:-1] or b"?"):
            if moved not in pairs and moved != b"":
                with pytest.raises((InvalidBlock, NotAChain)):
                    audited({**rest, moved: value})
                with pytest.raises(InvalidBlock):
                    audited({**pairs, moved: value})
        for longer in (value + b"\0", value[:-1]):
            with pytest.raises((InvalidBlock, NotAChain)):
                audited({**pairs, key: longer})


def test_swapped_values_are_found(world: World) -> None:
    pairs = content(world.chain)
    keys = sorted(pairs)
    for first, second in itertools.pairwise(keys):
        if pairs[first] != pairs[second]:
            with pytest.raises((InvalidBlock, NotAChain)):
                audited({**pairs, first: pairs[second], second: pairs[first]})


def test_flipped_bytes_are_found_when_opening_for_writing(world: World, tmp_path: Path) -> None:
    """All that the next block builds on: genesis, last header, root of the map, tip, tiles that lead to the root."""
    mark = tmp_path / "mark"
    Mark(mark, chain_id=world.chain.id).advance(world.chain.checkpoint().head)
    pairs = content(world.chain)
    last = b"e" + (world.chain.head.size - 1).to_bytes(8, "big")
    root = b"n" + world.chain.height.to_bytes(8, "big")
    built_on = [
        key for key in pairs if key[:1] == b"t" or key in (b"mtip", b"mformat", last, b"e" + bytes(8), root)
    ]
    for key in built_on:
        for at in range(0, len(pairs[key]), 13):
            bad = bytearray(pairs[key])
            bad[at] ^= 1 << at % 8
            with pytest.raises((InvalidBlock, StorageError)):
                reopened(copy({**pairs, key: bytes(bad)}), world, mark).close()


def test_other_flipped_bytes_never_end_in_anything_undocumented(world: World, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    Mark(mark, chain_id=world.chain.id).advance(world.chain.checkpoint().head)
    pairs = content(world.chain)
    transaction = next(
        entry.content
        for _, entry in world.chain.entries()
        if entry.content and entry.outcome.code == "negative"
    )
    for key in [key for key in pairs if key[:1] in b"ehim"]:
        for at in range(0, len(pairs[key]), 41):
            bad = bytearray(pairs[key])
            bad[at] ^= 1 << at % 8
            store = copy({**pairs, key: bytes(bad)})
            with contextlib.suppress(MedchainError), reopened(store, world, mark) as chain:
                chain.submit(transaction).receipt(10)
                list(chain.entries())
                [chain.header(height) for height in range(chain.height + 1)]


class TestLies:
    """Chains that a dishonest authority could write, hashes and signatures all in order."""

    def test_an_outcome_that_execution_does_not_give(self, world: World) -> None:
        made = World.make()
        with made.chain:
            writer = made.chain._writer
            assert writer is not None
            with writer.begin() as builder:
                builder.add(made.sign(made.body(Add(1), made.authority), made.authority))
                builder._leaves[0] = builder._leaves[0].replace(b"etotal\x01", b"etotal\x07")
                from medchain.merkle import leaf_hash

                builder._hashes[0] = leaf_hash(builder._leaves[0])
                block = builder.close()
            writer.commit(block)
            with pytest.raises(InvalidBlock, match="not what executing it gives") as caught:
                made.chain.audit()
            assert (caught.value.height, caught.value.index) == (1, 1)

    def test_a_timer_that_was_passed_over(self) -> None:
        made = World.make()
        with made.chain:
            made.send(Later(START + 1, 1), made.authority)
            writer = made.chain._writer
            assert writer is not None
            transaction = made.sign(made.body(Add(1), made.authority), made.authority)

            def pass_over() -> None:
                made.clock.now += 1
                with writer.begin() as builder:
                    builder.add(transaction)
                    block = builder.close()
                writer.commit(block)

            writer.engine.run(
                pass_over
            )  # between two blocks, so that the engine does not run the timer first
            with pytest.raises(InvalidBlock):
                made.chain.audit()

    def test_rows_beside_the_log(self) -> None:
        made = World.make()
        with made.chain:
            writer = made.chain._writer
            assert writer is not None
            with writer.begin() as builder:
                builder.add(made.sign(made.body(Add(1), made.authority), made.authority))
                from ledger.counting import NoteRow

                Counting.notes.view(builder._state)["x"] = NoteRow("smuggled")
                block = builder.close()
            writer.commit(block)
            with pytest.raises(InvalidBlock, match="header is not what executing it gives"):
                made.chain.audit()


def test_an_audit_beside_a_writer(world: World) -> None:
    """What is written while an audit runs is audited, too."""
    made = World.make()
    with made.chain:
        for number in range(20):
            made.send(Add(number), made.authority)
        sent: list[Head] = []

        def write(done: int, total: int | None) -> None:
            if len(sent) < 15:
                made.send(Add(1), made.authority)
                sent.append(made.chain.head)

        report = made.chain.audit(progress=write)
        assert report.head.size >= sent[-1].size


def test_the_same_transactions_give_the_same_roots_in_every_process(world: World) -> None:
    """Two processes with different seeds for Python's hashes execute the chain of a third."""
    script = """
import sys
from pathlib import Path
from ledger.counting import Counting, Other
from ledger.world import copy
from medchain.encoding import decode
from medchain.ledger.archive import Archive
from medchain.ledger.audit import audit
from medchain.ledger.registry import Registry
pairs = {key: value for key, value in decode(sys.stdin.buffer.read())}
report = audit(Archive(copy(pairs)), Registry([Counting, Other]))
print(report.head, sys.flags.hash_randomization, hash("x"))
"""
    from medchain.encoding import encode

    data = encode([[key, value] for key, value in content(world.chain).items()])
    answers = []
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", script],
            input=data,
            capture_output=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[1]), "PATH": ""},
        )
        answers.append(done.stdout.decode().split())
    assert answers[0][0] == answers[1][0] == str(world.chain.head)
    assert answers[0][2] != answers[1][2]


def test_contracts_that_are_not_installed(world: World) -> None:
    from medchain.errors import ConsensusError

    with pytest.raises(ConsensusError, match="counting/1"):
        audit(Archive(copy(content(world.chain))), Registry([Other]))


def test_full_tiles(world: World) -> None:
    """Beyond 256 leaves the lowest tiles no longer lead to the root: the audit reads them all the same."""
    made = World.make()
    with made.chain:
        writer = made.chain._writer
        assert writer is not None
        while made.chain.head.size < 520:
            with writer.begin() as builder:
                for _ in range(60):
                    builder.add(made.sign(made.body(Add(1), made.authority), made.authority))
                block = builder.close()
            writer.commit(block)
        made.chain.checkpoint()
        pairs = content(made.chain)
        audited(pairs)
        tiles = [key for key in pairs if key[:1] == b"t"]
        assert len(tiles) == 4
        for key in tiles:
            for at in range(0, len(pairs[key]), 1021):
                bad = bytearray(pairs[key])
                bad[at] ^= 1
                with pytest.raises(InvalidBlock):
                    audited({**pairs, key: bytes(bad)})


@pytest.mark.parametrize("name", ["x" * 500, "", "Upper", "authority_threshold", "x" * 33])
def test_a_genesis_that_founds_no_chain(tmp_path: Path, name: str) -> None:
    """A hostile store whose genesis hashes well, but says what no constructor lets through."""
    good = Chain.in_memory(contracts=CONTRACTS).genesis
    block = found(REGISTRY, good, lambda keys: [None for _ in keys])
    with pytest.raises(ValueError, match="parameter"):
        evolve(good, parameters={name: 2})
    hostile = evolve(good, parameters={})
    hostile.parameters[name] = 2  # the document is frozen, its maps are not
    header = evolve(block.tip.header, genesis=hostile)
    log = CompactRange()
    nodes = tuple(log.append(leaf_hash(header.leaf)))
    archive = Archive(MemoryStore())
    archive.commit(
        evolve(block, tip=evolve(block.tip, header=header, log=log), leaves=(header.leaf,), nodes=nodes)
    )
    with pytest.raises(InvalidBlock, match="parameter"):
        audit(archive, REGISTRY)
    with pytest.raises(InvalidBlock, match="parameter"):
        Chain.open(tmp_path, store=archive.store, contracts=CONTRACTS)
