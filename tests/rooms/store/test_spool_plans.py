"""The queue's look-ups go through the small indexes, however much history there is."""

import pytest
from sqlalchemy import select

from gatepost.store import hot
from gatepost.store.spool import claim, leases, mark, quarantine, reports
from gatepost.store.tables import mail as tables

VALUES = {
    "upstream": "",
    "lane": 0,
    "now": 1,
    "limit": 1,
    "highest": 9,
    "ids": [1, 2],
    "holder": "gateway-1",
}
UNTOLD = select(tables.recipient.c.submission).where(reports._UNTOLD)
HELD_FOR = select(tables.recipient.c.id).where(
    quarantine._IN_QUARANTINE, tables.recipient.c.subject == 1
)


@pytest.fixture
def engine():
    """SQLite alone: PostgreSQL plans by statistics, and an empty table has none."""
    return "sqlite"


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        (claim._READY, "INDEX recipient_open (upstream=? AND lane=? AND state=?)"),
        (claim._DEFERRED, "INDEX recipient_open (upstream=? AND lane=? AND state=? AND next_att"),
        (claim._NEWEST, "INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
        (claim._ABANDONED, "INDEX recipient_leased (lease_until_ms>? AND lease_until_ms<?)"),
        (leases._ANY_READY, "INDEX recipient_open (upstream=? AND lane=? AND state=?)"),
        (leases._FIRST_DEFERRED, "INDEX recipient_open (upstream=? AND lane=? AND state=?)"),
        (leases._FIRST_ABANDONED, "INDEX recipient_leased"),
        (mark._OWN, "INTEGER PRIMARY KEY"),
        (UNTOLD, "INDEX recipient_unreported"),
        (HELD_FOR, "INDEX recipient_set_aside (subject=?)"),
    ],
)
def test_the_plan(store, statement, index):
    compiled = hot.compile_once(statement, "sqlite")

    def explain(tx):
        sql, values = compiled._bind(VALUES)
        return [row[3] for row in tx.cursor.execute(f"EXPLAIN QUERY PLAN {sql}", values)]

    plan = store.read_now(explain)
    assert any(index in step for step in plan), plan
    assert not any("SCAN recipient" in step and "INDEX" not in step for step in plan), plan


@pytest.mark.parametrize("statement", [claim._READY, claim._DEFERRED, claim._NEWEST])
def test_turns_need_no_sorting(store, statement):
    compiled = hot.compile_once(statement, "sqlite")
    sql, values = compiled._bind(VALUES)
    plan = store.read_now(
        lambda tx: [row[3] for row in tx.cursor.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
    )
    assert not any("TEMP B-TREE" in step for step in plan)


def test_marks_find_their_rows_by_their_number(store):
    together = hot.compile_once(mark._MARK, "sqlite")._together
    ((sql, values),) = together.cut([(n,) * 11 for n in range(64)], distinct=True)[0]
    plan = store.read_now(
        lambda tx: [row[3] for row in tx.cursor.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
    )
    assert any("SEARCH recipient USING INTEGER PRIMARY KEY" in step for step in plan), plan
