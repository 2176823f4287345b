"""A store full of people, quickly: the rows that `people.record_many` would write, in bulk.

Recording ten million people one transaction after the other takes an hour, most of it for safety
that a store which nobody uses yet does not need. Here each row is made by the program's own
functions (hash of the address, payload, commitment, proof, standing, block) in as many processes
as there are cores, and one connection writes them down without a journal. The store ends up as
if everybody had been recorded, by 4,000 in a transaction, and sealed.

In: a fresh store in which the source is known, and how many people. Out: nothing; the store.
`check` shows, for a thousand people, that the rows are those that recording makes, and that
`gatepost ledger verify` finds nothing.

*Fails:* `AssertionError` from `check`. A fill that is broken off leaves a store to throw away.
*Known limits:* for the embedded store. Everybody says yes once, or `each` times with a month
between; times repeat after 8,000 people.
"""

import os
import shutil
import signal
import sqlite3
import time
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial, reduce
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from gatepost.consent.chain import block_digest, event_digest, event_proof
from gatepost.consent.evidence import SALT_BYTES, commitment
from gatepost.consent.fold import encode, fold
from gatepost.consent.standing import NOTHING_KNOWN
from gatepost.mail.address import parse
from gatepost.store import ledger, people, sources
from gatepost.store.engine import DATABASE
from gatepost.store.events import covered
from gatepost.store.ids import new_ids
from gatepost.store.keys import load
from support.consents import granted

PORTION = 4000  # people of one transaction, and here of one block
AHEAD = 3  # portions per process that are under way
SPREAD = 8_000  # seconds over which the consents are spread
CACHE_KIB = 1 << 20
COLUMNS = {
    "subject": ("id", "address_hash", "address", "created_ms"),
    "event": ("id", "subject", "kind", "recorded_ms", "commitment", "block", "proof"),
    "event_payload": ("event", "salt", "payload"),
    "standing": ("subject", "stream", "sender", "state"),
    "block": ("height", "count", "first_event", "last_event", "previous", "digest", "sealed_ms"),
}


class Task(NamedTuple):
    """One portion: people by their numbers, and the place of their events in the ledger."""

    start: int
    end: int
    first_event: int
    height: int
    now_ms: int
    since: datetime
    each: int


def address(number):
    """The address of a person by their number."""
    return f"person{number}@kund{number % 50}.example"


def consents(number, since, each=1):
    """What this person agreed to, and how often."""
    first = since + timedelta(seconds=number % SPREAD)
    return [granted(at=first + timedelta(days=30 * time)) for time in range(each)]


def a_while_ago(each=1):
    """When the first of these people agreed."""
    return (datetime.now(UTC) - timedelta(days=70 + 30 * each)).replace(microsecond=0)


def fill(site, count, *, since=None, processes=None, each=1):
    """Puts `count` people into the store of `site`; how many seconds it took."""
    begun = time.monotonic()
    processes = processes or len(os.sched_getaffinity(0))
    since = since or a_while_ago(each)
    data = site.folder / "data"
    last_event, height, previous = _prepare(site, since)
    tasks = _tasks(count, last_event + 1, height + 1, since, each)
    ledger_key = load(data / "keys", create=False).ledger
    with closing(sqlite3.connect(data / DATABASE, isolation_level=None)) as database:
        for pragma in ("journal_mode=OFF", "synchronous=OFF", f"cache_size=-{CACHE_KIB}"):
            database.execute(f"PRAGMA {pragma}")
        database.execute("BEGIN EXCLUSIVE")
        for task, rows, digests in _portions(tasks, data / "keys", processes):
            for name, values in rows.items():
                _insert(database, name, values)
            digest = block_digest(ledger_key, previous, task.height, task.now_ms, digests)
            last = task.first_event + len(digests) - 1
            sealed = (task.height, len(digests), task.first_event, last, previous, digest)
            _insert(database, "block", [(*sealed, task.now_ms)])
            previous = digest
        database.execute("COMMIT")
        database.execute("PRAGMA journal_mode=WAL")
    return time.monotonic() - begun


def check(folder, make_site, each=1):
    """Whether filled rows are recorded rows; `make_site(folder)` makes an empty store."""
    since, count = a_while_ago(each), 1000
    filled, recorded = folder / "filled", folder / "recorded"
    filled.mkdir()
    site = make_site(filled)
    shutil.copytree(filled, recorded)  # the same keys, so that hashes are the same
    other = type(site)(recorded)
    fill(site, count, since=since, processes=1, each=each)
    with other.store() as store:
        facts = [(parse(address(number)), consents(number, since, each)) for number in range(count)]
        store.write_now(lambda tx: people.record_many(tx, facts))
        while store.write_now(ledger.seal):
            pass
    with site.store() as store:
        found = store.read_now(ledger.verify)
    assert not found, f"the ledger does not verify: {found[:3]}"
    ours, theirs = _told(filled), _told(recorded)
    assert len(ours) == count * each, f"{len(ours)} consents instead of {count * each}"
    assert ours == theirs, "a filled store differs from one that was recorded"


