"""The program is killed between every two states, started again, and its books must add up.

`POINTS` is the table: where it dies, in which story, and which moves of a recipient the death
falls into. A test shows that no move of `flow/spool/states.py` is missing.
"""

import re
import shutil
import smtplib
from dataclasses import dataclass
from http.client import HTTPException

import pytest
from sqlalchemy import update

from gatepost.consent.evidence import EventKind
from gatepost.flow.spool.states import MOVES
from gatepost.mail.address import parse
from gatepost.mail.recipient_state import State
from gatepost.mail.stream import Kind
from gatepost.store import campaigns, people
from gatepost.store.tables import mail as tables
from support.aftermath import examine, until_quiet
from support.consents import granted, withdrawn
from support.dying import Mortal, Nursery
from support.ports import free_port
from support.reports import dsn
from support.scale import scale
from support.submissions import accept, change, rows_of, submission
from support.upstream import EXTENSIONS, Script, UpstreamThread
from support.watching import listens, mail, request, send, wait_until

SHOP = "127.0.0.5"
MORE = """
[clients.shop]
networks = ["127.0.0.5"]
streams = ["newsletter", "offers", "strict", "receipts"]
default_stream = "newsletter"
trust_headers = true

[streams.offers]
kind = "bulk"
title = "Offers"
sender = "acme"
on_ineligible = "quarantine"

[streams.strict]
kind = "bulk"
title = "Strict"
sender = "acme"
on_ineligible = "reject"

[[smtp]]
port = {returns_port}
role = "returns"
"""
GOOD = [f"reader{number}@good.example" for number in range(12)]
GONE = [f"gone{number}@good.example" for number in range(6)]
STRANGER = "stranger@good.example"
DENIED = "nobody@denied.example"
BUSY = "busy@denied.example"
LINK = re.compile(rb"List-Unsubscribe: <(http://127\.0\.0\.1:\d+/u/[\w-]{49})>")


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
# in nothing that is stored, and some of the repetitions.
RUN = scale(
    [
        point
        for point in POINTS
        if "/before" not in point.death and not (point.turn > 1 and "/committed" in point.death)
    ],
    POINTS,
)


def test_no_move_is_missing():
    covered = {move for point in RUN + COMMANDS for move in point.moves.split()}
    assert covered == {f"{move.origin}>{move.target}" for move in MOVES}


@pytest.fixture(scope="module")
def nursery():
    with Nursery() as here:
        yield here


@pytest.fixture(scope="module")
def ledger(tmp_path_factory, nursery):
    """A data directory with people in it, to be copied."""
    folder = tmp_path_factory.mktemp("ledger")
    gateway = Mortal(folder, nursery, upstream_port=1)
    everywhere = [granted(stream=stream) for stream in ("newsletter", "offers", "strict")]
    left = [withdrawn(stream=stream) for stream in ("newsletter", "offers", "strict")]
    gateway.record(
        dict.fromkeys([*GOOD, DENIED, BUSY], everywhere) | dict.fromkeys(GONE, everywhere + left)
    )
    return folder / "data"


class Stage:
    """A gateway with its upstream, and what was acknowledged to its clients."""

    def __init__(self, folder, nursery, ledger, upstream, point):
        self.upstream = upstream
        self.point = point
        self.acknowledged = []
        self.returns_port = free_port()
        shutil.copytree(ledger, folder / "data")
        self.gateway = Mortal(
            folder, nursery, upstream_port=upstream.port, connections=1,
            more=MORE.format(returns_port=self.returns_port),
        )  # fmt: skip
        text = self.gateway.config.read_text()
        for section, line in (
            ("[senders.acme]", 'bounce_domain = "bounce.acme.example"'),
            ("[streams.newsletter]", 'return_path = "verp"'),
        ):
            text = text.replace(section, f"{section}\n{line}")
        self.gateway.config.write_text(text)

    def submit(self, recipients, subject, *header, content=None):
        """Sends, and notes who was acknowledged; whether the program survived it."""
        try:
            code, _ = send(self.gateway, recipients, content or mail(subject, *header), source=SHOP)
        except (OSError, smtplib.SMTPException):
            return False
        if code == 250:
            self.acknowledged += recipients
        return True

    def die(self):
        self.gateway.wait_for_death()
        assert f"killed at {self.point.death}" in self.gateway.log() or " " in self.point.death

    def live_on(self, parked=()):
        """Starts again, waits for quiet, and looks at the books."""
        self.gateway.start()
        until_quiet(self.gateway)
        return self.look(parked)

    def look(self, parked=()):
        found = examine(
            self.gateway, self.upstream, acknowledged=self.acknowledged,
            lost_answers=int(self.point.twice),
            parked=parked,
        )  # fmt: skip
        self.gateway.kill()
        assert "Traceback" not in self.gateway.log(), self.gateway.log()[-4000:]
        return found


