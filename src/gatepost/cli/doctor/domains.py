"""The doctor's look at domains: what DNS publishes for those in From, and for upstream.

In: senders, keys, a resolver. Out: findings. Receivers want DKIM and SPF and DMARC for bulk
mail, and a host that delivers under a name which leads back to it (G-1, G-3, Y-2, M-1).

*Fails:* never; where DNS cannot be asked the finding is open and says so.
*Known limits:* whether an SPF record covers the host that delivers is not worked out: that
host may stand behind upstream.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_address

from gatepost.cli.findings import Finding, Mark, holds
from gatepost.cli.names import Names, NoAnswer
from gatepost.flow.edit import DkimKey
from gatepost.flow.edit.dkim_record import public_key, record_name, record_text, zone_line
from gatepost.mail.sender import Sender
from gatepost.mail.stream import Stream


def of(sender: Sender) -> list[str]:
    """The domains that a sender writes from."""
    found = [one.rpartition("@")[2].removeprefix("*.") for one in sender.from_patterns]
    return list(dict.fromkeys(found))


def signing(names: Names, sender: Sender, keys: Sequence[DkimKey]) -> Iterator[Finding]:
    """Whether each key is the published one, and one of them of the From domain."""
    for key in keys:
        yield _published(names, key)
    for domain in of(sender) if keys else ():
        yield holds(
            f"{sender.name}: signatures for {domain}",
            any(_fits(key.domain, domain) for key in keys),
            ", ".join(dict.fromkeys(key.domain for key in keys)),
            f"DMARC wants a signature of the From domain: gatepost dkim generate {domain}",
        )  # fmt: skip


def unsigned(streams: Iterable[Stream], keys: Mapping[str, Sequence[DkimKey]]) -> Iterator[Finding]:
    """The bulk streams whose one-click headers count for nothing as yet."""
    for stream in streams:
        if stream.is_bulk and not keys.get(stream.sender):
            yield Finding(
                Mark.OPEN, f"stream {stream.name}",
                "unsigned: its one-click headers count for nothing until a signature covers both",
                "`gatepost dkim generate` makes a key; or let upstream sign both headers, and ask "
                "`gatepost selftest --received` about a mail that came through it",
            )  # fmt: skip


def spf(names: Names, domain: str) -> Finding:
    """Exactly one SPF record."""
    about = f"SPF of {domain}"
    try:
        found = [text for text in names.texts(domain) if text.lower().split()[:1] == ["v=spf1"]]
    except NoAnswer as error:
        return _not_asked(about, error)
    if len(found) > 1:
        return Finding(Mark.BAD, about, f"{len(found)} records", "receivers want exactly one")
    cure = f'publish a TXT record for {domain}: "v=spf1 …", with the addresses upstream sends from'
    if found and found[0].lower().split()[-1] == "+all":
        return Finding(Mark.BAD, about, found[0], "+all lets everybody send: end it with ~all")
    return holds(about, bool(found), found[0] if found else "no record", cure)


def dmarc(names: Names, domain: str) -> Finding:
    """A DMARC record of the domain, or of one above it."""
    about = f"DMARC of {domain}"
    labels = domain.split(".")
    try:
        for start in range(max(1, len(labels) - 1)):
            place = ".".join(labels[start:])
            for text in names.texts(f"_dmarc.{place}"):
                if text.replace(" ", "").lower().startswith("v=dmarc1;"):
                    return Finding(Mark.GOOD, about, text)
    except NoAnswer as error:
        return _not_asked(about, error)
    return Finding(
        Mark.BAD, about, "no record",
        f'bulk mail needs one: publish a TXT record for _dmarc.{domain}: "v=DMARC1; p=none"',
    )  # fmt: skip


def reverse(names: Names, host: str) -> Finding:
    """The upstream's addresses have names that lead back to them (G-1)."""
    about = f"PTR of {host}"
    try:
        addresses = [host] if _is_address(host) else names.addresses(host)
        if addresses and not any(ip_address(one).is_global for one in addresses):
            return Finding(
                Mark.OPEN, about, f"{', '.join(addresses)} is private",
                "look at the address that upstream sends from: it needs a name that leads back",
            )  # fmt: skip
        lost = [one for one in addresses if not _leads_back(names, one)]
    except NoAnswer as error:
        return _not_asked(about, error)
    if not addresses:
        return Finding(Mark.BAD, about, "the name has no address", "see [upstream] host")
    return holds(
        about, not lost,
        f"no name leads back to {', '.join(lost)}" if lost else ", ".join(addresses),
        "whoever owns the address must give it a name (PTR) that resolves to it; it matters if "
        "upstream itself delivers to receivers",
    )  # fmt: skip


def _published(names: Names, key: DkimKey) -> Finding:
    about = f"DKIM record {record_name(key.domain, key.selector)}"
    cure = f"publish: {zone_line(key.domain, key.selector, record_text(key.key))}"
    try:
        texts = names.texts(record_name(key.domain, key.selector))
    except NoAnswer as error:
        return _not_asked(about, error)
    if len(texts) != 1:
        return Finding(Mark.BAD, about, f"{len(texts)} records" if texts else "no record", cure)
    try:
        good = public_key(texts[0]).public_numbers() == key.key.public_key().public_numbers()
    except ValueError as error:
        return Finding(Mark.BAD, about, str(error), cure)
    return holds(
        about, good, f"fits the key, {key.key.key_size} bits" if good else "of another key", cure
    )


def _leads_back(names: Names, address: str) -> bool:
    return any(address in names.addresses(name) for name in names.names_of(address))


def _fits(domain: str, author: str) -> bool:
    return domain == author or author.endswith(f".{domain}") or domain.endswith(f".{author}")


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _not_asked(about: str, error: NoAnswer) -> Finding:
    return Finding(
        Mark.OPEN, about, f"could not ask DNS: {error}", "name a server that answers: --dns ADDRESS"
    )
