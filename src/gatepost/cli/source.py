"""`gatepost source`: where consent is collected, with texts and pictures of them.

A text is read before it is put to use (`consent.texts`), and is kept as a draft while anything
is missing: then the command says what, and ends with 1.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gatepost.cli.desk import Desk, Refusal, Status, desk_of, listing
from gatepost.cli.options import Json
from gatepost.cli.printing import show_json, show_json_rows, show_table
from gatepost.cli.source_files import read_picture, read_text
from gatepost.cli.source_texts import (
    Wish,
    add_text,
    chosen,
    known_source,
    put_to_use,
    report_on,
    set_attested,
    version_of,
)
from gatepost.cli.source_words import (
    ATTESTABLE,
    SHOWN,
    finding_row,
    is_as_declared,
    said,
    show_source,
    summary,
    tell,
    version_row,
)
from gatepost.consent.attestations import SPOILING
from gatepost.consent.rows import split
from gatepost.consent.scope import MAIL
from gatepost.consent.texts import Report, check
from gatepost.store import sources
from gatepost.store.engine import Tx
from gatepost.store.sources import KINDS, SourceError, SourceRecord, Stage

app = typer.Typer(help="Sources: where consent is collected.", no_args_is_help=True)


class Kind(StrEnum):
    """What a source can be."""

    FORM = "form"
    PAPER = "paper"
    SHOP = "shop"
    EVENT = "event"
    IMPORT = "import"
    APP = "app"
    API = "api"
    COMPETITION = "competition"


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What is said about a source itself; what is empty is not said."""

    sender: str | None
    kind: str
    streams: tuple[str, ...]
    url: str
    channels: tuple[str, ...]
    categories: tuple[str, ...]
    description: str
    attested_by: str
    attested_why: str


Name = Annotated[str, typer.Argument(metavar="NAME", help="The source's name.")]
TextFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="The consent text as it is shown, UTF-8.")
]
Language = Annotated[str, typer.Option(metavar="CODE", help="The text's language, such as sv.")]
Version = Annotated[
    str | None,
    typer.Option(metavar="V", help="The version; else the last draft, or the current."),
]
Attest = Annotated[
    str,
    typer.Option(
        metavar="WORDS",
        help="What you warrant: voluntary,informed,specific,states-withdrawal; "
        "also names-company, prominent.",
    ),
]
PreTicked = Annotated[
    bool, typer.Option("--pre-ticked", help="The box is ticked beforehand: no consent.")
]
Conditional = Annotated[
    bool, typer.Option("--conditional", help="The purchase depends on it: no consent.")
]
InTerms = Annotated[
    bool, typer.Option("--in-terms", help="It is hidden in general terms: no consent.")
]
AcceptLint = Annotated[
    str, typer.Option(metavar="WHY", help="Why what the check of the text finds is no fault here.")
]


