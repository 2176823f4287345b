"""One log line, and one count, per event in a mail's life, each a named function.

Only what an administrator acts on or looks for is logged; message content, passwords and
tokens never are. Recipients' addresses appear as `[log] addresses` says: plain, as a keyed
hash that is the same for the same address, or not at all. A copy that went well is counted,
not logged: one line per submission and per batch of results is what a busy relay can afford.

What befalls the gateway and not a mail is in `houselog.py`, how lines look in `logfile.py`.

*Known limits:* counters are those of this process, or of all workers where Prometheus'
multi-process mode is on.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import structlog
from prometheus_client import Counter, Gauge

from gatepost.logfile import TALLY, Seldom, address, reply_words

_log = structlog.get_logger("gatepost")

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
_late = Counter(
    "gatepost_late_outcomes", "Outcomes of recipients that another gateway had taken up"
)
_upstream_up = Gauge(
    "gatepost_upstream_up", "Whether upstream takes mail", ["upstream"], multiprocess_mode="livemin"
)
_queued = Gauge(
    "gatepost_queued_recipients", "Recipients in the spool by state", ["state"],
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
    TALLY.count(_submissions, client, "accepted")
    for (verdict, reason), count in counts.items():
        TALLY.count(_recipients, stream, verdict, reason, by=count)
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


def queued(counts: Mapping[str, int]) -> None:
    """How many recipients are in the spool, by state."""
    for state, count in counts.items():
        _queued.labels(state).set(count)


def rerouted(upstream: str, count: int) -> None:
    """An upstream has left the configuration; what waited for it goes where its mail goes now."""
    _log.warning("upstream is gone, its queue takes another", upstream=upstream, count=count)


def not_configured(stream: str, sender: str, count: int) -> None:
    """Queued mail whose stream or sender the configuration has no more, or not together."""
    _log.warning(
        "held, because stream or sender are not configured as when it came; "
        "goes on by itself when they are, or: gatepost queue delete",
        stream=stream,
        sender=sender,
        recipients=count,
    )


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
        attempts=attempts, reply=reply_words(reply),
    )  # fmt: skip


def results(counts: Mapping[str, int]) -> None:
    """What the last seconds brought, by state."""
    _log.info("sent", **counts)


def outcomes_lost(count: int) -> None:
    """The store could not be told of so many outcomes: these copies will be sent again."""
    _log.error("the store took no outcomes: these recipients get a second copy", count=count)


def outcomes_too_late(count: int, delivered: int) -> None:
    """So many outcomes came when the lease was over, and somebody else had taken the rows up."""
    _late.inc(count)
    said = "outcomes came too late, others have taken up these recipients: a second copy may go out"
    _log.warning(said, count=count, delivered=delivered)


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
