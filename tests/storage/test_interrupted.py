"""Ctrl-C at any moment in a store: it goes on, keeps its promises, and leaves no lock behind."""

from __future__ import annotations

from itertools import count

import pytest
from processes import put
from stores import Place
from test_interrupts import interrupted, points

from medchain.errors import Locked
from medchain.storage import Store


@pytest.mark.filterwarnings("ignore:.* was deleted while still open:ResourceWarning")
def test_while_it_is_opened(place: Place) -> None:
    stores: list[Store] = []
    places = points(lambda: stores.append(place.open()))
    while stores:
        stores.pop().close()
    for at in places:
        interrupted(lambda: stores.append(place.open()), at)
        while stores:
            stores.pop().close()
        with place.open() as store:
            put(store, a=str(at))
            assert store.get(b"a") == b"%d" % at


def test_while_it_commits(place: Place) -> None:
    numbers = count()
    with place.open() as store:

        def commit() -> None:
            put(store, **dict.fromkeys("abc", str(next(numbers))), d=bytes(2_000))

        for at in points(commit):
            before = int(store.get(b"a") or 0)
            interrupted(commit, at)
            values = store.get_many([b"a", b"b", b"c"])
            assert len(set(values)) == 1
            assert int(values[0] or 0) in (before, before + 1, before + 2)
            commit()
            assert int(store.get(b"a") or 0) > before
        with pytest.raises(Locked):
            place.open()


def test_while_it_reads(place: Place) -> None:
    """In particular, no later read may see the moment that a broken-off snapshot was at."""
    with place.open() as store:

        def read() -> None:
            with store.snapshot() as snapshot:
                assert len(list(snapshot.scan())) == 100
                snapshot.get(b"00")
            store.get_many([b"00", b"01"])
            store.get(b"00")

        put(store, **{f"{number:02}": "x" for number in range(100)})
        for at in points(read):
            interrupted(read, at)
            put(store, **{"00": str(at)})
            assert store.get(b"00") == b"%d" % at
            assert store.get_many([b"00"]) == [b"%d" % at]
            read()


def test_while_it_is_closed(place: Place) -> None:
    def used() -> Store:
        store = place.open()
        put(store, a="1")
        store.get(b"a")
        return store

    first = used()
    for at in points(first.close):
        store = used()
        interrupted(store.close, at)
        store.close()
        del store
        used().close()
