"""An auditor's report on a copy of a published log: hashed and read again from its first leaf, told in one page."""

from __future__ import annotations

import html
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Any

from attrs import evolve, field, frozen

from medchain._native import leaf_hashes, root_of_hashes
from medchain._text import printable
from medchain.errors import InvalidBlock
from medchain.ledger.archive import Archive
from medchain.ledger.checkpoint import Checkpoint
from medchain.ledger.contract import Event
from medchain.ledger.layout import TILE_WIDTH
from medchain.ledger.verify import moment
from medchain.merkle import Head
from medchain.records import short
from medchain.transparency import layout
from medchain.transparency.copy import Copy
from medchain.transparency.entries import LoggedEntry, read_entry
from medchain.transparency.evidence import Evidence
from medchain.transparency.rules import BlockRules

__all__ = ["Emergency", "Gap", "LogAudit", "audit_copy"]

Progress = Callable[[int, int], object]

RUN = 1_024
NAMED = 100
"""Most gaps and refusals that are named one by one, the last ones; all are counted."""

ACCESS, USED, JUDGED, OVERDUE = "access", "review-due", "judged", "review-overdue"
"""The contract by which records are opened, and its events about an emergency: that one was claimed, and what came of
its review (docs/spec/access.md)."""


@frozen
class Gap:
    """That a log was silent between two blocks.

    Attributes:
        height: of the block after it.
        begins: time of the block before, ms since the epoch.
        seconds: how long it took.
    """

    height: int
    begins: int = field(repr=moment)
    seconds: float


@frozen
class Emergency:
    """That a record was opened under an emergency clause.

    Attributes:
        index: of the entry that holds the decision.
        time: of its block, ms since the epoch.
        request: its id.
        review: ``due``, ``justified``, ``unjustified`` or ``overdue``, as far as the log says.
    """

    index: int
    time: int = field(repr=moment)
    request: bytes = field(repr=short)
    review: str = "due"


