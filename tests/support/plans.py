"""What a database says it would do for an operation: which tables it reads, and by which way.

full_scans(tx, operation)    # [("recipient", "SELECT …")], the whole of big tables being read

The operation is run; every statement of it is explained with the values it was run with.
"""

import json
import re
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice

from sqlalchemy import Boolean, Integer, LargeBinary, event

from gatepost.consent.evidence import EventKind
from gatepost.store.hot import compile_once
from gatepost.store.moving.rows import all_tables
from gatepost.store.moving.target import _insert_into
from support.consents import granted

PEOPLE = 6_000
_SENT, _LINED_UP = 30_000, 300
_BIG = (
    "subject", "event", "event_payload", "standing", "suppression", "campaign", "submission",
    "content", "recipient", "consent_use", "campaign_count", "webhook_delivery", "signup",
    "welcome", "complaint_case", "bulk_window",
)  # fmt: skip
_DAY = 86_400_000


def fill(store):
    """A store with history: much that is over, and little that is open."""
    for name, rows in store.read_now(lambda tx: list(_history(tx))):
        for some in batched(rows):
            store.write_now(partial(_add, name=name, rows=some))
    store.write_now(_settle)


def _add(tx, name, rows):
    table = next(table for table in all_tables() if table.name == name)
    blank = {column.name: _nothing(column) for column in table.columns}
    compile_once(_insert_into(table), tx.dialect).executemany(tx, (blank | row for row in rows))


def batched(rows):
    """In portions, as a store is used to."""
    waiting = iter(rows)
    while some := list(islice(waiting, 4000)):
        yield some


def _settle(tx):
    if tx.dialect == "postgresql":
        for table in all_tables():
            tx.cursor.execute(f"ANALYZE {table.name}")
            tx.cursor.execute(
                "SELECT setval(s, 10000000) FROM pg_get_serial_sequence(%s, %s) s WHERE s IS NOT NULL",
                (table.name, next(iter(table.primary_key.columns)).name),
            )


def _nothing(column):
    if column.nullable:
        return None
    kind = column.type
    if isinstance(kind, Boolean):
        return False
    if isinstance(kind, LargeBinary):
        return b""
    return 0 if isinstance(kind, Integer) else ""


