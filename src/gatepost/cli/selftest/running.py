"""The self-test, stream by stream: a mail to oneself, through everything, and out by one click.

In: settings, names of bulk streams. Out: findings, as they are made.

*Fails:* as `whole.Whole` does; `OSError` where a listener of the test does not answer.
"""

import smtplib
from collections.abc import Iterator, Sequence
from datetime import timedelta
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from gatepost.app.wiring import wire
from gatepost.cli.findings import Finding, holds
from gatepost.cli.selftest.claims import (
    ONE_CLICK,
    Copy,
    body_findings,
    header_findings,
    signature_findings,
)
from gatepost.cli.selftest.whole import HOST, Whole
from gatepost.cli.signature import Signature
from gatepost.config import Settings
from gatepost.consent.evidence import EventKind, Fact, TextState
from gatepost.mail.address import parse
from gatepost.mail.sender import Sender
from gatepost.mail.stream import Stream
from gatepost.store import campaign_report, people

READER = "reader@selftest.example"
_TEXT = "This is a test of the whole path of a mail.\nIt was sent to nobody.\n"
_HTML = "<html><body><p>This is a test of the whole path of a mail: åäö.</p></body></html>\n"
_PART = (
    b'--b\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--b--\r\n'
)
_FORMS = (  # who posts what (RFC 8058 §3.2)
    ("Gmail", "application/x-www-form-urlencoded", ONE_CLICK.encode()),
    ("Yahoo", "multipart/form-data; boundary=b", _PART),
)


def run(settings: Settings, names: Sequence[str]) -> Iterator[Finding]:
    """All findings for the streams called `names`."""
    wiring = wire(settings)
    public = {
        (key.domain.lower(), key.selector): key.key.public_key()
        for keys in wiring.dkim.values()
        for key in keys
    }
    with Whole(settings) as whole:
        for name in names:
            stream = wiring.policy.streams[name]
            sender = wiring.policy.senders[stream.sender]
            yield from _Trial(whole, stream, sender, public).run()


