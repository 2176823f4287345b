"""What Pydantic found wrong, in words of config.toml: what it is and what to write instead.

In: the error details of one validation. Out: a `Complaint` for each, with the key path, the
value to show (never a secret's) and the cure. Unknown keys are told their nearest relative.

*Fails:* never; an error of a kind not met here keeps Pydantic's own words.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, get_args

from pydantic_core import ErrorDetails

from gatepost.config import shape
from gatepost.config.errors import WRONG, KeyPath, key_text, shown
from gatepost.config.parties import StreamDefaults
from gatepost.config.setting import extra_of
from gatepost.config.shape import Holds, Key, Spot

_EXPECTED = {
    "string_type": "a string",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "tuple_type": "a list",
}
_TABLE_TYPES = frozenset({"dict_type", "mapping_type", "model_type", "model_attributes_type"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """One error before it is known where its key stands.

    `rests_on` are other keys that it was concluded from: where one of these is wrong
    itself, the complaint would only confuse.
    """

    path: KeyPath
    what: str
    cure: str
    value: str = ""
    rests_on: tuple[KeyPath, ...] = ()


def complaints(details: Iterable[ErrorDetails]) -> list[Complaint]:
    """The complaints that the details of one failed validation amount to."""
    return [_complaint(detail) for detail in details]


def _complaint(detail: ErrorDetails) -> Complaint:
    path: KeyPath = detail["loc"]
    spot = shape.find(path)
    kind = detail["type"]
    if kind == "extra_forbidden":
        return _unknown_key(path, spot)
    if kind == "missing":
        return _missing(path, spot)
    if kind in _TABLE_TYPES or (kind == "tuple_type" and _holds_tables(spot)):
        what, cure = "is not a table", _table_cure(spot)
        return Complaint(path=path, what=what, cure=cure)
    what, cure = _words(detail, spot)
    secret = spot.key is not None and spot.key.is_secret
    return Complaint(
        path=path, what=what, cure=cure, value="" if secret else shown(detail["input"])
    )


def _words(detail: ErrorDetails, spot: Spot) -> tuple[str, str]:
    kind, context = detail["type"], detail.get("ctx", {})
    name = spot.key.name if spot.key else key_text(detail["loc"])
    if kind == WRONG:
        return str(context["what"]), str(context["cure"])
    if kind == "literal_error" and spot.key:
        return _not_a_choice(detail["input"], spot.key)
    if kind == "tuple_type":
        return "is not a list", f"write {name} = [{shown(detail['input'])}]"
    if kind in _EXPECTED:
        inside_a_list = isinstance(detail["loc"][-1], int)
        prefix = "" if inside_a_list else f"{name} = "
        return f"is not {_EXPECTED[kind]}", _typed_cure(kind, prefix, detail["input"])
    return detail["msg"], f"see {name} in docs/configuration.md"


def _typed_cure(kind: str, prefix: str, value: Any) -> str:
    text = str(value).strip()
    if kind == "string_type" and not isinstance(value, dict | list):
        return f'write {prefix}"{text.lower() if isinstance(value, bool) else text}"'
    if kind == "bool_type" and text.lower() in {"true", "false"}:
        return f"write {prefix}{text.lower()}"
    if kind == "int_type" and text.isdecimal():
        return f"write {prefix}{text}"
    return f"write {_EXPECTED[kind]}"


def choices_of(key: Key) -> tuple[str, ...]:
    """The strings a setting may be, () where it is no choice among strings."""
    found: list[str] = []
    for argument in get_args(key.field.annotation):
        nested = get_args(argument)
        found += [choice for choice in (argument, *nested) if isinstance(choice, str)]
    return tuple(found)


def _not_a_choice(value: object, key: Key) -> tuple[str, str]:
    choices = choices_of(key)
    near = nearest(value, choices)
    cure = f'write "{near}"' if near else "write one of these"
    return "is none of " + ", ".join(f'"{choice}"' for choice in choices), cure


def nearest(name: object, known: Iterable[str]) -> str:
    """The one of `known` that `name` was probably meant to be, "" if none is near."""
    lowered = {choice.lower(): choice for choice in known}
    near = difflib.get_close_matches(str(name).lower(), lowered, n=1)
    return lowered[near[0]] if near else ""


def _unknown_key(path: KeyPath, spot: Spot) -> Complaint:
    # The value is not shown: it may be a secret under a misspelled key.
    name, known = str(path[-1]), shape.keys_of(spot.section)
    near = nearest(name, known)
    if near:
        return Complaint(path=path, what="is no setting", cure=f"did you mean {near}?")
    heading = _home_of(name)
    if heading:
        return Complaint(
            path=path, what="is no setting of this table", cure=f"its place is {heading}"
        )
    cure = "remove it; settings here are " + ", ".join(known)
    return Complaint(path=path, what="is no setting", cure=cure)


def _home_of(name: str) -> str:
    """The heading under which a key of that name is known, "" if there is none."""
    for table in shape.tables():
        if table.key.name == name:
            return table.heading
        if name in shape.keys_of(table.section) and table.section is not StreamDefaults:
            return table.heading
    return ""


def _missing(path: KeyPath, spot: Spot) -> Complaint:
    cure = "write it"
    if spot.key is not None:
        sample = extra_of(spot.key.field)["sample"]
        cure = f"write {spot.key.name} = {shown(sample)} or the like"
    return Complaint(path=path, what="is missing", cure=cure)


def _holds_tables(spot: Spot) -> bool:
    return spot.key is not None and spot.key.holds is not Holds.VALUE


def _table_cure(spot: Spot) -> str:
    path = key_text(step for step in spot.path if isinstance(step, str))
    if spot.key is None:
        return f"write [{path}] and its settings below"
    if spot.key.holds is Holds.LIST:
        return f"write [[{path}]] and its settings below"
    if spot.key.holds is Holds.NAMED:
        return f"write [{path}.NAME] and its settings below"
    return f"write [{path}] and its settings below"
