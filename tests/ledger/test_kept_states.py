"""The state as of earlier blocks: read, proved, and deleted when it is no longer kept."""

from __future__ import annotations

import random
import threading

import pytest
from ledger.counting import Add, Counting, NoteRow, Put, TotalRow
from ledger.world import World, content

import medchain as mc
from medchain.errors import InvalidBlock, MalformedProof
from medchain.ledger import transition, versions

KEPT = 6


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chain that keeps few versions, and has little time to write old nodes anew."""
    for module in (transition, versions):
        monkeypatch.setattr(module, "KEPT_VERSIONS", KEPT)
    monkeypatch.setattr(transition, "TOUCHED", 8)
    monkeypatch.setattr(transition, "STRIDE", 2)


def value_at(world: World, name: str, height: int) -> str | None:
    proof = world.chain.prove_state(Counting.notes, name, at=height)
    found = mc.verify_state(proof, Counting.notes, name, trust=world.chain.trust)
    assert found.as_of.height == height
    assert found.as_of.latest == (height == world.chain.height)
    return None if found.value is None else found.value.text


def test_every_kept_version_reads_as_it_was(world: World, short: None) -> None:
    """Rows that change, go, come back with the same value, and rest."""
    rng, names = random.Random(5), [f"note {number}" for number in range(60)]
    for name in names:
        world.send(Put(name, name), world.authority)
    history = {world.chain.height: dict.fromkeys(names) | {name: name for name in names}}
    for _ in range(40):
        name = rng.choice(names[:5])
        text = rng.choice(("a", "b", None))
        world.send(Put(name, text), world.authority)
        history[world.chain.height] = {**history[world.chain.height - 1], name: text}
        for height in list(history)[-KEPT:]:
            for each in (*names[:5], names[50]):
                assert value_at(world, each, height) == history[height][each]
    for height in (0, world.chain.height - KEPT):
        with pytest.raises(IndexError, match="not kept any more"):
            world.chain.prove_state(Counting.notes, names[0], at=height)
    with pytest.raises(IndexError):
        world.chain.prove_state(Counting.notes, names[0], at=world.chain.height + 1)
    assert world.chain.audit().height == world.chain.height


def test_what_is_no_longer_kept_is_deleted(world: World, short: None) -> None:
    for number in range(200):
        world.send(Put(f"note {number}", "x"), world.authority)
    sizes = []
    for number in range(120):
        world.send(Put("note 0", f"{number}"), world.authority)
        pairs = content(world.chain)
        sizes.append(sum(len(value) for key, value in pairs.items() if key[:1] in (b"n", b"u")))
        replaced = {int.from_bytes(key[1:9], "big") for key in pairs if key[:1] == b"u"}
        assert min(replaced) > world.chain.height - KEPT
    assert max(sizes[-40:]) < 1.2 * max(sizes[:40])
    oldest = min(int.from_bytes(key[1:9], "big") for key in content(world.chain) if key[:1] == b"n")
    assert oldest > 200, "what was written long ago was written anew, and deleted"
    world.chain.audit()


def test_proofs_while_blocks_go_on(world: World, short: None) -> None:
    """A reader proves what it likes while the writer replaces it; each proof holds for the moment that it names."""
    world.send(Put("hot", "0"), world.authority)
    stop, failures = threading.Event(), list[BaseException]()

    def read() -> None:
        try:
            while not stop.is_set():
                for key in ("hot", "cold"):
                    proof = world.chain.prove_state(Counting.notes, key)
                    found = mc.verify_state(proof, Counting.notes, key, trust=world.chain.trust)
                    assert found.as_of.latest
        except BaseException as error:
            failures.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(60):
        world.send(Put("hot", str(number)), world.authority)
    stop.set()
    reader.join()
    assert not failures


def test_presence_and_absence_by_type(world: World) -> None:
    world.send(Put("x", "1"), world.authority)
    trust, party = world.chain.trust, world.authority.party
    there = world.chain.prove_state(Counting.notes, "x")
    gone = world.chain.prove_absent(Counting.totals, party.id)
    assert mc.verify(there, NoteRow, trust=trust).value == NoteRow("1")
    assert mc.verify(gone, mc.Absent, trust=trust).value == mc.Absent("counting", "totals", party.id)
    with pytest.raises(MalformedProof, match="not that there is none"):
        mc.verify(there, mc.Absent, trust=trust)
    with pytest.raises(MalformedProof, match="no such row"):
        mc.verify(gone, TotalRow, trust=trust)
    with pytest.raises(ValueError, match="has a row"):
        world.chain.prove_absent(Counting.notes, "x")


def test_a_changed_row_is_noticed_when_it_is_proved(world: World) -> None:
    world.send(Put("x", "1"), world.authority)
    world.send(Add(1), world.authority)
    store = world.chain._archive.store
    key = Counting.notes.order_key("x")
    from medchain.storage.api import Batch

    batch = Batch()
    row = store.get(key)
    assert row is not None
    batch.put(key, row.replace(b"1", b"2"))
    store.commit(batch)
    with pytest.raises(InvalidBlock):
        world.chain.prove_state(Counting.notes, "x")
