"""`gatepost suppression`: addresses that a sender must not mail, whatever else is on record."""

import csv
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from gatepost.cli.desk import Desk, Refusal, Status, address_from, desk_of, say
from gatepost.cli.listfile import address_column, addresses_in, open_sheet
from gatepost.cli.options import Encoding, Json, Note
from gatepost.cli.printing import moment, progress, show_json_rows, show_table
from gatepost.consent.rows import read_time
from gatepost.mail.address import Address, AddressError, parse
from gatepost.store import suppressing, suppressions
from gatepost.store.engine import Store, Tx
from gatepost.store.suppressing import (
    EVERY_SENDER,
    NOT_FOR_STAFF,
    Entry,
    Lifting,
    Reason,
    Scope,
)
from gatepost.store.suppressions import Suppressed

app = typer.Typer(help="Suppressions: addresses that a sender must not mail.", no_args_is_help=True)

_COLUMNS = ("address", "sender", "scope", "reason", "since")
_BATCH = 2000
_SAID = 20


SomeAddress = Annotated[str, typer.Argument(metavar="ADDRESS", help="The address.")]
SomeSender = Annotated[
    str | None,
    typer.Option(
        "--sender", metavar="NAME", help='The sender; "*" is every sender. Needed if several.'
    ),
]
SomeScope = Annotated[
    Scope,
    typer.Option(
        "--scope", metavar="|".join(Scope), help="All mail of the sender, or bulk mail only."
    ),
]
SomeReason = Annotated[Reason, typer.Option("--reason", metavar="|".join(Reason), help="Why.")]


@app.command()
def add(
    ctx: typer.Context,
    address: SomeAddress,
    *,
    sender: SomeSender = None,
    scope: SomeScope = Scope.ALL,
    reason: SomeReason = Reason.MANUAL,
    note: Note = "",
) -> None:
    """Suppress an address from now on."""
    desk, who = desk_of(ctx), address_from(address)
    entry = Entry(who, _sender(desk, sender), scope.value, reason.value, note)
    with desk.store() as store:
        added = store.write_now(lambda tx: _add(tx, [entry]))
    typer.echo(f"suppressed: {who}" if added else f"{who} was suppressed so already")


@app.command()
def remove(
    ctx: typer.Context,
    address: SomeAddress,
    *,
    sender: SomeSender = None,
    scope: Annotated[
        Scope | None,
        typer.Option("--scope", metavar="|".join(Scope), help="Only suppressions of this scope."),
    ] = None,
    note: Note = "",
) -> None:
    """Lift what staff may lift: suppressions by hand, and for soft bounces.

    Complaints, hard bounces and withdrawals are for the person alone.
    """
    desk, who = desk_of(ctx), address_from(address)
    of_sender = _sender(desk, sender)

    def write(tx: Tx) -> Lifting:
        return suppressing.lift(
            tx, who, of_sender, scope=scope, note=note, actor="staff", method="cli"
        )

    with desk.store() as store:
        lifted, kept = store.write_now(write)
    if lifted:
        typer.echo(f"lifted: {len(lifted)}")
    for one in kept:
        say(f"{one.reason} ({one.scope}) stays: {NOT_FOR_STAFF[one.reason]}")
    if not lifted and not kept:
        say(f"{who} is not suppressed for {of_sender or 'every sender'}")
    raise typer.Exit(Status.DONE if lifted and not kept else Status.NO)


@app.command("list")
def list_(
    ctx: typer.Context,
    address: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Only of this address.")
    ] = None,
    sender: Annotated[
        str | None, typer.Option(metavar="NAME", help='Only of this sender; "*" is every sender.')
    ] = None,
    json: Json = False,
) -> None:
    """List the suppressions in force."""
    desk = desk_of(ctx)
    of_sender = None if sender is None else _sender(desk, sender)
    who = address_from(address) if address is not None else None
    with desk.store() as store:
        rows = (_row(one) for one in _all(store, of_sender, who))
        if json:
            show_json_rows(rows)
        elif not show_table(_COLUMNS, (tuple(row.values()) for row in rows)):
            typer.echo("nobody is suppressed")


