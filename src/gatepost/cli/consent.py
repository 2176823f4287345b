"""`gatepost consent`: what is on record of somebody, and adding to it."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from gatepost.app import records, telling
from gatepost.cli import consent_history, consent_import
from gatepost.cli.consent_dossier import dossier
from gatepost.cli.consent_erase import erase
from gatepost.cli.consent_expiring import expiring
from gatepost.cli.consent_export import export
from gatepost.cli.consent_receipt import receipt
from gatepost.cli.consent_withdrawal import withdraw
from gatepost.cli.desk import Desk, Refusal, Status, address_from, desk_of, listing, say
from gatepost.cli.options import Encoding, Json, Note
from gatepost.cli.printing import cell, show_json
from gatepost.consent.bases import Bases
from gatepost.consent.columns import PRESETS
from gatepost.consent.evidence import EventKind, Fact, TextState
from gatepost.consent.leaving import left_at
from gatepost.consent.rows import (
    Defaults,
    Frame,
    Origin,
    RowError,
    categories_in,
    misuse,
    read_time,
    seen_against,
    split,
)
from gatepost.consent.standing import STRANGER, Person
from gatepost.mail.address import Address
from gatepost.mail.stream import Stream
from gatepost.mail.verdict import Verdict
from gatepost.store import people, sources
from gatepost.store.engine import Store, Tx

app = typer.Typer(help="Consent: what is on record, and adding to it.", no_args_is_help=True)

_INSTANT = timedelta(milliseconds=1)
_SAID = 10  # reasons that are told one by one

SomeAddress = Annotated[str, typer.Argument(metavar="ADDRESS", help="The person's address.")]
Basis = Annotated[
    str | None, typer.Option(metavar="NAME", help="What the person did, such as form-checkbox.")
]
At = Annotated[str | None, typer.Option(metavar="ISO", help="When; ISO 8601, UTC without a zone.")]
Bought = Annotated[bool, typer.Option("--bought", help="Basis customer: something was bought.")]
Informed = Annotated[
    bool, typer.Option("--informed", help="Basis customer: they were told of marketing use.")
]
CouldDecline = Annotated[
    bool, typer.Option("--could-decline", help="Basis customer: they could decline it.")
]


@app.command()
def show(ctx: typer.Context, address: SomeAddress, json: Json = False) -> None:
    """Show what is on record of an address, and what would become of mail to it now.

    Ends with 1 for somebody the ledger has never met.
    """
    desk, who = desk_of(ctx), address_from(address)
    with desk.store() as store:
        record = store.read_now(lambda tx: records.read(tx, desk.policy, who))
    if json:
        show_json(record.as_json())
    else:
        consent_history.print_record(record)
    raise typer.Exit(Status.DONE if record.is_known else Status.NO)


@app.command()
def grant(
    ctx: typer.Context,
    address: SomeAddress,
    *,
    source: Annotated[
        str | None, typer.Option(metavar="NAME", help="Where consent was collected. Required.")
    ] = None,
    basis: Basis = None,
    stream: Annotated[
        str | None, typer.Option(metavar="NAME", help="The bulk stream. Required.")
    ] = None,
    at: At = None,
    explanation: Annotated[
        str,
        typer.Option(metavar="TEXT", help="How somebody who had left came back; they need it."),
    ] = "",
    note: Note = "",
    bought: Bought = False,
    informed: Informed = False,
    could_decline: CouldDecline = False,
    categories: Annotated[
        str, typer.Option(metavar="A,B", help="Product categories the consent is limited to.")
    ] = "",
    ends_at: Annotated[
        str | None, typer.Option(metavar="ISO", help="Basis contract: when it ends, if known.")
    ] = None,
) -> None:
    """Record that somebody agreed to get a stream.

    Somebody who left is resubscribed only by a newer act and with --explanation. Complaints
    and hard bounces are not lifted here: that is for the person alone.
    """
    desk, who = desk_of(ctx), address_from(address)
    of_stream = desk.bulk_stream(_required(stream, "--stream", desk.bulk_streams()))
    known_basis = _known_basis(desk.policy.bases, basis)
    if (bought or informed or could_decline) and known_basis != "customer":
        raise Refusal("--bought, --informed and --could-decline belong to the basis customer")
    if ends_at and known_basis != "contract":
        raise Refusal("--ends-at belongs to the basis contract")
    moment, end = _time(at), _time(ends_at)

    def write(tx: Tx) -> tuple[Fact, Verdict]:
        if moment is not None and moment > tx.now:
            raise Refusal(f"{at} is in the future")
        if end is not None and end < (moment or tx.now):
            raise Refusal("--ends-at is before the contract was made: give --at, too")
        origin = _origin(tx, source, of_stream)
        fact = Fact(
            kind=EventKind.GRANTED,
            at=moment or tx.now,
            sender=of_stream.sender,
            stream=of_stream.name,
            basis=known_basis,
            source=origin.name,
            text_version=origin.current,
            text_state=origin.texts.get(origin.current, TextState.NONE),
            actor="staff",
            method="cli",
            categories=_categories(origin, categories),
            channels=origin.channels,
            ends_at=end,
            bought=bought,
            informed=informed,
            could_decline=could_decline,
            note=note,
        )
        fact = _as_return(fact, _person(tx, who, of_stream), explanation, desk.policy.bases)
        people.record(tx, who, [fact])
        after = _person(tx, who, of_stream)
        later = max(tx.now, fact.at + _INSTANT)  # consent precedes the mail (JU-1)
        return fact, desk.policy.judge(of_stream, who, after, later)

    with desk.store() as store:
        fact, verdict = store.write_now(write)
    _tell(desk, who, fact, verdict)


app.command()(withdraw)
app.command()(erase)
app.command()(dossier)
app.command()(expiring)
app.command()(export)
app.command()(receipt)


@app.command("import")
def import_(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", help="CSV with a heading.")],
    *,
    source: Annotated[
        str | None, typer.Option(metavar="NAME", help="For rows that name no source.")
    ] = None,
    stream: Annotated[
        str | None, typer.Option(metavar="NAME", help="For rows that name no stream.")
    ] = None,
    basis: Basis = None,
    at: At = None,
    renamed: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="NAME=COLUMN", help="Where to find what; repeatable."),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(metavar="PROGRAM", help=f"An export of {', '.join(PRESETS)}.")
    ] = None,
    bought: Bought = False,
    informed: Informed = False,
    could_decline: CouldDecline = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, record nothing.")
    ] = False,
    rejects: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where refused rows go; else FILE.csv.rejects.csv."),
    ] = None,
    encoding: Encoding = "utf-8",
    json: Json = False,
) -> None:
    """Import who agreed and who left, from a CSV file.

    Columns: address (the only one required), basis, event_at, stream, source, text_version,
    url, ip, user_agent, confirmed_at, last_activity_at, ends_at, withdrawn_at, categories, note,
    explanation.
    A row with an explanation is about somebody who left and came back (it needs basis and time).
    A second import of the same file adds nothing; one that broke off goes on where it was.
    Ends with 1 if rows were refused.
    """
    desk = desk_of(ctx)
    if preset is not None and preset not in PRESETS:
        raise Refusal(f"there is no preset {preset!r}: there are {', '.join(PRESETS)}")
    defaults = Defaults(
        stream=desk.bulk_stream(stream).name if stream else "",
        source=source or "",
        basis=_known_basis(desk.policy.bases, basis) if basis else "",
        at=_time(at),
        bought=bought,
        informed=informed,
        could_decline=could_decline,
    )
    if (bought or informed or could_decline) and basis not in (None, "customer"):
        raise Refusal("--bought, --informed and --could-decline belong to the basis customer")
    with desk.store() as store:
        plan = consent_import.Plan(
            file=file,
            encoding=encoding,
            rejects=rejects or file.with_name(f"{file.name}.rejects.csv"),
            renamed=_renamed(renamed or ()),
            preset=preset,
            frame=_frame(store, desk, defaults),
            defaults=defaults,
            dry_run=dry_run,
        )
        tally = consent_import.run(store, plan)
    _tell_import(plan, tally, json=json)
    raise typer.Exit(Status.NO if tally.refused else Status.DONE)


def _required(value: str | None, option: str, known: Mapping[str, object]) -> str:
    if not value:
        raise Refusal(f"{option} is required: there are {listing(known)}")
    return value


def _known_basis(bases: Bases, name: str | None) -> str:
    if name is None or bases.find(name) is None:
        what = f"there is no basis {name!r}" if name else "--basis is required"
        raise Refusal(f"{what}: it is one of {', '.join(basis.name for basis in bases)}")
    return name


def _time(text: str | None) -> datetime | None:
    try:
        return read_time(text) if text else None
    except ValueError as error:
        raise Refusal(
            f"{text!r} is no ISO 8601 time: write 2026-03-01 or 2026-03-01T10:00:00Z"
        ) from error


def _origin(tx: Tx, name: str | None, stream: Stream) -> Origin:
    record = sources.find_source(tx, name) if name else None
    if record is None:
        what = f"there is no source {name!r}" if name else "--source is required"
        known = [one.name for one in sources.list_sources(tx)]
        raise Refusal(f"{what}: there are {listing(known)}; add one with gatepost source add")
    origin = sources.as_origin(record)
    problem = misuse(origin, stream.name, stream.sender)
    if problem:
        raise Refusal(problem)
    return origin


def _categories(origin: Origin, given: str) -> tuple[str, ...]:
    try:
        return categories_in(origin, split(given))
    except RowError as error:
        raise Refusal(str(error)) from error


def _person(tx: Tx, who: Address, stream: Stream) -> Person:
    return people.look_up(tx, [who], stream.name, stream.sender).get(who.key, STRANGER)


def _as_return(fact: Fact, person: Person, explanation: str, bases: Bases) -> Fact:
    """The grant as it is to be recorded about somebody who may have left (HR-4, E5, X6)."""
    left = left_at(person)
    if left is not None and fact.at <= left:
        raise Refusal(
            f"the person left on {cell(left)}: what they did before that is no return",
            Status.NO,
        )
    if left is not None and not explanation.strip():
        raise Refusal(
            f"the person left on {cell(left)}: say how they came back, with --explanation",
            Status.NO,
        )
    try:
        return seen_against(fact, person, explanation, bases)
    except RowError as error:
        raise Refusal(str(error), Status.NO) from error


def _tell(desk: Desk, who: Address, fact: Fact, verdict: Verdict) -> None:
    typer.echo(f"recorded: {who} {fact.kind} {fact.stream} ({fact.basis}, {cell(fact.at)})")
    typer.echo(f"mail of {fact.stream} now: {verdict.disposition} ({verdict.reason})")
    if cure := telling.cure(verdict):
        say(f"what would help: {cure}")
    basis = desk.policy.bases.find(fact.basis)
    if basis is not None and basis.never_counts:
        say(f"{fact.basis} never counts, whatever else is said: it is on record, and no more")


def _renamed(given: Sequence[str]) -> dict[str, str]:
    renamed = {}
    for text in given:
        name, equals, column = text.partition("=")
        if not equals or not column:
            raise Refusal(f"--map {text!r}: write name=column, such as --map address=Mail")
        renamed[name.strip()] = column.strip()
    return renamed


def _frame(store: Store, desk: Desk, defaults: Defaults) -> Frame:
    records = store.read_now(sources.list_sources)
    origins = {record.name: sources.as_origin(record) for record in records}
    if defaults.source and defaults.source not in origins:
        raise Refusal(
            f"there is no source {defaults.source!r}: there are {listing(origins)}; "
            "add one with gatepost source add"
        )
    return Frame(
        now=store.read_now(lambda tx: tx.now),
        streams={name: stream.sender for name, stream in desk.bulk_streams().items()},
        origins=origins,
        bases=desk.policy.bases,
    )


def _tell_import(plan: consent_import.Plan, tally: consent_import.Tally, *, json: bool) -> None:
    if json:
        show_json(
            {
                "rows": tally.rows,
                "withdrawals": tally.withdrawals,
                "grants": tally.grants,
                "known": tally.known,
                "never_count": tally.never_count,
                "refused": tally.refused,
                "rejects": str(plan.rejects) if tally.refused else "",
                "dry_run": plan.dry_run,
            }
        )
        return
    done = "would be recorded" if plan.dry_run else "recorded"
    typer.echo(
        f"{tally.rows} rows: {tally.grants} grants and {tally.withdrawals} withdrawals {done}"
    )
    if tally.known:
        typer.echo(f"on record already: {tally.known}")
    if tally.never_count:
        typer.echo(f"on a basis that never counts: {tally.never_count}")
    if tally.unused:
        typer.echo(f"columns not used: {', '.join(map(cell, tally.unused))}")
    if tally.refused:
        typer.echo(f"refused: {tally.refused}, see {plan.rejects}")
        for reason, count in tally.reasons.most_common(_SAID):
            typer.echo(f"  {count}  {cell(reason)}")
