"""The audit of sealed data: what is missing, damaged, or erased and still there, and in which store."""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import clinic
import pytest
from clinic import Clinic

from medchain.access import AccessContract, BlobReport, Finding, Flaw, Record, audit_blobs
from medchain.access.messages import AddRecord
from medchain.errors import StorageError
from medchain.sealing import Dealing, Header, Part, SealedHeader
from medchain.storage import BlobStore, FileBlobs, MemoryBlobs, ReplicatedBlobs
from medchain.testing import FaultBlobs

MANY = (Part(b"one"), Part(bytes(200_000)), Part(b"three"))


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    return [tmp_path / name for name in "abc"]


@pytest.fixture
def house(folders: list[Path]) -> Iterator[Clinic]:
    with clinic.clinic(ReplicatedBlobs([FileBlobs(each) for each in folders], write_quorum=2)) as made:
        yield made


@pytest.fixture
def record(house: Clinic) -> Record:
    """A record of which everything exists that there can be: shares for an approved request, too."""
    record = house.access.add(MANY, house.bind(), by=[house["hospital"], house["owner"]])
    house.decided(record)
    return record


def bundle(house: Clinic, record: Record) -> SealedHeader:
    return house.access.bundle(house.chain.table(AccessContract.records)[record.id])


def file(folder: Path, record: Record, digest: bytes) -> Path:
    return folder / record.object.hex() / digest.hex()


def named(house: Clinic, record: Record) -> dict[str, bytes]:
    """Everything that the chain names of a record, found by another way than the audit's."""
    sealed = bundle(house, record)
    blobs = {"header": sealed.header_hash, "dealing": sealed.dealing_hash}
    payload, _ = sealed.payload
    assert payload is not None
    blobs["payload"] = payload
    for number, envelope in enumerate(sealed.envelopes):
        blobs[f"envelope {number}"] = envelope.hash
    for (request, _), approval in house.chain.table(AccessContract.approvals).items():
        if house.chain.table(AccessContract.requests)[request].record == record.id:
            blobs[f"share {len(blobs)}"] = approval.share
    return blobs


def only(report: BlobReport) -> Finding:
    (finding,) = report.findings
    assert not report.holds
    return finding


def test_a_chain_whose_stores_are_whole_holds(house: Clinic, record: Record) -> None:
    other = house.add()
    report = audit_blobs(house.chain)
    blobs = len(named(house, record)) + len(named(house, other))
    assert report.holds
    assert (report.records, report.erased, report.findings, report.lost) == (2, 0, (), ())
    assert [(store.good, store.error) for store in report.stores] == [(blobs, None)] * 3
    assert report.origin == house.chain.origin
    assert "2 records (0 erased) in 3 stores: all of it holds" in str(report)


def test_an_empty_chain_holds_if_its_stores_answer(house: Clinic, folders: list[Path]) -> None:
    report = audit_blobs(house.chain)
    assert report.holds
    assert report.records == 0
    shutil.rmtree(folders[1])
    report = audit_blobs(house.chain)
    assert not report.holds
    assert "has gone" in (report.stores[1].error or "")


@pytest.mark.parametrize("store", [0, 1, 2])
@pytest.mark.parametrize("harm", ["missing", "flipped", "cut", "longer", "empty"])
def test_every_blob_that_is_harmed_in_one_store_is_named(
    house: Clinic, record: Record, folders: list[Path], store: int, harm: str
) -> None:
    house.add()
    for what, digest in named(house, record).items():
        place = file(folders[store], record, digest)
        content = place.read_bytes()
        match harm:
            case "missing":
                place.unlink()
            case "flipped":
                middle = len(content) // 2
                place.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
            case "cut":
                place.write_bytes(content[:-1])
            case "longer":
                place.write_bytes(content + b"x")
            case _:
                place.write_bytes(b"")
        finding = only(audit_blobs(house.chain))
        assert (finding.record, finding.object) == (record.id, record.object)
        assert finding.blob == digest
        assert finding.what.split()[0] == what.split()[0]
        assert [(copy.store, copy.flaw) for copy in finding.copies] == [
            (store, Flaw.MISSING if harm == "missing" else Flaw.DAMAGED)
        ]
        assert finding.good == tuple({0, 1, 2} - {store})
        assert not finding.lost
        place.write_bytes(content)
    assert audit_blobs(house.chain).holds


