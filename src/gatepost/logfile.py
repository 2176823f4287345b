"""Where log lines go and how they look: to standard error, those that come together in one write.

To write lets go of the interpreter, and on a busy gateway another thread has it for a while then;
a line for each submission would cost more in waiting than in being made. So what only informs is
held until what the event loop is at is done, a few milliseconds at most; a warning or an error
goes out at once, and takes along what is held.

In: lines, from any thread. Out: the same, in their order. `Seldom` says which of many alike to
write at all, `address` what may be seen of an address. The lines themselves are in `maillog.py`
and `houselog.py`.

*Known limits:* configured once per process. A process that is killed takes the lines of its last
moment with it.
"""

import hashlib
import json
import logging
import re
import sys
import threading
import time
from collections.abc import Callable
from typing import Literal, TextIO

import structlog
from prometheus_client import Counter
from structlog.typing import EventDict

Later = Callable[[Callable[[], object]], object]
Addresses = Literal["plain", "hashed", "none"]

_JSON = json.JSONEncoder(default=repr)
# Upstream quotes addresses in its replies; the rest of a reply is wanted.
_OTHER = r"\s<>()\[\]\",;:"  # what ends an address; it begins behind one of these, too
_QUOTED_ADDRESS = re.compile(rf"(?<![^{_OTHER}])[^{_OTHER}@]++@[^{_OTHER}]*[^{_OTHER}.]")


class LogFile:
    """What structlog writes with: one method for each level."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self._held: list[str] = []
        self._door = threading.RLock()  # a signal may come while a line is being written
        self._later: Later | None = None
        self._thread = 0

    def hold(self, later: Later | None) -> None:
        """From now on lines of this thread wait for a call that `later` arranges; `None` ends it.

        `later` is the `call_soon` of the event loop that runs in this thread.
        """
        self.write_out()
        self._later, self._thread = later, threading.get_ident()

    def info(self, line: str) -> None:
        """A line that may wait."""
        with self._door:
            self._held.append(line)
            first = len(self._held) == 1
        if self._later is None or threading.get_ident() != self._thread:
            self.write_out()
        elif first:
            self._later(self.write_out)

    def warning(self, line: str) -> None:
        """A line that may not."""
        with self._door:
            self._held.append(line)
            self.write_out()

    def write_out(self) -> None:
        """Writes what is held."""
        with self._door:
            held, self._held = self._held, []
            if held:
                self.stream.write("\n".join([*held, ""]))
                self.stream.flush()

    debug = msg = info
    error = critical = fatal = exception = err = failure = warn = warning


class Seldom:
    """Lines that a stranger can cause by the thousand: of each kind a few a minute are said."""

    LINES, SECONDS, KINDS = 10, 60.0, 500

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kinds: dict[object, tuple[float, int, int]] = {}  # since when; said; not said
        self._door = threading.Lock()

    def unsaid(self, kind: object) -> int | None:
        """How many of this kind were not said before this one; `None`: nor is this one."""
        now = self._clock()
        with self._door:
            if len(self._kinds) >= self.KINDS and kind not in self._kinds:
                self._kinds.clear()
            since, said, unsaid = self._kinds.get(kind, (now, 0, 0))
            if now - since >= self.SECONDS:
                since, said = now, 0
            if said >= self.LINES:
                self._kinds[kind] = since, said, unsaid + 1
                return None
            self._kinds[kind] = since, said + 1, 0
            return unsaid


class Tally:
    """Counts that wait as lines do, added up: workers share metrics by files, dear to change.

    For the thread of the event loop alone. A process that is killed takes the last moment along.
    """

    def __init__(self) -> None:
        self._sums: dict[tuple[Counter, tuple[str, ...]], float] = {}
        self._later: Later | None = None

    def hold(self, later: Later | None) -> None:
        """As `LogFile.hold`."""
        self.add_up()
        self._later = later

    def count(self, counter: Counter, *labels: str, by: float = 1) -> None:
        """Counts `by` more."""
        first = not self._sums
        self._sums[counter, labels] = self._sums.get((counter, labels), 0) + by
        if self._later is None:
            self.add_up()
        elif first:
            self._later(self.add_up)

    def add_up(self) -> None:
        """Tells the metrics."""
        sums, self._sums = self._sums, {}
        for (counter, labels), by in sums.items():
            counter.labels(*labels).inc(by)


def on_one_line(_logger: object, _method: str, event: EventDict) -> EventDict:
    """What came from the wire begins no line of the log, and paints on no terminal."""
    for name, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[name] = "".join(
                one if one.isprintable() else one.encode("unicode_escape").decode() for one in value
            )
    return event


class _Style:
    addresses: Addresses = "hashed"
    key: bytes = b""


_FILE = LogFile()
TALLY = Tally()


def hold_lines(later: Later | None) -> None:
    """Lets lines that only inform go out together, and counts: see `LogFile.hold`."""
    _FILE.hold(later)
    TALLY.hold(later)


def configure(form: Literal["console", "json"], addresses: Addresses, key: bytes) -> None:
    """Sets how lines look and how addresses appear; `key` makes the hashes ours alone."""
    _Style.addresses, _Style.key = addresses, key
    _FILE.write_out()
    _FILE.stream = sys.stderr
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
        logger_factory=lambda *_: _FILE,
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


def reply_words(text: str) -> str:
    """What a server said, with the addresses in it as they may appear in the log."""
    if _Style.addresses == "plain":
        return text
    return _QUOTED_ADDRESS.sub(lambda found: address(found[0].casefold()), text)
