"""The main job on one screen: seal a patient record, open it with the right keys, prove it, catch every cheat.

``make demo`` runs it, ``make demo FHIR=path/to/bundle.json`` on a FHIR R4 bundle of your own. It makes a folder
``demo`` and leaves a proof there, with the command that checks it. The next run removes what this one has made there,
and nothing else. The exit status is 0 if every check held.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import medchain as mc
from medchain import ehr, sealing
from medchain.access.contract import AccessContract
from medchain.access.messages import Approve
from medchain.access.proved import proved_request
from medchain.access.warrants import make_warrant
from medchain.storage import Batch, FileBlobs, LmdbStore, ReplicatedBlobs

HERE = Path(__file__).resolve().parent
MARKER = ".made-by-quickstart"
MADE = (
    "blobs-1",
    "blobs-2",
    "blobs-3",
    "clinic.medchain",
    "clinic.trust",
    "copy",
    "decision.tlog-proof",
    "mark",
    "mark.lock",
)
LABEL, WIDTH = 16, 80
POLICY = """
    treatment for TREAT: owner and 1 of (dr_wu, guardian), separate asker
    emergency night for ETREAT: er_desk and guardian, notify owner, review by auditor
"""
TELLING = {
    "birthDate",
    "city",
    "code",
    "display",
    "div",
    "family",
    "given",
    "line",
    "postalCode",
    "text",
    "value",
}
"""FHIR elements that hold names, diagnoses, codes and dates."""


class Screen:
    """A line for each thing that happens; in colours only where a person looks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.checks = 0
        self.failed = 0
        self.colours = sys.stdout.isatty()

    def say(self, label: str, text: str, colour: int = 36) -> None:
        shown = f"\x1b[{colour}m{label:<{LABEL}}\x1b[0m" if self.colours else f"{label:<{LABEL}}"
        lines = textwrap.wrap(text, WIDTH - LABEL) or [""]
        print((shown + ("\n" + " " * LABEL).join(lines)).rstrip(), flush=True)

    def check(self, label: str, holds: bool, text: str) -> None:
        self.checks += 1
        self.failed += not holds
        self.say(label, text if holds else f"DOES NOT HOLD: {text}", 36 if holds else 31)

    def caught(self, label: str, where: str, cheat: Callable[[], object]) -> None:
        """A cheat must end in an error that medchain documents; anything else is a failed check."""
        self.checks += 1
        try:
            cheat()
        except mc.MedchainError as error:
            text = f"caught by {where}: {type(error).__name__}: {error}".split("\n")[0]
            room = WIDTH - LABEL
            self.say(f"  {label}", text if len(text) <= room else text[: room - 1] + "…", 32)
        else:
            self.failed += 1
            self.say(f"  {label}", "NOT CAUGHT", 31)

    def end(self, began: float) -> int:
        held, seconds = self.checks - self.failed, time.perf_counter() - began
        verdict, colour = ("FAILED", 31) if self.failed else ("all hold", 32)
        self.say(
            verdict, f"{held} of {self.checks} checks, {seconds:.1f} s; the proof is yours to check:", colour
        )
        here = self.folder.is_relative_to(Path.cwd())
        folder = self.folder.relative_to(Path.cwd()) if here else self.folder
        print(f"  .venv/bin/medchain verify {folder}/decision.tlog-proof --trust {folder}/clinic.trust")
        return int(self.failed > 0)


