"""What a class must be to be registered as a contract, and what one version may change against another.

`check` looks at one class: its form here, its source in `medchain.ledger.guard`. `check_successor` looks at two
versions of one contract: the tables stay, with all that is in them, so a newer version must be able to read what an
older one has written.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterator
from typing import Any
from weakref import WeakSet

import attrs

from medchain._codecs import is_frozen
from medchain.ledger.contract import CODE, NAME, RESERVED_CODES, RESERVED_NAMES, Contract, wire_name
from medchain.ledger.guard import look
from medchain.records import describe

__all__ = ["check", "check_successor"]


BASE = frozenset(("__init__", "__init_subclass__", "digest", "handle"))
"""What of `Contract` no contract replaces."""

WHOLE = ("__attrs_pre_init__", "__attrs_post_init__", "__from_value__")
"""What of a record may refuse all of it."""

_passed: WeakSet[type[Contract]] = WeakSet()


def check(contract: type[Contract]) -> None:
    """Refuse a contract that is plainly not deterministic or not well formed.

    Raises:
        TypeError: with what is wrong and where.
    """
    given: object = contract
    if given in _passed:
        return
    if not (inspect.isclass(given) and issubclass(given, Contract)):
        raise TypeError(f"{contract!r} is no Contract class")
    _check_names(contract)
    _check_handlers(contract)
    messages = [kind for kind, _ in contract.handlers.values()]
    rows = [table.value for table in contract.tables.values()]
    for kind in (*messages, *contract.events, *rows):
        _check_record(contract.__name__, kind)
    for kind in (*messages, *contract.events):
        if _gained(describe(kind)):
            raise TypeError(
                f"{contract.__name__}: {kind.__name__} is no record of a table; it gains no fields"
            )
    for kind in rows:
        shape = describe(kind)
        if any(_gained(each[1] if _is_gained(each) else each) for each in shape.values()):
            raise TypeError(
                f"{contract.__name__}: {kind.__name__}: only a row itself gains fields, not what is in it"
            )
        if any(_is_gained(each) and each[1][0] != "optional" for each in shape.values()):
            raise TypeError(f"{contract.__name__}: {kind.__name__}: a field that was added is X | None")
    look(contract)
    _passed.add(contract)


def _check_names(contract: type[Contract]) -> None:
    who = contract.__name__
    name: object = getattr(contract, "name", "")
    if not isinstance(name, str) or not NAME.fullmatch(name) or name in RESERVED_NAMES:
        raise TypeError(f"{who}: name is [a-z][a-z0-9_]* of at most 32 characters, and not 'ledger'")
    if type(contract.version) is not int or not 1 <= contract.version < 1 << 31:
        raise TypeError(f"{who}: version is an int from 1")
    for each in contract.__mro__[: contract.__mro__.index(Contract)]:
        for taken in sorted(BASE & vars(each).keys()):
            raise TypeError(f"{who}: {taken} is what every contract has of its base; take another name")
    if type(contract.codes) is not tuple or type(contract.events) is not tuple:
        raise TypeError(f"{who}: codes and events are tuples")
    for code in contract.codes:
        if type(code) is not str or not CODE.fullmatch(code) or code in RESERVED_CODES:
            raise TypeError(
                f"{who}: code {code!r} is not [a-z][a-z0-9-]* of at most 32 characters, or is reserved"
            )
    if len({wire_name(event) for event in contract.events}) < len(contract.events):
        raise TypeError(f"{who}: two events have one name")
    for attribute, table in contract.tables.items():
        if table.contract != contract.name or not NAME.fullmatch(attribute) or table.name != attribute:
            raise TypeError(f"{who}: table {attribute} is another contract's, or not named [a-z][a-z0-9_]*")


def _check_handlers(contract: type[Contract]) -> None:
    """Each handler is a plain method of two arguments: one that is a generator or a coroutine would never run."""
    if not contract.handlers:
        raise TypeError(f"{contract.__name__} handles no message")
    for _, method in contract.handlers.values():
        where = f"{contract.__name__}.{method}"
        handler = inspect.getattr_static(contract, method)
        if not inspect.isfunction(handler):
            raise TypeError(f"{where} is no plain method")
        if any(
            kind(handler)
            for kind in (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)
        ):
            raise TypeError(f"{where} is a coroutine or a generator: calling it runs nothing")
        try:
            inspect.signature(handler).bind(None, None, None)
        except TypeError as error:
            raise TypeError(f"{where} does not take (self, context, message)") from error


def _check_record(who: str, kind: Any) -> None:
    if not is_frozen(kind):
        raise TypeError(f"{who}: {kind.__name__} is no frozen attrs class")
    try:
        shape = describe(kind)
    except RecursionError as error:
        raise TypeError(f"{who}: {kind.__name__} holds itself") from error
    except (TypeError, NameError) as error:
        raise TypeError(f"{who}: {kind.__name__}: {error}") from error
    if type(shape) is not dict:
        raise TypeError(f"{who}: {kind.__name__} has a form of its own; what is written on chain has fields")
    if "any" in _leaves(shape):
        raise TypeError(
            f"{who}: {kind.__name__} has a field of type Any; messages, events and rows are typed"
        )


def _leaves(shape: Any) -> Iterator[str]:
    """The names of all types in a description."""
    if type(shape) is str:
        yield shape
    elif type(shape) is dict:
        for each in shape.values():
            yield from _leaves(each)
    else:
        for each in shape[1:]:
            yield from _leaves(each)


def _is_gained(shape: Any) -> bool:
    return type(shape) is list and shape[0] == "added"


def _gained(shape: Any) -> bool:
    """Whether anything in a description is a field that was added later."""
    if type(shape) is str:
        return False
    return _is_gained(shape) or any(map(_gained, shape.values() if type(shape) is dict else shape[1:]))


def check_successor(older: type[Contract], newer: type[Contract]) -> None:
    """Refuse a version that could not read what an older version of the same contract has left in the state.

    A newer version

    1. declares every table of the older one, and what was public stays public;
    2. keeps every field of a table's record, with its type; further ones are ``X | None`` with ``metadata=ADDED``;
    3. refuses no more of these than before: validators, converters and ``__attrs_post_init__`` of a table's record, and
       of records in it, are those of the older one or gone (docs/adr/0036);
    4. keeps the fields of every event whose name it keeps, so that readers need not know the version.

    Messages and codes may change as they like: a transaction names the version that it is for.

    Raises:
        TypeError: with what is wrong and where.
    """
    who = f"{newer.name}/{newer.version} cannot follow {older.name}/{older.version}"
    for name, table in older.tables.items():
        successor = newer.tables.get(name)
        if successor is None:
            raise TypeError(f"{who}: table {name} is gone, its rows are not")
        if table.public and not successor.public:
            raise TypeError(f"{who}: table {name} was public")
        before, after = describe(table.value), describe(successor.value)
        for each, shape in before.items():
            if after.get(each) != shape:
                raise TypeError(f"{who}: field {each} of table {name} is gone or another")
        for each in after.keys() - before.keys():
            if not _is_gained(after[each]):
                raise TypeError(f"{who}: field {each} of table {name} is new and not marked as ADDED")
        _check_rules(f"{who}: table {name}", table.value, successor.value)
    events = {wire_name(event): event for event in newer.events}
    for event in older.events:
        successor_event = events.get(wire_name(event), event)
        if describe(successor_event) != describe(event):
            raise TypeError(f"{who}: event {wire_name(event)} has other fields; give it another name")


def _check_rules(who: str, older: Any, newer: Any) -> None:
    """Refuse a record that may refuse what `older`, whose fields it has, has let pass. What is equal decides alike."""
    if older is newer:
        return
    before, after = attrs.fields_dict(older), attrs.fields_dict(newer)
    hints = typing.get_type_hints(older), typing.get_type_hints(newer)
    for name in before.keys() & after.keys():
        for rule in ("validator", "converter"):
            mine, theirs = getattr(after[name], rule), getattr(before[name], rule)
            if mine is not None and mine != theirs:
                raise TypeError(
                    f"{who}: field {name} of {newer.__name__} has another {rule}: old rows may break it"
                )
        pairs = zip(*(_records_in(each[name]) for each in hints), strict=True)
        for inner_older, inner_newer in pairs:
            _check_rules(who, inner_older, inner_newer)
    for rule in WHOLE:
        mine, theirs = (inspect.getattr_static(each, rule, None) for each in (newer, older))
        if mine is not None and mine is not theirs:
            raise TypeError(f"{who}: {newer.__name__} has another {rule}: old rows may break it")


def _records_in(annotation: Any) -> Iterator[Any]:
    """The record classes of an annotation, in the order in which they stand there."""
    if attrs.has(annotation):
        yield annotation
    for each in typing.get_args(annotation):
        yield from _records_in(each)
