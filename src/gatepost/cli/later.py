"""Commands that are loaded when they are asked for.

`gatepost queue list` has no use for what `consent import` or `serve` need, and loading
everything takes longer than most commands do. So the outermost command knows each noun by name,
place and a line of help; the rest is read from its module once somebody names it.

In: a name, `module:attribute` and the line that `gatepost --help` shows, which a test holds
against the command's own. Out: a command, or a group of them.
"""

from functools import cached_property
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand
from typer.main import get_group


class Later(TyperCommand):
    """Stands for a command; `whole` is the command."""

    def __init__(self, name: str, place: str, line: str) -> None:
        super().__init__(name=name, help=line)
        self._place = place

    @cached_property
    def whole(self) -> Any:
        """The command itself, made from its module."""
        module, _, attribute = self._place.partition(":")
        found = getattr(import_module(module), attribute)
        shelf = typer.Typer(add_completion=False)
        if isinstance(found, typer.Typer):
            shelf.add_typer(found, name=self.name)
        else:
            shelf.command(self.name)(found)
        return get_group(shelf).commands[str(self.name)]

    def make_context(self, *given: Any, **more: Any) -> Any:
        """The context of the command itself: from here on it is the one that runs."""
        return self.whole.make_context(*given, **more)


def whole(command: Any) -> Any:
    """A command with all that belongs to it, loaded if need be."""
    return command.whole if isinstance(command, Later) else command
