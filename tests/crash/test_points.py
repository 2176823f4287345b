"""The program is killed between every two states, started again, and its books must add up.

`POINTS` is the table: where it dies, in which story, and which moves of a recipient the death
falls into. A test shows that no move of `flow/spool/states.py` is missing. On PostgreSQL the
database crashes with it, too (`blackout`), and recovers what it had promised to keep.
"""

import smtplib
from dataclasses import dataclass
from http.client import HTTPException

import pytest
from sqlalchemy import update

from gatepost.consent.evidence import EventKind
from gatepost.flow.spool.states import MOVES
from gatepost.mail.recipient_state import State
from gatepost.mail.stream import Kind
from gatepost.store.tables import mail as tables
from support.aftermath import until_quiet
from support.consents import granted, withdrawn
from support.engines import ENGINES
from support.patience import PATIENCE_SECONDS
from support.ports import free_port
from support.reports import dsn
from support.scale import scale
from support.stage import (
    BUSY,
    DENIED,
    GOOD,
    LINK,
    STRANGER,
    Stage,
    facts,
    seed,
    states_of,
    stop_campaign,
)
from support.submissions import change
from support.trio import holder_of
from support.upstream import EXTENSIONS, Script, UpstreamThread
from support.watching import listens, request, wait_until


@dataclass(frozen=True)
class Point:
    """A death (`support.deaths`), the story in which it comes, and the moves it falls into."""

    death: str
    story: str
    moves: str = ""  # "a>b a>c"
    twice: bool = False  # upstream's answer may be lost

    @property
    def turn(self):
        last = self.death.rpartition("/")[2]
        return int(last) if last.isdigit() and self.death.startswith("accept") else 1

    def __str__(self):
        return f"{self.story}-{self.death.replace('/', '-')}"


def transaction(seam, story, moves, phases=("before", "written", "committed"), turn="", **more):
    turn = turn and f"/{turn}"
    return [Point(f"{seam}/{phase}{turn}", story, moves, **more) for phase in phases]


DURING = ("written", "committed")
POINTS = [
    *transaction("accept", "arrival", "received>sending received>dropped"),
    *transaction("accept", "arrival", "received>sending received>quarantined", DURING, 2),
    *transaction("accept", "arrival", "received>stopped", DURING, 3),
    *transaction("accept", "arrival", "received>rejected", DURING, 4),
    Point("reply", "arrival"),
    Point("compose", "arrival"),
    Point("first-byte", "arrival"),
    Point("first-byte/3", "arrival", twice=True),
    Point("upstream has it", "arrival", twice=True),
    Point("answered-dot", "arrival", twice=True),
    Point("outcome", "arrival", twice=True),
    *transaction("mark-delivered", "arrival", "sending>delivered", ("before", "written"), twice=True),
    *transaction("mark-delivered", "arrival", "sending>delivered", ("committed",), twice=True),
    Point("answered-mail", "step by step"),
    Point("answered-rcpt", "step by step"),
    Point("answered-data", "step by step"),
    *transaction("stage", "large", "", DURING),
    Point("stage/committed/4", "large"),
    Point("content/3", "large"),
    *transaction("mark-ready", "upstream away", "sending>ready", DURING),
    *transaction("accept", "known to be away", "received>ready", DURING),
    *transaction("claim", "due", " ".join(
        f"{origin}>{target}" for origin in ("ready", "deferred", "sending")
        for target in ("sending", "dropped", "quarantined", "stopped", "held")
    )),
    *transaction("recover", "a start that dies", "sending>ready sending>deferred", DURING),
    *transaction("mark-deferred", "refused", "sending>deferred", DURING, twice=True),
    *transaction("mark-failed", "refused", "sending>failed", DURING, twice=True),
    *transaction("report", "refused", "received>ready"),
    *transaction("give-up", "too late", "ready>failed deferred>failed", DURING),
    *transaction("expire", "too late", "quarantined>dropped", DURING),
    *transaction("bounce", "returns", ""),
    *transaction("leave", "one click", ""),
]  # fmt: skip

# Commands of administrators: all die in one story, beside a program that runs.
COMMANDS = [
    *transaction("hold", "queue hold --all", "ready>held deferred>held", DURING),
    *transaction("retry", "queue retry --all", "deferred>ready held>ready", DURING),
    *transaction("delete", "queue delete --all --yes", "ready>stopped deferred>stopped held>stopped",
                 DURING),
    *transaction("stop", "campaign stop 1", "ready>stopped deferred>stopped held>stopped", DURING),
    *transaction("release", "quarantine release --all --yes --reason asked", "quarantined>ready",
                 DURING),
    *transaction("drop", "quarantine delete --all --yes", "quarantined>dropped", DURING),
]  # fmt: skip


