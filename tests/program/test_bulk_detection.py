"""Mass mail on a stream that is not bulk: seen, held where asked for, and said in the log."""

import json

import pytest

from support.program import Program
from support.upstream import UpstreamThread
from support.watching import mail, send, states, wait_until

MORE = """
[bulk_detection]
mode = "{mode}"
recipients = 3
internal_domains = ["inside.example"]
"""
OFFICE = "X-Gatepost-Stream: office"
ABROAD = [f"r{number}@shop.example" for number in range(3)]
AT_HOME = [f"r{number}@inside.example" for number in range(3)]


@pytest.mark.parametrize(
    ("mode", "state"), [("observe", "delivered"), ("quarantine", "quarantined")]
)
def test_undeclared_bulk(tmp_path, mode, state):
    with (
        UpstreamThread() as upstream,
        Program(tmp_path, upstream_port=upstream.port, more=MORE.format(mode=mode)) as gateway,
    ):
        send(gateway, ABROAD, mail("For Ann Secret", OFFICE))
        send(gateway, AT_HOME, mail("For us", OFFICE))
        wait_until(lambda: states(gateway, AT_HOME) == {"delivered": 3}, gateway)
        wait_until(lambda: states(gateway, ABROAD) == {state: 3}, gateway)
        lines = [json.loads(line) for line in gateway.log().splitlines()]
        accepted = [line["id"] for line in lines if line["event"] == "accepted"]
        noticed = [line for line in lines if line["event"] == "undeclared bulk"]
        assert [(line["id"], line["recipients"]) for line in noticed] == [(accepted[0], 3)]
        assert "Secret" not in gateway.log()
