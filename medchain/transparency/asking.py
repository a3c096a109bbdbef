"""Asking witnesses for cosignatures: one, or all of a quorum at once (C2SP tlog-witness)."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Self, TypeAlias

from attrs import evolve

from medchain._text import printable
from medchain.errors import MedchainError, NotWitnessed, Unreachable
from medchain.ledger.checkpoint import Checkpoint
from medchain.ledger.note import Note, NoteSignature, VerifierKey
from medchain.ledger.quorum import Quorum
from medchain.merkle import ConsistencyProof
from medchain.transparency.addcheckpoint import (
    ANSWER_LIMIT,
    PATH,
    SIZE_TYPE,
    AddCheckpoint,
    read_cosignatures,
    read_size,
)
from medchain.transparency.http import Answer, Server

__all__ = ["ATTEMPTS", "GRACE", "SECONDS", "Prove", "WitnessClient", "cosign"]

ATTEMPTS = 4
"""Requests to one witness for one checkpoint: each answer may name another size that it has cosigned last."""

SECONDS, GRACE = 10.0, 0.5

Prove: TypeAlias = Callable[[int, int], ConsistencyProof]
"""Gives the proof that the log of the second size begins with that of the first: `Chain.prove_consistency`."""

Lines: TypeAlias = dict[VerifierKey, NoteSignature]
Results: TypeAlias = "queue.SimpleQueue[tuple[str, Lines | Exception]]"


class WitnessClient:
    """Asks one witness. Keeps its connection; for one thread at a time.

    Args:
        url: submission prefix of the witness.
        keys: keys by which it cosigns; lines by others are ignored.
        seconds: how long one request may take.
    """

    def __init__(self, url: str, *keys: VerifierKey, seconds: float = SECONDS) -> None:
        if not keys:
            raise ValueError("without a key no cosignature can be told from anything else")
        self.keys = keys
        self._server = Server(url, seconds=seconds)

    def add_checkpoint(self, checkpoint: Checkpoint, prove: Prove, *, since: int = 0) -> Lines:
        """Have a checkpoint cosigned.

        A witness that has cosigned another size last names it, and is asked again with the proof from there.

        Args:
            checkpoint: of this log, signed by it. Only its own signatures are sent.
            prove: gives consistency proofs of the log.
            since: the size that the witness has probably cosigned last; a wrong guess costs one more request.

        Returns:
            Signature lines by key: those of its cosignatures by `keys` that verify, at least one.

        Raises:
            NotWitnessed: it refuses.
            MalformedProof, InvalidSignature, UntrustedSigner: it answers with something else than its cosignature.
            Unreachable: no whole answer within the time.
        """
        old = min(since, checkpoint.size)
        for _ in range(ATTEMPTS):
            proof = prove(old, checkpoint.size).path if 0 < old < checkpoint.size else ()
            request = AddCheckpoint.of(checkpoint, old, proof)
            answer = self._server.post(PATH, bytes(request), limit=ANSWER_LIMIT)
            if answer.status == 200:
                return read_cosignatures(answer.body, request.note, self.keys)
            old = self._other_size(answer, old, checkpoint)
        raise self._refusal(f"it named another size {ATTEMPTS} times")

    def _other_size(self, answer: Answer, old: int, checkpoint: Checkpoint) -> int:
        """The size that it has cosigned last, from which its checkpoint can be proved."""
        if answer.status != 409 or answer.type != SIZE_TYPE:
            raise self._refusal(f"status {answer.status}: {_said(answer.body)}")
        size = read_size(answer.body)
        if size > checkpoint.size:
            raise self._refusal(
                f"it has cosigned size {size} already, which is larger than {checkpoint.size}"
            )
        if size == old:
            raise self._refusal(f"it has cosigned another log of size {size}, or contradicts itself")
        return size

    def _refusal(self, reason: str) -> NotWitnessed:
        return NotWitnessed(f"{self._server.url}: {reason}", refusals={self._server.url: reason})

    def close(self) -> None:
        """Give up the connection."""
        self._server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<WitnessClient {self._server.url}>"


def cosign(
    checkpoint: Checkpoint,
    quorum: Quorum,
    prove: Prove,
    *,
    since: int = 0,
    seconds: float = SECONDS,
    grace: float = GRACE,
) -> Checkpoint:
    """Have a checkpoint cosigned by the witnesses of a quorum, all asked at once.

    Policy lines with one URL are one witness, and asked once. When the quorum is met, those who have not answered yet
    get some more time; their cosignatures are welcome, but nobody waits for the slowest.

    Args:
        checkpoint: of this log, signed by it.
        quorum: which witnesses are to cosign; those without a URL cannot be asked.
        prove: gives consistency proofs of the log; called on several threads.
        since: size of the last checkpoint that the witnesses have cosigned, if known.
        seconds: until the quorum must be met.
        grace: seconds for the rest, when it is.

    Returns:
        The checkpoint with their lines, in the order of the quorum; earlier lines by the same keys are replaced.

    Raises:
        NotWitnessed: the quorum is not met. Its `refusals` say by the name of each witness what came of it.
    """
    places: dict[str, list[VerifierKey]] = {}
    for witness in quorum.witnesses:
        if witness.url is not None:
            places.setdefault(witness.url, []).append(witness.key)
    results: Results = queue.SimpleQueue()
    for url, keys in places.items():
        _start(results, url, keys, checkpoint, prove, since, seconds)
    lines, said = _collect(results, places, quorum, seconds, grace)
    if not quorum.met_by(lines):
        raise _not_witnessed(quorum, lines, said, seconds)
    return _with_lines(checkpoint, [lines[each.key] for each in quorum.witnesses if each.key in lines])


def _start(
    results: Results,
    url: str,
    keys: Sequence[VerifierKey],
    checkpoint: Checkpoint,
    prove: Prove,
    since: int,
    seconds: float,
) -> None:
    """Ask one witness on a thread of its own."""
    try:
        client = WitnessClient(url, *keys, seconds=seconds)
    except ValueError as error:  # the policy may have come from others, and so what it takes for a URL
        results.put((url, Unreachable(str(error))))
        return

    def ask() -> None:
        with client:
            try:
                results.put((url, client.add_checkpoint(checkpoint, prove, since=since)))
            except Exception as error:
                results.put((url, error))

    # Daemons: a witness that answers slowly must not keep a program from ending.
    threading.Thread(target=ask, name="medchain-ask-witness", daemon=True).start()


def _collect(
    results: Results,
    places: Mapping[str, Sequence[VerifierKey]],
    quorum: Quorum,
    seconds: float,
    grace: float,
) -> tuple[Lines, dict[str, str]]:
    """Cosignatures, and by URL what the other witnesses have said, when it is time to stop."""
    lines: Lines = {}
    said: dict[str, str] = {}
    end, met, waiting = time.monotonic() + seconds, False, set(places)
    while waiting:
        if not met and quorum.met_by(lines):
            met, end = True, min(end, time.monotonic() + grace)
        try:
            url, result = results.get(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            break
        waiting.discard(url)
        if isinstance(result, NotWitnessed):
            said[url] = next(iter(result.refusals.values()))
        elif isinstance(result, MedchainError):
            said[url] = f"{type(result).__name__}: {result}"
        elif isinstance(result, Exception):
            raise result  # of `prove`
        else:
            lines |= result
    return lines, said


def _not_witnessed(quorum: Quorum, lines: Lines, said: Mapping[str, str], seconds: float) -> NotWitnessed:
    refusals: dict[str, str] = {}
    for witness in quorum.witnesses:
        if witness.key in lines:
            continue
        if witness.url is None:
            refusals[witness.name] = "the policy names no URL"
        else:
            late = f"no answer within {seconds:g} s"
            other = witness.url in said or any(
                each.key in lines for each in quorum.witnesses if each.url == witness.url
            )
            refusals[witness.name] = said.get(witness.url, "no cosignature by this key" if other else late)
    reasons = "".join(f"\n  {name}: {reason}" for name, reason in refusals.items())
    return NotWitnessed(f"wanted {quorum.wanted(lines)}{reasons}", refusals=refusals)


def _with_lines(checkpoint: Checkpoint, lines: Sequence[NoteSignature]) -> Checkpoint:
    new = {(line.name, line.key_id) for line in lines}
    kept = [line for line in checkpoint.note.signatures if (line.name, line.key_id) not in new]
    return evolve(checkpoint, note=Note(checkpoint.note.text, (*kept, *lines)))


def _said(body: bytes) -> str:
    """What a refusal says, fit to be shown."""
    text = str(body[:200], errors="replace").strip()
    return printable(text) or "no reason given"
