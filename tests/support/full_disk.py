"""A gateway whose disk runs full under it: a story for a process with mounts of its own.

`python -m support.full_disk FOLDER` plays it on a small tmpfs, and ends with 0 if all was as it
should be. `unshare` gives the mounts, without privileges where the system lets everybody have
namespaces (`FULL_DISK` is the command, () where it does not).
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from support.consents import granted
from support.program import CONFIG, Program
from support.upstream import UpstreamThread
from support.watching import copies, mail, request, send, states, wait_until

OCTETS = 20_000_000
_MINE = ("unshare", "-m") if os.geteuid() == 0 else ("unshare", "-Urm")


def command():
    """What runs the story, before the folder; () where no mount can be had."""
    if not shutil.which("unshare"):
        return ()
    probe = [*_MINE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    if subprocess.run(probe, check=False, capture_output=True).returncode:
        return ()
    return (*_MINE, sys.executable, "-m", "support.full_disk")


def fill(data):
    """Takes what room there is."""
    with (data / "filler").open("ab", buffering=0) as file:
        for size in (65536, 512):
            try:
                while file.write(b"x" * size) == size:
                    pass
            except OSError:
                continue


def play(folder):
    data = folder / "data"
    data.mkdir(mode=0o700)
    options = f"size={OCTETS},mode=0700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", data], check=True)
    (data / "reserve").write_bytes(b"x" * 11_000_000)
    with UpstreamThread() as upstream:
        config = CONFIG.replace('min_free_disk = "1 MB"', 'min_free_disk = "0 MB"')
        gateway = Program(folder, upstream_port=upstream.port, store_url="", config=config)
        gateway.record({"reader@example.org": [granted()]})
        with gateway:
            acknowledged = fill_by_mail(gateway, "Number")
            assert len(acknowledged) > 5, "there was room for some"
            fill(data)  # what is left in the log is still used, then that is full, too
            acknowledged += fill_by_mail(gateway, "Once more")
            assert "disk is full" in gateway.log()
            (data / "filler").unlink()
            (data / "reserve").unlink()
            wait_until(lambda: is_ready(gateway), gateway)
            again = ["reader@example.org"], mail("Room again")
            wait_until(lambda: send(gateway, *again)[0] == 250, gateway)
            wait_until(lambda: states(gateway) == {"delivered": len(acknowledged) + 1}, gateway)
            assert copies(upstream) == {"reader@example.org": len(acknowledged) + 1}
            subjects = b"".join(message.content[:2000] for message in upstream.messages)
            assert all(subject in subjects for subject in acknowledged)
        assert gateway.run("ledger", "verify").returncode == 0
        assert gateway.run("store", "status", "--check").returncode == 0


def fill_by_mail(gateway, name):
    """Sends until the disk is full; the subjects of what was acknowledged."""
    acknowledged = []
    for number in range(100):
        message = mail(f"{name} {number:03}") + b"0123456789abcdef\r\n" * 12_000
        code, said = send(gateway, ["reader@example.org"], message)
        if code != 250:
            assert (code, said[:5]) == (452, "4.3.1"), said
            return acknowledged
        acknowledged.append(f"{name} {number:03}".encode())
    raise AssertionError("the disk was never full")


def is_ready(gateway):
    return request("GET", f"http://127.0.0.1:{gateway.http_port}/readyz") == 200


if __name__ == "__main__":
    play(Path(sys.argv[1]))
