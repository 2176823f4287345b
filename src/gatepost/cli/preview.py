"""`gatepost preview`: the copy that one recipient would get, and every octet that is changed.

In: a message, a stream, an address. Out: the copy as the program itself would make it, with
the keys and texts of the configuration; its edits as a diff of octets; what was left alone,
and why. Nothing is stored or sent, nobody is asked for consent, and the links in the copy are
made with a key that is thrown away.
"""

import secrets
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from gatepost.cli.desk import Desk, Refusal, Status, address_from, desk_of
from gatepost.cli.options import Json
from gatepost.cli.printing import printable, show_facts, show_json
from gatepost.consent.tokens import KEY_BYTES, Ring
from gatepost.flow.edit import Plan, Slot
from gatepost.mail.address import Address
from gatepost.mail.envelope import Recipient
from gatepost.mail.lines import normalize
from gatepost.mail.message import scan
from gatepost.mail.stream import Stream
from gatepost.mail.verdict import Disposition, Reason, Verdict
from gatepost.store.spool.rows import Claimed, Submission


def preview(  # noqa: PLR0917  options by name
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The message, as it was sent.")],
    stream: Annotated[str, typer.Option(metavar="NAME", help="The stream it is sent on.")],
    to: Annotated[str, typer.Option(metavar="ADDRESS", help="Who would get the copy.")],
    client: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who submits it; else one that may.")
    ] = None,
    seven_bit: Annotated[
        bool, typer.Option("--seven-bit", help="As an upstream without 8BITMIME would get it.")
    ] = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="Write the copy as it is, and nothing else.")
    ] = False,
    json: Json = False,
) -> None:
    """Show the copy of a message for one address, and every octet that is changed in it.

    Changes nothing and asks nobody: consent is a matter of `audience check`. The links in
    the copy lead nowhere.
    """
    desk = desk_of(ctx)
    content = normalize(file.read_bytes())
    shown = _compose(desk, content, desk.stream(stream), address_from(to), client, seven_bit)
    if raw:
        sys.stdout.flush()
        sys.stdout.buffer.write(shown.copy)
    elif json:
        show_json(shown.as_json())
    else:
        _show(shown)


@dataclass(frozen=True, slots=True)
class Change:
    """At octet `offset` of the message, `deleted` goes and `inserted` comes."""

    offset: int
    deleted: bytes
    inserted: bytes


@dataclass(frozen=True, slots=True)
class Shown:
    """A message, and the copy made of it."""

    content: bytes
    copy: bytes
    plan: Plan
    signed_by: tuple[str, ...]
    recipient: str
    stream: Stream

    def changes(self) -> Iterator[Change]:
        """What was changed, in the order of the octets; signatures come first."""
        at = len(self.copy) - self.plan.size
        if at:
            yield Change(0, b"", self.copy[:at])
        there = 0
        for span in self.plan.spans:
            at += span.offset - there
            octets = sum(
                self.plan.slots[one] if isinstance(one, Slot)
                else len(one) if isinstance(one, bytes) else one.size
                for one in span.insert
            )  # fmt: skip
            yield Change(span.offset, span.delete, self.copy[at : at + octets])
            at += octets
            there = span.offset + len(span.delete)

    def as_json(self) -> dict[str, object]:
        """Octets as UTF-8, what is none with backslashes."""
        return {
            "recipient": self.recipient,
            "stream": self.stream.name,
            "size": len(self.content),
            "copy_size": len(self.copy),
            "eight_bit": self.plan.eight_bit,
            "signed_by": self.signed_by,
            "edits": [
                {
                    "offset": one.offset,
                    "deleted": _text(one.deleted),
                    "inserted": _text(one.inserted),
                }
                for one in self.changes()
            ],
            "replaced_headers": [
                {"name": name, "value": value} for name, value in self.plan.replaced_headers
            ],
            "left_alone": self.plan.notes,
            "copy": _text(self.copy),
        }


def _compose(  # noqa: PLR0917  called once
    desk: Desk, content: bytes, stream: Stream, to: Address, client: str | None, seven_bit: bool
) -> Shown:
    from gatepost.app.composing import Composer  # noqa: PLC0415  loads every room
    from gatepost.app.texts import Texts  # noqa: PLC0415
    from gatepost.app.wiring import wire  # noqa: PLC0415

    wiring = wire(desk.settings)
    clients = [name for name, one in desk.settings.clients.items() if stream.name in one.streams]
    if client is not None and client not in clients:
        raise Refusal(f"the client {client!r} may not send on the stream {stream.name}")
    ring = Ring({0: secrets.token_bytes(KEY_BYTES)}, 0)
    texts = Texts(desk.settings.pages.templates)
    composer = Composer(lambda: wiring, texts, lambda: ring, lambda _: not seven_bit)
    now = datetime.now(UTC)
    row = Claimed(
        1, _submission(content, stream, client or next(iter(clients), ""), now), Recipient(to), 1,
        Verdict(Disposition.DELIVER, Reason.CONSENTED, "preview"), "", 1, now, now,
    )  # fmt: skip
    ready = composer(row.submission, scan(content))
    form = ready.form
    if seven_bit and form.plan.eight_bit:
        if ready.seven_bit_form is None:
            raise Refusal(
                "such an upstream cannot get this message: it is signed or encrypted, or has "
                "8-bit octets where no encoding helps",
                Status.NO,
            )
        form = ready.seven_bit_form
    [copy] = ready.copies([row], now)
    signed_by = tuple(
        f"{key.selector}._domainkey.{key.domain}" for key in wiring.dkim.get(stream.sender, ())
    )
    return Shown(content, copy.content, form.plan, signed_by, str(to), stream)


def _submission(content: bytes, stream: Stream, client: str, now: datetime) -> Submission:
    """The message, as if it had just come in from this machine."""
    message = scan(content)
    return Submission(
        id=1, received=now, client=client, stream=stream.name, kind=stream.kind,
        sender=stream.sender, campaign=None, mail_from="", ret="", envid="", smtputf8=False,
        body8bit=not content.isascii(), message_id=message.value("Message-ID"),
        subject=message.value("Subject"), header_from=message.value("From"), size=len(content),
        recipients=1, peer="127.0.0.1", protocol="ESMTP", ehlo="localhost", cipher="",
        replaced="", note="",
    )  # fmt: skip


def _show(shown: Shown) -> None:
    stream = shown.stream
    show_facts({
        "stream": f"{stream.name} ({stream.kind})",
        "recipient": shown.recipient,
        "message": f"{len(shown.content)} octets",
        "copy": f"{len(shown.copy)} octets, {'8' if shown.plan.eight_bit else '7'} bits",
        "signed by": shown.signed_by or "nobody: the sender has no DKIM key",
    })  # fmt: skip
    typer.echo("\nEdits: at an octet of the message, what goes (-) and what comes (+)")
    for change in shown.changes():
        typer.echo(f"@ {change.offset}  -{len(change.deleted)} +{len(change.inserted)}")
        _show_octets("- ", change.deleted)
        _show_octets("+ ", change.inserted)
    if shown.plan.notes:
        typer.echo("\nLeft alone, or worth a word:")
        for note in shown.plan.notes:
            typer.echo(f"  {note}")
    typer.echo("\nThe copy:")
    _show_octets("  ", shown.copy)


def _show_octets(mark: str, octets: bytes) -> None:
    for line in octets.removesuffix(b"\r\n").split(b"\r\n") if octets else ():
        typer.echo(f"{mark}{printable(_text(line).replace(chr(9), '    '))}".rstrip())


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "backslashreplace")
