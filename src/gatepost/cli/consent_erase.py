"""`gatepost consent erase`: honours a request for erasure.

In: an address. Out: what was done, what stays, why and until when.
"""

from typing import Annotated

import typer

from gatepost.app.erasure import Eraser, Erasure
from gatepost.cli.desk import Desk, Refusal, Status, address_from, desk_of, say
from gatepost.cli.options import Json
from gatepost.cli.printing import cell, show_json
from gatepost.consent.evidence import REST
from gatepost.consent.retention import Terms
from gatepost.mail.address import Address
from gatepost.store import people
from gatepost.store.engine import Store

_SURVIVES = "the hash of the address, so that they are not mailed again, and links in old mails"


def erase(
    ctx: typer.Context,
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="The person's address.")],
    *,
    sender: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Refuse if other senders have anything on record."),
    ] = None,
    also_transactional: Annotated[
        bool,
        typer.Option("--also-transactional", help="Send them no orders and passwords, either."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and change nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Honour a request for erasure: now or, where evidence must be kept, on its date.

    From this moment no bulk mail is sent to the person until they come back of their own accord.
    What proves the consent that mail was sent on is kept as long as retention.evidence says,
    then the daily retention run completes the erasure. Ends with 1 if nothing is on record.
    """
    desk = desk_of(ctx)
    whom = address_from(address)
    kept = desk.settings.retention
    terms = Terms(evidence=kept.evidence, unconfirmed=kept.unconfirmed)
    with desk.store() as store:
        if sender is not None:
            _check_sender(desk, store, whom, sender)
        eraser = Eraser(store, terms, desk.policy.bases)
        if dry_run:
            found = eraser.preview(whom)
        else:
            found = eraser.erase(whom, transactional=also_transactional)
    if json:
        show_json(_as_json(whom, found, str(terms.evidence)))
    else:
        for line in _sentences(found, str(terms.evidence)):
            typer.echo(line)
        for path in found.unreachable:
            say(f"could not be changed; remove the person's rows by hand: {path}")
    nothing = not found.extent and not found.places
    raise typer.Exit(Status.NO if nothing or found.unreachable else Status.DONE)


def _check_sender(desk: Desk, store: Store, address: Address, sender: str) -> None:
    """Raises `Refusal` where an erasure would take what other senders must keep."""
    desk.check_sender(sender)
    known = store.read_now(lambda tx: people.history(tx, address))
    if known is None:
        return
    others = {one.sender for one in known.standings} | {
        one.fact.sender for one in known.events if one.fact
    }
    foreign = sorted(others - {"", sender})
    if foreign:
        raise Refusal(
            f"{', '.join(foreign)} has records of this person, too: a person is erased as a "
            "whole; ask them, and leave --sender away",
            Status.NO,
        )


def _sentences(found: Erasure, term: str) -> list[str]:
    done = found.done
    if not found.extent and not found.places:
        return ["nothing is on record of this address"]
    lines = []
    if found.already:
        lines.append("an earlier request was honoured already")
    else:
        lines.append("no bulk mail from now on" if done else "no bulk mail would be sent any more")
    if found.extent == REST:
        gone = "erased" if done else "would be erased"
        lines.append(f"{gone} now: {found.other} events that are no evidence")
        lines.append(
            f"kept: {found.evidence} events of evidence, with the address, until "
            f"{cell(found.due)} (rule: {term} after the last mail sent, the consent or its end)"
        )
        lines.append("the daily retention run completes the erasure on that date")
    elif found.extent:
        gone = "erased" if done else "would be erased"
        lines.append(f"{gone}: the address and all {found.evidence + found.other} events")
    lines += [f"{what}: {count}" for what, count in sorted(found.places.items())]
    lines.append(f"what stays for good: {_SURVIVES}")
    return lines


def _as_json(address: Address, found: Erasure, term: str) -> dict[str, object]:
    return {
        "address": address.given,
        "done": found.done,
        "extent": found.extent,
        "rule": "request",
        "already": found.already,
        "kept": {
            "events": found.evidence if found.extent == REST else 0,
            "until": found.due,
            "rule": "evidence-term",
            "term": term,
        },
        "erased_events": found.other if found.extent == REST else found.evidence + found.other,
        "places": dict(found.places),
        "unreachable": found.unreachable,
    }
