"""Damage in one blob store is nothing that an asker sees: a good copy is found, and put in its place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import clinic
import pytest
from clinic import CONTENT, Clinic

from medchain.access import AccessContract, Request
from medchain.access.kit import ReleaseKit
from medchain.errors import BlobDamaged, SealingError
from medchain.storage import FileBlobs, ReplicatedBlobs


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    return [tmp_path / name for name in "ab"]


@pytest.fixture
def house(folders: list[Path]) -> Iterator[Clinic]:
    with clinic.clinic(ReplicatedBlobs([FileBlobs(each) for each in folders], write_quorum=2)) as made:
        yield made


@pytest.fixture
def request_(house: Clinic) -> Request:
    return house.decided()


def payload(house: Clinic, request: Request, folder: Path) -> Path:
    record = house.chain.table(AccessContract.records)[request.record]
    digest, _ = house.access.bundle(record).payload
    assert digest is not None
    return folder / record.object.hex() / digest.hex()


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def through_a_kit(house: Clinic, request: Request) -> bytes:
    kit = house.access.release(request, to=house.party("dr_lee"), since=None)
    received = ReleaseKit.from_bytes(bytes(kit))
    return received.open(house["dr_lee"], trust=house.chain.trust).raw


def directly(house: Clinic, request: Request) -> bytes:
    return house.access.open(request, by=house["dr_lee"]).raw


def by_ranges(house: Clinic, request: Request) -> bytes:
    parts = house.access.open(request, by=house["dr_lee"]).parts
    return b"".join(part.read(0, 2) + part.read(2, part.length) for part in parts)


WAYS = [directly, by_ranges, through_a_kit]


@pytest.mark.parametrize("way", WAYS)
def test_every_byte_of_the_first_copy_may_be_damaged(
    house: Clinic, request_: Request, folders: list[Path], way: object
) -> None:
    assert callable(way)
    place = payload(house, request_, folders[0])
    whole = place.read_bytes()
    for at in range(0, len(whole), 7):
        flip(place, at)
        assert way(house, request_) == CONTENT
        assert place.read_bytes() == whole


def test_damage_that_comes_after_opening_is_mended_when_it_is_read(
    house: Clinic, request_: Request, folders: list[Path]
) -> None:
    opened = house.access.open(request_, by=house["dr_lee"])
    flip(payload(house, request_, folders[0]), -1)
    assert opened.raw == CONTENT


@pytest.mark.parametrize("way", WAYS)
def test_damage_in_every_copy_is_an_error(
    house: Clinic, request_: Request, folders: list[Path], way: object
) -> None:
    assert callable(way)
    for folder in folders:
        flip(payload(house, request_, folder), -1)
    with pytest.raises((SealingError, BlobDamaged)):
        way(house, request_)
