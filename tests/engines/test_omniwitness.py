"""A witness that others wrote, transparency.dev's omniwitness, cosigns our logs, and its cosignatures count for us."""

from __future__ import annotations

import base64
import http.client
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import tilereader
from attrs import evolve, frozen
from engines.logs import grow, text_of
from engines.programs import PATIENCE, Omniwitness, fsck
from ledger.world import World

from medchain.errors import InvalidSignature, NotWitnessed, UntrustedSigner
from medchain.keys.cosigning import CosignKey
from medchain.keys.signing import SigningKey
from medchain.ledger.checkpoint import Checkpoint
from medchain.ledger.cosignature import ED25519_COSIGNATURE, MLDSA44_COSIGNATURE
from medchain.ledger.note import Note, NoteSigner
from medchain.ledger.quorum import Group, Quorum, Witness
from medchain.ledger.trust import Trust
from medchain.merkle import ConsistencyProof, LogTree
from medchain.transparency import WitnessClient, cosign, publication_trust, publish

STALE = "text/x.tlog.size"


@frozen
class Log:
    """A log of numbered leaves; `fork` is one of the same key whose leaves differ from index `at` on."""

    signer: NoteSigner
    leaves: tuple[bytes, ...]

    @classmethod
    def named(cls, name: str) -> Log:
        seed = name.encode().ljust(32, b".")
        return cls(NoteSigner(name, SigningKey(seed)), tuple(b"leaf %d" % number for number in range(600)))

    def fork(self, at: int) -> Log:
        return evolve(self, leaves=(*self.leaves[:at], *(b"other " + each for each in self.leaves[at:])))

    def checkpoint(self, size: int) -> Checkpoint:
        text = text_of(self.signer.name, size, LogTree(self.leaves).head_at(size).root)
        cosigner = NoteSigner.cosigner(self.signer.name, CosignKey(b"\x05" * 32))
        return Checkpoint.parse(bytes(Note(text, (self.signer.sign(text), cosigner.sign(text, 7)))))

    def prove(self, old: int, new: int) -> ConsistencyProof:
        return LogTree(self.leaves).prove_consistency(old, new)

    def proof(self, old: int, new: int) -> list[bytes]:
        return list(self.prove(old, new).path) if old else []


@frozen
class Answered:
    """What a witness has answered."""

    status: int
    type: str | None
    body: bytes

    @property
    def refused(self) -> bool:
        """Neither a cosignature nor a hint at another size."""
        return self.status in (400, 403, 404, 422, 500) and "—".encode() not in self.body


def add(witness: Omniwitness, checkpoint: Checkpoint, old: int, proof: Sequence[bytes]) -> Answered:
    """``add-checkpoint`` of tlog-witness, by hand."""
    lines = [f"old {old}", *(base64.b64encode(each).decode() for each in proof), ""]
    body = "".join(f"{line}\n" for line in lines).encode() + bytes(checkpoint)
    connection = http.client.HTTPConnection(urlsplit(witness.url).netloc, timeout=PATIENCE)
    try:
        connection.request("POST", "/add-checkpoint", body)
        answer = connection.getresponse()
        return Answered(answer.status, answer.getheader("Content-Type"), answer.read())
    finally:
        connection.close()


def cosigned(witness: Omniwitness, log: Log, size: int, old: int) -> Checkpoint:
    """The checkpoint with the lines that the witness gives for it."""
    checkpoint = log.checkpoint(size)
    answer = add(witness, checkpoint, old, log.proof(old, size))
    assert answer.status == 200, answer
    return Checkpoint.parse(bytes(checkpoint) + answer.body)


@pytest.fixture(scope="module")
def names() -> Iterator[str]:
    """Names of logs; each test takes one, so that the witness has not seen it."""
    return iter([f"log.example/{number}" for number in range(40)])


@pytest.fixture(scope="module")
def witness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Omniwitness]:
    """One for the tests of this file; it knows every log that they use."""
    known = [Log.named(f"log.example/{number}").signer.key for number in range(40)]
    with Omniwitness.make(tmp_path_factory.mktemp("omniwitness"), *known).running() as running:
        yield running


@pytest.fixture
def log(names: Iterator[str]) -> Log:
    return Log.named(next(names))


def trust(log: Log, witness: Omniwitness) -> Trust:
    """Of readers that ask for both of its keys."""
    known = tuple(Witness(f"w{number}", key) for number, key in enumerate(witness.keys))
    quorum = Quorum(known, (Group("both", 2, ("w0", "w1")),), "both")
    return Trust((log.signer.key,), bytes(32), bytes(32), quorum=quorum)


