"""One log line, and one count, per event in a mail's life, each a named function.

Only what an administrator acts on or looks for is logged; message content, passwords and
tokens never are. Recipients' addresses appear as `[log] addresses` says: plain, as a keyed
hash that is the same for the same address, or not at all. A copy that went well is counted,
not logged: one line per submission and per batch of results is what a busy relay can afford.

*Known limits:* configured once per process; counters are those of this process, or of all
workers where Prometheus' multi-process mode is on.
"""

import hashlib
import json
import logging
import re
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import ClassVar, Literal

import structlog
from prometheus_client import Counter, Gauge

from gatepost.logfile import Later, LogFile, Seldom, Tally, on_one_line

_log = structlog.get_logger("gatepost")
# Upstream quotes addresses in its replies; the rest of a reply is wanted.
_OTHER = r"\s<>()\[\]\",;:"  # what ends an address; it begins behind one of these, too
_QUOTED_ADDRESS = re.compile(rf"(?<![^{_OTHER}])[^{_OTHER}@]++@[^{_OTHER}]*[^{_OTHER}.]")

_submissions = Counter(
    "gatepost_submissions", "Submissions answered, by what was answered", ["client", "answer"]
)
_recipients = Counter(
    "gatepost_recipients", "Recipients of accepted submissions by verdict and reason",
    ["stream", "verdict", "reason"],
)  # fmt: skip
_attempts = Counter(
    "gatepost_attempts", "Recipients by what came of an attempt to send", ["stream", "state"]
)
_returns = Counter(
    "gatepost_returns", "Mail that came back, by what it was and what was made of it",
    ["kind", "outcome"],
)  # fmt: skip
_auth_failures = Counter("gatepost_auth_failures", "Failed authentications", ["listener"])
_auth_locks = Counter(
    "gatepost_auth_locks", "Locks after failed authentications, by what was locked", ["kind"]
)
_refused_connections = Counter(
    "gatepost_refused_connections", "Connections turned away", ["listener"]
)
_refusals = Seldom()
_removed = Counter(
    "gatepost_retention_removed", "Things that outlived their term, by rule", ["rule", "what"]
)
_internal_errors = Counter("gatepost_internal_errors", "Errors of our own, by place", ["place"])
_late = Counter(
    "gatepost_late_outcomes", "Outcomes of recipients that another gateway had taken up"
)
_store_errors = Counter("gatepost_store_errors", "Operations the store could not do", ["place"])
_store_up = Gauge(
    "gatepost_store_up", "Whether the store does what it is asked", multiprocess_mode="livemin"
)
STORE_AGAIN_SECONDS = 60.0
_STORE_TROUBLES = 50
_upstream_up = Gauge(
    "gatepost_upstream_up", "Whether upstream takes mail", ["upstream"], multiprocess_mode="livemin"
)
_queued = Gauge(
    "gatepost_queued_recipients", "Recipients in the spool by state", ["state"],
    multiprocess_mode="livemostrecent",
)  # fmt: skip
_forged = Gauge(
    "gatepost_forged_events", "Events that no gateway recorded; they are never sealed",
    multiprocess_mode="livemostrecent",
)  # fmt: skip
_unsigned = Gauge(
    "gatepost_unsigned_streams",
    "Bulk streams whose one-click headers no DKIM signature of ours covers",
    multiprocess_mode="livemostrecent",
)
_observing = Gauge(
    "gatepost_observing_streams", "Bulk streams in mode observe: consent is not enforced",
    multiprocess_mode="livemostrecent",
)  # fmt: skip

_welcomes = Counter("gatepost_welcomes", "Welcome mails that upstream took")
_welcomes_waiting = Gauge(
    "gatepost_welcomes_waiting", "Welcome mails that have neither arrived nor failed",
    multiprocess_mode="livemostrecent",
)  # fmt: skip
_oldest_welcome = Gauge(
    "gatepost_oldest_welcome_seconds", "How long the oldest of them has been waiting",
    multiprocess_mode="livemostrecent",
)  # fmt: skip
WELCOME_TARGET_HOURS = 1  # JU-18
WELCOME_ALARM_HOURS = 24
_told = Counter(
    "gatepost_webhook_deliveries", "Attempts to tell other systems, by what came of them",
    ["webhook", "outcome"],
)  # fmt: skip
_webhook_up = Gauge(
    "gatepost_webhook_up", "Whether a webhook takes deliveries", ["webhook"],
    multiprocess_mode="livemostrecent",
)  # fmt: skip

