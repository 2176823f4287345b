"""`gatepost store migrate-to`: the whole store to another database, and what to do then."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Annotated

import typer

from gatepost.cli.desk import Desk, Refusal, Status, desk_of, say
from gatepost.cli.options import Json
from gatepost.cli.printing import progress, show_json, show_table
from gatepost.store import belonging, ledger, moving, upkeep
from gatepost.store.address import parameters
from gatepost.store.belonging import Mark
from gatepost.store.engine import Store
from gatepost.store.instance import AlreadyServed, only_instance
from gatepost.store.keys import KeysError, StoreKeys

_SHOWN = 20  # findings


def migrate_to(
    ctx: typer.Context,
    url: Annotated[
        str,
        typer.Argument(
            metavar="URL",
            envvar="GATEPOST_MIGRATE_TO",
            help='An empty database, "postgresql://..."; or "embedded", for the file in data_dir.',
        ),
    ],
    json: Json = False,
) -> None:
    """Move the store to another database: ledger, spool, quarantine, sources, all of it.

    Stop every gateway before. The store that is moved stays as it is; the keys stay in data_dir.
    What was interrupted goes on where it stood when the same command is given again. Every
    table is read back and compared, and the ledger verified, before the new store can be used.
    """
    desk = desk_of(ctx)
    source, target = _ends(desk, url)
    keys = _seal(source)
    with _alone(desk, source):
        try:
            moved = moving.move(source, target, keys, progress)
        except moving.TargetTaken as error:
            raise Refusal(f"{target}: {error}", Status.NO) from error
        _remember(target, moved)
    if json:
        show_json(_as_json(source, target, moved))
    else:
        _show(source, target, moved)
    raise typer.Exit(Status.NO if moved.findings else Status.DONE)


def _remember(target: moving.End, moved: moving.Moved) -> None:
    """Has the keys belong to the new store; all is well without, where others provide them."""
    folder = target.data_dir / "keys"
    try:
        belonging.remember(folder, Mark(moved.id, str(target)))
    except OSError as error:
        mark = folder / belonging.MARK
        say(f"{mark}: {error.strerror}; if there is one, remove it before a gateway starts")


def _ends(desk: Desk, url: str) -> tuple[moving.End, moving.End]:
    settings = desk.settings
    data_dir = settings.server.data_dir
    source = moving.End(_normal(settings.store.url.get_secret_value()), data_dir)
    if url != moving.EMBEDDED:
        try:
            parameters(url)
        except ValueError as error:
            raise Refusal(
                f'the URL {error}; give one that begins with postgresql://, or "{moving.EMBEDDED}"'
            ) from None
    target = moving.End("" if url == moving.EMBEDDED else _normal(url), data_dir)
    if source == target:
        raise Refusal("that is where the store is already", Status.NO)
    return source, target


def _normal(url: str) -> str:
    return url.replace("postgres://", "postgresql://", 1)


@contextmanager
def _alone(desk: Desk, source: moving.End) -> Iterator[None]:
    """Nobody serves the store meanwhile. Raises `Refusal`."""
    try:
        with only_instance(desk.settings.server.data_dir):
            for _ in range(20):  # whoever has just gone away is counted for a moment yet
                others = upkeep.look(source.url, source.data_dir).gateways
                if not others:
                    break
                time.sleep(0.1)
            else:
                raise Refusal(
                    f"{others} connections of Gatepost are open on the store: stop every gateway",
                    Status.NO,
                )
            yield
    except AlreadyServed as error:
        raise Refusal(str(error), Status.NO) from error


def _seal(source: moving.End) -> StoreKeys:
    """Brings the store up to date, so that both ends have one schema and one head.

    It gets an id if no gateway has given it one, or a start on it after the move would take it for
    a restored backup of the new one.
    """
    mark = None
    with suppress(KeysError):  # that it cannot be read is said when it is to be written
        mark = belonging.read(source.data_dir / "keys")
    with Store.open(source.url, source.data_dir, create=False) as store:
        store.write_now(partial(belonging.identify, mark=mark))
        while store.write_now(ledger.seal):
            pass
        return store.keys


def _show(source: moving.End, target: moving.End, moved: moving.Moved) -> None:
    show_table(("table", "rows", "digest"), [(t.name, t.rows, t.digest) for t in moved.tables])
    if moved.resumed:
        typer.echo(f"of these an earlier attempt had brought over {moved.resumed}")
    height, digest = moved.head
    typer.echo(f"every table is equal; the ledger ends in both at {height}:{digest}")
    for one in moved.findings[:_SHOWN]:
        say(f"block {one.block}, event {one.event}: {one.what}")
    if moved.findings:
        say("the ledger was like this before it was moved: see gatepost ledger verify")
    typer.echo("")
    for line in _steps(source, target):
        typer.echo(line)


def _steps(source: moving.End, target: moving.End) -> list[str]:
    given = f'url = "{target}"' if target.url else 'url = ""'
    steps = [
        "write into config.toml, before anything is started again:",
        "",
        "[store]",
        given,
        "",
        f"{source.data_dir / 'keys'} stays where it is, and belongs into every backup; each other",
        "gateway on the new store needs a copy of it.",
        f"{source} is left as it was: keep it until mail flows, and start no gateway on it.",
    ]
    if ":***@" in str(target):
        steps.insert(4, '# the password goes where *** is; or give the whole as { file = "..." }')
    return steps


def _as_json(source: moving.End, target: moving.End, moved: moving.Moved) -> dict[str, object]:
    height, digest = moved.head
    return {
        "from": str(source),
        "to": str(target),
        "tables": [{"name": t.name, "rows": t.rows, "digest": t.digest} for t in moved.tables],
        "rows": sum(table.rows for table in moved.tables),
        "resumed": moved.resumed,
        "head": f"{height}:{digest}",
        "findings": [
            {"block": one.block, "event": one.event, "what": one.what} for one in moved.findings
        ],
    }
