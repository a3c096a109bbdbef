"""Bundles through the whole workflow: sealed, asked for, approved, decided, opened, byte for byte."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import clinic
import pytest
import vectors
from clinic import Clinic

from medchain.ehr import Bundle, Records
from medchain.ehr.bundle import FRAGMENT
from medchain.errors import EncodingError
from medchain.sealing import Part

SAMPLE = Path(__file__).parents[2] / "examples" / "data" / "bundle.json"


@pytest.fixture
def house() -> Iterator[Clinic]:
    with clinic.clinic() as made:
        yield made


def add(house: Clinic, bundle: bytes) -> clinic.Record:
    return Records(house.access).add(bundle, house.bind(), by=[house["hospital"], house["owner"]])


def travel(house: Clinic, raw: bytes) -> None:
    """Through the whole workflow and back."""
    records = Records(house.access)
    request = house.decided(add(house, raw))
    opened = records.open(request, by=house["dr_lee"])
    assert opened.raw == raw
    assert bytes(records.bundle(opened)) == raw
    entries = json.loads(raw).get("entry", ())
    wanted = [entry["resource"] for entry in entries if "resource" in entry]
    assert [each["resourceType"] for each in records.resources(opened)] == [
        each["resourceType"] for each in wanted
    ]


def test_the_sample_record_comes_back(house: Clinic) -> None:
    travel(house, SAMPLE.read_bytes())


def test_the_hl7_example_bundles_come_back(house: Clinic) -> None:
    found = sorted(vectors.path("fhir/r4-bundles").glob("*.json"))
    assert len(found) == 31
    for path in found:
        travel(house, path.read_bytes())
    house.chain.audit()


def test_the_synthea_patients_come_back(house: Clinic) -> None:
    found = sorted(vectors.path("fhir/synthea").glob("*.json"))
    assert len(found) == 4
    for path in found:
        travel(house, path.read_bytes())


def test_one_resource_opens_alone(house: Clinic) -> None:
    raw = SAMPLE.read_bytes()
    bundle = Bundle.from_bytes(raw)
    wanted = bundle.find("Patient")
    request = house.ask(add(house, raw), parts=wanted)
    house.approve(request, "owner", "dr_wu")
    records = Records(house.access)
    opened = records.open(request, by=house["dr_lee"])
    [resource] = records.resources(opened)
    assert resource["resourceType"] == "Patient"
    assert opened.raw == bundle.fragments[wanted[0] - 1].data
    with pytest.raises(EncodingError):
        records.bundle(opened)


@pytest.mark.parametrize("data", [b"{}", b'{"resource": null}', b'{"resource": [1]}', b"7", b"no JSON"])
def test_an_author_who_seals_something_else(house: Clinic, data: bytes) -> None:
    """A part with the label of a resource and without one was a KeyError once."""
    part = Part(data, FRAGMENT, "Patient/1")
    record = house.access.add([part], house.bind(), by=[house["hospital"], house["owner"]])
    request = house.decided(record)
    records = Records(house.access)
    opened = records.open(request, by=house["dr_lee"])
    with pytest.raises(EncodingError):
        records.resources(opened)


@pytest.mark.parametrize("raw", [b"", b"{", b'{"resourceType":"Patient"}', b"[" * 100_000])
def test_what_is_no_bundle_writes_nothing(house: Clinic, raw: bytes) -> None:
    size = house.chain.head.size
    with pytest.raises(EncodingError):
        add(house, raw)
    assert house.chain.head.size == size
    assert list(house.chain.blobs.objects()) == []
