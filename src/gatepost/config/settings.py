"""The whole of config.toml as one frozen value."""

from collections.abc import Mapping

from gatepost.config.gateway import (
    AdminSettings,
    BounceSettings,
    BulkDetectionSettings,
    ComplaintSettings,
    ConsentSettings,
    HttpSettings,
    LedgerSettings,
    LimitSettings,
    LinkSettings,
    LogSettings,
    PagesSettings,
    QuarantineSettings,
    RetentionSettings,
    ServerSettings,
    SmtpSettings,
    StoreSettings,
    UpstreamSettings,
)
from gatepost.config.onward import OnwardSettings, WebhookSettings
from gatepost.config.parties import (
    ClassifyRule,
    ClientSettings,
    PlaceholderSettings,
    SenderSettings,
    StreamDefaults,
    StreamSettings,
)
from gatepost.config.setting import Section, setting
from gatepost.config.values import Several


class Settings(Section):
    """Everything that is configured; the order is that of the shipped file."""

    server: ServerSettings = setting({}, "the gateway as a whole")
    smtp: Several[SmtpSettings] = setting([{}], "one table per listener")
    http: HttpSettings = setting({}, "the recipients' pages")
    pages: PagesSettings = setting({}, "the look of pages, letters and footers")
    admin: AdminSettings = setting({}, "console, API, metrics: a listener of its own")
    limits: LimitSettings = setting({}, "what one client may ask of the gateway")
    store: StoreSettings = setting({}, "ledger and spool")
    upstream: UpstreamSettings = setting(
        {}, "the default; more as [upstreams.NAME], named by sender or stream"
    )
    upstreams: Mapping[str, UpstreamSettings] = setting({}, "further upstreams")
    clients: Mapping[str, ClientSettings] = setting(
        {}, "AUTH beats network; the most specific network wins; with both, both must match"
    )
    senders: Mapping[str, SenderSettings] = setting(
        {}, "the legal identities on whose behalf mail is sent"
    )
    stream_defaults: StreamDefaults = setting({}, "any key of a stream")
    streams: Mapping[str, StreamSettings] = setting({}, "kinds of mail, each with one policy")
    placeholders: PlaceholderSettings = setting(
        {}, "in bodies, beside {{unsubscribe_url}}, {{preferences_url}}, {{sender_identity}}"
    )
    classify: Several[ClassifyRule] = setting(
        [], "first match wins; all given conditions must hold; values are globs"
    )
    bulk_detection: BulkDetectionSettings = setting(
        {}, "checks every result that is not bulk: undeclared mass mail"
    )
    consent: ConsentSettings = setting({}, "what counts as consent, and how long")
    retention: RetentionSettings = setting({}, "when what is no longer needed is removed")
    ledger: LedgerSettings = setting({}, "how the ledger is proven to be whole")
    complaints: ComplaintSettings = setting({}, "what complaints lead to")
    bounces: BounceSettings = setting({}, "what bounces lead to")
    links: LinkSettings = setting({}, "the links in copies")
    quarantine: QuarantineSettings = setting({}, "recipients that are held")
    onward: OnwardSettings = setting({}, "opt-outs travel on: mailers that are told of them")
    webhooks: Mapping[str, WebhookSettings] = setting(
        {}, "systems of your own that are told of every change"
    )
    log: LogSettings = setting({}, "the log")
