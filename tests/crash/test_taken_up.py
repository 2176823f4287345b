"""Two gateways on one PostgreSQL: what one leaves in hand, the other takes up when its lease is over.

The first is killed at a named point and does not come back, or it is frozen there, as a virtual
machine that is halted, and wakes when the other has done its work. Or its machine loses power.
"""

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from support.aftermath import until_quiet
from support.proxy import Proxy
from support.scale import scale
from support.stage import BUSY, DENIED, GOOD, Stage, seed, states_of
from support.upstream import Script, UpstreamThread
from support.watching import wait_until

LEASE_SECONDS = 3.0


@dataclass(frozen=True)
class Point:
    """Where the first one stops, and whether upstream may have had a copy by then."""

    death: str
    twice: bool = False
    refused: tuple = ()  # whom upstream refuses a receipt

    def __str__(self):
        return self.death.replace("/", "-")


POINTS = [
    Point("accept/written"),
    Point("accept/committed"),
    Point("compose"),
    Point("first-byte/3", twice=True),
    Point("answered-dot", twice=True),
    Point("claim/written"),
    Point("claim/committed"),
    Point("mark-delivered/written", twice=True),
    Point("mark-delivered/committed", twice=True),
    Point("mark-deferred/written", twice=True, refused=(BUSY,)),
    Point("mark-failed/written", twice=True, refused=(DENIED,)),
    Point("report/written", refused=(DENIED,)),
]
SHORT = {("frozen", "mark-delivered/written")}
RUN = [
    (fate, point)
    for fate in ("killed", "frozen")
    for point in POINTS
    if scale((fate, point.death) in SHORT, full=True)
]


@pytest.fixture
def upstream():
    refusing = {DENIED: "550 5.1.1 no such user", BUSY: ["450 4.2.1 busy"]}
    with UpstreamThread(Script(recipients=refusing)) as here:
        yield here


@pytest.mark.parametrize(("fate", "point"), RUN, ids=str)
def test_another_takes_it_up(tmp_path, people_there, upstream, fate, point):
    folder = tmp_path / "first"
    folder.mkdir()
    with Stage(
        folder, people_there, upstream,
        fate=fate, lost_answers=int(point.twice), lease=LEASE_SECONDS,
    ) as stage:  # fmt: skip
        first = stage.gateway
        if point.death.startswith("claim"):
            with first.store() as store:
                seed(store, *GOOD[:3])
        began = time.time()
        stage.start(point.death)
        with ThreadPoolExecutor() as beside:  # who is frozen answers when it wakes
            people = [*GOOD[3:6], *point.refused]
            stream = f"X-Gatepost-Stream: {'receipts' if point.refused else 'newsletter'}"
            sent = beside.submit(stage.submit, people, "One", stream)
            stage.die(point.death)
            held = [address for address, at in states_of(first).items() if at == "sending"]
            second = stage.another(tmp_path / "second")
            before = upstream.connections
            second.start()
            assert stage.submit(GOOD[6:8], "Two", to=second)
            until_quiet(second)
            if fate == "frozen":
                first.process.send_signal(signal.SIGCONT)
            sent.result()
        if fate == "frozen":
            wait_until(first.is_ready, first)
            assert stage.submit(GOOD[8:10], "Three")
            until_quiet(second)
        found = stage.look()
        assert set(found.copies) >= set(stage.acknowledged) - {DENIED}
        assert found.copies["news@acme.example"] == len(found.states(DENIED)), "one report"
        taken_up = [
            message.content_began - began
            for message in upstream.messages
            if message.connection > before and message.recipients[0] in held
        ]
        assert min(taken_up, default=LEASE_SECONDS) >= LEASE_SECONDS


def test_who_lost_power_in_the_middle_of_writing_starts_again(tmp_path, people_there, upstream):
    """No word of its end reaches the database, where its transaction stays for a while."""
    folder = tmp_path / "first"
    folder.mkdir()
    with (
        Proxy(people_there.server.port) as line,
        Stage(
            folder, people_there, upstream,
            fate="frozen", lost_answers=1, lease=LEASE_SECONDS, port=line.port,
        ) as stage,
    ):  # fmt: skip
        stage.start("mark-delivered/written")
        assert stage.submit(GOOD[:3], "One")
        stage.die("mark-delivered/written")
        line.abandon()
        stage.gateway.kill()
        assert set(stage.live_on().copies) == set(GOOD[:3])
