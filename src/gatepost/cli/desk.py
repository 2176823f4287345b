"""What every command needs: its configuration, the store, and how it ends.

In: the path that `--config` gave. Out: `Settings`, a `Policy`, an open store. Whatever a
command records is sealed into the ledger before it ends, because nobody else may be there to
do it; beside a running `serve` that does no harm.

*Fails:* `Refusal`, `ConfigErrors` and `StoreUnavailable`, which `DeskGroup` turns into a line
on stderr and an exit status: never a traceback.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import typer
from typer.core import TyperGroup

from gatepost.config import ConfigErrors, Settings, find, load, to_bases, to_senders, to_streams
from gatepost.flow.decide.policy import Policy
from gatepost.mail.address import Address, AddressError, parse
from gatepost.mail.stream import Stream
from gatepost.store import ledger
from gatepost.store.engine import Store, StoreUnavailable
from gatepost.store.trouble import classify, exception_for

N = TypeVar("N")


class Status(IntEnum):
    """How a command ends."""

    DONE = 0
    NO = 1  # the answer is no: a check failed, rows were refused, nothing was found
    BAD_USE = 2  # wrong arguments, or a configuration or file that cannot be used
    OUT_OF_REACH = 3  # the store or an upstream; also whatever nobody foresaw


class Refusal(Exception):  # noqa: N818  an answer
    """Ends a command with a line for the user and an exit status."""

    def __init__(self, text: str, status: Status = Status.BAD_USE) -> None:
        super().__init__(text)
        self.status = status


class DeskGroup(TyperGroup):
    """The outermost command: every ending that is not a success is put into words here."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command that was asked for."""
        try:
            return super().invoke(ctx)
        except (Refusal, ConfigErrors, StoreUnavailable) as error:
            say(str(error).lstrip("\n"))
            raise typer.Exit(_status_of(error)) from error
        except BrokenPipeError:
            raise  # whoever read our output has enough; the framework ends quietly
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            say(f"{place}{error.strerror or error}")
            status = Status.BAD_USE if error.filename else Status.OUT_OF_REACH
            raise typer.Exit(status) from error
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:
            if _is_usage(error):
                raise
            say(_unforeseen(error))
            raise typer.Exit(Status.OUT_OF_REACH) from error


@dataclass(frozen=True)
class Desk:
    """The configuration a command works with; read when it is first asked for."""

    given: Path | None

    @cached_property
    def path(self) -> Path:
        """The configuration's file. Raises `ConfigErrors` where there is none."""
        return find(self.given, os.environ)

    @cached_property
    def settings(self) -> Settings:
        """The settings. Raises `ConfigErrors`."""
        return load(self.path, os.environ)

    @cached_property
    def policy(self) -> Policy:
        """Streams, senders and bases."""
        settings = self.settings
        return Policy(
            streams=to_streams(settings), senders=to_senders(settings), bases=to_bases(settings)
        )

    @contextmanager
    def store(self) -> Iterator[Store]:
        """The store, made where missing; what was recorded is sealed at the end."""
        settings = self.settings
        with Store.open(
            settings.store.url.get_secret_value(), Path(settings.server.data_dir)
        ) as store:
            try:
                yield store
                while store.write_now(ledger.seal):
                    pass
            except (Refusal, StoreUnavailable):
                raise
            except Exception as error:
                trouble = classify(error)
                if trouble.value == "none":
                    raise
                raise exception_for(trouble, error) from error

    def stream(self, name: str) -> Stream:
        """A stream of the configuration. Raises `Refusal`, naming those that exist."""
        return _named(name, self.policy.streams, "stream")

    def bulk_stream(self, name: str) -> Stream:
        """A stream that needs consent. Raises `Refusal`."""
        stream = self.stream(name)
        if not stream.is_bulk:
            raise Refusal(f"the stream {name} is {stream.kind}: its mail needs no consent")
        return stream

    def bulk_streams(self) -> dict[str, Stream]:
        """The streams that need consent, by name."""
        return {name: one for name, one in sorted(self.policy.streams.items()) if one.is_bulk}

    def check_sender(self, name: str) -> str:
        """`name`, if it is a sender of the configuration. Raises `Refusal`."""
        return _named(name, self.policy.senders, "sender").name

    def sender_or_only(self, name: str | None) -> str:
        """The sender of that name or, where none is given, the only one there is."""
        if name is not None:
            return self.check_sender(name)
        senders = list(self.policy.senders)
        if len(senders) != 1:
            raise Refusal(f"say which sender with --sender: {listing(senders)}")
        return senders[0]


def desk_of(ctx: typer.Context) -> Desk:
    """The desk that the outermost command made."""
    desk = ctx.find_object(Desk)
    return desk if desk is not None else Desk(None)


def address_from(text: str) -> Address:
    """The address in an argument. Raises `Refusal`."""
    try:
        return parse(text.strip())
    except AddressError as error:
        raise Refusal(f"{text!r} is no address: {error}") from error


def say(text: str) -> None:
    """A line for the user, beside the output proper."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def listing(names: Iterable[str]) -> str:
    """Names as a sentence lists them."""
    return ", ".join(sorted(names)) or "none"


def _named(name: str, known: Mapping[str, N], what: str) -> N:
    if name not in known:
        raise Refusal(f"there is no {what} {name!r} in the configuration: it has {listing(known)}")
    return known[name]


def _status_of(error: Exception) -> Status:
    match error:
        case Refusal():
            return error.status
        case ConfigErrors():
            return Status.BAD_USE
        case _:
            return Status.OUT_OF_REACH


def _is_usage(error: Exception) -> bool:
    """Whether the framework itself has something to say about the arguments."""
    return hasattr(error, "exit_code") and hasattr(error, "format_message")


def _unforeseen(error: Exception) -> str:
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f" ({place.tb_frame.f_code.co_filename}:{place.tb_lineno})" if place else ""
    text = " ".join(str(error).split())
    return f"gatepost failed in a way nobody foresaw: {type(error).__name__}: {text}{where}"
