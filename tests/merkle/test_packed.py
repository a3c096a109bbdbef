"""The packed map against the plain one: the same roots and proofs, whatever is written, touched, deleted or damaged."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medchain._native import packed as native
from medchain.errors import InvalidBlock
from medchain.merkle import EMPTY_MAP, MapProof, SparseMap, packed
from medchain.merkle.packed import MapUpdate, PackedMap, least_version, node_key

Changes = Mapping[bytes, bytes | None]


def h(data: bytes) -> bytes:
    return sha256(data).digest()


class Nodes:
    """A store of nodes that remembers what was asked for."""

    def __init__(self) -> None:
        self.pairs: dict[bytes, bytes] = {}
        self.calls = 0
        self.map = PackedMap.empty(self.load)

    def load(self, keys: Sequence[bytes]) -> list[bytes | None]:
        self.calls += 1
        return [self.pairs.get(key) for key in keys]

    def apply(self, changes: Changes, **options: int) -> MapUpdate:
        update = self.map.updated_hashed(changes, self.map.version + 1, **options)
        self.pairs.update(update.nodes)
        self.map = update.map
        return update

    def at(self, version: int, root: bytes) -> PackedMap:
        return PackedMap.at(version, root, self.load)

    def prune(self, before: int) -> None:
        for key in [key for key in self.pairs if key < node_key(before, b"")]:
            del self.pairs[key]


# Many keys, so that buckets fill and empty, and keys that agree in up to 255 bits.
KEYS = st.one_of(
    st.integers(0, 120).map(lambda i: h(b"%d" % i)),
    st.integers(0, 90).map(lambda i: bytes(31) + bytes([i])),
    st.integers(0, 90).map(lambda i: bytes(16) + bytes([i]) + bytes(15)),
)
VALUES = st.integers(0, 3).map(lambda i: h(b"value %d" % i))
BATCH = st.dictionaries(KEYS, st.one_of(VALUES, st.none(), VALUES), max_size=70)


@given(st.lists(BATCH, min_size=1, max_size=6), st.integers(0, 3), st.integers(0, 12))
def test_every_version_is_the_plain_map(
    batches: list[dict[bytes, bytes | None]], bar: int, touch: int
) -> None:
    nodes, plain, rows = Nodes(), SparseMap(), dict[bytes, bytes | None]()
    versions = []
    for changes in batches:
        nodes.apply(changes, bar=bar, touch=touch)
        plain = plain.updated_hashed(changes)
        rows.update(changes)
        versions.append((nodes.map, plain, {key: value for key, value in rows.items() if value is not None}))
    for kept, plain, rows_then in versions:
        assert kept.root == plain.root == oracles.map_root(rows_then)
        assert len(kept) == len(rows_then)
        again = nodes.at(kept.version, kept.root)
        assert (len(again), again.oldest) == (len(kept), kept.oldest)
        for key in (*batches[-1], *rows_then, h(b"stranger")):
            proof = kept.prove_hashed(key)
            assert proof == again.prove_hashed(key) == plain.prove_hashed(key)
            assert proof.verify_hashed(key, rows_then.get(key), root=kept.root) == rows_then.get(key)
            assert kept.get_hashed(key) == rows_then.get(key)


@given(st.dictionaries(KEYS, VALUES, max_size=200), st.randoms(use_true_random=False))
def test_packing_does_not_depend_on_the_order_of_insertion(
    rows: dict[bytes, bytes], rng: random.Random
) -> None:
    """The nodes of a map, written anew, are those of a map that was built at once."""
    at_once, in_steps = Nodes(), Nodes()
    at_once.apply(rows)
    items = list(rows.items())
    rng.shuffle(items)
    for start in range(0, len(items), 23):
        in_steps.apply(dict(items[start : start + 23]))
    detour = {h(b"detour %d" % i): h(b"") for i in range(60)}
    in_steps.apply(detour)
    in_steps.apply(dict.fromkeys(detour))
    version = in_steps.map.version
    in_steps.apply({}, bar=version, touch=1 << 20)
    assert in_steps.map.oldest == version + 1
    bodies = {key[8:]: node for key, node in in_steps.pairs.items() if key >= node_key(version + 1, b"")}
    assert bodies.keys() == {key[8:] for key in at_once.pairs}
    for key, node in at_once.pairs.items():
        if node[0] == native.BUCKET:
            assert bodies[key[8:]] == node


def big(count: int, seed: int = 1) -> tuple[Nodes, dict[bytes, bytes | None], random.Random]:
    rng = random.Random(seed)
    rows: dict[bytes, bytes | None] = {rng.randbytes(32): rng.randbytes(32) for _ in range(count)}
    nodes = Nodes()
    nodes.apply(rows)
    return nodes, rows, rng


def test_a_batch_reads_and_writes_little() -> None:
    nodes, rows, rng = big(20_000)
    before = nodes.calls
    update = nodes.apply({key: rng.randbytes(32) for key in rng.sample(list(rows), 10)})
    assert len(update.nodes) <= 10 * 4 + 1
    assert nodes.calls - before <= 4, "one call a level"
    before = nodes.calls
    nodes.apply({key: rng.randbytes(32) for key in rng.sample(list(rows), 10)})
    assert nodes.calls - before <= 1, "the top is at hand"


def test_of_a_large_version_only_the_top_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept twice has a bound; the branches near the root are at hand all the same."""
    monkeypatch.setattr(packed, "_MADE_BYTES", 10_000)
    nodes, rows, rng = big(20_000)
    assert nodes.map._made.size < sum(map(len, nodes.pairs.values())) / 2
    change: Changes = {key: rng.randbytes(32) for key in rng.sample(list(rows), 50)}
    expected = nodes.at(0, nodes.map.root).updated_hashed(change, 1)
    before = nodes.calls
    assert nodes.apply(change).nodes == expected.nodes
    nodes.apply({key: rng.randbytes(32) for key in change})
    assert nodes.calls == before, "buckets are of the last version, branches at hand"


