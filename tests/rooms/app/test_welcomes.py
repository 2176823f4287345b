"""Late welcomes are told of: a warning after an hour, an error after a day (JU-18)."""

import os
from datetime import timedelta

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from gatepost.app.welcomes import Welcomes
from gatepost.app.wiring import wire
from gatepost.config import load
from gatepost.mail.address import parse
from gatepost.mail.duration import Duration
from gatepost.store import people, signups
from gatepost.store.tables import mail as tables
from gatepost.store.tables.signups import welcome
from gatepost.store.times import to_ms
from support.consents import granted, withdrawn
from support.program import CONFIG
from support.submissions import accept, change, rows_of, submission

ANNA = parse("anna@example.org")


@pytest.fixture
def welcomes(store, tmp_path):
    path = tmp_path / "config.toml"
    text = CONFIG.format(
        smtp_port=2525, http_port=8025, admin_port=8026, upstream_port=25, connections=1,
        store_url="",
    )  # fmt: skip
    path.write_text(text + '[consent]\nconfirm_within = "3 days"\nconfirm_again = "10 days"\n')
    wiring = wire(load(path, os.environ))
    return Welcomes(store, lambda: wiring)


def write(store, hours):
    """A welcome letter that has been waiting so long."""
    job = submission(ANNA.given, stream="", campaign=None)
    accept(store, job)
    subject = store.write_now(lambda tx: people.ensure_subjects(tx, [ANNA]))[ANNA.key]
    store.write_now(lambda tx: signups.add_welcome(tx, job.id, subject, "acme", "newsletter"))
    written = to_ms(store.now() - timedelta(hours=hours))
    change(store, welcome, {"written_ms": written}, submission=job.id)


@pytest.mark.parametrize(
    ("hours", "says"),
    [(0.5, ""), (1.5, "warning"), (25, "error")],
)
async def test_how_late_is_how_loud(store, welcomes, hours, says):
    write(store, 0.1)
    write(store, hours)
    with capture_logs() as lines:
        await welcomes.watch()
        await welcomes.watch()  # once is enough
    late = [line["log_level"] for line in lines if "welcome mail is late" in line["event"]]
    assert late == ([says] if says else [])
    assert REGISTRY.get_sample_value("gatepost_welcomes_waiting") == 2
    oldest = REGISTRY.get_sample_value("gatepost_oldest_welcome_seconds")
    assert oldest == pytest.approx(hours * 3600, abs=600)  # a machine may stand still


async def test_nothing_waits_and_nothing_is_said(store, welcomes, capfd):
    await welcomes.watch()
    assert capfd.readouterr().out == ""
    assert REGISTRY.get_sample_value("gatepost_welcomes_waiting") == 0


def test_sign_ups_are_kept_as_long_as_anything_asks_for_them(store, welcomes):
    """Both the link and the memory of a letter, and the link's word that it was used."""
    now = store.now()
    kept = Duration(seconds=(3 + 10) * 86400)
    assert welcomes.forget_before(now) == kept.before(now)


@pytest.mark.parametrize("stream", ["newsletter", ""], ids=["the-stream", "everything"])
async def test_who_leaves_is_not_welcomed(store, welcomes, stream):
    """The letter waits for an upstream that is away; who joins again gets another (JU-18)."""
    left = withdrawn(at=store.now() - timedelta(hours=2), stream=stream)
    store.write_now(lambda tx: people.record(tx, ANNA, [granted(), left]))
    write(store, 1)
    await welcomes.settle()
    assert [row["state"] for row in rows_of(store, tables.recipient)] == ["ready"]
    again = withdrawn(at=store.now(), stream=stream)
    store.write_now(lambda tx: people.record(tx, ANNA, [again]))
    assert await welcomes.settle() == 0
    (row,) = rows_of(store, tables.recipient)
    assert (row["state"], row["note"]) == ("stopped", "the person left before it was sent")
    assert all(row["settled_ms"] for row in rows_of(store, welcome))