# The short run leaves out deaths before anything was written, which differ from those before it
# in nothing that is stored, and some of the repetitions. On PostgreSQL it takes a few.
SHORT = [
    point
    for point in POINTS
    if "/before" not in point.death and not (point.turn > 1 and "/committed" in point.death)
]
SHORT_ON_POSTGRESQL = {
    "killed": ("arrival-mark-delivered-written", "due-claim-committed",
               "a start that dies-recover-written"),
    "blackout": ("arrival-reply", "arrival-mark-delivered-committed"),
}  # fmt: skip
RUN = [("sqlite", "killed", point) for point in scale(SHORT, POINTS)] + [
    ("postgresql", fate, point)
    for fate, short in SHORT_ON_POSTGRESQL.items()
    for point in POINTS
    if "postgresql" in ENGINES and scale(str(point) in short, " " not in point.death)
]


@pytest.mark.parametrize("points", [SHORT, POINTS], ids=["in short", "in full"])
def test_no_move_is_missing(points):
    covered = {move for point in points + COMMANDS for move in point.moves.split()}
    assert covered == {f"{move.origin}>{move.target}" for move in MOVES}


@pytest.fixture
def people(engine, request):
    """Those who have left and who have not, on this engine."""
    return request.getfixturevalue("people_here" if engine == "sqlite" else "people_there")


def arrival(stage, point):
    """Four submissions: some dropped, some quarantined, one of a stopped campaign, one refused."""
    upstream, gateway = stage.upstream, stage.gateway
    stop_campaign(gateway)
    if point.death == "upstream has it":
        upstream.on_message = lambda _message: gateway.kill()
        gateway.start()
    else:
        stage.start(point.death)
    stage.submit([*GOOD[:3], STRANGER], "First")
    if point.turn > 1:  # what the outcomes are told in would share the fate of the second
        wait_until(lambda: states_of(gateway).get(GOOD[2]) == "delivered", gateway)
    stage.submit([*GOOD[3:5], STRANGER], "Second", "X-Gatepost-Stream: offers")
    if point.turn > 2:
        wait_until(lambda: states_of(gateway).get(GOOD[4]) == "delivered", gateway)
    stage.submit(GOOD[5:7], "Third", "X-Gatepost-Campaign: stopped")
    stage.submit([STRANGER], "Fourth", "X-Gatepost-Stream: strict")
    stage.die(point.death)
    upstream.on_message = None
    found = stage.live_on(parked=[State.QUARANTINED])
    for address in set(stage.acknowledged) & set(GOOD[:5]):
        assert found.states(address) == ["delivered"]
    for address in set(stage.acknowledged) & set(GOOD[5:7]):
        assert found.states(address) == ["stopped"]
    assert found.copies[STRANGER] == 0


def step_by_step(stage, point):
    """An upstream without pipelining: each command waits for its answer."""
    stage.upstream.script.extensions = tuple(set(EXTENSIONS) - {"PIPELINING"})
    stage.start(point.death)
    stage.submit(GOOD[:3], "Steps")
    stage.die(point.death)
    found = stage.live_on()
    assert set(found.copies) == set(GOOD[:3]) or not stage.acknowledged


def large(stage, point):
    """A megabyte, staged in pieces; what no submission refers to is swept."""
    body = b"0123456789abcde\r\n" * 60_000
    stage.start(point.death)
    stage.submit(GOOD[:2], "Large", "X-Gatepost-Stream: receipts", body=body)
    stage.die(point.death)
    found = stage.live_on()
    for message in stage.upstream.taken:
        assert message.content.endswith(body)
    assert len(found.rows) == (2 if point.death == "content/3" else 0)


def without_upstream(stage):
    """Takes upstream away; returns what brings it back for the next start."""
    config, port = stage.gateway.config, stage.upstream.port
    text = config.read_text()
    config.write_text(text.replace(f"port = {port}\n", f"port = {free_port()}\n"))
    return lambda: config.write_text(text)


def upstream_away(stage, point):
    """Nobody is there: what was claimed goes back to the queue."""
    bring_back = without_upstream(stage)
    stage.start(point.death)
    stage.submit(GOOD[:3], "Away")
    stage.die(point.death)
    bring_back()
    assert set(stage.live_on().copies) >= set(stage.acknowledged)


def known_to_be_away(stage, point):
    """The circuit is open already: what comes is ready, and not claimed."""
    bring_back = without_upstream(stage)
    stage.start(f"{point.death}/2")
    stage.submit(GOOD[:3], "Away")
    wait_until(lambda: "upstream is away" in stage.gateway.log(), stage.gateway)
    stage.submit(GOOD[3:6], "Still away")
    stage.die(point.death)
    found = states_of(stage.gateway)
    assert found.get(GOOD[3], "ready") == "ready"
    assert (GOOD[3] in found) is point.death.endswith("committed")
    bring_back()
    assert set(stage.live_on().copies) >= set(stage.acknowledged)


