"""`gatepost source`: where consent is collected, with texts and pictures of them."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from gatepost.cli.desk import Desk, Refusal, Status, desk_of, listing
from gatepost.cli.options import Json
from gatepost.cli.printing import show_facts, show_json, show_json_rows, show_table
from gatepost.consent.rows import split
from gatepost.store import sources
from gatepost.store.engine import Tx
from gatepost.store.sources import Attestations, SourceError, SourceRecord, TextRecord

app = typer.Typer(help="Sources: where consent is collected.", no_args_is_help=True)

MAX_PICTURE_OCTETS = 20_000_000
_ATTESTED = ("voluntary", "informed", "specific", "states-withdrawal")
_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"%PDF-": "application/pdf",
}
_SHOWN = ("name", "sender", "kind", "streams", "text", "state", "marks")


class Kind(StrEnum):
    """What a source can be."""

    FORM = "form"
    PAPER = "paper"
    SHOP = "shop"
    EVENT = "event"
    IMPORT = "import"


class Picture(NamedTuple):
    """A picture's file, read."""

    name: str
    media_type: str
    content: bytes


Name = Annotated[str, typer.Argument(metavar="NAME", help="The source's name.")]


@app.command()
def add(
    ctx: typer.Context,
    name: Name,
    *,
    sender: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whom it collects for, as in config.toml.")
    ] = None,
    kind: Annotated[Kind | None, typer.Option(metavar="|".join(Kind), help="What it is.")] = None,
    streams: Annotated[
        str, typer.Option(metavar="A,B", help="The bulk streams it collects consent for.")
    ] = "",
    text_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The consent text as it is shown, UTF-8.")
    ] = None,
    language: Annotated[
        str, typer.Option(metavar="CODE", help="The text's language, such as sv.")
    ] = "en",
    url: Annotated[str, typer.Option(metavar="URL", help="Where the form is.")] = "",
    picture: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="An image or PDF of the text as shown; repeatable."),
    ] = None,
    attest: Annotated[
        str,
        typer.Option(
            metavar="WORDS", help="What you warrant: voluntary,informed,specific,states-withdrawal."
        ),
    ] = "",
    pre_ticked: Annotated[
        bool, typer.Option("--pre-ticked", help="The box is ticked beforehand: no consent.")
    ] = False,
    conditional: Annotated[
        bool, typer.Option("--conditional", help="The purchase depends on it: no consent.")
    ] = False,
    in_terms: Annotated[
        bool, typer.Option("--in-terms", help="It is hidden in general terms: no consent.")
    ] = False,
    description: Annotated[str, typer.Option(metavar="TEXT", help="What people should know.")] = "",
    reconstructed: Annotated[
        bool, typer.Option("--reconstructed", help="Put together later, from memory or old files.")
    ] = False,
) -> None:
    """Add a source, or a new version of its text.

    A text never changes once consent refers to it: a changed text becomes a new version, a
    changed form should become a new source.
    """
    desk = desk_of(ctx)
    text = _read_text(text_file) if text_file else None
    pictures = [_read_picture(path) for path in picture or ()]
    wanted = _attestations(attest, pre_ticked, conditional, in_terms)
    if text is None and wanted != Attestations():
        raise Refusal("attestations are about a text: give --text-file, too")
    given = split(streams)

    def write(tx: Tx) -> SourceRecord:
        known = sources.find_source(tx, name)
        if known is None:
            who = _check_scope(desk, sender, given)
            if kind is None:
                raise Refusal("a new source needs --kind: form, paper, shop, event or import")
            sources.add_source(
                tx,
                name,
                sender=who,
                kind=kind,
                streams=given,
                description=description,
                url=url,
                reconstructed=reconstructed,
            )
        else:
            _check_same(known, {"sender": sender, "kind": kind, "streams": given, "url": url})
        version = _add_text(tx, name, text, language, wanted)
        for one in pictures:
            if not version:
                raise Refusal("a picture shows a text: give --text-file, too")
            sources.add_picture(tx, name, version, **one._asdict())
        found = sources.find_source(tx, name)
        if found is None:
            raise Refusal(f"there is no source {name!r}", Status.NO)
        return found

    with desk.store() as store:
        try:
            record = store.write_now(write)
        except SourceError as error:
            raise Refusal(str(error)) from error
    _tell(record)


@app.command("list")
def list_sources(ctx: typer.Context, json: Json = False) -> None:
    """List all sources; those without a text or a picture are marked."""
    with desk_of(ctx).store() as store:
        rows = [_summary(record) for record in store.read_now(sources.list_sources)]
    if json:
        show_json_rows(rows)
    elif not show_table(_SHOWN, ([row[name] for name in _SHOWN] for row in rows)):
        typer.echo("there is no source yet: gatepost source add")