class _Trial:
    """One stream."""

    def __init__(
        self,
        whole: Whole,
        stream: Stream,
        sender: Sender,
        public: dict[tuple[str, str], RSAPublicKey],
    ) -> None:
        self._whole = whole
        self._stream = stream
        self._sender = sender
        self._public = public
        self._reader = parse(f"{stream.name}.{READER}")

    def run(self) -> Iterator[Finding]:
        for one in self._steps():
            yield Finding(one.mark, f"{self._stream.name}: {one.about}", one.found, one.cure)

    def _steps(self) -> Iterator[Finding]:
        self._agree()
        reply = self._submit("Gatepost self-test")
        copies = self._whole.wait_for(self._copies)
        yield holds(
            "a mail to one who agreed goes through", len(copies) == 1,
            f"copies: {len(copies)}, the answer was {reply}", self._whole.log,
        )  # fmt: skip
        if not copies:
            return
        copy = Copy(copies[0])
        yield from signature_findings(copy, self._key)
        yield from header_findings(copy)
        yield from body_findings(copy, self._sender)
        yield from self._scan(copy)
        yield from self._leave(copy)
        reply = self._submit("Gatepost self-test, after leaving")
        taken = reply.startswith("250")
        reason = self._whole.wait_for(self._second_reason) if taken else "refused"
        yield holds(
            "a second mail to one who left does not go out",
            len(self._copies()) == 1 and bool(reason),
            f"{reason or 'no verdict'}, the answer was {reply}",
        )  # fmt: skip

    def _key(self, signature: Signature) -> RSAPublicKey | str:
        key = self._public.get((signature.domain, signature.selector))
        return key or "not of a configured key"

    def _agree(self) -> None:
        now = self._whole.store.now() - timedelta(days=1)
        fact = Fact(
            kind=EventKind.GRANTED, at=now, sender=self._sender.name, stream=self._stream.name,
            basis="double-opt-in", source="selftest", text_version="1",
            text_state=TextState.VALID, actor="recipient", method="form", confirmed_at=now,
        )  # fmt: skip
        self._whole.store.write_now(lambda tx: people.record(tx, self._reader, [fact]))

    def _submit(self, subject: str) -> str:
        """The answer to a mail from the sender to the reader."""
        message = EmailMessage()
        author = _author(self._sender)
        name = next(iter(self._sender.from_names), "")
        message["From"] = f'"{name}" <{author}>' if name else author
        message["To"] = str(self._reader)
        message["Subject"] = subject
        message["Date"] = formatdate()
        message["Message-ID"] = make_msgid(domain=author.rpartition("@")[2])
        message["X-Gatepost-Stream"] = self._stream.name
        message.set_content(_TEXT)
        message.add_alternative(_HTML, subtype="html")
        try:
            with smtplib.SMTP(HOST, self._whole.smtp_port, "localhost", timeout=30) as client:
                client.send_message(message, author, [str(self._reader)])
        except smtplib.SMTPRecipientsRefused as refused:
            code, text = next(iter(refused.recipients.values()))
            return f"{code} {text.decode('utf-8', 'replace')}"
        except smtplib.SMTPResponseException as refused:
            return f"{refused.smtp_code} {refused.smtp_error!r}"
        return "250"

    def _copies(self) -> list[bytes]:
        return [
            one.content for one in self._whole.inbox.received if str(self._reader) in one.recipients
        ]

    def _second_reason(self) -> str:
        rows = self._whole.store.read_now(campaign_report.list_all)
        found = [
            reason for row in rows if row.stream == self._stream.name for reason in row.reasons
        ]
        return ", ".join(reason for reason in found if reason in {"withdrawn", "suppressed"})

    def _scan(self, copy: Copy) -> Iterator[Finding]:
        """A link scanner opens everything, and nothing comes of it (R8058-14)."""
        before = self._events()
        links = copy.links(self._sender.public_url)
        bad = []
        for link in links:
            for method in ("HEAD", "GET"):
                answer = self._whole.ask(method, self._path(link))
                if answer.status != 200:
                    bad.append(f"{method} answers {answer.status}")
        seen = ", ".join(bad) or f"links: {len(links)}, each with GET and HEAD"
        good = bool(links) and not bad and self._events() == before
        yield holds("a link scanner opens every link and changes nothing", good, seen)

    def _leave(self, copy: Copy) -> Iterator[Finding]:
        """The receivers' unsubscribe clients: no cookie, redirect, login or question."""
        path = self._path(copy.one_click)
        for who, kind, body in _FORMS:
            answer = self._whole.ask("POST", path, body, kind)
            asked = [one for one in ("set-cookie", "location", "www-authenticate")
                     if one in answer.headers]  # fmt: skip
            yield holds(
                f"one click, as {who} posts it", answer.status == 200 and not asked,
                ", ".join([str(answer.status), *asked]),
            )  # fmt: skip
        count = self._events().count(EventKind.WITHDRAWN)
        yield holds("the withdrawal is on record, once", count == 1, f"events: {count}")
        forged = path[:-2] + ("AA" if not path.endswith("AA") else "BB")
        _, kind, body = _FORMS[0]
        status = self._whole.ask("POST", forged, body, kind).status
        yield holds("an altered link is not taken", status in {400, 404, 410}, f"{status}")

    def _events(self) -> list[str]:
        history = self._whole.store.read_now(lambda tx: people.history(tx, self._reader))
        return [event.kind for event in history.events] if history else []

    def _path(self, link: str) -> str:
        """Where our own server has the page: behind the public address, a proxy takes the rest."""
        base = self._sender.public_url.rstrip("/")
        return link[len(base) :] if link.startswith(base) else urlsplit(link).path


def _author(sender: Sender) -> str:
    """An address that the sender may write from."""
    pattern = sender.from_patterns[0] if sender.from_patterns else "@selftest.example"
    if pattern.startswith("@*."):
        return f"selftest@selftest.{pattern[3:]}"
    return f"selftest{pattern}" if pattern.startswith("@") else pattern