class Clinic:
    """The people of the story and their chain."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hospital, self.phone, self.guardian, self.dr_wu, self.dr_lee = (
            mc.Wallet.generate() for _ in range(5)
        )
        self.er_desk, self.auditor, self.keeper, self.thief = (mc.Wallet.generate() for _ in range(4))
        self.blobs = three_disks(folder)
        self.chain = mc.Chain.create(
            folder / "clinic.medchain",
            origin="clinic.example/ehr",
            authority=self.hospital,
            gate=self.keeper.party,
            blobs=self.blobs,
            mark=folder / "mark",
        )
        self.chain.trust.save(folder / "clinic.trust")
        self.gate = mc.Gate(self.keeper)
        self.access = mc.Access(self.chain, gate=self.gate)
        self.patient = self.phone.persona(toward=self.hospital.party, chain=self.chain.tag)
        people = (self.patient, self.guardian, self.dr_wu, self.dr_lee, self.er_desk)
        mc.Parties(self.chain).register(*people, by=self.hospital)
        mc.Parties(self.chain).register(self.auditor, by=self.hospital, kind="organisation")
        self.policy = mc.Policy.parse(POLICY).bind(
            gate=self.chain.gate,
            owner=self.patient.party,
            dr_wu=self.dr_wu.party,
            guardian=self.guardian.party,
            er_desk=self.er_desk.party,
            auditor=self.auditor.party,
        )

    def reopen(self) -> None:
        self.blobs = three_disks(self.folder)
        self.chain = mc.Chain.open(
            self.folder / "clinic.medchain",
            authority=self.hospital,
            mark=self.folder / "mark",
            blobs=self.blobs,
        )
        self.access = mc.Access(self.chain, gate=self.gate)

    def log(self) -> bytes:
        """Everything that stands on the chain."""
        return b"".join(self.chain.entry(index).leaf for index in range(self.chain.head.size))


def make_room(folder: Path) -> None:
    """Make the demo's folder, or remove what an earlier run has made in it; FileExistsError if no run has made it."""
    if folder.exists() and not (folder / MARKER).exists() and any(folder.iterdir()):
        raise FileExistsError("it holds files that no demo has made: move them, or name another by --folder")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).touch()
    for path in (folder / name for name in MADE):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def three_disks(folder: Path) -> ReplicatedBlobs:
    """Sealed data lies in three stores, any one of which may be lost."""
    return ReplicatedBlobs([FileBlobs(folder / f"blobs-{n}") for n in (1, 2, 3)], write_quorum=2)


def main(source: Path, folder: Path) -> int:
    """Run everything on one bundle, in one folder; gives the exit status."""
    try:
        bundle = source.read_bytes()
        ehr.Bundle.read(bundle)
    except (OSError, mc.MedchainError) as error:
        print(f"quickstart: {source}: {error}", file=sys.stderr)
        return 2
    try:
        make_room(folder)
    except OSError as error:
        print(f"quickstart: {folder}: {error}", file=sys.stderr)
        return 2
    began, screen, clinic = time.perf_counter(), Screen(folder), Clinic(folder)
    with clinic.chain:
        before = clinic.log() + POLICY.encode()
        words = {word for word in telling_words(json.loads(bundle)) if word not in before}
        record = ehr.Records(clinic.access).add(bundle, clinic.policy, by=[clinic.hospital, clinic.patient])
        sealed = clinic.access.bundle(clinic.chain.table(AccessContract.records)[record.id])
        parts, size = len(sealed.header.parts), len(clinic.log()) - len(before) + len(POLICY)
        screen.say("sealed", f"{len(bundle):,} bytes of FHIR in {parts} parts, each under a key of its own")
        screen.say("", "policy: opens for owner and 1 of (dr_wu, guardian), and the gate")
        hidden = f"of {len(words)} names, codes and dates none shows"
        none = not leaked(words, clinic.log())
        screen.check("committed", none, f"at height {clinic.chain.height}, {size:,} bytes on chain; {hidden}")
        request = ask_and_open(screen, clinic, record, bundle)
        screen.say("attacks", "")
        attack(screen, clinic, record, request, sealed)
        disks = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
        none = not leaked(words, disks)
        screen.check("", none, f"and of {len(disks):,} bytes on the server's disks nothing reads")
    alter_log(screen, folder)
    shutil.rmtree(folder / "blobs-2")
    clinic.reopen()
    with clinic.chain:
        again = clinic.access.open(request, by=clinic.dr_lee).raw == bundle
        healed = clinic.blobs.repair().copied
        screen.check("lost", again, f"blob store 2 of 3 deleted: all still opens; {healed} blobs healed")
    return screen.end(began)


def ask_and_open(screen: Screen, clinic: Clinic, record: mc.Record, bundle: bytes) -> mc.Request:
    """Ask, be refused, be approved, read, prove."""
    access, dr_lee = clinic.access, clinic.dr_lee
    request = access.request(record, "treatment", purpose="TREAT", by=dr_lee)
    try:
        access.open(request, by=dr_lee)
        screen.check("asked", False, "dr_lee has opened it alone")
    except mc.Pending as pending:
        screen.check("asked", True, f"by dr_lee, refused: {pending}")
    for name, holder in (("the owner", clinic.patient), ("dr_wu", clinic.dr_wu)):
        access.approve(request, by=holder)
        screen.say("approved", f"by {name}: {access.status(request).summary}")
    opened = access.open(request, by=dr_lee)
    same = opened.raw == bundle
    screen.check("read", same, f"by dr_lee: {len(opened.raw):,} bytes, byte for byte what was sealed")
    proof = clinic.chain.prove(opened.decision)
    (clinic.folder / "decision.tlog-proof").write_bytes(proof)
    found = mc.verify(proof, mc.Decision, trust=mc.Trust.load(clinic.folder / "clinic.trust"))
    screen.check("proved", found.value == opened.decision, f"offline: decided {found.as_of}")
    return request


