"""Settings of the parties: who submits, on whose behalf, which kinds of mail, by what rules.

In: tables of config.toml. Out: frozen `Section` values; `nouns` makes the nouns of
`gatepost.mail` from them.
"""

from typing import Literal

from gatepost.config.setting import Section, required, setting
from gatepost.config.values import (
    AddressText,
    Colour,
    Domain,
    FromPattern,
    HeaderGlobs,
    Language,
    Length,
    LengthOrNever,
    Line,
    Network,
    PasswordHash,
    PathText,
    Rate,
    Several,
    SomePath,
    Spelling,
    Texts,
    Url,
)

KindName = Literal["bulk", "transactional", "service", "personal"]


class ClientSettings(Section):
    """Who submits mail. AUTH beats network; the most specific network wins."""

    networks: Several[Network] = setting([], "with a username, too, both must match")
    username: str = setting("", "for AUTH PLAIN and LOGIN, under TLS or on loopback")
    password_hash: PasswordHash = setting("", "what `gatepost hash-password` prints")
    streams: Several[str] = setting([], "what it may send; one stream only = known at RCPT")
    default_stream: str = setting("", "where no header and no rule names another")
    trust_headers: bool = setting(
        False,
        "honour X-Gatepost-... headers",
        detail="Leave off for servers that forward foreign mail.",
    )
    may_override: bool = setting(False, "with trust_headers: X-Gatepost-Override with a reason")
    keep_dkim: bool = setting(
        False,
        "mail that comes with a DKIM signature counts as unmodifiable",
        detail="A footer breaks a signature that others made; Gatepost signs with its own keys.",
    )
    rate: Rate = setting(
        "",
        'messages, e.g. "20000/h"; "" = no limit',
        detail="Each worker counts for itself; a client that was silent may send it all at once.",
    )


class DkimSettings(Section):
    """One key to sign with; none, one or several per sender."""

    domain: Domain = required("the d= of the signature", sample="acme.example")
    selector: Domain = required("the s= of the signature", sample="gp1")
    key: SomePath = required(
        "PEM file: RSA, 1024 bits at least, better 2048", sample="dkim/acme.pem"
    )


class SenderSettings(Section):
    """The legal identity on whose behalf mail is sent."""

    name: Line = setting("", "the legal name", detail="Bulk mail needs it.")
    postal_address: Line = setting("", "in every footer", detail="Bulk mail needs it.")
    registration: Line = setting("", "company number, where the law wants it in the imprint")
    contact: AddressText = setting("", "gets reports and complaints")
    privacy_url: Url = setting("", "the sender's privacy notice")
    from_: Several[FromPattern] = required(
        'allowed From: addresses, domains, or "@*.acme.example"',
        sample=["@acme.example"],
        alias="from",
    )
    from_names: Several[Line] = setting([], "allowed display names; empty = any")
    public_url: Url = setting("", 'own link host; "" = [server] public_url')
    upstream: str = setting("", 'name from [upstreams]; "" = the default')
    bounce_domain: Domain = setting("", "enables per-recipient return paths (VERP)")
    unsubscribe_mailto: AddressText = setting(
        "", "for mailto: unsubscribe; needs a returns listener"
    )
    mail_from: AddressText = setting(
        "",
        'From of letters to people (confirmation, welcome); "" = contact',
        detail="One of the addresses in `from`, so that its DKIM key covers it.",
    )
    logo: PathText = setting(
        "",
        "PNG, JPEG, WebP or SVG on its pages",
        detail="At most 256 KB. It is served by Gatepost itself; an SVG must only draw.",
    )
    accent: Colour = setting(
        "",
        'colour of its pages, e.g. "#1c4f8c"',
        detail="Buttons, links, outlines; shades that could not be read are moved until they can.",
    )
    unsubscribe_notice: bool = setting(
        False,
        "tell who leaves so by a mail with a link to undo it",
        detail="After the button on the page or an unsubscribe mail, never after one click.",
    )
    dkim: Several[DkimSettings] = setting([], "keys to sign with")


class StreamPolicy(Section):
    """The keys of a stream that have a default."""

    title: Texts = setting("", 'recipients see it; a string, or { sv = "...", en = "..." }')
    description: Texts = setting("", "recipients see it")
    sender: str = setting("", "name from [senders]; a personal stream may go without")
    language: Language = setting("en", "of footer and pages")
    requires: Literal["explicit", "implied"] = setting(
        "explicit", '"explicit" or "implied" consent'
    )
    soft_opt_in: bool = setting(False, "true: complete existing-customer exceptions count, too")
    double_opt_in: bool = setting(False, "true: unconfirmed consent does not count")
    categories: Several[Line] = setting(
        [], "product categories; a consent limited to others does not count"
    )
    max_inactive: LengthOrNever = setting(
        "never", 'e.g. "18 months"; only where engagement is reported'
    )
    role_addresses: Literal["ineligible", "allow"] = setting(
        "ineligible", 'info@, sales@ ...: or "allow"'
    )
    on_ineligible: Literal["drop", "quarantine", "reject"] = setting(
        "drop", '"drop", "quarantine" or "reject"'
    )
    release_within: Length = setting(
        "48 h",
        "held mail is released by a confirmation that comes so soon",
        detail="Not longer than `quarantine.keep`.",
    )
    unmodifiable: Literal["headers", "quarantine", "reject"] = setting(
        "headers", 'signed/encrypted mail: no footer, or "quarantine", "reject"'
    )
    footer: Literal["auto", "always"] = setting(
        "auto", '"auto": unless the body already has our links and identity'
    )
    return_path: Literal["keep", "verp"] = setting(
        "keep", '"verp" needs the sender\'s bounce_domain'
    )
    mode: Literal["enforce", "observe"] = setting(
        "enforce",
        '"observe" only records lack of consent',
        detail="Withdrawals and suppressions are always enforced.",
    )
    upstream: str = setting("", 'name from [upstreams]; "" = the sender\'s')


class StreamDefaults(StreamPolicy):
    """Any key of a stream, for the streams that do not give it themselves."""

    kind: KindName | None = setting(None, "what the law makes of the mail")


class StreamSettings(StreamPolicy):
    """A kind of mail with one policy."""

    kind: KindName = required(
        '"bulk", "transactional", "service" or "personal"',
        detail=(
            "`bulk` needs consent; `transactional` is what the recipient set off; `service` is "
            "safety, contract or legal duty; `personal` is one to one."
        ),
        sample="bulk",
    )


class PlaceholderSettings(Section):
    """Placeholders of other systems in bodies, beside Gatepost's own."""

    systems: Several[Literal["mailchimp", "sendgrid", "postmark", "mailgun", "ses", "listmonk"]] = (
        setting([], "know those of mailchimp, sendgrid, postmark, mailgun, ses, listmonk")
    )
    unsubscribe_url: Several[Spelling] = setting(
        [], 'further spellings of {{unsubscribe_url}}, e.g. "%%leave%%"'
    )
    preferences_url: Several[Spelling] = setting([], "of {{preferences_url}}")
    sender_identity: Several[Spelling] = setting([], "of {{sender_identity}}")


class ClassifyRule(Section):
    """One rule; the first that matches wins, and all its conditions must hold."""

    client: str = setting("", "name from [clients]")
    header: HeaderGlobs = setting({}, "header fields and globs", sample={"Precedence": "bulk"})
    from_: Line = setting("", "glob on the From: address", alias="from")
    subject: Line = setting("", "glob on the subject")
    recipients_at_least: int = setting(0, "in one submission; 0 = any number", least=0)
    stream: str = required("the stream of what matches", sample="newsletter")
