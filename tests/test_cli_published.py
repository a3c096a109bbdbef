"""The commands of published logs: publish, vkey, witness, completion, and evidence of a fork."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

import medchain as mc
from medchain import testing
from medchain.cli import main
from medchain.keys import keystore
from medchain.ledger.note import VerifierKey
from medchain.ledger.quorum import Quorum
from medchain.ledger.quorum import Witness as Named
from medchain.transparency import Evidence, publication_trust, publish, witness_signers

PASSWORD = "pw"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a chain, its trust file, and the keystores of its authority and of a witness."""
    hospital, university = testing.wallets("hospital", "university")
    keystore.save(tmp_path / "hospital.keys", {"hospital": hospital}, PASSWORD)
    keystore.save(tmp_path / "uni.keys", {"uni": university}, PASSWORD)
    where: dict[str, Any] = {"authority": hospital, "mark": tmp_path / "mark"}
    with mc.Chain.create(tmp_path / "chain", origin="clinic.example/ehr", gate=None, **where) as chain:
        chain.trust.save(tmp_path / "trust")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main(arguments)
    out, err = capsys.readouterr()
    return status, out, err


def type_password(monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    monkeypatch.setattr(sys, "stdin", io.StringIO(PASSWORD + "\n"))


def test_publish_what_is_signed(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(
        capsys, "publish", "chain", "log", "--trust", "readers.trust", "--url", "https://l.example/"
    )
    assert (status, err) == (0, "")
    assert "clinic.example/ehr" in out
    checkpoint = mc.Checkpoint.parse((place / "log" / "checkpoint").read_bytes())
    trust = mc.Trust.load(place / "readers.trust")
    assert len(trust.verify(checkpoint).log) == 1
    assert trust.urls == ("https://l.example/",)


def test_publish_with_the_authority(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is signed by ML-DSA-44, too, even if the same size was published without."""
    assert run(capsys, "publish", "chain", "log")[0] == 0
    type_password(monkeypatch)
    keys = ("--keystore", "hospital.keys", "--wallet", "hospital", "--mark", "mark")
    status, out, _ = run(capsys, "publish", "chain", "log", *keys, "--trust", "readers.trust", "--json")
    assert status == 0
    shown = json.loads(out)
    assert shown["signed_by"] == ["clinic.example/ehr"] * 2
    checkpoint = mc.Checkpoint.parse((place / "log" / "checkpoint").read_bytes())
    found = mc.Trust.load(place / "readers.trust").verify(checkpoint)
    assert [key.type for key in found.log] == [0x01, 0x06]
    assert shown["size"] == checkpoint.size


@pytest.mark.parametrize(
    ("arguments", "status", "word"),
    [
        (["publish", "nowhere", "log"], 2, "No such file"),
        (["publish", "chain", "trust"], 1, "StorageError"),
        (["publish", "chain", "log", "--wallet", "hospital"], 2, "--keystore goes with --wallet"),
        (["publish", "chain", "log", "--policy", "chain"], 2, "directory"),
        (["publish", "chain", "ftp://x/y"], 2, "ftp"),
        (["vkey"], 2, "name a chain"),
        (["vkey", "chain", "--witness", "w"], 2, "name a chain"),
        (["vkey", "--witness", "w"], 2, "goes with --keystore"),
        (["vkey", "nowhere"], 2, "No such file"),
        (["verify", "broken", "--trust", "trust"], 1, "MalformedProof"),
    ],
)
def test_what_goes_wrong_is_said_in_one_line(
    place: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, word: str
) -> None:
    (place / "broken").write_text("medchain/fork/v1\nroot x\n")
    found, out, err = run(capsys, *arguments)
    assert (found, out) == (status, "")
    assert word in err
    assert err.count("\n") == 1


def test_a_policy_of_another_log(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    signers = witness_signers(testing.wallets("university")[0], "w.example/1")
    with mc.Chain.in_memory(origin="other.example") as other:
        trust = other.trust
    quorum = Quorum.of(1, Named("w", signers[0].key, "http://127.0.0.1:9"))
    mc.Trust(trust.log_keys, trust.chain, trust.tag, quorum=quorum).save(place / "policy")
    status, _, err = run(capsys, "publish", "chain", "log", "--policy", "policy")
    assert status == 2
    assert "other.example" in err


def test_vkeys(place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    trust = mc.Trust.load(place / "trust")
    for what in ("chain", "trust"):
        status, out, _ = run(capsys, "vkey", what)
        assert status == 0
        assert [VerifierKey.parse(line) for line in out.split()] == list(trust.log_keys)
    type_password(monkeypatch)
    keys = ("--keystore", "uni.keys", "--wallet", "uni")
    status, out, _ = run(capsys, "vkey", "--witness", "w.example/1", *keys, "--json")
    assert status == 0
    signers = witness_signers(testing.wallets("university")[0], "w.example/1")
    assert [each["vkey"] for each in json.loads(out)["keys"]] == [str(signer.key) for signer in signers]


@pytest.fixture
def served(place: Path) -> Iterator[dict[str, Any]]:
    """A witness of the chain in a process of its own; what it prints when it is ready."""
    command = ["witness", "memory", "--new", "--name", "w.example/1", "--log", "trust", "--json", "--quiet"]
    process = subprocess.Popen(
        [sys.executable, "-m", "medchain", *command, "--keystore", "uni.keys", "--wallet", "uni"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=place,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(PASSWORD + "\n")
    process.stdin.close()
    try:
        lines = iter(process.stdout.readline, "}\n")
        yield json.loads("".join(lines) + "}")
    finally:
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(60) == 0
        process.stdout.close()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--name", "a b"], "1 to 255 bytes"),
        (["--name", "é" * 128], "1 to 255 bytes"),
        (["--prefix", "w/"], "slash"),
        (["--log", "nofile.trust"], "no file nofile.trust, and it is no vkey"),
        (["--port", "99999"], "from 0 to 65535, not '99999'"),
        (["--port", "-1"], "from 0 to 65535"),
        (["--port", "taken"], "in use"),
        (["--host", "256.0.0.1"], ""),
    ],
)
def test_a_witness_that_is_refused_begins_nothing(
    place: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    word: str,
) -> None:
    type_password(monkeypatch)
    keys = ("--keystore", "uni.keys", "--wallet", "uni")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        given = [each.replace("taken", port) for each in arguments]
        try:
            status = main(["witness", "memory", "--new", "--name", "w", "--log", "trust", *keys, *given])
        except SystemExit as error:  # of argparse
            status = int(error.code or 0)
    out, err = capsys.readouterr()
    assert (status, out, word in err, "Traceback" in err) == (2, "", True, False)
    assert not (place / "memory").exists()


def test_a_number_too_large_is_no_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_it(_: object) -> int:
        raise OverflowError("too large")

    monkeypatch.setattr("medchain.cli.publishing._vkey", run_it)
    assert run(capsys, "vkey", "x") == (2, "", "medchain: too large\n")


def test_a_witness_cosigns_what_is_published(
    place: Path, capsys: pytest.CaptureFixture[str], served: dict[str, Any]
) -> None:
    trust = mc.Trust.load(place / "trust")
    key = VerifierKey.parse(served["keys"][0])
    quorum = Quorum.of(1, Named("uni", key, served["url"]))
    mc.Trust(trust.log_keys, trust.chain, trust.tag, quorum=quorum).save(place / "policy")
    status, out, _ = run(capsys, "publish", "chain", "log", "--policy", "policy", "--trust", "readers.trust")
    assert status == 0
    assert "w.example/1" in out
    checkpoint = mc.Checkpoint.parse((place / "log" / "checkpoint").read_bytes())
    assert mc.Trust.load(place / "readers.trust").verify(checkpoint).witnesses == (key,)
    status, out, _ = run(capsys, "inspect", "readers.trust", "--json")
    assert json.loads(out)["quorum"] == "witnesses"
    where: dict[str, Any] = {"authority": testing.wallets("hospital")[0], "mark": place / "mark"}
    with mc.Chain.open(place / "chain", **where) as chain:
        mc.Parties(chain).register(testing.wallets("nurse")[0], by=where["authority"])
    status, _, err = run(capsys, "publish", "chain", "log")
    assert (status, "NotWitnessed" in err, "--unwitnessed" in err) == (1, True, True)
    assert mc.Checkpoint.parse((place / "log" / "checkpoint").read_bytes()) == checkpoint
    assert run(capsys, "publish", "chain", "log", "--unwitnessed")[0] == 0


def test_the_policy_may_be_the_trust_file(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What it says and the chain does not know stays in it."""
    with mc.Chain.open(
        place / "chain", authority=testing.wallets("hospital")[0], mark=place / "mark"
    ) as chain:
        known = publication_trust(chain, url="https://l.example/")
    policy = evolve(known, names={bytes(32): "Dr Wu"}, urls=("https://l.example/", "https://m.example/"))
    policy.save(place / "policy")
    assert run(capsys, "publish", "chain", "log", "--policy", "policy", "--trust", "policy")[0] == 0
    assert (place / "policy").read_text() == str(policy)
    assert (
        run(
            capsys,
            "publish",
            "chain",
            "log",
            "--policy",
            "policy",
            "--trust",
            "p",
            "--url",
            "https://n.example/",
        )[0]
        == 0
    )
    assert mc.Trust.load(place / "p").urls == ("https://n.example/", "https://m.example/")
    evolve(policy, chain=bytes(32)).save(place / "policy")
    status, _, err = run(capsys, "publish", "chain", "log", "--policy", "policy")
    assert (status, "another chain" in err) == (2, True)


def test_nothing_is_published_without_witnesses(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trust = mc.Trust.load(place / "trust")
    signers = witness_signers(testing.wallets("university")[0], "w.example/1")
    quorum = Quorum.of(1, Named("uni", signers[0].key, "http://127.0.0.1:9"))
    mc.Trust(trust.log_keys, trust.chain, trust.tag, quorum=quorum).save(place / "policy")
    status, _, err = run(capsys, "publish", "chain", "log", "--policy", "policy")
    assert status == 1
    assert "NotWitnessed" in err
    assert not (place / "log" / "checkpoint").exists()


def test_evidence_of_a_fork_is_kept(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, although each run signs anew, and beside what has its name already."""
    where: dict[str, Any] = {"authority": testing.wallets("hospital")[0]}
    nurse, doctor = testing.wallets("nurse", "doctor")
    shutil.copytree(place / "chain", place / "copy")
    shutil.copy(place / "mark", place / "mark2")
    for folder, mark, who in (("chain", "mark", nurse), ("copy", "mark2", doctor)):
        with mc.Chain.open(place / folder, mark=place / mark, **where) as chain:
            mc.Parties(chain).register(who, by=where["authority"])
    assert run(capsys, "publish", "chain", "log")[0] == 0
    (place / "fork-3-3.txt").write_bytes(b"notes of somebody")
    (place / "fork-3-3-2.txt").mkdir()
    for _ in range(2):
        status, _, err = run(capsys, "publish", "copy", "log")
        assert (status, "Forked" in err, "fork-3-3-3.txt" in err) == (1, True, True)
    assert {path.name for path in place.glob("fork-*")} == {
        "fork-3-3.txt",
        "fork-3-3-2.txt",
        "fork-3-3-3.txt",
    }
    assert (place / "fork-3-3.txt").read_bytes() == b"notes of somebody"
    assert run(capsys, "verify", "fork-3-3-3.txt", "--trust", "trust")[0] == 0
    (place / "fork-3-3-3.txt").unlink()

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    status, _, err = run(capsys, "publish", "copy", "log")
    assert (status, "Forked" in err, "No space left" in err) == (1, True, True)


def test_evidence_convicts(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from transparency.test_evidence import TRUST, evidence

    found = evidence(5, 9)
    (place / "fork").write_bytes(bytes(found))
    TRUST.save(place / "log.trust")
    status, out, _ = run(capsys, "verify", "fork", "--trust", "log.trust", "--json")
    assert status == 0
    assert json.loads(out)["convicts"] == [str(TRUST.log_keys[0])]
    status, out, _ = run(capsys, "verify", "fork", "--trust", "log.trust")
    assert (status, "a fork" in out) == (0, True)
    status, out, _ = run(capsys, "inspect", "fork")
    assert (status, "not verified" in out) == (0, True)
    status, _, err = run(capsys, "verify", "fork", "--trust", "trust")
    assert (status, "UntrustedSigner" in err) == (1, True)
    honest = Evidence(found.first, found.first, found.first.root, found.proof)
    (place / "fork").write_bytes(bytes(honest))
    assert run(capsys, "verify", "fork", "--trust", "log.trust")[0] == 1


def test_evidence_against_a_witness_does_not_name_the_log(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever has a witness's key can write such a file, about a log that has signed nothing."""
    from transparency.test_evidence import LOG, TRUST, WITNESS, evidence

    evolve(TRUST, quorum=Quorum.of(1, Named("w", WITNESS.key))).save("log.trust")
    (place / "fork").write_bytes(bytes(evidence(5, 9, WITNESS)))
    status, out, _ = run(capsys, "verify", "fork", "--trust", "log.trust")
    assert status == 0
    assert "a fork" not in out
    assert "log.example has signed" not in out
    assert "w.example contradicts itself" in out
    assert f"w.example+{WITNESS.key.id.hex()}\n" in out
    _, out, _ = run(capsys, "verify", "fork", "--trust", "log.trust", "--json")
    shown = json.loads(out)
    assert (shown["what"], shown["log_convicted"]) == ("contradiction of a witness", False)
    assert shown["convicts"] == [str(WITNESS.key)]
    (place / "fork").write_bytes(bytes(evidence(5, 9, LOG, WITNESS)))
    _, out, _ = run(capsys, "verify", "fork", "--trust", "log.trust")
    assert "verified: a fork. log.example has signed" in out
    assert "w.example has cosigned both" in out
    _, out, _ = run(capsys, "verify", "fork", "--trust", "log.trust", "--json")
    assert (json.loads(out)["what"], json.loads(out)["log_convicted"]) == ("fork", True)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "completion", shell)
    assert status == 0
    for word in ("verify", "audit", "publish", "witness", "completion", "keystore", "accept-loss"):
        assert word in out
    if shutil.which(shell):
        done = subprocess.run([shell, "-n"], input=out, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def test_bash_completes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, script, _ = run(capsys, "completion", "bash")
    ask = "COMP_WORDS=(medchain pub); COMP_CWORD=1; _medchain; echo ${COMPREPLY[@]}\n"
    ask += "COMP_WORDS=(medchain publish --p); COMP_CWORD=2; _medchain; echo ${COMPREPLY[@]}\n"
    ask += "COMP_WORDS=(medchain completion ''); COMP_CWORD=2; _medchain; echo ${COMPREPLY[@]}\n"
    ask += "COMP_WORDS=(medchain publish a); COMP_CWORD=2; _medchain; printf '%s\\n' \"${COMPREPLY[@]}\"\n"
    for name in ("a b", "a*", "a*c"):
        (tmp_path / name).touch()
    done = subprocess.run(
        ["bash"], input=script + ask, capture_output=True, text=True, check=True, cwd=tmp_path
    )
    lines = done.stdout.splitlines()
    assert lines[:2] == ["publish", "--policy"]
    assert lines[2].split()[:3] == ["bash", "zsh", "fish"]
    assert sorted(lines[3:]) == ["a b", "a*", "a*c"]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh here")
def test_zsh_completes_at_the_first_call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Autoloaded, the file is the function: it must do its work when it is called, not only define it."""
    _, script, _ = run(capsys, "completion", "zsh")
    (tmp_path / "_medchain").write_text(script)
    ask = (
        "fpath=(. $fpath); autoload -U _medchain; compdef() { echo compdef }; _describe() { echo $1 ${(P)2} }\n"
        "_arguments() { print -l -- $@ }\nwords=(medchain pub); CURRENT=2; _medchain\n"
        "words=(medchain completion ''); CURRENT=3; _medchain\n"
    )
    done = subprocess.run(["zsh", "-f"], input=ask, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.startswith("command ")
    assert "publish:" in done.stdout
    assert "(bash zsh fish)" in done.stdout
    assert "compdef" not in done.stdout


def test_completion_offers_its_shells(capsys: pytest.CaptureFixture[str]) -> None:
    assert "'*:word:(bash zsh fish)'" in run(capsys, "completion", "zsh")[1]
    assert "-f -a 'bash zsh fish'" in run(capsys, "completion", "fish")[1]
    assert '    _medchain "$@"\n' in run(capsys, "completion", "zsh")[1]


@pytest.mark.parametrize("target", ["chain", "chain/log", "./chain/../chain", "link"])
def test_a_chain_is_not_published_into_itself(
    place: Path, capsys: pytest.CaptureFixture[str], target: str
) -> None:
    (place / "link").symlink_to("chain")
    before = sorted((place / "chain").rglob("*"))
    status, _, err = run(capsys, "publish", "chain", target)
    assert (status, "own folder" in err) == (2, True)
    assert sorted((place / "chain").rglob("*")) == before


def test_follow_and_audit(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "publish", "chain", "log", "--trust", "readers.trust")[0] == 0
    status, out, _ = run(capsys, "follow", "log", "copy", "--trust", "readers.trust", "--json")
    assert status == 0
    assert (json.loads(out)["size"], json.loads(out)["new_leaves"]) == (1, 1)
    status, out, _ = run(capsys, "follow", "log", "copy", "--trust", "readers.trust")
    assert (status, "clinic.example/ehr" in out) == (0, True)
    status, out, _ = run(capsys, "follow", "log", "copy", "--trust", "readers.trust", "--audit")
    assert (status, "clinic.example/ehr" in out) == (0, True)
    status, out, _ = run(capsys, "follow", "log", "copy", "--trust", "readers.trust", "--audit", "--json")
    assert (status, json.loads(out)["origin"]) == (0, "clinic.example/ehr")


def test_what_follow_says_is_short(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A count of leaves is no moment, and a key is a name and an id; programs get whole keys."""
    with mc.Chain.open("chain") as chain:
        publish(chain, "log")
        trust = publication_trust(chain)
    trust.save("readers.trust")
    status, out, _ = run(capsys, "follow", "log", "copy", "--trust", "readers.trust")
    assert status == 0
    assert "new leaves  1\n" in out
    assert "1970" not in out
    (key,) = trust.verify(mc.Checkpoint.parse((place / "log" / "checkpoint").read_bytes())).log
    assert f"{key.name}+{key.id.hex()}\n" in out
    assert str(key) not in out
    _, out, _ = run(capsys, "follow", "log", "copy", "--trust", "readers.trust", "--json")
    assert json.loads(out)["signed_by"] == [str(key)]


def test_follow_names_the_evidence(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from transparency.logs import Published, publish_leaves
    from transparency.test_following import fork

    published = Published.make(place / "pub")
    published.trust.save("log.trust")
    assert run(capsys, "follow", "pub", "copy", "--trust", "log.trust")[0] == 0
    publish_leaves(published, fork(published), place / "pub")
    for every in ([], [], ["--every", "1"]):
        status, _, err = run(capsys, "follow", "pub", "copy", "--trust", "log.trust", *every)
        assert status == 1
        named = err.split("the evidence is in ")[1].split("\n")[0]
        assert run(capsys, "verify", named, "--trust", "log.trust")[0] == 0


def test_follow_refuses(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "publish", "chain", "log")[0] == 0
    with mc.Chain.in_memory(origin="clinic.example/ehr") as other:
        other.trust.save(place / "other.trust")
    status, _, err = run(capsys, "follow", "log", "copy", "--trust", "other.trust")
    assert (status, "UntrustedSigner" in err) == (1, True)
    status, _, err = run(capsys, "follow", "log", "copy2", "--trust", "trust", "--every", "1", "--audit")
    assert (status, "--audit reports once" in err) == (2, True)
    for never in ("nan", "inf", "-1", "0"):
        status, _, err = run(capsys, "follow", "log", "copy2", "--trust", "trust", "--every", never)
        assert (status, "seconds" in err, err.count("\n")) == (2, True, 1)
    status, _, err = run(capsys, "follow", "http://127.0.0.1:9/", "copy3", "--trust", "trust")
    assert (status, "Unreachable" in err) == (1, True)
    entries = place / "log" / "tile" / "entries" / "000.p" / "1"
    entries.write_bytes(entries.read_bytes() + b"\0")
    status, _, err = run(capsys, "follow", "log", "copy4", "--trust", "trust")
    assert (status, "000.p/1" in err) == (1, True)


def test_follow_goes_on_until_it_is_interrupted(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "publish", "chain", "log")[0] == 0
    process = subprocess.Popen(
        [sys.executable, "-m", "medchain", "follow", "log", "copy", "--trust", "trust", "--every", "0.05", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=place,
    )  # fmt: skip
    assert process.stdout is not None
    shown = json.loads("".join(iter(process.stdout.readline, "}\n")) + "}")
    assert shown["size"] == 1
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "medchain: interrupted\n")
