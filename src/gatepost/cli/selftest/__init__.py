"""`gatepost selftest`: a mail to oneself through the whole path, judged as receivers would.

The real program runs in this process, in a temporary folder, on ports of loopback, with the
configured senders, streams and keys; an inbox plays upstream. With `--received` a mail that
was saved from a mailbox behind upstream is judged instead, its keys asked for in DNS.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from gatepost.cli.desk import Desk, Refusal, desk_of
from gatepost.cli.findings import Finding, show_findings
from gatepost.cli.options import Json
from gatepost.mail.lines import normalize


def selftest(
    ctx: typer.Context,
    stream: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only this stream; else all bulk streams.")
    ] = None,
    received: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Judge a bulk mail that was received behind upstream."),
    ] = None,
    dns: Annotated[
        str | None, typer.Option(metavar="ADDRESS[:PORT]", help="The name server to ask.")
    ] = None,
    json: Json = False,
) -> None:
    """Send a mail through the whole path to oneself, and judge it as Gmail and Yahoo would.

    Verifies signatures, headers and texts, opens every link as a scanner would, and leaves by
    one click. Nobody is mailed, and the ledger is not touched. Ends with 1 if anything fails.
    """
    desk = desk_of(ctx)
    findings = _received(received, dns) if received else _sent(desk, stream)
    raise typer.Exit(show_findings(findings, json=json))


def _sent(desk: Desk, stream: str | None) -> Iterator[Finding]:
    names = [desk.bulk_stream(stream).name] if stream else [*desk.bulk_streams()]
    if not names:
        raise Refusal("the configuration has no bulk stream: there is nothing to test")
    from gatepost.cli.selftest.running import run  # noqa: PLC0415  loads every room

    return run(desk.settings, names)


def _received(file: Path, server: str | None) -> Iterator[Finding]:
    from gatepost.cli.names import Names  # noqa: PLC0415
    from gatepost.cli.selftest.claims import (  # noqa: PLC0415
        Copy,
        header_findings,
        signature_findings,
    )

    copy = Copy(normalize(file.read_bytes()))
    yield from signature_findings(copy, Names(server).key_of)
    yield from header_findings(copy)