class TestCosignatures:
    def test_its_keys_are_of_both_kinds(self, witness: Omniwitness) -> None:
        assert [key.type for key in witness.keys] == [ED25519_COSIGNATURE, MLDSA44_COSIGNATURE]

    def test_growth(self, witness: Omniwitness, log: Log) -> None:
        """From nothing, by one, within a tile, across tiles, and not at all: a later time for the same size."""
        old = 0
        for size in (1, 2, 255, 256, 257, 600, 600):
            checkpoint = cosigned(witness, log, size, old)
            vouchers = trust(log, witness).verify(checkpoint)
            assert vouchers.log == (log.signer.key,)
            assert set(vouchers.witnesses) == set(witness.keys)
            keys = [str(key) for key in (log.signer.key, *witness.keys)]
            assert set(tilereader.verify_note(bytes(checkpoint), keys)[1]) == set(keys)
            old = size

    def test_they_name_a_time(self, witness: Omniwitness, log: Log) -> None:
        checkpoint = cosigned(witness, log, 5, 0)
        kinds = {(key.name, key.id): key.kind for key in witness.keys}
        times = [
            kinds[line.name, line.key_id].time(line.signature)
            for line in checkpoint.note.signatures
            if (line.name, line.key_id) in kinds
        ]
        assert len(times) == 2
        assert all(time is not None and 1_700_000_000 < time < 1 << 40 for time in times)

    @pytest.mark.parametrize("kind", [0, 1], ids=["Ed25519", "ML-DSA-44"])
    def test_each_is_over_this_checkpoint_alone(self, witness: Omniwitness, log: Log, kind: int) -> None:
        checkpoint = cosigned(witness, log, 5, 0)
        key = witness.keys[kind]
        lines = [each for each in checkpoint.note.signatures if each.key_id == key.id]
        assert len(lines) == 1
        Note(checkpoint.note.text, tuple(lines)).verified_by([key])
        for other in (
            log.checkpoint(6),
            log.fork(0).checkpoint(5),
            Log.named("another.example").checkpoint(5),
        ):
            with pytest.raises(InvalidSignature):
                Note(other.note.text, tuple(lines)).verified_by([key])
        later = (int.from_bytes(lines[0].signature[:8], "big") + 1).to_bytes(8, "big")
        moved = evolve(lines[0], signature=later + lines[0].signature[8:])
        with pytest.raises(InvalidSignature):
            Note(checkpoint.note.text, (moved,)).verified_by([key])

    def test_without_them_nothing_is_believed(self, witness: Omniwitness, log: Log) -> None:
        with pytest.raises(UntrustedSigner, match="lacks witnesses"):
            trust(log, witness).verify(log.checkpoint(5))


class TestRefusals:
    """A witness that follows the specification refuses what ours refuses, in the same words."""

    def test_a_stale_size(self, witness: Omniwitness, log: Log) -> None:
        cosigned(witness, log, 5, 0)
        for old in (0, 3, 6):
            answer = add(witness, log.checkpoint(7), old, log.proof(old, 7))
            assert (answer.status, answer.type, answer.body) == (409, STALE, b"5\n")
        cosigned(witness, log, 7, 5)

    def test_a_size_beyond_the_checkpoint(self, witness: Omniwitness, log: Log) -> None:
        cosigned(witness, log, 5, 0)
        assert add(witness, log.checkpoint(5), 6, []).status == 400
        cosigned(witness, log, 6, 5)

    @pytest.mark.parametrize("at", [0, 4])
    def test_a_fork(self, witness: Omniwitness, log: Log, at: int) -> None:
        """Of the same size and of a larger one, with the fork's own proof: never cosigned, and forgotten."""
        cosigned(witness, log, 5, 0)
        other = log.fork(at)
        assert add(witness, other.checkpoint(5), 5, []).status in (409, 422)
        for size in (6, 8, 300):
            assert add(witness, other.checkpoint(size), 5, other.proof(5, size)).status == 422
        cosigned(witness, log, 6, 5)

    def test_a_bad_proof(self, witness: Omniwitness, log: Log) -> None:
        cosigned(witness, log, 5, 0)
        proof = log.proof(5, 300)
        assert len(proof) > 3
        flipped = [bytes([proof[0][0] ^ 1]) + proof[0][1:], *proof[1:]]
        for bad in (flipped, proof[:-1], [*proof, bytes(32)], proof[::-1], [], log.proof(4, 300)):
            assert add(witness, log.checkpoint(300), 5, bad).status == 422
        cosigned(witness, log, 300, 5)

    def test_a_proof_longer_than_any(self, witness: Omniwitness, log: Log) -> None:
        cosigned(witness, log, 5, 0)
        assert add(witness, log.checkpoint(300), 5, [bytes(32)] * 64).refused

    def test_an_unknown_log(self, witness: Omniwitness) -> None:
        """The specification says 404; this witness says 500 where its logs stand in a file."""
        assert add(witness, Log.named("unknown.example").checkpoint(5), 0, []).status in (404, 500)

    def test_another_signer(self, witness: Omniwitness, log: Log) -> None:
        forged = evolve(log, signer=NoteSigner(log.signer.name, SigningKey(b"\x09" * 32)))
        assert add(witness, forged.checkpoint(5), 0, []).refused
        cosigned(witness, log, 5, 0)