def test_old_versions_stay_until_their_nodes_are_deleted() -> None:
    """Touching a little in each version lets all before a kept one go, and that one stays whole."""
    nodes, rows, rng = big(3_000)
    roots: list[tuple[bytes, dict[bytes, bytes | None]]] = [(nodes.map.root, dict(rows))]
    keep = 5
    for version in range(1, 80):
        changes = {key: rng.randbytes(32) for key in rng.sample(list(rows), 3)}
        rows.update(changes)
        bar = max(0, min(version - keep, nodes.map.oldest + 2))
        update = nodes.apply(changes, bar=bar, touch=40)
        assert len(update.nodes) <= 40 + 3 * 4 + 1
        roots.append((nodes.map.root, dict(rows)))
        oldest = max(0, version - keep + 1)
        root = nodes.pairs[node_key(oldest, b"")]
        nodes.prune(least_version(root, oldest))
        for kept in range(oldest, version + 1):
            root_then, rows_then = roots[kept]
            again = nodes.at(kept, root_then)
            for key in rng.sample(list(rows), 3):
                assert again.get_hashed(key) == rows_then[key]
    assert least_version(nodes.pairs[node_key(version, b"")], version) > version - 40
    with pytest.raises(InvalidBlock, match="missing or damaged"):
        nodes.at(3, roots[3][0])


def test_every_flipped_byte_of_every_node_is_noticed_or_harmless() -> None:
    """A damaged node never gives another root or an accepted lie: the hashes above it say what it holds."""
    nodes, rows, _ = big(70)
    root, keys = nodes.map.root, list(rows)
    change: Changes = {keys[0]: h(b"new"), keys[1]: None}
    expected = SparseMap.from_hashed({k: v for k, v in rows.items() if v}).updated_hashed(change).root
    good = dict(nodes.pairs)
    for key, node in good.items():
        for at in range(len(node)):
            bad = bytearray(node)
            bad[at] ^= 1 << at % 8
            nodes.pairs = {**good, key: bytes(bad)}
            try:
                found = nodes.at(0, root)
                for each in keys[:8]:
                    found.prove_hashed(each).verify_hashed(each, rows[each], root=root)
                assert found.updated_hashed(change, 1).map.root == expected
            except InvalidBlock:
                pass