Addresses = Literal["plain", "hashed", "none"]


class _Style:
    addresses: Addresses = "hashed"
    key: bytes = b""
    file = LogFile()
    tally = Tally()


_JSON = json.JSONEncoder(default=repr)


def hold_lines(later: Later | None) -> None:
    """Lets lines that only inform go out together, and counts: see `LogFile.hold`."""
    _Style.file.hold(later)
    _Style.tally.hold(later)


def configure(form: Literal["console", "json"], addresses: Addresses, key: bytes) -> None:
    """Sets how lines look and how addresses appear; `key` makes the hashes ours alone."""
    _Style.addresses, _Style.key = addresses, key
    _Style.file.write_out()
    _Style.file.stream = sys.stderr
    # It prints a traceback whenever a stranger's mail makes one of its detectors stumble.
    logging.getLogger("flufl.bounce").disabled = True
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(serializer=lambda event, **_: _JSON.encode(event))
        if form == "json"
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            # The pretty one prints local variables: addresses, tokens, content.
            exception_formatter=structlog.dev.plain_traceback,
        )
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info if form == "json" else on_one_line,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=lambda *_: _Style.file,
        cache_logger_on_first_use=False,
    )


def address(key: str) -> str:
    """An address as it may appear in the log."""
    if _Style.addresses == "plain":
        return key
    if _Style.addresses == "none":
        return "-"
    digest = hashlib.blake2b(key.encode(), key=_Style.key[:64], digest_size=6).hexdigest()
    return f"#{digest}"


def _reply(text: str) -> str:
    """What a server said, with the addresses in it as they may appear in the log."""
    if _Style.addresses == "plain":
        return text
    return _QUOTED_ADDRESS.sub(lambda found: address(found[0].casefold()), text)


# The way in


def connection_refused(listener: str, peer: str, why: str) -> None:
    """A connection was turned away or dropped before anything was submitted."""
    _refused_connections.labels(listener).inc()
    unsaid = _refusals.unsaid((listener, why))
    if unsaid is not None:
        _log.warning("connection refused", listener=listener, peer=peer, why=why, more=unsaid)


def auth_failed(listener: str, peer: str, client: str) -> None:
    """A password was wrong; `client` is "" where the user name is unknown here."""
    _auth_failures.labels(listener).inc()
    _log.warning("authentication failed", listener=listener, peer=peer, client=client)


def auth_locked(listener: str, peer: str, client: str, *, kind: str, seconds: float) -> None:
    """Too many failures: `kind` says what is put off from now on, for so long."""
    _auth_locks.labels(kind).inc()
    _log.error(
        "authentication locked", listener=listener, peer=peer, client=client, what=kind,
        minutes=round(seconds / 60),
    )  # fmt: skip


def session_error(listener: str, error: BaseException) -> None:
    """Something in an SMTP session failed on our side; the client was answered 451."""
    _internal_errors.labels("session").inc()
    _log.error("session error", listener=listener, exc_info=error)


def accepted(
    submission: str,
    *,
    client: str,
    peer: str,
    stream: str,
    how: str,
    campaign: str,
    size: int,
    counts: Mapping[tuple[str, str], int],
) -> None:
    """A submission is durable. `how` says what chose the stream; counts by verdict, reason."""
    _Style.tally.count(_submissions, client, "accepted")
    for (verdict, reason), count in counts.items():
        _Style.tally.count(_recipients, stream, verdict, reason, by=count)
    _log.info(
        "accepted", id=submission, client=client, peer=peer, stream=stream, by=how,
        campaign=campaign, size=size,
        recipients={f"{verdict}/{reason}": count for (verdict, reason), count in counts.items()},
    )  # fmt: skip


def refused(*, client: str, peer: str, stream: str, recipients: int, reply: str) -> None:
    """A message was refused as a whole; the mailer was told `reply`."""
    _submissions.labels(client, "refused").inc()
    _log.warning(
        "refused", client=client, peer=peer, stream=stream, recipients=recipients, reply=reply
    )


