"""A witness remembers: across restarts, threads, clocks that step back, and disks that fail."""

from __future__ import annotations

import hmac
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from stores import FILES, Place
from transparency.witnesses import CLASSIC, NOW, ORIGIN, QUANTUM, Clock, Log, begun, numbered, watching

from medchain.encoding import encode
from medchain.errors import NewerFormat, StorageError
from medchain.keys.cosigning import CosignKey
from medchain.keys.derivation import Derivation, derive
from medchain.keys.signing import SigningKey
from medchain.keys.wallet import Wallet
from medchain.ledger.checkpoint import Checkpoint
from medchain.ledger.cosignature import ED25519_COSIGNATURE, KINDS
from medchain.ledger.note import Note, NoteSigner, VerifierKey
from medchain.ledger.trust import Trust
from medchain.merkle import Head
from medchain.storage import Batch, MemoryStore
from medchain.transparency import Witness, witness_signers
from medchain.transparency.addcheckpoint import AddCheckpoint
from medchain.transparency.evidence import Evidence
from medchain.transparency.judging import Verdict
from medchain.transparency.witness import CLOCK_SLACK, FORK, FORMAT_KEY, LATEST

LOG = numbered(20)


def ask(witness: Witness, log: Log, old: int, size: int | None = None) -> Verdict:
    return witness.add_checkpoint(bytes(log.request(old, size)))[0]


def time_of(verdict: Verdict) -> set[int | None]:
    return {
        key.kind.time(line.signature)
        for key, line in zip((CLASSIC.key, QUANTUM.key), verdict.lines, strict=True)
    }


class TestCosigning:
    def test_both_kinds_verify(self) -> None:
        verdict = ask(watching(LOG), LOG, 0, 7)
        assert verdict.status == 200
        assert verdict.body.decode().count("— w.example/1 ") == verdict.body.decode().count("\n") == 2
        note = LOG.checkpoint(7).note.signed_with(*verdict.lines)
        assert note.verified_by([CLASSIC.key, QUANTUM.key]) == (CLASSIC.key, QUANTUM.key)
        assert time_of(verdict) == {NOW}

    def test_growth_and_refusals(self) -> None:
        witness = watching(LOG)
        assert ask(witness, LOG, 0, 7).status == 200
        assert ask(witness, LOG, 0, 9).body == b"7\n"
        assert ask(witness, LOG, 7, 9).status == 200
        assert ask(witness, LOG, 7, 9).body == b"9\n"
        assert ask(witness, LOG, 9, 9).status == 200
        assert ask(witness, LOG, 5, 5).body == b"9\n"
        assert witness.add_checkpoint(b"garbage")[0].status == 400
        latest = witness.latest(ORIGIN)
        assert latest is not None
        assert latest.head == LOG.tree.head_at(9)

    def test_a_refusal_stores_nothing(self) -> None:
        store = begun()
        witness = watching(LOG, store)
        ask(witness, LOG, 0, 7)
        before = dict(store.scan())
        fork = Log([*LOG.leaves[:6], "x", *LOG.leaves[7:]])
        for refused in (
            ask(witness, LOG, 3, 9),
            ask(witness, fork, 7, 9),
            ask(witness, Log(["a"], "other"), 0),
        ):
            assert not refused.cosigned
            assert not refused.lines
        assert dict(store.scan()) == before

    def test_logs_do_not_meddle(self) -> None:
        other = Log(["a", "b"], "log.example/two")
        witness = Witness([CLASSIC], {ORIGIN: LOG.keys, other.origin: other.keys}, begun(), clock=Clock())
        assert ask(witness, LOG, 0, 7).status == 200
        assert ask(witness, other, 0, 1).status == 200
        assert ask(witness, LOG, 7, 8).status == 200
        assert witness.origins == (ORIGIN, other.origin)

    def test_a_fork_is_kept(self) -> None:
        """The log has signed both: together they convict it."""
        witness = watching(LOG)
        ask(witness, LOG, 0, 7)
        assert witness.fork(ORIGIN) is None
        fork = Log([*LOG.leaves[:6], "x"])
        assert ask(witness, fork, 7, 7).fork
        ask(witness, Log(["y"] * 7), 7, 7)
        evidence = witness.fork(ORIGIN)
        assert evidence is not None
        trust = Trust(LOG.keys, bytes(32), bytes(32))
        assert Evidence.parse(bytes(evidence)).verify(trust) == LOG.keys
        assert (evidence.first.head, evidence.second.head) == (LOG.tree.head_at(7), fork.tree.head)
        assert ask(witness, LOG, 7, 9).status == 200
        assert witness.fork(ORIGIN) == evidence

    def test_a_fork_that_convinces_more_replaces_another(self) -> None:
        """Signed by keys apart it convicts for those who trust both; by the same key, for those who trust one."""
        witness = watching(LOG)
        fork = Log([*LOG.leaves[:6], "x"])

        def show(log: Log, old: int, *keys: NoteSigner) -> Verdict:
            request = AddCheckpoint.of(log.checkpoint(7, keys), old, ())
            return witness.add_checkpoint(bytes(request))[0]

        classic, quantum = LOG.signers
        assert show(LOG, 0, classic).cosigned
        assert show(fork, 7, quantum).fork
        apart = witness.fork(ORIGIN)
        assert apart is not None
        assert set(apart.verify(Trust(LOG.keys, bytes(32), bytes(32)))) == set(LOG.keys)
        assert show(fork, 7, *LOG.signers).fork
        better = witness.fork(ORIGIN)
        assert better is not None
        assert better.verify(Trust((classic.key,), bytes(32), bytes(32))) == (classic.key,)
        assert show(fork, 7, quantum).fork
        assert witness.fork(ORIGIN) == better

    def test_a_fork_of_a_log_with_extension_lines(self) -> None:
        def request(root: bytes, old: int) -> bytes:
            text = Checkpoint.text(ORIGIN, Head(7, root)) + "extension\n"
            note = Note(text, (LOG.signers[0].sign(text),))
            return bytes(AddCheckpoint(old, (), ORIGIN, Head(7, root), note))

        witness = watching(LOG)
        assert witness.add_checkpoint(request(bytes(32), 0))[0].cosigned
        assert witness.add_checkpoint(request(b"x" * 32, 7))[0].fork
        evidence = witness.fork(ORIGIN)
        assert evidence is not None
        assert evidence.verify(Trust(LOG.keys, bytes(32), bytes(32))) == (LOG.keys[0],)


