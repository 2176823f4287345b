"""config.toml → frozen settings, or every error at once.

In: the path of config.toml and the environment. Out: `Settings`. Each value is checked by
itself first; then what is wrong is set aside, so that the checks between settings can run
on the rest and their complaints come in the same answer.

*Fails:* `ConfigErrors`.
*Known limits:* while a file is not TOML, nothing more is said than that.
"""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gatepost.config import checks, explain, shape
from gatepost.config.errors import ConfigError, ConfigErrors, KeyPath, key_text, shown
from gatepost.config.explain import Complaint
from gatepost.config.parties import StreamDefaults
from gatepost.config.setting import extra_of
from gatepost.config.settings import Settings
from gatepost.config.source import Source, read
from gatepost.config.values import Surroundings

VARIABLE = "GATEPOST_CONFIG"
PLACES = (Path("config.toml"), Path("/etc/gatepost/config.toml"))

_MAX_ROUNDS = 10  # a repair may bring to light what lies deeper; tables are three levels deep


def find(path: Path | None, environ: Mapping[str, str]) -> Path:
    """The config.toml to use: `path`, else what GATEPOST_CONFIG says, else the usual places.

    Raises `ConfigErrors` where there is none.
    """
    if path is not None:
        return path
    if environ.get(VARIABLE):
        return Path(environ[VARIABLE])
    for place in PLACES:
        if place.is_file():
            return place
    looked = " nor ".join(str(place) for place in PLACES)
    raise ConfigErrors(
        [
            ConfigError(
                key="",
                what=f"there is no configuration: neither {looked} exists",
                cure=f"write one with gatepost init, or give its path by --config or {VARIABLE}",
            )
        ]
    )


def load(path: Path, environ: Mapping[str, str]) -> Settings:
    """The settings in `path` and in conf.d/*.toml beside it.

    Relative paths start from the folder of `path`. Raises `ConfigErrors`.
    """
    source = read(path)
    if any(not error.key for error in source.errors):
        raise ConfigErrors([error for error in source.errors if not error.key])
    attempt = _Attempt(source.table, Surroundings(path.absolute().parent, environ))
    settings = attempt.run()
    errors = source.errors + [_located(complaint, source, path) for complaint in attempt.complaints]
    if errors or settings is None:
        errors.sort(key=lambda error: (error.file != path, str(error.file or ""), error.line))
        raise ConfigErrors(errors)
    return settings


def _located(complaint: Complaint, source: Source, path: Path) -> ConfigError:
    """The complaint with file, line and value; what is written nowhere belongs to `path`."""
    file, line = source.place(complaint.path)
    value = complaint.value
    key = shape.find(complaint.path).key
    if not value and key is not None and key.section is None and not key.is_secret:
        value = shown(_value_at(source.table, complaint.path))
    return ConfigError(
        key=key_text(complaint.path),
        what=complaint.what,
        cure=complaint.cure,
        value=value,
        file=file or path,
        line=line,
    )


@dataclass
class _Attempt:
    """One try to make settings of a table; complaints gather in `complaints`."""

    table: Mapping[str, Any]
    surroundings: Surroundings
    complaints: list[Complaint] = field(default_factory=list)
    _broken: list[KeyPath] = field(default_factory=list)

    def run(self) -> Settings | None:
        """The settings; where there are complaints, what could be made of the rest."""
        data = copy.deepcopy(dict(self.table))
        self._inherit_defaults(data)
        for _ in range(_MAX_ROUNDS):
            try:
                settings = Settings.model_validate(data, context=self.surroundings)
            except ValidationError as error:
                found = explain.complaints(error.errors(include_url=False))
                self._take(found)
                self._broken += [shape.find(complaint.path).path for complaint in found]
                for complaint in reversed(found):  # so that numbers in lists stay right
                    _repair(data, complaint.path)
            else:
                self._take(checks.complaints(settings))
                return settings
        return None

    def _take(self, found: Iterable[Complaint]) -> None:
        """Keeps complaints, but none that rests on a key that is wrong itself."""
        known = {(complaint.path, complaint.what) for complaint in self.complaints}
        for complaint in found:
            if any(self._is_broken(path) for path in (complaint.path, *complaint.rests_on)):
                continue
            moved = self._where_written(complaint)
            if (moved.path, moved.what) not in known:
                known.add((moved.path, moved.what))
                self.complaints.append(moved)

    def _is_broken(self, path: KeyPath) -> bool:
        return any(path[: len(broken)] == broken for broken in self._broken)

    def _where_written(self, complaint: Complaint) -> Complaint:
        """A complaint about a value that a stream inherited belongs to [stream_defaults]."""
        path = complaint.path
        defaults = self.table.get("stream_defaults")
        if len(path) < 3 or path[0] != "streams" or not isinstance(defaults, dict):
            return complaint
        if path[2] in self.table["streams"][path[1]] or path[2] not in defaults:
            return complaint
        return Complaint(
            path=("stream_defaults", *path[2:]),
            what=complaint.what,
            cure=complaint.cure,
            value=complaint.value,
        )

    def _inherit_defaults(self, data: dict[str, Any]) -> None:
        """Merges [stream_defaults] under each stream, as far as they are right."""
        defaults, streams = data.get("stream_defaults"), data.get("streams")
        if not isinstance(defaults, dict) or not isinstance(streams, dict):
            return
        wrong: set[str | int] = set()
        try:
            StreamDefaults.model_validate(defaults, context=self.surroundings)
        except ValidationError as error:
            wrong = {detail["loc"][0] for detail in error.errors(include_url=False)}
        right = {name: value for name, value in defaults.items() if name not in wrong}
        for name, stream in streams.items():
            if isinstance(stream, dict):
                streams[name] = {**right, **stream}
                self._broken += [
                    ("streams", name, key) for key in defaults if key in wrong and key not in stream
                ]


def _repair(data: dict[str, Any], path: KeyPath) -> None:
    """Makes the wrong thing at `path` right, somehow: by its default, its sample, or emptiness."""
    spot = shape.find(path)
    *way, last = spot.path
    around = _value_at(data, way)
    if spot.key is not None and spot.key.field.is_required() and spot.key.section is None:
        around[last] = extra_of(spot.key.field)["sample"]
    elif spot.key is None and spot.known:
        around[last] = {}
    elif isinstance(around, dict):
        around.pop(last, None)


def _value_at(data: Any, path: Iterable[str | int]) -> Any:
    """What stands at `path`; an empty table where nothing does."""
    for step in path:
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            return {}
    return data
