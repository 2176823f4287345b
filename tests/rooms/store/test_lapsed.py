"""What was deferred under a clock that was years ahead is sent when that is put right."""

from datetime import timedelta
from functools import partial

import pytest

from gatepost.mail.recipient_state import State
from gatepost.store.spool import lapsed
from gatepost.store.tables import mail as tables
from support.submissions import accept, claim, mark, outcome, rows_of, submission


@pytest.mark.parametrize(
    ("pause", "due"), [(timedelta(days=400), True), (timedelta(hours=3), False)]
)
def test_no_pause_is_years_long(store, pause, due):
    accept(store, submission("a@kund.example", "b@kund.example"))
    deferred = partial(outcome, state=State.DEFERRED, reply="451 4.7.1 later")
    mark(store, *(deferred(row, next_attempt=store.now() + pause) for row in claim(store)))
    found = store.survey_now(partial(lapsed.find, upstream="smarthost"))
    assert store.survey_now(partial(lapsed.find, upstream="")) == []
    assert len(found) == 2 * due
    ids = [row["id"] for row in rows_of(store, tables.recipient)]
    assert store.write_now(partial(lapsed.bring_forward, ids=ids)) == 2 * due
    assert store.write_now(partial(lapsed.bring_forward, ids=ids)) == 0
    assert len(claim(store)) == 2 * due