@frozen
class LogAudit:
    """What a copy of a log holds. Every hash and every rule of form has been checked again when there is such a report.

    Attributes:
        origin: name of the log.
        chain: the chain id.
        head: size and root.
        signers: vkeys of the log that have signed the checkpoint: they vouch for what the log says.
        witnesses: vkeys of witnesses that have cosigned it: they vouch that it has only grown.
        executed: whether every entry was executed again, so that outcomes and state are right.
        evidence: what convicts the log of a fork, if one was seen.
        blocks: how many there are.
        began, ended: times of the first and the last, ms since the epoch.
        outcomes: how many entries had which outcome, by (contract, code).
        bytes, largest: of all leaves, and of the largest.
        longest: the longest silence between two blocks; None for a single block.
        gap: seconds from which on a silence is named.
        gaps: how many silences were as long.
        named_gaps: the last of them.
        refusals: the last entries that their contract has refused; `outcomes` counts all.
        emergencies: every opening under an emergency clause.
    """

    origin: str
    chain: bytes = field(repr=short)
    head: Head
    signers: tuple[str, ...]
    witnesses: tuple[str, ...]
    executed: bool
    evidence: Evidence | None
    blocks: int
    began: int
    ended: int
    outcomes: dict[tuple[str, str], int]
    bytes: int
    largest: int
    longest: Gap | None
    gap: float
    gaps: int
    named_gaps: tuple[Gap, ...]
    refusals: tuple[LoggedEntry, ...]
    emergencies: tuple[Emergency, ...]

    @property
    def entries(self) -> int:
        """How many entries there are."""
        return sum(self.outcomes.values())

    @property
    def refused(self) -> int:
        """How many of them were refused."""
        return sum(count for (_, code), count in self.outcomes.items() if code != "ok")

    def _facts(self) -> Iterator[tuple[str, str]]:
        """What it says, as pairs of a title and a text."""
        yield "log", f"{self.origin}, chain {self.chain.hex()}"
        yield (
            "size",
            f"{self.head.size:,} leaves in {self.blocks:,} blocks, {self.bytes:,} bytes, the largest {self.largest:,}",
        )
        yield "root", self.head.root.hex()
        yield "signed by", ", ".join(map(_named, self.signers))
        yield (
            "witnessed by",
            ", ".join(map(_named, self.witnesses)) or "nobody: the log alone says that it only grew",
        )
        yield (
            "history",
            self.evidence.summary if self.evidence else "one, from the genesis to this checkpoint",
        )
        yield "outcomes", "executed again" if self.executed else "as the log says; not executed again"
        yield "from", moment(self.began)
        yield "to", moment(self.ended)
        if self.longest is not None:
            yield "longest gap", f"{_duration(self.longest.seconds)}, from {moment(self.longest.begins)}"
        yield "gaps", f"{self.gaps:,} of {_duration(self.gap)} or more"
        yield "refused", f"{self.refused:,} of {self.entries:,} entries"
        reviews = Counter(each.review for each in self.emergencies)
        yield (
            "emergencies",
            f"{len(self.emergencies):,}"
            + "".join(f", {count} {review}" for review, count in sorted(reviews.items())),
        )

    def __str__(self) -> str:
        lines = [f"{title:>13}  {text}" for title, text in self._facts()]
        lines += [""] + [
            f"{count:>13,}  {contract} {code}" for (contract, code), count in sorted(self.outcomes.items())
        ]
        return "\n".join(map(printable, lines))

    def to_json(self) -> dict[str, Any]:
        """The report as plain values, for ``json.dumps``: ids in hex, times in ms since the epoch."""
        return {
            "origin": self.origin,
            "chain": self.chain.hex(),
            "size": self.head.size,
            "root": self.head.root.hex(),
            "signers": list(self.signers),
            "witnesses": list(self.witnesses),
            "executed": self.executed,
            "evidence": None if self.evidence is None else str(self.evidence),
            "blocks": self.blocks,
            "began": self.began,
            "ended": self.ended,
            "entries": self.entries,
            "refused": self.refused,
            "bytes": self.bytes,
            "largest": self.largest,
            "outcomes": [
                {"contract": contract, "outcome": code, "entries": count}
                for (contract, code), count in sorted(self.outcomes.items())
            ],
            "longest_gap": None if self.longest is None else _gap_json(self.longest),
            "gap_seconds": self.gap,
            "gaps": self.gaps,
            "named_gaps": [_gap_json(each) for each in self.named_gaps],
            "refusals": [
                {
                    "index": each.index,
                    "time": each.time,
                    "contract": each.contract,
                    "message": each.message,
                    "outcome": each.outcome,
                }
                for each in self.refusals
            ],
            "emergencies": [
                {
                    "index": each.index,
                    "time": each.time,
                    "request": each.request.hex(),
                    "review": each.review,
                }
                for each in self.emergencies
            ],
        }

    def _repr_html_(self) -> str:
        facts = "".join(
            f"<tr><th style='text-align:left'>{_escaped(title)}</th>"
            f"<td style='text-align:left'>{_escaped(text)}</td></tr>"
            for title, text in self._facts()
        )
        counts = "".join(
            f"<tr><td>{_escaped(contract)}</td><td>{_escaped(code)}</td><td>{count:,}</td></tr>"
            for (contract, code), count in sorted(self.outcomes.items())
        )
        head = "<tr><th>contract</th><th>outcome</th><th>entries</th></tr>"
        return f"<table>{facts}</table><table>{head}{counts}</table>"


def _escaped(text: str) -> str:
    return html.escape(printable(text))


def _named(vkey: str) -> str:
    """Name and key id of a vkey."""
    name, key_id, _ = vkey.split("+", 2)
    return f"{name}+{key_id}"


def _gap_json(gap: Gap) -> dict[str, Any]:
    return {"height": gap.height, "begins": gap.begins, "seconds": gap.seconds}


def _duration(seconds: float) -> str:
    """
    >>> _duration(0.25), _duration(90), _duration(7 * 86400)
    ('0.25 s', '90 s', '7 days')
    """
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


