"""Power is lost: what was acknowledged is on the disk, whatever the disk had not yet written.

The running program's writes and syncs are recorded (`support.power`). From the record the data
directory is built as it may be found after a power loss at any moment: all that was synced, and of
the rest nothing, everything, or pages at random.
"""

import os
import random
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import text

from gatepost.consent.leaving import has_left
from gatepost.mail.address import parse
from gatepost.store import ledger, people
from gatepost.store.engine import Store
from support.aftermath import examine, until_quiet
from support.power import recorded
from support.program import Program
from support.scale import scale
from support.upstream import UpstreamThread
from support.watching import mail, request, send, wait_until

READERS = [f"reader{number}@good.example" for number in range(scale(60, 600))]
BUYERS = scale(60, 600)
LINK = re.compile(rb"List-Unsubscribe: <(http://127\.0\.0\.1:\d+/u/[\w-]{49})>")
LARGE = b"0123456789abcde\r\n" * 40_000
# In a process of its own: what this process writes is not recorded.
RECORD = """
import sys
from pathlib import Path
from gatepost.mail.address import parse
from gatepost.store import people
from gatepost.store.engine import Store
from support.consents import granted
with Store.open("", Path(sys.argv[1])) as store:
    facts = [(parse(address), [granted()]) for address in sys.argv[2:]]
    store.write_now(lambda tx: people.record_many(tx, facts))
"""
TESTS = str(Path(__file__).parents[1])
LUCK = {"nothing": 0.0, "half": 0.5, "nearly all": 0.97, "all": 1.0}


class Known:
    """What clients were told, and how far the record was by then."""

    def __init__(self, disk):
        self.disk = disk
        self.accepted, self.left = [], []

    def submit(self, gateway, people, content):
        code, said = send(gateway, people, content)
        assert code == 250, said
        self.accepted.append((self.disk.place(), people))

    def leave(self, address, link):
        assert request("POST", link, b"List-Unsubscribe=One-Click") == 200
        self.left.append((self.disk.place(), address))


def at_once(*works):
    """Does these in threads, and raises what one of them raised."""
    errors = []

    def guarded(work):
        try:
            work()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """A gateway from its first start on an empty folder: mail, large mail and withdrawals."""
    folder = tmp_path_factory.mktemp("power")
    with UpstreamThread() as upstream:
        gateway = Program(folder, upstream_port=upstream.port, store_url="")
        with recorded(folder, folder / "data") as disk:
            gateway.start()
            words = [sys.executable, "-c", RECORD, str(folder / "data"), *READERS]
            subprocess.run(words, check=True, timeout=300, env=os.environ | {"PYTHONPATH": TESTS})
        known = Known(disk)
        known.submit(gateway, READERS, mail("News"))
        wait_until(lambda: len(upstream.taken) == len(READERS), gateway)
        links = {
            copy.recipients[0]: LINK.search(copy.content.replace(b"\r\n ", b" ")).group(1).decode()
            for copy in upstream.taken
        }

        def buy(first):
            for number in range(first, BUYERS, 3):
                content = mail("Receipt", "X-Gatepost-Stream: receipts")
                more = LARGE if number % 20 == 0 else b""
                known.submit(gateway, [f"buyer{number}@good.example"], content + more)

        def leave():
            for address in READERS[::2]:
                known.leave(address, links[address])

        try:
            at_once(lambda: buy(0), lambda: buy(1), lambda: buy(2), leave)
            gateway.kill()
            yield gateway, upstream, disk, known
        finally:
            gateway.kill()


def cuts(disk, known):
    """Moments of chance while all went on, and the last one."""
    chance = random.Random("moments")
    first = known.accepted[0][0]
    return [*(chance.randint(first, disk.place()) for _ in range(scale(4, 60))), disk.place()]


@pytest.mark.parametrize("luck", LUCK)
def test_what_was_acknowledged_is_there(tmp_path, history, luck):
    _, _, disk, known = history
    for cut in cuts(disk, known):
        chance = random.Random(f"{cut} {luck}")
        disk.build(tmp_path / "data", cut, lambda: chance.random() < LUCK[luck])  # noqa: B023
        accepted = {a for place, people in known.accepted if place <= cut for a in people}
        left = [address for place, address in known.left if place <= cut]
        with Store.open("", tmp_path / "data", create=False) as store:
            rows = store.read_now(lambda tx: tx.connection.execute(_ROWS).scalars().all())
            assert accepted - set(rows) == set()
            assert store.read_now(lambda tx: tx.connection.execute(_WHOLE).scalar()) == "ok"
            assert list(ledger.inspect(store.read_now)) == []
            found = store.read_now(
                lambda tx: people.look_up(tx, [parse(a) for a in left], "newsletter", "acme")  # noqa: B023
            )
            assert [address for address in left if not has_left(found[address])] == []


def test_the_program_starts_on_what_is_left_and_finishes(tmp_path, history):
    """Power went at the moment of the kill; a copy comes again only if its mark was not durable."""
    gateway, upstream, disk, known = history
    chance = random.Random("the end")
    disk.build(tmp_path / "data", disk.place(), lambda: chance.random() < 0.5)
    shutil.rmtree(gateway.folder / "data")
    shutil.copytree(tmp_path / "data", gateway.folder / "data")
    gateway.start()
    until_quiet(gateway)
    accepted = [address for _, people in known.accepted for address in people]
    examine(gateway, upstream, acknowledged=accepted, lost_answers=1)


def test_the_record_has_writes_and_syncs_of_all_that_matters(history):
    _, _, disk, _ = history
    entries = list(disk._entries(disk.place()))
    kinds = {kind for _, kind, _, _, _ in entries}
    assert kinds >= {"W", "S", "C"}
    synced = {path.rpartition("/")[2] for _, kind, path, _, _ in entries if kind == "S"}
    assert synced >= {"gatepost.db", "gatepost.db-wal", "data"}


_ROWS = text("SELECT address FROM recipient")
_WHOLE = text("PRAGMA integrity_check")
