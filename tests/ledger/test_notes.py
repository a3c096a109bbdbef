"""Signed notes, verifier keys, checkpoints and trust files: the official examples, and everything near them refused."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
import vectors
from attrs import evolve
from ledger.counting import Add
from ledger.world import World

from medchain.errors import (
    InvalidSignature,
    MalformedProof,
    MedchainError,
    UntrustedSigner,
    VerificationError,
)
from medchain.ledger.checkpoint import Checkpoint
from medchain.ledger.note import NOTE_LIMIT, Note, VerifierKey
from medchain.ledger.trust import Trust
from medchain.merkle import Head

# The examples of the specifications at c2sp.org: signed-note and tlog-checkpoint.
SIGNED_NOTE = (
    "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n\n"
    "— quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3Z"
    "ekRwNtIc=\n"
)
CHECKPOINT = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xe"
    "McTOAYQ8=\n"
)


class TestOfficialVectors:
    def test_notes_and_keys(self) -> None:
        data = json.loads(vectors.path("merkle/signed-note/note-vectors.json").read_text())
        for case in data["notes"]:
            note, key = Note.parse(case["signed"]), VerifierKey.parse(case["vkey"])
            assert note.text == case["text"]
            assert str(note) == case["signed"]
            assert note.verified_by([key]) == (key,)
            assert str(key) == case["vkey"]
        for case in data["bad_verifier_keys"]:
            if case["expr"].startswith('"'):
                with pytest.raises(MalformedProof):
                    VerifierKey.parse(json.loads(case["expr"]))
        good = data["verifier_keys"][0]
        assert str(VerifierKey.parse(good)) == good
        # "b[i:j]" and "b" of the vectors: every piece of a key, and a key with any byte another one
        for start in range(len(good)):
            for end in range(start, len(good)):
                if (start, end) != (0, len(good)):
                    with pytest.raises(MalformedProof):
                        VerifierKey.parse(good[start:end])
        for at in range(len(good)):
            with pytest.raises(MalformedProof):
                VerifierKey.parse(good[:at] + chr(ord(good[at]) ^ 1) + good[at + 1 :])

    def test_examples_of_the_specifications(self) -> None:
        note = Note.parse(SIGNED_NOTE)
        assert note.text.endswith("sera.\n")
        assert note.text.count("\n\n") == 1
        assert str(note) == SIGNED_NOTE
        assert [line.name for line in note.signatures] == ["quasimodo.example/salvatore"]
        assert note.signatures[0].key_id.hex() == "367ba04b"
        checkpoint = Checkpoint.parse(CHECKPOINT)
        assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
        assert checkpoint.root.hex().startswith("0ac5186a91863e8e")
        assert str(checkpoint) == bytes(checkpoint).decode() == CHECKPOINT


LINE = "— a.example/x " + "A" * 92 + "\n"


class TestNotes:
    @pytest.mark.parametrize(
        "text",
        [
            "",
            "\n",
            "text\n",
            "text\n\n",
            "text" + LINE,
            "text\n" + LINE,
            "text\n\n" + LINE[:-1],
            "text\n\n" + LINE + "\n",
            "text\n\n" + LINE.replace("—", "-"),
            "text\n\n" + LINE.replace("— ", "—"),
            "text\n\n" + LINE.replace("— a", "—  a"),
            "text\n\n" + LINE.replace("x A", "x  A"),
            "text\n\n" + LINE.replace("x A", "xA"),
            "text\n\n" + LINE.replace(".", "+"),
            "text\n\n" + LINE.replace(".", "\u00a0"),
            "text\n\n" + LINE.replace("AA\n", "A\n"),
            "text\n\n" + LINE.replace("AA\n", "\n"),
            "text\n\n" + LINE.replace("AA\n", "B=\n"),
            "text\n\n" + LINE.replace("AA\n", "A\n\n"),
            "text\n\n— a.example/x AAAAAA==\n",
            "text\r\n\r\n" + LINE,
            "te\txt\n\n" + LINE,
            "te\0xt\n\n" + LINE,
            "te\ud800xt\n\n" + LINE,
            "text\n\n" + LINE * 65,
        ],
    )
    def test_malformed(self, text: str) -> None:
        with pytest.raises(MalformedProof):
            Note.parse(text)

    def test_limits(self) -> None:
        with pytest.raises(MalformedProof, match="at most"):
            Note.parse("x" * (NOTE_LIMIT + 1))
        with pytest.raises(MalformedProof, match="at most"):
            Note.parse("é" * NOTE_LIMIT)
        with pytest.raises(MalformedProof, match="UTF-8"):
            Note.parse(b"\xff")
        post_quantum = "— w.example/1 " + "A" * 6668 + "\n"
        assert len(Note.parse("text\n\n" + post_quantum * 16).signatures) == 16

    def test_whose_signatures_count(self, world: World) -> None:
        note = world.chain.checkpoint().note
        (mine,) = world.chain.trust.log_keys
        unknown = Note.parse("text\n\n" + LINE).signatures
        assert Note(note.text, unknown + note.signatures).verified_by([mine]) == (mine,)
        assert Note(note.text, note.signatures * 2).verified_by([mine]) == (mine,)
        with pytest.raises(UntrustedSigner):
            Note(note.text, unknown).verified_by([mine])
        with pytest.raises(UntrustedSigner):
            note.verified_by([])
        with pytest.raises(InvalidSignature):
            Note("other\n", note.signatures).verified_by([mine])
        bad = note.signed_with(mine.line(bytes(64)))
        with pytest.raises(InvalidSignature):
            bad.verified_by([mine])
        with pytest.raises(InvalidSignature, match="not 64"):
            note.signed_with(mine.line(bytes(63))).verified_by([mine])


class TestCheckpoints:
    @pytest.mark.parametrize(
        "text",
        [
            "a.example\n1\n",
            "a.example\n1\n{root}\nextension\n",
            "\n1\n{root}\n",
            "a example\n1\n{root}\n",
            "a.example\n01\n{root}\n",
            "a.example\n+1\n{root}\n",
            "a.example\n-1\n{root}\n",
            "a.example\n1 \n{root}\n",
            "a.example\n\u0661\n{root}\n",
            "a.example\n9223372036854775808\n{root}\n",
            "a.example\n" + "9" * 5000 + "\n{root}\n",
            "a.example\n1\nAAAA\n",
            "a.example\n1\n{root} \n",
        ],
    )
    def test_malformed(self, text: str) -> None:
        root = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
        with pytest.raises(MalformedProof):
            Checkpoint.parse(text.format(root=root) + "\n" + LINE)

    def test_every_flipped_byte(self, world: World) -> None:
        good = bytes(world.chain.checkpoint())
        for at in range(len(good)):
            for bit in range(8):
                bad = bytearray(good)
                bad[at] ^= 1 << bit
                with pytest.raises(VerificationError):
                    world.chain.trust.verify(Checkpoint.parse(bytes(bad)))

    def test_another_log(self, world: World) -> None:
        other = World.make()
        with other.chain, pytest.raises(UntrustedSigner):
            world.chain.trust.verify(other.chain.checkpoint())
        renamed = Checkpoint("b.example", Head(1, bytes(32)), world.chain.checkpoint().note)
        with pytest.raises(UntrustedSigner, match="trusted is"):
            world.chain.trust.verify(renamed)


class TestTrust:
    def trust(self, world: World) -> Trust:
        known = world.chain.trust
        return Trust(known.log_keys, known.chain, known.tag, {bytes(32): "Dr. Wu"})

    def test_round_trip(self, world: World, tmp_path: Path) -> None:
        trust = self.trust(world)
        read = Trust.parse(str(trust))
        assert read == trust
        assert read.names == trust.names
        path = tmp_path / "clinic.trust"
        trust.save(path)
        assert Trust.load(path) == trust

    def test_lines_of_other_tools(self, world: World) -> None:
        text = str(self.trust(world))
        assert Trust.parse(
            "# a comment\n\n" + text.replace("\nlog", "\nlog ").replace("\n", "\r\n")
        ) == self.trust(world)
        key = str(world.chain.trust.log_keys[0])
        placed = Trust.parse(text.replace(key, key + " https://log.example/"))
        assert placed.urls == ("https://log.example/",)
        assert Trust.parse(str(placed)) == placed
        assert evolve(placed, urls=(None,)) == self.trust(world)

    def test_octets_beyond_ascii_are_opaque(self, world: World, tmp_path: Path) -> None:
        """Blanks are space and tab, and comments may hold any octet (tlog-policy, Character set)."""
        text = str(self.trust(world)).encode()
        assert Trust.parse(text + b"# \xff\xfe\n") == self.trust(world)
        key = str(world.chain.trust.log_keys[0]).encode()
        placed = Trust.parse(text.replace(key, key + b"\thttps://log.example/\xff\xc2\xa0"))
        placed.save(tmp_path / "trust")
        assert Trust.load(tmp_path / "trust") == placed
        with pytest.raises(MalformedProof, match="control"):
            Trust.parse(text + b"# \x1b\n")

    def test_malformed(self, world: World) -> None:
        text = str(self.trust(world))
        lines = text.splitlines(keepends=True)
        for number, line in enumerate(lines):
            if not line.startswith("#medchain name"):
                with pytest.raises(MalformedProof):
                    Trust.parse("".join(lines[:number] + lines[number + 1 :]))
            if not line.startswith("log "):
                with pytest.raises(MalformedProof):
                    Trust.parse(text + line)
        for more in (
            "witness w1 w.example+12345678+AAAA\n",
            "group g any w1\n",
            "quorum w1\n",
            "nonsense\n",
            "log\n",
            "log x y z\n",
            "#medchain\n",
            "#medchain chain\n",
            "#medchain colour 00\n",
            f"#medchain name {'0' * 64}\n",
            f"#medchain name {'A' * 64} x\n",
            f"log other.example+{'0' * 8}+AAAA\n",
        ):
            with pytest.raises(MalformedProof):
                Trust.parse(text + more)
        with pytest.raises(MalformedProof, match="carry one name"):
            Trust.parse(text + "log EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop\n")
        with pytest.raises(MalformedProof, match="at most"):
            Trust.parse("#" * 600_000)
        with pytest.raises(MalformedProof, match="UTF-8"):
            Trust.parse("\ud800")

    def test_files(self, tmp_path: Path) -> None:
        path = tmp_path / "trust"
        with pytest.raises(FileNotFoundError):
            Trust.load(path)
        for data in (b"", b"\xff\xfe", b"#" * 600_000):
            path.write_bytes(data)
            with pytest.raises(MalformedProof):
                Trust.load(path)

    @pytest.mark.parametrize("name", ["", " x", "a  b", "a\nlog evil", "a\x1b[2J"])
    def test_names_that_cannot_be_shown(self, world: World, name: str) -> None:
        known = world.chain.trust
        with pytest.raises(ValueError, match="name"):
            Trust(known.log_keys, known.chain, known.tag, {bytes(32): name})

    def test_every_flipped_byte(self, world: World) -> None:
        """A changed trust file is refused, says the same, or trusts something else, never this log with other keys."""
        import medchain as mc
        from medchain.ledger.entry import Entry

        proof = world.chain.prove(world.send(Add(1), world.authority))
        trust = self.trust(world)
        good = str(trust).encode()
        for at in range(len(good)):
            for bit in range(8):
                bad = bytearray(good)
                bad[at] ^= 1 << bit
                with contextlib.suppress(MedchainError):
                    read = Trust.parse(bytes(bad))
                    mc.verify(proof, Entry, trust=read)
                    assert (read.log_keys, read.chain) == (trust.log_keys, trust.chain)
