"""How the fields of records are written and read: a pair of functions for each annotation, built once.

`medchain.records` says what a record is. Rows, messages and events go through here several times for each transaction,
so a class gets two functions of its own, written and compiled when it is first met, as attrs does with ``__init__``.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from typing import Any, NamedTuple, Union, get_args, get_origin

import attrs

from medchain.errors import EncodingError

__all__ = ["Codec", "codec", "is_frozen"]

EXACT = (int, bool, str, bytes)
"""Types whose values are what they are written as; bool is not int."""


class Codec(NamedTuple):
    """What writes values of one annotation, and what reads them.

    Attributes:
        dump: value to plain value; TypeError if it is of another type.
        load: plain value to value; EncodingError if it is not the form of one.
        lasting: whether a value can stand for all that are read from the bytes it was written to: nothing in it can
            be changed, and reading them gives its equal.
        exact: the type, where both functions only look whether it is this one.
    """

    dump: Callable[[Any], Any]
    load: Callable[[Any], Any]
    lasting: bool = False
    exact: type | None = None


_CODECS: dict[Any, Codec] = {}


def codec(annotation: Any) -> Codec:
    """The codec of an annotation.

    Raises:
        TypeError: it has no canonical form (a float, say).
    """
    found = _CODECS.get(annotation)
    if found is None:
        found = _CODECS[annotation] = _build(annotation)
    return found


def _build(annotation: Any) -> Codec:
    if annotation in EXACT:
        return _exact(annotation)
    if annotation is Any:
        return Codec(_same, _same)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return _optional(annotation, arguments)
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return _sequence(codec(arguments[0]))
    if origin is dict and arguments and arguments[0] is str:
        return _mapping(codec(arguments[1]))
    if hasattr(annotation, "__to_value__"):
        return _own(annotation)
    if attrs.has(annotation):
        return _record(annotation)
    raise TypeError(f"{annotation!r} has no canonical form")


def _same(value: Any) -> Any:
    return value


def _unfit(kind: type, value: Any) -> str:
    return f"expected {kind.__name__}, found {type(value).__name__}"


def _exact(kind: type) -> Codec:
    def dump(value: Any) -> Any:
        if type(value) is not kind:
            raise TypeError(_unfit(kind, value))
        return value

    def load(value: Any) -> Any:
        if type(value) is not kind:
            raise EncodingError(_unfit(kind, value))
        return value

    return Codec(dump, load, True, kind)


def _own(cls: Any) -> Codec:
    """A class that decides its own form."""

    def dump(value: Any) -> Any:
        if not isinstance(value, cls):
            raise TypeError(_unfit(cls, value))
        return value.__to_value__()

    def load(value: Any) -> Any:
        try:
            return cls.__from_value__(value)
        except (ValueError, TypeError) as error:
            raise EncodingError(f"{cls.__name__}: {error}") from error

    return Codec(dump, load)


def _optional(annotation: Any, arguments: tuple[Any, ...]) -> Codec:
    others = [argument for argument in arguments if argument is not type(None)]
    if len(others) != 1 or len(arguments) != 2:
        raise TypeError(f"{annotation!r}: only X | None has a canonical form")
    dump, load, lasting, _ = codec(others[0])
    return Codec(
        lambda value: None if value is None else dump(value),
        lambda value: None if value is None else load(value),
        lasting,
    )


def _sequence(item: Codec) -> Codec:
    dump_item, load_item, lasting, _ = item

    def load(value: Any) -> Any:
        if type(value) is not list:
            raise EncodingError(f"expected a list, found {type(value).__name__}")
        return tuple([load_item(each) for each in value])

    def dump(values: Any) -> Any:
        if type(values) is not tuple:
            raise TypeError(f"expected a tuple, found {type(values).__name__}")
        return [dump_item(value) for value in values]

    return Codec(dump, load, lasting)


def _mapping(item: Codec) -> Codec:
    dump_item, load_item = item.dump, item.load

    def load(value: Any) -> Any:
        if type(value) is not dict:
            raise EncodingError(f"expected a map, found {type(value).__name__}")
        return {key: load_item(each) for key, each in value.items()}

    def dump(values: Any) -> Any:
        if type(values) is not dict or not all(type(key) is str for key in values):
            raise TypeError("expected a dict with text keys")
        return {key: dump_item(value) for key, value in values.items()}

    return Codec(dump, load)


def _record(cls: Any) -> Codec:
    hints = typing.get_type_hints(cls)
    written = [item for item in attrs.fields(cls) if not item.metadata.get("local")]
    fields = {item.name: codec(hints[item.name]) for item in written}
    added = [item.name for item in written if item.metadata.get("added")]
    dump, load = _dump_source(fields), _load_source(fields, added)
    names: dict[str, Any] = {
        "cls": cls,
        "added": dict.fromkeys(added),
        "unfit": _unfit,
        "differs": lambda value: EncodingError(_difference(cls, fields.keys(), value)),
        "EncodingError": EncodingError,
        **{f"dump_{name}": each.dump for name, each in fields.items()},
        **{f"load_{name}": each.load for name, each in fields.items()},
        **{f"kind_{name}": each.exact for name, each in fields.items() if each.exact},
    }
    exec(compile(f"{dump}\n{load}", f"<codec of {cls.__qualname__}>", "exec"), names)  # noqa: S102  # names only
    plain = (
        is_frozen(cls)
        and len(written) == len(attrs.fields(cls))
        and not any(item.converter for item in written)
    )
    return Codec(names["dump"], names["load"], plain and all(each.lasting for each in fields.values()))


def is_frozen(cls: type) -> bool:
    """Whether a class is a frozen attrs class."""
    return attrs.has(cls) and getattr(cls.__setattr__, "__name__", "") == "_frozen_setattrs"


def _dump_source(fields: dict[str, Codec]) -> str:
    """The source of ``dump(record)``: a map of all fields. Locals are named apart from whatever fields are called."""
    lines = [
        "def dump(record):",
        " if type(record) is not cls: raise TypeError(unfit(cls, record))",
        " try:",
    ]
    for name, each in fields.items():
        if each.exact:
            lines.append(f"  f_{name} = record.{name}")
            lines.append(
                f"  if type(f_{name}) is not kind_{name}: raise TypeError(unfit(kind_{name}, f_{name}))"
            )
        else:
            lines.append(f"  f_{name} = dump_{name}(record.{name})")
    items = ", ".join(f"{name!r}: f_{name}" for name in fields)
    lines += [
        f"  return {{{items}}}",
        " except TypeError as error:",
        "  raise TypeError(f'{cls.__name__}: {error}') from error",
    ]
    return "\n".join(lines)


def _load_source(fields: dict[str, Codec], added: list[str]) -> str:
    """The source of ``load(value)``: a map with all fields and no others, those in `added` None where it has none."""
    lines = ["def load(value):", " if type(value) is not dict: raise differs(value)"]
    if added:
        lines.append(" value = added | value")
    lines += [f" if len(value) != {len(fields)}: raise differs(value)", " try:"]
    lines += [f"  f_{name} = value[{name!r}]" for name in fields] or ["  pass"]
    lines.append(" except KeyError: raise differs(value) from None")
    for name, each in fields.items():
        if each.exact:
            lines.append(
                f" if type(f_{name}) is not kind_{name}: raise EncodingError(unfit(kind_{name}, f_{name}))"
            )
        else:
            lines.append(f" f_{name} = load_{name}(f_{name})")
    arguments = ", ".join(f"{name}=f_{name}" for name in fields)
    lines += [
        f" try: return cls({arguments})",
        " except (ValueError, TypeError) as error:",
        "  raise EncodingError(f'{cls.__name__}: {error}') from error",
    ]
    return "\n".join(lines)


def _difference(cls: Any, names: Any, value: Any) -> str:
    if type(value) is not dict:
        return f"{cls.__name__}: expected a map, found {type(value).__name__}"
    missing = ", ".join(sorted(names - value.keys()))
    extra = ", ".join(repr(name[:32]) for name in sorted(value.keys() - names)[:4])
    return f"{cls.__name__}: missing {missing or 'nothing'}; unknown {extra or 'nothing'}"
