"""`gatepost init`: a folder to start from: configuration, keys, an empty store."""

import os
from pathlib import Path
from typing import Annotated

import typer

from gatepost.cli.desk import Refusal, Status
from gatepost.config import load, write_sample
from gatepost.store.engine import Store

_NEXT_STEPS = """\
Next:
  1. edit {config}: hostname, public_url, [upstream], [senders], [streams]
  2. gatepost --config {config} config check
  3. gatepost --config {config} source add ... and consent import ...
  4. gatepost --config {config} serve
Back up {keys} together with the store: without these keys nobody who left is recognised."""


def init(
    directory: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="Where to write; made if missing.")
    ] = Path(),
) -> None:
    """Write a commented config.toml, secret keys (mode 0600) and an empty store.

    Nothing that exists is written over.
    """
    config = directory / "config.toml"
    directory.mkdir(parents=True, exist_ok=True)
    try:
        write_sample(config)
    except FileExistsError as error:
        raise Refusal(
            f"{config} exists already: edit it, or give another directory", Status.NO
        ) from error
    settings = load(config, os.environ)
    data_dir = Path(settings.server.data_dir)
    Store.open("", data_dir).close()
    typer.echo(f"written: {config}\nmade:    {data_dir} (keys, empty store)")
    typer.echo(_NEXT_STEPS.format(config=config, keys=data_dir / "keys"))
