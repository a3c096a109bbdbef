"""That a log has only grown: files that hold two signed checkpoints, and the bare proof between two sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import oracles
import pytest
from attrs import evolve
from ledger import naive
from ledger.counting import Add, NoteRow, Put
from ledger.world import CONTRACTS, World

import medchain as mc
from medchain.errors import (
    InvalidSignature,
    MalformedProof,
    RootMismatch,
    StorageError,
    UntrustedSigner,
    VerificationError,
)
from medchain.ledger.entry import Entry, Header
from medchain.ledger.note import Note, NoteSigner
from medchain.ledger.proof import ConsistencyExtra, EntryExtra, LogProof, extra_bytes, read_extra
from medchain.merkle import Head, LogTree
from medchain.storage.memory import MemoryStore


@pytest.fixture
def grown(world: World) -> tuple[World, list[mc.Checkpoint]]:
    """A chain of some blocks, and the checkpoint that was signed after each."""
    signed = [world.chain.checkpoint()]
    for number in range(12):
        world.send(Add(number), world.authority)
        signed.append(world.chain.checkpoint())
    return world, signed


def signed_by_the_log(world: World, head: Head) -> mc.Checkpoint:
    """A checkpoint with the log's own key, whatever it says."""
    key, text = world.authority.log_key(world.chain.tag), mc.Checkpoint.text(world.chain.origin, head)
    note = Note(text, ()).signed_with(NoteSigner(world.chain.origin, key).sign(text))
    return mc.Checkpoint(world.chain.origin, head, note)


def forged(proof: bytes, **changes: Any) -> bytes:
    """The proof with some fields of its extra line changed."""
    good = LogProof.parse(proof)
    extra = read_extra(good.extra)
    assert isinstance(extra, ConsistencyExtra)
    return bytes(evolve(good, extra=extra_bytes(evolve(extra, **changes))))


