"""The rule of a witness, clause by clause of C2SP tlog-witness, and the form of what passes."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from transparency.witnesses import CLASSIC, NOW, ORIGIN, QUANTUM, Log, numbered

from medchain.errors import InvalidSignature, MalformedProof, UntrustedSigner
from medchain.keys.signing import SigningKey
from medchain.ledger.note import Note, NoteSignature, NoteSigner
from medchain.merkle import EMPTY_ROOT, Head
from medchain.transparency.addcheckpoint import (
    ANSWER_LIMIT,
    REQUEST_LIMIT,
    AddCheckpoint,
    read_cosignatures,
    read_size,
)
from medchain.transparency.judging import NOTHING, admit, judge

# The example of the specification.
EXAMPLE = """old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=

example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xe\
McTOAYQ8=
— example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++q\
bSzm9Q=
"""
HASH = "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw="
BODY = EXAMPLE.partition("\n\n")[2]

LOG = numbered(20)
LOGS = {ORIGIN: LOG.keys}


def answered(request: AddCheckpoint, last: Head = NOTHING) -> int:
    """The status that a request comes to."""
    verdict = admit(AddCheckpoint.parse(bytes(request)), LOGS) or judge(request, last)
    return verdict.status


class TestForm:
    def test_the_example_of_the_specification(self) -> None:
        request = AddCheckpoint.parse(EXAMPLE.encode())
        assert (request.old, len(request.proof)) == (20852014, 4)
        assert (request.origin, request.head.size) == ("example.com/behind-the-sofa", 20852163)
        assert len(request.note.signatures) == 2
        assert bytes(request) == EXAMPLE.encode()

    def test_extension_lines_are_taken(self) -> None:
        """Any log's: "extension lines MAY be included" (tlog-cosignature)."""
        body = BODY.replace("q2I=\n", "q2I=\nan extension\n", 1)
        request = AddCheckpoint.parse(f"old 0\n\n{body}".encode())
        assert request.note.text.endswith("\nan extension\n")
        assert bytes(request) == f"old 0\n\n{body}".encode()

    def test_no_proof(self) -> None:
        assert AddCheckpoint.parse(f"old 0\n\n{BODY}".encode()).proof == ()

    def test_63_lines_of_proof_and_not_more(self) -> None:
        """ "The client MUST NOT send more than 63 consistency proof lines"."""
        request = f"old 1\n{(HASH + chr(10)) * 63}\n{BODY}"
        assert len(AddCheckpoint.parse(request.encode()).proof) == 63
        with pytest.raises(MalformedProof, match="at most 63"):
            AddCheckpoint.parse(request.replace(HASH, f"{HASH}\n{HASH}", 1).encode())

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"\n\n",
            b"old 1",
            b"old 1\n",
            b"old 1\n\n",
            f"old  1\n\n{BODY}",
            f"Old 1\n\n{BODY}",
            f"old 01\n\n{BODY}",
            f"old -1\n\n{BODY}",
            f"old +1\n\n{BODY}",
            f"old 1 \n\n{BODY}",
            f"old ١\n\n{BODY}",
            f"old 9223372036854775808\n\n{BODY}",
            f"old {'1' * 5000}\n\n{BODY}",
            f"old 1\r\n\r\n{BODY}",
            f"old 1\n{HASH} \n\n{BODY}",
            f"old 1\n{HASH[:-1]}\n\n{BODY}",
            f"old 1\n{HASH[:-4]}\n\n{BODY}",
            f"old 1\n{HASH}{HASH}\n\n{BODY}",
            f"old 1\n{BODY}",
            f"\nold 1\n\n{BODY}",
            f"old 1\n\n{BODY[:-1]}",
            f"old 1\n\n{BODY}\n",
            f"old 1\n\n{BODY.replace('20852163', '020852163')}",
            f"old 1\n\n{BODY.replace('q2I=', 'q2I')}",
            f"old 1\n\n{BODY.replace('example.com/behind-the-sofa', '', 1)}",
            f"old 1\n\n{BODY.replace('q2I=', 'q2I=' + chr(10) * 2 + 'extension', 1)}",
            f"old 1\n\n{BODY}".encode() + b"\xff",
            f"old 1\n\n{BODY}" + "x" * REQUEST_LIMIT,
        ],
    )
    def test_malformed(self, body: str | bytes) -> None:
        with pytest.raises(MalformedProof):
            AddCheckpoint.parse(body if isinstance(body, bytes) else body.encode())

    def test_16_post_quantum_signatures_fit(self) -> None:
        """ "Verifiers MUST accept at least up to 16 signatures", which "can be up to nearly 5kB in size"."""
        lines = "".join(str(NoteSignature(f"w.example/{each}", b"abcd", bytes(5000))) for each in range(16))
        assert (
            len(
                AddCheckpoint.parse(f"old 1\n{(HASH + chr(10)) * 63}\n{BODY}{lines}".encode()).note.signatures
            )
            == 18
        )

    def test_only_the_logs_own_signatures_are_sent(self) -> None:
        checkpoint = LOG.checkpoint()
        note = checkpoint.note.signed_with(
            CLASSIC.sign(checkpoint.note.text, NOW), QUANTUM.sign(checkpoint.note.text, 0)
        )
        cosigned = evolve(checkpoint, note=note)
        assert AddCheckpoint.of(cosigned, 0, ()).note == checkpoint.note
        largest = AddCheckpoint.of(cosigned, 1, [bytes(32)] * 63)
        assert len(bytes(largest)) < 10_000, "others take 10 KiB"

    def test_a_size(self) -> None:
        assert read_size(b"0\n") == 0
        assert read_size(b"20852014\n") == 20852014
        for wrong in (
            b"",
            b"\n",
            b"1",
            b"1\n\n",
            b"01\n",
            b"-1\n",
            b"1\n2\n",
            b" 1\n",
            b"1\r\n",
            b"\xff\n",
            b"9" * 20 + b"\n",
        ):
            with pytest.raises(MalformedProof):
                read_size(wrong)


