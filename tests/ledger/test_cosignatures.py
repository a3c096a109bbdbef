"""Cosignatures of checkpoints and the quorum that trusts them: the specification's example, an oracle, and attacks."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from ledger.counting import Add
from ledger.world import World

import medchain as mc
from medchain.errors import InvalidSignature, MalformedProof, UntrustedSigner
from medchain.keys.cosigning import CosignKey
from medchain.keys.signing import SigningKey
from medchain.ledger.checkpoint import Checkpoint
from medchain.ledger.cosignature import (
    ED25519,
    ED25519_COSIGNATURE,
    KINDS,
    MLDSA44_COSIGNATURE,
    mldsa44_message,
    stamped,
)
from medchain.ledger.note import Note, NoteSigner, VerifierKey
from medchain.ledger.quorum import MOST, Group, Quorum, Witness
from medchain.ledger.trust import Trust

# The example of c2sp.org/tlog-cosignature: its checkpoint, and the message that its witness signed.
COSIGNED = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xe"
    "McTOAYQ8=\n"
    "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+m"
    "bIUBkBIfZ+qnA==\n"
)
MESSAGE = (
    "cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n20852163\n"
    "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
)

NOW = 1_790_000_000
CLASSIC = NoteSigner.cosigner("w.example/1", SigningKey(b"\x01" * 32))
QUANTUM = NoteSigner.cosigner("w.example/2", CosignKey(b"\x02" * 32))
OTHERS = [
    NoteSigner.cosigner(f"w.example/{number}", SigningKey(bytes([number]) * 32)) for number in range(3, 9)
]
ALL = [CLASSIC, QUANTUM, *OTHERS]


def witness(signer: NoteSigner, name: str | None = None) -> Witness:
    return Witness(name or signer.name.rpartition("/")[2], signer.key)


class TestForm:
    def test_the_example_of_the_specification(self) -> None:
        checkpoint = Checkpoint.parse(COSIGNED)
        line = checkpoint.note.signatures[1]
        kind = KINDS[ED25519_COSIGNATURE]
        assert len(line.signature) == kind.size == 72
        assert kind.time(line.signature) == 1679315147
        private = SigningKey(bytes(32))
        cosigner = NoteSigner.cosigner("witness.example.com/w1", private)
        made = cosigner.sign(checkpoint.note.text, 1679315147)
        assert made.signature == stamped(1679315147, private.sign(MESSAGE.encode()))

    def test_key_ids(self) -> None:
        """SHA-256(name ‖ 0x0A ‖ type ‖ key)[:4], with the types that the specification assigns."""
        for signer, type in ((CLASSIC, b"\x04"), (QUANTUM, b"\x06")):
            material = type + signer.key.key
            assert signer.key.id == hashlib.sha256(signer.name.encode() + b"\n" + material).digest()[:4]
            assert str(signer.key).endswith(base64.b64encode(material).decode())
            assert VerifierKey.parse(str(signer.key)) == signer.key

    def test_what_ml_dsa_signs(self) -> None:
        text = "log.example\n300\n" + base64.b64encode(bytes(range(32))).decode() + "\n"
        assert mldsa44_message("w.example", text, 7) == (
            b"subtree/v1\n\0\x09w.example" + bytes(7) + b"\x07\x0blog.example" + bytes(8)
            + (300).to_bytes(8, "big") + bytes(range(32))
        )  # fmt: skip

    @pytest.mark.parametrize(
        "text", ["", "a\n", "a\n1\n", "a\n01\nAAAA\n", "a\nx\nAAAA\n", "a\n1\nAAAA\n", "\n1\nAAAA\n"]
    )
    def test_ml_dsa_covers_checkpoints_only(self, text: str) -> None:
        with pytest.raises(InvalidSignature, match="no checkpoint"):
            QUANTUM.sign(text, NOW)

    def test_keys_of_another_size(self) -> None:
        for type, size in (
            (ED25519, 31),
            (ED25519_COSIGNATURE, 33),
            (MLDSA44_COSIGNATURE, 32),
            (0x05, 32),
            (0xFF, 32),
        ):
            with pytest.raises(ValueError, match="no key of type"):
                VerifierKey("a", bytes(size), type)
            text = f"a+00000000+{base64.b64encode(bytes([type]) + bytes(size)).decode()}"
            with pytest.raises(MalformedProof, match="not a key of one of the types"):
                VerifierKey.parse(text)

    def test_a_cosigner_names_its_time(self) -> None:
        with pytest.raises(TypeError, match="time"):
            CLASSIC.sign("text\n")


@pytest.mark.parametrize("signer", [CLASSIC, QUANTUM], ids=["Ed25519", "ML-DSA-44"])
class TestSigning:
    def test_verifies(self, world: World, signer: NoteSigner) -> None:
        note = world.chain.checkpoint().note
        both = note.signed_with(signer.sign(note.text, NOW))
        assert both.verified_by([signer.key]) == (signer.key,)
        assert Note.parse(bytes(both)) == both

    def test_what_is_altered_does_not(self, world: World, signer: NoteSigner) -> None:
        note = world.chain.checkpoint().note
        line = signer.sign(note.text, NOW)
        step = 1 if len(line.signature) < 100 else 61
        for at in [*range(8), *range(8, len(line.signature), step)]:
            changed = bytearray(line.signature)
            changed[at] ^= 1
            with pytest.raises(InvalidSignature):
                note.signed_with(evolve(line, signature=bytes(changed))).verified_by([signer.key])
        for signature in (line.signature[:-1], line.signature + b"\0", line.signature[8:]):
            with pytest.raises(InvalidSignature, match="bytes"):
                note.signed_with(evolve(line, signature=signature)).verified_by([signer.key])
        with pytest.raises(InvalidSignature):
            Note(note.text.replace("\n", "x\n", 1), ()).signed_with(line).verified_by([signer.key])

    def test_a_time_beyond_2_to_the_63(self, world: World, signer: NoteSigner) -> None:
        note = world.chain.checkpoint().note
        line = signer.sign(note.text, 1 << 63)
        with pytest.raises(InvalidSignature, match="2\\^63"):
            note.signed_with(line).verified_by([signer.key])

    def test_lines_of_unknown_keys_are_ignored(self, world: World, signer: NoteSigner) -> None:
        note = world.chain.checkpoint().note
        (mine,) = world.chain.trust.log_keys
        foreign = evolve(signer.sign(note.text, NOW), signature=b"nonsense")
        assert note.signed_with(foreign).verified_by([mine]) == (mine,)


def test_only_ml_dsa_commits_to_the_name(world: World) -> None:
    """So one Ed25519 key may cosign under one name only, as the specification demands."""
    note = world.chain.checkpoint().note
    for signer in (CLASSIC, QUANTUM):
        other = VerifierKey("w.example/other", signer.key.key, signer.key.type)
        moved = note.signed_with(other.line(signer.sign(note.text, NOW).signature))
        if signer is CLASSIC:
            assert moved.verified_by([other]) == (other,)
        else:
            with pytest.raises(InvalidSignature):
                moved.verified_by([other])


class TestQuorum:
    def test_the_example_of_the_specification(self, world: World) -> None:
        names = ["X1", "X2", "X3", "Y1", "Y2", "Y3"]
        keys = dict(zip(names, (signer.key for signer in ALL), strict=False))
        lines = [f"witness {name} {key}" for name, key in keys.items()]
        lines.insert(3, "group X-witnesses 2 X1 X2 X3")
        lines += [
            "group Y-witnesses any Y1 Y2 Y3",
            "group X-and-Y all X-witnesses Y-witnesses",
            "quorum X-and-Y",
        ]
        text = str(world.chain.trust).replace("quorum none\n", "\n".join(lines) + "\n")
        quorum = Trust.parse(text).quorum
        for chosen in range(64):
            have = {name for bit, name in enumerate(names) if chosen >> bit & 1}
            expected = len(have & {"X1", "X2", "X3"}) >= 2 and bool(have & {"Y1", "Y2", "Y3"})
            assert quorum.met_by([keys[name] for name in have]) == expected
        assert quorum.wanted([keys["X1"]]) == "2 of (2 of (X1, X2, X3), 1 of (Y1, Y2, Y3)), cosigned by X1"

    @given(st.data())
    def test_like_an_oracle(self, data: st.DataObject) -> None:
        witnesses = [witness(signer) for signer in ALL[: data.draw(st.integers(1, 8))]]
        loose, groups = [each.name for each in witnesses], []
        rules: dict[str, Any] = {each.name: each.key for each in witnesses}
        while loose and data.draw(st.booleans()):
            members = data.draw(st.lists(st.sampled_from(loose), min_size=1, unique=True))
            group = Group(f"g{len(groups)}", data.draw(st.integers(1, len(members))), tuple(members))
            groups.append(group)
            rules[group.name] = group
            loose = [name for name in loose if name not in members] + [group.name]
        quorum = Quorum(tuple(witnesses), tuple(groups), data.draw(st.sampled_from([*rules, "none"])))
        have = data.draw(st.sets(st.sampled_from(witnesses)))

        def holds(name: str) -> bool:
            rule = rules[name]
            if isinstance(rule, Group):
                return len([member for member in rule.members if holds(member)]) >= rule.threshold
            return rule in {each.key for each in have}

        assert quorum.met_by([each.key for each in have]) == (quorum.name == "none" or holds(quorum.name))

    @pytest.mark.parametrize(
        ("lines", "why"),
        [
            ("group g any w9", "before it is defined"),
            ("group g any g", "before it is defined"),
            ("group g 2 w1", "from 1 to the number"),
            ("group g 0 w1", "'any', 'all' or a number"),
            ("group g 01 w1", "'any', 'all' or a number"),
            ("group g some w1", "'any', 'all' or a number"),
            ("group g any", "not a line"),
            ("group g 1 w1 w1", "member twice"),
            ("group g any w1\ngroup h any w1", "member twice"),
            ("group g any w1\ngroup g any w2", "taken"),
            ("group w1 any w2", "taken"),
            ("group none any w1", "taken"),
            ("group g any none", "before it is defined"),
            ("quorum w9", "not defined"),
            ("quorum w1\nquorum w1", "not a line"),
            ("quorum w1 w2", "not a line"),
            ("quorum none\ngroup g any w9", "before it is defined"),
            ("witness w1 {key3}", "taken"),
            ("witness w3 {key1}", "one key"),
            ("witness none {key3}", "taken"),
            ("witness w3 {log}", "for Ed25519 signatures"),
            ("witness w3 {key3} url more", "not a line"),
            ("log {key1}", "carry one name"),
            ("", "there must be"),
        ],
    )
    def test_malformed(self, world: World, lines: str, why: str) -> None:
        known = str(world.chain.trust)
        keys = {f"key{number}": str(signer.key) for number, signer in enumerate(ALL, 1)}
        head = "witness w1 {key1}\nwitness w2 {key2}\n"
        tail = "" if "quorum" in lines or not lines else "\nquorum w1"
        text = (head + lines + tail).format(log=world.chain.trust.log_keys[0], **keys)
        with pytest.raises(MalformedProof, match=why):
            Trust.parse(known.replace("quorum none\n", text + "\n"))

    def test_a_quorum_is_defined_before(self, world: World) -> None:
        text = str(world.chain.trust).replace("quorum none\n", f"quorum w1\nwitness w1 {CLASSIC.key}\n")
        with pytest.raises(MalformedProof, match="not defined"):
            Trust.parse(text)

    def test_limits(self) -> None:
        keys = [VerifierKey(f"w.example/{number}", bytes([number]) * 32, 4) for number in range(MOST + 1)]
        many = tuple(Witness(str(number), key) for number, key in enumerate(keys))
        assert Quorum(many[:MOST]).met_by([])
        with pytest.raises(ValueError, match="at most"):
            Quorum(many)


class TestTrust:
    @pytest.fixture
    def trust(self, world: World) -> Trust:
        return evolve(
            world.chain.trust, quorum=Quorum.of(2, witness(CLASSIC), witness(QUANTUM), witness(OTHERS[0]))
        )

    def test_round_trip(self, trust: Trust) -> None:
        assert Trust.parse(str(trust)) == trust

    def cosigned(self, world: World, *signers: NoteSigner) -> Checkpoint:
        note = world.chain.checkpoint().note
        lines = [signer.sign(note.text, NOW) for signer in signers]
        return Checkpoint.parse(bytes(note.signed_with(*lines)))

    def test_enough_witnesses(self, world: World, trust: Trust) -> None:
        found = trust.verify(self.cosigned(world, CLASSIC, QUANTUM))
        assert (found.log, found.witnesses) == (trust.log_keys, (CLASSIC.key, QUANTUM.key))
        assert found.order == found.witnesses

    @pytest.mark.parametrize("signers", [[], [CLASSIC], [QUANTUM], [CLASSIC, CLASSIC], [CLASSIC, OTHERS[1]]])
    def test_too_few(self, world: World, trust: Trust, signers: list[NoteSigner]) -> None:
        with pytest.raises(UntrustedSigner, match="lacks witnesses: wanted 2 of \\(1, 2, 3\\)"):
            trust.verify(self.cosigned(world, *signers))

    def test_witnesses_alone_are_nothing(self, world: World, trust: Trust) -> None:
        note = self.cosigned(world, CLASSIC, QUANTUM).note
        alone = Note(note.text, note.signatures[1:])
        with pytest.raises(UntrustedSigner, match="no trusted log key"):
            trust.verify(Checkpoint.parse(bytes(alone)))

    def test_the_log_is_no_witness_of_itself(self, trust: Trust) -> None:
        (log,) = trust.log_keys
        own = Witness("own", VerifierKey(log.name, log.key, ED25519_COSIGNATURE))
        with pytest.raises(ValueError, match="no witness of itself"):
            evolve(trust, quorum=Quorum.of(1, own))

    def test_a_log_may_sign_by_ml_dsa_alone(self, world: World, trust: Trust) -> None:
        quantum = NoteSigner.cosigner(trust.origin, CosignKey(bytes(32)))
        note = world.chain.checkpoint().note
        later = Checkpoint.parse(bytes(Note(note.text, ()).signed_with(quantum.sign(note.text, NOW))))
        both = evolve(trust, log_keys=(*trust.log_keys, quantum.key), quorum=Quorum(), urls=(None, None))
        assert both.verify(later).log == (quantum.key,)
        with pytest.raises(UntrustedSigner):
            evolve(trust, quorum=Quorum()).verify(later)

    def test_a_proof_says_who_vouches_for_what(self, world: World, trust: Trust) -> None:
        receipt = world.send(Add(1), world.authority)
        checkpoint = self.cosigned(world, CLASSIC, QUANTUM)
        proof = world.chain.prove(receipt, checkpoint=checkpoint)
        found = mc.verify(proof, mc.Entry, trust=trust)
        assert found.order_by == (str(CLASSIC.key), str(QUANTUM.key))
        assert found.state_by == tuple(map(str, trust.log_keys))
        with pytest.raises(UntrustedSigner):
            mc.verify(world.chain.prove(receipt), mc.Entry, trust=trust)
