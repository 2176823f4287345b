"""The running program on PostgreSQL: kill -9, a second gateway, a server that goes away."""

import shutil
import threading

from support.consents import granted, withdrawn
from support.program import Program
from support.upstream import Script, Slow, UpstreamThread
from support.watching import copies, mail, request, send, states, wait_until

PEOPLE = [f"reader{number}@example.org" for number in range(600)]
GONE = PEOPLE[::20]


def test_kill_9_in_the_middle_of_a_mailing(tmp_path, postgres_url):
    """What the dead process had claimed is taken up at its next start, not after the lease."""
    with UpstreamThread(Script(steps={"DOT": Slow(0.02, "250 2.0.0 ok")})) as upstream:
        gateway = Program(
            tmp_path, upstream_port=upstream.port, connections=4, store_url=postgres_url
        )
        gateway.record(
            {a: [granted()] for a in PEOPLE} | {a: [granted(), withdrawn()] for a in GONE}
        )
        with gateway:
            assert send(gateway, PEOPLE, mail("Killed"))[0] == 250
            wait_until(lambda: len(upstream.messages) > 100, gateway)
            with upstream.thinking(0.1):
                gateway.kill()
                # What it had said to the end may lie unread in front of upstream.
                wait_until(lambda: not upstream.open_connections)
            before = copies(upstream)
            assert before.total() < 500, "the kill came in the middle"
            gateway.start()
            wait_until(lambda: states(gateway) == {"delivered": 570, "dropped": 30}, gateway)
        got = copies(upstream)
        assert set(got) == set(PEOPLE) - set(GONE)
        twice = {address for address, count in got.items() if count > 1}
        assert twice <= set(before), "only what upstream had already taken can come again"
        assert len(twice) <= 4 * 64


def test_a_second_gateway_leaves_alone_what_the_first_is_sending(tmp_path, postgres_url):
    with UpstreamThread(Script(steps={"DOT": Slow(0.3, "250 2.0.0 ok")})) as upstream:
        folders = [tmp_path / "first", tmp_path / "second"]
        for folder in folders:
            folder.mkdir()
        first, second = (
            Program(folder, upstream_port=upstream.port, connections=1, store_url=postgres_url)
            for folder in folders
        )
        first.record({address: [granted()] for address in PEOPLE})
        # As an administrator might: the folder is copied whole, its id with it.
        with first:
            shutil.copytree(folders[0] / "data", folders[1] / "data")
            assert send(first, PEOPLE[:200], mail("Shared"))[0] == 250
            wait_until(lambda: len(upstream.messages) > 3, first)
            with second:
                assert len(upstream.messages) < 190, "the second came in the middle"
                upstream.script.steps.clear()
                assert send(second, PEOPLE[200:300], mail("Shared"))[0] == 250
                link = next(
                    line.partition(b"<")[2].rstrip(b">\r")
                    for line in upstream.messages[0].content.splitlines()
                    if line.startswith(b"List-Unsubscribe:")
                ).decode()
                elsewhere = link.replace(str(first.http_port), str(second.http_port))
                assert request("POST", elsewhere, b"List-Unsubscribe=One-Click") == 200
                wait_until(lambda: states(first) == {"delivered": 300}, first)
        assert set(copies(upstream).values()) == {1}


def test_a_server_that_goes_away_and_comes_back(tmp_path, postgres_server, postgres_url):
    with UpstreamThread() as upstream:
        gateway = Program(tmp_path, upstream_port=upstream.port, store_url=postgres_url)
        gateway.record({address: [granted()] for address in PEOPLE[:3]})
        with gateway:
            assert send(gateway, PEOPLE[:1], mail("Before"))[0] == 250
            wait_until(lambda: len(upstream.messages) == 1, gateway)
            link = next(
                line.partition(b"<")[2].rstrip(b">\r")
                for line in upstream.messages[0].content.splitlines()
                if line.startswith(b"List-Unsubscribe:")
            ).decode()
            postgres_server.down()
            try:
                code, said = send(gateway, PEOPLE[1:2], mail("Meanwhile"))
                assert (code, said[:5]) == (451, "4.4.3")
                assert request("POST", link, b"List-Unsubscribe=One-Click") == 503
                assert request("GET", f"http://127.0.0.1:{gateway.http_port}/readyz") == 503
                assert request("GET", f"http://127.0.0.1:{gateway.http_port}/healthz") == 200
            finally:
                postgres_server.up()
            wait_until(lambda: send(gateway, PEOPLE[2:3], mail("After"))[0] == 250, gateway)
            wait_until(lambda: PEOPLE[2] in copies(upstream), gateway)
            assert request("POST", link, b"List-Unsubscribe=One-Click") == 200
            assert PEOPLE[1] not in copies(upstream)


def test_outcomes_survive_an_outage_in_the_middle_of_a_mailing(
    tmp_path, postgres_server, postgres_url
):
    """Copies that are on the wire when the store goes away are not sent twice."""
    with UpstreamThread(Script(steps={"DOT": Slow(0.02, "250 2.0.0 ok")})) as upstream:
        gateway = Program(
            tmp_path, upstream_port=upstream.port, connections=2, store_url=postgres_url
        )
        gateway.record({address: [granted()] for address in PEOPLE[:300]})
        with gateway:
            assert send(gateway, PEOPLE[:300], mail("Outage"))[0] == 250
            wait_until(lambda: len(upstream.messages) > 50, gateway)
            with upstream.thinking(0.1):
                postgres_server.down()
                back = threading.Timer(1.0, postgres_server.up)
                back.start()
                assert len(upstream.messages) < 250, "it went away in the middle"
            back.join()
            wait_until(lambda: states(gateway) == {"delivered": 300}, gateway)
        assert copies(upstream).total() == 300
