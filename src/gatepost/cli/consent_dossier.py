"""`gatepost consent dossier`: the evidence about one address, for the person or an authority."""

import json as json_module
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from gatepost.app import dossier as making
from gatepost.app.texts import FALLBACK, LANGUAGES, Texts
from gatepost.cli.desk import Desk, Refusal, address_from, desk_of, listing
from gatepost.cli.options import Json
from gatepost.cli.printing import jsonable
from gatepost.consent.dossier import Dossier
from gatepost.mail.address import Address
from gatepost.store import dossier as gathering
from gatepost.store.engine import Tx

_SUFFIXES = ("", ".html", ".htm", ".json")


def dossier(
    ctx: typer.Context,
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="The person's address.")],
    *,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Where to write it: .html or .json; - is stdout."
        ),
    ],
    language: Annotated[
        str,
        typer.Option(metavar="TAG", help=f"The language of the HTML: {', '.join(LANGUAGES)}."),
    ] = FALLBACK,
    sender: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only what concerns this sender.")
    ] = None,
    json: Json = False,
) -> None:
    """Write everything on record of an address: consents, texts, pictures, history, mail.

    HTML is one file, for print and for any browser; JSON holds the same for programs. For an
    address that nothing is held about, the dossier says so.
    """
    if not json and output.suffix.lower() not in _SUFFIXES:
        raise Refusal(f"{output}: a dossier is .html or .json; a browser prints the HTML as PDF")
    desk, who = desk_of(ctx), address_from(address)
    of_sender = desk.check_sender(sender) if sender else ""
    texts = Texts(desk.settings.pages.templates)
    if not texts.language(language):
        raise Refusal(f"there is no language {language!r}: there are {listing(LANGUAGES)}")
    with desk.store() as store:
        found = store.read_now(lambda tx: _gather(tx, desk, who, of_sender))
    if json or output.suffix.lower() == ".json":
        values = making.as_json(found)
        text = json_module.dumps(values, indent=2, ensure_ascii=False, default=jsonable) + "\n"
    else:
        text = making.render(found, texts, language, desk.policy)
    if str(output) == "-":
        sys.stdout.write(text)
        return
    _write_privately(output, text)
    held = f"{len(found.consents)} consents, {len(found.entries)} events"
    typer.echo(f"{output}: {who}: {held if found.is_known else 'nothing is held'}")


def _gather(tx: Tx, desk: Desk, who: Address, sender: str) -> Dossier:
    subject = gathering.find(tx, who)
    if subject is None:
        return gathering.nothing_held(tx, who, sender)
    kept_for = desk.settings.retention.evidence
    return making.gather(
        tx, subject, desk.policy, address=who.given, sender=sender, kept_for=kept_for
    )


def _write_privately(path: Path, text: str) -> None:
    """Writes a file that only its owner reads: it is full of personal data."""
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(number, "w", encoding="utf-8") as file:  # noqa: PTH123  a file number
            file.write(text)
    except OSError as error:
        raise Refusal(f"{path}: {error.strerror}") from error
