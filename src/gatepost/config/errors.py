"""What is wrong with a configuration: every error at once, each with its cure.

A `ConfigError` names the key, shows the value (never a secret's), says what is wrong and
what to write instead, and where the key stands. `ConfigErrors` carries all of them; its
text is what `gatepost config check` prints.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic_core import PydanticCustomError

WRONG = "gatepost"
MAX_SHOWN = 60

KeyPath = tuple[str | int, ...]

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_USERINFO = re.compile(r"//[^/@\s]*@")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigError:
    """One error.

    `key` is the path, such as `streams.newsletter.requires` or `smtp[2].port` (tables of a
    list are counted from 1), "" where the trouble is with the file; `value` is the text to
    show, "" for none; `line` counts from 1, 0 where it is not known.
    """

    key: str
    what: str
    cure: str
    value: str = ""
    file: Path | None = None
    line: int = 0

    def __str__(self) -> str:
        """Three lines: where and which, what is wrong, what to do."""
        place = str(self.file) if self.file else ""
        if place and self.line:
            place += f" line {self.line}"
        assignment = f"{self.key} = {self.value}" if self.key and self.value else self.key
        head = ": ".join(part for part in (place, assignment) if part)
        return f"{head}\n    wrong: {self.what}\n    cure:  {self.cure}"


class ConfigErrors(Exception):  # noqa: N818 - it is several
    """The configuration cannot be used; `errors` holds everything that is wrong with it."""

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        super().__init__(errors)
        self.errors = tuple(errors)

    def __str__(self) -> str:
        """All errors, and how many they are."""
        count = len(self.errors)
        lines = [str(error) for error in self.errors]
        lines.append("1 error" if count == 1 else f"{count} errors")
        return "\n".join(lines)


def wrong(what: str, cure: str) -> PydanticCustomError:
    """The exception by which a reader of one value says what is wrong and how to cure it."""
    # Pydantic fills braces in the template from the context: the texts go in as values.
    return PydanticCustomError(WRONG, "{what}; {cure}", {"what": what, "cure": cure})


def key_text(path: Iterable[str | int]) -> str:
    """The key path as people write it: dotted, quoted where needed, lists counted from 1."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step + 1}]"
        else:
            name = step if _BARE_KEY.fullmatch(step) else _quoted(step)
            text += f".{name}" if text else name
    return text


def shown(value: object) -> str:
    """`value` in TOML's spelling, short, on one line, without passwords; "" for a table."""
    if isinstance(value, dict):
        return ""
    if isinstance(value, list):
        if any(isinstance(element, dict) for element in value):
            return ""
        text = "[" + ", ".join(shown(element) for element in value) + "]"
    elif isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, str):
        text = _quoted(_USERINFO.sub("//...@", value))
    else:
        text = str(value)
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 4] + " ..."


def _quoted(text: str) -> str:
    """`text` in quotes; with escapes where it could not be shown as it is."""
    return f'"{text}"' if text.isprintable() and '"' not in text else json.dumps(text)
