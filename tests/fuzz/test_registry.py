"""The registry is complete, and what it says is so."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz import logs, seeds
from fuzz.decoders import DECODERS, EXEMPT
from fuzz.documents import DOCUMENTS
from fuzz.judging import judge
from fuzz.ledgers import LEDGERS
from fuzz.measuring import entered
from fuzz.readers import readers, readers_of

from medchain.encoding import decode

REACHED = {place for decoder in DECODERS.values() for place in decoder.reaches}


def test_every_reader_of_the_library_has_a_door() -> None:
    missing = sorted(readers() - REACHED - EXEMPT.keys())
    assert not missing, f"without a door in tests/fuzz (docs/how-to/fuzz-a-decoder.md): {', '.join(missing)}"


def test_nothing_is_exempt_without_need() -> None:
    assert EXEMPT.keys() <= readers() - REACHED
    assert all(EXEMPT.values())


def test_the_finder_finds() -> None:
    source = """
class Note:
    @classmethod
    def parse(cls, text): ...
    def __str__(self): return base64.b64encode(self.raw).decode()
    def _inner(self, data):
        def read(): return json.loads(data)
        return read()

async def fetch(data): return Header.from_bytes(data)
def load(data): return records.decode_record(Header, data)
def save(record): return records.encode_record(record)
"""
    assert readers_of(source) == {"Note.parse", "Note._inner", "fetch", "load"}


def test_names_tell_doors_apart() -> None:
    assert len(DECODERS) == len(DOCUMENTS) + len(LEDGERS)


@pytest.mark.parametrize("name", DECODERS)
def test_seeds_get_where_the_registry_says(name: str) -> None:
    decoder = DECODERS[name]
    seen = set().union(*(entered(decoder, seed) for seed in decoder.seeds()))
    assert set(decoder.reaches) <= seen


@pytest.mark.parametrize("name", DECODERS)
def test_what_real_writers_write_is_taken(name: str) -> None:
    decoder = DECODERS[name]
    for seed in decoder.seeds():
        if decoder.accepts:
            decoder.read(seed)
            judge(decoder, seed)
        else:
            with pytest.raises(decoder.raises):
                decoder.read(seed)


def test_every_table_and_every_message_is_among_the_seeds() -> None:
    rows = {(contract, table) for contract, table, *_ in map(decode, logs.row_seeds())}
    assert rows == seeds.TABLES.keys()
    sent = {message[0] for _, _, message in map(decode, logs.message_seeds())}
    by_timer = {"settle", "overdue", "expire"}
    assert sent | by_timer == {name for contract in logs.CONTRACTS.values() for name in contract.handlers}


def test_the_how_to_shows_a_door_that_is_there() -> None:
    root = Path(__file__).parents[2]
    page = (root / "docs" / "how-to" / "fuzz-a-decoder.md").read_text()
    example = page.split("```python\n", 1)[1].split("```", 1)[0]
    assert example in (root / "tests" / "fuzz" / "documents.py").read_text()