@app.command("import")
def import_(
    ctx: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="One address per line, or CSV with address, sender, scope, reason, since, note.",
        ),
    ],
    *,
    sender: SomeSender = None,
    scope: SomeScope = Scope.ALL,
    reason: SomeReason = Reason.MANUAL,
    note: Note = "",
    encoding: Encoding = "utf-8",
) -> None:
    """Suppress many addresses; what `suppression export` wrote is read as it is.

    Options are for rows that do not say. Ends with 1 if lines were refused.
    """
    desk = desk_of(ctx)
    reading = _Reading(desk, sender, {"scope": scope, "reason": reason, "note": note})
    added = read = 0
    with desk.store() as store, progress(f"importing {file.name}", None) as advance:
        entries = reading.entries(file, encoding)
        while portion := list(islice(entries, _BATCH)):
            added += store.write_now(partial(_add, entries=portion))
            read += len(portion)
            advance(len(portion))
    typer.echo(f"suppressed: {added}; were so already: {read - added}; refused: {reading.wrong}")
    raise typer.Exit(Status.NO if reading.wrong else Status.DONE)


@app.command()
def export(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write; - is stdout.")],
    *,
    sender: Annotated[
        str | None, typer.Option(metavar="NAME", help='Only of this sender; "*" is every sender.')
    ] = None,
) -> None:
    """Write the suppressions in force to a CSV file.

    Whoever was erased has no address any more and is counted only.
    """
    desk = desk_of(ctx)
    of_sender = None if sender is None else _sender(desk, sender)
    written = nameless = 0
    with ExitStack() as stack:
        store = stack.enter_context(desk.store())
        target = (
            sys.stdout
            if str(file) == "-"
            else stack.enter_context(file.open("w", encoding="utf-8", newline=""))
        )
        writer = csv.writer(target)
        writer.writerow(_COLUMNS)
        for one in _all(store, of_sender, None):
            if not one.address:
                nameless += 1
                continue
            row = _row(one)
            writer.writerow([*list(row.values())[:-1], moment(one.since)])
            written += 1
    say(f"written: {written}" + (f"; erased, without an address: {nameless}" if nameless else ""))


class _Reading:
    """An import file, read: entries, and the lines that are none."""

    def __init__(self, desk: Desk, sender: str | None, given: dict[str, str]) -> None:
        self._desk, self._given_sender, self._given = desk, sender, given
        self._default_sender: str | None = None
        self.wrong = 0

    def entries(self, file: Path, encoding: str) -> Iterator[Entry]:
        """The entries of a list or a CSV file, in their order."""
        for line, values in _lines(file, encoding):
            try:
                yield self._entry(values)
            except (AddressError, Refusal) as error:
                self.wrong += 1
                if self.wrong <= _SAID:
                    say(f"line {line}: {error}")

    def _entry(self, values: dict[str, str]) -> Entry:
        address = parse(values["address"])
        found = {name: values.get(name) or value for name, value in self._given.items()}
        for name, kind in (("scope", Scope), ("reason", Reason)):
            known = [one.value for one in kind]
            if found[name] not in known:
                raise Refusal(f"{name} {found[name]!r} is none of {', '.join(known)}")
        sender = values.get("sender")
        who = _sender(self._desk, sender) if sender else self._sender_by_default()
        try:
            since = read_time(values.get("since", ""))
        except ValueError as error:
            raise Refusal(f"since {values['since']!r} is no ISO 8601 time") from error
        scope, reason = str(found["scope"]), str(found["reason"])
        return Entry(address, who, scope, reason, found["note"], since)

    def _sender_by_default(self) -> str:
        if self._default_sender is None:
            self._default_sender = _sender(self._desk, self._given_sender)
        return self._default_sender


def _lines(file: Path, encoding: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows by column name; of a mere list, the address alone."""
    with open_sheet(file, encoding) as sheet:
        place = address_column(sheet.heading)
        if place is not None:
            names = [name.casefold() for name in sheet.heading]
            names[place] = "address"
            for line, row in sheet.rows():
                yield line, {"address": "", **dict(zip(names, map(str.strip, row), strict=False))}
            return
    for line, text in addresses_in(file, encoding):
        yield line, {"address": text}


def _sender(desk: Desk, name: str | None) -> str:
    return "" if name == EVERY_SENDER else desk.sender_or_only(name)


def _add(tx: Tx, entries: Sequence[Entry]) -> int:
    return suppressing.add(tx, entries, actor="staff", method="cli")


def _all(store: Store, sender: str | None, address: Address | None) -> Iterator[Suppressed]:
    after = None
    page = partial(suppressions.list_suppressed, sender=sender, address=address)
    while rows := store.read_now(partial(page, after=after)):
        yield from rows
        after = suppressions.place(rows[-1])


def _row(one: Suppressed) -> dict[str, object]:
    return {
        "address": one.address,
        "sender": one.sender or EVERY_SENDER,
        "scope": one.scope,
        "reason": one.reason,
        "since": one.since,
    }
