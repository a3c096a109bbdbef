"""Every inclusion and consistency case of transparency-dev/merkle, most of which must be refused."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
import vectors

from medchain.errors import VerificationError
from medchain.merkle import ConsistencyProof, Head, InclusionProof


def cases(kind: str) -> list[Any]:
    folder = vectors.ROOT / "merkle" / "transparency-dev" / kind
    found = [pytest.param(path, id=str(path.relative_to(folder))) for path in sorted(folder.rglob("*.json"))]
    return found or [pytest.param(None, id="absent")]


@pytest.mark.parametrize("kind", ["inclusion", "consistency"])
def test_no_case_is_missing(kind: str) -> None:
    """98 each, 6 of which are to be accepted: a folder that was moved or half copied would pass in silence."""
    vectors.path("merkle/transparency-dev")
    wanted = [load(case.values[0])["wantErr"] for case in cases(kind)]
    assert (len(wanted), wanted.count(False)) == (98, 6)


def load(path: Any) -> dict[str, Any]:
    if path is None:
        vectors.path("merkle/transparency-dev")
    case: dict[str, Any] = json.loads(path.read_text())
    return case


def b64(text: str | None) -> bytes:
    return base64.b64decode(text or "")


@pytest.mark.parametrize("path", cases("inclusion"))
def test_inclusion(path: Any) -> None:
    case = load(path)

    def verify() -> None:
        proof = InclusionProof(case["leafIdx"], case["treeSize"], tuple(map(b64, case["proof"] or ())))
        head = Head(case["treeSize"], b64(case["root"]))
        proof.verify_hash(b64(case["leafHash"]), index=case["leafIdx"], head=head)

    expect(verify, case)


@pytest.mark.parametrize("path", cases("consistency"))
def test_consistency(path: Any) -> None:
    case = load(path)

    def verify() -> None:
        proof = ConsistencyProof(case["size1"], case["size2"], tuple(map(b64, case["proof"] or ())))
        old, new = Head(case["size1"], root(case["root1"])), Head(case["size2"], root(case["root2"]))
        assert proof.verify(old=old, new=new) == new

    expect(verify, case)


def root(text: str) -> bytes:
    """One case has the words "don't care" for a root, where a head here has 32 bytes."""
    raw = b64(text)
    return raw.ljust(32) if raw.startswith(b"don't care") else raw


def expect(verify: Any, case: dict[str, Any]) -> None:
    """A head or leaf hash that has not 32 bytes cannot even be made (ValueError)."""
    if not case["wantErr"]:
        verify()
        return
    with pytest.raises((VerificationError, ValueError)):
        verify()