@app.command()
def add(
    ctx: typer.Context,
    name: Name,
    *,
    sender: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whom it collects for, as in config.toml.")
    ] = None,
    kind: Annotated[Kind | None, typer.Option(metavar="|".join(KINDS), help="What it is.")] = None,
    streams: Annotated[
        str, typer.Option(metavar="A,B", help="The bulk streams it collects consent for.")
    ] = "",
    text_file: TextFile = None,
    language: Language = "en",
    url: Annotated[str, typer.Option(metavar="URL", help="Where the form is.")] = "",
    picture: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="An image or PDF of the text as shown; repeatable."),
    ] = None,
    attest: Attest = "",
    pre_ticked: PreTicked = False,
    conditional: Conditional = False,
    in_terms: InTerms = False,
    accept_lint: AcceptLint = "",
    channel: Annotated[
        str, typer.Option(metavar="A,B", help="What consent is asked for; e-mail if nothing else.")
    ] = "",
    categories: Annotated[
        str, typer.Option(metavar="A,B", help="Product categories the consent is limited to.")
    ] = "",
    description: Annotated[str, typer.Option(metavar="TEXT", help="What people should know.")] = "",
    reconstructed: Annotated[
        bool, typer.Option("--reconstructed", help="Put together later, from memory or old files.")
    ] = False,
    attested_by: Annotated[
        str, typer.Option(metavar="WHO", help="Who vouches for what was reconstructed.")
    ] = "",
    because: Annotated[
        str, typer.Option(metavar="WHY", help="How they know what people agreed to.")
    ] = "",
) -> None:
    """Add a source, or a new version of its text.

    A text never changes once consent refers to it: a changed text becomes a new version, a
    changed form should become a new source. A version that lacks something is kept as a draft,
    and the command ends with 1.
    """
    desk = desk_of(ctx)
    wish = Wish(
        read_text(text_file) if text_file else None,
        language,
        _words(attest, pre_ticked, conditional, in_terms),
        accept_lint,
    )
    pictures = [read_picture(path) for path in picture or ()]
    if wish.body is None and (wish.words or wish.accepted):
        raise Refusal("attestations are about a text: give --text-file, too")
    if len({reconstructed, bool(attested_by.strip()), bool(because.strip())}) > 1:
        raise Refusal("--reconstructed, --attested-by WHO and --because WHY belong together")
    given = Given(
        sender=sender,
        kind=kind.value if kind else "",
        streams=split(streams),
        url=url,
        channels=split(channel.casefold().replace("email", MAIL)),
        categories=split(categories),
        description=description,
        attested_by=attested_by,
        attested_why=because,
    )

    def write(tx: Tx) -> tuple[SourceRecord, str]:
        known = sources.find_source(tx, name)
        if known is None:
            _add_source(tx, desk, name, given)
        else:
            _check_same(known, given)
        version = add_text(tx, desk, known_source(tx, name), wish)
        for one in pictures:
            if not version:
                raise Refusal("a picture shows a text: give --text-file, too")
            sources.add_picture(tx, name, version, **one._asdict())
        put_to_use(tx, name, version)
        return known_source(tx, name), version

    with desk.store() as store:
        try:
            record, version = store.write_now(write)
        except SourceError as error:
            raise Refusal(str(error)) from error
    _end(desk, record, version)


@app.command()
def activate(
    ctx: typer.Context,
    name: Name,
    *,
    version: Version = None,
    attest: Attest = "",
    accept_lint: AcceptLint = "",
) -> None:
    """Put a version of a text to use, attesting what is still missing.

    From then on it is what the source shows; the version before stays valid for those who
    agreed to it.
    """
    desk, words = desk_of(ctx), _words(attest)

    def write(tx: Tx) -> tuple[SourceRecord, str]:
        record = known_source(tx, name)
        text = chosen(record, version)
        if words or accept_lint:
            wanted = text.attestations.also(words)
            set_attested(tx, report_on(desk, record, text), text, wanted, accept_lint)
        if not version_of(known_source(tx, name), text.version).lacks:
            sources.activate(tx, name, text.version)
        return known_source(tx, name), text.version

    with desk.store() as store:
        try:
            record, label = store.write_now(write)
        except SourceError as error:
            raise Refusal(str(error), Status.NO) from error
    _end(desk, record, label, strict=True)


@app.command()
def attest(
    ctx: typer.Context,
    name: Name,
    *,
    version: Version = None,
    attest: Attest = "",
    retract: Annotated[
        str, typer.Option(metavar="WORDS", help="What is not so after all; --attest's words.")
    ] = "",
    pre_ticked: PreTicked = False,
    conditional: Conditional = False,
    in_terms: InTerms = False,
    accept_lint: AcceptLint = "",
) -> None:
    """Say what you warrant about a version that no consent refers to yet.

    A version that then lacks something is a draft again.
    """
    desk = desk_of(ctx)
    words, back = _words(attest, pre_ticked, conditional, in_terms), _words(retract, known=_ALL)
    if not (words or back or accept_lint):
        raise Refusal(f"say what is so: --attest, --retract; the words are {', '.join(_ALL)}")

    def write(tx: Tx) -> tuple[SourceRecord, str]:
        record = known_source(tx, name)
        text = chosen(record, version)
        wanted = text.attestations.also(words).without(back)
        set_attested(tx, report_on(desk, record, text), text, wanted, accept_lint)
        return known_source(tx, name), text.version

    with desk.store() as store:
        try:
            record, label = store.write_now(write)
        except SourceError as error:
            raise Refusal(str(error), Status.NO) from error
    text = version_of(record, label)
    tell(record, text, report_on(desk, record, text))


