"""Settings of the gateway itself: doors, limits, store, upstream, terms and the log.

In: tables of config.toml. Out: frozen `Section` values. Whose mail goes through, and by
which rules, is in `parties`.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import ValidationInfo, model_validator

from gatepost.config.setting import Section, required, setting
from gatepost.config.values import (
    Domain,
    Host,
    Length,
    LengthOrNever,
    ListenAddress,
    Network,
    OwnName,
    PathText,
    Rate,
    Secret,
    Several,
    Size,
    SomePath,
    StoreUrl,
    Url,
    is_there,
    reference_of,
    surroundings_of,
)


class ServerSettings(Section):
    """The gateway as a whole."""

    hostname: OwnName = setting(
        "",
        "EHLO name and Received trace",
        detail='It should resolve to this machine. `""` is the name the system has.',
        sample="relay.example.org",
    )
    public_url: Url = required(
        "base of every link; https (http only for a loopback host)",
        detail="Never taken from a request. A path is allowed; a query is not.",
        sample="https://mail.example.org",
    )
    data_dir: SomePath = setting("./data", "embedded store, evidence files, keys")
    user: str = setting(
        "",
        'who to become once ports are bound and keys are read; "" = stay who started it',
        detail="For a start by root. Afterwards data_dir must be this user's, and a reload reads "
        "only what the user can: give keys mode 0640 and the user's group.",
    )
    group: str = setting("", 'its group; "" = the user\'s own')
    workers: int = setting(1, "processes that share ports and store", least=1, most=256)


class SmtpSettings(Section):
    """One listener for mail."""

    address: ListenAddress = setting("127.0.0.1", "where to listen")
    port: int = setting(2525, "0 takes any free port", least=0, most=65535)
    tls: Literal["none", "starttls", "implicit"] = setting(
        "none", "encryption; the others need certificate and key"
    )
    certificate: PathText = setting("", "PEM file: the certificate, then its chain")
    key: PathText = setting("", "PEM file: the private key")
    role: Literal["submission", "returns"] = setting(
        "submission", '"returns" takes bounces, complaints and unsubscribe mail'
    )
    clients: Several[str] = setting([], "only these clients; [] = all")
    stream: str = setting(
        "",
        'its one stream; "" = by header, rule or client',
        detail="Binding a listener to a stream makes refusals possible at RCPT.",
    )
    bare_newlines: Literal["normalize", "reject"] = setting(
        "normalize", "bare CR or LF in content: taken as CRLF, or refused"
    )
    proxy_protocol: Several[Network] = setting(
        [],
        "load balancers that must say, by PROXY protocol, whose connection it is",
        detail="Versions 1 and 2. Nobody else is believed; whoever may connect from these networks "
        "can name any address as its own.",
    )


class HttpSettings(Section):
    """The recipients' pages."""

    address: ListenAddress = setting("127.0.0.1", "where to listen")
    port: int = setting(8025, "0 takes any free port", least=0, most=65535)
    trusted_proxies: Several[Network] = setting(
        [], "reverse proxies whose X-Forwarded-For is believed"
    )


class PagesSettings(Section):
    """The look of pages, letters and footers."""

    templates: PathText = setting(
        "",
        "folder whose files win over the shipped templates",
        detail="Laid out like `templates/`; read at start and with each reload.",
    )


class AdminSettings(Section):
    """Console, API and metrics: a listener of its own."""

    address: ListenAddress = setting("127.0.0.1", "where to listen")
    port: int = setting(8026, "0 takes any free port", least=0, most=65535)


