"""`gatepost doctor`: what stands between this configuration and mail that arrives.

Each check is a line: good, bad with its cure, or open where it could not be asked. Nothing is
sent: upstream is greeted and logged into, and left again.
"""

from collections.abc import Iterator
from typing import Annotated

import typer

from gatepost.cli.desk import Desk, desk_of
from gatepost.cli.findings import Finding, Mark, show_findings
from gatepost.cli.options import Json


def doctor(
    ctx: typer.Context,
    dns: Annotated[
        str | None, typer.Option(metavar="ADDRESS[:PORT]", help="The name server to ask.")
    ] = None,
    json: Json = False,
) -> None:
    """Check store, disk, upstream, public URL, and the DKIM, SPF, DMARC and PTR records.

    Ends with 1 if anything is wrong, with 3 if store or upstream is out of reach.
    """
    desk = desk_of(ctx)
    raise typer.Exit(show_findings(_examine(desk, dns), json=json))


def _examine(desk: Desk, server: str | None) -> Iterator[Finding]:
    from gatepost.app.wiring import wire  # noqa: PLC0415  loads every room
    from gatepost.cli.doctor import domains, machine  # noqa: PLC0415
    from gatepost.cli.names import Names  # noqa: PLC0415

    wiring = wire(desk.settings)
    yield Finding(Mark.GOOD, "configuration", f"{desk.path} has no errors")
    store = machine.store(desk)
    yield store
    if store.mark in (Mark.GOOD, Mark.OPEN):
        yield from machine.streams(desk, wiring.policy.streams.values())
    yield machine.disk(desk.settings)
    for route in wiring.routes.values():
        yield machine.upstream(route)
    names = Names(server)
    senders = wiring.policy.senders
    for url in dict.fromkeys(one.public_url for one in senders.values()):
        yield machine.public_url(url)
    for name, sender in sorted(senders.items()):
        yield from domains.signing(names, sender, wiring.dkim.get(name, ()))
    yield from domains.unsigned(wiring.policy.streams.values(), wiring.dkim)
    for domain in sorted({one for sender in senders.values() for one in domains.of(sender)}):
        yield domains.spf(names, domain)
        yield domains.dmarc(names, domain)
    for host in dict.fromkeys(route.host for route in wiring.routes.values()):
        yield domains.reverse(names, host)
