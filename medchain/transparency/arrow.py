"""Entries of a log as a table of PyArrow (extra ``arrow``), for data frames and Parquet files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from medchain.transparency.entries import LoggedEntry

__all__ = ["arrow_table"]

RUN = 16_384
"""Entries that become one batch of the table."""


def arrow_table(entries: Iterable[LoggedEntry]) -> Any:
    """A ``pyarrow.Table``: index, height, time, kind, contract, message, outcome, events, id, signers, size.

    Raises:
        ImportError: PyArrow is not installed.
    """
    try:
        import pyarrow
    except ImportError as error:
        raise ImportError("a table of PyArrow needs it: pip install 'medchain[arrow]'") from error
    schema = pyarrow.schema(
        [
            ("index", pyarrow.int64()),
            ("height", pyarrow.int64()),
            ("time", pyarrow.timestamp("ms", tz="UTC")),
            ("kind", pyarrow.string()),
            ("contract", pyarrow.string()),
            ("message", pyarrow.string()),
            ("outcome", pyarrow.string()),
            ("events", pyarrow.list_(pyarrow.string())),
            ("id", pyarrow.binary(32)),
            ("signers", pyarrow.list_(pyarrow.binary(32))),
            ("size", pyarrow.int32()),
        ]
    )
    batches = [pyarrow.RecordBatch.from_pylist(list(map(_row, run)), schema=schema) for run in _runs(entries)]
    return pyarrow.Table.from_batches(batches, schema=schema)


def _row(entry: LoggedEntry) -> dict[str, Any]:
    return {
        "index": entry.index,
        "height": entry.height,
        "time": entry.time,
        "kind": entry.kind.name.lower(),
        "contract": entry.contract,
        "message": entry.message,
        "outcome": entry.outcome,
        "events": [f"{event.contract}.{event.name}" for event in entry.events],
        "id": entry.id,
        "signers": list(entry.signers),
        "size": entry.size,
    }


def _runs(entries: Iterable[LoggedEntry]) -> Iterator[list[LoggedEntry]]:
    source = iter(entries)
    while run := list(islice(source, RUN)):
        yield run