class LimitSettings(Section):
    """What one client may ask of the gateway."""

    message_size: Size = setting(
        "50 MB",
        "larger messages are refused",
        detail="RFC 5321 wants at least 64 KiB.",
        least="1 kB",
        most="1 GB",
    )
    recipients_per_message: int = setting(
        10000,
        "more recipients are deferred",
        detail="RFC 5321 wants at least 100.",
        least=1,
        most=1000000,
    )
    connections_per_client: int = setting(
        50,
        "at the same time, per worker",
        detail="Of whoever is no client (yet) as many per network: a /24 of IPv4, a /64 of IPv6.",
        least=1,
        most=100000,
    )
    connections: int = setting(
        2000,
        "at the same time, of all clients, per worker",
        detail="Whoever is no client (yet) gets at most half of them.",
        least=2,
        most=100000,
    )
    memory: Size = setting(
        "200 MB",
        "what large messages may take, per worker; at least 4 times message_size",
        detail="On top of some 140 MB that a worker always takes. Half is for what comes in, half "
        "for what goes out. A message that finds no room waits, and after four minutes is "
        "deferred.",
        least="4 kB",
    )
    min_free_disk: Size = setting(
        "500 MB",
        "with less, new mail is deferred",
        detail="What is left then is for those who leave, for the results of mail on its way, and "
        "for the ledger.",
    )


class StoreSettings(Section):
    """Ledger and spool."""

    url: StoreUrl = setting("", '"" = embedded SQLite in data_dir; or "postgresql://..."')


class TimeoutSettings(Section):
    """How long upstream may take for each reply; the defaults are what RFC 5321 asks for."""

    connect: Length = setting(
        "5 min",
        "to connect and greet, and for each of EHLO, TLS handshake and steps of AUTH",
        least="1 s",
        most="1 day",
    )
    mail: Length = setting("5 min", "the answer to MAIL or RSET", least="1 s", most="1 day")
    rcpt: Length = setting("5 min", "the answer to RCPT", least="1 s", most="1 day")
    data: Length = setting("2 min", "the answer to DATA", least="1 s", most="1 day")
    block: Length = setting("3 min", "to take the next block of content", least="1 s", most="1 day")
    dot: Length = setting(
        "10 min",
        "the answer to the end of the content",
        detail="Shorter means more mail that arrives twice.",
        least="1 s",
        most="1 day",
    )


class UpstreamSettings(Section):
    """A server that copies are handed to."""

    host: Host = setting("127.0.0.1", "the server")
    port: int = setting(1025, "usually 587 or 25; 465 for implicit TLS", least=1, most=65535)
    tls: Literal["none", "opportunistic", "starttls", "implicit"] = setting(
        "none", '"starttls" and "implicit" verify the certificate'
    )
    username: str = setting("", '"" = no authentication')
    password: Secret = setting(
        "", "not asked for without a username", sample={"env": "UPSTREAM_PASSWORD"}
    )
    connections: int = setting(
        10, "at the same time, at most", detail="Per worker.", least=1, most=10000
    )
    rate: Rate = setting(
        "",
        'copies, e.g. "5000/h"; "" = no limit',
        detail="Of one gateway: its workers have equal shares. Not in bursts, but evenly.",
    )
    retry_for: Length = setting(
        "5 days",
        "then an undelivered copy is returned",
        detail="RFC 5321 asks for 4 to 5 days.",
        most="30 days",
    )
    timeouts: TimeoutSettings = setting({}, "how long upstream may take for each reply")

    @model_validator(mode="before")
    @classmethod
    def _forgive_the_unused_password(cls, data: Any, info: ValidationInfo) -> Any:
        """Without a username, a reference to a password that is not there is no error."""
        if not isinstance(data, dict) or data.get("username") or "password" not in data:
            return data
        reference = reference_of(data["password"])
        if reference is None or is_there(reference, surroundings_of(info)):
            return data
        return {**data, "password": ""}


class BulkDetectionSettings(Section):
    """Undeclared mass mail: looks at every message whose stream is not bulk."""

    mode: Literal["off", "observe", "quarantine"] = setting(
        "observe", "only record, or hold what looks like bulk"
    )
    recipients: int = setting(100, "in one submission", least=1)
    same_content: int = setting(200, "recipients of the same normalised text", least=1)
    within: Length = setting("1 h", "the time in which these are counted", most="7 days")
    internal_domains: Several[Domain] = setting([], "their recipients do not count")