class TestSignatures:
    """ "The witness MUST verify the checkpoint signature against the public key(s) it trusts for the origin"."""

    @pytest.mark.parametrize("number", [0, 1])
    def test_one_of_the_trusted_keys_is_enough(self, number: int) -> None:
        request = evolve(LOG.request(0), note=LOG.checkpoint(signers=[LOG.signers[number]]).note)
        assert answered(request) == 200

    def test_an_unknown_origin_is_not_found(self) -> None:
        assert answered(Log(["a"], "log.example/two").request(0)) == 404

    def test_signatures_of_unknown_keys_are_ignored(self) -> None:
        """ "It MUST ignore signatures from unknown keys", "even if they share a name or ID" (signed-note)."""
        request = LOG.request(0)
        text = request.note.text
        stranger = NoteSigner(ORIGIN, SigningKey(b"\x66" * 32))
        same_id = evolve(LOG.signers[0].sign(text), name="log.example/other", signature=b"nonsense")
        unknown = (stranger.sign(text), same_id, NoteSignature("x.example", b"1234", b"?"))
        assert answered(evolve(request, note=Note(text, (*unknown, *request.note.signatures)))) == 200
        assert answered(evolve(request, note=Note(text, unknown))) == 403

    def test_no_signature_that_verifies_is_forbidden(self) -> None:
        request = LOG.request(0)
        line = request.note.signatures[0]
        wrong = evolve(line, signature=bytes([line.signature[0] ^ 1]) + line.signature[1:])
        assert answered(evolve(request, note=Note(request.note.text, (wrong,)))) == 403

    def test_a_wrong_signature_of_a_known_key_refuses_the_note(self) -> None:
        """ "If a signature from a known key fails to verify, clients SHOULD reject the whole note" (signed-note)."""
        request = LOG.request(0)
        first, second = request.note.signatures
        wrong = evolve(second, signature=second.signature[:-1] + bytes([second.signature[-1] ^ 1]))
        assert answered(evolve(request, note=Note(request.note.text, (first, wrong)))) == 403

    def test_the_signature_is_of_this_text(self) -> None:
        request = LOG.request(0, 7)
        assert (
            answered(evolve(request, note=Note(LOG.request(0, 8).note.text, request.note.signatures))) == 403
        )

    def test_a_key_of_another_log_signs_nothing_here(self) -> None:
        other = Log(["a"], "log.example/two")
        request = evolve(other.request(0), note=other.checkpoint().note)
        assert admit(request, {"log.example/two": LOG.keys}) is not None
        assert admit(request, {"log.example/two": other.keys}) is None

    def test_a_stranger_learns_no_size(self) -> None:
        """Signatures are judged before sizes are compared."""
        verdict = admit(evolve(LOG.request(3), note=Note(LOG.request(3).note.text, ())), LOGS)
        assert verdict is not None
        assert (verdict.status, verdict.size) == (403, None)