def arrival(stage):
    """Four submissions: some dropped, some quarantined, one of a stopped campaign, one refused."""
    upstream, gateway = stage.upstream, stage.gateway
    stop_campaign(gateway)
    if stage.point.death == "upstream has it":
        upstream.on_message = lambda _message: gateway.kill()
        gateway.start()
    else:
        gateway.start(stage.point.death)
    stage.submit([*GOOD[:3], STRANGER], "First")
    if stage.point.turn > 1:  # what the outcomes are told in would share the fate of the second
        wait_until(lambda: states_of(gateway).get(GOOD[2]) == "delivered", gateway)
    stage.submit([*GOOD[3:5], STRANGER], "Second", "X-Gatepost-Stream: offers")
    if stage.point.turn > 2:
        wait_until(lambda: states_of(gateway).get(GOOD[4]) == "delivered", gateway)
    stage.submit(GOOD[5:7], "Third", "X-Gatepost-Campaign: stopped")
    stage.submit([STRANGER], "Fourth", "X-Gatepost-Stream: strict")
    stage.die()
    upstream.on_message = None
    found = stage.live_on(parked=[State.QUARANTINED])
    for address in set(stage.acknowledged) & set(GOOD[:5]):
        assert found.states(address) == ["delivered"]
    for address in set(stage.acknowledged) & set(GOOD[5:7]):
        assert found.states(address) == ["stopped"]
    assert found.copies[STRANGER] == 0


def step_by_step(stage):
    """An upstream without pipelining: each command waits for its answer."""
    stage.upstream.script.extensions = tuple(set(EXTENSIONS) - {"PIPELINING"})
    stage.gateway.start(stage.point.death)
    stage.submit(GOOD[:3], "Steps")
    stage.die()
    found = stage.live_on()
    assert set(found.copies) == set(GOOD[:3]) or not stage.acknowledged


def large(stage):
    """A megabyte, staged in pieces; what no submission refers to is swept."""
    content = mail("Large", "X-Gatepost-Stream: receipts") + b"0123456789abcde\r\n" * 60_000
    stage.gateway.start(stage.point.death)
    stage.submit(GOOD[:2], "", content=content)
    stage.die()
    found = stage.live_on()
    for message in stage.upstream.taken:
        assert message.content.endswith(content[-900_000:])
    assert len(found.rows) == (2 if stage.point.death == "content/3" else 0)


def without_upstream(stage):
    """Takes upstream away; returns what brings it back for the next start."""
    config, port = stage.gateway.config, stage.upstream.port
    text = config.read_text()
    config.write_text(text.replace(f"port = {port}\n", f"port = {free_port()}\n"))
    return lambda: config.write_text(text)


def upstream_away(stage):
    """Nobody is there: what was claimed goes back to the queue."""
    bring_back = without_upstream(stage)
    stage.gateway.start(stage.point.death)
    stage.submit(GOOD[:3], "Away")
    stage.die()
    bring_back()
    assert set(stage.live_on().copies) >= set(stage.acknowledged)


def known_to_be_away(stage):
    """The circuit is open already: what comes is ready, and not claimed."""
    bring_back = without_upstream(stage)
    stage.gateway.start(f"{stage.point.death}/2")
    stage.submit(GOOD[:3], "Away")
    wait_until(lambda: "upstream is away" in stage.gateway.log(), stage.gateway)
    stage.submit(GOOD[3:6], "Still away")
    stage.die()
    found = states_of(stage.gateway)
    assert found.get(GOOD[3], "ready") == "ready"
    assert (GOOD[3] in found) is stage.point.death.endswith("committed")
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


def due(stage):
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
    gateway.start(stage.point.death)
    with gateway.store() as store:
        store.write_now(make_due)
    stage.die()
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


def a_start_that_dies(stage):
    """What the dead one had claimed goes back; so does it when that is interrupted."""
    with stage.gateway.store() as store:
        seed(store, GOOD[0])
        seed(store, GOOD[1])
        for address, attempts in ((GOOD[0], 1), (GOOD[1], 2)):
            values = {"attempts": attempts, "lease_by": "me", "lease_until_ms": 1 << 50,
                      "next_attempt_ms": 1 << 50}  # fmt: skip
            change(store, tables.recipient, {"state": "sending"} | values, address=address)
    stage.gateway.start(stage.point.death)
    stage.die()
    recovered = stage.point.death.endswith("committed")
    expected = ["ready", "deferred"] if recovered else ["sending", "sending"]
    found = states_of(stage.gateway)
    assert [found[address] for address in GOOD[:2]] == expected
    assert set(stage.live_on().copies) == set(GOOD[:2])