class BasisSettings(Section):
    """One basis of consent, made stricter."""

    lifetime: Length = required(
        "counts this long after the event; never longer than built in", sample="1 year"
    )


class ConsentSettings(Section):
    """How long implied consent lasts, and how sign-ups are confirmed."""

    implied_lifetime: Length = setting(
        "2 years",
        "purchase, contract, donation and the like count this long",
        most="2 years",
    )
    confirm_within: Length = setting(
        "7 days",
        "a sign-up that is not confirmed by then has to be made again",
        detail="Also how long the link in the mail that asks for it works.",
        least="1 h",
        most="60 days",
    )
    confirm_again: Length = setting(
        "1 day",
        "who signs up again within this gets no second mail",
        detail="Per address and sender. Nobody is ever reminded; a new sign-up after this time "
        "sends a new mail.",
        least="10 min",
        most="60 days",
    )
    bases: Mapping[str, BasisSettings] = setting({}, "single bases; may only be made stricter")


class RetentionSettings(Section):
    """When what is no longer needed is removed."""

    evidence: Length = setting(
        "2 years",
        "after the last mail sent on the consent, or its withdrawal",
        detail="Criminal liability lapses after two years: less would lose the proof.",
        least="2 years",
    )
    content: Length = setting("7 days", "after the last recipient of a submission is finished")
    verdicts: Length = setting(
        "90 days",
        "who was mailed or not, and why: after a submission is finished",
        detail="Counts of campaigns and the uses of consents outlive these rows. Complaints are "
        "weighed against deliveries of weeks ago. Where links have a longer lifetime, that counts.",
        least="60 days",
    )
    campaigns: Length = setting(
        "2 years",
        "counts per campaign, after its last submission",
        detail="Campaigns with rows that are kept longer are kept with them.",
        least="60 days",
    )
    unconfirmed: Length = setting(
        "30 days",
        "a sign-up that nobody confirmed, with its address",
        detail="An unconfirmed request is no consent and proves nothing; nobody is reminded.",
        least="1 day",
    )


class LedgerSettings(Section):
    """How the ledger is proven to be whole."""

    mail_head: Literal["weekly", "monthly", "never"] = setting(
        "weekly",
        "mails the head of the chain to the contact of each sender of bulk mail",
        detail="Whoever keeps these mails can show later that nothing recorded before was removed: "
        "`gatepost ledger verify --head`.",
    )


class ComplaintSettings(Section):
    """What complaints lead to."""

    answer_within: Length = setting(
        "24 h",
        "for the sender to answer a complaint",
        detail="From the moment that upstream took the notice to its contact.",
    )
    freeze_unanswered: bool = setting(
        True, "freezes the sender whose complaint nobody answered in time"
    )
    freeze_rate: float = setting(
        0.003,
        "of delivered mail; above it the sender is frozen",
        least=0.0001,
        most=1,
    )
    minimum_delivered: int = setting(1000, "below this no rate is computed", least=1)
    stop_within: Length = setting("2 h", "for the sender to end a campaign; then it is stopped")


class BounceSettings(Section):
    """What bounces lead to."""

    soft_limit: int = setting(
        5, "soft bounces in a row that make an address suppressed", least=1, most=1000
    )


class LinkSettings(Section):
    """The links in copies."""

    lifetime: LengthOrNever = setting(
        "unlimited",
        'how long they work; at least "60 days"',
        detail="People leave by old mails, too.",
        least="60 days",
    )


class QuarantineSettings(Section):
    """Recipients that are held."""

    keep: Length = setting("30 days", "then they are dropped")


class LogSettings(Section):
    """The log."""

    format: Literal["console", "json"] = setting("console", "for people, or for machines")
    addresses: Literal["plain", "hashed", "none"] = setting(
        "hashed", "how recipients' addresses appear"
    )