def too_many_recipients(*, client: str, peer: str, limit: int) -> None:
    """A message has more recipients than the limit; those beyond it were told to come again."""
    _log.warning("too many recipients", client=client, peer=peer, limit=limit)


def recipient_refused(*, client: str, stream: str, recipient: str, reason: str) -> None:
    """A recipient was refused at RCPT."""
    _recipients.labels(stream, "reject", reason).inc()
    _log.info(
        "recipient refused", client=client, stream=stream, recipient=address(recipient),
        reason=reason,
    )  # fmt: skip


def undeclared_bulk(submission: str, *, client: str, stream: str, recipients: int) -> None:
    """Mail of a stream that is not bulk looks like a mass mailing."""
    _log.warning(
        "undeclared bulk", id=submission, client=client, stream=stream, recipients=recipients
    )


# The way out


@lru_cache(maxsize=4096)
def _attempts_of(stream: str, state: str) -> Counter:
    """One counter; finding it costs more than counting, and every copy counts."""
    return _attempts.labels(stream, state)


def attempted(stream: str, state: str, count: int) -> None:
    """So many recipients got to `state` by an attempt to send."""
    _attempts_of(stream or "-", state).inc(count)


def attempt_failed(submission: str, recipient: str, state: str, attempts: int, reply: str) -> None:
    """An attempt did not deliver; `state` says whether there will be another."""
    _log.warning(
        "not delivered", id=submission, recipient=address(recipient), state=state,
        attempts=attempts, reply=_reply(reply),
    )  # fmt: skip


def results(counts: Mapping[str, int]) -> None:
    """What the last seconds brought, by state."""
    _log.info("sent", **counts)


def set_aside(submission: str, error: BaseException) -> None:
    """A copy could not be composed, for a reason nobody foresaw; its recipients are held."""
    _internal_errors.labels("compose").inc()
    _log.error("set aside", id=submission, exc_info=error)


def upstream_changed(upstream: str, healthy: bool, reply: str) -> None:
    """Upstream went away, or is back."""
    _upstream_up.labels(upstream or "default").set(healthy)
    if healthy:
        _log.info("upstream takes mail", upstream=upstream or "default", reply=reply)
    else:
        _log.error("upstream is away", upstream=upstream or "default", reply=reply)


# What comes back


def withdrawn(subjects: Sequence[str], sender: str, stream: str, method: str) -> None:
    """Somebody left, or many at once: `stream` is "" for everything of the sender."""
    who = {"subject": subjects[0]} if len(subjects) == 1 else {"subjects": list(subjects)}
    _log.info("withdrawn", **who, sender=sender, stream=stream or "*", method=method)


def signed_up(
    recipient: str, *, source: str, sender: str, asked: Sequence[str], joined: Sequence[str]
) -> None:
    """A form was sent: `asked` waits for its confirmation, `joined` holds at once.

    Both are empty where the same was asked just before.
    """
    _log.info(
        "signed up",
        recipient=address(recipient),
        source=source or "preferences",
        sender=sender,
        asked=list(asked),
        joined=list(joined),
    )


def confirmed(subject: str, sender: str, streams: Sequence[str]) -> None:
    """Somebody confirmed what was asked for."""
    _log.info("confirmed", subject=subject, sender=sender, streams=list(streams))


def welcomed(subject: str, sender: str, stream: str) -> None:
    """Upstream took a welcome mail: from now on the consent counts."""
    _welcomes.inc()
    _log.info("welcomed", subject=subject, sender=sender, stream=stream)


def welcomes_waiting(count: int, oldest_seconds: float) -> None:
    """How many welcome mails have neither arrived nor failed, and since when the oldest."""
    _welcomes_waiting.set(count)
    _oldest_welcome.set(oldest_seconds)


def welcomes_late(count: int, hours: float, *, alarm: bool) -> None:
    """The oldest of so many welcomes has been waiting for `hours` (JU-18)."""
    log = _log.error if alarm else _log.warning
    log("welcome mail is late: who signed up gets nothing yet", waiting=count, hours=round(hours))


def bad_link(page: str, visitor: str) -> None:
    """Somebody opened a link that is none of ours, or was altered."""
    _log.info("link does not open", page=page, visitor=visitor)


def request_failed(error: BaseException) -> None:
    """A request for a page failed on our side; the visitor was answered 503."""
    _internal_errors.labels("page").inc()
    _log.error("page failed", exc_info=error)


