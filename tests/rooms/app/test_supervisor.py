"""Workers are kept running, whatever the system has to give at the moment."""

import errno
import os
import signal
import subprocess

from gatepost.app import supervisor
from gatepost.app.supervisor import Supervisor


def test_a_system_without_room_for_a_process_is_asked_again(tmp_path, monkeypatch):
    monkeypatch.setattr(supervisor, "RESTART_PAUSE_SECONDS", 0.05)
    (tmp_path / "metrics").mkdir()
    keeper = Supervisor(tmp_path / "config.toml", 1, tmp_path, 0, (2, 3))
    spawned = []

    def spawn(place):
        spawned.append(place)
        if len(spawned) == 2:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        if len(spawned) == 3:
            keeper._signals.put(signal.SIGTERM)
        program = "false" if len(spawned) == 1 else "cat"
        return subprocess.Popen([program], stdin=subprocess.PIPE)

    monkeypatch.setattr(keeper, "_spawn", spawn)
    keeper._start(0)
    assert keeper._watch() == 0
    assert spawned == [0, 0, 0]
    assert keeper._workers[0].poll() is None
    keeper._end()
    assert keeper._workers[0].poll() is not None
