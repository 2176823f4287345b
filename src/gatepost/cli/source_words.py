"""What the source commands say: of a source, of its texts, of what a text lacks and the cure."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import typer

from gatepost.cli.printing import cell, show_facts
from gatepost.consent.attestations import EXTRA, SPOILING, WARRANTED
from gatepost.consent.evidence import TextState
from gatepost.consent.texts import NAMES_SENDER, Finding, Report
from gatepost.store.sources import SourceRecord, Stage, TextRecord

SHOWN = ("name", "sender", "kind", "streams", "text", "state", "marks")
_SPOILED = {
    "pre-ticked": "a box that is ticked beforehand is no consent: change the form",
    "conditional": "nobody may have to agree in order to buy: change the form",
    "in-terms": "a consent stands apart from general terms: change the form",
}
_CURES = _SPOILED | {
    "names-company": "the text does not name the sender",
    "prominent": "at a competition it is as prominent as the prize: attest it if it was (JU-11)",
    "picture": "a competition needs a picture of the text beside the prize: give --picture",
}


def summary(record: SourceRecord) -> dict[str, Any]:
    """A source in a row, as lists and programs see it."""
    text = record.referred
    return {
        "name": record.name,
        "sender": record.sender,
        "kind": record.kind,
        "streams": record.streams,
        "text": text.version if text else "",
        "state": text.state if text else TextState.NONE,
        "marks": record.marks,
        "channel": record.channel,
        "categories": record.categories,
        "url": record.url,
        "description": record.description,
        "reconstructed": record.reconstructed,
        "attested_by": record.attested_by,
        "attested_why": record.attested_why,
        "created_at": record.created_at,
    }


def version_row(text: TextRecord) -> dict[str, Any]:
    """One version of a text, as programs see it."""
    return {
        "version": text.version,
        "language": text.language,
        "body": text.body,
        "sha256": text.sha256,
        "state": text.state,
        "stage": text.stage,
        "attestations": asdict(text.attestations),
        "names_sender": text.names_sender,
        "lint": text.lint,
        "accepted_lint": text.accepted_lint,
        "lacks": text.lacks,
        "active": text.active,
        "used": text.used,
        "created_at": text.created_at,
        "activated_at": text.activated_at,
        "pictures": [one._asdict() for one in text.pictures],
    }


def show_source(record: SourceRecord) -> None:
    """A source with every version of its text, for people."""
    show_facts(summary(record))
    for text in record.texts:
        since = f" since {cell(text.activated_at)}" if text.activated_at else ""
        used = ", consents refer to it" if text.used else ""
        state = "" if text.stage is Stage.DRAFT else f", {text.state}"
        typer.echo(f"\nversion {text.version} ({text.language}): {text.stage}{since}{state}{used}")
        for line in text.body.splitlines():
            typer.echo(f"  {cell(line)}")
        if text.lacks:
            typer.echo(f"  [lacks, or has against it: {', '.join(text.lacks)}]")
        if text.lint and text.accepted_lint:
            typer.echo(f"  [{', '.join(text.lint)} accepted: {cell(text.accepted_lint)}]")
        for one in text.pictures:
            typer.echo(f"  [{cell(one.name)}, {one.media_type}, {one.size} octets]")
        if not text.pictures:
            typer.echo("  [no picture]")


def tell(record: SourceRecord, text: TextRecord | None, report: Report) -> None:
    """What became of a source and the version that was added or changed."""
    if text is None:
        typer.echo(f"source {record.name}: no text yet, so consent from it decides as unverified")
        return
    stage = "a draft" if text.stage is Stage.DRAFT else text.stage
    typer.echo(f"source {record.name}: text version {text.version} is {text.state} ({stage})")
    for line in cures(record, text, report):
        typer.echo(f"  {line}")
    for finding in report.findings:
        if not finding.is_error:
            typer.echo(f"  warning: {said(finding)}")
    if text.stage is Stage.DRAFT:
        current = record.current
        still = f"; version {current.version} stays in use" if current else ""
        typer.echo(f"  consent that refers to it is recorded and does not count{still}")
    if not text.pictures:
        typer.echo("  no picture of it: add one, as long as it is shown this way")


def cures(record: SourceRecord, text: TextRecord, report: Report) -> Iterable[str]:
    """What a version lacks, each with what to do about it."""
    findings = {finding.code: finding for finding in report.findings}
    if NAMES_SENDER in findings:
        findings["names-company"] = findings[NAMES_SENDER]
    lacks = text.lacks
    unsaid = [word for word in lacks if word in WARRANTED]
    if unsaid:
        words = ",".join(unsaid)
        yield (
            f"not attested: {', '.join(unsaid)}. If it is so: "
            f"gatepost source activate {record.name} --version {text.version} --attest {words}"
        )
    for word in lacks:
        if word in findings:
            yield said(findings[word])
        elif word in _CURES:
            yield f"{word}: {_CURES[word]}"
        elif word not in unsaid:
            yield f"{word}: read the text, and change it"
    if any(word in text.lint for word in lacks):
        yield "if that is no fault here, say why with --accept-lint"
    if text.stage is Stage.DRAFT and not lacks:
        yield f"put it to use: gatepost source activate {record.name} --version {text.version}"


def said(finding: Finding) -> str:
    """A finding on one line."""
    words = f" ({', '.join(cell(word) for word in finding.words)})" if finding.words else ""
    return f"{finding.code}{words}: {finding.cure}"


def finding_row(finding: Finding) -> Mapping[str, Any]:
    """A finding, as programs see it."""
    severity = "error" if finding.is_error else "warning"
    return {
        "code": finding.code,
        "severity": severity,
        "words": finding.words,
        "cure": finding.cure,
    }


def is_as_declared(text: TextRecord) -> bool:
    """Whether all that is against a draft is what its author said themselves."""
    return bool(text.lacks) and set(text.lacks) <= set(SPOILING)


ATTESTABLE = (*WARRANTED, *EXTRA)
