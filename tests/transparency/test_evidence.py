"""Evidence of a fork: it convicts whoever signed both histories, and nobody else."""

from __future__ import annotations

import pytest
from attrs import evolve

from medchain.errors import MalformedProof, MedchainError, RootMismatch, UntrustedSigner, VerificationError
from medchain.keys.signing import SigningKey
from medchain.ledger.checkpoint import Checkpoint
from medchain.ledger.note import Note, NoteSigner
from medchain.ledger.quorum import Quorum, Witness
from medchain.ledger.trust import Trust
from medchain.merkle import ConsistencyProof, Head, LogTree
from medchain.transparency import Evidence

LOG = NoteSigner("log.example", SigningKey(b"\x01" * 32))
OTHER = NoteSigner("log.example", SigningKey(b"\x02" * 32))
WITNESS = NoteSigner.cosigner("w.example", SigningKey(b"\x03" * 32))
TRUST = Trust((LOG.key,), bytes(32), bytes(32))


def checkpoint(head: Head, *signers: NoteSigner) -> Checkpoint:
    text = Checkpoint.text("log.example", head)
    lines = [signer.sign(text, None if signer.type == 1 else 7) for signer in signers or (LOG,)]
    return Checkpoint("log.example", head, Note(text, ()).signed_with(*lines))


def tree(size: int, branch: int = 0) -> LogTree:
    """A log whose leaves differ from those of branch 0 from the third on."""
    return LogTree([b"%d" % (index if index < 2 else index + 1000 * branch) for index in range(size)])


def evidence(small: int, large: int, *signers: NoteSigner) -> Evidence:
    mine, forked = tree(small), tree(large, 1)
    proof = forked.prove_consistency(small) if small else ConsistencyProof(0, large, ())
    root = tree(small, 1).head.root
    return Evidence(checkpoint(mine.head, *signers), checkpoint(forked.head, *signers), root, proof)


SIZES = [(3, 3), (3, 4), (4, 9), (5, 9), (7, 8), (8, 8), (8, 100), (300, 511)]


@pytest.mark.parametrize(("small", "large"), SIZES)
def test_convicts_the_signer(small: int, large: int) -> None:
    found = evidence(small, large)
    assert found.verify(TRUST) == (LOG.key,)
    read = Evidence.parse(bytes(found))
    assert read == found
    assert read.verify(TRUST) == (LOG.key,)
    assert f"size {small} " in found.summary


def test_one_history_is_no_fork() -> None:
    log = tree(9)
    honest = Evidence(
        checkpoint(tree(5).head), checkpoint(log.head), tree(5).head.root, log.prove_consistency(5)
    )
    with pytest.raises(VerificationError, match="do not contradict"):
        honest.verify(TRUST)
    same = Evidence(checkpoint(log.head), checkpoint(log.head), log.head.root, ConsistencyProof(9, 9, ()))
    with pytest.raises(VerificationError, match="do not contradict"):
        same.verify(TRUST)


@pytest.mark.parametrize(("small", "large"), SIZES)
def test_nobody_is_framed(small: int, large: int) -> None:
    """With two honest checkpoints no root and no proof make a fork."""
    log = tree(large)
    first, second = checkpoint(tree(small).head), checkpoint(log.head)
    for root, proof in (
        (bytes(32), log.prove_consistency(small)),
        (tree(small, 1).head.root, tree(large, 1).prove_consistency(small)),
        (tree(small, 1).head.root, log.prove_consistency(small)),
        (tree(small, 1).head.root, ConsistencyProof(small, large, ())),
        (tree(small, 1).head.root, ConsistencyProof(1, large, ())),
    ):
        with pytest.raises((RootMismatch, MalformedProof)):
            Evidence(first, second, root, proof).verify(TRUST)


