"""Proofs: every entry and row of a chain can be proved, and nothing else can."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from attrs import evolve, frozen
from ledger import naive
from ledger.counting import Add, Added, Counting, Misbehave, NoteRow, Other, Put, TotalRow
from ledger.world import START, World

import medchain as mc
from medchain.encoding import decode, encode
from medchain.errors import MalformedProof, MedchainError, UntrustedSigner, VerificationError
from medchain.ledger.entry import Entry, Header, Kind
from medchain.ledger.keys import Keys, PartyRow
from medchain.ledger.note import NoteSigner
from medchain.ledger.proof import LogProof, StateExtra, extra_bytes, read_extra
from medchain.ledger.trust import Trust
from medchain.ledger.verify import AsOf, Row, moment
from medchain.merkle import Head

SPECIFIED = """c2sp.org/tlog-proof@v1
extra YWdlLXYxLjIuMS1kYXJ3aW4tYXJtNjQudGFyLmd6
index 1
gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=

example.com/fancylog
2
sFodV/vSp5O8n9a8QpW6PRY97tfOSW5bsc2Xl/EQi08=

— example.com/fancylog hI2DJ0roloI=
— witness1.example mJirIklqY9v2B/5bgA==
"""


class TestEntries:
    def test_every_leaf_of_300_by_another_verifier(self, world: World) -> None:
        writer = world.chain._writer
        assert writer is not None
        while world.chain.head.size < 300:
            with writer.begin() as builder:
                for number in range(world.chain.height % 7 + 1):
                    builder.add(world.sign(world.body(Add(number), world.authority), world.authority))
                block = builder.close()
            writer.commit(block)
        checkpoint = world.chain.checkpoint()
        (key,) = world.chain.trust.log_keys
        for index in range(checkpoint.size):
            proof = world.chain.prove(index, checkpoint=checkpoint)
            leaf = world.chain._archive.leaf(index)
            assert naive.verify(proof, leaf, str(key)) == (index, checkpoint.size)
            kind = Header if leaf[0] == Kind.HEADER else Entry
            found = mc.verify(proof, kind, trust=world.chain.trust)
            assert found.value == world.chain.entry(index)
            assert found.as_of.latest == (index == checkpoint.size - 1)
            assert bytes(LogProof.parse(proof)) == proof

    def test_what_it_says(self, world: World) -> None:
        receipt = world.send(Add(7), world.authority)
        proof = world.chain.prove(receipt)
        found = mc.verify(proof, Added, trust=world.chain.trust)
        assert found.value == Added(world.authority.party.id, 8)
        assert found.origin == world.chain.origin
        assert found.order_by == found.state_by == (str(world.chain.trust.log_keys[0]),)
        assert (found.as_of.height, found.as_of.time, found.as_of.index) == (
            receipt.height,
            START,
            receipt.index,
        )
        assert str(found.as_of) == f"as of height {receipt.height}, 2027-01-15 08:00:00 UTC"
        assert mc.verify(proof.decode(), Entry, trust=world.chain.trust).value == world.chain.entry(
            receipt.index
        )

    def test_a_time_beyond_calendars(self) -> None:
        assert "9007199254740991 ms" in str(AsOf(1, (1 << 53) - 1, 1, Head(2, bytes(32)), False))
        assert moment(253_402_300_799_999) == "9999-12-31 23:59:59 UTC"
        for time in (253_402_300_800_000, (1 << 63) - 1, -(1 << 63)):  # ValueErrors in a review, once
            assert moment(time) == f"{time} ms"

    def test_what_names_no_entry(self, world: World) -> None:
        with pytest.raises(TypeError):
            world.chain.prove("x")
        for index in (-1, world.chain.head.size):
            with pytest.raises(IndexError):
                world.chain.prove(index)

    def test_something_else_than_asked_for(self, world: World) -> None:
        receipt = world.send(Add(7), world.authority)
        header = world.chain.prove(receipt.index + 1)
        for proof, kind in (
            (world.chain.prove(receipt), TotalRow),
            (world.chain.prove(receipt), Header),
            (header, Added),
            (header, Entry),
        ):
            with pytest.raises(MalformedProof):
                mc.verify(proof, kind, trust=world.chain.trust)  # type: ignore[arg-type]

    def test_an_event_of_the_same_form_from_another_contract(self, world: World) -> None:
        from medchain.ledger.contract import wire_name

        @frozen
        class Claimed:
            party: bytes
            total: int

        Claimed.__name__ = "Added"
        assert wire_name(Claimed) == "added"
        proof = world.chain.prove(world.send(Add(7), world.authority))
        with pytest.raises(MalformedProof, match="holds no"):
            mc.verify(proof, Claimed, trust=world.chain.trust)

    def test_which_of_several_events(self, world: World) -> None:
        """Each is proved by its number; without one, the first is not passed off as the one that is meant."""
        receipt = world.send(Misbehave("three events"), world.authority)
        proof, trust = world.chain.prove(receipt), world.chain.trust
        logged = [each for each in world.chain.events() if each.entry == receipt.index]
        assert [each.event.total for each in logged] == [1_001, 0, 1, 2]
        for each in logged:
            assert mc.verify(proof, Added, trust=trust, number=each.number).value == each.event
        with pytest.raises(
            VerificationError, match=r"4 times Added: say which by number=, of \[0, 1, 2, 3\]"
        ):
            mc.verify(proof, Added, trust=trust)
        single = world.chain.prove(world.send(Add(1), world.authority))
        assert (
            mc.verify(single, Added, trust=trust, number=0).value
            == mc.verify(single, Added, trust=trust).value
        )
        for shown in (single, world.chain.prove(0)):
            with pytest.raises(MalformedProof):
                mc.verify(shown, Added, trust=trust, number=1)

    def test_a_number_of_what_is_no_event(self, world: World) -> None:
        proof, trust = world.chain.prove(1), world.chain.trust
        for kind in (Entry, Header, TotalRow, Row, mc.Absent):
            with pytest.raises(ValueError, match="number="):
                mc.verify(proof, kind, trust=trust, number=0)  # type: ignore[type-var]
        with pytest.raises(ValueError, match="number="):
            mc.verify(proof, Added, trust=trust, number=-1)
        for number in (True, "0", 0.0):
            with pytest.raises(TypeError, match="number"):
                mc.verify(proof, Added, trust=trust, number=number)  # type: ignore[arg-type]

    def test_a_kind_that_is_no_class(self, world: World) -> None:
        for kind in (Counting.notes, "Entry", None, Entry | Header):
            with pytest.raises(TypeError, match="named by a class"):
                mc.verify(world.chain.prove(0), kind, trust=world.chain.trust)  # type: ignore[arg-type]

    def test_trust(self, world: World) -> None:
        proof = world.chain.prove(world.send(Add(7), world.authority))
        other = World.make()
        with other.chain, pytest.raises(UntrustedSigner):
            mc.verify(proof, Entry, trust=other.chain.trust)
        known = world.chain.trust
        elsewhere = Trust(known.log_keys, bytes(32), known.tag)
        for index in (0, 1, 2):
            with pytest.raises(VerificationError, match="another chain"):
                mc.verify(world.chain.prove(index), Entry if index == 1 else Header, trust=elsewhere)  # type: ignore[type-var]


class TestState:
    def test_presence_and_absence(self, world: World) -> None:
        names = [f"note {number}" for number in range(40)]
        for name in names:
            world.send(Put(name, name.upper()), world.authority)
        world.send(Put(names[3], None), world.authority)
        for name in (*names, "nothing", ""):
            proof = world.chain.prove_state(Counting.notes, name)
            found = mc.verify_state(proof, Counting.notes, name, trust=world.chain.trust)
            there = name in names and name != names[3]
            assert found.value == (NoteRow(name.upper()) if there else None)
            assert found.place == ("counting", "notes", name)
            assert found.as_of.latest
            assert str(found.as_of).startswith("as of this checkpoint")
            if there:
                assert mc.verify(proof, NoteRow, trust=world.chain.trust).value == found.value
            else:
                with pytest.raises(MalformedProof, match="no such row"):
                    mc.verify(proof, NoteRow, trust=world.chain.trust)

    def test_keys_of_several_items(self, world: World) -> None:
        party = world.authority.party
        proof = world.chain.prove_state(Keys.signing, (party.id, party.key_id))
        found = mc.verify_state(proof, Keys.signing, (party.id, party.key_id), trust=world.chain.trust)
        assert found.value is not None
        assert found.value.signing_key == party.signing_key

    def test_an_empty_state_table_and_a_fresh_checkpoint(self, world: World) -> None:
        world.clock.now += 60_000
        proof = world.chain.prove_state(Counting.notes, "x", fresh=True)
        found = mc.verify_state(proof, Counting.notes, "x", trust=world.chain.trust)
        assert (found.value, found.as_of.time) == (None, START + 60_000)

    def test_another_row_or_table(self, world: World) -> None:
        world.send(Put("x", "1"), world.authority)
        proof = world.chain.prove_state(Counting.notes, "x")
        for table, key in ((Counting.notes, "y"), (Counting.overall, "x"), (Other.hidden, "x")):
            with pytest.raises(MalformedProof):
                mc.verify_state(proof, table, key, trust=world.chain.trust)  # type: ignore[type-var]
        with pytest.raises(MalformedProof, match="about a row of"):
            mc.verify(proof, PartyRow, trust=world.chain.trust)
        with pytest.raises(MalformedProof):
            mc.verify_state(world.chain.prove(0), Counting.notes, "x", trust=world.chain.trust)

    def test_rows_of_the_same_form_are_not_taken_for_one_another(self, world: World) -> None:
        @frozen
        class Forged:
            text: str

        from medchain.ledger.contract import Contract
        from medchain.ledger.tables import Table

        class Forger(Contract):
            name = "forger"
            rows = Table(Forged)

        world.send(Put("x", "1"), world.authority)
        proof = world.chain.prove_state(Counting.notes, "x")
        with pytest.raises(MalformedProof, match=r"counting\.notes, not a Forged"):
            mc.verify(proof, Forged, trust=world.chain.trust)

    def test_a_row_is_not_taken_for_an_event(self, world: World) -> None:
        """A chain on which no `Told` was ever emitted; its rows have the form of one."""
        from medchain.ledger.contract import Contract

        @frozen
        class Told:
            text: str

        class Teller(Contract):
            name = "teller"
            events = (Told,)

        @frozen
        class Nobodys:
            text: str

        world.send(Put("x", "1"), world.authority)
        proof = world.chain.prove_state(Counting.notes, "x")
        assert mc.verify(proof, NoteRow, trust=world.chain.trust).value == NoteRow("1")
        for kind in (Told, Nobodys, Entry, Header):
            with pytest.raises(MalformedProof, match=rf"counting\.notes, not a {kind.__name__}"):
                mc.verify(proof, kind, trust=world.chain.trust)  # type: ignore[type-var]

    def test_a_class_that_is_a_row_and_an_event_is_read_by_its_table(self, world: World) -> None:
        from medchain.ledger.contract import Contract
        from medchain.ledger.tables import Table

        @frozen
        class Both:
            text: str

        class Notes(Contract):
            name = "counting"
            events = (Both,)
            notes = Table(Both)

        world.send(Put("x", "1"), world.authority)
        proof = world.chain.prove_state(Counting.notes, "x")
        assert mc.verify_state(proof, Notes.notes, "x", trust=world.chain.trust).value == Both("1")
        with pytest.raises(MalformedProof, match="not a Both"):
            mc.verify(proof, Both, trust=world.chain.trust)

    def test_any_row_as_a_plain_value(self, world: World) -> None:
        world.send(Put("x", "1"), world.authority)
        trust = world.chain.trust
        found = mc.verify(world.chain.prove_state(Counting.notes, "x"), Row, trust=trust)
        assert found.value == Row("counting", "notes", "x", {"text": "1"})
        assert found.place == ("counting", "notes", "x")
        for proof in (world.chain.prove_absent(Counting.notes, "y"), world.chain.prove(1)):
            with pytest.raises(MalformedProof):
                mc.verify(proof, Row, trust=trust)

    def test_lies_in_the_extra_line(self, world: World) -> None:
        """The extra line is not authenticated: whatever a server writes there, only the truth passes."""
        world.send(Put("x", "1"), world.authority)
        receipt = world.send(Put("y", "2"), world.authority)
        good = LogProof.parse(world.chain.prove_state(Counting.notes, "x"))
        extra = read_extra(good.extra)
        assert isinstance(extra, StateExtra)
        other = read_extra(LogProof.parse(world.chain.prove_state(Counting.notes, "y")).extra)
        absent = read_extra(LogProof.parse(world.chain.prove_state(Counting.notes, "z")).extra)
        assert isinstance(other, StateExtra)
        assert isinstance(absent, StateExtra)
        lies: list[dict[str, Any]] = [
            {"row": None},
            {"row": None, "proof": absent.proof},
            {"row": other.row},
            {"row": other.row, "proof": other.proof},
            {"row": encode(["x", {"text": "2"}])},
            {"key": "y", "row": other.row, "proof": other.proof},
            {"key": ["x"]},
            {"key": None},
            {"key": {}},
            {"key": 1 << 62},
            {"table": "overall"},
            {"contract": "other"},
            {"proof": b""},
            {"header": world.chain._archive.leaf(receipt.index)},
            {"header": world.chain.header(receipt.height - 1).leaf},
            {"header": b""},
            {"kind": "entry"},
        ]
        for lie in lies:
            forged = evolve(good, extra=extra_bytes(evolve(extra, **lie)))
            with pytest.raises(VerificationError):
                mc.verify_state(bytes(forged), Counting.notes, "x", trust=world.chain.trust)


class TestFlips:
    def check(self, proof: bytes, kind: Any, trust: Trust) -> None:
        mc.verify(proof, kind, trust=trust)
        for at in range(len(proof)):
            for bit in range(8):
                bad = bytearray(proof)
                bad[at] ^= 1 << bit
                with pytest.raises(VerificationError):
                    mc.verify(bytes(bad), kind, trust=trust)
        for end in range(len(proof)):
            with pytest.raises(VerificationError):
                mc.verify(proof[:end], kind, trust=trust)

    def test_an_entry(self, world: World) -> None:
        receipt = world.send(Add(1), world.authority)
        self.check(world.chain.prove(receipt), Entry, world.chain.trust)
        self.check(world.chain.prove(receipt), Added, world.chain.trust)

    def test_a_row(self, world: World) -> None:
        world.send(Put("x", "1"), world.authority)
        self.check(world.chain.prove_state(Counting.notes, "x"), NoteRow, world.chain.trust)


class TestForm:
    def test_the_example_of_the_specification(self) -> None:
        """Its path is longer and its signatures are cut short there; these are cut so that they are base64."""
        proof = LogProof.parse(SPECIFIED)
        assert proof.extra == b"age-v1.2.1-darwin-arm64.tar.gz"
        assert (proof.inclusion.index, proof.checkpoint.size) == (1, 2)
        assert len(proof.inclusion.path) == 1

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("tlog-proof@v1", "tlog-proof@v2"),
            ("tlog-proof@v1\n", "tlog-proof@v1\n\n"),
            ("extra ", "extra  "),
            ("extra YWdl", "extra YWd"),
            ("extra YWdlLXYxLjIuMS1kYXJ3aW4tYXJtNjQudGFyLmd6", "extra "),
            ("index 1", "index 01"),
            ("index 1", "index 2"),
            ("index 1", "index -1"),
            ("index 1", "Index 1"),
            ("index 1\n", ""),
            ("index 1", "index 1\nextra YWdl"),
            ("gSKyXoYZ", "gSKyXoY"),
            ("gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=", "gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlR="),
            (
                "gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=\n",
                "gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=\n" * 64,
            ),
            ("\n\nexample", "\nexample"),
            ("sFodV", "sFod"),
            ("—", "-"),
        ],
    )
    def test_malformed(self, old: str, new: str) -> None:
        assert old in SPECIFIED
        with pytest.raises(MalformedProof):
            LogProof.parse(SPECIFIED.replace(old, new, 1))

    def test_bytes_that_are_no_proof(self, world: World) -> None:
        for data in (b"", b"\0", b"\xff", "\ud800", b"x" * ((4 << 20) + 1), str(world.chain.checkpoint())):
            with pytest.raises(MalformedProof):
                mc.verify(data, Entry, trust=world.chain.trust)

    def test_what_is_neither_text_nor_bytes(self, world: World) -> None:
        proof, trust = world.chain.prove(0), world.chain.trust
        assert mc.verify(bytearray(proof), Header, trust=trust).value == world.chain.header(0)  # type: ignore[arg-type]
        for data in (memoryview(proof), None, 5, [proof], LogProof.parse(proof)):
            for read in (
                lambda data: mc.verify(data, Header, trust=trust),
                lambda data: mc.verify_state(data, Counting.notes, "x", trust=trust),
                mc.Checkpoint.parse,
                Trust.parse,
            ):
                with pytest.raises(TypeError, match="is text or bytes, not"):
                    read(data)

    def test_extra_lines_of_others(self, world: World) -> None:
        good = LogProof.parse(world.chain.prove(0))
        for extra in (b"", b"x", encode(None), encode({}), encode({"kind": "entry"}), encode([good.extra])):
            with pytest.raises(MalformedProof):
                mc.verify(bytes(evolve(good, extra=extra)), Header, trust=world.chain.trust)

    def test_a_log_that_holds_nonsense(self, world: World) -> None:
        """Signed, and still no entry: that convicts the log, and nothing worse."""
        from medchain.ledger.checkpoint import Checkpoint
        from medchain.ledger.note import Note
        from medchain.ledger.proof import EntryExtra
        from medchain.merkle import LogTree

        key = world.authority.log_key(world.chain.tag)
        good = world.chain._archive.leaf(1)
        plain: Any = decode(good[1:])
        for leaf in (b"", b"\1", b"\7", good[:-1], b"\1" + encode({**plain, "content": b"no transaction"})):
            tree = LogTree([leaf])
            text = Checkpoint.text(world.chain.origin, tree.head)
            note = Note(text, ()).signed_with(NoteSigner(world.chain.origin, key).sign(text))
            proof = LogProof(
                tree.prove_inclusion(0),
                Checkpoint(world.chain.origin, tree.head, note),
                extra_bytes(EntryExtra(leaf)),
            )
            with pytest.raises(MedchainError):
                mc.verify(bytes(proof), Entry, trust=world.chain.trust)


def test_consistency_of_sizes(world: World) -> None:
    for number in range(40):
        world.send(Add(number), world.authority)
    head = world.chain.head
    for old in range(1, head.size + 1):
        before = world.chain._archive.head(old)
        assert world.chain.prove_consistency(old, head.size).verify(old=before, new=head) == head


@pytest.fixture
def world() -> Any:
    made = World.make()
    with made.chain:
        made.send(Add(1), made.authority)
        yield made


def test_extra_is_base64(world: World) -> None:
    line = world.chain.prove(0).split(b"\n")[1]
    assert decode(base64.b64decode(line.removeprefix(b"extra ")))["kind"] == "entry"  # type: ignore[index, call-overload]
