"""`gatepost consent receipt`: what a person agreed to, for the person, on one page."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from gatepost.cli.desk import Desk, Refusal, Status, address_from, desk_of
from gatepost.cli.options import Json
from gatepost.cli.printing import as_json, cell
from gatepost.consent.evidence import EventKind, Fact
from gatepost.mail.address import Address
from gatepost.store import people, sources
from gatepost.store.engine import Tx

_AGREED = {
    EventKind.GRANTED,
    EventKind.REQUESTED,
    EventKind.CONFIRMED,
    EventKind.RESUBSCRIBED,
    EventKind.TRANSFERRED,
}
_HOW = (
    "Every mail of this kind has a link to unsubscribe. You can also write to {contact}. "
    "It costs nothing, and you need not say why."
)


def receipt(
    ctx: typer.Context,
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="The person's address.")],
    *,
    stream: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only what was agreed to for this stream.")
    ] = None,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Where to write: .txt or .json; - is stdout."
        ),
    ] = Path("-"),
    json: Json = False,
) -> None:
    """Write what a person agreed to: when, on which words, and how to withdraw it.

    Ends with 1 where nothing is on record.
    """
    desk, who = desk_of(ctx), address_from(address)
    wanted = desk.bulk_stream(stream).name if stream else ""
    with desk.store() as store:
        found = store.read_now(lambda tx: _gather(tx, desk, who, wanted))
    as_data = json or output.suffix.lower() == ".json"
    text = as_json({"address": who.given, "consents": found}) if as_data else _page(who, found)
    if str(output) == "-":
        sys.stdout.write(text)
    else:
        try:
            output.write_text(text, "utf-8")
        except OSError as error:
            raise Refusal(f"{output}: {error.strerror}") from error
        typer.echo(f"{output}: {len(found)} consents of {who}")
    raise typer.Exit(Status.DONE if found else Status.NO)


def _gather(tx: Tx, desk: Desk, who: Address, stream: str) -> list[dict[str, Any]]:
    history = people.history(tx, who)
    facts = [event.fact for event in history.events if event.fact] if history else []
    left = {one.stream: one.standing.withdrawn_at for one in (history.standings if history else ())}
    return [
        _consent(tx, desk, fact) | {"withdrawn_at": left.get(fact.stream)}
        for fact in facts
        if fact.kind in _AGREED and fact.stream and stream in ("", fact.stream)
    ]


def _consent(tx: Tx, desk: Desk, fact: Fact) -> dict[str, Any]:
    sender = desk.policy.senders.get(fact.sender)
    stream = desk.policy.streams.get(fact.stream)
    text = sources.find_text(tx, fact.source, fact.text_version) if fact.text_version else None
    language = text.language if text else stream.language if stream else ""
    return {
        "what": fact.kind.value,
        "stream": fact.stream,
        "title": stream.title_in(language) if stream else fact.stream,
        "sender": sender.legal_name if sender else fact.sender,
        "postal_address": sender.postal_address if sender else "",
        "at": fact.at,
        "confirmed_at": fact.confirmed_at,
        "basis": fact.basis,
        "source": fact.source,
        "text_version": fact.text_version,
        "text": text.body if text else "",
        "url": fact.url,
        "categories": fact.categories,
        "how_to_withdraw": _HOW.format(contact=sender.contact if sender else "the sender"),
    }


def _page(who: Address, found: list[dict[str, Any]]) -> str:
    lines = [f"Receipt for {who}", ""]
    if not found:
        lines.append("No consent is on record.")
    for one in found:
        lines += _lines(one)
    return "\n".join(lines) + "\n"


def _lines(one: Mapping[str, Any]) -> list[str]:
    facts = {
        "What": f"{one['title']}, of {one['sender']}",
        "Act": f"{one['what']} on {cell(one['at'])}",
        "Confirmed": cell(one["confirmed_at"]),
        "Basis": one["basis"],
        "Where": ", ".join(part for part in (one["source"], one["url"]) if part),
        "Limited to": cell(one["categories"]),
        "Withdrawn": cell(one["withdrawn_at"]),
    }
    lines = [f"{name + ':':12}{value}" for name, value in facts.items() if value]
    if one["text"]:
        lines += ["Words:", *(f"    {line}" for line in one["text"].splitlines())]
    return [*lines, f"To withdraw: {one['how_to_withdraw']}", ""]