@app.command("check")
def check_(
    ctx: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A source whose text is read.")
    ] = None,
    *,
    version: Version = None,
    text_file: TextFile = None,
    sender: Annotated[
        str | None, typer.Option(metavar="NAME", help="With --text-file: whose text it is.")
    ] = None,
    language: Language = "en",
    json: Json = False,
) -> None:
    """Read a consent text for what it should say and must not; changes nothing.

    Ends with 1 if something must be changed or accepted.
    """
    desk = desk_of(ctx)
    if (name is None) == (text_file is None):
        raise Refusal("give a source's name, or --text-file with a text")
    if text_file is not None:
        whose = desk.policy.senders[desk.sender_or_only(sender)]
        report = check(read_text(text_file), language, whose.legal_name)
    else:
        with desk.store() as store:
            record = store.read_now(lambda tx: known_source(tx, name or ""))
        report = report_on(desk, record, chosen(record, version))
    if json:
        rows = [finding_row(finding) for finding in report.findings]
        show_json({"names_sender": report.names_sender, "findings": rows})
    else:
        for finding in report.findings:
            typer.echo(f"{'error' if finding.is_error else 'warning'}: {said(finding)}")
        if not report.findings:
            typer.echo("nothing found")
    raise typer.Exit(
        Status.NO if any(finding.is_error for finding in report.findings) else Status.DONE
    )


@app.command("list")
def list_sources(ctx: typer.Context, json: Json = False) -> None:
    """List all sources; what is missing or special about them is marked."""
    with desk_of(ctx).store() as store:
        rows = [summary(record) for record in store.read_now(sources.list_sources)]
    if json:
        show_json_rows(rows)
    elif not show_table(SHOWN, ([row[name] for name in SHOWN] for row in rows)):
        typer.echo("there is no source yet: gatepost source add")


@app.command()
def show(ctx: typer.Context, name: Name, json: Json = False) -> None:
    """Show a source with every version of its text."""
    with desk_of(ctx).store() as store:
        record = store.read_now(lambda tx: known_source(tx, name))
    if json:
        show_json({**summary(record), "texts": [version_row(text) for text in record.texts]})
    else:
        show_source(record)


_ALL = (*ATTESTABLE, *SPOILING)


def _words(
    attest: str,
    pre_ticked: bool = False,
    conditional: bool = False,
    in_terms: bool = False,
    *,
    known: tuple[str, ...] = ATTESTABLE,
) -> tuple[str, ...]:
    """The words of attestations that an option and flags come to. Raises `Refusal`."""
    given = split(attest)
    unknown = [word for word in given if word not in known]
    if unknown:
        raise Refusal(f"nothing called {listing(unknown)} can be attested: {', '.join(known)}")
    flags = (pre_ticked, conditional, in_terms)
    return (*given, *(word for word, flag in zip(SPOILING, flags, strict=True) if flag))


def _add_source(tx: Tx, desk: Desk, name: str, given: Given) -> None:
    if not given.kind:
        raise Refusal(f"a new source needs --kind: {', '.join(KINDS)}")
    sources.add_source(
        tx,
        name,
        sender=_check_scope(desk, given.sender, given.streams),
        kind=given.kind,
        streams=given.streams,
        description=given.description,
        url=given.url,
        channels=given.channels or (MAIL,),
        categories=given.categories,
        reconstructed=bool(given.attested_by),
        attested_by=given.attested_by,
        attested_why=given.attested_why,
    )


def _check_scope(desk: Desk, sender: str | None, streams: Iterable[str]) -> str:
    """The sender, once every stream is found to be a bulk stream of theirs."""
    who = desk.sender_or_only(sender)
    for stream in streams:
        if desk.bulk_stream(stream).sender != who:
            raise Refusal(
                f"the stream {stream} is sent for {desk.stream(stream).sender}, not for {who}"
            )
    return who


def _check_same(known: SourceRecord, given: Given) -> None:
    for spec in fields(Given):
        value = getattr(given, spec.name)
        if value and value != getattr(known, spec.name):
            raise Refusal(
                f"the source {known.name!r} exists, with another {spec.name.replace('_', ' ')}: "
                "a changed form is a new source, under a new name"
            )


def _end(desk: Desk, record: SourceRecord, version: str, *, strict: bool = False) -> None:
    """Tells what became of it; ends with 1 for a draft that was not meant to be one."""
    text = version_of(record, version) if version else None
    tell(record, text, report_on(desk, record, text) if text else Report())
    if text is None or text.stage is Stage.ACTIVE:
        return
    if strict or not is_as_declared(text):
        raise typer.Exit(Status.NO)