@app.command()
def show(ctx: typer.Context, name: Name, json: Json = False) -> None:
    """Show a source with every version of its text."""
    with desk_of(ctx).store() as store:
        record = store.read_now(lambda tx: sources.find_source(tx, name))
        known = [one.name for one in store.read_now(sources.list_sources)] if not record else []
    if record is None:
        raise Refusal(f"there is no source {name!r}: there are {listing(known)}", Status.NO)
    if json:
        show_json({**_summary(record), "texts": [_text(text) for text in record.texts]})
        return
    show_facts(_summary(record))
    for text in record.texts:
        typer.echo(f"\nversion {text.version} ({text.language}), {text.state}")
        for line in text.body.splitlines():
            typer.echo(f"  {line}")
        for shown in text.pictures:
            typer.echo(f"  [{shown.name}, {shown.media_type}, {shown.size} octets]")


def _check_scope(desk: Desk, sender: str | None, streams: Iterable[str]) -> str:
    """The sender, once every stream is found to be a bulk stream of theirs."""
    who = desk.sender_or_only(sender)
    for stream in streams:
        if desk.bulk_stream(stream).sender != who:
            raise Refusal(
                f"the stream {stream} is sent for {desk.stream(stream).sender}, not for {who}"
            )
    return who


def _check_same(known: SourceRecord, given: Mapping[str, object]) -> None:
    for what, value in given.items():
        if value and value != getattr(known, what):
            raise Refusal(
                f"the source {known.name!r} exists, with another {what}: "
                "a changed form is a new source, under a new name"
            )


def _add_text(tx: Tx, name: str, text: str | None, language: str, wanted: Attestations) -> str:
    """The label of the version with this text, which is added if it is not the current one."""
    current = sources.current_text(tx, name)
    if text is None:
        return current.version if current else ""
    if current and (current.body, current.language) == (sources.as_kept(text), language):
        sources.attest(tx, name, current.version, wanted)
        return current.version
    return sources.add_text(tx, name, text, language=language, attestations=wanted)


def _attestations(words: str, pre_ticked: bool, conditional: bool, in_terms: bool) -> Attestations:
    given = split(words)
    unknown = [word for word in given if word not in _ATTESTED]
    if unknown:
        raise Refusal(f"nothing called {listing(unknown)} can be attested: {', '.join(_ATTESTED)}")
    attested = {word.replace("-", "_"): True for word in given}
    return Attestations(
        **attested, pre_ticked=pre_ticked, conditional=conditional, in_terms=in_terms
    )


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise Refusal(f"{path}: the text is not UTF-8: save it as UTF-8") from error
    except OSError as error:
        raise Refusal(f"{path}: {error.strerror}") from error


def _read_picture(path: Path) -> Picture:
    if "://" in str(path) or str(path).startswith(("http:/", "https:/")):
        raise Refusal(f"{path}: a picture is kept as content: save it to a file, and give that")
    try:
        if path.stat().st_size > MAX_PICTURE_OCTETS:
            raise Refusal(f"{path}: a picture has at most {MAX_PICTURE_OCTETS} octets")
        content = path.read_bytes()
    except OSError as error:
        raise Refusal(f"{path}: {error.strerror}") from error
    media_type = next(
        (kind for start, kind in _SIGNATURES.items() if content.startswith(start)), ""
    )
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        media_type = "image/webp"
    if not media_type:
        raise Refusal(f"{path}: no picture: give a PNG, JPEG, GIF, WebP or PDF file")
    return Picture(path.name, media_type, content)


def _tell(record: SourceRecord) -> None:
    text = record.current
    if text is None:
        typer.echo(f"source {record.name}: no text yet, so consent from it decides as unverified")
        return
    typer.echo(f"source {record.name}: text version {text.version} is {text.state}")
    missing = ", ".join(name.replace("_", "-") for name in text.attestations.missing)
    if missing:
        typer.echo(f"  because of: {missing}. Consent from it is recorded and does not count")
    if not text.pictures:
        typer.echo("  no picture of it: add one, as long as it is shown this way")


def _summary(record: SourceRecord) -> dict[str, Any]:
    text = record.current
    return {
        "name": record.name,
        "sender": record.sender,
        "kind": record.kind,
        "streams": record.streams,
        "text": text.version if text else "",
        "state": text.state if text else "none",
        "marks": _marks(record),
        "url": record.url,
        "description": record.description,
        "reconstructed": record.reconstructed,
        "created_at": record.created_at,
    }


def _marks(record: SourceRecord) -> tuple[str, ...]:
    """What is missing: a source should have a text, and the text a picture (JU-25)."""
    text = record.current
    marks = ["no text"] if text is None else []
    if text is not None and not text.pictures:
        marks.append("no picture")
    if record.reconstructed:
        marks.append("reconstructed")
    return tuple(marks)


def _text(text: TextRecord) -> dict[str, Any]:
    return {
        "version": text.version,
        "language": text.language,
        "body": text.body,
        "sha256": text.sha256,
        "state": text.state,
        "attestations": asdict(text.attestations),
        "active": text.active,
        "used": text.used,
        "created_at": text.created_at,
        "pictures": [one._asdict() for one in text.pictures],
    }
