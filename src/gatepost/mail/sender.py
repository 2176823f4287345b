"""A sender: the legal identity on whose behalf mail is sent."""

from dataclasses import dataclass

from gatepost.mail.address import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """One sender, as configured.

    `name` is the short name in the configuration, `legal_name` what recipients read (WP-9).
    `from_patterns` holds addresses, `@domain` or `@*.domain`, in lower case with A-label
    domains. `public_url` is the base of this sender's links, without a trailing slash. `mail_from`
    is the From of letters that Gatepost writes on its behalf, "" for `contact`. `accent` is
    the colour of its pages, `#rrggbb` or "". With `unsubscribe_notice`, who leaves on a page or
    by mail is told so by a letter.
    """

    name: str
    legal_name: str
    postal_address: str
    public_url: str
    registration: str = ""
    contact: str = ""
    privacy_url: str = ""
    from_patterns: tuple[str, ...] = ()
    from_names: tuple[str, ...] = ()
    upstream: str = ""
    bounce_domain: str = ""
    unsubscribe_mailto: str = ""
    mail_from: str = ""
    accent: str = ""
    unsubscribe_notice: bool = False

    def may_send_as(self, address: Address) -> bool:
        """Whether `address` is one this sender may put into From or Sender."""
        return any(_matches(pattern, address) for pattern in self.from_patterns)

    def may_call_itself(self, display_name: str) -> bool:
        """Whether a From display name is allowed; any is where `from_names` is empty."""
        if not self.from_names or not display_name:
            return True
        name = " ".join(display_name.split()).casefold()
        return any(name == " ".join(allowed.split()).casefold() for allowed in self.from_names)


def _matches(pattern: str, address: Address) -> bool:
    if pattern.startswith("@*."):
        return address.domain.endswith(pattern[2:])
    if pattern.startswith("@"):
        return address.domain == pattern[1:]
    return address.key == pattern