def test_missing_nodes() -> None:
    nodes, rows, _ = big(70)
    root, good = nodes.map.root, dict(nodes.pairs)
    for key in good:
        nodes.pairs = {other: node for other, node in good.items() if other != key}
        with pytest.raises(InvalidBlock, match="missing or damaged"):
            nodes.at(0, root).updated_hashed({each: h(b"") for each in rows}, 1)


@pytest.mark.parametrize(
    "node", [b"", b"\x01", b"\x01\x01", b"\x03\x00", b"\x01\x00" + bytes(63), b"\x01\x00" + bytes(64 * 33)]
)
def test_what_is_no_node(node: bytes) -> None:
    with pytest.raises(InvalidBlock):
        PackedMap.at(0, EMPTY_MAP, lambda keys: [node])


@pytest.mark.parametrize("rows", [0, (1 << 58) + 1, 1 << 60, 1 << 63, (1 << 64) - 1])
def test_numbers_of_rows_that_cannot_be(rows: int) -> None:
    """No hash covers them. Sixteen of 2^60 add up to nothing in 64 bits, and more than 2^64 is no argument of C."""
    nodes, _, _ = big(2_000)
    root = bytearray(nodes.pairs[node_key(0, b"")])
    assert len(root) == 4 + 16 * 56
    for at in range(4 + 48, len(root), 56):
        root[at : at + 8] = rows.to_bytes(8, "big")
    with pytest.raises(InvalidBlock, match="missing or damaged"):
        PackedMap.at(0, nodes.map.root, lambda keys: [bytes(root)])


@pytest.mark.parametrize("node", [b"", b"\x02", b"\x03\0", b"\x02\1\5\0\0"])
def test_there_is_no_least_version_in_what_is_no_root(node: bytes) -> None:
    with pytest.raises(InvalidBlock, match="missing or damaged"):
        least_version(node, 7)


@given(st.binary(max_size=300), st.binary(min_size=32, max_size=32))
def test_hostile_nodes(body: bytes, key: bytes) -> None:
    """The C code reads nothing outside of what it is given; sanitizers look on in `make sanitize` builds."""
    for head in (b"\x01\x00", b"\x02\x00", b"\x02\x01\x05", b""):
        node = head + body
        batch = native.MapBatch(bytearray(), h(body), 0, 3, key + h(key), 9, 9)
        for call in (
            lambda node=node: native.map_prove([node], EMPTY_MAP, key),
            lambda node=node, batch=batch: batch.missing([node]),
            lambda node=node, batch=batch: batch.change([node], 1),
            lambda node=node: native.Made.of([node, node]).keep(bytearray(native.map_top_size(4)), key, 0),
        ):
            with contextlib.suppress(native.Damaged):
                call()


@pytest.mark.parametrize("more", [1, -1, 16])
def test_numbers_of_rows_that_are_not_those_below(more: int) -> None:
    """They would be believed where a subtree is not passed, so they are compared where one is."""
    nodes, rows, _ = big(2_000)
    root = bytearray(nodes.pairs[node_key(0, b"")])
    change: Changes = dict.fromkeys(rows, h(b"new"))
    nodes.at(0, nodes.map.root).updated_hashed(change, 1)
    count = int.from_bytes(root[4 + 48 : 4 + 56], "big")
    root[4 + 48 : 4 + 56] = (count + more).to_bytes(8, "big")
    damaged = {**nodes.pairs, node_key(0, b""): bytes(root)}
    found = PackedMap.at(0, nodes.map.root, lambda keys: [damaged[key] for key in keys])
    with pytest.raises(InvalidBlock, match="missing or damaged"):
        found.updated_hashed(change, 1)


