"""Nothing about a patient lies in clear on the chain, in the names of blobs, or in the blobs."""

from __future__ import annotations

import base64
import hashlib
import json
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from attrs import evolve
from clinic import Clinic

import medchain as mc
from medchain import ehr
from medchain.access import AccessContract
from medchain.access.messages import RequestAccess
from medchain.chain import installed_contracts
from medchain.errors import InvalidTransaction
from medchain.ledger import Signed
from medchain.ledger.governance import Governance
from medchain.ledger.keys import Keys
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


TELLING = (
    "Ada Okafor has had pneumonia since May",
    "x" * 33,
    "X" * 33,
    "x" * 46_345,
    "",
    "Treat",
    "a\n",
    "é",
)


def texts(kind: Any) -> Iterator[Any]:
    """The fields of a record class that are text, or hold text."""
    hints = typing.get_type_hints(kind)
    for each in attrs.fields(kind):
        if str in (hints[each.name], *typing.get_args(hints[each.name])):
            yield each


KINDS = [
    kind
    for contract in (*installed_contracts(), Governance, Keys)
    for kind in (*(message for message, _ in contract.handlers.values()), *contract.events)
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.__name__))
def test_no_field_on_chain_takes_free_text(kind: Any) -> None:
    for each in texts(kind):
        assert each.validator is not None, f"{kind.__name__}.{each.name} is free text"
        for text in TELLING:
            with pytest.raises(ValueError, match="form"):
                each.validator(None, each, text)


def test_free_text_is_not_logged_by_a_refusal(house: Clinic) -> None:
    record = house.add()
    size = house.chain.head.size
    telling = TELLING[0]
    for ask in (
        lambda: house.ask(record, clause=telling),
        lambda: house.access.complain(record, telling, by=house["dr_wu"]),
        lambda: house.access.lift(record, telling, house.party("dr_lee"), by=[house["er_desk"]]),
    ):
        with pytest.raises(ValueError, match="clause is not of the form"):
            ask()
    # Nor by a client of one's own that builds the body itself.
    message = RequestAccess(record.id, bytes(32), "treatment", "TREAT", None, bytes(32), bytes(1216), 1)
    body = house.chain.prepare(AccessContract, message, [house.party("dr_lee")])
    for name in ("clause", "purpose"):
        for text in TELLING:
            lying = evolve(body, message=[body.message[0], body.message[1] | {name: text}])
            with pytest.raises(InvalidTransaction):
                house.chain.submit(Signed.start(lying).sign(house["dr_lee"])).result()
    assert house.chain.head.size == size
    assert telling.encode() not in everything(house)


def test_no_name_of_a_party_is_stored(house: Clinic) -> None:
    house.decided()
    stored = everything(house)
    for name in house.wallets:
        if name not in ("owner",):  # the word stands for the field of every policy
            assert name.encode() not in stored
    assert isinstance(house.chain, mc.Chain)