ORIGINS = {
    "ready": {},
    "deferred": {"attempts": 1, "next_attempt_ms": 1},
    "sending": {"attempts": 1, "lease_by": "stranger-0", "lease_until_ms": 1},
}
ENDS = {
    "": "delivered", ".gone": "dropped", ".stranger": "quarantined", ".stopped": "stopped",
    ".unknown": "held",
}  # fmt: skip


def due(stage, point):
    """Everything that can be claimed, and all that a second decision can make of it."""
    gateway = stage.gateway
    with gateway.store() as store:
        for origin in ORIGINS:
            seed(store, f"{origin}@good.example", f"{origin}.gone@good.example")
            seed(store, f"{origin}.stranger@good.example", stream="offers")
            seed(store, f"{origin}.stopped@good.example", campaign="stopped")
            seed(store, f"{origin}.unknown@good.example", stream="nowhere")
        change(store, tables.recipient, {"state": "held", "held_ms": 1})
        change(store, tables.campaign, {"stopped_ms": 1}, key="stopped")
    for origin in ORIGINS:
        consent, left = [granted()], [granted(), withdrawn()]
        gateway.record(
            {f"{origin}@good.example": consent, f"{origin}.gone@good.example": left,
             f"{origin}.stopped@good.example": consent}
        )  # fmt: skip
    stage.start(point.death)
    with gateway.store() as store:
        store.write_now(make_due)
    stage.die(point.death)
    found = stage.live_on(parked=[State.QUARANTINED, State.HELD])
    for origin in ORIGINS:
        for kind, end in ENDS.items():
            assert found.states(f"{origin}{kind}@good.example") == [end]


def make_due(tx):
    """All at once, so that one claim finds them."""
    row = tables.recipient
    for origin, values in ORIGINS.items():
        those = update(row).where(row.c.address.like(f"{origin}%"))
        tx.connection.execute(those.values(state=origin, held_ms=None, **values))


def a_start_that_dies(stage, point):
    """What the dead one had claimed goes back; so does it when that is interrupted."""
    holder = holder_of(stage.gateway)
    with stage.gateway.store() as store:
        seed(store, GOOD[0])
        seed(store, GOOD[1])
        for address, attempts in ((GOOD[0], 1), (GOOD[1], 2)):
            values = {"attempts": attempts, "lease_by": holder, "lease_until_ms": 1 << 50,
                      "next_attempt_ms": 1 << 50}  # fmt: skip
            change(store, tables.recipient, {"state": "sending"} | values, address=address)
    stage.start(point.death)
    stage.die(point.death)
    recovered = point.death.endswith("committed")
    expected = ["ready", "deferred"] if recovered else ["sending", "sending"]
    found = states_of(stage.gateway)
    assert [found[address] for address in GOOD[:2]] == expected
    assert set(stage.live_on().copies) == set(GOOD[:2])


def refused(stage, point):
    """One is taken; one is refused for good and reported, or deferred and tried again."""
    stage.upstream.script.recipients = {
        DENIED: "550 5.1.1 no such user",
        BUSY: ["450 4.2.1 busy", "450 4.2.1 busy"],
    }
    other = BUSY if "deferred" in point.death else DENIED
    stage.start(point.death)
    stage.submit([GOOD[0], other], "Receipt", "X-Gatepost-Stream: receipts")
    stage.die(point.death)
    assert stage.acknowledged == [GOOD[0], other]
    found = stage.live_on()
    assert found.states(other) == ["delivered" if other == BUSY else "failed"]
    assert found.copies["news@acme.example"] == (other == DENIED), "one report, if any"


def too_late(stage, point):
    """What has waited for too long is given up, and reported; the quarantine expires."""
    bring_back = without_upstream(stage)
    with stage.gateway.store() as store:
        for address in GOOD[:4]:
            seed(store, address, stream="receipts", kind=Kind.TRANSACTIONAL)
        change(store, tables.submission, {"received_ms": 1})
        change(store, tables.recipient, {"state": "deferred", "next_attempt_ms": 1 << 50},
               address=GOOD[1])  # fmt: skip
        for address in GOOD[2:4]:
            values = {"state": "quarantined", "held_ms": 1, "expires_ms": 1}
            change(store, tables.recipient, values, address=address)
    stage.start(point.death)
    stage.die(point.death)
    stage.gateway.start()  # upstream is not back yet, or it might be sent before it is given up
    wait_until(lambda: states_of(stage.gateway)[GOOD[0]] == "failed", stage.gateway)
    stage.gateway.kill()
    bring_back()
    found = stage.live_on()
    ends = [found.states(address) for address in GOOD[:4]]
    assert ends == [["failed"], ["failed"], ["dropped"], ["dropped"]]
    assert found.copies == {"news@acme.example": 2}, "a report for each submission"


