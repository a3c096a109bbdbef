"""FHIR R4 bundles as bytes that can be cut into fragments and put together again without changing one of them.

The fragments, one after another, are the document: a head up to the first entry, each entry with what separates it from
the next, a tail. An entry stays whole, because its ``fullUrl`` is what references to its resource resolve to.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

from attrs import field, frozen

from medchain.ehr.spans import Spans, read_text
from medchain.errors import EncodingError
from medchain.sealing.sealer import Part

__all__ = ["FRAGMENT", "MOST_BYTES", "Bundle", "Fragment", "read_entry", "read_resource"]

FRAGMENT = "application/vnd.medchain.fhir-fragment"
"""Media type of every part: it does not tell an entry from the rest."""

MOST_BYTES = 256 << 20
PIECE = 1 << 20
"""Bytes that are read from a file at a time."""

HEAD, TAIL, ENTRY = "Bundle", "", "entry"
"""Labels of head, tail, and entries that hold no resource."""

_TYPE = re.compile(r"[A-Z][A-Za-z]{0,63}", re.ASCII)
_ID = re.compile(r"[A-Za-z0-9.-]{1,64}", re.ASCII)


@frozen
class Fragment:
    """A stretch of the document.

    Attributes:
        label: ``ResourceType/id`` or ``ResourceType`` for an entry with a resource; it stays inside the seal.
        data: its bytes.
    """

    label: str = field(repr=False)
    data: bytes = field(repr=False)


@frozen(repr=False)
class Bundle:
    """A FHIR bundle. ``bytes(bundle)`` is exactly what was read.

    >>> raw = b'{"resourceType": "Bundle", "type": "collection", "entry": [{"resource": {"resourceType": "Patient"}}]}'
    >>> bundle = Bundle.from_bytes(raw)
    >>> [fragment.label for fragment in bundle.fragments], bytes(bundle) == raw
    (['Bundle', 'Patient', ''], True)
    """

    fragments: tuple[Fragment, ...]

    @classmethod
    def from_bytes(cls, data: bytes) -> Bundle:
        """Read a bundle in JSON.

        Raises:
            EncodingError: it is no JSON, no bundle, or has what no reader should have to bear: names that occur twice,
                nesting beyond 64 levels, numbers of more than 1,000 digits, an entry of more than 2^20 values.
        """
        if len(data) > MOST_BYTES:
            raise EncodingError(f"a bundle has at most {MOST_BYTES} bytes")
        text = read_text(data)
        labels, cuts = _Walk(text).entries()
        edges = [0, *cuts, len(text)] if cuts else [0, len(text)]
        names = [HEAD, *labels, TAIL] if cuts else [HEAD]
        pieces = [text[begin:end].encode() for begin, end in pairwise(edges)]
        return cls(tuple(map(Fragment, names, pieces)))

    @classmethod
    def read(cls, source: bytes | Mapping[str, Any] | str | os.PathLike[str]) -> Bundle:
        """A bundle from JSON bytes, from a mapping, or from the file at a path.

        Raises:
            EncodingError: as `from_bytes`.
            OSError: the file cannot be read.
        """
        if isinstance(source, (bytes, bytearray, memoryview)):
            return cls.from_bytes(bytes(source))
        if isinstance(source, Mapping):
            return cls.from_bytes(json.dumps(source, ensure_ascii=False, allow_nan=False).encode())
        if isinstance(source, str) and source.lstrip().startswith("{"):
            raise TypeError("JSON is given as bytes; a str is a path")
        with Path(source).open("rb") as file:
            pieces = islice(iter(lambda: file.read(PIECE), b""), MOST_BYTES // PIECE + 1)
            return cls.from_bytes(b"".join(pieces))

    def parts(self) -> list[Part]:
        """The fragments as parts to be sealed: part 1 is the head, part 2 the first entry."""
        return [Part(fragment.data, FRAGMENT, fragment.label) for fragment in self.fragments]

    def find(self, label: str) -> tuple[int, ...]:
        """Numbers of the parts with this label, like ``Patient/17`` or, for all of a kind, ``Observation``.

        >>> raw = b'{"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Patient", "id": "17"}}]}'
        >>> Bundle.from_bytes(raw).find("Patient")
        (2,)
        """
        return tuple(
            number
            for number, fragment in enumerate(self.fragments, 1)
            if fragment.label == label or fragment.label.startswith(f"{label}/")
        )

    @property
    def resources(self) -> Iterator[dict[str, Any]]:
        """The resources of all entries, parsed; decimals as `decimal.Decimal`."""
        for fragment in self.fragments[1:-1]:
            resource = read_entry(fragment.data).get("resource")
            if resource is not None:
                yield resource

    def __bytes__(self) -> bytes:
        return b"".join(fragment.data for fragment in self.fragments)

    def __repr__(self) -> str:
        size = sum(len(fragment.data) for fragment in self.fragments)
        return f"<Bundle of {max(0, len(self.fragments) - 2)} entries, {size} bytes>"


def read_entry(data: bytes) -> dict[str, Any]:
    """The entry in a fragment, parsed. EncodingError if it holds none."""
    entry = Spans(read_text(data)).value()
    if not isinstance(entry, dict):
        raise EncodingError("the fragment holds no entry")
    return entry


def read_resource(data: bytes) -> dict[str, Any]:
    """The resource of the entry in a fragment, parsed. EncodingError if it holds none."""
    resource = read_entry(data).get("resource")
    if not isinstance(resource, dict):
        raise EncodingError("the fragment holds no resource")
    return resource


class _Walk:
    """One pass over a bundle: where its entries stand, and what they are called."""

    def __init__(self, text: str) -> None:
        self._spans = Spans(text)
        self._kind: Any = None
        self._labels: list[str] = []
        self._cuts: list[int] = []

    def entries(self) -> tuple[list[str], list[int]]:
        """Labels of the entries, and the cuts: where each begins, then where the array ends."""
        self._spans.members(self._member)
        self._spans.end()
        if self._kind != "Bundle":
            raise EncodingError("not a FHIR bundle: its resourceType is not Bundle")
        return self._labels, self._cuts

    def _member(self, name: str) -> None:
        if name == "entry":
            self._spans.items(self._entry)
            if self._labels:
                self._cuts.append(self._spans.at - 1)
            return
        value = self._spans.value()
        if name == "resourceType":
            self._kind = value

    def _entry(self) -> None:
        self._spans.skip()
        self._cuts.append(self._spans.at)
        entry = self._spans.value()
        if not isinstance(entry, dict):
            raise EncodingError("an entry of a bundle is a JSON object")
        self._labels.append(_label(entry))


def _label(entry: dict[str, Any]) -> str:
    if "resource" not in entry:
        return ENTRY
    resource = entry["resource"]
    kind = resource.get("resourceType") if isinstance(resource, dict) else None
    if not isinstance(kind, str) or not _TYPE.fullmatch(kind):
        raise EncodingError("a resource of the bundle has no resourceType")
    id = resource.get("id")
    return f"{kind}/{id}" if isinstance(id, str) and _ID.fullmatch(id) else kind