class TestState:
    def test_survives_a_restart(self, tmp_path: Path) -> None:
        """Killed, and started again on the same file, it knows what it has cosigned."""
        log = Log.named("log.example/kept")
        made = Omniwitness.make(tmp_path, log.signer.key)
        with made.running() as witness:
            cosigned(witness, log, 300, 0)
        with made.running() as witness:
            answer = add(witness, log.fork(0).checkpoint(300), 0, [])
            assert (answer.status, answer.type, answer.body) == (409, STALE, b"300\n")
            assert add(witness, log.fork(0).checkpoint(300), 300, []).status in (409, 422)
            cosigned(witness, log, 301, 300)
        with made.running() as witness:
            assert add(witness, log.checkpoint(302), 300, log.proof(300, 302)).body == b"301\n"
            cosigned(witness, log, 302, 301)


class TestClient:
    """medchain's own client asks it."""

    def test_asks_again_from_the_size_that_it_names(self, witness: Omniwitness, log: Log) -> None:
        with WitnessClient(witness.url, *witness.keys) as client:
            for size, since in ((5, 0), (256, 0), (300, 7), (300, 300), (301, 1_000)):
                checkpoint = log.checkpoint(size)
                lines = client.add_checkpoint(checkpoint, log.prove, since=since)
                assert set(lines) == set(witness.keys)
                checkpoint.note.signed_with(*lines.values()).verified_by(witness.keys)

    @pytest.mark.parametrize("size", [4, 5, 6, 300])
    def test_is_refused_a_fork(self, witness: Omniwitness, log: Log, size: int) -> None:
        other = log.fork(0)
        with WitnessClient(witness.url, *witness.keys) as client:
            client.add_checkpoint(log.checkpoint(5), log.prove)
            for since in (0, 5):
                with pytest.raises(NotWitnessed):
                    client.add_checkpoint(other.checkpoint(size), other.prove, since=since)
            client.add_checkpoint(log.checkpoint(6), log.prove)

    def test_is_refused_for_an_unknown_log(self, witness: Omniwitness) -> None:
        log = Log.named("unknown.example")
        with WitnessClient(witness.url, *witness.keys) as client, pytest.raises(NotWitnessed):
            client.add_checkpoint(log.checkpoint(5), log.prove)

    def test_a_published_log_carries_its_cosignatures(self, tmp_path: Path) -> None:
        """A chain is published under its cosignatures, three times, and read by all who know its keys."""
        world = World.make()
        with (
            world.chain as chain,
            Omniwitness.make(tmp_path, chain.trust.log_keys[0]).running() as witness,
        ):
            known = [Witness(f"w{number}", key, witness.url) for number, key in enumerate(witness.keys)]
            believed = publication_trust(chain, quorum=Quorum.of(2, *known))
            keys = [str(key) for key in (*believed.log_keys, *witness.keys)]
            prove = chain._archive.prove_consistency
            for size in (9, 300, 300):
                grow(world, size)
                publish(
                    chain,
                    tmp_path / "log",
                    cosign=lambda checkpoint: cosign(checkpoint, believed.quorum, prove),
                )
                found = Checkpoint.parse((tmp_path / "log" / "checkpoint").read_bytes())
                assert set(believed.verify(found).witnesses) == set(witness.keys)
                assert tilereader.read(tmp_path / "log", *keys).signers == tuple(keys)
                assert fsck(tmp_path / "log", believed.log_keys[0], tmp_path) is None
