"""Texts of sources at the command line: which version is meant, and what becomes of it.

In: a source, and what was said about a text. Out: versions added, attested, put to use; what a
check of their words finds today, which needs the sender's legal name from the configuration.

*Fails:* `Refusal` for what is not there; `SourceError` for what cannot be done.
"""

from dataclasses import dataclass

from gatepost.cli.desk import Desk, Refusal, Status, listing, say
from gatepost.consent.attestations import NOTHING_ATTESTED, Attestations
from gatepost.consent.evidence import TextState
from gatepost.consent.texts import Report, check
from gatepost.store import sources
from gatepost.store.engine import Tx
from gatepost.store.sources import Found, SourceRecord, Stage, TextRecord


@dataclass(frozen=True, slots=True)
class Wish:
    """What is said about a text: its words, what is attested, why errors are none."""

    body: str | None
    language: str
    words: tuple[str, ...]
    accepted: str


def add_text(tx: Tx, desk: Desk, record: SourceRecord, wish: Wish) -> str:
    """The label of the version with this text: the one that has it, or a new one."""
    if wish.body is None:
        return record.referred.version if record.referred else ""
    report = check(wish.body, wish.language, legal_name(desk, record))
    same = _same_text(record, wish)
    wanted = (same.attestations if same else NOTHING_ATTESTED).also(wish.words)
    is_closed = same is not None and same.used and same.state is TextState.INVALID
    if same is not None and (not is_closed or wanted == same.attestations):
        if not same.used or wanted != same.attestations or wish.accepted:
            set_attested(tx, report, same, wanted, wish.accepted)
        return same.version
    if wish.accepted and not report.lint:
        say("--accept-lint: the check of the text found nothing to accept")
    return sources.add_text(
        tx,
        record.name,
        wish.body,
        language=wish.language,
        attestations=wanted,
        found=_found(report, wish.accepted),
    )


def _found(report: Report, accepted: str) -> Found:
    """What a check came to, with the reason why errors are none where there are any."""
    why = accepted.strip() if report.lint else ""
    return Found(names_sender=report.names_sender, lint=report.lint, accepted_lint=why)


def _same_text(record: SourceRecord, wish: Wish) -> TextRecord | None:
    """The last version, if it has this very text and was not succeeded by another."""
    wanted = (sources.as_kept(wish.body or ""), wish.language)
    alike = [text for text in record.texts if (text.body, text.language) == wanted]
    return alike[-1] if alike and alike[-1].stage is not Stage.SUCCEEDED else None


def put_to_use(tx: Tx, name: str, version: str) -> None:
    """Activates a draft that lacks nothing any more, unless consents refer to it."""
    if version:
        text = version_of(known_source(tx, name), version)
        if text.stage is Stage.DRAFT and not text.lacks and not text.used:
            sources.activate(tx, name, version)


def set_attested(
    tx: Tx, report: Report, text: TextRecord, wanted: Attestations, accepted: str
) -> None:
    """Sets what is warranted of a version, and what its words are found to be today."""
    if accepted and not report.lint:
        say("--accept-lint: the check of the text found nothing to accept")
    found = text.found
    if accepted or not text.used:
        found = _found(report, accepted or text.accepted_lint)
    sources.attest(tx, text.source, text.version, wanted, found)


def known_source(tx: Tx, name: str) -> SourceRecord:
    """The source of that name. Raises `Refusal`, naming those there are."""
    record = sources.find_source(tx, name)
    if record is None:
        known = listing(one.name for one in sources.list_sources(tx))
        raise Refusal(f"there is no source {name!r}: there are {known}", Status.NO)
    return record


def version_of(record: SourceRecord, label: str) -> TextRecord:
    """That version of its text. Raises `Refusal`."""
    text = next((text for text in record.texts if text.version == label), None)
    if text is None:
        known = listing(text.version for text in record.texts)
        raise Refusal(f"{record.name} has no text version {label!r}: there are {known}", Status.NO)
    return text


def chosen(record: SourceRecord, version: str | None) -> TextRecord:
    """The version that is meant: the one named, else the last draft, else the current one."""
    if version is not None:
        return version_of(record, version)
    drafts = [text for text in record.texts if text.stage is Stage.DRAFT]
    text = drafts[-1] if drafts else record.current
    if text is None:
        raise Refusal(f"{record.name} has no text: gatepost source add --text-file", Status.NO)
    return text


def legal_name(desk: Desk, record: SourceRecord) -> str:
    """Who has to be named in its texts. Raises `Refusal` for a sender of the past."""
    return desk.policy.senders[desk.sender_or_only(record.sender or None)].legal_name


def report_on(desk: Desk, record: SourceRecord, text: TextRecord) -> Report:
    """What a check of a version's words finds today. Raises `Refusal`."""
    return check(text.body, text.language, legal_name(desk, record))
