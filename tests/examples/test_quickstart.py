"""The demo as people start it: one screen, plain when piped, an exit status that its own checks decide."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import vectors

ROOT = Path(__file__).parents[2]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, "examples/quickstart.py", *map(str, arguments)]
    return subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=False)


def test_it_fits_one_screen_and_holds() -> None:
    done = run()
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) <= 25
    assert all(len(line) <= 120 for line in lines)
    assert "\x1b" not in done.stdout
    assert done.stdout.count("caught by") == 6
    assert "HOLD:" not in done.stdout

    command = lines[-1].split()[1:]
    proof = subprocess.run(
        [sys.executable, "-m", "medchain", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert proof.returncode == 0
    assert "access.decision" in proof.stdout


def test_it_takes_a_bundle_of_ones_own() -> None:
    patient = max(vectors.path("fhir/synthea").glob("*.json"), key=lambda path: path.stat().st_size)
    done = run(patient)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{patient.stat().st_size:,} bytes of FHIR" in done.stdout


def test_what_is_no_bundle_is_refused_in_one_line(tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text('{"resourceType": "Patient"}')
    for path in (other, tmp_path / "missing.json"):
        done = run(path)
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr.count("\n") == 1
        assert str(path) in done.stderr