class _Audit:
    """A copy in the course of being read again."""

    def __init__(self, copy: Copy, gap: float) -> None:
        self.rules = BlockRules(copy.trust)
        self._gap = gap
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.bytes = self.largest = self.blocks = self.gaps = 0
        self.began = self.ended = 0
        self.longest: Gap | None = None
        self.named: deque[Gap] = deque(maxlen=NAMED)
        self.refusals: deque[LoggedEntry] = deque(maxlen=NAMED)
        self.emergencies: dict[bytes, Emergency] = {}

    def add(self, leaves: list[bytes], hashes: bytes) -> None:
        """Go over the next leaves."""
        first = self.rules.log.size
        _, headers = self.rules.add(leaves, hashes)
        for header, _ in headers:
            self._silence(header.height, header.time)
        for index, leaf in enumerate(leaves, first):
            self.bytes += len(leaf)
            self.largest = max(self.largest, len(leaf))
            entry = read_entry(index, leaf)
            if isinstance(entry, LoggedEntry):
                self._entry(entry)

    def _silence(self, height: int, time: int) -> None:
        if self.blocks == 0:
            self.began = time
        else:
            gap = Gap(height, self.ended, (time - self.ended) / 1000)
            if self.longest is None or gap.seconds > self.longest.seconds:
                self.longest = gap
            if gap.seconds >= self._gap:
                self.gaps += 1
                self.named.append(gap)
        self.blocks += 1
        self.ended = time

    def _entry(self, entry: LoggedEntry) -> None:
        self.outcomes[entry.contract, entry.outcome] += 1
        if not entry.ok:
            self.refusals.append(entry)
        for event in entry.events:
            if event.contract == ACCESS and event.name in (USED, JUDGED, OVERDUE):
                self._emergency(entry, event)

    def _emergency(self, entry: LoggedEntry, event: Event) -> None:
        value: Any = event.value
        request = value.get("request") if type(value) is dict else None
        if type(request) is not bytes:
            return  # no event of the contract that is known here
        if event.name == USED:
            self.emergencies[request] = Emergency(entry.index, entry.time, request)
        elif request in self.emergencies:
            review = "overdue"
            if event.name == JUDGED:
                review = "justified" if value.get("justified") is True else "unjustified"
            self.emergencies[request] = evolve(self.emergencies[request], review=review)


def audit_copy(
    copy: Copy, checkpoint: Checkpoint, evidence: Evidence | None, progress: Progress | None, gap: float
) -> LogAudit:
    """Read a copy again up to `checkpoint`; arguments and errors as `PublishedLog.audit` says."""
    if gap <= 0:
        raise ValueError("a gap takes some seconds")
    vouchers = copy.trust.verify(checkpoint)
    archive, size, seen = copy.archive, checkpoint.size, _Audit(copy, gap)
    for start in range(0, size, RUN):
        leaves = list(archive.leaves(start, min(start + RUN, size)))
        hashes = leaf_hashes(leaves)
        _compare_tiles(archive, start, hashes)
        seen.add(leaves, hashes)
        if progress is not None:
            progress(seen.rules.log.size, size)
    if seen.rules.log.root != checkpoint.root or seen.rules.at != size - 1:
        raise InvalidBlock("the copy is damaged: its leaves do not make the root that was signed")
    _compare_upper_tiles(archive, size)
    return LogAudit(
        copy.trust.origin,
        copy.trust.chain,
        checkpoint.head,
        tuple(map(str, vouchers.log)),
        tuple(map(str, vouchers.witnesses)),
        copy.executed,
        evidence,
        seen.blocks,
        seen.began,
        seen.ended,
        dict(seen.outcomes),
        seen.bytes,
        seen.largest,
        seen.longest,
        gap,
        seen.gaps,
        tuple(seen.named),
        tuple(seen.refusals),
        tuple(seen.emergencies.values()),
    )


def _compare_tiles(archive: Archive, start: int, hashes: bytes) -> None:
    """That the stored tiles of the lowest level hold the hashes of the leaves from `start`, a multiple of 256, on."""
    for number, at in enumerate(range(0, len(hashes), 32 * TILE_WIDTH), start // TILE_WIDTH):
        mine = hashes[at : at + 32 * TILE_WIDTH]
        if (archive.tile(0, number) or b"")[: len(mine)] != mine:
            raise InvalidBlock(f"the copy is damaged: its hash tile 0/{number} is not that of its leaves")


def _compare_upper_tiles(archive: Archive, size: int) -> None:
    """That each hash of a higher tile is that of a full tile below it."""
    for part in layout.tiles(size):
        if not part.level:
            continue
        below = (
            archive.tile(part.level - 1, part.index * TILE_WIDTH + each) or b"" for each in range(part.width)
        )
        stored = archive.tile(part.level, part.index) or b""
        for each, tile in enumerate(below):
            if len(tile) != 32 * TILE_WIDTH or root_of_hashes(tile) != stored[32 * each : 32 * each + 32]:
                raise InvalidBlock(
                    f"the copy is damaged: its hash tile {part.level}/{part.index} does not fit"
                )
