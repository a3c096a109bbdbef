"""The command line as a person calls it: output, exit status, no tracebacks."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import stores
from buckets import KEY_ID, SECRET, ObjectServer
from clinic import HOUR, Clock, clinic

import medchain as mc
from medchain.cli import main
from medchain.cli.output import moment
from medchain.keys import SigningKey, keystore
from medchain.ledger.contract import Event
from medchain.ledger.entry import Entry, Kind, Outcome
from medchain.ledger.keys import Keys, Register
from medchain.ledger.note import Note, NoteSigner, VerifierKey
from medchain.ledger.proof import EntryExtra, LogProof, extra_bytes
from medchain.merkle import Head, InclusionProof, leaf_hash
from medchain.sealing import Part
from medchain.storage import Batch, FileBlobs, ObjectBlobs, Place, ReplicatedBlobs
from medchain.testing import wallets


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    hospital, doctor = mc.Wallet.generate(), mc.Wallet.generate()
    with mc.Chain.create(
        folder / "c", origin="clinic.example/ehr", authority=hospital, gate=None, mark=folder / "mark"
    ) as chain:
        founded = chain.checkpoint()
        message = Register("person", doctor.party.signing_key, doctor.party.recipient_key)
        receipt = chain.send(Keys, message, by=[hospital, doctor])
        (folder / "entry").write_bytes(chain.prove(receipt))
        (folder / "header").write_bytes(chain.prove(chain.head.size - 1))
        (folder / "row").write_bytes(chain.prove_state(Keys.parties, doctor.party.id))
        (folder / "absence").write_bytes(chain.prove_absent(Keys.parties, bytes(32)))
        (folder / "growth").write_bytes(chain.prove_consistency(founded))
        (folder / "checkpoint").write_bytes(bytes(chain.checkpoint()))
        chain.trust.save(folder / "trust")
        (folder / "broken-checkpoint").write_bytes((folder / "checkpoint").read_bytes() + b"?")
        (folder / "broken-trust").write_bytes((folder / "trust").read_bytes() + b"log \xff")
    with mc.Chain.in_memory(origin="clinic.example/ehr", contracts=[]) as other:
        other.trust.save(folder / "other-trust")
    return folder


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    status = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return status, out, err


@pytest.mark.parametrize(
    ("proof", "words"),
    [
        ("entry", ["verified: entry of clinic.example/ehr, as of height 1", "keys/1", "register", "ok"]),
        ("header", ["verified: header", "as of this checkpoint (size 3)"]),
        ("row", ["verified: row", "table       parties", "kind        person"]),
        (
            "growth",
            ["verified: clinic.example/ehr has only grown from size 1 to size 3", "alone: no witness"],
        ),
        ("absence", ["verified: no row of clinic.example/ehr, as of this checkpoint", "table       parties"]),
    ],
)
def test_verify_says_what_is_proved(
    place: Path, capsys: pytest.CaptureFixture[str], proof: str, words: list[str]
) -> None:
    status, out, err = run(capsys, "verify", place / proof, "--trust", place / "trust")
    assert (status, err) == (0, "")
    assert all(word in out for word in words), out


def test_verify_speaks_json(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "verify", place / "entry", "--trust", place / "trust", "--json")
    shown = json.loads(out)
    assert status == 0
    assert shown["verified"] is True
    assert (shown["index"], shown["height"], shown["message"]) == (1, 1, "register")
    assert len(shown["signers"]) == 2


def test_a_changed_proof_is_refused_with_the_reason(
    place: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    forged = tmp_path / "forged"
    forged.write_text((place / "entry").read_text().replace("index 1", "index 0"))
    status, out, err = run(capsys, "verify", forged, "--trust", place / "trust")
    assert (status, out) == (1, "")
    assert "RootMismatch" in err


def test_another_chains_trust_is_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(capsys, "verify", place / "entry", "--trust", place / "other-trust")
    assert status == 1
    assert "UntrustedSigner" in err
    status, _, err = run(capsys, "audit", place / "c", "--trust", place / "other-trust")
    assert status == 1
    assert "UntrustedSigner" in err


def test_audit_reports(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "audit", place / "c", "--trust", place / "trust")
    assert (status, err) == (0, "")
    assert "3 leaves in 2 blocks, all of it holds" in out
    status, out, _ = run(capsys, "audit", place / "c", "--json")
    assert json.loads(out)["outcomes"] == [{"contract": "keys", "code": "ok", "entries": 1}]
    assert status == 0


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    """A chain with two records in two blob stores, one of them its own."""
    hospital, owner, wu = wallets("hospital", "owner", "wu")
    stores = ReplicatedBlobs([FileBlobs(tmp_path / "c" / "blobs"), FileBlobs(tmp_path / "b")], write_quorum=2)
    policy = mc.Policy.parse("treatment for TREAT: owner and wu\nrecovery lost for PATRQT: wu, wait 7 days")
    with mc.Chain.create(
        tmp_path / "c",
        origin="clinic.example/ehr",
        authority=hospital,
        gate=hospital.party,
        mark=tmp_path / "mark",
        blobs=stores,
    ) as chain:
        mc.Parties(chain).register(owner, wu, by=hospital)
        bound = policy.bind(gate=chain.gate, owner=owner.party, wu=wu.party)
        for content in (b"alpha", b"beta"):
            mc.Access(chain).add([Part(content)], bound, by=[hospital, owner], force=True)
    return tmp_path


def test_audit_of_sealed_data_holds(sealed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "audit", sealed / "c", "--blobs", "--blobs", sealed / "b")
    assert (status, err) == (0, "")
    assert out.count("all of it holds") == 2
    assert "sealed data of 2 records (0 erased) in 2 stores: all of it holds" in out
    status, out, _ = run(capsys, "audit", sealed / "c", "--json", "--blobs", sealed / "b")
    shown = json.loads(out)
    assert status == 0
    assert (shown["holds"], shown["blobs"]["holds"], shown["blobs"]["findings"]) == (True, True, [])
    assert [store["name"] for store in shown["blobs"]["stores"]] == [f"FileBlobs: {sealed / 'b'}"]


def test_audit_of_sealed_data_names_what_is_wrong(sealed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    victim = max((sealed / "b").glob("[0-9a-f]*/*"), key=lambda path: path.stat().st_size)
    victim.write_bytes(victim.read_bytes()[:-1])
    status, out, err = run(capsys, "audit", sealed / "c", "--blobs", "--blobs", sealed / "b")
    assert status == 1
    assert f"{victim.name[:12]}…: damaged in store 1; right in store 0" in out
    assert err.count("\n") == 1
    assert "1 finding" in err
    status, out, _ = run(capsys, "audit", sealed / "c", "--blobs", sealed / "b", "--json")
    shown = json.loads(out)
    assert (status, shown["holds"]) == (1, False)
    (finding,) = shown["blobs"]["findings"]
    assert (finding["blob"], finding["object"]) == (victim.name, victim.parent.name)
    assert (finding["copies"], finding["lost"]) == ([{"store": 0, "flaw": "damaged", "parts": []}], True)
    assert run(capsys, "audit", sealed / "c")[0] == 0


def test_audit_makes_no_store_where_there_is_none(sealed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(sealed / "c" / "blobs")
    status, out, _ = run(capsys, "audit", sealed / "c", "--blobs", "--blobs", sealed / "b")
    assert status == 1
    assert "does not answer" in out
    assert "there is no blob store at" in out
    assert "1 store not answering" in out
    assert not (sealed / "c" / "blobs").exists()


def test_audit_reads_a_bucket(
    sealed: Path,
    capsys: pytest.CaptureFixture[str],
    object_server: ObjectServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = object_server.bucket()
    files = FileBlobs(sealed / "b")
    bucket = ObjectBlobs.at(f"s3://{name}/clinic", **object_server.options())
    ReplicatedBlobs([files, bucket], write_quorum=1).repair()
    for variable, value in {
        "AWS_ACCESS_KEY_ID": KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": object_server.url,
        "AWS_ALLOW_HTTP": "true",
    }.items():
        monkeypatch.setenv(variable, value)
    before = object_server.keys(name)
    status, out, err = run(capsys, "audit", sealed / "c", "--blobs", f"s3://{name}/clinic")
    assert (status, err) == (0, "")
    assert f"store 0  ObjectBlobs: s3://{name}/clinic, read-only" in out
    assert object_server.keys(name) == before
    object_server.client.delete_object(Bucket=name, Key=before[-1])
    status, out, err = run(capsys, "audit", sealed / "c", "--blobs", f"s3://{name}/clinic")
    assert status == 1
    assert "missing in store 0" in out
    assert SECRET not in out + err


@pytest.mark.parametrize("place", ["s3://key:secret@bucket", "nothing://bucket"])
def test_a_place_that_is_none_is_a_wrong_call(
    sealed: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    status, out, err = run(capsys, "audit", sealed / "c", "--blobs", place)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert "secret" not in err


@pytest.mark.parametrize("what", ["c", "entry", "row", "checkpoint", "trust"])
def test_inspect_shows_what_is_there(place: Path, capsys: pytest.CaptureFixture[str], what: str) -> None:
    for more in ((), ("--json",)):
        status, out, err = run(capsys, "inspect", place / what, *more)
        assert (status, err) == (0, "")
        assert "clinic.example/ehr" in out
    if what == "c":
        _, out, _ = run(capsys, "inspect", place / what, "--entries", 5)
        assert "register" in out


@pytest.mark.parametrize(
    ("arguments", "status", "word"),
    [
        (["verify", "nowhere", "--trust", "trust"], 2, "No such file"),
        (["verify", "entry", "--trust", "checkpoint"], 1, "trust file"),
        (["verify", "checkpoint", "--trust", "trust"], 1, "not a tlog-proof"),
        (["audit", "nowhere"], 2, "No such file"),
        (["inspect", "nowhere"], 2, "No such file"),
        (["audit", "."], 1, "no medchain chain"),
        (["inspect", "mark"], 1, "neither proof, checkpoint, trust file nor chain"),
        (["inspect", "broken-checkpoint"], 1, "signature lines"),
        (["inspect", "broken-trust"], 1, "trust file"),
    ],
)
def test_what_goes_wrong_is_said_in_one_line(
    place: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, word: str
) -> None:
    found, _, err = run(
        capsys,
        *[place / each if not each.startswith("-") and n else each for n, each in enumerate(arguments)],
    )
    assert found == status
    assert word in err
    assert err.count("\n") == 1


def signed_proof(leaf: bytes, trust: mc.Trust, key: SigningKey) -> bytes:
    """A proof of the only leaf of a log that signs whatever it likes."""
    head = Head(1, leaf_hash(leaf))
    text = mc.Checkpoint.text(trust.origin, head)
    note = Note(text, ()).signed_with(NoteSigner(trust.origin, key).sign(text))
    checkpoint = mc.Checkpoint(trust.origin, head, note)
    return bytes(LogProof(InclusionProof(0, 1, ()), checkpoint, extra_bytes(EntryExtra(leaf))))


def test_a_log_out_of_its_mind_does_no_harm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Times beyond the calendar, events that are no maps, and what a terminal would obey: bare errors, once."""
    key = SigningKey(bytes(32))
    trust = mc.Trust((VerifierKey("log.example", key.public),), bytes(32), bytes(32))
    trust.save(tmp_path / "trust")
    events = (Event("a", "\x1b[2J", 5), Event("a", "b", {"event": 1, "\x1b]0;x\x07": "\u202e"}))
    for time in (0, 1 << 53, (1 << 63) - 1, -(1 << 63)):
        entry = Entry(1, time, 0, b"", Outcome("ok", events, ()), Kind.TIMER)
        (tmp_path / "proof").write_bytes(signed_proof(entry.leaf, trust, key))
        for command in (["verify", "--trust", tmp_path / "trust"], ["inspect"]):
            status, out, err = run(capsys, *command, tmp_path / "proof")
            assert (status, err) == (0, "")
            assert all(letter.isprintable() or letter == "\n" for letter in out)
    status, out, _ = run(capsys, "verify", tmp_path / "proof", "--trust", tmp_path / "trust", "--json")
    shown = json.loads(out)
    assert (status, shown["time"]) == (0, f"{-(1 << 63)} ms")
    assert shown["events"] == [
        {"event": "a.\x1b[2J", "value": 5},
        {"event": "a.b", "\x1b]0;x\x07": "\u202e"},
    ]


