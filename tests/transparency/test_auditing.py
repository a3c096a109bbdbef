"""An auditor's report says what is in the log: who vouches, outcomes, silences, refusals, emergencies."""

from __future__ import annotations

import datetime
import json
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import pytest
from attrs import evolve
from clinic import DAY, HOUR, clinic
from ledger.counting import Add, Later
from transparency.logs import Published, publish_leaves
from transparency.test_following import remade

from medchain.encoding import encode
from medchain.errors import InvalidBlock, UntrustedSigner
from medchain.ledger.entry import Entry, Kind, Outcome, parse_leaf
from medchain.ledger.note import NoteSigner
from medchain.ledger.quorum import Quorum, Witness
from medchain.merkle.display import path_svg
from medchain.transparency import PublishedLog, publish
from medchain.transparency.entries import read_entry
from medchain.transparency.growth import POINTS, Growth


def test_a_report_counts_what_is_there(tmp_path: Path) -> None:
    published = Published.make(tmp_path / "pub", 4)
    world, ann = published.world, published.person
    world.clock.now += 7 * HOUR
    world.send(Add(-5), ann)  # refused
    world.send(Later(world.clock.now + 1000, 3), ann)
    published.grow(4)
    leaves = published.leaves()
    with PublishedLog(published.folder, published.trust) as log:
        log.update()
        done: list[int] = []
        report = log.audit(lambda at, total: done.append(at), gap=6 * 3600)
        assert done == [len(leaves)]
        parsed = [parse_leaf(leaf) for leaf in leaves]
        entries = [each for each in parsed if isinstance(each, Entry)]
        assert report.head == world.chain.head
        assert report.blocks == len(leaves) - len(entries) == world.chain.height + 1
        assert report.entries == len(entries)
        assert report.refused == sum(not each.outcome.ok for each in entries)
        assert report.outcomes == Counter((each.contract, each.outcome) for each in log.entries())
        assert (report.bytes, report.largest) == (sum(map(len, leaves)), max(map(len, leaves)))
        assert report.gaps == 1
        assert report.longest is report.named_gaps[0] or report.longest == report.named_gaps[0]
        assert report.longest.seconds == 7 * 3600
        assert (report.began, report.ended) == (parsed[0].time, world.clock.now)
        assert report.signers == (str(published.trust.log_keys[0]),)
        assert report.witnesses == ()
        assert [each.outcome for each in report.refusals] == [
            each.outcome.code for each in entries if not each.outcome.ok
        ]
        assert any(each.kind is Kind.TIMER and each.contract == "counting" for each in log.entries())
        told = json.loads(json.dumps(report.to_json()))
        assert told["size"] == len(leaves)
        assert sum(each["entries"] for each in told["outcomes"]) == report.entries
        for title, text in report._facts():
            assert title in str(report)
            assert text in str(report)
        assert "7 hours" in str(report)
        page = ET.fromstring(f"<div>{report._repr_html_()}</div>")
        assert len(page.findall("table")) == 2
        with pytest.raises(ValueError, match="seconds"):
            log.audit(gap=0)


def test_a_log_does_not_write_the_report(tmp_path: Path) -> None:
    """Codes and names are whatever the log has signed: they add no line, move no cursor and are no markup."""
    published = Published.make(tmp_path / "pub", 3)
    leaves = published.leaves()
    evil = "ok\n witnessed by  w.example\x1b[2K\u202e<script>"
    entry = parse_leaf(leaves[5])
    assert isinstance(entry, Entry)
    code = remade(leaves, 5, outcome=evolve(entry.outcome, code=evil))
    contract = remade(leaves, 5, kind=Kind.TIMER, content=encode([1, bytes(32), evil, ["m", None]]))
    for name, bad in (("code", code), ("contract", contract)):
        publish_leaves(published, bad, tmp_path / name)
        with PublishedLog(tmp_path / name, published.trust) as log:
            log.update()
            report = log.audit()
        text, page = str(report), report._repr_html_()
        assert text.replace("\n", "").isprintable()
        assert text.count("witnessed by  ") == 2
        assert sum(line.startswith(" witnessed by  w") for line in text.split("\n")) == 0
        assert "<script>" not in page
        assert page.isprintable()
        assert any(evil in each.values() for each in report.to_json()["outcomes"])