def attack(screen: Screen, clinic: Clinic, record: mc.Record, request: mc.Request, sealed: Any) -> None:
    """What a server, a forger and a thief can try."""
    access, chain = clinic.access, clinic.chain
    with flipped(clinic.folder, f"{sealed.payload[0].hex()}*"):
        screen.caught("stored byte", "the asker", lambda: access.open(request, by=clinic.dr_lee).raw)

    second = access.request(record, "treatment", purpose="TREAT", by=clinic.er_desk)
    message = Approve(second.id, record.policy.hash, None, bytes(32))
    body = chain.prepare(AccessContract, message, [clinic.dr_wu.party])
    forged = mc.Transaction.build(body, [clinic.thief.sign(body.signed_bytes)])
    screen.caught("approval", "the ledger", lambda: chain.submit(forged).result())
    screen.caught("no decision", "the gate", lambda: skip_decision(clinic, request, second, sealed))

    proof = (clinic.folder / "decision.tlog-proof").read_bytes()
    moved = re.sub(rb"index (\d+)", lambda found: b"index %d" % (int(found[1]) - 1), proof)
    screen.caught("proof", "anybody", lambda: mc.verify(moved, mc.Decision, trust=chain.trust))
    screen.caught(
        "stolen server", "its lack of keys", lambda: sealing.open_envelope(sealed, "treatment", clinic.thief)
    )


def skip_decision(clinic: Clinic, decided: mc.Request, undecided: mc.Request, sealed: Any) -> bytes:
    """A patched client asks the gate for one request with the decision on another."""
    decision = clinic.access.status(decided).decision
    assert decision is not None
    asked = proved_request(clinic.chain.prove(undecided), trust=clinic.chain.trust)
    return clinic.gate.release(make_warrant(clinic.chain, asked, decision, since=clinic.gate.seen), sealed)


def alter_log(screen: Screen, folder: Path) -> None:
    """Change one byte of the log on a copy of the server's disk, and have the copy read again."""
    copy = folder / "copy"
    shutil.copytree(folder / "clinic.medchain", copy)
    with LmdbStore(copy / "store") as store:
        key, leaf = next(iter(store.scan(b"e" + bytes(7) + b"\x05")))
        batch = Batch()
        batch.put(key, leaf[:-200] + bytes([leaf[-200] ^ 1]) + leaf[-199:])
        store.commit(batch)
    with mc.Chain.open(copy) as altered:
        screen.caught("log byte", "the audit", altered.audit)
    shutil.rmtree(copy)


@contextlib.contextmanager
def flipped(folder: Path, name: str) -> Iterator[None]:
    """One byte changed in the middle of every file called `name` below a folder, and mended afterwards."""
    kept = {path: path.read_bytes() for path in folder.rglob(name)}
    for path, data in kept.items():
        path.chmod(0o600)
        middle = len(data) // 2
        path.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
    yield
    for path, data in kept.items():
        path.write_bytes(data)


def telling_words(value: Any, name: str = "") -> Iterator[bytes]:
    """The names, diagnoses, codes and dates of a bundle: none of them may show outside the sealed data."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from telling_words(each, key)
    elif isinstance(value, list):
        for each in value:
            yield from telling_words(each, name)
    elif isinstance(value, str) and name in TELLING and len(value) > 5:
        yield value.encode()


def leaked(words: set[bytes], data: bytes) -> int:
    """How many of the words stand in `data`."""
    return sum(1 for word in words if word in data)


def started() -> int:
    """Read the arguments and run; gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("bundle", nargs="?", type=Path, default=HERE / "data" / "bundle.json")
    parser.add_argument(
        "--folder", type=Path, default=HERE.parent / "demo", help="where it works; default: demo"
    )
    options = parser.parse_args()
    try:
        return main(options.bundle, options.folder.resolve())
    except KeyboardInterrupt:
        print("\nquickstart: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(started())
