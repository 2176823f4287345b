"""An upstream that lets everybody in and takes no mail: nobody's attempts, and no hammering."""

import json

from sqlalchemy import text

from support.consents import granted
from support.program import Program
from support.upstream import Script, UpstreamThread
from support.watching import copies, mail, send, states, wait_until

PEOPLE = [f"reader{n}@example.org" for n in range(300)]
OTHER = """
[upstreams.till]
port = {port}

[streams.till]
kind = "transactional"
sender = "acme"
upstream = "till"

[clients.till]
networks = ["127.0.0.5"]
streams = ["till"]
"""
OFFICE = "X-Gatepost-Stream: office"


def mails(upstream):
    return [line for _, line in list(upstream.commands) if line.startswith("MAIL")]


def events(gateway, name):
    lines = [json.loads(line) for line in gateway.log().splitlines() if line[:1] == "{"]
    return [line for line in lines if line["event"] == name]


def attempts(gateway):
    query = text("SELECT state, attempts, last_reply FROM recipient")
    with gateway.store() as store:
        return store.read_now(lambda tx: [tuple(r) for r in tx.connection.execute(query)])


def test_its_disk_is_full_for_a_while(tmp_path):
    steps = {"MAIL": "452 4.3.1 disk full"}
    with UpstreamThread(Script(steps=steps)) as full, UpstreamThread() as well:
        more = OTHER.format(port=well.port)
        gateway = Program(tmp_path, upstream_port=full.port, more=more, connections=4)
        gateway.record({address: [granted()] for address in PEOPLE})
        with gateway:
            assert send(gateway, PEOPLE, mail("News"))[0] == 250
            wait_until(lambda: events(gateway, "upstream is away"), gateway)
            # accepted as ever, and another upstream is not touched
            assert send(gateway, ["anna@example.org"], mail("Order", OFFICE))[0] == 250
            assert send(gateway, ["bo@example.org"], mail("Receipt"), source="127.0.0.5")[0] == 250
            wait_until(lambda: copies(well) == {"bo@example.org": 1}, gateway)
            known = len(mails(full))
            wait_until(lambda: len(mails(full)) > known, gateway)  # one copy on trial
            # at most two of each of the first connections, and one for each trial since
            rows = attempts(gateway)
            tried = [row for row in rows if row[0] == "deferred"]
            assert len(tried) <= len(mails(full)) <= 16
            assert {reply[:9] for _, _, reply in tried} == {"452 4.3.1"}
            assert {count for state, count, _ in rows if state == "ready"} == {0}
            assert any(r[0] == "ready" and r[2].startswith("452 4.3.1") for r in rows)
            assert "452 4.3.1 disk full" in gateway.run("queue", "list", "--json").stdout

            steps.clear()
            wait_until(lambda: events(gateway, "upstream takes mail"), gateway)
            gateway.run("queue", "retry", "--all")
            wait_until(lambda: states(gateway) == {"delivered": 302}, gateway)
            assert set(copies(full).values()) == {1}
            assert len(events(gateway, "upstream is away")) == 1
            assert len(events(gateway, "upstream takes mail")) == 1
            assert events(gateway, "upstream is away")[0]["upstream"] == "default"
