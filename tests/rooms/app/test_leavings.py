"""Who leaves alone has a line in the log; who leave together share one."""

import asyncio

import pytest
from structlog.testing import capture_logs

from gatepost.app.leavings import Leavings
from gatepost.store.ids import to_text


async def lines(*left):
    leavings = Leavings()
    with capture_logs() as logged:
        for one in left:
            leavings.add(*one)
        assert not logged, "the line comes at the loop's next turn"
        await asyncio.sleep(0)
    return logged


async def test_one_who_leaves_alone():
    (line,) = await lines((7, "acme", "newsletter", "web"))
    assert line == {
        "event": "withdrawn", "log_level": "info", "subject": to_text(7), "sender": "acme",
        "stream": "newsletter", "method": "web",
    }  # fmt: skip


async def test_those_who_leave_together_are_all_named():
    logged = await lines(
        (1, "acme", "newsletter", "web"), (2, "acme", "newsletter", "web"), (3, "acme", "", "api")
    )
    assert [line.get("subjects") for line in logged] == [[to_text(1), to_text(2)], None]
    assert [line["stream"] for line in logged] == ["newsletter", "*"]
    assert logged[1]["subject"] == to_text(3)


@pytest.mark.parametrize(("count", "sizes"), [(100, [100]), (250, [100, 100, 50])])
async def test_a_line_can_be_read(count, sizes):
    logged = await lines(*((number, "acme", "", "web") for number in range(1, count + 1)))
    assert [len(line["subjects"]) for line in logged] == sizes


async def test_turns_do_not_mix():
    leavings = Leavings()
    with capture_logs() as logged:
        for number in (1, 2):
            leavings.add(number, "acme", "", "web")
            await asyncio.sleep(0)
    assert [line["subject"] for line in logged] == [to_text(1), to_text(2)]
