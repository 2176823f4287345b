"""How commands print: aligned text, JSON, and what a terminal must not see."""

import json
from datetime import UTC, datetime, timedelta, timezone

from gatepost.cli import printing

AT = datetime(2026, 3, 1, 13, 0, 0, 123456, tzinfo=timezone(timedelta(hours=1)))


def test_columns_are_aligned(capsys):
    rows = [("a", None, True), ("longer", AT, False)]
    assert printing.show_table(("x", "when", "ok"), rows) == 2
    assert capsys.readouterr().out == (
        "x       when                  ok\n"
        "a                             yes\n"
        "longer  2026-03-01 12:00:00Z  no\n"
    )


def test_a_long_table_comes_in_portions_with_one_heading(capsys, monkeypatch):
    monkeypatch.setattr(printing, "PORTION", 2)
    assert printing.show_table(("n",), ([number] for number in range(5))) == 5
    assert capsys.readouterr().out.split() == ["n", "0", "1", "2", "3", "4"]


def test_rows_of_json_are_one_array_and_a_row_a_line(capsys):
    printing.show_json_rows([{"at": AT}, {"name": "å\x1b\n"}])
    out = capsys.readouterr().out
    assert json.loads(out) == [{"at": "2026-03-01T12:00:00.123Z"}, {"name": "å\x1b\n"}]
    assert len(out.splitlines()) == 4
    assert "\x1b" not in out
    printing.show_json_rows([])
    assert json.loads(capsys.readouterr().out) == []


def test_control_characters_do_not_reach_a_terminal():
    assert printing.cell("a\x1b[31m\u202eb\nc") == "a\ufffd[31m\ufffdb\ufffdc"
    assert printing.cell(("a", "b")) == "a, b"
    assert printing.cell({"deliver": 3}) == "deliver 3"


def test_a_time_is_told_in_utc():
    assert printing.moment(AT) == "2026-03-01T12:00:00.123Z"
    assert printing.moment(datetime(2026, 3, 1, tzinfo=UTC)) == "2026-03-01T00:00:00.000Z"


def test_progress_says_little_where_nobody_watches(capsys, monkeypatch):
    monkeypatch.setattr(printing, "_REPORT_SECONDS", 0.0)
    with printing.progress("importing", 10) as advance:
        advance(4)
    assert capsys.readouterr().err == "importing: 4 of 10\n"