def test_damaged_parts_are_named(house: Clinic, record: Record, folders: list[Path]) -> None:
    sealed = bundle(house, record)
    payload, size = sealed.payload
    assert payload is not None
    place = file(folders[1], record, payload)
    content = place.read_bytes()
    for part in range(4):
        at = sealed.header.offsets[part]
        place.write_bytes(content[:at] + b"!" + content[at + 1 :])
        (copy,) = only(audit_blobs(house.chain)).copies
        assert copy.parts == (part,)
    place.write_bytes(content[: sealed.header.offsets[2] - 1])
    (copy,) = only(audit_blobs(house.chain)).copies
    assert copy.parts == (1, 2, 3)
    assert "damaged (parts 1-3) in store 1; right in stores 0, 2" in str(audit_blobs(house.chain))
    assert size == len(content)


def test_what_is_lost_in_every_store_is_said_to_be(
    house: Clinic, record: Record, folders: list[Path]
) -> None:
    digest = list(named(house, record).values())[-1]
    file(folders[0], record, digest).unlink()
    file(folders[1], record, digest).write_bytes(b"nonsense")
    file(folders[2], record, digest).unlink()
    report = audit_blobs(house.chain)
    finding = only(report)
    assert finding.lost
    assert report.lost == (finding,)
    assert finding.good == ()
    assert "missing in store 0, damaged in store 1, missing in store 2; lost" in str(report)


def test_a_header_that_is_lost_hides_nothing_else(house: Clinic, record: Record, folders: list[Path]) -> None:
    blobs = named(house, record)
    for folder in folders:
        file(folder, record, blobs["header"]).unlink()
    file(folders[2], record, blobs["envelope 0"]).unlink()
    header, envelope = audit_blobs(house.chain).findings
    assert (header.what, header.lost) == ("header", True)
    assert (envelope.blob, envelope.lost) == (blobs["envelope 0"], False)


@pytest.mark.parametrize("store", [0, 1, 2])
def test_an_object_that_is_gone_from_a_store_is_one_finding(
    house: Clinic, record: Record, folders: list[Path], store: int
) -> None:
    for place in (folders[store] / record.object.hex()).iterdir():
        place.unlink()
    finding = only(audit_blobs(house.chain))
    assert (finding.what, finding.blob) == ("object", None)
    assert [(copy.store, copy.flaw) for copy in finding.copies] == [(store, Flaw.MISSING)]
    assert not finding.lost


def test_an_audit_changes_nothing(house: Clinic, record: Record, folders: list[Path]) -> None:
    digests = list(named(house, record).values())
    file(folders[0], record, digests[0]).unlink()
    file(folders[1], record, digests[1]).write_bytes(b"nonsense")
    (folders[2] / "erased" / bytes(32).hex()).touch()

    def state() -> dict[Path, bytes]:
        return {each: each.read_bytes() for folder in folders for each in folder.rglob("*") if each.is_file()}

    before = state()
    audit_blobs(house.chain)
    assert state() == before