def refused(stage):
    """One is taken; one is refused for good and reported, or deferred and tried again."""
    stage.upstream.script.recipients = {
        DENIED: "550 5.1.1 no such user",
        BUSY: ["450 4.2.1 busy", "450 4.2.1 busy"],
    }
    other = BUSY if "deferred" in stage.point.death else DENIED
    stage.gateway.start(stage.point.death)
    stage.submit([GOOD[0], other], "Receipt", "X-Gatepost-Stream: receipts")
    stage.die()
    assert stage.acknowledged == [GOOD[0], other]
    found = stage.live_on()
    assert found.states(other) == ["delivered" if other == BUSY else "failed"]
    assert found.copies["news@acme.example"] == (other == DENIED), "one report, if any"


def too_late(stage):
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
    stage.gateway.start(stage.point.death)
    stage.die()
    stage.gateway.start()  # upstream is not back yet, or it might be sent before it is given up
    wait_until(lambda: states_of(stage.gateway)[GOOD[0]] == "failed", stage.gateway)
    stage.gateway.kill()
    bring_back()
    found = stage.live_on()
    ends = [found.states(address) for address in GOOD[:4]]
    assert ends == [["failed"], ["failed"], ["dropped"], ["dropped"]]
    assert found.copies == {"news@acme.example": 2}, "a report for each submission"


def returns(stage):
    """A bounce is recorded once, though its sender tries again."""
    gateway = stage.gateway
    deliver_one(stage)
    path = stage.upstream.taken[0].mail_from
    report = dsn(recipient=GOOD[0])

    def give_back():
        with smtplib.SMTP("127.0.0.1", stage.returns_port, timeout=60) as client:
            client.sendmail("", [path], report)

    gateway.start(stage.point.death)
    wait_until(lambda: listens(gateway.process.pid, stage.returns_port), gateway)
    with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionError)):
        give_back()
    stage.die()
    gateway.start()
    known = facts(gateway, EventKind.BOUNCED)
    assert known == int(stage.point.death.endswith("committed"))
    wait_until(lambda: listens(gateway.process.pid, stage.returns_port), gateway)
    give_back()
    assert facts(gateway, EventKind.BOUNCED) == 1
    until_quiet(gateway)
    stage.look()


def one_click(stage):
    """A withdrawal is recorded once, and for good from its commit on."""
    gateway = stage.gateway
    deliver_one(stage)
    link = LINK.search(stage.upstream.taken[0].content.replace(b"\r\n ", b" ")).group(1).decode()
    gateway.start(stage.point.death)
    with pytest.raises((OSError, HTTPException)):
        request("POST", link, b"List-Unsubscribe=One-Click")
    stage.die()
    gateway.start()
    known = facts(gateway, EventKind.WITHDRAWN)
    assert known == int(stage.point.death.endswith("committed"))
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


def facts(gateway, kind):
    """How many events of this kind there are about the first reader."""
    with gateway.store() as store:
        subject = store.write_now(lambda tx: people.ensure_subjects(tx, [parse(GOOD[0])]))
        (number,) = subject.values()
        history = store.read_now(lambda tx: people.history_of_subject(tx, number))
    return sum(event.fact is not None and event.fact.kind is kind for event in history.events)


def seed(store, *addresses, **more):
    """Puts rows into the spool, ready, as a gateway that is gone did."""
    values = {"client": "shop", "upstream": "", "content": mail("Seed")} | more
    accept(store, submission(*addresses, **values))


def states_of(gateway):
    """The state of each address's last row."""
    with gateway.store() as store:
        return {row["address"]: row["state"] for row in rows_of(store, tables.recipient)}


def stop_campaign(gateway):
    """A campaign that is stopped before its mail comes."""
    wish = campaigns.Wish("shop", "newsletter", True, "name:stopped", "acme", "stopped")
    with gateway.store() as store:
        entered = store.write_now(lambda tx: campaigns.enter(tx, [wish]))
        store.write_now(lambda tx: campaigns.stop(tx, entered[wish].id))


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


@pytest.mark.parametrize("point", RUN, ids=str)
def test_killed(tmp_path, nursery, ledger, point):
    with UpstreamThread(Script()) as upstream:
        stage = Stage(tmp_path, nursery, ledger, upstream, point)
        try:
            STORIES[point.story](stage)
        finally:
            if stage.gateway.process is not None:
                stage.gateway.kill()


def test_commands_of_administrators_happen_whole_or_not_at_all(tmp_path, nursery, ledger):
    with UpstreamThread(Script()) as upstream:
        stage = Stage(tmp_path, nursery, ledger, upstream, COMMANDS[0])
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
