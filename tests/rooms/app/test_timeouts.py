"""How patient a route is comes from the configuration (RQ-1)."""

import os

from gatepost.app.wiring import wire
from gatepost.config import load
from gatepost.flow.transmit.route import Timeouts

CONFIG = """
[server]
public_url = "http://127.0.0.1:8025"

[upstream.timeouts]
rcpt = "7 s"
"""


def test_rq_1_each_time_limit_is_a_setting_and_the_others_are_the_standards(tmp_path):
    config = tmp_path / "config.toml"
    config.write_text(CONFIG)
    settings = load(config, os.environ)
    (route,) = wire(settings).routes.values()
    assert route.timeouts == Timeouts(rcpt=7.0)
