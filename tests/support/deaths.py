"""The points at which `support.dying` kills the program, each between two states.

A point is named SEAM, or SEAM/PHASE for a transaction: `before` it does anything, `written` when
all is written and not committed, `committed` when it is durable and nobody has heard of it.
"/2" behind it means at its second time. Seams are functions of the program's rooms, wrapped in
the doomed process alone; the program itself knows nothing of this.

What comes there is a fate: the program is `killed`, or `frozen` as by a machine that is halted;
or it is `bereft` of its database, which crashes while the program lives on; or there is a
`blackout` of both.
"""

import os
import signal
import threading
import time
from datetime import timedelta
from functools import partial, wraps

from support.postgres import crash

PHASES = ("before", "written", "committed")
FATES = ("killed", "frozen", "bereft", "blackout")


def hurry(lease_seconds=0.0):
    """What is done every few minutes is done several times a second; leases may be shorter."""
    from gatepost.app import gateway, housekeeping
    from gatepost.flow import claims
    from gatepost.flow.spool import fresh, queue
    from gatepost.store import connection

    housekeeping.NOTICES_SECONDS = 0.1
    housekeeping.TERMS_SECONDS = 0.2
    claims.IDLE_SECONDS = 0.1
    if not lease_seconds:  # nobody else is there: it believes every clock
        queue.Pace = partial(lambda pace, _calm: pace(timedelta(0)), queue.Pace)
    else:
        housekeeping.RENEW_SECONDS = lease_seconds / 8
        connection.STANDSTILL_SECONDS = lease_seconds / 2
        fresh.BLIND_AFTER_SECONDS = lease_seconds / 2
        gateway.Queue = partial(gateway.Queue, lease=timedelta(seconds=lease_seconds))


def doom(name, fate="killed", cluster=""):
    """Lets it come at that point; `cluster` is where the data of the database are."""
    assert fate in FATES, fate
    seam, *more = name.split("/")
    turns = int(more.pop()) if more and more[-1].isdigit() else 1
    turn = _Turn(name, turns, fate, cluster)
    if more:
        (phase,) = more
        assert phase in PHASES, phase
        TRANSACTIONS[seam](partial(_Transaction, turn, phase))
    else:
        MOMENTS[seam](turn)


class _Turn:
    """Counts how often the point was reached, and ends it all at the last time."""

    def __init__(self, name, turns, fate, cluster):
        self.name = name
        self.left = turns
        self._fate, self._cluster = fate, cluster

    def comes(self):
        self.left -= 1
        return self.left == 0

    def die(self):
        if self._fate in ("bereft", "blackout"):
            crash(self._cluster)
        os.write(2, f"{self._fate} at {self.name}\n".encode())
        if self._fate == "frozen":
            os.kill(os.getpid(), signal.SIGSTOP)
        elif self._fate != "bereft":
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)

    def __call__(self):
        if self.comes():
            self.die()


class _Transaction:
    """`function`, which is called with a `Tx` in the writer thread, as a deadly one.

    `counts(arguments, result)` says whether a call is one of those meant; before the call the
    result is `None`.
    """

    def __init__(self, turn, phase, function, counts=lambda _arguments, _result: True):
        self._turn, self._phase = turn, phase
        self._function, self._counts = function, counts
        self._sealed = threading.local()  # readers commit, too, meanwhile
        if phase == "committed":
            self._watch_commits()

    def __call__(self, *arguments, **named):
        if self._phase == "before":
            if self._counts(arguments, None):
                self._turn()
            return self._function(*arguments, **named)
        result = self._function(*arguments, **named)
        if self._counts(arguments, result) and self._turn.comes():
            if self._phase == "written":
                self._turn.die()
            self._sealed.now = True
        return result

    def _watch_commits(self):
        from gatepost.store.connection import Link

        run_once = Link._run_once

        def run(link, work):
            self._sealed.now = False
            result = run_once(link, work)
            if self._sealed.now:
                self._turn.die()
            return result

        Link._run_once = run