def returned(kind: str, outcome: str, *, stream: str = "", words: str = "") -> None:
    """A bounce, complaint or unsubscribe mail came in, and what was made of it.

    `words` is the reason that a bounce gave, without addresses. Bounces by policy are held
    against our mail, not against the address: somebody must look.
    """
    _returns.labels(kind, outcome).inc()
    log = _log.warning if kind.startswith("policy") else _log.info
    log("returned", kind=kind, outcome=outcome, stream=stream, words=words)


def sender_frozen(sender: str, complaints: int, delivered: int) -> None:
    """Too many complaints: the sender's bulk mail is refused until somebody thaws it."""
    _log.error("sender frozen", sender=sender, complaints=complaints, delivered=delivered)


def campaign_ended(sender: str, campaign: int, recipients: int) -> None:
    """Its sender was frozen for complaints and did not end it in time."""
    _log.error("campaign stopped", sender=sender, campaign=campaign, recipients=recipients)


def complaints_unanswered(sender: str, cases: Sequence[int], *, frozen: bool) -> None:
    """Their time is over; `frozen` if the sender's bulk mail is refused from now on for them."""
    _log.error("complaints unanswered", sender=sender, cases=list(cases), frozen=frozen)


# What travels on


def told_others(webhook: str, fates: Sequence[str]) -> None:
    """Deliveries to a webhook, or to mailers, by what came of each."""
    for fate in fates:
        _told.labels(webhook, fate).inc()


def webhook_changed(webhook: str, *, there: bool, why: str = "") -> None:
    """A webhook does not take deliveries any more, or takes them again."""
    _webhook_up.labels(webhook).set(there)
    if there:
        _log.info("webhook takes deliveries", webhook=webhook)
    else:
        _log.error("webhook is away, deliveries wait", webhook=webhook, why=why)


def given_up_telling(webhook: str, count: int) -> None:
    """So many deliveries were tried for days and are given up: somebody must look."""
    _told.labels(webhook, "given-up").inc(count)
    _log.error("deliveries given up", webhook=webhook, count=count)


# The gateway itself


def folder_closed(path: str, mode: int) -> None:
    """The data folder was open to others; it is closed now."""
    _log.warning("data_dir was open to others, now it is not", path=path, mode=f"{mode:04o}")


def running_as_root() -> None:
    """Nobody needs that: a port below 1024 can be had by `[server] user`."""
    _log.warning("running as root: name a user of its own in [server] user")


def listening(door: str, host: str, port: int) -> None:
    """A listener is open."""
    _log.info("listening", door=door, address=host, port=port)


def started(version: str, workers: int) -> None:
    """Everything is up."""
    _log.info("started", version=version, workers=workers)


def stopping(grace_seconds: float) -> None:
    """What is on the wire is finished, then everything ends."""
    _log.info("stopping", grace_seconds=grace_seconds)


def stop_cut_short(seconds: float) -> None:
    """Something did not end in time; nothing is lost, and the next start takes it up."""
    _log.warning("stopped before everything was done", seconds=seconds)


def worker_ended(place: int, status: int) -> None:
    """A worker died, by a signal if `status` is negative; it is started again."""
    _log.error("worker ended, starting it again", worker=place, status=status)


def outcomes_lost(count: int) -> None:
    """The store could not be told of so many outcomes: these copies will be sent again."""
    _log.error("the store took no outcomes: these recipients get a second copy", count=count)


def outcomes_too_late(count: int, delivered: int) -> None:
    """So many outcomes came when the lease was over, and somebody else had taken the rows up."""
    _late.inc(count)
    said = "outcomes came too late, others have taken up these recipients: a second copy may go out"
    _log.warning(said, count=count, delivered=delivered)


def stopped() -> None:
    """Everything has ended."""
    _log.info("stopped")


def reloaded() -> None:
    """A new configuration is in force."""
    _log.info("configuration reloaded")


def needs_restart(settings: Sequence[str]) -> None:
    """Settings that differ from those at start and take effect only after a restart."""
    _log.warning("these settings take effect after a restart", settings=list(settings))


def reload_failed(errors: str) -> None:
    """The new configuration is no good; the old one stays in force."""
    _log.error("configuration not reloaded, the old one stays in force", errors=errors)