class TestMemory:
    @pytest.mark.parametrize("kind", FILES)
    def test_a_restart(self, tmp_path: Path, kind: str) -> None:
        place = Place(kind, tmp_path / "memory")
        with place.open() as store:
            Witness.begin(store, [CLASSIC, QUANTUM])
            assert ask(watching(LOG, store), LOG, 0, 7).status == 200
        with place.open() as store:
            witness = watching(LOG, store)
            assert ask(witness, LOG, 0, 9).body == b"7\n"
            assert ask(witness, LOG, 7, 9).status == 200

    def test_it_is_stored_before_it_is_signed(self) -> None:
        store, seen = MemoryStore(), []

        class Spy(SigningKey):
            def sign(self, message: bytes) -> bytes:
                seen.append(store.get(LATEST + ORIGIN.encode()))
                return super().sign(message)

        spy = NoteSigner.cosigner("w", Spy(bytes(32)))
        begun(store, [spy])
        witness = watching(LOG, store, [spy])
        for old, size in ((0, 7), (7, 9)):
            assert ask(witness, LOG, old, size).status == 200
            assert seen[-1] == store.get(LATEST + ORIGIN.encode())
        assert len(set(seen)) == 2
        assert None not in seen

    def test_what_cannot_be_stored_is_not_signed(self) -> None:
        class Full(MemoryStore):
            full = False

            def _commit(self, batch: Batch) -> None:
                if self.full:
                    raise OSError(28, "No space left on device")
                super()._commit(batch)

        store = Full()
        Witness.begin(store, [CLASSIC, QUANTUM])
        witness = watching(LOG, store)
        ask(witness, LOG, 0, 7)
        store.full = True
        with pytest.raises(StorageError):
            ask(witness, LOG, 7, 9)
        store.full = False
        assert ask(witness, LOG, 7, 8).status == 200

    def test_an_empty_store_is_no_memory(self) -> None:
        with pytest.raises(StorageError, match=r"Witness\.begin"):
            watching(LOG, MemoryStore())

    def test_only_an_empty_store_becomes_one(self) -> None:
        store = begun()
        with pytest.raises(StorageError, match="not empty"):
            Witness.begin(store, [CLASSIC, QUANTUM])

    def test_the_memory_of_others(self) -> None:
        """Mixed up folders: keys go on with the memory that was begun for them, and may be fewer, never others."""
        store = begun()
        watching(LOG, store, [QUANTUM])
        for other in (
            NoteSigner.cosigner("w.example/2", CLASSIC.private),
            NoteSigner.cosigner("w.example/1", SigningKey(b"\x09" * 32)),
        ):
            with pytest.raises(StorageError, match=f"other keys than {other.name}"):
                watching(LOG, store, [QUANTUM, other])

    def test_repeated_lines_are_kept_once(self) -> None:
        store = begun()
        witness = watching(LOG, store)
        assert ask(witness, LOG, 0, 7).status == 200
        short = witness.latest(ORIGIN)
        checkpoint = LOG.checkpoint(7)
        lines = checkpoint.note.signatures
        often = evolve(checkpoint, note=checkpoint.note.signed_with(*lines * 10))
        assert witness.add_checkpoint(bytes(AddCheckpoint.of(often, 7, ())))[0].status == 200
        long = witness.latest(ORIGIN)
        assert short is not None
        assert long is not None
        assert len(long.note) == len(short.note) < 3600

    def test_a_newer_memory(self) -> None:
        store = MemoryStore()
        batch = Batch()
        batch.put(FORMAT_KEY, b"2")
        store.commit(batch)
        with pytest.raises(NewerFormat):
            watching(LOG, store)

    @pytest.mark.parametrize(
        "data", [b"", b"x", encode({}), encode({"size": -1, "root": bytes(32), "time": 1, "note": b""})]
    )
    def test_a_damaged_memory_signs_nothing(self, data: bytes) -> None:
        store = begun()
        witness = watching(LOG, store)
        batch = Batch()
        batch.put(LATEST + ORIGIN.encode(), data)
        store.commit(batch)
        with pytest.raises(StorageError, match="damaged"):
            ask(witness, LOG, 0, 7)
        batch.put(FORK + ORIGIN.encode(), encode({"first": b"x", "second": b"y"}))
        store.commit(batch)
        with pytest.raises(StorageError, match="damaged"):
            witness.fork(ORIGIN)


