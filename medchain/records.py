"""Frozen attrs classes to and from plain values, and so to and from canonical bytes.

A *record* is a frozen attrs class whose annotations are built from ``int``, ``bool``, ``str``, ``bytes``, ``X | None``,
``tuple[X, ...]``, ``dict[str, X]``, ``Any`` (a plain value, as it is) and other records. It is written as a map with
all of its fields, ``null`` where a field is None. Reading is strict: a missing or unknown field, a value of another
type or one that the class's own validators refuse is an `EncodingError`. Writing is strict too: a field that holds
another type than it declares is a `TypeError`, so that nothing is written that could not be read. Nothing is coerced.

Fields with ``metadata=LOCAL`` stay on this machine: they are not written and keep their default when read. Fields with
``metadata=ADDED`` are read as None from what was written before they came; only records of tables have them. A class
with ``__to_value__`` and ``__from_value__`` decides its own form.
"""

from __future__ import annotations

import functools
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, Union, get_args, get_origin

import attrs

from medchain._codecs import codec
from medchain.encoding import MAX_VALUES, decode, encode

__all__ = [
    "ADDED",
    "LOCAL",
    "decode_record",
    "describe",
    "encode_record",
    "fixed",
    "form",
    "from_value",
    "length",
    "short",
    "to_value",
]

LOCAL: Mapping[str, Any] = types.MappingProxyType({"local": True})
"""Metadata of a field that is not part of the record's encoding."""

ADDED: Mapping[str, Any] = types.MappingProxyType({"added": True})
"""Metadata of a field, ``X | None``, that the record of a table has gained in a later version of its contract."""

T = TypeVar("T")


@functools.cache
def length(count: int, most: int | None = None) -> Callable[[Any, Any, Any], None]:
    """An attrs validator: the field has `count` items (bytes, characters), or from `count` to `most`; None passes.

    The same arguments give the same validator, so that rules of two classes can be compared.
    """
    top = count if most is None else most

    def check(instance: Any, attribute: Any, value: Any) -> None:
        if value is not None and not count <= len(value) <= top:
            wanted = str(count) if top == count else f"{count} to {top}"
            raise ValueError(f"{attribute.name} has length {len(value)}, not {wanted}")

    return check


@functools.cache
def form(pattern: re.Pattern[str]) -> Callable[[Any, Any, Any], None]:
    """An attrs validator: the field is text of one form, so that no free text gets in; None passes.

    The same pattern gives the same validator.
    """

    def check(instance: Any, attribute: Any, value: Any) -> None:
        if value is not None and not pattern.fullmatch(value):
            raise ValueError(f"{attribute.name} is not of the form {pattern.pattern}")

    return check


def fixed(count: int = 32, **options: Any) -> Any:
    """A field of exactly `count` bytes."""
    return attrs.field(validator=length(count), repr=short, **options)


def short(value: object) -> str:
    """The repr of bytes as the beginning of their hex, so that results stay readable."""
    if isinstance(value, bytes):
        return value.hex() if len(value) <= 6 else f"{value[:6].hex()}…"
    return repr(value)


def to_value(record: Any) -> Any:
    """The plain value (for `medchain.encoding.encode`) of a record.

    Raises:
        TypeError: a field holds another type than it declares (bool is not int).
    """
    return codec(type(record)).dump(record)


def from_value(cls: type[T], value: Any) -> T:
    """The record of class `cls` that a plain value stands for.

    Raises:
        EncodingError: the value is not the form of such a record.
    """
    result: T = codec(cls).load(value)
    return result


def encode_record(record: Any) -> bytes:
    """The canonical bytes of a record."""
    return encode(to_value(record))


def decode_record(cls: type[T], data: bytes, *, limit: int = 1 << 20, values: int = MAX_VALUES) -> T:
    """The record of class `cls` in canonical bytes: at most `limit` bytes, at most `values` values.

    Raises:
        EncodingError: not canonical, too long, or not the form of such a record.
    """
    return from_value(cls, decode(data, limit=limit, values=values))


def describe(annotation: Any) -> Any:
    """The shape of a record class or annotation as a plain value: what a contract's digest commits to.

    The shape of a field that was added later is ``["added", shape]``.

    Raises:
        TypeError: it has no canonical form (a float, say), or is a record with such a field.
    """
    if annotation is Any:
        return "any"
    if annotation in (int, bool, str, bytes) or hasattr(annotation, "__to_value__"):
        return annotation.__name__
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType) and len(arguments) == 2 and type(None) in arguments:
        return ["optional", *[describe(argument) for argument in arguments if argument is not type(None)]]
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return ["list", describe(arguments[0])]
    if origin is dict and arguments[0] is str:
        return ["map", describe(arguments[1])]
    if not attrs.has(annotation):
        raise TypeError(f"{annotation!r} has no canonical form")
    hints = typing.get_type_hints(annotation)
    shapes = {
        item.name: (item, describe(hints[item.name]))
        for item in attrs.fields(annotation)
        if not item.metadata.get("local")
    }
    return {
        name: ["added", shape] if item.metadata.get("added") else shape
        for name, (item, shape) in shapes.items()
    }
