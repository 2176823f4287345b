"""The database crashes at a named point between two states, while the gateway lives on.

Nothing that was acknowledged is lost, and nothing at all goes out twice: who knows an answer of
upstream keeps it until the database is back. Without a restart everything works again.
"""

import smtplib
import time

import pytest

from gatepost.consent.evidence import EventKind
from support.aftermath import until_quiet
from support.patience import PATIENCE_SECONDS
from support.reports import dsn
from support.scale import scale
from support.stage import BUSY, DENIED, GOOD, LINK, STRANGER, Stage, facts, seed
from support.upstream import Script, UpstreamThread
from support.watching import listens, request, wait_until

LEASE_SECONDS = 6.0
PHASES = ("committed", "written", "before")
POINTS = [
    *(f"accept/{phase}" for phase in ("before", "written", "committed")),
    "reply",
    "compose",
    "first-byte",
    "first-byte/3",
    "answered-dot",
    "outcome",
    *(f"claim/{phase}" for phase in ("before", "written", "committed")),
    *(f"mark-delivered/{phase}" for phase in ("before", "written", "committed")),
    *(f"mark-deferred/{phase}" for phase in ("written", "committed")),
    *(f"mark-failed/{phase}" for phase in ("written", "committed")),
    *(f"report/{phase}" for phase in ("before", "written", "committed")),
    *(f"stage/{phase}" for phase in ("written", "committed")),
    "content/3",
]
SHORT = ["accept/committed", "mark-delivered/written"]


@pytest.fixture
def stage(tmp_path, people_there):
    refusing = {DENIED: "550 5.1.1 no such user", BUSY: ["450 4.2.1 busy"]}
    with (
        UpstreamThread(Script(recipients=refusing)) as upstream,
        Stage(
            tmp_path, people_there, upstream, fate="bereft", lease=LEASE_SECONDS
        ) as stage,
    ):  # fmt: skip
        yield stage


@pytest.mark.parametrize("death", scale(SHORT, POINTS))
def test_mail_survives_it(stage, death):
    gateway = stage.gateway
    if death.startswith("claim"):
        with gateway.store() as store:
            seed(store, *GOOD[:3])
    stage.start(death)
    large = b"0123456789abcde\r\n" * 60_000 if death.startswith(("stage", "content")) else b""
    other = BUSY if "deferred" in death else DENIED
    stage.submit([*GOOD[3:6], other], "One", "X-Gatepost-Stream: receipts", body=large)
    stage.submit([*GOOD[6:8], STRANGER], "Two", "X-Gatepost-Stream: offers")
    stage.die(death)
    wait_until(lambda: stage.submit(GOOD[8:10], "Three") and GOOD[9] in stage.acknowledged)
    until_quiet(gateway)
    found = stage.look(parked=["quarantined"])
    assert set(found.copies.values()) == {1}
    assert found.copies.keys() >= set(stage.acknowledged) - {DENIED, STRANGER}
    assert found.copies["news@acme.example"] == found.states(DENIED).count("failed"), "a report"


def deliver_one(stage):
    """A copy of which there is to be word; it."""
    stage.gateway.start()
    stage.submit([GOOD[0]], "Spring")
    until_quiet(stage.gateway)
    stage.gateway.kill()
    return stage.upstream.taken[0]


def withdrawal(stage, phase):
    """One click, which is answered with 503 unless it counts from now on."""
    link = LINK.search(deliver_one(stage).content.replace(b"\r\n ", b" ")).group(1).decode()
    stage.start(f"leave/{phase}")
    status = request("POST", link, b"List-Unsubscribe=One-Click")
    stage.die(f"leave/{phase}")
    assert status == (200 if phase == "committed" else 503)
    wait_until(lambda: facts(stage.gateway, EventKind.WITHDRAWN) == (status == 200))
    wait_until(lambda: request("POST", link, b"List-Unsubscribe=One-Click") == 200)
    assert facts(stage.gateway, EventKind.WITHDRAWN) == 1
    assert stage.submit([GOOD[0]], "After leaving")


def bounce(stage, phase):
    """A report that comes back, which is to be sent again unless it is recorded."""
    path, port = deliver_one(stage).mail_from, stage.gateway.returns_port

    def give_back():
        with smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE_SECONDS) as client:
            client.ehlo()
            client.mail("")
            client.rcpt(path)
            return client.data(dsn(recipient=GOOD[0]))[0]

    stage.start(f"bounce/{phase}")
    wait_until(lambda: listens(stage.gateway.process.pid, port), stage.gateway)
    answer = give_back()
    stage.die(f"bounce/{phase}")
    assert answer == (250 if phase == "committed" else 451)
    wait_until(lambda: facts(stage.gateway, EventKind.BOUNCED) == (answer == 250))
    wait_until(lambda: give_back() == 250)
    assert facts(stage.gateway, EventKind.BOUNCED) == 1


def longer_than_a_lease(stage, phase):
    """Nobody could renew anything meanwhile: another gateway does not take this one for dead."""
    second = stage.another(stage.gateway.folder / "second")
    second.start()
    stage.start(f"mark-delivered/{phase}")
    assert stage.submit(GOOD[:3], "One")
    wait_until(lambda: "bereft at" in stage.gateway.log(), stage.gateway)
    time.sleep(1.5 * LEASE_SECONDS)
    stage.die(f"mark-delivered/{phase}")


STORIES = [(story, phase) for story in (withdrawal, bounce) for phase in PHASES]
STORIES += [(longer_than_a_lease, phase) for phase in ("before", "written")]


@pytest.mark.parametrize(("story", "phase"), scale(STORIES[:1], STORIES))
def test_what_was_answered_survives_it(stage, story, phase):
    story(stage, phase)
    until_quiet(stage.gateway)
    assert stage.look().copies[GOOD[0]] == 1
