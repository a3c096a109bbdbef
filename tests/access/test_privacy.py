"""Nothing about a patient lies in clear on the chain, in the names of blobs, or in the blobs."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clinic import Clinic

import medchain as mc
from medchain import ehr
from medchain.storage import MemoryStore

SAMPLE = Path(__file__).parents[2] / "examples" / "data" / "bundle.json"


def strings(value: Any) -> Iterator[str]:
    """Every text in a JSON document, and every number as it is written."""
    if isinstance(value, dict):
        for each in value.values():
            yield from strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from strings(each)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def traces(text: str) -> Iterator[bytes]:
    """What would give a text away: itself, its reversible forms, its unsalted hashes."""
    data = text.encode()
    for form in (data, data.lower(), data.hex().encode(), base64.b64encode(data)[:-4]):
        if len(form) >= 6:
            yield form
    yield hashlib.sha256(data).digest()
    yield hashlib.sha256(b"\0" + data).digest()
    yield hashlib.sha1(data).digest()
    yield hashlib.md5(data).digest()


def everything(house: Clinic) -> bytes:
    """The whole store of the chain, and all that the blob stores hold, with all their names."""
    store = house.chain._archive.store
    assert isinstance(store, MemoryStore)
    pieces = [key + b"\n" + value for key, value in store.scan()]
    blobs = house.chain.blobs
    for object_id in blobs.objects():
        for hash in blobs.list(object_id):
            pieces += [object_id, hash, blobs.get(object_id, hash, limit=1 << 24)]
    return b"\n".join(pieces)


def test_no_trace_of_the_patient_is_stored(house: Clinic) -> None:
    raw = SAMPLE.read_bytes()
    record = ehr.Records(house.access).add(raw, house.bind(), by=[house["hospital"], house["owner"]])
    request = house.ask(record)
    house.approve(request, "owner", "dr_wu")
    assert house.access.open(request, by=house["dr_lee"]).raw == raw
    house.access.decline(house.ask(record, parts=(1, 2)), by=house["owner"])
    stored = everything(house)
    lowered = stored.lower()
    own = {"application", "treatment", "record", "request"}  # words of the ledger itself
    looked = 0
    for text in set(strings(json.loads(raw))) - own:
        if len(text) < 5:
            continue
        looked += 1
        for trace in traces(text):
            assert trace not in stored, f"{text!r} can be found"
        assert text.lower().encode() not in lowered, f"{text!r} can be found"
    assert looked > 30


def test_no_name_of_a_party_is_stored(house: Clinic) -> None:
    house.decided()
    stored = everything(house)
    for name in house.wallets:
        if name not in ("owner",):  # the word stands for the field of every policy
            assert name.encode() not in stored
    assert isinstance(house.chain, mc.Chain)
