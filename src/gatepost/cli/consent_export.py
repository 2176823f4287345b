"""`gatepost consent export`: all that is held for a sender, in one archive that others can read.

In: the ledger. Out: a ZIP file, written beside its place and put there when it is whole:
`events.jsonl` (the evidence, with what commitments are computed from), `consents.csv`,
`customers.csv` and `suppressions.csv` (as `consent import` and `suppression import` read them),
the sources with their texts and pictures, a manifest and a README. One pass, in the order of
people's ids, in the same memory whatever their number.

*Fails:* `Refusal` for a place that cannot be written to.
"""

import csv
import io
import json as json_module
import os
import shutil
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from gatepost.cli.desk import Desk, Refusal, desk_of
from gatepost.cli.printing import as_json, progress
from gatepost.consent import takeaway
from gatepost.consent.evidence import EventKind
from gatepost.consent.takeaway import TakeawayRow, moment
from gatepost.store import handover, ledger, sources
from gatepost.store.engine import Store
from gatepost.store.handover import Held, Said
from gatepost.store.ids import to_text
from gatepost.store.sources import SourceRecord

_SUPPRESSION_COLUMNS = ("address", "sender", "scope", "reason", "since")
_README = """What Gatepost held for the sender "{sender}"

consents.csv       who agreed to what and who left, as `gatepost consent import` reads it
customers.csv      existing customers who were told and could decline: the same, and to be imported
                   with --bought --informed --could-decline
suppressions.csv   who must not be mailed, as `gatepost suppression import` reads it
events.jsonl       the evidence: every event, one JSON object per line
sources/           the sources of consent, with each version of their texts, and pictures
manifest.json      how much there is, and the head of the chain of evidence

To take it over: add the sources with their texts (`gatepost source add`, `source activate`),
then import suppressions.csv, consents.csv and customers.csv, in this order. Whoever left stays
away: withdrawals are read before anything else, whatever the order of rows.

A line of events.jsonl has the commitment that the chain of evidence holds. It is the SHA-256
over the bytes "gatepost event", a zero byte, `salt`, `address_hash` (both hexadecimal there) and
the payload as JSON with sorted keys, without blanks, in UTF-8. People who had their data erased
have no address any more and stand in no CSV file.
"""


def export(
    ctx: typer.Context,
    *,
    sender: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whose data. Needed if there are several.")
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The archive to write, a ZIP.")
    ],
) -> None:
    """Write all that is held for a sender into one archive: evidence, suppressions, sources.

    What it holds can be imported elsewhere. Then `gatepost sender remove` removes it here.
    """
    desk = desk_of(ctx)
    of_sender = desk.sender_or_only(sender)
    draft = output.with_name(f".{output.name}.draft")
    with ExitStack() as stack:
        store = stack.enter_context(desk.store())
        try:
            number = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Refusal(f"{output}: {error.strerror}") from error
        stack.callback(draft.unlink, missing_ok=True)
        with open(number, "w+b") as file:  # noqa: PTH123  a file number
            counts = _Archive(store, desk, of_sender).write(file)
        draft.replace(output)
    told = ", ".join(f"{count} {what}" for what, count in counts.items())
    typer.echo(f"{output}: {told}")


