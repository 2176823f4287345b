"""Free ports of loopback, for programs that are told theirs before they start."""

import os
import secrets
import socket

# Below the range from which the system takes ports for outgoing connections: one of those could
# otherwise be given away between our asking for it and the program's taking it.
_RANGE = range(15_000, 32_000)

_given: set[int] = set()  # a program gets several before it listens on any


def _own() -> range:
    """Those that no other worker of the same run gives away, be they in use at the moment or not:
    a program that is started again wants its ports back."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return _RANGE[int(worker) :: workers]


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on, hard to be met by others who look for one."""
    own = _own()
    if len(_given) > len(own) // 2:
        _given.clear()
    while True:
        port = secrets.choice(own)
        if port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port