def test_a_trust_file_that_is_no_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_bytes(b"log \xff\n")
    assert run(capsys, "inspect", tmp_path / "file") == (
        1,
        "",
        (
            "medchain: MalformedProof: trust file, line 1: verifier key: an origin is 1 to 255 bytes"
            " without white space, '+' or control characters: '\\udcff'\n"
        ),
    )


def test_help_and_version() -> None:
    for call in (["--help"], ["verify", "--help"], ["audit", "--help"], ["inspect", "--help"], ["--version"]):
        done = subprocess.run(
            [sys.executable, "-m", "medchain", *call], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0
        assert "medchain" in done.stdout
    done = subprocess.run([sys.executable, "-m", "medchain"], capture_output=True, text=True, check=False)
    assert done.returncode == 2


def contents(folder: Path) -> dict[Path, bytes | None]:
    """All below a folder but LMDB's table of readers, which is theirs to write."""
    return {
        path: path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
        if path.name != "lock.mdb"
    }


@pytest.mark.parametrize("command", ["audit", "inspect"])
def test_reading_leaves_the_folder_as_it_is(
    place: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, command: str
) -> None:
    chain = tmp_path / "c"
    shutil.copytree(place / "c", chain)
    (chain / "blobs" / "erasing" / bytes([9] * 32).hex()).touch()
    (chain / "blobs" / "incoming" / ".tmp-left").touch()
    before = contents(chain)
    assert run(capsys, command, chain)[0] == 0
    assert contents(chain) == before
    shutil.rmtree(chain / "blobs")
    assert run(capsys, command, chain)[0] == 0
    assert not (chain / "blobs").exists()


def test_verify_fits_a_terminal_and_says_apart_who_vouches_for_what(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with clinic() as house:
        request = house.decided()
        decision = house.access.status(request).decision
        assert decision is not None
        proof, expiry = house.chain.prove(decision), decision.expires
        (tmp_path / "proof").write_bytes(proof)
        house.chain.trust.save(tmp_path / "trust")
        key = str(house.chain.trust.log_keys[0])
    status, out, _ = run(capsys, "verify", tmp_path / "proof", "--trust", tmp_path / "trust")
    assert status == 0
    lines = [line.rstrip() for line in out.splitlines()]
    assert all(len(line) <= 100 for line in lines)
    assert "None" not in out  # a field that is null is not said
    assert f"    expires     {moment(expiry)}" in lines
    assert str(expiry) not in out
    at = lines.index(f"  order by    {key}")
    assert "alone: no witness" in lines[at + 1]
    assert lines[at + 2] == f"  state by    {key}"


def test_inspect_finds_the_last_entries_behind_any_number_of_headers(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    clock, hospital, ann = Clock(), mc.Wallet.generate(), mc.Wallet.generate()
    with mc.Chain.create(
        tmp_path / "c", origin="c.example", authority=hospital, gate=None, mark=tmp_path / "mark", clock=clock
    ) as chain:
        message = Register("person", ann.party.signing_key, ann.party.recipient_key)
        chain.send(Keys, message, by=[hospital, ann])
        for _ in range(5):
            clock.now += HOUR
            chain.checkpoint(fresh=True)
        assert chain.head.size == 8
    for number in (1, 2, 100):
        status, out, _ = run(capsys, "inspect", tmp_path / "c", "--entries", number, "--json")
        assert status == 0
        assert [each["index"] for each in json.loads(out)["entries"]] == [1]
    with pytest.raises(SystemExit) as caught:
        run(capsys, "inspect", tmp_path / "c", "--entries", -3)
    assert caught.value.code == 2
    assert "0 or more" in capsys.readouterr().err


def test_a_terminal_without_the_characters_still_gets_it_all(place: Path) -> None:
    call = [sys.executable, "-m", "medchain", "inspect", str(place / "c")]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(call, capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert "contracts" in done.stdout


class TestSnapshots:
    """`medchain snapshot` and `medchain restore`, as on another machine."""

    @pytest.fixture
    def files(self, tmp_path: Path) -> Path:
        [hospital] = wallets("hospital")
        with mc.Chain.create(
            tmp_path / "chain",
            origin="clinic.example/ehr",
            authority=hospital,
            gate=hospital.party,
            mark=tmp_path / "mark",
        ) as chain:
            chain.trust.save(tmp_path / "trust")
        keystore.save(
            tmp_path / "keys", {"hospital": hospital}, "password", cost=keystore.Cost(1 << 13, 1, 1)
        )
        assert main(["snapshot", str(tmp_path / "chain"), str(tmp_path / "snapshot")]) == 0
        return tmp_path

    def test_there_and_back(self, files: Path, capsys: pytest.CaptureFixture[str]) -> None:
        capsys.readouterr()
        arguments = [
            "restore",
            str(files / "snapshot"),
            str(files / "again"),
            "--trust",
            str(files / "trust"),
            "--json",
        ]
        assert main(arguments) == 0
        shown = json.loads(capsys.readouterr().out)
        assert (shown["origin"], shown["height"], shown["size"]) == ("clinic.example/ehr", 0, 1)
        assert main(["snapshot", str(files / "again"), str(files / "second")]) == 0
        assert (files / "snapshot").read_bytes() == (files / "second").read_bytes()
        assert main(arguments) == 1
        assert "holds" in capsys.readouterr().err

    def test_beside_a_writer_that_has_not_signed_its_last_block(
        self, files: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        [hospital] = wallets("hospital")
        capsys.readouterr()
        with mc.Chain.open(files / "chain", authority=hospital, mark=files / "mark") as chain:
            mc.Parties(chain).register(*wallets("ann"), by=hospital)
            call = [sys.executable, "-m", "medchain", "snapshot", str(files / "chain"), str(files / "beside")]
            done = subprocess.run([*call, "--json"], capture_output=True, text=True, check=False)
            assert (done.returncode, done.stderr) == (0, "")
            shown = json.loads(done.stdout)
            assert (shown["height"], shown["size"], shown["left_out"]) == (0, 1, 2)
            assert (files / "beside").read_bytes() == (files / "snapshot").read_bytes()
            chain.checkpoint()
            assert main(["snapshot", str(files / "chain"), str(files / "beside"), "--json"]) == 0
            shown = json.loads(capsys.readouterr().out)
            assert (shown["height"], shown["size"], shown["left_out"]) == (1, 3, 0)

    def test_accepting_the_loss(
        self, files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        arguments = [
            "restore",
            str(files / "snapshot"),
            str(files / "again"),
            "--trust",
            str(files / "trust"),
        ]
        loss = [
            "--accept-loss",
            str(files / "next"),
            "--origin",
            "clinic.example/ehr-2",
            "--keystore",
            str(files / "keys"),
        ]
        assert main([*arguments, *loss]) == 2
        assert "goes with" in capsys.readouterr().err
        monkeypatch.setattr("sys.stdin", io.StringIO("wrong\n"))
        assert main([*arguments, *loss, "--wallet", "hospital"]) == 1
        assert "wrong password" in capsys.readouterr().err
        assert not (files / "again").exists()
        monkeypatch.setattr("sys.stdin", io.StringIO("password\n"))
        assert main([*arguments, *loss, "--wallet", "hospital", "--mark", str(files / "next mark")]) == 0
        assert "clinic.example/ehr-2" in capsys.readouterr().out
        with mc.Chain.open(files / "next") as successor, mc.Chain.open(files / "again") as old:
            assert successor.genesis.predecessor == old.ended
            assert successor.gate == old.gate

    def test_accepting_the_loss_again_after_it_broke_off(
        self, files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def accept(new: str, origin: str = "clinic.example/ehr-2", old: str = "again") -> tuple[int, str]:
            monkeypatch.setattr("sys.stdin", io.StringIO("password\n"))
            status = main(
                ["restore", str(files / "snapshot"), str(files / old), "--trust", str(files / "trust"),
                 "--accept-loss", str(files / new), "--origin", origin, "--mark", str(files / f"mark of {new}"),
                 "--keystore", str(files / "keys"), "--wallet", "hospital"]
            )  # fmt: skip
            return status, capsys.readouterr().err

        (files / "occupied").mkdir()
        (files / "occupied" / "file").touch()
        for new, origin, status, says in (
            ("occupied", "clinic.example/ehr-2", 1, "holds other files"),
            ("chain", "clinic.example/ehr-2", 1, "holds a chain already"),
            ("next", "bad origin", 2, "an origin is"),
            ("next", "clinic.example/ehr", 2, "needs an origin of its own"),
            ("again", "clinic.example/ehr-2", 2, "places of their own"),
            ("again/next", "clinic.example/ehr-2", 2, "places of their own"),
            (".", "clinic.example/ehr-2", 2, "places of their own"),
        ):
            ended, error = accept(new, origin)
            assert ended == status
            assert says in error
            assert not (files / "again").exists(), "restored before it was known that the rest can be done"
        (files / "mark of next").write_text("damaged")
        status, error = accept("next")
        assert status == 1
        assert "damaged" in error
        with mc.Chain.open(files / "again") as old:
            assert old.begins == old.head.size == 1
        (files / "mark of next").unlink()
        assert accept("next")[0] == 0
        with mc.Chain.open(files / "next") as successor, mc.Chain.open(files / "again") as old:
            assert successor.genesis.predecessor == old.ended
        status, error = accept("another", old="chain")
        assert status == 1, "the chain itself was taken for one that was restored"
        assert "holds a chain already" in error

    def test_what_is_no_snapshot_and_no_chain(self, files: Path, capsys: pytest.CaptureFixture[str]) -> None:
        arguments = ["restore", str(files / "trust"), str(files / "again"), "--trust", str(files / "trust")]
        assert main(arguments) == 1
        assert "not a snapshot" in capsys.readouterr().err
        assert (
            main(["restore", str(files / "none"), str(files / "again"), "--trust", str(files / "trust")]) == 2
        )
        assert main(["snapshot", str(files / "none"), str(files / "x")]) == 2


class TestEveryStore:
    """The commands that open a chain, on each store that the library has."""

    @pytest.fixture(params=stores.LASTING)
    def at(self, request: pytest.FixtureRequest, tmp_path: Path) -> stores.Place:
        return stores.Place(request.param, tmp_path / "c")

    @pytest.fixture
    def filled(self, at: stores.Place, tmp_path: Path) -> stores.Place:
        """A chain with a record, whose sealed data lies in a folder of its own, and the files that go with it."""
        hospital, owner, wu = wallets("hospital", "owner", "wu")
        policy = mc.Policy.parse(
            "treatment for TREAT: owner and wu\nrecovery lost for PATRQT: wu, wait 7 days"
        )
        with mc.Chain.create(
            at.text,
            origin="clinic.example/ehr",
            authority=hospital,
            gate=hospital.party,
            mark=tmp_path / "mark",
            blobs=FileBlobs(tmp_path / "sealed"),
        ) as chain:
            mc.Parties(chain).register(owner, wu, by=hospital)
            bound = policy.bind(gate=chain.gate, owner=owner.party, wu=wu.party)
            mc.Access(chain).add([Part(b"alpha")], bound, by=[hospital, owner], force=True)
            chain.trust.save(tmp_path / "trust")
        cost = keystore.Cost(1 << 13, 1, 1)
        keystore.save(tmp_path / "keys", {"hospital": hospital}, "password", cost=cost)
        return at

    def test_audit(self, filled: stores.Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        call = ["audit", filled.text, "--trust", tmp_path / "trust", "--blobs", tmp_path / "sealed"]
        status, out, err = run(capsys, *call)
        assert (status, err) == (0, "")
        assert out.count("all of it holds") == 2
        batch = Batch()
        with Place.parse(filled.text).open() as store:
            with store.snapshot() as moment:
                key, value = list(moment.scan(b"r", b"s"))[-1]
            batch.put(key, value + b"?")
            store.commit(batch)
        status, _, err = run(capsys, *call)
        assert status == 1
        assert err.startswith("medchain: ")

    def test_blobs_without_a_place(
        self, filled: stores.Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        status, _, err = run(capsys, "audit", filled.text, "--blobs")
        if filled.kind == "postgres":
            assert (status, "--blobs PLACE" in err) == (2, True)
        else:  # the folder of the chain, where this one has none
            assert (status, "1 store not answering" in err) == (1, True)

    def test_inspect(self, filled: stores.Place, capsys: pytest.CaptureFixture[str]) -> None:
        status, out, err = run(capsys, "inspect", filled.text, "--entries", 1)
        assert (status, err) == (0, "")
        assert "clinic.example/ehr" in out
        assert "access/1" in out

    def test_snapshot_and_restore(
        self,
        filled: stores.Place,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        assert run(capsys, "snapshot", filled.text, tmp_path / "one")[0] == 0
        again, following = (stores.Place(filled.kind, tmp_path / name) for name in ("again", "next"))
        restore = ["restore", tmp_path / "one", again.text, "--trust", tmp_path / "trust", "--json"]
        monkeypatch.setattr("sys.stdin", io.StringIO("password\n"))
        loss = ["--accept-loss", following.text, "--origin", "clinic.example/ehr-2"]
        wallet = ["--keystore", tmp_path / "keys", "--wallet", "hospital", "--mark", tmp_path / "mark 2"]
        status, out, err = run(capsys, *restore, *loss, *wallet)
        assert (status, err) == (0, "")
        shown = json.loads(out)
        assert shown["restored"] == str(Place.parse(again.text))
        assert shown["successor"]["chain"] == str(Place.parse(following.text))
        assert run(capsys, "snapshot", again.text, tmp_path / "two")[0] == 0
        assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
        with mc.Chain.open(following.text) as successor, mc.Chain.open(again.text) as old:
            assert successor.genesis.predecessor == old.ended
        status, _, err = run(capsys, *restore)
        assert (status, "holds" in err) == (1, True)

    def test_nothing_there(self, at: stores.Place, capsys: pytest.CaptureFixture[str]) -> None:
        for call in (["audit", at.text], ["inspect", at.text], ["snapshot", at.text, "x"]):
            status, _, err = run(capsys, *call)
            if at.kind == "postgres":
                assert (status, "holds no medchain chain" in err) == (1, True)
            else:
                assert (status, "No such file" in err) == (2, True)
            assert err.count("\n") == 1


def test_inspect_takes_a_data_file_for_its_chain(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "inspect", place / "c" / "store" / "data.mdb")
    assert (status, "contracts" in out) == (0, True)


def test_without_the_extra_it_says_which(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("medchain.storage._postgres_session", raising=False)
    monkeypatch.setitem(sys.modules, "medchain.storage._postgres_session", None)
    status, _, err = run(capsys, "audit", "postgresql://me:hunter2@h/db?schema=ehr")
    assert (status, "medchain[postgres]" in err, err.count("\n")) == (2, True, 1)
    assert "hunter2" not in err


@pytest.mark.parametrize(
    "call",
    [
        ["audit", "postgresql://me:hunter2@h/db"],
        ["audit", "postgresql://me:hunter2/db?schema=ehr"],
        ["audit", "postgresql://me:hunter2@localhost:1/db?schema=ehr"],
        ["audit", "c", "postgresql://me:hunter2@h/db?schema=ehr"],
        ["postgresql://me:hunter2@h/db?schema=ehr"],
        ["inspect", "mysql://me:hunter2@h/db"],
        ["restore", "nothing", "postgresql://me:hunter2@h/db?schema=ehr", "--trust", "nothing"],
        ["restore", "nothing", "again", "--trust", "no", "--accept-loss", "postgresql://:hunter2@h/db"],
    ],
)
def test_no_message_repeats_a_password(capsys: pytest.CaptureFixture[str], call: list[str]) -> None:
    try:
        status = main(call)
    except SystemExit as ended:
        status = ended.code
    out, err = capsys.readouterr()
    assert status in (1, 2)
    assert err
    assert "hunter2" not in out + err
