"""Templates of one's own: checked when they are loaded, not when somebody waits for the page.

In: the folder of an administrator, and the shipped one. Out: nothing, or an error. A template of
one's own may use every value that the shipped one of that name gets, and those of the pages it
extends; one that asks for another would fail for every visitor.

*Fails:* `TextsError`, with the file and what is wrong.
*Known limits:* files with new names, which only other overrides can include, are not checked
for what they ask for.
"""

from pathlib import Path

from jinja2 import Environment, nodes
from jinja2.meta import find_undeclared_variables

from gatepost.app.trouble import TextsError


def check_overrides(own: Path, shipped: Path, environment: Environment) -> None:
    """Raises `TextsError` for a folder or a file that cannot be used."""
    if not own.is_dir():
        raise TextsError(f"templates {own}: there is no such folder")
    names = {path.relative_to(shipped).as_posix() for path in shipped.rglob("*.*")}
    given = sorted(path.relative_to(own).as_posix() for path in own.rglob("*.*") if path.is_file())
    if not names.intersection(given):
        raise TextsError(f"templates {own}: no file in it has the name of a shipped template")
    for name in given:
        if name in names and not name.endswith(".po"):
            _check_values(name, own, shipped, environment)


def _check_values(name: str, own: Path, shipped: Path, environment: Environment) -> None:
    asked = _asked_for(own / name, environment)
    known = _known(name, shipped, environment) | set(environment.globals) | {"language"}
    for value in sorted(asked - known):
        raise TextsError(
            f"template {own / name}: {value} is not known there; "
            f"known are {', '.join(sorted(known - set(environment.globals)))}"
        )


def _known(name: str, shipped: Path, environment: Environment) -> set[str]:
    """The values that the shipped template gets, as far as it or what it extends uses them."""
    tree = environment.parse((shipped / name).read_text("utf-8"))
    found = set(find_undeclared_variables(tree))
    for parent in tree.find_all(nodes.Extends):
        if isinstance(parent.template, nodes.Const):
            found |= _known(str(parent.template.value), shipped, environment)
    return found


def _asked_for(path: Path, environment: Environment) -> set[str]:
    return set(find_undeclared_variables(environment.parse(path.read_text("utf-8"))))