class TestFiles:
    def test_between_all_checkpoints(self, grown: tuple[World, list[mc.Checkpoint]]) -> None:
        """Others read it as what it is in form: a tlog-proof of the header with which the older log ended."""
        world, signed = grown
        leaves = [world.chain._archive.leaf(index) for index in range(world.chain.head.size)]
        (key,) = world.chain.trust.log_keys
        for at, old in enumerate(signed):
            for new in signed[at:]:
                proof = world.chain.prove_consistency(old, new)
                found = mc.verify(proof, mc.Consistency, trust=world.chain.trust)
                assert (found.value.old, found.value.new) == (old, new)
                assert old.root == oracles.log_root(leaves[: old.size])
                assert naive.verify(proof, leaves[old.size - 1], str(key)) == (old.size - 1, new.size)
                assert (found.as_of.height, found.as_of.index) == (at, old.size - 1)
                assert found.as_of.latest == (old is new)
                assert found.order_by == found.state_by == (str(key),)
                assert bytes(LogProof.parse(proof)) == proof

    def test_up_to_now(self, grown: tuple[World, list[mc.Checkpoint]]) -> None:
        world, signed = grown
        kept = mc.Checkpoint.parse(str(signed[3]))  # from a file
        found = mc.verify(world.chain.prove_consistency(kept), mc.Consistency, trust=world.chain.trust)
        assert found.value.old.head == signed[3].head
        assert found.value.new == world.chain.checkpoint()

    def test_every_bit_counts(self, grown: tuple[World, list[mc.Checkpoint]]) -> None:
        world, signed = grown
        proof, trust = world.chain.prove_consistency(signed[2], signed[5]), world.chain.trust
        mc.verify(proof, mc.Consistency, trust=trust)
        for at in range(len(proof)):
            for bit in range(8):
                bad = bytearray(proof)
                bad[at] ^= 1 << bit
                with pytest.raises(VerificationError):
                    mc.verify(bytes(bad), mc.Consistency, trust=trust)
        for end in range(len(proof)):
            with pytest.raises(VerificationError):
                mc.verify(proof[:end], mc.Consistency, trust=trust)

    def test_something_else_than_asked_for(self, grown: tuple[World, list[mc.Checkpoint]]) -> None:
        world, signed = grown
        proof, trust = world.chain.prove_consistency(signed[2]), world.chain.trust
        for kind in (Entry, Header, NoteRow, mc.Absent):
            with pytest.raises(MalformedProof, match="two checkpoints"):
                mc.verify(proof, kind, trust=trust)  # type: ignore[type-var]
        from ledger.counting import Counting

        with pytest.raises(MalformedProof):
            mc.verify_state(proof, Counting.notes, "x", trust=trust)
        for other in (0, 1, signed[4].size - 1):
            with pytest.raises(MalformedProof):
                mc.verify(world.chain.prove(other), mc.Consistency, trust=trust)
        with pytest.raises(MalformedProof):
            mc.verify(world.chain.prove_state(Counting.notes, "x"), mc.Consistency, trust=trust)

    def test_lies_in_the_extra_line(self, grown: tuple[World, list[mc.Checkpoint]]) -> None:
        world, signed = grown
        trust, old = world.chain.trust, signed[4]
        proof = world.chain.prove_consistency(old)
        unsigned = evolve(old.note, signatures=signed[5].note.signatures)
        lies: list[tuple[dict[str, Any], type[Exception]]] = [
            ({"old": bytes(signed[3])}, MalformedProof),
            ({"old": bytes(signed[5])}, MalformedProof),
            ({"old": bytes(signed[-1])}, MalformedProof),
            ({"old": bytes(unsigned)}, InvalidSignature),
            ({"old": b""}, MalformedProof),
            ({"old": b"\xff"}, MalformedProof),
            ({"old": bytes(signed_by_the_log(world, Head(old.size - 1, old.root)))}, MalformedProof),
            ({"old": bytes(signed_by_the_log(world, Head(0, old.root)))}, MalformedProof),
            ({"header": world.chain.header(3).leaf}, RootMismatch),
            ({"header": world.chain._archive.leaf(old.size - 2)}, RootMismatch),
            ({"kind": "entry"}, MalformedProof),
            ({"kind": "state"}, MalformedProof),
        ]
        for lie, error in lies:
            with pytest.raises(error):
                mc.verify(forged(proof, **lie), mc.Consistency, trust=trust)

    def test_an_older_log_that_ended_with_an_entry(self, grown: tuple[World, list[mc.Checkpoint]]) -> None:
        """A checkpoint is signed over a header only. One that is not convicts the log, and is not taken for one."""
        world, signed = grown
        size = signed[4].size - 1
        odd = signed_by_the_log(world, world.chain._archive.head(size))
        leaf = world.chain._archive.leaf(size - 1)
        inclusion = world.chain._archive.prove_inclusion(size - 1, signed[-1].size)
        proof = LogProof(inclusion, signed[-1], extra_bytes(ConsistencyExtra(leaf, bytes(odd))))
        with pytest.raises(MalformedProof, match="an entry where a header belongs"):
            mc.verify(bytes(proof), mc.Consistency, trust=world.chain.trust)
        with pytest.raises(MalformedProof):
            world.chain.prove_consistency(odd)

    def test_a_second_history(self, grown: tuple[World, list[mc.Checkpoint]]) -> None:
        """The authority signs two logs of one origin: nothing leads from a checkpoint of one to one of the other."""
        world, signed = grown
        trust, old = world.chain.trust, signed[4]
        other = signed_by_the_log(world, Head(old.size, bytes([7] * 32)))
        trust.verify(other)
        with pytest.raises(RootMismatch, match="older checkpoint"):
            world.chain.prove_consistency(other)
        made = forged(world.chain.prove_consistency(old), old=bytes(other))
        with pytest.raises(RootMismatch, match="older checkpoint") as caught:
            mc.verify(made, mc.Consistency, trust=trust)
        assert (caught.value.expected, caught.value.computed) == (other.root, old.root)

        # The other way round: the new log has dropped a leaf that the old one had.
        leaves = [world.chain._archive.leaf(index) for index in range(signed[-1].size)]
        tree = LogTree(leaves[:1] + leaves[2:])
        rewritten = signed_by_the_log(world, tree.head)
        index = leaves[1:].index(world.chain.header(4).leaf)
        extra = extra_bytes(ConsistencyExtra(leaves[index + 1], bytes(old)))
        for place in (index, old.size - 1):
            lie = LogProof(evolve(tree.prove_inclusion(index), index=place), rewritten, extra)
            with pytest.raises(VerificationError):
                mc.verify(bytes(lie), mc.Consistency, trust=trust)
        with pytest.raises(RootMismatch):
            world.chain.prove_consistency(old, rewritten)

    def test_another_chain(self, grown: tuple[World, list[mc.Checkpoint]]) -> None:
        world, signed = grown
        proof = world.chain.prove_consistency(signed[2])
        other = World.make()
        with other.chain:
            with pytest.raises(UntrustedSigner):
                mc.verify(proof, mc.Consistency, trust=other.chain.trust)
            with pytest.raises(VerificationError):
                world.chain.prove_consistency(other.chain.checkpoint())
            with pytest.raises(VerificationError):
                mc.verify(
                    forged(proof, old=bytes(other.chain.checkpoint())),
                    mc.Consistency,
                    trust=world.chain.trust,
                )
        known = world.chain.trust
        with pytest.raises(VerificationError, match="another chain"):
            mc.verify(proof, mc.Consistency, trust=mc.Trust(known.log_keys, bytes(32), known.tag))