class _Archive:
    """One archive that is being written."""

    def __init__(self, store: Store, desk: Desk, sender: str) -> None:
        self._store, self._sender = store, sender
        self._gateway = desk.settings.server.public_url
        self._counts: Counter[str] = Counter(people=0, events=0, consents=0, suppressions=0)

    def write(self, file: IO[bytes]) -> Mapping[str, int]:
        """Writes everything; the counts."""
        while self._store.write_now(ledger.seal):
            pass
        height, digest = self._store.read_now(ledger.head)
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=3) as archive:
            _put(archive, "README.txt", _README.format(sender=self._sender))
            self._write_people(archive)
            self._write_sources(archive)
            manifest = {
                "sender": self._sender,
                "gateway": self._gateway,
                "written_at": self._store.now(),
                "head": f"{height}:{digest}",
                "counts": self._counts,
            }
            _put(archive, "manifest.json", as_json(manifest))
        return self._counts

    def _write_people(self, archive: zipfile.ZipFile) -> None:
        """Events go straight into the archive; the tables wait in files without a name."""
        with ExitStack() as stack:
            consents = stack.enter_context(tempfile.TemporaryFile())
            suppressions = stack.enter_context(tempfile.TemporaryFile())
            customers = stack.enter_context(tempfile.TemporaryFile())
            say_consent = _writer(consents, takeaway.COLUMNS)
            say_customer = _writer(customers, takeaway.COLUMNS)
            say_suppression = _writer(suppressions, _SUPPRESSION_COLUMNS)
            with _entry(archive, "events.jsonl") as events:
                for held in self._people():
                    self._counts["people"] += 1
                    for said in held.events:
                        events.write(_event(held, said))
                        self._counts["events"] += 1
                    for row in _consents(held):
                        (say_customer if row.customer else say_consent)(row.values)
                        self._counts["consents"] += 1
                    for one in held.suppressions if held.address else ():
                        values = (held.address, one.sender, one.scope, one.reason)
                        told = dict(zip(_SUPPRESSION_COLUMNS, values, strict=False))
                        say_suppression({**told, "since": moment(one.since)})
                        self._counts["suppressions"] += 1
            spools = {"consents": consents, "customers": customers, "suppressions": suppressions}
            for name, spool in spools.items():
                spool.seek(0)
                with _entry(archive, f"{name}.csv") as target:
                    shutil.copyfileobj(spool, target)

    def _people(self) -> Iterator[Held]:
        mark: int | None = handover.FIRST
        with progress(f"exporting {self._sender}", None) as advance:
            while mark is not None:
                page = partial(handover.next_people, mark=mark, sender=self._sender)
                mark, found = self._store.read_now(page)
                yield from found
                advance(len(found))

    def _write_sources(self, archive: zipfile.ZipFile) -> None:
        found = [
            one for one in self._store.read_now(sources.list_sources) if one.sender == self._sender
        ]
        self._counts["sources"] = len(found)
        for number, source in enumerate(found, 1):
            folder = f"sources/{number}"
            _put(archive, f"{folder}/source.json", as_json(_source(source)))
            for place, text in enumerate(source.texts, 1):
                _put(archive, f"{folder}/text-{place}.txt", text.body + "\n")
                for shown, picture in enumerate(text.pictures, 1):
                    content = self._store.read_now(
                        partial(sources.picture_content, picture_id=picture.id)
                    )
                    suffix = Path(picture.name).suffix or ".bin"
                    _put(archive, f"{folder}/text-{place}-picture-{shown}{suffix}", content)


def _consents(held: Held) -> Iterator[TakeawayRow]:
    """Rows for an import; nobody who had their data erased."""
    if not held.address or held.erased_at is not None:
        return
    explanations = {
        moment(said.fact.at): said.fact.explanation or said.fact.note
        for said in held.events
        if said.fact.kind in (EventKind.RESUBSCRIBED, EventKind.CONFIRMED)
    }
    for stream, standing in held.standings:
        yield from takeaway.rows_of(held.address, stream, standing, explanations)


def _event(held: Held, said: Said) -> bytes:
    line = {
        "subject": to_text(held.subject),
        "address": held.address,
        "address_hash": held.address_hash.hex(),
        "event": said.id,
        "recorded_at": moment(said.recorded_at),
        "block": said.block,
        "salt": said.salt.hex(),
        "payload": json_module.loads(said.payload),
    }
    return json_module.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _source(source: SourceRecord) -> dict[str, Any]:
    return {
        "name": source.name,
        "sender": source.sender,
        "kind": source.kind,
        "streams": source.streams,
        "channels": source.channels,
        "categories": source.categories,
        "description": source.description,
        "url": source.url,
        "reconstructed": source.reconstructed,
        "attested_by": source.attested_by,
        "attested_why": source.attested_why,
        "created_at": source.created_at,
        "texts": [
            {
                "version": text.version,
                "file": f"text-{place}.txt",
                "language": text.language,
                "sha256": text.sha256,
                "state": text.state,
                "active": text.active,
                "created_at": text.created_at,
                "lacks": text.lacks,
                "pictures": [
                    {"name": one.name, "media_type": one.media_type, "sha256": one.sha256}
                    for one in text.pictures
                ],
            }
            for place, text in enumerate(source.texts, 1)
        ],
    }


def _writer(spool: IO[bytes], columns: tuple[str, ...]) -> Any:
    writer = csv.DictWriter(
        io.TextIOWrapper(spool, encoding="utf-8", newline="", write_through=True),
        columns,
        restval="",
    )
    writer.writeheader()
    return writer.writerow


def _entry(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    """A file in the archive; all have one date, so that equal archives are equal."""
    info = zipfile.ZipInfo(name)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o600 << 16
    return archive.open(info, "w", force_zip64=True)


def _put(archive: zipfile.ZipFile, name: str, content: str | bytes) -> None:
    with _entry(archive, name) as target:
        target.write(content.encode() if isinstance(content, str) else content)
