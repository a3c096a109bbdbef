"""Asking witnesses: honest ones, stale ones, forked ones, and servers that are none."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from ledger.counting import Add
from ledger.world import World
from transparency.raw import Script, answer, drips, floods, raw_server, read_request, says
from transparency.witnesses import CLASSIC, NOW, ORIGIN, QUANTUM, Log, begun, numbered, watching

from medchain import transparency as mt
from medchain.errors import MedchainError, NotWitnessed, StorageError, Unreachable, UntrustedSigner
from medchain.keys.signing import SigningKey
from medchain.ledger.note import NoteSigner
from medchain.ledger.quorum import Group, Quorum, Witness
from medchain.ledger.trust import Trust
from medchain.merkle import ConsistencyProof
from medchain.transparency import WitnessClient, WitnessServer, cosign
from medchain.transparency.addcheckpoint import AddCheckpoint
from medchain.transparency.asking import ATTEMPTS

LOG = numbered(20)
SIZE = "text/x.tlog.size"
KEYS = (CLASSIC.key, QUANTUM.key)


def never(old: int, new: int) -> ConsistencyProof:
    raise AssertionError("no proof is needed")


@contextmanager
def served(log: Log = LOG, **options: Any) -> Iterator[str]:
    with WitnessServer(watching(log, **options)) as server:
        yield server.url


class TestOne:
    def test_the_first_checkpoint_needs_no_proof(self) -> None:
        with served() as url, WitnessClient(url, *KEYS) as client:
            lines = client.add_checkpoint(LOG.checkpoint(7), never)
        note = LOG.checkpoint(7).note.signed_with(*lines.values())
        assert note.verified_by(KEYS) == KEYS

    def test_a_conflict_is_answered_by_a_proof_from_there(self) -> None:
        asked: list[tuple[int, int]] = []

        def prove(old: int, new: int) -> ConsistencyProof:
            asked.append((old, new))
            return LOG.prove(old, new)

        with served() as url, WitnessClient(url, *KEYS) as client:
            client.add_checkpoint(LOG.checkpoint(7), prove)
            client.add_checkpoint(LOG.checkpoint(9), prove)
            client.add_checkpoint(LOG.checkpoint(9), prove)
            client.add_checkpoint(LOG.checkpoint(12), prove, since=9)
            client.add_checkpoint(LOG.checkpoint(13), prove, since=11)
            client.add_checkpoint(LOG.checkpoint(14), prove, since=99)
        assert asked == [(7, 9), (9, 12), (11, 13), (12, 13), (13, 14)]

    def test_only_expected_keys_count(self) -> None:
        stranger = NoteSigner.cosigner("w.example/1", SigningKey(b"\x77" * 32))
        with served() as url:
            with WitnessClient(url, QUANTUM.key) as client:
                assert set(client.add_checkpoint(LOG.checkpoint(7), never)) == {QUANTUM.key}
            with WitnessClient(url, stranger.key) as client, pytest.raises(UntrustedSigner):
                client.add_checkpoint(LOG.checkpoint(7), never)

    def test_a_rewound_log_is_refused(self) -> None:
        with served() as url, WitnessClient(url, *KEYS) as client:
            client.add_checkpoint(LOG.checkpoint(9), never)
            with pytest.raises(NotWitnessed, match="size 9 already, which is larger than 7"):
                client.add_checkpoint(LOG.checkpoint(7), LOG.prove)

    def test_a_fork_is_refused(self) -> None:
        """The split view of an authority is caught as soon as both sides share a witness."""
        fork = Log([*LOG.leaves[:6], "x", "y"])
        with served() as url, WitnessClient(url, *KEYS) as client:
            client.add_checkpoint(LOG.checkpoint(7), never)
            with pytest.raises(NotWitnessed, match="another log of size 7"):
                client.add_checkpoint(fork.checkpoint(7), fork.prove)
            with pytest.raises(NotWitnessed, match="422: the consistency proof does not hold"):
                client.add_checkpoint(fork.checkpoint(8), fork.prove)
            client.add_checkpoint(LOG.checkpoint(8), LOG.prove)

    def test_other_refusals_say_why(self) -> None:
        with served(numbered(3)) as url, WitnessClient(url, *KEYS) as client:
            with pytest.raises(NotWitnessed, match="404: this log is not watched here"):
                client.add_checkpoint(Log(["a"], "log.example/other").checkpoint(), never)
            with pytest.raises(NotWitnessed, match="403: no key"):
                client.add_checkpoint(
                    LOG.checkpoint(signers=[NoteSigner(ORIGIN, SigningKey(bytes(32)))]), never
                )
        with (
            served() as url,
            WitnessClient(f"{url}/elsewhere", *KEYS) as client,
            pytest.raises(NotWitnessed, match="404"),
        ):
            client.add_checkpoint(LOG.checkpoint(), never)

    def test_a_witness_that_cannot_store(self) -> None:
        with (
            WitnessServer(Broken()) as server,
            WitnessClient(server.url, *KEYS) as client,
            pytest.raises(NotWitnessed) as said,
        ):
            client.add_checkpoint(LOG.checkpoint(), never)
        assert "500: the witness cannot store" in str(said.value)
        assert "secret" not in str(said.value)


class Broken(mt.Witness):
    """Its disk is full."""

    def __init__(self) -> None:
        pass

    def add_checkpoint(self, body: bytes) -> Any:
        raise StorageError("secret path")


def line(signer: NoteSigner = CLASSIC, size: int = 20) -> bytes:
    return str(signer.sign(LOG.checkpoint(size).note.text, NOW)).encode()


HOSTILE: dict[str, tuple[Script, float]] = {
    "endless body": (floods(b"HTTP/1.1 200 OK\r\n\r\n", b"x"), 5),
    "slow body": (drips(b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n", b"x"), 0.5),
    "gzip bomb": (says(answer("200 OK", gzip.compress(bytes(1 << 20)), "Content-Encoding: gzip")), 5),
    "redirect": (says(answer("307 Temporary Redirect", b"", "Location: file:///etc/passwd")), 5),
    "redirect to a private address": (says(answer("308 Permanent", b"", "Location: http://10.0.0.1/")), 5),
    "nothing cosigned": (says(answer("200 OK", b"")), 5),
    "no lines": (says(answer("200 OK", b"<html>cosigned</html>\n")), 5),
    "line of another checkpoint": (says(answer("200 OK", line(size=19))), 5),
    "line of another key": (
        says(answer("200 OK", line(NoteSigner.cosigner("w.example/1", SigningKey(bytes(32)))))),
        5,
    ),
    "one good line, one bad": (says(answer("200 OK", line(QUANTUM) + line(size=19))), 5),
    "another text before the line": (says(answer("200 OK", b"x\n\n" + line())), 5),
    "too many lines": (says(answer("200 OK", line() * 65)), 5),
    "201": (says(answer("201 Created", line())), 5),
    "204": (says(b"HTTP/1.1 204 No Content\r\n\r\n"), 5),
    "206": (says(answer("206 Partial Content", line())), 5),
    "422": (says(answer("422 Unprocessable", b"no")), 5),
    "503 with terminal codes": (says(answer("503 Busy", b"\x1b[2J\xff\x00" + b"x" * 9000)), 5),
    "409 without its type": (says(answer("409 Conflict", b"7\n")), 5),
    "409 without a size": (says(answer("409 Conflict", b"seven\n", kind=SIZE)), 5),
    "409 with the size that was sent": (says(answer("409 Conflict", b"0\n", kind=SIZE)), 5),
    "409 with a larger size": (says(answer("409 Conflict", b"21\n", kind=SIZE)), 5),
    "409 with a huge size": (says(answer("409 Conflict", b"9" * 9000 + b"\n", kind=SIZE)), 5),
    "closes at once": (says(), 5),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_servers(kind: str) -> None:
    script, seconds = HOSTILE[kind]
    with raw_server(script) as url, WitnessClient(url, *KEYS, seconds=seconds) as client:
        start = time.monotonic()
        with pytest.raises(MedchainError) as caught:
            client.add_checkpoint(LOG.checkpoint(), LOG.prove)
        assert time.monotonic() - start < 10
    assert all(letter.isprintable() or letter == "\n" for letter in str(caught.value))
    assert len(str(caught.value)) < 600


def test_a_witness_that_names_ever_other_sizes() -> None:
    asked: list[bytes] = []

    def script(connection: Any, request: bytes) -> None:
        while request:
            asked.append(request)
            connection.sendall(answer("409 Conflict", b"%d\n" % len(asked), kind=SIZE))
            request = read_request(connection)

    said = f"another size {ATTEMPTS} times"
    with (
        raw_server(script) as url,
        WitnessClient(url, *KEYS) as client,
        pytest.raises(NotWitnessed, match=said),
    ):
        client.add_checkpoint(LOG.checkpoint(), LOG.prove)
    assert len(asked) == ATTEMPTS
    olds = [AddCheckpoint.parse(request.partition(b"\r\n\r\n")[2]).old for request in asked]
    assert olds == list(range(ATTEMPTS))


def test_what_is_sent() -> None:
    """The log's signatures and nobody else's, even when the checkpoint has been cosigned already."""
    sent: list[bytes] = []

    def script(connection: Any, request: bytes) -> None:
        sent.append(request)
        connection.sendall(answer("200 OK", line()))

    with raw_server(script) as url:
        plain = LOG.checkpoint()
        checkpoint = cosign(plain, Quorum.of(1, Witness("w", CLASSIC.key, f"{url}/pre/")), never)
        again = cosign(checkpoint, Quorum.of(1, Witness("w", CLASSIC.key, f"{url}/pre/")), never)
    assert again == checkpoint
    head, _, body = sent[1].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /pre/add-checkpoint HTTP/1.1\r\n")
    assert b"content-length: %d" % len(body) in head.lower()
    assert len(checkpoint.note.signatures) == 3
    assert AddCheckpoint.parse(body).note == plain.note


def signer(number: int) -> NoteSigner:
    return NoteSigner.cosigner(f"w.example/{number}", SigningKey(bytes([number]) * 32))


class TestQuorum:
    @pytest.fixture
    def urls(self) -> Iterator[list[str]]:
        with ExitStack() as stack:
            yield [stack.enter_context(served(signers=[signer(number)])) for number in range(4)]

    def witnesses(self, urls: list[str]) -> list[Witness]:
        return [Witness(f"w{number}", signer(number).key, url) for number, url in enumerate(urls)]

    def test_all_that_answer_are_in(self, urls: list[str]) -> None:
        quorum = Quorum.of(2, *self.witnesses(urls))
        checkpoint = cosign(LOG.checkpoint(), quorum, never, grace=5)
        signers = checkpoint.note.verified_by([each.key for each in quorum.witnesses])
        assert set(signers) == {each.key for each in quorum.witnesses}
        assert [each.name for each in checkpoint.note.signatures] == [ORIGIN, ORIGIN] + [
            f"w.example/{number}" for number in range(4)
        ]
        assert Trust(LOG.keys, bytes(32), bytes(32), quorum=quorum).verify(checkpoint).witnesses == signers

    def test_the_slow_are_not_waited_for(self, urls: list[str]) -> None:
        with raw_server(lambda connection, _: time.sleep(3)) as slow:
            quorum = Quorum.of(2, *self.witnesses([*urls[:2], slow]))
            start = time.monotonic()
            checkpoint = cosign(LOG.checkpoint(), quorum, never, seconds=60, grace=0.2)
            assert time.monotonic() - start < 30
        assert len(checkpoint.note.signatures) == 4

    def test_nested_groups(self, urls: list[str]) -> None:
        witnesses = tuple(self.witnesses([urls[0], urls[1], "http://127.0.0.1:1"]))
        groups = (Group("x", 1, ("w0", "w2")), Group("both", 2, ("x", "w1")))
        assert cosign(LOG.checkpoint(), Quorum(witnesses, groups, "both"), never, grace=5)
        with pytest.raises(NotWitnessed):
            cosign(
                LOG.checkpoint(),
                Quorum(witnesses, (Group("all", 3, ("w0", "w1", "w2")),), "all"),
                never,
                seconds=5,
            )

    def test_too_few_and_what_each_has_said(self, urls: list[str]) -> None:
        fork = Log([*LOG.leaves[:6], "x"])
        with WitnessClient(urls[1], signer(1).key) as client:
            client.add_checkpoint(fork.checkpoint(7), never)
        with raw_server(lambda connection, _: time.sleep(3)) as slow:
            places = [urls[0], urls[1], "http://127.0.0.1:1", slow]
            witnesses = [
                *self.witnesses(places),
                Witness("unknown", signer(9).key),
                Witness("wrong", signer(8).key, urls[2]),
                Witness("strange", signer(7).key, "witness.example"),
            ]
            with pytest.raises(NotWitnessed) as caught:
                cosign(LOG.checkpoint(), Quorum.of(2, *witnesses), LOG.prove, seconds=2)
        said = caught.value.refusals
        assert list(said) == ["w1", "w2", "w3", "unknown", "wrong", "strange"]
        assert "422" in said["w1"]
        assert "Unreachable" in said["w2"]
        assert "answer within 2 s" in said["w3"]
        assert said["unknown"] == "the policy names no URL"
        assert "UntrustedSigner" in said["wrong"]
        assert "not a URL" in said["strange"]
        assert "cosigned by w0" in str(caught.value)

    def test_one_witness_with_two_keys_is_asked_once(self) -> None:
        asked: list[bytes] = []
        witness = watching(LOG)
        real = witness.add_checkpoint
        witness.add_checkpoint = lambda body: (asked.append(body), real(body))[1]  # type: ignore[method-assign]
        with WitnessServer(witness) as server:
            pair = [Witness("classic", CLASSIC.key, server.url), Witness("quantum", QUANTUM.key, server.url)]
            checkpoint = cosign(LOG.checkpoint(), Quorum.of(2, *pair), never)
        assert len(asked) == 1
        assert checkpoint.note.verified_by(KEYS) == KEYS

    def test_none(self) -> None:
        alone = LOG.checkpoint()
        assert cosign(alone, Quorum(), never) == alone
        with served() as url:
            optional = Quorum((Witness("w", CLASSIC.key, url),))
            assert len(cosign(LOG.checkpoint(), optional, never, grace=10).note.signatures) == 3

    def test_a_bug_of_the_caller_shows(self, urls: list[str]) -> None:
        with WitnessClient(urls[0], signer(0).key) as client:
            client.add_checkpoint(LOG.checkpoint(7), never)
        with pytest.raises(AssertionError, match="no proof is needed"):
            cosign(LOG.checkpoint(), Quorum.of(1, *self.witnesses(urls[:1])), never)

    def test_no_thread_stays(self, urls: list[str]) -> None:
        cosign(LOG.checkpoint(), Quorum.of(4, *self.witnesses(urls)), never)
        deadline = time.monotonic() + 10
        while any(thread.name == "medchain-ask-witness" for thread in threading.enumerate()):
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.fixture
def world() -> Iterator[World]:
    made = World.make()
    with made.chain:
        yield made


def test_a_chain_is_witnessed(world: World) -> None:
    """A chain gives the proofs; its trust with the quorum believes what was cosigned, and nothing else."""
    chain = world.chain
    wallets = [world.register(name) for name in ("ann", "bob")]
    watch = {chain.trust.origin: chain.trust.log_keys}
    with WitnessServer(mt.Witness([CLASSIC], watch, begun())) as server:
        quorum = Quorum.of(1, Witness("w", CLASSIC.key, server.url))
        trust = Trust(chain.trust.log_keys, chain.trust.chain, chain.trust.tag, quorum=quorum)
        for wallet in wallets:
            world.send(Add(1), wallet)
            plain = chain.checkpoint()
            with pytest.raises(UntrustedSigner):
                trust.verify(plain)
            checkpoint = cosign(plain, quorum, chain.prove_consistency)
            assert trust.verify(checkpoint).witnesses == (CLASSIC.key,)


def test_unreachable_is_unreachable() -> None:
    with WitnessClient("http://127.0.0.1:1", CLASSIC.key) as client, pytest.raises(Unreachable):
        client.add_checkpoint(LOG.checkpoint(), never)
    with pytest.raises(ValueError, match="without a key"):
        WitnessClient("http://127.0.0.1:1")