class TestSizes:
    def test_an_old_size_beyond_the_checkpoint_is_bad(self) -> None:
        """ "The old size MUST be equal to or lower than the checkpoint size. Otherwise 400"."""
        assert answered(evolve(LOG.request(0, 7), old=7)) == 409
        assert answered(evolve(LOG.request(0, 7), old=8)) == 400

    @pytest.mark.parametrize(("old", "last"), [(0, 5), (4, 5), (6, 5), (7, 5), (3, 0)])
    def test_an_old_size_that_does_not_match_is_a_conflict(self, old: int, last: int) -> None:
        """ "The response body MUST consist of the tree size of the latest cosigned checkpoint in decimal, followed by a
        newline. The response MUST have a Content-Type of text/x.tlog.size."
        """
        verdict = judge(LOG.request(old, 7), LOG.tree.head_at(last))
        assert (verdict.status, verdict.body, verdict.type) == (409, f"{last}\n".encode(), "text/x.tlog.size")
        assert not verdict.fork

    def test_zero_if_it_never_cosigned(self) -> None:
        assert judge(LOG.request(0), NOTHING).status == 200
        assert Head(0, EMPTY_ROOT) == NOTHING

    @pytest.mark.parametrize("size", range(1, 21))
    def test_every_step_of_growth(self, size: int) -> None:
        for old in range(size):
            assert judge(LOG.request(old, size), LOG.tree.head_at(old)).status == 200

    def test_the_same_again(self) -> None:
        for size in (0, 1, 20):
            assert judge(LOG.request(size, size), LOG.tree.head_at(size)).status == 200

    def test_the_same_size_with_another_root(self) -> None:
        """ "If the old size matches the checkpoint size, the roots MUST be identical. If they don't match, 409"."""
        other = Log([*LOG.leaves[:-1], "another"])
        verdict = judge(other.request(20), LOG.tree.head)
        assert (verdict.status, verdict.body, verdict.type) == (409, b"20\n", "text/x.tlog.size")
        assert verdict.fork
        with_proof = evolve(other.request(20), proof=(bytes(32),))
        assert judge(with_proof, LOG.tree.head).status == 409

    def test_an_empty_log_has_one_root(self) -> None:
        assert judge(LOG.request(0, 0), NOTHING).status == 200
        assert judge(evolve(LOG.request(0, 0), head=Head(0, bytes(32))), NOTHING).status == 409


