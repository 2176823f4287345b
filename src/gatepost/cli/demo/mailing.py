"""The mailer of the tour: two ordinary mailings, sent by the standard library.

In: a subject, recipients. Out: a message as any newsletter program makes it, text and HTML;
what the relay said to it.

*Fails:* `MailingError`, in the relay's own words, where the mailing is not taken.
"""

import smtplib
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

FROM = "news@acme.example"

_TEXT = """\
Hello!

This month at Acme: new shoes for rainy days, and a café table
for dry ones. Readers of this letter get both at 10 % off.

See you soon
"""
_HTML = """\
<!DOCTYPE html>
<html lang="en"><head><title>Acme news</title></head>
<body>
<p>Hello!</p>
<p>This month at Acme: <b>new shoes for rainy days</b>, and a café table
for dry ones. Readers of this letter get both at 10&nbsp;% off.</p>
<p>See you soon</p>
</body></html>
"""


class MailingError(Exception):
    """The relay did not take the mailing; the message says why."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the relay answered: to the content, and to recipients it refused at once."""

    reply: str
    refused: int


class _Client(smtplib.SMTP):
    """The standard library's client, which forgets the one reply that is worth showing."""

    reply = ""

    def data(self, msg: bytes | str) -> tuple[int, bytes]:  # type: ignore[override]
        code, text = super().data(msg)
        self.reply = f"{code} {text.decode(errors='replace')}"
        return code, text


def compose(subject: str) -> EmailMessage:
    """A mailing: multipart/alternative, as mailers make it."""
    message = EmailMessage()
    message["From"] = f"Acme <{FROM}>"
    message["To"] = f"Readers of Acme news <{FROM}>"
    message["Subject"] = subject
    message["Date"] = formatdate()
    message["Message-ID"] = make_msgid(domain="acme.example")
    message.set_content(_TEXT)
    message.add_alternative(_HTML, subtype="html")
    return message


def send(host: str, port: int, message: EmailMessage, recipients: Sequence[str]) -> Receipt:
    """Hands `message` over for all `recipients` in one transaction. Raises `MailingError`."""
    try:
        with _Client(host, port, local_hostname="mailer.acme.example", timeout=60) as client:
            refused = client.send_message(message, FROM, list(recipients))
            return Receipt(client.reply, len(refused))
    except (OSError, smtplib.SMTPException) as error:
        raise MailingError(f"the relay did not take the mailing: {error}") from error
