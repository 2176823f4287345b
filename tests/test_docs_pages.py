"""Pages about states, reasons, metrics and quirks say what the code says."""

import re

import pytest
from prometheus_client import REGISTRY

import gatepost.app.gateway  # registers every metric  # noqa: F401
from gatepost.flow.accept import replies
from gatepost.flow.spool.diagram import states_page
from gatepost.flow.spool.states import MOVES, STATES
from gatepost.mail.recipient_state import State
from gatepost.mail.verdict import Reason
from support.documents import DOCUMENTS, TOP, code_words, name_of, tables
from support.trouble_rows import troubles_page

REASONS = TOP / "docs" / "reasons.md"
METRICS = TOP / "docs" / "metrics.md"
SOURCE_PATH = re.compile(
    r"(?:src|tests|templates|docs|bench|app|cli|config|consent|feedback|flow|mail|store|web)/[\w./-]+"
)


def rows_headed(page, first_column):
    return [
        dict(zip(columns, row, strict=True))
        for _, columns, rows in tables(page)
        if columns[0] == first_column
        for row in rows
    ]


def unquoted(cell):
    return cell.strip("`")


# states


def test_the_page_of_states_is_generated():
    assert (TOP / "docs" / "states.md").read_text("utf-8") == states_page(), "run `make docs`"


def test_the_page_of_troubles_is_that_of_the_rows_that_are_played():
    assert (TOP / "docs" / "troubles.md").read_text("utf-8") == troubles_page(), "run `make docs`"


def test_every_state_and_every_move_is_on_the_page():
    page = states_page()
    assert {row.state for row in STATES} == set(State)
    for row in STATES:
        assert f"| `{row.state}` | {row.meaning} |" in page
    for move in MOVES:
        assert f"    {move.origin} --> {move.target}\n" in page
        assert f"| `{move.origin}` | `{move.target}` | {move.cause} |" in page


# reasons


def test_every_reason_has_one_row():
    assert [unquoted(row["reason"]) for row in rows_headed(REASONS, "reason")] == list(Reason)


@pytest.mark.parametrize("row", rows_headed(REASONS, "reason"), ids=lambda row: row["reason"])
def test_a_reason_is_told_with_the_reply_that_is_said(row):
    reply = row.get("reply") or row["reply at RCPT"]
    reason = Reason(unquoted(row["reason"]))
    assert unquoted(reply) == str(replies.for_reason(reason))
    assert (row["done"] == "deliver") is reason.is_positive
    assert row["when"]


# metrics


def metrics():
    """name → (type, labels) of every metric of ours in the process-wide registry."""
    ours = {
        collector
        for collector in REGISTRY._collector_to_names
        if getattr(collector, "_name", "").startswith("gatepost_")
    }
    return {one._name: (one._type, one._labelnames) for one in ours}


def test_every_metric_has_one_row_with_its_type_and_labels():
    rows = rows_headed(METRICS, "metric")
    told = {
        unquoted(row["metric"]): (row["type"], tuple(re.findall(r"`(\w+)`", row["labels"])))
        for row in rows
    }
    assert told == metrics()
    assert len(rows) == len(told)
    assert all(row["what it counts"] for row in rows)


def test_alerts_are_on_metrics_that_there_are():
    scraped = {
        f"{name}_total" if kind == "counter" else name for name, (kind, _) in metrics().items()
    }
    for row in rows_headed(METRICS, "expression"):
        assert set(re.findall(r"gatepost_\w+", row["expression"])) <= scraped, row["expression"]


# paths in the prose


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_a_file_that_is_named_is_there(document):
    named = {word for word in code_words(document) if SOURCE_PATH.fullmatch(word)}
    folders = (TOP, TOP / "src" / "gatepost")
    missing = {path for path in named if not any((folder / path).exists() for folder in folders)}
    assert not missing


def test_quirks_say_where_each_is_handled():
    for _, columns, rows in tables(TOP / "docs" / "quirks.md"):
        assert columns[-1] == "handled in"
        assert all(re.search(r"`[\w/.]+\.(?:py|toml)`|\]\(", row[-1]) for row in rows)
