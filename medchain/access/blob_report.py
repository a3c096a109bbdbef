"""What an audit of sealed data gives back: frozen, readable as text, drawn in notebooks."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator
from itertools import groupby

from attrs import field, frozen

from medchain.records import short

__all__ = ["AuditedStore", "BlobReport", "Copy", "Finding", "Flaw"]

_ROWS_DRAWN = 100


class Flaw:
    """What is wrong with something in one store."""

    MISSING = "missing"
    DAMAGED = "damaged"
    CONTRADICTORY = "contradictory"
    """It is what was hashed, and does not fit the record: it was sealed like this, and no repair helps."""
    STILL_THERE = "still there"
    """The record is erased, and blobs of its object lie there."""
    NO_TOMBSTONE = "no tombstone"
    """The record is erased, and the store does not know, so blobs could come back into it."""
    NOT_ORDERED = "erased without an order"
    """The store has a tombstone, and the record is not erased."""


@frozen
class Copy:
    """What is wrong in one store.

    Attributes:
        store: its position in ``report.stores``.
        flaw: one of `Flaw`.
        parts: of a damaged payload, the parts that do not open from this copy; part 0 is the manifest.
    """

    store: int
    flaw: str
    parts: tuple[int, ...] = ()


@frozen
class Finding:
    """Something of a record that is not as it should be in all stores.

    Attributes:
        record, object: their ids.
        what: ``header``, ``dealing``, ``payload``, ``envelope …``, ``share …``, or ``object`` for all of it.
        blob: its hash; None for all of the object.
        copies: what is wrong, store by store.
        good: positions of the stores where it is as it should be.
    """

    record: bytes = field(repr=short)
    object: bytes = field(repr=short)
    what: str
    blob: bytes | None = field(repr=short)
    copies: tuple[Copy, ...]
    good: tuple[int, ...]

    @property
    def lost(self) -> bool:
        """Whether it is gone: none of the stores that answered has a good copy of what should be there."""
        left_over = (Flaw.STILL_THERE, Flaw.NO_TOMBSTONE)
        return not self.good and not any(copy.flaw in left_over for copy in self.copies)

    def __str__(self) -> str:
        said = [f"{copy.flaw}{_parts(copy.parts)} in {_stores([copy.store])}" for copy in self.copies]
        left = f"right in {_stores(self.good)}" if self.good else "lost" if self.lost else ""
        name = f" {self.blob.hex()[:12]}…" if self.blob is not None else ""
        return f"{self.what}{name}: {', '.join(said)}" + (f"; {left}" if left else "")


@frozen
class AuditedStore:
    """One store: its name, why it does not answer (None if it does), and how many blobs are good there.

    `findings` counts those that name it.
    """

    name: str
    error: str | None
    good: int
    findings: int

    def __str__(self) -> str:
        if self.error is not None:
            return f"{self.name}: does not answer: {self.error}"
        found = f", {_count(self.findings, 'finding')}" if self.findings else ""
        return f"{self.name}: {_count(self.good, 'blob')} good{found}"


@frozen
class BlobReport:
    """What an audit of sealed data has found; ``report.holds`` says in a word whether all is well.

    Attributes:
        origin: name of the chain's log.
        chain: the chain id.
        records: how many records there are, the erased ones among them.
        erased: how many are erased.
        size: bytes that were read.
        stores: the stores, in the order in which findings count them.
        findings: what is wrong, in the order of the records' ids.
    """

    origin: str
    chain: bytes = field(repr=short)
    records: int
    erased: int
    size: int
    stores: tuple[AuditedStore, ...]
    findings: tuple[Finding, ...] = field(repr=lambda findings: f"<{len(findings)}>")

    @property
    def holds(self) -> bool:
        """Whether every store answered and holds, whole, exactly what the chain says."""
        return not self.findings and all(store.error is None for store in self.stores)

    @property
    def lost(self) -> tuple[Finding, ...]:
        """Findings about blobs of which no store that answered has a good copy."""
        return tuple(finding for finding in self.findings if finding.lost)

    @property
    def summary(self) -> str:
        """The result in one line."""
        count = _count(len(self.findings), "finding")
        away = sum(store.error is not None for store in self.stores)
        states = [count] if self.findings else []
        states += [f"{len(self.lost)} of them about what is lost in every store"] if self.lost else []
        states += [f"{_count(away, 'store')} not answering"] if away else []
        return (
            f"{self.origin}: sealed data of {_count(self.records, 'record')} ({self.erased} erased) in "
            f"{_count(len(self.stores), 'store')}: {', '.join(states) or 'all of it holds'}"
        )

    def __str__(self) -> str:
        lines = [self.summary, *(f"  store {number}  {store}" for number, store in enumerate(self.stores))]
        for record, findings in groupby(self.findings, key=lambda finding: finding.record):
            group = tuple(findings)
            lines.append(f"  record {record.hex()}, object {group[0].object.hex()}")
            lines += [f"    {finding}" for finding in group]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        stores = "".join(f"<li>{html.escape(str(store))}</li>" for store in self.stores)
        rows = "".join(
            f"<tr><td><code>{finding.record.hex()[:12]}…</code></td><td>{html.escape(str(finding))}</td></tr>"
            for finding in self.findings[:_ROWS_DRAWN]
        )
        rest = len(self.findings) - _ROWS_DRAWN
        more = f"<p>and {rest} more in <code>report.findings</code></p>" if rest > 0 else ""
        table = f"<table><tr><th>record</th><th>finding</th></tr>{rows}</table>{more}" if rows else ""
        return f"<p>{html.escape(self.summary)}</p><ol start='0'>{stores}</ol>{table}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _stores(positions: Iterable[int]) -> str:
    numbers = [str(position) for position in positions]
    return f"store{'' if len(numbers) == 1 else 's'} {', '.join(numbers)}"


def _parts(parts: tuple[int, ...]) -> str:
    """Parts as ranges: `` (parts 0, 3-7)``."""
    spans = [f"{first}-{last}" if last > first else f"{first}" for first, last in _spans(parts)]
    return f" (part{'' if len(parts) == 1 else 's'} {', '.join(spans)})" if spans else ""


def _spans(numbers: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    for _, run in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]):
        span = [number for _, number in run]
        yield span[0], span[-1]