def _batch(operation, counts):
    """A batch operation, where its jobs or their results are of some kind."""

    def arm(deadly):
        object.__setattr__(operation(), "run", deadly(operation().run, counts))

    return arm


def _function(module, name, counts=lambda _arguments, _result: True):
    """A function that its callers find in `module`."""

    def arm(deadly):
        from importlib import import_module

        where = import_module(module)
        setattr(where, name, deadly(getattr(where, name), counts))

    return arm


def _put():
    from gatepost.store.spool.put import PUT

    return PUT


def _claim():
    from gatepost.store.spool.claim import CLAIM

    return CLAIM


def _mark():
    from gatepost.store.spool.mark import MARK

    return MARK


def _always(_arguments, _result):
    return True


def _something(_arguments, result):
    return bool(result)


def _with_rows(arguments, result):
    """A claim that finds something; one that is about to, where nobody knows yet."""
    if result is not None:
        return any(result)
    from gatepost.store.spool.claim import _due_rows

    tx, jobs = arguments
    return any(_due_rows(tx, job) for job in jobs)


def _marks(state):
    return _batch(
        _mark,
        lambda arguments, _result: any(
            row.state == state for job in arguments[1] for row in job.rows
        ),
    )


TRANSACTIONS = {
    "accept": _batch(_put, _always),
    "claim": _batch(_claim, _with_rows),
    "mark-delivered": _marks("delivered"),
    "mark-deferred": _marks("deferred"),
    "mark-failed": _marks("failed"),
    "mark-ready": _marks("ready"),
    "mark-held": _marks("held"),
    "recover": _function("gatepost.app.gateway", "recover"),
    "stage": _function("gatepost.store.content", "_stage_piece"),
    "sweep": _function("gatepost.store.content", "sweep_staged", _something),
    "report": _function("gatepost.store.spool.reports", "put_report"),
    "bounce": _function("gatepost.store.returned", "record_bounce"),
    "leave": _function("gatepost.store.people", "record_for_subjects"),
    "give-up": _function("gatepost.store.spool.queue", "give_up", _something),
    "expire": _function("gatepost.store.spool.quarantine", "expire", _something),
    "release": _function("gatepost.store.spool.quarantine", "release"),
    "drop": _function("gatepost.store.spool.quarantine", "delete"),
    "retry": _function("gatepost.store.spool.queue", "retry"),
    "hold": _function("gatepost.store.spool.queue", "hold"),
    "delete": _function("gatepost.store.spool.queue", "delete"),
    "stop": _function("gatepost.store.campaigns", "stop"),
}


def _before(module, owner, name, when=lambda *_: True):
    """Right before a method is called, if `when` says so of its arguments."""

    def arm(turn):
        from importlib import import_module

        where = getattr(import_module(module), owner)
        method = getattr(where, name)

        @wraps(method)
        def called(*arguments, **named):
            if when(*arguments):
                turn()
            return method(*arguments, **named)

        setattr(where, name, called)

    return arm


def _answered(stage):
    """When upstream's reply to that command has come, and nothing was made of it."""

    def at(session, _code, _text):
        return bool(session._flight) and session._flight[0].stage.name == stage

    return _before("gatepost.flow.transmit.session", "Session", "_take", at)


def _in_the_middle_of_content(turn):
    from gatepost.flow.transmit import commands

    slices = commands.stuff_in_slices

    def sliced(content):
        for piece in slices(content):
            turn()
            yield piece

    commands.stuff_in_slices = sliced


MOMENTS = {
    "reply": _before("gatepost.flow.inbound", "Inbound", "_answer"),  # committed, 250 not said
    "compose": _before("gatepost.flow.outbound", "Outbound", "_copies"),
    "first-byte": _before("gatepost.flow.transmit.session", "Session", "_begin"),
    "answered-mail": _answered("MAIL"),
    "answered-rcpt": _answered("RCPT"),
    "answered-data": _answered("DATA"),
    "answered-dot": _answered("DOT"),
    "content": _in_the_middle_of_content,
    "outcome": _before("gatepost.flow.spool.queue", "Queue", "mark"),
}