def test_who_has_not_signed_both_is_not_convicted() -> None:
    found = evidence(4, 9)
    for bad in (
        evolve(found, first=checkpoint(found.first.head, OTHER)),
        evolve(found, second=checkpoint(found.second.head, OTHER)),
    ):
        with pytest.raises(UntrustedSigner):
            bad.verify(TRUST)
    renamed = evolve(found, first=evolve(found.first, origin="elsewhere.example"))
    with pytest.raises(UntrustedSigner, match="elsewhere"):
        renamed.verify(TRUST)


def test_a_witness_that_cosigned_both_is_convicted_too() -> None:
    trust = evolve(TRUST, quorum=Quorum.of(1, Witness("w", WITNESS.key)))
    assert evidence(4, 9, LOG, WITNESS).verify(trust) == (LOG.key, WITNESS.key)
    assert evidence(4, 9, LOG).verify(trust) == (LOG.key,)
    one = evolve(evidence(4, 9, LOG, WITNESS), second=checkpoint(tree(9, 1).head, LOG))
    assert one.verify(trust) == (LOG.key,)


def test_a_log_answers_for_all_its_keys() -> None:
    """It cannot sign one history by one key and another history by another; a witness's keys are not the log's."""
    quorum = Quorum.of(1, Witness("w", WITNESS.key))
    trust = Trust((LOG.key, OTHER.key), bytes(32), bytes(32), quorum=quorum)
    apart = evolve(evidence(4, 9), second=checkpoint(tree(9, 1).head, OTHER))
    assert apart.verify(trust) == (LOG.key, OTHER.key)
    assert evidence(4, 9).verify(trust) == (LOG.key,)
    cosigned = evolve(apart, first=checkpoint(tree(4).head, LOG, WITNESS))
    assert cosigned.verify(trust) == (LOG.key, OTHER.key)
    alone = evolve(evidence(4, 9), first=checkpoint(tree(4).head, WITNESS))
    with pytest.raises(UntrustedSigner, match="neither"):
        alone.verify(trust)
    assert evidence(4, 9, WITNESS).verify(trust) == (WITNESS.key,)


def test_an_empty_log_with_another_root() -> None:
    empty = tree(0).head.root
    liar = checkpoint(Head(0, bytes(32)))
    forked = Evidence(liar, checkpoint(tree(3).head), empty, ConsistencyProof(0, 3, ()))
    assert forked.verify(TRUST) == (LOG.key,)
    honest = Evidence(
        checkpoint(Head(0, empty)), checkpoint(tree(3).head), bytes(32), ConsistencyProof(0, 3, ())
    )
    with pytest.raises(VerificationError, match="has one root"):
        honest.verify(TRUST)


def test_every_flipped_byte() -> None:
    good = bytes(evidence(5, 9))
    for at in range(len(good)):
        bad = bytearray(good)
        bad[at] ^= 1
        try:
            Evidence.parse(bytes(bad)).verify(TRUST)
        except MedchainError:
            continue
        raise AssertionError(f"byte {at} may be changed")


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "",
        lambda text: text.replace("fork/v1", "fork/v2"),
        lambda text: text.replace("root ", "rood "),
        lambda text: text + "\n",
        lambda text: text[:-1],
        lambda text: text.replace("\n\n", "\n", 1),
        lambda text: text.replace("\n\n", "\n" + "A" * 43 + "=\n" * 70 + "\n\n", 1),
        lambda text: text.replace("root ", "root AAAA\n"),
        lambda text: "x" * 400_000,
    ],
)
def test_malformed(change: object) -> None:
    text = str(evidence(5, 9))
    with pytest.raises(MalformedProof):
        Evidence.parse(change(text))  # type: ignore[operator]


def test_the_smaller_comes_first() -> None:
    found = evidence(5, 9)
    turned = Evidence(found.second, found.first, found.root, found.proof)
    with pytest.raises(MalformedProof, match="smaller"):
        Evidence.parse(bytes(turned))
    assert Evidence.of(found.second, found.first, found.root, found.proof) == found
