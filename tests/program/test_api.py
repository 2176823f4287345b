"""Other systems and the running program: a withdrawal by API stops a queued copy, opt-outs travel on."""

import asyncio
import contextlib
import http.client
import json
import re
import threading

import pytest

from gatepost.store import api_keys, onward
from support.consents import granted
from support.listening import listening
from support.program import Program
from support.upstream import UpstreamThread
from support.watching import copies, mail, request, rows, send, wait_until

ANNA, BO = "anna@example.org", "bo@example.org"
SECRET = "a secret of thirty-two characters"


def key(gateway, **wanted):
    """A key to the API, made beside the running program."""
    with gateway.store() as store:
        return store.write_now(lambda tx: api_keys.add(tx, "crm", **wanted))


def ask(gateway, token, path, body=None):
    """(status, JSON) of a request to the API."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.admin_port, timeout=60)
    head = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    connection.request("GET" if body is None else "POST", f"/api/v1{path}",
                       None if body is None else json.dumps(body), head)  # fmt: skip
    answer = connection.getresponse()
    said = answer.read()
    connection.close()
    return answer.status, json.loads(said)


def state_of(gateway, address):
    return next((state for one, state, _ in rows(gateway) if one == address), None)


@contextlib.contextmanager
def another_system(folder):
    """`listening` in a thread, because a test of the program blocks."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    opened = listening(folder)
    there = asyncio.run_coroutine_threadsafe(opened.__aenter__(), loop).result(60)
    try:
        yield there
    finally:
        asyncio.run_coroutine_threadsafe(opened.__aexit__(None, None, None), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(60)
        loop.close()


@pytest.mark.both_engines
def test_a_withdrawal_by_api_stops_a_queued_copy(tmp_path):
    with UpstreamThread() as upstream:
        gateway = Program(tmp_path, upstream_port=upstream.port)
        gateway.record({ANNA: [granted()], BO: [granted()]})
        with gateway:
            token = key(gateway, scopes=["withdrawals:write", "campaigns:read"])
            upstream.script.recipients = dict.fromkeys((ANNA, BO), "450 4.2.1 come again")
            assert send(gateway, [ANNA, BO], mail("Spring"))[0] == 250
            wait_until(lambda: state_of(gateway, ANNA) == state_of(gateway, BO) == "deferred")
            status, said = ask(
                gateway, token, "/withdrawals", {"address": ANNA, "stream": "newsletter"}
            )
            assert (status, said["status"]) == (200, "withdrawn")
            upstream.script.recipients = {}
            gateway.run("queue", "retry", "--all", check=False)
            wait_until(lambda: state_of(gateway, BO) == "delivered", gateway)
            wait_until(lambda: state_of(gateway, ANNA) == "dropped", gateway)
            assert copies(upstream) == {BO: 1}
            status, (campaign,) = ask(gateway, token, "/campaigns")
            assert (status, campaign["reasons"]) == (200, {"consented": 1, "withdrawn": 1})
            lines = [json.loads(line) for line in gateway.log().splitlines()]
            (entry,) = [line for line in lines if line["event"] == "withdrawn"]
            assert (entry["method"], entry["stream"]) == ("api", "newsletter")
            assert ANNA not in entry.values()


def test_a_revoked_key_is_none_at_once(tmp_path):
    with UpstreamThread() as upstream, Program(tmp_path, upstream_port=upstream.port) as gateway:
        token = key(gateway)
        assert ask(gateway, token, "/campaigns")[0] == 200
        gateway.run("apikey", "revoke", "crm")
        assert ask(gateway, token, "/campaigns")[0] == 401


@pytest.mark.both_engines
def test_opt_outs_travel_on(tmp_path):
    """The mailer's own one-click address, its mailto, and a webhook, each told once."""
    with UpstreamThread() as upstream, another_system(tmp_path) as there:
        more = f"""
[onward]
allowed_hosts = ["localhost", "lists.example"]
wait = "1 s"
allow_private = true
authority = "{there.authority}"

[webhooks.crm]
url = "{there.url}"
secret = "{SECRET}"
events = ["withdrawn", "resubscribed"]
allow_private = true
authority = "{there.authority}"
"""
        gateway = Program(tmp_path, upstream_port=upstream.port, more=more)
        gateway.record({one: [granted()] for one in (ANNA, BO, "c@example.org", "d@example.org")})
        click = (f"List-Unsubscribe: <https://localhost:{there.port}/leave?id=%s>",
                 "List-Unsubscribe-Post: List-Unsubscribe=One-Click")  # fmt: skip
        with gateway:
            assert gateway.run("webhook", "test", "crm").stdout == "crm took it\n"
            (test,) = there.heard
            assert test.json["event"] == "test"
            there.heard.clear()

            def submit(subject, recipients, *head):
                assert send(gateway, recipients, mail(subject, *head))[0] == 250
                wait_until(lambda: len(copies(upstream)) and _links(upstream, subject), gateway)
                return _links(upstream, subject)

            links = submit("One", [ANNA], click[0] % "anna", click[1])
            links |= submit(
                "Two", [BO], "List-Unsubscribe: <mailto:leave+tok12345@lists.example?subject=Go>"
            )
            links |= submit("Three", ["c@example.org", "d@example.org"], click[0] % "all", click[1])
            wait_until(lambda: len(_links(upstream, "Three")) == 2, gateway)
            links |= _links(upstream, "Three")
            for address in (ANNA, BO, "c@example.org"):
                assert request("POST", links[address], b"List-Unsubscribe=One-Click") == 200
            wait_until(lambda: len([h for h in there.heard if h.path == "/hook"]) == 3, gateway)
            wait_until(lambda: [h for h in there.heard if h.path.startswith("/leave")], gateway)
            wait_until(lambda: copies(upstream)["leave+tok12345@lists.example"] == 1, gateway)
            told = {
                heard.json["address"]: heard.json["event"]
                for heard in there.heard
                if heard.path == "/hook"
            }
            assert told == dict.fromkeys((ANNA, BO, "c@example.org"), "withdrawn")
            (left,) = [heard for heard in there.heard if heard.path.startswith("/leave")]
            assert (left.path, left.body) == ("/leave?id=anna", b"List-Unsubscribe=One-Click")
            assert left.headers["content-type"] == "application/x-www-form-urlencoded"
            letter = next(
                m for m in upstream.taken if m.recipients == ["leave+tok12345@lists.example"]
            )
            assert b"Subject: Go" in letter.content
            assert b"From: Acme AB <kontakt@acme.example>" in letter.content.replace(b'"', b"")
            assert BO.encode() not in letter.content
            wait_until(lambda: _told(gateway, "crm") == (3, 0, 0), gateway)
            wait_until(lambda: not _told(gateway, "@mailers")[-1], gateway)
            assert SECRET not in gateway.log()


def _told(gateway, name):
    """How many notes were delivered, are dead, and wait; what was heard is noted a little later."""
    with gateway.store() as store:
        listed = {one.name: one for one in store.read_now(onward.list_webhooks)}
    return listed[name].delivered, listed[name].dead, listed[name].waiting


def _links(upstream, subject):
    """The one-click link of each copy."""
    found = {}
    for message in list(upstream.taken):
        if f"Subject: {subject}\r\n".encode() in message.content:
            link = re.search(rb"List-Unsubscribe: <(http[^>]+)>", message.content)
            found[message.recipients[0]] = link.group(1).decode()
    return found
