"""`gatepost dkim`: makes keys to sign with, and shows what DNS has to publish for them."""

import os
from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gatepost.cli.desk import Desk, Refusal, Status, desk_of
from gatepost.cli.options import Json
from gatepost.cli.printing import show_json, show_json_rows
from gatepost.config import ConfigErrors, Settings
from gatepost.flow.edit import DkimKey, load_key
from gatepost.flow.edit.dkim_record import record_name, record_strings, record_text, zone_line
from gatepost.mail.address import AddressError, parse

app = typer.Typer(help="Keys for DKIM signatures.", no_args_is_help=True)

_EXPONENT = 65537


@app.command()
def generate(  # noqa: PLR0917  options by name
    ctx: typer.Context,
    domain: Annotated[
        str, typer.Argument(metavar="DOMAIN", help="The d= of the signatures: the From domain.")
    ],
    selector: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The s= of the signatures; else the next free gpN."),
    ] = None,
    bits: Annotated[int, typer.Option(min=1024, max=4096, help="The key's length.")] = 2048,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where to write the key; else dkim/DOMAIN.SELECTOR.pem beside config.toml.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Make a key (PEM, mode 0600), and print its DNS record and the table for config.toml.

    Nothing that exists is written over.
    """
    desk = desk_of(ctx)
    settings = _settings_if_any(desk)
    domain = _domain_from(domain)
    taken = _selectors(settings, domain)
    selector = selector or next(f"gp{n}" for n in range(1, 1000) if f"gp{n}" not in taken)
    if selector in taken:
        raise Refusal(
            f"{domain} signs with the selector {selector} already: a new key needs a new one, so "
            "that what was signed with the old key can still be checked",
            Status.NO,
        )
    folder = desk.path.parent if settings else Path()
    path = output or folder / "dkim" / f"{domain}.{selector}.pem"
    key = rsa.generate_private_key(_EXPONENT, bits)
    try:
        DkimKey(domain, selector, key)
    except ValueError as error:
        raise Refusal(str(error)) from error
    _write(path, key)
    text = record_text(key)
    table = _table(_sender_of(settings, domain), domain, selector, _spelled(path, folder))
    if json:
        show_json({**_published(domain, selector, text), "key": str(path), "config": table})
        return
    typer.echo(f"written: {path}\n\n1. Publish this record in DNS:\n")
    typer.echo(zone_line(domain, selector, text))
    typer.echo(f"\n2. When it can be seen, put this into config.toml and reload:\n\n{table}")


@app.command()
def show(ctx: typer.Context, json: Json = False) -> None:
    """Show the DNS records of all configured keys."""
    settings = desk_of(ctx).settings
    rows: list[dict[str, object]] = []
    lines: list[str] = []
    for name, sender in sorted(settings.senders.items()):
        for one in sender.dkim:
            key = load_key(Path(one.key).read_bytes())
            published = _published(one.domain, one.selector, record_text(key))
            rows.append({"sender": name, **published, "key": str(one.key), "bits": key.key_size})
            lines += [
                f"; {name}: {key.key_size} bits, {one.key}",
                zone_line(one.domain, one.selector, record_text(key)),
            ]
    if json:
        show_json_rows(rows)
        return
    typer.echo("\n".join(lines) or "no sender has a key: `gatepost dkim generate` makes one")


def _published(domain: str, selector: str, text: str) -> dict[str, object]:
    return {
        "domain": domain,
        "selector": selector,
        "name": record_name(domain, selector),
        "record": text,
        "strings": record_strings(text),
    }


def _settings_if_any(desk: Desk) -> Settings | None:
    """The configuration; a key can be made before there is one, or while it has errors."""
    try:
        return desk.settings
    except ConfigErrors:
        if desk.given is not None and not desk.given.exists():
            raise
        return None


def _domain_from(text: str) -> str:
    """The domain in A-labels. Raises `Refusal`."""
    try:
        return parse(f"postmaster@{text.strip().rstrip('.')}").domain
    except AddressError as error:
        raise Refusal(f"{text!r} is no domain: {error}") from error


def _selectors(settings: Settings | None, domain: str) -> frozenset[str]:
    senders = settings.senders.values() if settings else ()
    return frozenset(k.selector for one in senders for k in one.dkim if k.domain == domain)


def _sender_of(settings: Settings | None, domain: str) -> str:
    """Whose mail comes from `domain`; a word to be replaced where nobody's does."""
    for name, sender in settings.senders.items() if settings else ():
        for pattern in sender.from_:
            allowed = pattern.rpartition("@")[2].removeprefix("*.")
            if allowed == domain or allowed.endswith(f".{domain}"):
                return name
    return "NAME"


def _write(path: Path, key: rsa.RSAPrivateKey) -> None:
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise Refusal(f"{path} exists already: name another file with -o", Status.NO) from error
    with os.fdopen(handle, "wb") as file:
        file.write(pem)


def _spelled(path: Path, folder: Path) -> str:
    """The path as config.toml, in `folder`, names it."""
    whole, top = path.resolve(), folder.resolve()
    return str(whole.relative_to(top) if whole.is_relative_to(top) else whole)


def _table(sender: str, domain: str, selector: str, key: str) -> str:
    quoted = key.replace("\\", "\\\\").replace('"', '\\"')
    return (
        f'[[senders.{sender}.dkim]]\ndomain = "{domain}"\nselector = "{selector}"\nkey = "{quoted}"'
    )
