"""Free ports of loopback, for programs that are told theirs before they start."""

import os
import secrets
import socket
from functools import cache
from pathlib import Path

_FEWEST = 2_000
_USUAL = range(15_000, 32_000)

_given: dict[int, None] = {}  # a program gets several before it listens on any; the oldest first


@cache
def _range(outgoing: str = "/proc/sys/net/ipv4/ip_local_port_range") -> range:
    """Beside the range from which the system takes ports for outgoing connections: one of those
    could otherwise be given away between our asking for it and the program's taking it."""
    try:
        low, high = map(int, Path(outgoing).read_text().split())
    except (OSError, ValueError):
        return _USUAL
    beside = range(15_000, low), range(high + 1, 65_536), range(2_000, low)
    return next((ports for ports in beside if len(ports) >= _FEWEST), _USUAL)


def _own() -> range:
    """Those that no other worker of the same run gives away, be they in use at the moment or not:
    a program that is started again wants its ports back."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return _range()[int(worker) :: workers]


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on, hard to be met by others who look for one."""
    own = _own()
    if len(_given) > len(own) // 2:
        del _given[next(iter(_given))]
    while True:
        port = secrets.choice(own)
        if port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given[port] = None
        return port