class TestThreads:
    def test_one_of_two_histories_wins(self) -> None:
        """Both are signed by the log and both grow from what was cosigned: only one at each fork is cosigned."""

        class Slow(MemoryStore):
            def _commit(self, batch: Batch) -> None:
                time.sleep(0.002)  # long enough for another thread to look meanwhile
                super()._commit(batch)

        store = begun(Slow())
        witnesses = [watching(LOG, store, [CLASSIC]) for _ in range(2)]
        base = Log()
        for number in range(30):
            branches = [base.grow(f"{number} {branch}") for branch in range(4)]
            old = len(base.leaves)
            gate = threading.Barrier(len(branches))

            def run(at: int, branches: Any = branches, old: int = old, gate: Any = gate) -> Verdict:
                request = bytes(branches[at].request(old))
                gate.wait()
                return witnesses[at % 2].add_checkpoint(request)[0]

            with ThreadPoolExecutor(len(branches)) as pool:
                verdicts = list(pool.map(run, range(len(branches))))
            winners = [at for at, verdict in enumerate(verdicts) if verdict.cosigned]
            assert len(winners) == 1
            assert {verdict.status for verdict in verdicts} == {200, 409}
            base = branches[winners[0]]


class TestClock:
    """A cosignature says that this was the largest checkpoint at its time; so times never go back."""

    def test_it_names_the_time(self) -> None:
        clock = Clock()
        witness = watching(LOG, clock=clock)
        assert time_of(ask(witness, LOG, 0, 7)) == {NOW}
        clock.now += 9.9
        assert time_of(ask(witness, LOG, 7, 7)) == {NOW + 9}

    def test_a_small_step_back(self) -> None:
        clock = Clock()
        witness = watching(LOG, clock=clock)
        ask(witness, LOG, 0, 7)
        clock.now -= CLOCK_SLACK
        assert time_of(ask(witness, LOG, 7, 9)) == {NOW}

    def test_a_large_step_back(self) -> None:
        store, clock = begun(), Clock()
        ask(watching(LOG, store, clock=clock), LOG, 0, 7)
        clock.now -= CLOCK_SLACK + 1
        witness = watching(LOG, store, clock=clock)
        verdict = ask(witness, LOG, 7, 9)
        assert (verdict.status, verdict.lines) == (503, ())
        clock.now += 2
        assert ask(witness, LOG, 7, 9).status == 200


