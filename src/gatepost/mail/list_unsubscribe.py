"""The mailer's own List-Unsubscribe: where it wants to be told that somebody left.

In: the list headers of a submission, as they came (`Heading.replaced`), and who left. Out: one
`Target`, or `None`. An https address is told only where List-Unsubscribe-Post said One-Click
(RFC 8058 §3.1): a bare link may lead to a page that asks questions. A mailto is told only where
it names the person by a token or the address: one that is the same for everybody means whoever
it comes from, and we never write in the person's name.

*Fails:* never; what cannot be read is no target.
*Known limits:* http without TLS, and further parameters of a mailto than subject and body, are
not taken.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from gatepost.mail.address import Address, AddressError, parse

ONE_CLICK_BODY = b"List-Unsubscribe=One-Click"  # RFC 8058 §3.1
MOST_OF_A_URL = 4000

_HTTPS = re.compile(
    r"https://([A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?\.?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
    r"(?:[/?#][!-~]*)?",
    re.IGNORECASE,
)
_ESCAPED = re.compile(rb"%([0-9A-Fa-f]{2})")
_ANGLE = re.compile(r"<([^<>]*)>")
_ONE_CLICK = re.compile(r"List-Unsubscribe\s*=\s*One-Click", re.IGNORECASE)
_TOKEN = re.compile(r"(?=[A-Za-z0-9_-]*[0-9])[A-Za-z0-9_-]{8,}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


@dataclass(frozen=True, slots=True)
class OneClick:
    """An https address that takes a POST."""

    url: str
    host: str


@dataclass(frozen=True, slots=True)
class Mail:
    """A mailbox that takes an unsubscribe mail."""

    address: Address
    subject: str
    body: str

    @property
    def host(self) -> str:
        """The domain of the mailbox."""
        return self.address.domain


Target = OneClick | Mail


def find_targets(replaced: str, person: str) -> Iterator[Target]:
    """Where the mailer can be told that `person` (an address) left; the better ways first."""
    fields = [line.partition(":")[::2] for line in replaced.split("\n")]
    listed = [value for name, value in fields if name.lower() == "list-unsubscribe"]
    posts = [value for name, value in fields if name.lower() == "list-unsubscribe-post"]
    if len(listed) != 1:  # two of them: nobody knows which one is meant (RFC 2369 §3.2)
        return
    addresses = ["".join(found.split()) for found in _ANGLE.findall(listed[0])]
    if any(_ONE_CLICK.search(value) for value in posts):
        yield from filter(None, map(_one_click, addresses))
    yield from (mail for one in addresses if (mail := _mail(one)) and _is_personal(mail, person))


def _one_click(text: str) -> OneClick | None:
    found = _HTTPS.fullmatch(text)
    if found is None or len(text) > MOST_OF_A_URL:
        return None
    return OneClick(text, found.group(1).lower().strip("[]").rstrip("."))


def _mail(text: str) -> Mail | None:
    scheme, _, rest = text.partition(":")
    if scheme.lower() != "mailto":
        return None
    to, _, query = rest.partition("?")
    said = {"subject": "", "body": ""}
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if name.lower() in said:
            said[name.lower()] = unquote(value)[:1000]
    try:
        address = parse(unquote(to))
    except AddressError:
        return None
    subject = _CONTROL.sub(" ", said["subject"]).strip()
    return Mail(address, subject, said["body"].replace("\0", ""))


def unquote(text: str) -> str:
    """Percent escapes undone (RFC 6068 §2), UTF-8 assumed."""
    octets = _ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), text.encode())
    return octets.decode("utf-8", "replace")


def _is_personal(mail: Mail, person: str) -> bool:
    words = f"{mail.address.local} {mail.subject} {mail.body}"
    spelled = {person.casefold(), person.casefold().replace("@", "=")}
    return bool(_TOKEN.search(words)) or any(one in words.casefold() for one in spelled)