class TestAsking:
    def test_sizes_that_prove_nothing(self, world: World) -> None:
        for number in range(5):
            world.send(Add(number), world.authority)
        size, prove = world.chain.head.size, world.chain.prove_consistency
        assert (
            prove(3, size).verify(old=world.chain._archive.head(3), new=world.chain.head) == world.chain.head
        )
        assert prove(0, 0).path == prove(3, 3).path == ()
        for old, new in ((3, size + 1), (3, 99), (0, 99), (99, 99), (100, 99)):
            with pytest.raises(IndexError, match=f"{size} leaves"):
                prove(old, new)
        for old, new in ((5, 3), (0, 3), (-1, 3), (-1, -1), (3, -1)):
            with pytest.raises(ValueError, match="nothing proves"):
                prove(old, new)

    def test_checkpoints_that_prove_nothing(self, grown: tuple[World, list[mc.Checkpoint]]) -> None:
        world, signed = grown
        with pytest.raises(IndexError, match="the older checkpoint has size"):
            world.chain.prove_consistency(signed[5], signed[4])
        beyond = signed_by_the_log(world, Head(signed[-1].size + 4, bytes([1] * 32)))
        for old, new in ((signed[3], beyond), (beyond, beyond)):
            with pytest.raises(IndexError, match="does not reach up to"):
                world.chain.prove_consistency(old, new)
        with pytest.raises(IndexError):
            world.chain.prove_consistency(beyond)
        with pytest.raises(IndexError, match="does not reach up to"):
            world.chain.prove(1, checkpoint=beyond)
        with pytest.raises(ValueError, match="begins with an empty one"):
            world.chain.prove_consistency(signed_by_the_log(world, Head(0, bytes(32))))

    def test_other_types(self, grown: tuple[World, list[mc.Checkpoint]]) -> None:
        world, signed = grown
        for old, new in (
            (signed[3], 9),
            (3, signed[4]),
            (3, None),
            (None, None),
            (True, 3),
            (3, True),
            (3.0, 4),
            ("3", 4),
            (signed[3], str(signed[4])),
            (signed[3].head, signed[4].head),
        ):
            with pytest.raises(TypeError, match=r"size|two checkpoints"):
                world.chain.prove_consistency(old, new)  # type: ignore[call-overload]


def test_a_restored_chain(world: World, tmp_path: Path) -> None:
    """It proves growth from the checkpoint of its snapshot and from the genesis; what lies between is not there."""
    genesis, between = world.chain.checkpoint(), []
    for number in range(20):
        world.send(Put(f"note {number}", "x"), world.authority)
        between.append(world.chain.checkpoint())
    world.chain.snapshot(tmp_path / "snapshot")
    last, trust = world.chain.checkpoint(), world.chain.trust
    with mc.Chain.restore(
        tmp_path,
        tmp_path / "snapshot",
        trust=trust,
        contracts=CONTRACTS,
        store=MemoryStore(),
        blobs=world.chain.blobs,
    ) as again:
        for old in (genesis, last):
            found = mc.verify(again.prove_consistency(old), mc.Consistency, trust=trust)
            assert (found.value.old, found.value.new) == (old, last)
        for old in between[:-1]:
            with pytest.raises(StorageError, match="restored from a snapshot"):
                again.prove_consistency(old)
        for index in range(1, last.size - 1):
            with pytest.raises(StorageError, match="restored from a snapshot"):
                again.prove(index)


def test_a_leaf_that_is_none(world: World) -> None:
    """A log that signs nonsense is convicted, and nothing worse."""
    tree = LogTree([b"\7nonsense"])
    checkpoint = signed_by_the_log(world, tree.head)
    for extra in (ConsistencyExtra(b"\7nonsense", bytes(checkpoint)), EntryExtra(b"\7nonsense")):
        proof = LogProof(tree.prove_inclusion(0), checkpoint, extra_bytes(extra))
        with pytest.raises(MalformedProof):
            mc.verify(bytes(proof), mc.Consistency, trust=world.chain.trust)