def _prepare(site, since):
    """Puts the source's text to use as a first consent does; where the ledger then ends."""
    (first,) = consents(0, since)
    with site.store() as store:
        used = {(first.source, first.text_version)}
        store.write_now(lambda tx: sources.mark_used(tx, used))
        while store.write_now(ledger.seal):
            pass
        height, digest = store.read_now(ledger.head)
        last = store.read_now(
            lambda tx: tx.cursor.execute("SELECT coalesce(max(id), 0) FROM event").fetchone()[0]
        )
    return last, height, bytes.fromhex(digest)


def _tasks(count, first_event, height, since, each):
    now_ms = int(time.time() * 1000)
    for place, start in enumerate(range(0, count, PORTION)):
        end = min(start + PORTION, count)
        yield Task(start, end, first_event + start * each, height + place, now_ms, since, each)


def _portions(tasks, keys, processes):
    """Each task with its rows and its events' digests, in order."""
    with ProcessPoolExecutor(processes, get_context("spawn"), _start, (keys,)) as pool:
        waiting = deque()
        try:
            for task in tasks:
                waiting.append((task, pool.submit(_rows, task)))
                if len(waiting) >= processes * AHEAD:
                    yield _taken(*waiting.popleft())
            while waiting:
                yield _taken(*waiting.popleft())
        finally:
            pool.shutdown(cancel_futures=True)


def _taken(task, future):
    rows, digests = future.result()
    return task, rows, digests


def _insert(database, name, values):
    columns = COLUMNS[name]
    marks = ", ".join("?" * len(columns))
    database.executemany(f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({marks})", values)


def _told(folder):
    """Everything on record of everybody, without what is random or a time of recording."""
    with closing(sqlite3.connect(folder / "data" / DATABASE)) as database:
        return database.execute(
            "SELECT hex(subject.address_hash), subject.address, subject.erased_ms, event.id,"
            " event.kind, length(event.commitment), length(event.proof), block.height > 0,"
            " length(salt), hex(payload), stream, sender, state, withdrawn_ms"
            " FROM subject LEFT JOIN event ON event.subject = subject.id"
            " LEFT JOIN event_payload ON event_payload.event = event.id"
            " LEFT JOIN block ON event.id BETWEEN first_event AND last_event"
            " LEFT JOIN standing ON standing.subject = subject.id"
            " WHERE subject.address IS NOT NULL ORDER BY 1, event.id"
        ).fetchall()


# --- in a process of its own -------------------------------------------------------------

_keys = None


def _start(folder: Path):
    global _keys  # noqa: PLW0603  a worker process has one task
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever is asked to stop stops us
    _keys = load(folder, create=False)


@lru_cache(maxsize=SPREAD)
def _written(second, since, each):
    """What is written down of who agreed in this second: the consents, and the standing."""
    facts = consents(second, since, each)
    standing = reduce(fold, facts, NOTHING_KNOWN)
    told = [(fact.kind.value, fact.payload()) for fact in facts]
    return told, (facts[0].stream, facts[0].sender, encode(standing))


def _rows(task):
    """The rows of one portion by table, and the digests of its events."""
    count = task.end - task.start
    parsed = [parse(address(number)) for number in range(task.start, task.end)]
    hashes = [_keys.address_hash(one) for one in parsed]
    ids = dict(zip(sorted(hashes), new_ids(count), strict=True))
    salts = os.urandom(SALT_BYTES * count * task.each)
    prove = partial(event_proof, _keys.ledger)
    subjects, events, payloads, standings, digests = [], [], [], [], []
    for place, (one, digest) in enumerate(zip(parsed, hashes, strict=True)):
        subject = ids[digest]
        told, standing = _written((task.start + place) % SPREAD, task.since, task.each)
        subjects.append((subject, digest, one.given, task.now_ms))
        standings.append((subject, *standing))
        for kind, payload in told:
            number = task.first_event + len(digests)
            salt = salts[len(digests) * SALT_BYTES : (len(digests) + 1) * SALT_BYTES]
            committed = commitment(salt, covered(digest, payload))
            sealed = event_digest(
                number=number,
                subject=subject,
                kind=kind,
                recorded_ms=task.now_ms,
                commitment=committed,
            )
            proof = prove(sealed)
            events.append((number, subject, kind, task.now_ms, committed, task.height, proof))
            payloads.append((number, salt, payload))
            digests.append(sealed)
    subjects.sort()
    standings.sort()
    rows = {
        "subject": subjects,
        "event": events,
        "event_payload": payloads,
        "standing": standings,
    }
    return rows, digests
