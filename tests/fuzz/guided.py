"""Coverage guided fuzzing by atheris: each decoder of the registry in a process of its own, for a bounded time.

libFuzzer chooses inputs by what they reach in the library's code. Half of its changes are its own, the other half those
of `mutations`, which know what inputs are made of. Whatever `judging.judge` finds wrong ends a process and is kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import io
import os
import pkgutil
import platform
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from fuzz.decoder import Decoder

__all__ = ["Finding", "Outcome", "fuzz", "instrumented", "unavailable"]

LONGEST = 1 << 17
"""Most bytes of an input."""
SECONDS_FOR_ONE = 20
"""An input that takes longer is a finding. Ordinary ones take a millisecond."""
MEMORY_MB = 2_048
"""A process that takes more is a finding."""
WRONG = "=== wrong:"
"""Before an exception in a log."""


@frozen
class Finding:
    """An input that something is wrong with, and what: the last lines of the report."""

    path: Path
    text: str


@frozen
class Outcome:
    """What came of fuzzing one decoder.

    Attributes:
        runs: inputs that were tried.
        edges: places in the code that were reached.
        findings: what was found; no more than one, since it ends the process.
        failure: how the process ended, if it ended otherwise than by a finding or in time.
    """

    runs: int
    edges: int
    findings: tuple[Finding, ...]
    failure: str | None


def unavailable() -> str | None:
    """Why there is no coverage guided fuzzing here; None if there is."""
    if importlib.util.find_spec("atheris") is not None:
        return None
    here = f"{platform.python_implementation()} {platform.python_version()} on {sys.platform} {platform.machine()}"
    return (
        "atheris is not installed. Its wheels are for CPython 3.11 to 3.13 on Linux x86_64, where"
        f" `tools/bootstrap fuzz` installs it; this is {here}"
    )


def instrumented() -> dict[str, Decoder]:
    """The registry, over a library that tells libFuzzer where it runs. Nothing of the library may be loaded before."""
    import atheris

    assert "medchain" not in sys.modules
    with (
        contextlib.redirect_stderr(io.StringIO()),  # a line for each module
        atheris.instrument_imports(include=["medchain", "shamir_mnemonic"]),
    ):
        _load_everything()
    from fuzz.decoders import DECODERS

    return DECODERS


def _load_everything() -> None:
    """Load every module of the library; those that need an extra are left out where it is not installed."""
    import medchain

    for found in pkgutil.walk_packages(medchain.__path__, "medchain."):
        if found.name.startswith("medchain.testing") or found.name.endswith("__main__"):
            continue
        try:
            importlib.import_module(found.name)
        except ModuleNotFoundError as error:
            if str(error.name).startswith("medchain"):
                raise


def fuzz(decoder: Decoder, place: Path, limits: Sequence[str]) -> Outcome:
    """Fuzz one decoder in a child process.

    Args:
        decoder: from `instrumented`.
        place: where its corpus, its log and its findings lie.
        limits: of libFuzzer, like ``-max_total_time=10``, ``-runs=1000`` or ``-seed=1``.
    """
    corpus, wrong, log = place / "corpus", place / "wrong", place / "log"
    for folder in (corpus, wrong):
        folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(decoder.seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    before = set(wrong.iterdir())
    child = os.fork()
    if child == 0:
        _child(decoder, corpus, wrong, log, limits)
    _, status = os.waitpid(child, 0)
    said = log.read_text(errors="replace")
    found = tuple(Finding(path, _report(said)) for path in sorted(set(wrong.iterdir()) - before))
    ended = os.waitstatus_to_exitcode(status)
    failure = None if found or ended == 0 else f"it ended with {ended}: {said[-2_000:]}"
    runs, edges = _last(r"stat::number_of_executed_units: +(\d+)|^#(\d+)", said), _last(r"cov: (\d+)", said)
    return Outcome(runs, edges, found, failure)


def _child(decoder: Decoder, corpus: Path, wrong: Path, log: Path, limits: Sequence[str]) -> None:
    """The child's whole life: libFuzzer ends the process itself."""
    import atheris

    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    seeds = list(decoder.seeds())
    arguments = [
        "fuzz",
        str(corpus),
        f"-artifact_prefix={wrong}/",
        f"-max_len={LONGEST}",
        f"-timeout={SECONDS_FOR_ONE}",
        f"-rss_limit_mb={MEMORY_MB}",
        "-print_final_stats=1",
        *limits,
    ]
    try:
        atheris.Setup(arguments, _target(decoder, wrong), custom_mutator=_mutator(decoder, seeds))
        atheris.Fuzz()
    finally:
        os._exit(70)


def _target(decoder: Decoder, wrong: Path) -> Callable[[bytes], None]:
    from fuzz.judging import judge

    def target(data: bytes) -> None:
        try:
            judge(decoder, data)
        except BaseException:
            # libFuzzer keeps what takes too long or too much; what raises ends the process before it can.
            (wrong / f"crash-{hashlib.sha1(data, usedforsecurity=False).hexdigest()}").write_bytes(data)
            print(WRONG, traceback.format_exc(), file=sys.stderr, flush=True)
            raise

    return target


def _mutator(decoder: Decoder, seeds: Sequence[bytes]) -> Callable[[bytes, int, int], bytes]:
    import atheris
    from fuzz.mutations import mutate

    def change(data: bytes, longest: int, number: int) -> bytes:
        random = Random(number)
        if random.random() < 0.5:
            return bytes(atheris.Mutate(data, longest))
        return mutate(data, decoder.form, random, seeds)[:longest]

    return change


def _report(said: str) -> str:
    """The exception that was written down, or libFuzzer's own verdict."""
    exception = said.partition(WRONG)[2].partition("\n==")[0].strip()
    verdict = re.search(r"ERROR: libFuzzer: .*", said)
    return exception[-3_000:] or (verdict[0] if verdict else said[-1_000:])


def _last(pattern: str, said: str) -> int:
    found = re.findall(pattern, said, re.MULTILINE)
    if not found:
        return 0
    return int(next(filter(None, found[-1]))) if isinstance(found[-1], tuple) else int(found[-1])
