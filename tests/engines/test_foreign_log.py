"""Our witness cosigns a log that others write: tessera's publisher asks it, by a trust file of ours."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import tilereader
from engines.logs import SIGNER, leaves_of
from engines.programs import PATIENCE, oneshot, publishing

from medchain.keys.signing import SigningKey
from medchain.ledger.checkpoint import Checkpoint
from medchain.ledger.note import NoteSigner
from medchain.ledger.quorum import Quorum
from medchain.ledger.quorum import Witness as Known
from medchain.ledger.trust import Trust
from medchain.storage import MemoryStore
from medchain.transparency import Witness, WitnessServer

# Tessera 1.0.4 knows no post-quantum witnesses.
COSIGNER = NoteSigner.cosigner("w.example/ed25519", SigningKey(b"\x01" * 32))


@pytest.fixture
def witness() -> Witness:
    store = MemoryStore()
    Witness.begin(store, [COSIGNER])
    return Witness([COSIGNER], {SIGNER.name: [SIGNER.key]}, store)


@pytest.fixture
def trust(witness: Witness) -> Iterator[Trust]:
    """The trust of readers who ask for its cosignature; meanwhile it is served."""
    with WitnessServer(witness) as server:
        quorum = Quorum.of(1, Known("w", COSIGNER.key, server.url))
        yield Trust((SIGNER.key,), bytes(32), bytes(32), quorum=quorum)


def policy(trust: Trust, folder: Path) -> str:
    """The option that gives tessera a trust file for its policy."""
    folder.mkdir(exist_ok=True)
    trust.save(folder / "log.trust")
    return f"--witness_policy_file={folder / 'log.trust'}"


def test_it_is_published_with_our_cosignature(trust: Trust, tmp_path: Path) -> None:
    """Begun, and gone on with."""
    leaves = leaves_of(300)
    for start, stop in ((0, 5), (5, 257), (257, 300)):
        directory = oneshot(leaves[start:stop], SIGNER, tmp_path, policy(trust, tmp_path))
        found = Checkpoint.parse((directory / "checkpoint").read_bytes())
        assert found.size == stop
        assert trust.verify(found).witnesses == (COSIGNER.key,)
        keys = str(SIGNER.key), str(COSIGNER.key)
        log = tilereader.read(directory, *keys)
        assert list(log.entries) == leaves[:stop]
        assert log.signers == keys


def test_a_fork_is_not_published(witness: Witness, trust: Trust, tmp_path: Path) -> None:
    """What our witness has seen otherwise, it does not cosign, and keeps both checkpoints."""
    one, other = tmp_path / "one", tmp_path / "other"
    right = oneshot([b"one"] * 5, SIGNER, one, policy(trust, one)) / "checkpoint"
    other.mkdir()
    oneshot([b"other"] * 4, SIGNER, other)  # unwitnessed: nobody knows yet
    assert witness.fork(SIGNER.name) is None
    with publishing([b"other"], SIGNER, other, policy(trust, other)):
        deadline = time.monotonic() + PATIENCE
        while (fork := witness.fork(SIGNER.name)) is None:
            assert time.monotonic() < deadline, (other / "output").read_text()[-2000:]
            time.sleep(0.02)
    assert fork.first.note.text == Checkpoint.parse(right.read_bytes()).note.text
    assert fork.second.size == 5
    assert fork.verify(trust) == trust.log_keys
    assert Checkpoint.parse((other / "log" / "checkpoint").read_bytes()).size == 4
