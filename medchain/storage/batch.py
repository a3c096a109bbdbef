"""Batches of changes to an ordered store: what is committed whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import starmap
from typing import NamedTuple, TypeAlias

__all__ = [
    "MAX_KEY",
    "MAX_VALUE",
    "Batch",
    "Changes",
    "Delete",
    "DeleteRange",
    "Operation",
    "Put",
    "check_bounds",
    "check_key",
    "prefix_end",
]

MAX_KEY = 511
"""Longest key, in bytes; the shortest has one byte."""

MAX_VALUE = 16 << 20
"""Longest value, in bytes; a value may be empty."""


class Put(NamedTuple):
    """Set `key` to `value`."""

    key: bytes
    value: bytes


class Delete(NamedTuple):
    """Remove `key`, if it is there."""

    key: bytes


class DeleteRange(NamedTuple):
    """Remove every key from `start` on and before `end` (None: to the last)."""

    start: bytes
    end: bytes | None


Operation: TypeAlias = Put | Delete | DeleteRange


class Changes(NamedTuple):
    """Changes of different keys, so that their order does not matter: values to set, and keys to remove."""

    puts: dict[bytes, bytes]
    deletes: set[bytes]


def prefix_end(prefix: bytes) -> bytes | None:
    r"""Give the first key after all keys with this prefix, as `end` of a scan; None if there is none.

    >>> prefix_end(b"row/")
    b'row0'
    >>> prefix_end(b"a\xff"), prefix_end(b"\xff"), prefix_end(b"")
    (b'b', None, None)
    """
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else None


class Batch:
    """Changes that are committed together, in order: a later one wins over an earlier one on the same key.

    >>> batch = Batch()
    >>> batch.delete_range(b"row/", prefix_end(b"row/"))
    >>> batch.put(b"row/1", b"kept, for it comes after the deletion")
    >>> batch
    <Batch: 2 operations, 42 bytes>
    """

    __slots__ = ("_count", "_operations", "_size")

    def __init__(self) -> None:
        self._operations: list[Operation | dict[bytes, bytes]] = []  # a dict: its keys are set to its values
        self._count = 0
        self._size = 0

    def put(self, key: bytes, value: bytes) -> None:
        """Set `key` (1 to `MAX_KEY` bytes) to `value` (at most `MAX_VALUE` bytes)."""
        check_key(key)
        if not isinstance(value, bytes):
            raise TypeError(f"a value is bytes, not {type(value).__name__}")
        if len(value) > MAX_VALUE:
            raise ValueError(f"a value has at most {MAX_VALUE} bytes, this one has {len(value)}")
        self._add(Put(key, value))
        self._size += len(key) + len(value)

    def put_many(self, values: Mapping[bytes, bytes]) -> None:
        """Set each key to its value: the same as many times `put`, in a third of the time."""
        kinds = {*map(type, values), *map(type, values.values())}
        if kinds == {bytes}:
            keys, sizes = [len(key) for key in values], [len(value) for value in values.values()]
            if min(keys) >= 1 and max(keys) <= MAX_KEY and max(sizes) <= MAX_VALUE:
                self._operations.append(dict(values))
                self._count += len(keys)
                self._size += sum(keys) + sum(sizes)
                return
        for key, value in values.items():
            self.put(key, value)

    def delete(self, key: bytes) -> None:
        """Remove `key`; nothing happens if it is not there."""
        check_key(key)
        self._add(Delete(key))

    def delete_range(self, start: bytes, end: bytes | None) -> None:
        """Remove all keys from `start` on and before `end`; None means to the last key."""
        check_bounds(start, end)
        self._add(DeleteRange(start, end))

    def _add(self, operation: Operation) -> None:
        self._operations.append(operation)
        self._count += 1

    def steps(self) -> Iterator[Changes | DeleteRange]:
        r"""Give the same changes as few large steps, for stores that carry out many puts or deletions at once.

        Range deletions keep their place; between them each key stands once, with what it comes to.

        >>> batch = Batch()
        >>> batch.put(b"a", b"1"); batch.delete(b"b"); batch.put(b"a", b"2"); batch.delete_range(b"c", None)
        >>> list(batch.steps())
        [Changes(puts={b'a': b'2'}, deletes={b'b'}), DeleteRange(start=b'c', end=None)]
        """
        puts: dict[bytes, bytes] = {}
        deletes: set[bytes] = set()
        for operation in self._operations:
            match operation:
                case dict():
                    puts.update(operation)
                    deletes.difference_update(operation)
                case Put(key, value):
                    puts[key] = value
                    deletes.discard(key)
                case Delete(key):
                    puts.pop(key, None)
                    deletes.add(key)
                case DeleteRange():
                    if puts or deletes:
                        yield Changes(puts, deletes)
                        puts, deletes = {}, set()
                    yield operation
        if puts or deletes:
            yield Changes(puts, deletes)

    @property
    def size(self) -> int:
        """Bytes in the keys and values that are put."""
        return self._size

    def __iter__(self) -> Iterator[Operation]:
        for operation in self._operations:
            if isinstance(operation, dict):
                yield from starmap(Put, operation.items())
            else:
                yield operation

    def __len__(self) -> int:
        return self._count

    def __repr__(self) -> str:
        return f"<Batch: {len(self)} operations, {self.size} bytes>"


def check_key(key: bytes) -> None:
    """Refuse what is no key: TypeError, ValueError."""
    if not isinstance(key, bytes):
        raise TypeError(f"a key is bytes, not {type(key).__name__}")
    if not 1 <= len(key) <= MAX_KEY:
        raise ValueError(f"a key has 1 to {MAX_KEY} bytes, this one has {len(key)}")


def check_bounds(start: bytes, end: bytes | None) -> None:
    """Refuse what bounds no range of keys: TypeError, ValueError."""
    for bound in (start, end):
        if bound is None:
            continue
        if not isinstance(bound, bytes):
            raise TypeError(f"the bound of a range is bytes, not {type(bound).__name__}")
        if len(bound) > MAX_KEY:
            raise ValueError(f"the bound of a range has at most {MAX_KEY} bytes, this one has {len(bound)}")
    if start is None:
        raise TypeError("a range starts at bytes; b'' is the beginning")
