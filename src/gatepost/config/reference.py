"""docs/configuration.md, written from the models: every setting, complete and in step.

In: the models. Out: Markdown. Meaning, bounds, default and form of each setting are those of
its definition.

*Fails:* never.
"""

from collections.abc import Iterator
from typing import Any, get_args, get_origin

from gatepost.config import shape
from gatepost.config.explain import choices_of
from gatepost.config.parties import StreamDefaults
from gatepost.config.sample import toml
from gatepost.config.setting import bound, extra_of
from gatepost.config.shape import Holds, Key
from gatepost.config.values import Form

_HEAD = """\
# Configuration

This page is written from the definitions in `src/gatepost/config/`; a test keeps it and the
shipped `config.toml` in step with them.

## Which file

`gatepost --config PATH`, else the file that the environment variable `GATEPOST_CONFIG` names,
else `./config.toml`, else `/etc/gatepost/config.toml`. `gatepost init` writes a commented file.

A folder `conf.d/` beside it is read too: its `*.toml` files, in alphabetical order. Tables of
the same name are merged, `[[lists]]` are joined in the order of reading, and any other key that
is given twice is an error. Relative paths start from the folder of `config.toml`.

`gatepost config check` prints everything that is wrong at once: file and line, the key, its
value (never a secret's), what is wrong and what to write instead; the exit status is then 2.
Tables of a list are counted from 1 in these messages: `smtp[2]` is the second `[[smtp]]`.
Unknown keys are errors. `SIGHUP` makes a running gateway read the file again; a bad file leaves
the old configuration running and says so.

## How values are written

| what | how |
| --- | --- |
| duration | a number and `s`, `min`, `h`, `days`, `weeks`, `months` or `years`; months and years are counted on the calendar |
| size | a number and `kB`, `MB`, `GB` (1 MB is 1,000,000 bytes), or `KiB`, `MiB`, `GiB` (1 MiB is 1,048,576 bytes) |
| rate | a number and `/s`, `/min`, `/h` or `/d`; `""` is no limit |
| secret | a string, or `{ env = "NAME" }` for an environment variable, or `{ file = "PATH" }` for the text of a file |
| name | of a client, sender, stream or upstream: letters, digits, `-` and `_` |

"""  # noqa: E501 - rows of a Markdown table are one line each


def reference() -> str:
    """The text of docs/configuration.md."""
    return _HEAD + "\n".join(_table(table) for table in shape.tables())


def _table(table: shape.Table) -> str:
    lines = [f"## `{table.heading}`", "", f"{table.section.__doc__}", ""]
    if table.section is StreamDefaults:
        lines += ["Takes every key of `[streams.NAME]`, including `kind`.", ""]
        return "\n".join(lines)
    keys = [key for key in shape.keys_of(table.section).values() if key.holds is Holds.VALUE]
    if keys:
        lines += ["| setting | meaning | written as | default | bounds |"]
        lines += ["| --- | --- | --- | --- | --- |"]
        lines += [_row(key) for key in keys]
        lines.append("")
    return "\n".join(lines)


def _row(key: Key) -> str:
    meaning = str(key.field.description)
    detail = str(extra_of(key.field).get("detail", ""))
    cells = [
        f"`{key.name}`",
        f"{meaning}. {detail}".strip() if detail else meaning,
        _form(key),
        "required" if key.field.is_required() else f"`{toml(key.field.default)}`",
        _bounds(key),
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _form(key: Key) -> str:
    choices = choices_of(key)
    if choices:
        several = "list: " if get_origin(key.field.annotation) is tuple else ""
        return several + ", ".join(f'`"{choice}"`' for choice in choices)
    for form in _forms(key.field.metadata, key.field.annotation):
        return form
    return "string"


def _forms(metadata: list[Any], annotation: Any) -> Iterator[str]:
    for element in metadata:
        if isinstance(element, Form):
            yield element.text
    simple = {bool: "`true` or `false`", int: "whole number", float: "number", str: "string"}
    if annotation in simple:
        yield simple[annotation]
    if get_origin(annotation) is tuple:
        element = get_args(annotation)[0]
        inner = next(_forms(list(getattr(element, "__metadata__", ())), element), "string")
        yield f"list: {inner}"


def _bounds(key: Key) -> str:
    least, most = bound(key.field, "least"), bound(key.field, "most")
    match least, most:
        case None, None:
            return ""
        case _, None:
            return f"at least {least}"
        case None, _:
            return f"at most {most}"
        case _:
            return f"{least} to {most}"