def keys_changed(current: int) -> None:
    """The file of link keys has changed; links are made with this key from now on."""
    _log.info("link keys reloaded", current=current)


def keys_unreadable(error: str) -> None:
    """The file of link keys has changed and cannot be used; the ring stays as it was."""
    _internal_errors.labels("link keys").inc()
    _log.error("link keys not reloaded, the old ones stay in force", error=error)


def forged_events(new: Sequence[int], count: int) -> None:
    """Somebody put events into the ledger's table by hand: `new` ones, `count` in all."""
    _forged.set(count)
    if new:
        _log.critical(
            "events that no gateway recorded: they are not sealed, see gatepost ledger verify",
            events=list(new[:20]),
            count=count,
        )


def unsigned_streams(streams: Sequence[str]) -> None:
    """Bulk streams without a DKIM key of ours: their one-click headers count for nothing."""
    _unsigned.set(len(streams))
    if streams:
        _log.warning(
            "no DKIM key: receivers ignore one-click headers that no signature covers; "
            "give the sender a key, or sign both List-Unsubscribe headers upstream",
            streams=list(streams),
        )


def observing(streams: Sequence[str]) -> None:
    """Bulk streams that only record lack of consent."""
    _observing.set(len(streams))
    if streams:
        _log.warning("mode observe: lack of consent is only recorded", streams=list(streams))


def storage_changed(enough: bool, **found: object) -> None:
    """The disk has less free than `[limits] min_free_disk`, or enough again."""
    if enough:
        _log.info("enough free disk again: mail is taken")
    else:
        _log.error("too little free disk: new mail is deferred (452 4.3.1)", **found)


def queued(counts: Mapping[str, int]) -> None:
    """How many recipients are in the spool, by state."""
    for state, count in counts.items():
        _queued.labels(state).set(count)


class _StoreTrouble:
    """What was said of the store's trouble, and when: mail by mail it would drown the rest."""

    said: ClassVar[dict[str, float]] = {}
    unsaid = 0
    door = threading.Lock()


def store_unavailable(place: str, error: BaseException, *, counts: bool = True) -> None:
    """The store could not do what was asked; it is tried again.

    Every one is counted; the same trouble is logged once a minute. What has to be mended
    (`error.lasts`) is critical.
    """
    if counts:
        _store_errors.labels(place).inc()
    text, now = str(error), time.monotonic()
    with _StoreTrouble.door:
        if now - _StoreTrouble.said.get(text, -STORE_AGAIN_SECONDS) < STORE_AGAIN_SECONDS:
            _StoreTrouble.unsaid += counts
            return
        if len(_StoreTrouble.said) > _STORE_TROUBLES:
            _StoreTrouble.said.clear()
        _StoreTrouble.said[text] = now
        unsaid, _StoreTrouble.unsaid = _StoreTrouble.unsaid, 0
    log = _log.critical if getattr(error, "lasts", False) else _log.error
    log("store out of reach", place=place, error=text, more=unsaid)


def store_changed(*, up: bool, after_seconds: float = 0.0) -> None:
    """The store does not do what it is asked, or does so again."""
    _store_up.set(up)
    if up:
        with _StoreTrouble.door:
            _StoreTrouble.said.clear()
        if after_seconds:
            _log.info("store is back", after_seconds=round(after_seconds, 1))


def housekeeping_failed(chore: str, error: BaseException) -> None:
    """A chore failed; it is tried again at its next turn."""
    _internal_errors.labels(chore).inc()
    _log.error("housekeeping failed", chore=chore, exc_info=error)


def rerouted(upstream: str, count: int) -> None:
    """An upstream has left the configuration; what waited for it goes where its mail goes now."""
    _log.warning("upstream is gone, its queue takes another", upstream=upstream, count=count)


def retained(rule: str, what: str, count: int) -> None:
    """Retention removed so many things by a rule."""
    _removed.labels(rule, what).inc(count)
    if count:
        _log.info("retention", rule=rule, what=what, count=count)


def out_of_reach(paths: Sequence[str]) -> None:
    """Files with rows of erased people that could not be written."""
    _log.error("files of rejected rows are out of reach of an erasure", paths=sorted(paths))


def did(chore: str, count: int) -> None:
    """A chore changed so many things."""
    if count:
        _log.info(chore, count=count)