def test_witnesses_are_named_and_asked_for(tmp_path: Path) -> None:
    published = Published.make(tmp_path / "pub", 2)
    signer = NoteSigner.cosigner("witness.example/w", published.person.log_key(bytes(32)))
    quorum = Quorum.of(1, Witness("w", signer.key))
    trust = evolve(published.trust, quorum=quorum)
    with PublishedLog(published.folder, trust) as log:
        with pytest.raises(UntrustedSigner):
            log.update()
        place = published.folder / "checkpoint"
        plain = published.world.chain.checkpoint()
        note = plain.note.signed_with(signer.sign(plain.note.text, 1_800_000_000))
        place.write_bytes(bytes(note))
        log.update()
        assert log.audit().witnesses == (str(signer.key),)
        assert "witness.example/w" in str(log.audit())
        assert log.compare(plain).path == ()  # a checkpoint in hand need not be witnessed


def test_emergencies_are_followed_to_their_review(tmp_path: Path) -> None:
    with clinic() as house:
        record = house.add()
        for reviewed in (True, False):
            request = house.ask(record, "night", "ETREAT")
            house.approve(request, "er_desk", "guardian")
            if reviewed:
                house.access.judge(request, justified=True, by=house["auditor"])
            house.clock.now += HOUR
        publish(house.chain, tmp_path / "pub")
        with PublishedLog(tmp_path / "pub", house.chain.trust) as log:
            log.update()
            report = log.audit()
            assert [each.review for each in report.emergencies] == ["justified", "due"]
            assert {each.request for each in report.emergencies} == {
                event.value["request"]
                for entry in log.entries(contract="access")
                for event in entry.events
                if event.name == "review-due"
            }
            assert "2, 1 due, 1 justified" in str(report)
            house.wait(3 * DAY)
            publish(house.chain, tmp_path / "pub")
            log.update()
            assert [each.review for each in log.audit().emergencies] == ["justified", "overdue"]


def test_a_leaf_that_holds_no_transaction_is_named() -> None:
    for kind in (Kind.TRANSACTION, Kind.TIMER):
        leaf = Entry(1, 0, 0, b"\0", Outcome("ok", (), ()), kind).leaf
        with pytest.raises(InvalidBlock) as caught:
            read_entry(7, leaf)
        assert caught.value.index == 7


def test_entries_become_a_table(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="PyArrow (extra arrow) is not installed")
    published = Published.make(tmp_path / "pub", 4)
    with PublishedLog(published.folder, published.trust) as log:
        assert log.to_arrow().num_rows == 0
        log.update()
        table = log.to_arrow(contract="counting")
        assert isinstance(table, pyarrow.Table)
        entries = list(log.entries(contract="counting"))
        assert table["index"].to_pylist() == [each.index for each in entries]
        assert table["signers"].to_pylist() == [list(each.signers) for each in entries]
        assert table["outcome"].to_pylist() == ["ok"] * 4
        assert table["events"].to_pylist() == [["counting.added"]] * 4
        assert table["time"].to_pylist()[0] == datetime.datetime.fromtimestamp(
            entries[0].time / 1000, datetime.UTC
        )


# Pictures.


def test_growth_is_drawn_with_few_points(tmp_path: Path) -> None:
    published = Published.make(tmp_path / "pub", POINTS + 50)
    with PublishedLog(published.folder, published.trust) as log:
        log.update()
        growth = log.growth()
        assert len(growth.points) <= POINTS + 1
        assert growth.points[0] == (published.world.chain.header(0).time, 1)
        assert growth.points[-1] == (published.world.clock.now, log.size)
        sizes = [size for _, size in growth.points]
        assert sizes == sorted(sizes)
        assert ET.fromstring(str(growth)).tag.endswith("svg")
    for few in (Growth(((5, 1),)), Growth(((0, 1), (0, 3)))):
        ET.fromstring(str(few))


def test_a_path_is_drawn(tmp_path: Path) -> None:
    published = Published.make(tmp_path / "pub", 20)
    with PublishedLog(published.folder, published.trust) as log:
        log.update()
        proof = log.path(9)
        picture = proof._repr_svg_()
        assert picture == path_svg(9, log.size, proof.path)
        shown = ET.fromstring(picture)
        titles = [each.text for each in shown.iter("{http://www.w3.org/2000/svg}title")]
        for sibling in proof.path:
            assert any(sibling.hex() in str(title) for title in titles)
    ET.fromstring(path_svg(0, 1, ()))
