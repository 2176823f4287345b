"""The commented config.toml that ships and that `gatepost init` writes.

In: the models. Out: a text that loads as it stands: keys, order, defaults and comments are
those of the definitions; what an example says differently from the defaults is in `_EXAMPLES`.

*Fails:* `write_sample` raises `OSError`; it never writes over a file (`FileExistsError`).
"""

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gatepost.config.setting import Section, extra_of
from gatepost.config.settings import Settings
from gatepost.config.shape import Holds, Key, keys_of

WIDTH = 100
_COMMENT_COLUMN = 41

_HEAD = """\
# Gatepost's configuration. Every setting is here with its default or an example; the
# reference is docs/configuration.md. `gatepost config check` says what is wrong with it,
# SIGHUP makes a running gateway read it again. More files may lie in conf.d/ beside it.
#
# Durations are written "24 h", "5 days", "18 months"; sizes "50 MB"; rates "5000/h".
# A secret may be { env = "NAME" } or { file = "PATH" } in place of a string. Relative
# paths start from this file's folder.
"""


@dataclass(frozen=True, slots=True)
class _Example:
    """One table of a kind that may occur several times, or that is not shown whole.

    `whole` shows every key but those in `without`; otherwise only those in `values` are shown.
    `off` comments the table out.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    whole: bool = False
    without: tuple[str, ...] = ()
    off: bool = False
    note: str = ""


_EXAMPLES: Mapping[str, tuple[_Example, ...]] = {
    "smtp": (_Example(whole=True),),
    "upstreams": (),
    "clients": (
        _Example(
            name="crm",
            whole=True,
            values={
                "networks": ["127.0.0.1/32"],
                "streams": ["newsletter", "receipts"],
                "default_stream": "newsletter",
            },
        ),
    ),
    "senders": (
        _Example(
            name="acme",
            whole=True,
            values={
                "name": "Acme AB",
                "postal_address": "Storgatan 1, 111 22 Stockholm, Sweden",
                "contact": "kontakt@acme.example",
                "privacy_url": "https://acme.example/privacy",
            },
        ),
    ),
    "senders.acme.dkim": (
        _Example(whole=True, off=True, note="none, one or several; the key must be there"),
    ),
    "stream_defaults": (_Example(values={"language": "sv"}),),
    "streams": (
        _Example(
            name="newsletter",
            whole=True,
            values={
                "title": "Monthly newsletter",
                "description": "News and offers, once a month",
                "sender": "acme",
            },
            without=("language",),
        ),
        _Example(name="receipts", values={"kind": "transactional", "sender": "acme"}),
        _Example(name="office", values={"kind": "personal"}, note="sender optional"),
    ),
    "classify": (
        _Example(
            values={"client": "crm", "header": {"Precedence": "bulk"}, "stream": "newsletter"},
            note='also: from = "...", subject = "...", recipients_at_least = 50',
        ),
    ),
    "consent.bases": (_Example(name="purchase", whole=True, off=True),),
    "webhooks": (_Example(name="crm", whole=True, off=True),),
}


def sample() -> str:
    """The text of the shipped config.toml."""
    blocks = [_HEAD]
    for key in keys_of(Settings).values():
        blocks += _tables(key, key.name)
    return "\n".join(blocks)


def write_sample(path: Path) -> None:
    """Writes the sample to `path`, where nothing may be yet."""
    with path.open("x", encoding="utf-8") as file:
        file.write(sample())


def _tables(key: Key, path: str) -> Iterator[str]:
    """The examples of one kind of table, each a block of lines, and the tables within them."""
    if key.section is None:
        return
    examples = _EXAMPLES.get(path, (_Example(whole=True),))
    for number, example in enumerate(examples):
        name = f"{path}.{example.name}" if key.holds is Holds.NAMED else path
        heading = f"[[{name}]]" if key.holds is Holds.LIST else f"[{name}]"
        note = example.note or ("" if number else str(key.field.description or ""))
        lines = [_commented(heading, note), *_assignments(key.section, example)]
        block = "\n".join(lines)
        yield (textwrap.indent(block, "# ") if example.off else block) + "\n"
        if example.whole:
            for inner in keys_of(key.section).values():
                yield from _tables(inner, f"{name}.{inner.name}")


def _assignments(section: type[Section], example: _Example) -> Iterator[str]:
    for key in keys_of(section).values():
        shown = example.whole and key.name not in example.without
        if key.holds is Holds.VALUE and (shown or key.name in example.values):
            value = example.values.get(key.name, _sample_value(key))
            yield _commented(f"{key.name} = {toml(value)}", str(key.field.description or ""))


def _sample_value(key: Key) -> Any:
    return extra_of(key.field).get("sample", key.field.default)


def _commented(text: str, comment: str) -> str:
    if not comment:
        return text
    line = f"{text.ljust(_COMMENT_COLUMN - 1)} # {comment}"
    return line if len(line) <= WIDTH else f"# {comment}\n{text}"


def toml(value: Any) -> str:
    """`value` in TOML's spelling, on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    if isinstance(value, list):
        return "[" + ", ".join(toml(element) for element in value) + "]"
    if isinstance(value, dict):
        pairs = ", ".join(f"{name} = {toml(element)}" for name, element in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    return str(value)
