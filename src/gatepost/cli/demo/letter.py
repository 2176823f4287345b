"""A copy as a mail client sees it: its fields, its texts, its unsubscribe link, one click.

In: the bytes of a delivered copy. Out: `Letter`; and what the relay's pages answer to a mail
client that unsubscribes (RFC 8058): no cookies, no redirects followed.

*Fails:* `OSError` where nobody answers; what a copy lacks is "".
"""

import http.client
import re
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import cached_property
from urllib.parse import urlsplit

_LINK = re.compile(r"<(https?://[^>\s]+)>")
_TIMEOUT_SECONDS = 20.0


class Letter:
    """One copy, parsed as a mail client would."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    @cached_property
    def _message(self) -> EmailMessage:
        return message_from_bytes(self._content, policy=policy.default)

    def field(self, name: str) -> str:
        """The unfolded value of a header field, "" where there is none."""
        return " ".join(str(self._message.get(name, "")).split())

    @property
    def one_click_url(self) -> str:
        """The web address in List-Unsubscribe (RFC 2369), "" where there is none."""
        found = _LINK.search(self.field("List-Unsubscribe"))
        return found.group(1) if found else ""

    @property
    def text(self) -> str:
        """The plain text, decoded."""
        return self._body("plain")

    @property
    def html(self) -> str:
        """The HTML, decoded."""
        return self._body("html")

    def _body(self, kind: str) -> str:
        part = self._message.get_body(preferencelist=(kind,))
        return str(part.get_content()).replace("\r\n", "\n") if part else ""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a web server answered."""

    status: int
    reason: str
    headers: dict[str, str]  # by lower-case name
    body: str


def look_at(url: str) -> Reply:
    """What a scanner or a preview does with a link: GET."""
    return _ask("GET", url, None, {})


def one_click(url: str) -> Reply:
    """What a mail client does behind its unsubscribe button (RFC 8058 §3.2)."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    return _ask("POST", url, "List-Unsubscribe=One-Click", form)


def _ask(method: str, url: str, body: str | None, headers: dict[str, str]) -> Reply:
    place = urlsplit(url)
    connection = http.client.HTTPConnection(
        place.hostname or "", place.port, timeout=_TIMEOUT_SECONDS
    )
    try:
        connection.request(method, place.path, body, {"User-Agent": "Demo mail client", **headers})
        answer = connection.getresponse()
        return Reply(
            answer.status,
            answer.reason,
            {name.lower(): value for name, value in answer.getheaders()},
            answer.read().decode(errors="replace"),
        )
    except http.client.HTTPException as error:
        raise ConnectionError(f"{url}: {error!r}") from error
    finally:
        connection.close()
