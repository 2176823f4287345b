"""The embedded store held by another process for longer than patience lasts."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor

from support.consents import granted
from support.program import Program
from support.upstream import UpstreamThread
from support.watching import copies, mail, request, rows, send, wait_until

PEOPLE = [f"reader{number}@example.org" for number in range(3)]


def test_nothing_is_promised_while_the_store_is_held_and_all_works_afterwards(tmp_path):
    with UpstreamThread() as upstream:
        gateway = Program(tmp_path, upstream_port=upstream.port)
        gateway.record({address: [granted()] for address in PEOPLE})
        with gateway:
            assert send(gateway, PEOPLE[:1], mail("Before"))[0] == 250
            wait_until(lambda: upstream.messages, gateway)
            link = next(
                line.partition(b"<")[2].rstrip(b">\r").decode()
                for line in upstream.messages[0].content.splitlines()
                if line.startswith(b"List-Unsubscribe:")
            )
            holder = sqlite3.connect(tmp_path / "data" / "gatepost.db", isolation_level=None)
            holder.execute("BEGIN IMMEDIATE")
            with ThreadPoolExecutor() as threads:
                submitted = threads.submit(send, gateway, PEOPLE[1:2], mail("Meanwhile"))
                clicked = threads.submit(request, "POST", link, b"List-Unsubscribe=One-Click")
                code, said = submitted.result()
                assert (code, said[:5]) == (451, "4.4.3")
                assert clicked.result() == 503
            holder.execute("ROLLBACK")
            holder.close()

            assert request("POST", link, b"List-Unsubscribe=One-Click") == 200
            assert send(gateway, PEOPLE, mail("After"))[0] == 250
            wait_until(lambda: len(rows(gateway)) == 4, gateway)
            wait_until(lambda: len(copies(upstream)) == 3, gateway)
        assert [state for _, state, _ in rows(gateway)] == [
            "delivered", "dropped", "delivered", "delivered",
        ]  # fmt: skip
