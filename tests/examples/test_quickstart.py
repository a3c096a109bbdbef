"""The demo as people start it: one screen, plain when piped, an exit status that its own checks decide."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import vectors

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the demo works; what `make demo` has left in its own folder stays."""
    return tmp_path / "demo"


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    call = [sys.executable, "examples/quickstart.py", *map(str, arguments)]
    return subprocess.Popen(call, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    process = start("--folder", folder, *arguments)
    out, err = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def test_it_fits_one_screen_and_holds(folder: Path) -> None:
    done = run(folder)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) <= 25
    assert all(len(line) <= 80 for line in lines[:-1])
    assert "\x1b" not in done.stdout
    assert done.stdout.count("caught by") == 6
    assert "HOLD:" not in done.stdout

    command = lines[-1].split()[1:]
    proof = subprocess.run(
        [sys.executable, "-m", "medchain", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert proof.returncode == 0
    assert "access.decision" in proof.stdout


def test_it_takes_a_bundle_of_ones_own(folder: Path) -> None:
    patient = max(vectors.path("fhir/synthea").glob("*.json"), key=lambda path: path.stat().st_size)
    done = run(folder, patient)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{patient.stat().st_size:,} bytes of FHIR" in " ".join(done.stdout.split())


def test_what_is_no_bundle_is_refused_in_one_line(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text('{"resourceType": "Patient"}')
    for path in (other, tmp_path / "missing.json"):
        done = run(folder, path)
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr.count("\n") == 1
        assert str(path) in done.stderr
    assert not folder.exists()


def test_files_of_others_are_left_alone(folder: Path) -> None:
    folder.mkdir()
    for name in ("thesis.txt", "clinic.medchain"):
        mine = folder / name
        mine.write_text("mine")
        done = run(folder)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert list(folder.iterdir()) == [mine]
        mine.unlink()
    assert run(folder).returncode == 0
    (folder / "thesis.txt").write_text("mine")
    assert run(folder).returncode == 0
    assert (folder / "thesis.txt").read_text() == "mine"


def test_ctrl_c_ends_it_without_a_traceback(folder: Path) -> None:
    with start("--folder", folder) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert process.stderr.read() == "\nquickstart: interrupted\n"
    assert run(folder).returncode == 0