def _history(tx):
    now, people, payload = tx.now_ms, range(1, PEOPLE + 1), granted().payload()
    yield (
        "subject",
        (
            {"id": n, "address_hash": tx.keys.key_hash(_name(n)), "address": _name(n)}
            for n in people
        ),
    )
    yield "block", ({"height": h, "first_event": h * 1000 - 999, "last_event": h * 1000,
                     "count": 1000, "digest": bytes(32)} for h in range(1, 25))  # fmt: skip
    yield "event", (
        {"id": n, "subject": n % PEOPLE + 1, "kind": _kind(n), "recorded_ms": now - _DAY,
         "block": (n + 999) // 1000 if n <= 24_000 else None}
        for n in range(1, 24_021)
    )  # fmt: skip
    yield "event_payload", ({"event": n, "payload": payload} for n in range(1, 24_021))
    yield (
        "standing",
        ({"subject": n, "stream": "newsletter", "sender": "acme", "state": "{}"} for n in people),
    )
    yield (
        "suppression",
        (
            {
                "subject": n,
                "sender": f"sender{n % 50}",
                "scope": "all",
                "reason": "manual",
                "lifted_ms": 1,
            }
            for n in people
        ),
    )
    yield "campaign", (
        {"id": n, "client": "crm", "stream": "newsletter", "sender": "acme", "key": f"k{n}",
         "last_submission_ms": now - _DAY, "summary_sent_ms": 1}
        for n in range(1, 2001)
    )  # fmt: skip
    yield "submission", (
        {"id": n, "campaign_id": n % 2000 + 1, "kind": "bulk", "stream": "newsletter",
         "sender": "acme", "received_ms": now - _DAY, "gathered_ms": None if n == 1 else 1,
         "content_state": "kept" if n <= 100 else "purged", "recipients": 5,
         "finished_ms": None if n == 1 else now - _DAY}
        for n in range(1, 6001)
    )  # fmt: skip
    yield (
        "content",
        ({"submission": n, "n": 0, "data": b"Subject: x\r\n\r\n"} for n in range(1, 3001)),
    )
    yield "recipient", (
        {"id": n, "submission": n % 6000 + 1, "address": _name(n % PEOPLE + 1),
         "address_hash": tx.keys.key_hash(_name(n % PEOPLE + 1)), "subject": n % PEOPLE + 1,
         "verdict": "deliver", "reason": "consented", "state": "delivered", "upstream": "smarthost",
         "lane": 1, "finished_ms": now - _DAY}
        for n in range(1, _SENT + 1)
    )  # fmt: skip
    yield "recipient", map(_lined_up(now), range(_SENT + 1, _SENT + _LINED_UP + 1))
    yield (
        "consent_use",
        ({"subject": n, "stream": "newsletter", "sender": "acme", "last_ms": now} for n in people),
    )
    yield (
        "campaign_count",
        (
            {
                "campaign": n % 2000 + 1,
                "verdict": "deliver",
                "reason": f"r{n}",
                "state": "delivered",
            }
            for n in range(6000)
        ),
    )
    yield "webhook", [{"name": f"hook{n}"} for n in range(3)]
    yield "webhook_delivery", (
        {"id": n, "webhook": f"hook{n % 3}", "event": n, "subject": 1,
         "dead_ms": 1 if n > 50 else None}
        for n in range(1, 6001)
    )  # fmt: skip
    yield (
        "signup",
        (
            {"id": n, "subject": n, "sender": "acme", "requested_ms": now, "confirmed_ms": 1}
            for n in people
        ),
    )
    yield "welcome", (
        {"submission": n, "subject": n, "sender": "acme", "stream": "newsletter",
         "written_ms": now, "settled_ms": 1}
        for n in people
    )  # fmt: skip
    yield (
        "complaint_case",
        ({"id": n, "subject": n, "sender": "acme", "closed_ms": now} for n in people),
    )
    yield (
        "bulk_window",
        ({"fingerprint": n.to_bytes(16), "client": "crm", "bucket": now // 60_000} for n in people),
    )


def _name(number):
    return f"p{number}@example.org"


def _kind(number):
    return EventKind.WITHDRAWN if number % 500 == 0 else EventKind.GRANTED


def _lined_up(now):
    states = {
        0: {"state": "ready", "next_attempt_ms": now},
        1: {"state": "deferred", "next_attempt_ms": now - 1},
        2: {"state": "sending", "lease_by": "dead", "lease_until_ms": now - 1, "attempts": 1},
        3: {"state": "quarantined", "held_ms": now, "expires_ms": now + _DAY},
        4: {"state": "held", "held_ms": now},
    }

    def row(number):
        person = number % PEOPLE + 1
        return {
            "id": number, "submission": 1, "address": _name(person), "subject": person,
            "address_hash": bytes(16), "upstream": "smarthost", "lane": number % 2,
            "verdict": "deliver", "reason": "consented",
        } | states[number % 5]  # fmt: skip

    return row


class _Listening:
    """The driver's cursor, and what it was asked."""

    def __init__(self, cursor, asked):
        self._cursor, self._asked = cursor, asked

    def execute(self, sql, values=(), **more):
        self._asked.append((sql, values))
        return self._cursor.execute(sql, values, **more)

    def later(self, sql, values=()):
        self._asked.append((sql, values))
        return self._cursor.later(sql, values)

    def executemany(self, sql, rows):
        rows = list(rows)
        self._asked += [(sql, row) for row in rows[:1]]
        return self._cursor.executemany(sql, rows)

    def __getattr__(self, name):
        return getattr(self._cursor, name)


@contextmanager
def _overheard(tx):
    """A transaction like this one, and the statements that are run in it."""
    asked = []

    def note(_connection, _cursor, statement, values, _context, many):
        asked.append((statement, values[0] if many else values))

    event.listen(tx.connection, "before_cursor_execute", note)
    try:
        yield replace(tx, cursor=_Listening(tx.cursor, asked)), asked
    finally:
        event.remove(tx.connection, "before_cursor_execute", note)


def full_scans(tx, operation):
    """(table, statement) wherever the operation reads the whole of a big table."""
    with _overheard(tx) as (heard, asked):
        operation(heard)
    explained = [
        (table, sql)
        for sql, values in dict.fromkeys((sql, _frozen(values)) for sql, values in asked)
        if re.match(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b", sql)
        for table in _scanned(tx, sql, values)
    ]
    assert asked, "an operation that asks nothing proves nothing"
    return explained


def _frozen(values):
    if isinstance(values, dict):
        return _Values(values)
    return tuple(tuple(v) if isinstance(v, list) else v for v in values)


class _Values(dict):
    def __hash__(self):
        return hash(tuple(sorted(self)))


def _scanned(tx, sql, values):
    if tx.dialect == "postgresql":
        values = values if isinstance(values, dict) else [
            list(v) if isinstance(v, tuple) else v for v in values
        ]  # fmt: skip
        (plan,) = (
            tx.connection.connection.cursor()
            .execute(f"EXPLAIN (FORMAT JSON) {sql}", values)
            .fetchone()
        )
        plan = json.loads(plan) if isinstance(plan, str) else plan
        return [node for node in _sequential(plan[0]["Plan"]) if node in _BIG]
    steps = [row[3] for row in tx.cursor.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
    partial = {
        name
        for name, made in tx.cursor.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'index'"
        ).fetchall()
        if made and " WHERE " in made
    }
    return [
        table
        for step in steps
        if (match := re.match(r"SCAN (\w+)(?: USING (?:COVERING )?INDEX (\w+))?", step))
        and (table := match[1]) in _BIG
        and match[2] not in partial
    ]


def _sequential(node):
    if node["Node Type"] == "Seq Scan":
        yield node["Relation Name"]
    for part in node.get("Plans", ()):
        yield from _sequential(part)