def test_siblings_share_what_is_at_hand_but_do_not_mix() -> None:
    """Of two maps that are built on one, either may be built on in turn, and neither needs a node of the other."""
    nodes, rows, rng = big(20_000)
    plain = SparseMap.from_hashed({key: value for key, value in rows.items() if value})
    few, many = ({key: rng.randbytes(32) for key in rng.sample(list(rows), count)} for count in (3, 500))
    nodes.apply(few)  # so that what the next one is built on has not made all that is at hand
    base, plain = nodes.map, plain.updated_hashed(few)
    # Others of the same version and in part with the same hashes, of which nothing is ever stored.
    left = [base.updated_hashed(other, 2, bar=0, touch=200).map for other in (few, many, {})]
    for step in (few, many, {}, many, few):
        for other in left:
            other.updated_hashed(few, 3)
        nodes.apply(step, bar=0, touch=20)
        plain = plain.updated_hashed(step)
        assert nodes.map.root == plain.root
        assert nodes.at(nodes.map.version, nodes.map.root).updated_hashed(many, 9).nodes == (
            nodes.map.updated_hashed(many, 9).nodes
        )


def test_one_map_built_on_by_many_threads() -> None:
    nodes, rows, rng = big(5_000)
    plain = SparseMap.from_hashed({key: value for key, value in rows.items() if value})
    batches = [{key: rng.randbytes(32) for key in rng.sample(list(rows), 200)} for _ in range(8)]

    def build(changes: dict[bytes, bytes]) -> bytes:
        return nodes.map.updated_hashed(changes, 1).map.updated_hashed({h(b"k"): h(b"v")}, 2).map.root

    with ThreadPoolExecutor(4) as pool:
        roots = list(pool.map(build, batches))
    assert roots == [plain.updated_hashed(each).updated_hashed({h(b"k"): h(b"v")}).root for each in batches]


@pytest.mark.parametrize("rows", [100, 1_000])
def test_a_node_that_says_that_it_lies_elsewhere(rows: int) -> None:
    """It is no reason to look for it for ever."""
    nodes, keys, _ = big(rows)
    good = dict(nodes.pairs)
    moved = {
        key: good.get(key[:-1] + bytes([key[-1] ^ 1]), node) if len(key) > 8 else node
        for key, node in good.items()
    }
    found = PackedMap.at(0, nodes.map.root, lambda asked: [moved[key] for key in asked])
    with pytest.raises(InvalidBlock, match="missing or damaged"):
        found.updated_hashed(dict.fromkeys(keys, h(b"new")), 1)


def test_wrong_arguments() -> None:
    nodes = Nodes()
    nodes.apply({h(b"k"): h(b"v")})
    for changes in ({b"short": h(b"")}, {h(b"k"): b"short"}, {h(b"k"): bytes(32)}):
        with pytest.raises(ValueError, match="32"):
            nodes.map.updated_hashed(changes, 5)
    with pytest.raises(ValueError, match="not after"):
        nodes.map.updated_hashed({}, 0)
    with pytest.raises(ValueError, match="32 bytes"):
        nodes.map.prove_hashed(b"short")


def test_looks() -> None:
    nodes = Nodes()
    assert nodes.map.prove_hashed(h(b"x")) == MapProof(h(b"x"), None, None, ())
    update = nodes.apply({h(b"k"): h(b"v")})
    assert repr(update.map) == f"PackedMap(root={update.map.root.hex()[:12]}…, version=0, 1 rows)"
    assert "<1 nodes>" in repr(update)
    assert nodes.map == nodes.at(0, nodes.map.root)
    assert nodes.map != nodes.map.updated_hashed({h(b"l"): h(b"v")}, 1).map
    assert hash(nodes.map) == hash(nodes.at(0, nodes.map.root))
    assert nodes.apply({h(b"k"): None}).map.root == EMPTY_MAP