class TestProof:
    """ "If the Merkle Consistency Proof doesn't verify, the witness MUST respond with 422"."""

    def test_a_proof_of_another_history(self) -> None:
        fork = Log([*LOG.leaves[:6], "x", *LOG.leaves[7:]])
        assert judge(fork.request(6, 20), LOG.tree.head_at(6)).status == 200
        for old in range(7, 20):
            assert judge(fork.request(old, 20), LOG.tree.head_at(old)).status == 422

    def test_the_proof_is_empty_if_the_old_size_is_zero(self) -> None:
        assert judge(evolve(LOG.request(0), proof=(bytes(32),)), NOTHING).status == 422
        assert judge(evolve(LOG.request(0), proof=LOG.request(5).proof), NOTHING).status == 422

    def test_the_proof_is_empty_if_nothing_has_grown(self) -> None:
        assert judge(evolve(LOG.request(5, 5), proof=(bytes(32),)), LOG.tree.head_at(5)).status == 422

    @given(st.integers(1, 19), st.data())
    def test_one_bit_or_one_hash(self, old: int, data: st.DataObject) -> None:
        request, last = LOG.request(old, 20), LOG.tree.head_at(old)
        assert judge(request, last).status == 200
        path = list(request.proof)
        at = data.draw(st.integers(0, len(path) - 1))
        bit = data.draw(st.integers(0, 255))
        flipped = (int.from_bytes(path[at], "big") ^ 1 << bit).to_bytes(32, "big")
        for wrong in (
            [*path[:at], flipped, *path[at + 1 :]],
            [*path[:at], *path[at + 1 :]],
            [*path[: at + 1], *path[at:]],
            [*path, bytes(32)],
            [],
        ):
            assert judge(evolve(request, proof=tuple(wrong)), last).status == 422

    def test_powers_of_two(self) -> None:
        """RFC 6962: the proof from a whole subtree leaves its root out."""
        assert len(LOG.request(8, 16).proof) == 1
        assert judge(LOG.request(8, 16), LOG.tree.head_at(8)).status == 200


class TestAnswer:
    """What a client takes from an answer: "MUST ignore any cosignatures from unknown keys"."""

    NOTE = LOG.checkpoint().note
    ONE, TWO = CLASSIC.sign(NOTE.text, NOW), QUANTUM.sign(NOTE.text, NOW)

    def read(self, *lines: Any, keys: Any = (CLASSIC.key, QUANTUM.key)) -> Any:
        return read_cosignatures("".join(map(str, lines)).encode(), self.NOTE, keys)

    def test_lines_of_expected_keys(self) -> None:
        assert self.read(self.ONE, self.TWO) == {CLASSIC.key: self.ONE, QUANTUM.key: self.TWO}
        assert self.read(self.TWO) == {QUANTUM.key: self.TWO}
        assert self.read(self.ONE, self.TWO, keys=[CLASSIC.key]) == {CLASSIC.key: self.ONE}

    def test_lines_of_others_are_ignored(self) -> None:
        other = NoteSigner.cosigner("w.example/9", SigningKey(b"\x09" * 32)).sign(self.NOTE.text, NOW)
        nonsense = NoteSignature("w.example/1", b"1234", b"?")
        assert self.read(other, nonsense, self.ONE) == {CLASSIC.key: self.ONE}
        with pytest.raises(UntrustedSigner):
            self.read(other, nonsense)

    def test_a_wrong_line_refuses_the_answer(self) -> None:
        of_another = CLASSIC.sign(LOG.checkpoint(7).note.text, NOW)
        with pytest.raises(InvalidSignature):
            self.read(self.TWO, of_another)
        with pytest.raises(InvalidSignature):
            self.read(self.ONE, of_another)

    @pytest.mark.parametrize(
        "body",
        [b"", b"\n", b"cosigned\n", b"\xff", "— w.example/1 AAAA\n".encode(), b"x" * (ANSWER_LIMIT + 1)],
    )
    def test_anything_else(self, body: bytes) -> None:
        with pytest.raises(MalformedProof):
            read_cosignatures(body, self.NOTE, [CLASSIC.key])

    def test_lines_over_another_text(self) -> None:
        """An answer that begins a new text: its signature is over that, and not over the checkpoint."""
        text = f"{self.NOTE.text}\nmore\n"
        with pytest.raises(MalformedProof, match="nothing else"):
            read_cosignatures(f"more\n\n{CLASSIC.sign(text, NOW)}".encode(), self.NOTE, [CLASSIC.key])

    def test_a_doubled_line_counts_once(self) -> None:
        assert self.read(self.ONE, self.ONE) == {CLASSIC.key: self.ONE}

    def test_base64_of_the_example(self) -> None:
        line = "— witness.example/w1 " + base64.b64encode(b"abcd" + bytes(72)).decode() + "\n"
        with pytest.raises(UntrustedSigner):
            read_cosignatures(line.encode(), self.NOTE, [CLASSIC.key])
