"""The shape of config.toml, read off the models: which key leads to which table.

The loader walks it to explain errors, the sample and the reference walk it to write
themselves; so neither repeats what the models say.
"""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import TypeGuard, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from gatepost.config.errors import KeyPath
from gatepost.config.setting import Section
from gatepost.config.settings import Settings


class Holds(Enum):
    """What a key of a table holds."""

    VALUE = "a value"
    TABLE = "one table"
    NAMED = "tables by name"
    LIST = "a list of tables"


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a table; `section` is the model of the table or tables below it."""

    name: str
    field: FieldInfo
    holds: Holds
    section: type[Section] | None = None

    @property
    def is_secret(self) -> bool:
        """Whether the value must never be shown."""
        return self.field.annotation is SecretStr


@cache
def keys_of(section: type[Section]) -> Mapping[str, Key]:
    """The keys of a table by their name in config.toml; a model's own before inherited ones."""
    fields = sorted(section.model_fields.items(), key=lambda item: item[0] not in _own(section))
    keys = [_key(field.alias or name, field) for name, field in fields]
    return {key.name: key for key in keys}


def _own(section: type[Section]) -> Mapping[str, object]:
    return inspect.get_annotations(section)


def _key(name: str, field: FieldInfo) -> Key:
    annotation, arguments = field.annotation, get_args(field.annotation)
    if _is_section(annotation):
        return Key(name, field, Holds.TABLE, annotation)
    if get_origin(annotation) is tuple and _is_section(arguments[0]):
        return Key(name, field, Holds.LIST, arguments[0])
    if get_origin(annotation) is Mapping and _is_section(arguments[1]):
        return Key(name, field, Holds.NAMED, arguments[1])
    return Key(name, field, Holds.VALUE)


def _is_section(annotation: object) -> TypeGuard[type[Section]]:
    return isinstance(annotation, type) and issubclass(annotation, Section)


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a key path leads.

    `path` is the path up to the value or table it leads to, without what lies inside a
    value; `section` is the table that holds it; `key` is `None` where the path ends at a
    table, or at a key that nobody knows (then `known` is false).
    """

    path: KeyPath
    section: type[Section]
    key: Key | None = None
    known: bool = True


def find(path: Sequence[str | int]) -> Spot:
    """The spot that `path` leads to."""
    section: type[Section] = Settings
    position = 0
    while position < len(path):
        key = keys_of(section).get(str(path[position]))
        here = tuple(path[: position + 1])
        if key is None:
            return Spot(here, section, known=False)
        if key.section is None:
            return Spot(here, section, key)
        position += 1 if key.holds is Holds.TABLE else 2
        if position > len(path) or (position == len(path) and key.holds is Holds.TABLE):
            return Spot(here, section, key)
        section = key.section
    return Spot(tuple(path), section)


@dataclass(frozen=True, slots=True)
class Table:
    """One kind of table: its heading, such as `[clients.NAME]`, and the model behind it."""

    heading: str
    section: type[Section]
    key: Key


def tables(section: type[Section] = Settings, prefix: str = "") -> Iterator[Table]:
    """Every kind of table there is, in the order of the shipped file."""
    for key in keys_of(section).values():
        if key.section is None:
            continue
        path = f"{prefix}{key.name}" + (".NAME" if key.holds is Holds.NAMED else "")
        heading = f"[[{path}]]" if key.holds is Holds.LIST else f"[{path}]"
        yield Table(heading, key.section, key)
        yield from tables(key.section, f"{path}.")
