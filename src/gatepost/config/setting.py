"""How a setting is defined: once, in one place, with everything that is known about it.

`setting(...)` and `required(...)` stand on the right of a field of a `Section`. They give
the default in the spelling of config.toml, the meaning, a sample and the bounds; the field's
annotation gives the parser. The loader, the shipped config.toml and `docs/configuration.md`
are all made from these definitions.
"""

from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic.fields import FieldInfo

from gatepost.config import units
from gatepost.config.errors import wrong
from gatepost.mail import duration
from gatepost.mail.duration import Duration

Toml = str | int | float | bool | list[Any] | dict[str, Any]

# "2 years" are 731 days from the one, 730 from the other: a bound in years holds on every day.
_BEFORE_A_LEAP_DAY = datetime(2000, 1, 1, tzinfo=UTC)
_AFTER_A_LEAP_DAY = datetime(2001, 1, 1, tzinfo=UTC)


def setting(
    default: Toml | None,
    meaning: str,
    *,
    detail: str = "",
    sample: Toml | None = None,
    least: str | float | None = None,
    most: str | float | None = None,
    alias: str | None = None,
) -> Any:
    """A setting with a default.

    `default`, `sample`, `least` and `most` are spelled as in config.toml. `meaning` is the
    comment beside the setting, `detail` what the reference adds.
    """
    extra: dict[str, Any] = {"detail": detail, "least": least, "most": most}
    if sample is not None:
        extra["sample"] = sample
    return Field(
        default, description=meaning, json_schema_extra=extra, validate_default=True, alias=alias
    )


def required(meaning: str, *, sample: Toml, detail: str = "", alias: str | None = None) -> Any:
    """A setting that has no default because none could be right."""
    extra: dict[str, Any] = {"detail": detail, "sample": sample}
    return Field(description=meaning, json_schema_extra=extra, alias=alias)


class Section(BaseModel):
    """A table of config.toml: strict, frozen, and without keys that nobody reads."""

    model_config = ConfigDict(
        strict=True, frozen=True, extra="forbid", arbitrary_types_allowed=True
    )

    @field_validator("*", mode="after")
    @classmethod
    def _within_bounds(cls, value: Any, info: ValidationInfo) -> Any:
        field = cls.model_fields[info.field_name or ""]
        least, most = bound(field, "least"), bound(field, "most")
        if least is not None and value is not None and _is_less(value, least, _BEFORE_A_LEAP_DAY):
            raise wrong(f"is less than {least}", f"write {_spelled(least)} or more")
        if most is not None and (value is None or _is_less(most, value, _AFTER_A_LEAP_DAY)):
            raise wrong(f"is more than {most}", f"write {_spelled(most)} or less")
        return value


def bound(field: FieldInfo, name: str) -> str | int | float | None:
    """The bound `name` ("least" or "most") of a field, as spelled; `None` without one."""
    value = extra_of(field).get(name)
    return value if isinstance(value, str | int | float) else None


def extra_of(field: FieldInfo) -> dict[str, Any]:
    """What `setting` noted about a field beside its default and meaning."""
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}


def _spelled(limit: str | float) -> str:
    return f'"{limit}"' if isinstance(limit, str) else str(limit)


def _is_less(one: Any, other: Any, start: datetime) -> bool:
    return _measure(one, start) < _measure(other, start)


def _measure(value: Any, start: datetime) -> float:
    """A number to compare by; durations are measured on the calendar, from `start`."""
    if isinstance(value, str):
        try:
            value = duration.parse(value)
        except duration.DurationError:
            value = units.parse_size(value)
    if isinstance(value, Duration):
        return (value.after(start) - start).total_seconds()
    return float(value)
