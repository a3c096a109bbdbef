"""The coverage guided fuzzer: it runs over every decoder, finds a planted defect, and says so when it cannot run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fuzz import guided
from fuzz.decoders import DECODERS
from fuzz.judging import folder

from medchain.encoding import encode

TESTS = Path(__file__).parents[1]
needs_atheris = pytest.mark.skipif(guided.unavailable() is not None, reason=str(guided.unavailable()))


def run(*arguments: object, code: str | None = None) -> subprocess.CompletedProcess[str]:
    """``python -m fuzz`` with arguments, or some code, in a process of its own."""
    called = ["-c", code] if code else ["-m", "fuzz"]
    return subprocess.run(
        [sys.executable, *called, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        check=False,
    )


@needs_atheris
def test_a_short_run_over_every_decoder(tmp_path: Path) -> None:
    done = run("--runs", 100, "--seed", 1, "--out", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f"{len(DECODERS)} decoders, 100 inputs each"
    assert lines[-1] == "nothing was found"
    for name, line in zip(DECODERS, lines[1:], strict=False):
        assert line.split("  ")[1] == name
        assert int(line.rpartition("inputs")[2].split()[0].replace(",", "")) > 5, f"{name} reached nothing"
        assert (tmp_path / folder(DECODERS[name]).name / "corpus" / "seed-0").is_file()


PLANTED = """
import sys
from pathlib import Path
from fuzz import guided
guided.SECONDS_FOR_ONE, guided.MEMORY_MB = 1, 500
decoders = guided.instrumented()
from attrs import evolve
from fuzz import __main__ as main, judging
from medchain.ledger.note import Note

def read(data):
    note = Note.parse(data)
    if len(note.signatures) > 1:
        {defect}
    return note

judging.KEPT = Path(sys.argv[1])
planted = evolve(decoders["ledger.Checkpoint"], read=read)
guided.instrumented = lambda: {{"planted": planted}}
sys.exit(main.main(["--runs", "100000", "--seed", "1"]))
"""


@needs_atheris
@pytest.mark.parametrize(
    ("defect", "said"),
    [
        ("raise IndexError('planted')", "raised IndexError, documented is MalformedProof"),
        ("while True: pass", "ERROR: libFuzzer: timeout after"),
        ("read.kept = bytearray(b'x') * (600 << 20)", "out-of-memory"),
    ],
)
def test_a_planted_defect_is_found_kept_and_repeated(tmp_path: Path, defect: str, said: str) -> None:
    """It lies where only a changed seed gets: behind a second signature."""
    done = run(tmp_path, code=PLANTED.format(defect=defect))
    assert done.returncode == 1, done.stdout + done.stderr
    assert said in done.stdout
    assert "1 of 1 decoders are wrong" in done.stdout
    kept = list((tmp_path / "ledger.Checkpoint" / "wrong").iterdir())
    assert len(kept) == 1
    assert f'again: make fuzz ARGS="--repeat {kept[0]}"' in done.stdout
    assert kept[0].read_bytes().count("— ".encode()) > 1


def test_a_kept_input_is_tried_again(tmp_path: Path) -> None:
    kept = tmp_path / folder(DECODERS["sealing.open of an evil manifest"]).name / "wrong"
    kept.mkdir(parents=True)
    for data, verdict in ((encode(["a", "b", "c"]), "taken"), (b"\xff", "refused")):
        (kept / "one").write_bytes(data)
        done = run("--repeat", kept / "one")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == f"sealing.open of an evil manifest: nothing is wrong with it; it is {verdict}\n"


def test_a_kept_input_that_is_still_wrong(tmp_path: Path) -> None:
    kept = tmp_path / "encoding.decode" / "wrong" / "one"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"\x01")
    code = """
import sys
from attrs import evolve
from fuzz import __main__ as main, decoders
decoders.DECODERS["encoding.decode"] = evolve(decoders.DECODERS["encoding.decode"], read=lambda data: data[7])
sys.exit(main.main(["--repeat", sys.argv[1]]))
"""
    done = run(kept, code=code)
    assert done.returncode == 1
    assert "Wrong: encoding.decode raised IndexError" in done.stderr


@pytest.mark.parametrize("arguments", [("--repeat", "nowhere"), ("--time", "soon")])
def test_wrong_calls(tmp_path: Path, arguments: tuple[str, str]) -> None:
    done = run(*arguments, "--out", tmp_path)
    assert done.returncode == 2
    assert done.stderr


def test_without_atheris_it_says_so_and_does_nothing(tmp_path: Path) -> None:
    code = """
import importlib.util, sys
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name == "atheris" else find(name, *more)
from fuzz.__main__ import main
sys.exit(main(sys.argv[1:]))
"""
    done = run("--out", tmp_path, code=code)
    assert done.returncode == 2
    assert "atheris is not installed" in done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []
