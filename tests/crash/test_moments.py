"""Killed again and again at moments of chance, with ten clients at work: nothing is lost.

The moments come from a seed. `make test` takes a few of them, `make soak` fifty. Between deaths
the program is started on the same data, and the clients go on.
"""

import os
import random
import signal
import smtplib
import time
from functools import partial

import pytest

from support.aftermath import examine, until_quiet
from support.consents import granted
from support.dying import Mortal, Nursery
from support.scale import scale
from support.shift import Shift
from support.upstream import Script, Slow, UpstreamThread
from support.watching import child_processes, mail, send, wait_until

CLIENTS = 10
TOGETHER = 5  # recipients of one submission
READERS = [f"reader{number}@good.example" for number in range(scale(600, 6000))]


class Clients(Shift):
    """Ten mailers at work. Whoever gets no answer notes that, and goes on with the next mail."""

    def __init__(self, gateway):
        super().__init__(partial(self._send, number) for number in range(CLIENTS))
        self.gateway = gateway
        self.acknowledged = []
        self.unanswered = 0
        self._numbers = iter(range(10**9))
        self._readers = iter(READERS)

    def _send(self, number):
        people, headers = self._next(number)
        try:
            code, _ = send(self.gateway, people, mail(f"News {number}", *headers))
        except (OSError, smtplib.SMTPException):
            code = 0
            self.over.wait(0.05)
        with self.door:
            if code == 250:
                self.acknowledged += people
            else:
                self.unanswered += 1

    def _next(self, number):
        """Bulk mail to readers while there are any, and receipts to people of their own."""
        with self.door:
            turn = next(self._numbers)
            people = [next(self._readers, "") for _ in range(TOGETHER)] if turn % 3 == 0 else [""]
            if all(people):
                return people, ()
            fresh = [f"buyer{turn}.{n}@good.example" for n in range(TOGETHER)]
            return fresh, ("X-Gatepost-Stream: receipts",)


@pytest.mark.parametrize(
    ("workers", "deaths"), [(1, scale(5, 50)), (2, scale(2, 50))], ids=["one worker", "two workers"]
)
def test_killed_under_load(tmp_path, workers, deaths):
    chance = random.Random(f"{workers} workers")
    script = Script(steps={"DOT": Slow(0.01, "250 2.0.0 ok")})
    with Nursery() as nursery, UpstreamThread(script) as upstream:
        gateway = Mortal(
            tmp_path, nursery, upstream_port=upstream.port, options=("--workers", str(workers))
        )
        gateway.record({address: [granted()] for address in READERS})
        gateway.start()
        with Clients(gateway) as clients:
            for _ in range(deaths):
                seen = len(clients.acknowledged)
                wait_until(lambda: len(clients.acknowledged) > seen, gateway)  # noqa: B023
                time.sleep(chance.uniform(0, 0.5))
                kill(gateway, chance)
        until_quiet(gateway)
        found = examine(gateway, upstream, acknowledged=clients.acknowledged, lost_answers=deaths)
        gateway.kill()
        assert "Traceback" not in gateway.log(), gateway.log()[-4000:]
    print(
        f"\n{workers} workers, killed {deaths} times: accepted {len(clients.acknowledged)}, "
        f"unanswered submissions {clients.unanswered}, "
        f"delivered {sum(row.state == 'delivered' for row in found.rows)}, "
        f"duplicates {found.duplicates.total()}, lost 0"
    )
    assert len(clients.acknowledged) > deaths * TOGETHER
    assert all(row.state == "delivered" for row in found.rows)


def kill(gateway, chance):
    """All at once, as when power is cut; of several workers sometimes one alone, which comes back."""
    workers = child_processes(gateway.process)
    if workers and chance.random() < 0.5:
        victim = chance.choice(workers)
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: victim not in child_processes(gateway.process), gateway)
        return
    for pid in (gateway.process.pid, *workers):
        os.kill(pid, signal.SIGSTOP)  # so that nobody learns of another's death before his own
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    gateway.process.kill()
    gateway.process.wait()
    gateway.start()