def returns(stage, point):
    """A bounce is recorded once, though its sender tries again."""
    gateway = stage.gateway
    deliver_one(stage)
    path = stage.upstream.taken[0].mail_from
    report = dsn(recipient=GOOD[0])

    def give_back():
        with smtplib.SMTP(
            "127.0.0.1", stage.gateway.returns_port, timeout=PATIENCE_SECONDS
        ) as client:
            client.sendmail("", [path], report)

    stage.start(point.death)
    wait_until(lambda: listens(gateway.process.pid, stage.gateway.returns_port), gateway)
    with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionError)):
        give_back()
    stage.die(point.death)
    gateway.start()
    known = facts(gateway, EventKind.BOUNCED)
    assert known == int(point.death.endswith("committed"))
    wait_until(lambda: listens(gateway.process.pid, stage.gateway.returns_port), gateway)
    give_back()
    assert facts(gateway, EventKind.BOUNCED) == 1
    until_quiet(gateway)
    stage.look()


def one_click(stage, point):
    """A withdrawal is recorded once, and for good from its commit on."""
    gateway = stage.gateway
    deliver_one(stage)
    link = LINK.search(stage.upstream.taken[0].content.replace(b"\r\n ", b" ")).group(1).decode()
    stage.start(point.death)
    with pytest.raises((OSError, HTTPException)):
        request("POST", link, b"List-Unsubscribe=One-Click")
    stage.die(point.death)
    gateway.start()
    known = facts(gateway, EventKind.WITHDRAWN)
    assert known == int(point.death.endswith("committed"))
    assert request("POST", link, b"List-Unsubscribe=One-Click") == 200
    assert facts(gateway, EventKind.WITHDRAWN) == 1
    stage.submit([GOOD[0]], "After leaving")
    until_quiet(gateway)
    found = stage.look()
    assert found.copies[GOOD[0]] == 1


def deliver_one(stage):
    """The copy of which there is to be word."""
    stage.gateway.start()
    stage.submit([GOOD[0]], "Spring")
    wait_until(lambda: states_of(stage.gateway) == {GOOD[0]: "delivered"}, stage.gateway)
    stage.gateway.kill()


STORIES = {
    "arrival": arrival,
    "step by step": step_by_step,
    "large": large,
    "upstream away": upstream_away,
    "known to be away": known_to_be_away,
    "due": due,
    "a start that dies": a_start_that_dies,
    "refused": refused,
    "too late": too_late,
    "returns": returns,
    "one click": one_click,
}


@pytest.mark.parametrize(("engine", "fate", "point"), RUN, ids=str)
def test_killed(tmp_path, people, fate, point):
    with (
        UpstreamThread(Script()) as upstream,
        Stage(tmp_path, people, upstream, fate=fate, lost_answers=int(point.twice)) as stage,
    ):
        STORIES[point.story](stage, point)


@pytest.mark.parametrize("engine", scale(ENGINES[:1], ENGINES))
def test_commands_of_administrators_happen_whole_or_not_at_all(tmp_path, people):
    with UpstreamThread(Script()) as upstream, Stage(tmp_path, people, upstream) as stage:
        gateway = stage.gateway
        with gateway.store() as store:
            for address in GOOD[:8]:
                seed(store, address)
        for point in COMMANDS:
            origins = {move.partition(">")[0] for move in point.moves.split()}
            target = point.moves.rpartition(">")[2]
            before = sow(gateway, sorted(origins))
            gateway.command_dies(point.death, *point.story.split())
            after = states_of(gateway)
            if point.death.endswith("committed"):
                before |= {address: target for address in before if before[address] in origins}
            assert after == before, point
        stage.acknowledged = GOOD[:8]
        sow(gateway, ["ready", "deferred"])
        assert set(stage.live_on().copies) == set(GOOD[:8])


def sow(gateway, states):
    """Spreads these states, and one that the command leaves alone, over all rows."""
    apart = "held" if "quarantined" in states else "quarantined"
    chosen = {
        address: (states if states == ["ready", "deferred"] else [*states, apart])[
            number % (len(states) + (states != ["ready", "deferred"]))
        ]
        for number, address in enumerate(GOOD[:8])
    }
    with gateway.store() as store:
        change(store, tables.submission, {"finished_ms": None})
        for address, state in chosen.items():
            held = 1 if state in ("held", "quarantined") else None
            values = {"verdict": "deliver", "reason": "consented", "rule": "evidence"}
            change(
                store, tables.recipient,
                values | {"state": state, "held_ms": held, "finished_ms": None, "expires_ms": None},
                address=address,
            )  # fmt: skip
        change(store, tables.campaign, {"stopped_ms": None})
    return chosen
