"""One log line, and one count, per event that befalls the gateway, each a named function.

Start and stop, configuration and keys, the store and the disk, chores, the systems that are told
of events, and errors of our own, wherever they came up: what whoever runs the machine acts on. What
a mail goes through is in `maillog.py`; the same rules hold here.

*Known limits:* as there.
"""

import threading
import time
from collections.abc import Sequence
from typing import ClassVar

import structlog
from prometheus_client import Counter, Gauge

_log = structlog.get_logger("gatepost")

_internal_errors = Counter("gatepost_internal_errors", "Errors of our own, by place", ["place"])
_store_errors = Counter("gatepost_store_errors", "Operations the store could not do", ["place"])
_store_up = Gauge(
    "gatepost_store_up", "Whether the store does what it is asked", multiprocess_mode="livemin"
)
STORE_AGAIN_SECONDS = 60.0
_STORE_TROUBLES = 50
_removed = Counter(
    "gatepost_retention_removed", "Things that outlived their term, by rule", ["rule", "what"]
)
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
_told = Counter(
    "gatepost_webhook_deliveries", "Attempts to tell other systems, by what came of them",
    ["webhook", "outcome"],
)  # fmt: skip
_webhook_up = Gauge(
    "gatepost_webhook_up", "Whether a webhook takes deliveries", ["webhook"],
    multiprocess_mode="livemostrecent",
)  # fmt: skip


# Start, stop and configuration


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


def stream_changed_hands(stream: str, *, before: str, now: str) -> None:
    """A stream belongs to another sender than when it was last configured, or to one renamed."""
    _log.warning(
        "the stream has another sender: consents, withdrawals and complaints stay with the one "
        "before; who left it is not known to have left this one",
        stream=stream,
        before=before,
        now=now,
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


# Store and disk


def nobody_on_record(where: str) -> None:
    """The ledger is empty: so it is at first, or where a disk is not mounted or a path is wrong."""
    _log.warning(
        "nothing is on record yet, so bulk mail goes to nobody: if that is wrong, this is another "
        "store than the one before; look at data_dir, and whether its disk is mounted",
        store=where,
    )


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


def storage_changed(enough: bool, **found: object) -> None:
    """The disk has less free than `[limits] min_free_disk`, or enough again."""
    if enough:
        _log.info("enough free disk again: mail is taken")
    else:
        _log.error("too little free disk: new mail is deferred (452 4.3.1)", **found)


# Chores


def did(chore: str, count: int) -> None:
    """A chore changed so many things."""
    if count:
        _log.info(chore, count=count)


def retained(rule: str, what: str, count: int) -> None:
    """Retention removed so many things by a rule."""
    _removed.labels(rule, what).inc(count)
    if count:
        _log.info("retention", rule=rule, what=what, count=count)


def out_of_reach(paths: Sequence[str]) -> None:
    """Files with rows of erased people that could not be written."""
    _log.error("files of rejected rows are out of reach of an erasure", paths=sorted(paths))


def forged_events(new: Sequence[int], count: int) -> None:
    """Somebody put events into the ledger's table by hand: `new` ones, `count` in all."""
    _forged.set(count)
    if new:
        _log.critical(
            "events that no gateway recorded: they are not sealed, see gatepost ledger verify",
            events=list(new[:20]),
            count=count,
        )


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


def webhook_gone(webhook: str, waiting: int) -> None:
    """A webhook was removed or renamed, or all hosts of mailers, with deliveries on their way."""
    _log.warning(
        "deliveries wait for a webhook that is configured no more: nobody hears of them until "
        "it is again, under this name",
        webhook=webhook,
        waiting=waiting,
    )


def given_up_telling(webhook: str, count: int) -> None:
    """So many deliveries were tried for days and are given up: somebody must look."""
    _told.labels(webhook, "given-up").inc(count)
    _log.error("deliveries given up", webhook=webhook, count=count)


# Errors of our own


def session_error(listener: str, error: BaseException) -> None:
    """Something in an SMTP session failed on our side; the client was answered 451."""
    _internal_errors.labels("session").inc()
    _log.error("session error", listener=listener, exc_info=error)


def set_aside(submission: str, error: BaseException) -> None:
    """A copy could not be composed, for a reason nobody foresaw; its recipients are held."""
    _internal_errors.labels("compose").inc()
    _log.error("set aside", id=submission, exc_info=error)


def request_failed(error: BaseException) -> None:
    """A request for a page failed on our side; the visitor was answered 503."""
    _internal_errors.labels("page").inc()
    _log.error("page failed", exc_info=error)


def housekeeping_failed(chore: str, error: BaseException) -> None:
    """A chore failed; it is tried again at its next turn."""
    _internal_errors.labels(chore).inc()
    _log.error("housekeeping failed", chore=chore, exc_info=error)


def clock_set(seconds: float) -> None:
    """The store's clock was put forward, or back (less than 0)."""
    _log.warning("clock was set: retention waits for a day", seconds=round(seconds))


def keys_unreadable(error: str) -> None:
    """The file of link keys has changed and cannot be used; the ring stays as it was."""
    _internal_errors.labels("link keys").inc()
    _log.error("link keys not reloaded, the old ones stay in force", error=error)
