"""The files of a configuration: config.toml and conf.d/*.toml, read and merged into one.

In: the path of config.toml. Out: one table, and for each key the file and line it is from.
Tables of the same name are merged, `[[lists]]` are joined in the order of reading; any
other key that is given twice is an error.

*Fails:* never by raising: what cannot be read or parsed comes back as `ConfigError`s.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from gatepost.config.errors import ConfigError, KeyPath, key_text
from gatepost.config.lines import lines_of_keys

CONF_D = "conf.d"

_POSITION = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


@dataclass(frozen=True)
class Document:
    """One file that was read and parsed."""

    file: Path
    text: str
    table: Mapping[str, Any]

    @cached_property
    def _lines(self) -> Mapping[KeyPath, int]:
        return lines_of_keys(self.text)

    def line(self, path: KeyPath) -> int:
        """The line of a key, or of the nearest table around it; 0 if it is not known."""
        for length in range(len(path), 0, -1):
            if path[:length] in self._lines:
                return self._lines[path[:length]]
        return 0


@dataclass
class Source:
    """Everything that was read: the merged table, its errors, and where each key is from."""

    table: dict[str, Any] = field(default_factory=dict)
    errors: list[ConfigError] = field(default_factory=list)
    _origins: dict[KeyPath, tuple[Document, KeyPath]] = field(default_factory=dict)

    def place(self, path: KeyPath) -> tuple[Path | None, int]:
        """File and line of a key, or of the nearest table around it."""
        for length in range(len(path), 0, -1):
            origin = self._origins.get(path[:length])
            if origin is not None:
                document, begin = origin
                return document.file, document.line(begin + path[length:])
        return None, 0

    def add(self, document: Document) -> None:
        """Merges one more file into the table."""
        self._merge(self.table, document.table, (), (), document)

    def _merge(
        self,
        into: dict[str, Any],
        table: Mapping[str, Any],
        path: KeyPath,
        own: KeyPath,
        document: Document,
    ) -> None:
        for name, value in table.items():
            key, own_key = (*path, name), (*own, name)
            if isinstance(value, dict) and isinstance(into.setdefault(name, {}), dict):
                self._origins.setdefault(key, (document, own_key))
                self._merge(into[name], value, key, own_key, document)
            elif _is_list_of_tables(value) and (name not in into or _is_list_of_tables(into[name])):
                into.setdefault(name, [])
                self._origins.setdefault(key, (document, own_key))
                for index, element in enumerate(value):
                    place = (*key, len(into[name]))
                    self._origins[place] = (document, (*own_key, index))
                    into[name].append(element)
            elif key in self._origins:
                self._given_twice(key, own_key, document)
            else:
                self._origins[key] = (document, own_key)
                into[name] = value

    def _given_twice(self, key: KeyPath, own_key: KeyPath, document: Document) -> None:
        file, line = self.place(key)
        error = ConfigError(
            key=key_text(key),
            what=f"is given already in {file} line {line}",
            cure="keep one of the two",
            file=document.file,
            line=document.line(own_key),
        )
        self.errors.append(error)


def _is_list_of_tables(value: object) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(element, dict) for element in value)
    )


def read(path: Path) -> Source:
    """The configuration at `path` with what lies in the folder conf.d beside it."""
    source = Source()
    documents: list[Document] = []
    for file in (path, *_further_files(path.parent / CONF_D)):
        outcome = _read_file(file)
        if isinstance(outcome, Document):
            documents.append(outcome)
        else:
            source.errors.append(outcome)
    for document in documents:
        source.add(document)
    return source


def _further_files(folder: Path) -> Sequence[Path]:
    try:
        return sorted(file for file in folder.iterdir() if file.suffix == ".toml")
    except OSError:
        return ()


def _read_file(file: Path) -> Document | ConfigError:
    try:
        raw = file.read_bytes()
    except OSError as error:
        return ConfigError(
            key="",
            what=f"the file cannot be read: {error.strerror}",
            cure="give the path of a config.toml with --config, or write one: gatepost init",
            file=file,
        )
    try:
        text = raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        return ConfigError(
            key="",
            what="the file is not UTF-8 text",
            cure="save it in the encoding UTF-8",
            file=file,
            line=raw.count(b"\n", 0, error.start) + 1,
        )
    try:
        return Document(file, text, tomllib.loads(text))
    except (ValueError, RecursionError) as error:  # a number or a nest beyond all measure, too
        return _syntax_error(file, str(error), text)


def _syntax_error(file: Path, message: str, text: str) -> ConfigError:
    position = _POSITION.search(message)
    line = int(position.group(1)) if position and position.group(1) else text.count("\n") + 1
    return ConfigError(
        key="",
        what=f"this is not TOML: {_POSITION.sub('', message)}",
        cure='write key = value, texts in "quotes", headings in [brackets], and each only once',
        file=file,
        line=line,
    )
