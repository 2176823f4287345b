"""Killed again and again at moments of chance, with ten clients at work: nothing is lost.

The moments come from a seed. `make test` takes a few of them, `make soak` fifty. Between deaths
the program is started on the same data, and the clients go on. Of two gateways on one PostgreSQL
either is killed, or both; or the PostgreSQL, alone or with them.
"""

import os
import random
import shutil
import signal
import smtplib
import time
from functools import partial
from itertools import cycle

import pytest

from support.aftermath import examine, until_quiet
from support.consents import granted
from support.dying import Mortal
from support.scale import scale
from support.shift import Shift
from support.upstream import Script, Slow, UpstreamThread
from support.watching import child_processes, lives, mail, send, wait_until

CLIENTS = 10
LEASE_SECONDS = 8.0
TOGETHER = 5  # recipients of one submission
READERS = [f"reader{number}@good.example" for number in range(scale(600, 6000))]


class Clients(Shift):
    """Ten mailers at work. Whoever gets no answer notes that, and goes on with the next mail."""

    def __init__(self, *gateways):
        super().__init__(partial(self._send, number) for number in range(CLIENTS))
        self.gateways = gateways
        self.acknowledged = []
        self.unanswered = 0
        self._numbers = iter(range(10**9))
        self._readers = iter(READERS)

    def _send(self, number):
        people, headers = self._next(number)
        gateway = self.gateways[number % len(self.gateways)]
        try:
            code, _ = send(gateway, people, mail(f"News {number}", *headers))
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
def test_killed_under_load(tmp_path, nursery, workers, deaths):
    chance = random.Random(f"{workers} workers")
    script = Script(steps={"DOT": Slow(0.01, "250 2.0.0 ok")})
    with UpstreamThread(script) as upstream:
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
    assert all(row.state == "delivered" for row in found.rows)


def test_two_gateways_and_their_database_killed_under_load(tmp_path, nursery, mortal_server):
    chance, deaths = random.Random("two gateways"), scale(3, 50)
    with (
        UpstreamThread(Script(steps={"DOT": Slow(0.01, "250 2.0.0 ok")})) as upstream,
        Pair(tmp_path, nursery, mortal_server, upstream) as pair,
    ):
        with Clients(*pair.gateways) as clients:
            for _, strike in zip(range(deaths), cycle(pair.strikes), strict=False):
                seen = len(clients.acknowledged)
                wait_until(lambda: len(clients.acknowledged) > seen + 50)  # noqa: B023
                time.sleep(chance.uniform(0, 0.5))
                strike(chance)
        until_quiet(pair.gateways[0])
        found = examine(
            pair.gateways[0], upstream,
            acknowledged=clients.acknowledged, lost_answers=pair.gateways_killed,
        )  # fmt: skip
        assert "Traceback" not in "".join(one.log() for one in pair.gateways)
    print(
        f"\ntwo gateways on PostgreSQL, struck {deaths} times: "
        f"accepted {len(clients.acknowledged)}, unanswered submissions {clients.unanswered}, "
        f"delivered {sum(row.state == 'delivered' for row in found.rows)}, "
        f"duplicates {found.duplicates.total()}, lost 0"
    )
    assert all(row.state == "delivered" for row in found.rows)


class Pair:
    """Two gateways on one PostgreSQL, and what strikes them."""

    def __init__(self, folder, nursery, server, upstream):
        self.gateways_killed = 0
        self._server, self._url = server, server.database()
        self.gateways = [
            self._gateway(folder / name, nursery, upstream) for name in ("first", "second")
        ]
        first, second = self.gateways
        first.record({address: [granted()] for address in READERS})
        shutil.copytree(first.folder / "data", second.folder / "data")
        self.strikes = [self.database, self.one, self.everything, self.hurried_database, self.both]

    def __enter__(self):
        for gateway in self.gateways:
            gateway.start()
        return self

    def __exit__(self, *_):
        for gateway in self.gateways:
            gateway.kill()
        self._server.drop(self._url)

    def _gateway(self, folder, nursery, upstream):
        folder.mkdir()
        return Mortal(
            folder, nursery, upstream_port=upstream.port, store_url=self._url, lease=LEASE_SECONDS
        )

    def one(self, chance):
        """The other takes its work up, or it comes back before that."""
        gateway = chance.choice(self.gateways)
        self._kill(gateway)
        if chance.random() < 0.3:
            time.sleep(LEASE_SECONDS)
        gateway.start()

    def both(self, _chance):
        self._kill(*self.gateways)
        for gateway in self.gateways:
            gateway.start()

    def database(self, _chance):
        """No answer of upstream is lost by this."""
        self._server.crash()
        self._server.up()

    def hurried_database(self, _chance):
        self._server.crash_with_a_word()
        self._server.up()

    def everything(self, _chance):
        for gateway in self.gateways:
            gateway.process.send_signal(signal.SIGSTOP)
        self._server.crash()
        self._kill(*self.gateways)
        self._server.up()
        for gateway in self.gateways:
            gateway.start()

    def _kill(self, *gateways):
        self.gateways_killed += len(gateways)
        for gateway in gateways:
            gateway.kill()


def kill(gateway, chance):
    """All at once, as when power is cut; of several workers sometimes one alone, which comes back."""
    workers = child_processes(gateway.process)
    if workers and chance.random() < 0.5:
        victim = chance.choice(workers)
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: victim not in child_processes(gateway.process), gateway)
        return
    gateway.process.send_signal(signal.SIGSTOP)  # so that it starts no other meanwhile
    workers = child_processes(gateway.process)
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)  # so that nobody learns of another's death before his own
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    gateway.kill()
    wait_until(lambda: not any(map(lives, workers)), gateway)  # or they would still hold data_dir
    gateway.start()
