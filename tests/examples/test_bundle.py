"""The sample record under examples/data: made by its script, valid FHIR R4, complete in itself."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import vectors

DATA = Path(__file__).resolve().parents[2] / "examples" / "data"


@pytest.fixture(scope="module")
def raw() -> bytes:
    return (DATA / "bundle.json").read_bytes()


@pytest.fixture(scope="module")
def bundle(raw: bytes) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(raw)
    return value


def strings(value: Any) -> Iterator[tuple[str, str]]:
    """Every (key, text) pair in a JSON value."""
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, str):
                yield key, item
            else:
                yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)


def test_the_script_gives_the_file_byte_for_byte(raw: bytes) -> None:
    spec = importlib.util.spec_from_file_location("make_bundle", DATA / "make_bundle.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.render() == raw


def test_every_resource_follows_the_r4_schema(bundle: dict[str, Any]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(vectors.path("fhir/fhir.schema.json").read_bytes())

    def problems(kind: str, value: dict[str, Any]) -> list[str]:
        rules = {"$ref": f"#/definitions/{kind}", "definitions": schema["definitions"]}
        errors = jsonschema.Draft6Validator(rules).iter_errors(value)
        return [f"{kind} {list(error.absolute_path)}: {error.message[:200]}" for error in errors]

    # Resource by resource first: the bundle's schema would only say that an entry fits none of 148 kinds.
    for entry in bundle["entry"]:
        assert problems(entry["resource"]["resourceType"], entry["resource"]) == []
    assert problems("Bundle", bundle) == []


def test_references_stay_inside_the_bundle(bundle: dict[str, Any]) -> None:
    known = [entry["fullUrl"] for entry in bundle["entry"]]
    assert len(set(known)) == len(known)
    assert {text for key, text in strings(bundle) if key == "reference"} <= set(known)


def test_everything_is_marked_as_test_data(bundle: dict[str, Any]) -> None:
    resources = [entry["resource"] for entry in bundle["entry"]]
    for resource in [bundle, *resources]:
        assert "HTEST" in [label["code"] for label in resource["meta"]["security"]]
    patients = [resource for resource in resources if resource["resourceType"] == "Patient"]
    assert [patient["name"][0]["family"] for patient in patients] == ["Testperson"]


def test_it_is_as_large_and_mixed_as_a_real_record(raw: bytes, bundle: dict[str, Any]) -> None:
    kinds = {entry["resource"]["resourceType"] for entry in bundle["entry"]}
    assert 60_000 <= len(raw) <= 120_000
    assert 25 <= len(bundle["entry"]) <= 40
    assert kinds == {
        "AllergyIntolerance",
        "Condition",
        "DiagnosticReport",
        "DocumentReference",
        "Encounter",
        "Immunization",
        "MedicationRequest",
        "Observation",
        "Organization",
        "Patient",
        "Practitioner",
        "Procedure",
    }
    assert re.search(r"[^\x00-\x7f]", raw.decode())  # names beyond ASCII must survive every layer
