"""An upstream that leaves the configuration takes no mail with it (promise 1)."""

from support.ports import free_port
from support.program import Program
from support.upstream import UpstreamThread
from support.watching import copies, mail, rows, send, wait_until

UPSTREAM = """
[upstreams.till]
port = {port}
"""
STREAM = """
[streams.till]
kind = "transactional"
sender = "acme"
{upstream}

[clients.till]
networks = ["127.0.0.5"]
streams = ["till"]
"""


def test_its_queue_goes_where_the_stream_goes_now(tmp_path):
    before = UPSTREAM.format(port=free_port()) + STREAM.format(upstream='upstream = "till"')
    with UpstreamThread() as upstream:
        gateway = Program(tmp_path, upstream_port=upstream.port, more=before)
        with gateway:
            send(gateway, ["ann@shop.example"], mail("Receipt"), source="127.0.0.5")
            wait_until(lambda: "upstream is away" in gateway.log(), gateway)
        assert [state for _, state, _ in rows(gateway)] == ["ready"]
        written = gateway.config.read_text().replace(before, STREAM.format(upstream=""))
        gateway.config.write_text(written)
        with gateway:
            wait_until(lambda: copies(upstream) == {"ann@shop.example": 1}, gateway)
            assert "upstream is gone" in gateway.log()
