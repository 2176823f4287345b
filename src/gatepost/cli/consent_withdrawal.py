"""`gatepost consent withdraw`: somebody, or a whole list, no longer wants mail.

In: an address or a file. Out: withdrawals on record, for whoever had not left already.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from gatepost.cli.desk import Desk, Refusal, Status, address_from, desk_of, say
from gatepost.cli.listfile import addresses_in
from gatepost.cli.options import Encoding, Note
from gatepost.mail.address import Address, AddressError, parse
from gatepost.store import withdrawing
from gatepost.store.engine import Store, Tx
from gatepost.store.withdrawing import Leaving

_BATCH = 2000


def withdraw(
    ctx: typer.Context,
    address: Annotated[
        str | None, typer.Argument(metavar="[ADDRESS]", help="The person's address.")
    ] = None,
    *,
    stream: Annotated[str | None, typer.Option(metavar="NAME", help="Only this stream.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every bulk stream of the sender.")
    ] = False,
    sender: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="With --all, where there are several senders."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Many: one address per line, or CSV; - is stdin."),
    ] = None,
    note: Note = "",
    encoding: Encoding = "utf-8",
) -> None:
    """Record that somebody no longer wants a stream, or any bulk mail of a sender.

    Holds from the moment this returns; a running `serve` follows within a second. Doing it
    twice is doing it once.
    """
    desk = desk_of(ctx)
    if (address is None) == (file is None):
        raise Refusal("give an address, or --file with many")
    name, of_sender = _what_is_left(desk, stream, everything, sender)
    done = known = wrong = 0
    with desk.store() as store:
        if address is not None:
            done, known = _withdraw(store, [address_from(address)], name, of_sender, note)
        elif file is not None:
            lines = addresses_in(file, encoding)
            while portion := list(islice(lines, _BATCH)):
                good = list(_readable(portion))
                wrong += len(portion) - len(good)
                new, old = _withdraw(store, good, name, of_sender, note)
                done, known = done + new, known + old
    what = f"the stream {name}" if name else f"all bulk mail of {of_sender}"
    typer.echo(f"withdrawn from {what}: {done}; had left already: {known}")
    if wrong:
        say(f"no addresses: {wrong} lines")
        raise typer.Exit(Status.NO)


def _what_is_left(
    desk: Desk, stream: str | None, everything: bool, sender: str | None
) -> tuple[str, str]:
    """The stream ("" for all) and the sender that a withdrawal is about."""
    if (stream is None) != everything:
        raise Refusal("say what is left: --stream NAME, or --all")
    if stream is None:
        return "", desk.sender_or_only(sender)
    of_sender = desk.bulk_stream(stream).sender
    if sender is not None and sender != of_sender:
        raise Refusal(f"the stream {stream} is sent for {of_sender}, not for {sender}")
    return stream, of_sender


def _withdraw(
    store: Store, addresses: Sequence[Address], stream: str, sender: str, note: str
) -> tuple[int, int]:
    """How many were withdrawn, and how many had left already."""
    leavings = [Leaving(address, stream, sender, None, note) for address in addresses]

    def write(tx: Tx) -> int:
        return sum(withdrawing.withdraw(tx, leavings, actor="staff", method="cli"))

    done = store.write_now(write) if addresses else 0
    return done, len(addresses) - done


def _readable(lines: Sequence[tuple[int, str]]) -> Iterator[Address]:
    for line, text in lines:
        try:
            yield parse(text)
        except AddressError as error:
            say(f"line {line}: no address: {error}")