class TestErasure:
    def test_what_is_erased_everywhere_holds(self, house: Clinic, record: Record) -> None:
        house.access.erase(record, by=[house["owner"]])
        report = audit_blobs(house.chain)
        assert report.holds
        assert (report.records, report.erased, report.size) == (1, 1, 0)

    def test_a_store_that_was_not_told_and_one_where_it_is_still_there(
        self, house: Clinic, record: Record, folders: list[Path]
    ) -> None:
        digest = named(house, record)["payload"]
        house.access.erase(record, by=[house["owner"]])
        for folder in folders[:2]:
            (folder / "erased" / record.object.hex()).unlink()
        place = file(folders[0], record, digest)
        place.parent.mkdir()
        place.write_bytes(b"came back")
        finding = only(audit_blobs(house.chain))
        assert [(copy.store, copy.flaw) for copy in finding.copies] == [
            (0, Flaw.STILL_THERE),
            (1, Flaw.NO_TOMBSTONE),
        ]
        assert finding.good == (2,)
        assert not finding.lost

    def test_ciphertext_under_a_tombstone_is_found(
        self, house: Clinic, record: Record, folders: list[Path]
    ) -> None:
        house.access.erase(record, by=[house["owner"]])
        place = file(folders[1], record, bytes(32))
        place.parent.mkdir()
        place.write_bytes(b"left by a writer that died")
        finding = only(audit_blobs(house.chain))
        assert [(copy.store, copy.flaw) for copy in finding.copies] == [(1, Flaw.STILL_THERE)]
        assert isinstance(house.chain.blobs, ReplicatedBlobs)
        assert house.chain.blobs.repair().swept == 1
        assert audit_blobs(house.chain).holds

    def test_a_tombstone_that_nobody_ordered_is_named(
        self, house: Clinic, record: Record, folders: list[Path]
    ) -> None:
        (folders[2] / "erased" / record.object.hex()).touch()
        finding = only(audit_blobs(house.chain))
        assert [(copy.store, copy.flaw) for copy in finding.copies] == [(2, Flaw.NOT_ORDERED)]
        assert finding.good == (0, 1)

    def test_a_record_that_is_erased_during_the_audit_is_judged_as_erased(
        self, house: Clinic, record: Record
    ) -> None:
        other = house.add()

        def erase(done: int, total: int | None) -> None:
            if not house.chain.blobs.erased(other.object):
                for each in (record, other):
                    house.access.erase(each, by=[house["owner"]])

        report = audit_blobs(house.chain, erase)
        assert report.holds
        assert report.erased >= 1


class TestContradictions:
    """The author has hashed nonsense: no store is to blame, and no repair helps."""

    def add(self, house: Clinic, header: bytes, dealing: bytes, *blobs: bytes) -> None:
        object_id = Header.from_bytes(header).object if header[:1] > b"\x80" else secrets.token_bytes(32)
        for blob in (header, dealing, *blobs):
            house.chain.blobs.put(object_id, blob)
        message = AddRecord(
            record=secrets.token_bytes(32),
            object=object_id,
            subject=house.party("owner").id,
            header=hashlib.sha256(header).digest(),
            dealing=hashlib.sha256(dealing).digest(),
            policy=bytes(house.bind()),
        )
        house.chain.send(AccessContract, message, by=[house["hospital"], house["owner"]])

    def test_documents_that_are_none(self, house: Clinic) -> None:
        self.add(house, b"\x00no header", b"\x00no dealing")
        header, dealing = audit_blobs(house.chain).findings
        for finding, what in ((header, "header"), (dealing, "dealing")):
            assert finding.what == what
            assert {copy.flaw for copy in finding.copies} == {Flaw.CONTRADICTORY}
            assert len(finding.copies) == 3
            assert finding.lost

    def test_documents_of_another_chain(self, house: Clinic) -> None:
        with clinic.clinic() as elsewhere:
            sealed = bundle(elsewhere, elsewhere.add())
        self.add(house, *sealed.documents())
        assert [finding.what for finding in audit_blobs(house.chain).findings] == ["header", "dealing"]

    def test_a_dealing_of_another_record(self, house: Clinic, record: Record) -> None:
        one, other = bundle(house, record), bundle(house, house.add())
        dealing = Dealing.from_bytes(bytes(other.dealing))
        assert dealing.header != one.header_hash
        forged = Header.from_bytes(bytes(one.header).replace(one.header.object, bytes(32)))
        self.add(house, bytes(forged), bytes(dealing))
        report = audit_blobs(house.chain)
        assert [finding.what for finding in report.findings] == ["dealing", "payload"]
        assert [finding.copies[0].flaw for finding in report.findings] == [Flaw.CONTRADICTORY, Flaw.MISSING]

    def test_roots_that_the_payload_does_not_have(self, house: Clinic, record: Record) -> None:
        sealed = bundle(house, record)
        payload, size = sealed.payload
        assert payload is not None
        content = house.chain.blobs.get(record.object, payload, limit=size)
        data = bytes(sealed.header).replace(sealed.header.object, bytes(32))
        forged = data.replace(sealed.header.parts[2].root, bytes(32))
        self.add(house, forged, bytes(sealed.dealing), content)
        findings = [one for one in audit_blobs(house.chain).findings if one.what == "payload"]
        assert [(copy.flaw, copy.parts) for copy in findings[0].copies] == [(Flaw.CONTRADICTORY, (2,))] * 3


