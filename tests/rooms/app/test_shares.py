"""Workers share what upstream allows, and each counts for itself what clients may."""

import pytest

from gatepost.app.gateway import Gateway
from gatepost.app.supervisor import Place
from gatepost.config import load
from support.program import CONFIG


@pytest.mark.parametrize(("place", "seconds"), [(None, 0.6), (Place(1, 2), 1.2)])
async def test_each_worker_has_its_share_of_upstreams_rate(tmp_path, place, seconds):
    text = CONFIG.format(
        smtp_port=0, http_port=0, admin_port=0, upstream_port=1, connections=2, store_url=""
    )
    text = text.replace("http://127.0.0.1:0", "http://127.0.0.1:8025")
    path = tmp_path / "config.toml"
    path.write_text(text.replace("[upstream]\n", '[upstream]\nrate = "100/min"\n'))
    gateway = Gateway(load(path, {}), place=place)
    await gateway.start()
    try:
        (pool,) = gateway.outbound._pools.values()
        pool._bucket.take(0.0)
        pool._bucket.take(0.0)
        assert pool._bucket.wait(0.0) == pytest.approx(2 * seconds - max(0, 1 - seconds))
    finally:
        await gateway.stop()