class TestKeys:
    def test_a_wallet_has_keys_for_each_name(self) -> None:
        wallet = Wallet.from_seed(bytes(range(32)))
        one, two = witness_signers(wallet, "w.example/1"), witness_signers(wallet, "w.example/2")
        assert [signer.key for signer in one] == [
            signer.key for signer in witness_signers(wallet, "w.example/1")
        ]
        public = [signer.private.public for signer in (*one, *two)]
        tag = bytes(32)
        public += [wallet.log_key(tag).public, wallet.cosign_key(tag).public, wallet.party.signing_key]
        assert len(set(public)) == 7
        assert [signer.type for signer in one] == [0x04, 0x06]

    def test_its_derivation_is_that_of_the_page(self) -> None:
        """docs/spec/wallet.md, by a second implementation of HKDF (RFC 5869)."""

        def hkdf(secret: bytes, salt: bytes, info: bytes, size: int) -> bytes:
            key, made, block = hmac.digest(salt, secret, "sha256"), b"", b""
            while len(made) < size:
                block = hmac.digest(key, block + info + bytes([len(made) // 32 + 1]), "sha256")
                made += block
            return made[:size]

        seed = bytes(range(32))
        root = hkdf(seed, b"medchain/wallet/v1", encode(["witness", None, None, None, 0]), 32)
        assert root == derive(seed, "witness", Derivation())
        made = hkdf(root, b"medchain/witness-key/v1", encode(["w.example/1"]), 64)
        ed25519, mldsa44 = Wallet.from_seed(seed).witness_keys("w.example/1")
        assert (ed25519.public, mldsa44.public) == (SigningKey(made[:32]).public, CosignKey(made[32:]).public)
        assert ed25519.public.hex().startswith("a789e64172a9fd57")

    def test_who_cannot_be_a_witness(self) -> None:
        with pytest.raises(ValueError, match="one signer"):
            watching(LOG, signers=[])
        with pytest.raises(ValueError, match="cosigner"):
            watching(LOG, signers=[NoteSigner("w", SigningKey(bytes(32)))])
        with pytest.raises(ValueError, match="twice"):
            watching(LOG, signers=[CLASSIC, CLASSIC])
        with pytest.raises(ValueError, match="no witness of itself"):
            watching(LOG, signers=[NoteSigner.cosigner("w", SigningKey(b"\x11" * 32))])
        for origin in ("", "a\nb", "a" * 256):
            with pytest.raises(ValueError, match="origin"):
                Witness([CLASSIC], {origin: LOG.keys}, begun())
        with pytest.raises(ValueError, match="no key"):
            Witness([CLASSIC], {ORIGIN: []}, begun())

    def test_keys_are_told(self) -> None:
        witness = watching(LOG)
        assert witness.keys == (CLASSIC.key, QUANTUM.key)
        assert VerifierKey.parse(str(witness.keys[0])).kind is KINDS[ED25519_COSIGNATURE]
        assert repr(witness) == "<Witness w.example/1 of 1 logs>"