class TestStores:
    def test_a_store_that_does_not_answer_is_named_and_the_others_are_audited(self) -> None:
        members: list[BlobStore] = [FaultBlobs(MemoryBlobs()), MemoryBlobs(), MemoryBlobs()]
        with clinic.clinic(ReplicatedBlobs(members, write_quorum=2)) as house:
            house.add()
            down = members[0]
            assert isinstance(down, FaultBlobs)
            down.down = True
            report = audit_blobs(house.chain)
            assert not report.holds
            assert report.findings == ()
            assert "Input/output error" in (report.stores[0].error or "")
            assert [store.error for store in report.stores[1:]] == [None, None]
            assert report.stores[1].good == report.stores[2].good > 0
            assert "1 store not answering" in report.summary

    def test_a_store_that_fails_halfway(self, house: Clinic, record: Record) -> None:
        class Failing(MemoryBlobs):
            left = 5

            def _size(self, object_id: bytes, digest: bytes) -> int:
                self.left -= 1
                if not self.left:
                    raise StorageError("the cable is out")
                return super()._size(object_id, digest)

        failing = Failing()
        for digest in named(house, record).values():
            failing.put(record.object, house.chain.blobs.get(record.object, digest, limit=1 << 30))
        report = audit_blobs(house.chain, stores=[failing, house.chain.blobs])
        assert [store.error for store in report.stores] == ["the cable is out", None, None, None]
        assert report.findings == ()
        assert not report.holds

    def test_stores_that_are_named_are_audited_instead_of_the_chains_own(
        self, house: Clinic, record: Record, folders: list[Path]
    ) -> None:
        report = audit_blobs(house.chain, stores=[MemoryBlobs(), FileBlobs(folders[0])])
        assert [store.name for store in report.stores] == [
            "MemoryBlobs: 0 objects",
            f"FileBlobs: {folders[0]}",
        ]
        finding = only(report)
        assert (finding.what, finding.good) == ("object", (1,))

    def test_progress_counts_bytes_and_ends_at_all_of_them(self, house: Clinic, record: Record) -> None:
        house.add()
        seen: list[tuple[int, int | None]] = []
        report = audit_blobs(house.chain, lambda done, total: seen.append((done, total)))
        assert [done for done, _ in seen] == sorted(done for done, _ in seen)
        assert seen[0][1] is None
        assert seen[-1] == (report.size, report.size)
        payloads = sum(bundle(house, each).payload[1] for each in (record,)) * 3
        assert report.size > payloads


def test_a_report_prints_and_draws_itself(house: Clinic, record: Record, folders: list[Path]) -> None:
    digest = named(house, record)["payload"]
    file(folders[0], record, digest).unlink()
    report = audit_blobs(house.chain)
    assert f"record {record.id.hex()}, object {record.object.hex()}" in str(report)
    assert f"payload {digest.hex()[:12]}…: missing in store 0; right in stores 1, 2" in str(report)
    drawn = report._repr_html_()
    assert "missing in store 0" in drawn
    assert "<script" not in drawn
    assert len(repr(report)) < 2000


def test_only_so_many_findings_are_drawn(
    house: Clinic, record: Record, folders: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = named(house, record)
    for digest in digests.values():
        file(folders[0], record, digest).unlink()
    file(folders[0], record, bytes(32)).write_bytes(
        b""
    )  # the object is there, and nothing that is named of it
    report = audit_blobs(house.chain)
    assert len(report.findings) == len(digests)
    monkeypatch.setattr("medchain.access.blob_report._ROWS_DRAWN", 5)
    assert f"and {len(digests) - 5} more" in report._repr_html_()
