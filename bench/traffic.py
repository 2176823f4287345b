"""Generator and sink, the same for every contender: Postfix's smtp-source and smtp-sink.

In: a `Workload` and the port of a contender that hands over to the sink. Out: seconds from the
generator's start until the sink has taken the last copy.

*Fails:* `TrafficError` if the generator is refused, or if copies are still missing after
`PATIENCE_SECONDS`.
*Known limits:* the sink's count is looked at 50 times a second.
"""

import os
import re
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from support.postfix import free_port

PATIENCE_SECONDS = 90
LOOK_SECONDS = 0.02
SESSIONS = 20
RECIPIENT = "reader@lists.example"  # smtp-source puts a number before it
_COUNT = re.compile(rb"mesg=(\d+)")


class TrafficError(Exception):
    """A round that cannot be counted."""


@dataclass(frozen=True)
class Workload:
    """One kind of traffic. `copies` = messages by recipients."""

    key: str
    title: str
    goal: float
    messages: int
    recipients: int = 1
    kept_connections: bool = False
    signed: bool = False
    personal: bool = False  # each message has a text of its own
    octets: int = 4_000
    peers: tuple[str, ...] = ()  # besides Gatepost; the ratio is to the first, ...
    instead: str = ""  # ... or to its rate in this other workload

    @property
    def copies(self):
        return self.messages * self.recipients


class Sink:
    """A running smtp-sink; it offers PIPELINING and throws all mail away."""

    def __init__(self):
        self.port = free_port()
        self.taken = 0

    def __enter__(self):
        self._process = subprocess.Popen(
            ["smtp-sink", "-c", "-u", "postfix", f"127.0.0.1:{self.port}", "512"],
            stdout=subprocess.PIPE,
        )
        threading.Thread(target=self._count, daemon=True).start()
        return self

    def __exit__(self, *exception):
        self._process.terminate()
        self._process.wait()

    def wait_for(self, copies):
        """Returns when that many copies have been taken since the sink began."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.taken < copies:
            if time.monotonic() > deadline:
                raise TrafficError(f"the sink has {self.taken} copies, not {copies}")
            time.sleep(LOOK_SECONDS)

    def _count(self):
        rest = b""
        while piece := os.read(self._process.stdout.fileno(), 65536):
            rest += piece
            # The last number may be cut off, and is then smaller than the one before it.
            self.taken = max(self.taken, *map(int, _COUNT.findall(rest)[-2:]), 0)
            rest = rest[-80:]
            time.sleep(LOOK_SECONDS)


def run(workload, ports, sink, mail):
    """Sends the workload through the servers at `ports`, a share to each; the seconds it took."""
    target, begun = sink.taken + workload.copies, time.monotonic()
    shares = [
        workload.messages // len(ports) + (place < workload.messages % len(ports))
        for place in range(len(ports))
    ]
    generators = [
        subprocess.Popen(
            list(map(str, _command(workload, port, mail, share, SESSIONS // len(ports)))),
            stderr=subprocess.PIPE,
            text=True,
        )
        for port, share in zip(ports, shares, strict=True)
        if share
    ]
    for generator in generators:
        _, said = generator.communicate(timeout=PATIENCE_SECONDS)
        if generator.returncode:
            raise TrafficError(f"the generator: {said.strip()}")
    sink.wait_for(target)
    return time.monotonic() - begun


def _command(workload, port, mail, messages, sessions):
    if workload.personal:
        return [sys.executable, Path(__file__).with_name("crowd.py"), port, mail, messages]
    return [
        "smtp-source", "-N", "-F", mail, "-f", sender(workload), "-t", RECIPIENT,
        "-s", min(sessions, messages), "-m", messages, "-r", workload.recipients,
        *(["-d"] if workload.kept_connections else []),
        f"127.0.0.1:{port}",
    ]  # fmt: skip


def run_bare(workload, sink, mail):
    """The same copies from `bare.py`, straight to the sink; the seconds it took."""
    target = sink.taken + workload.copies
    script = Path(__file__).with_name("bare.py")
    outcome = subprocess.run(
        [sys.executable, script, str(sink.port), str(workload.copies), mail],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    if outcome.returncode:
        raise TrafficError(f"bare.py: {outcome.stderr.strip()}")
    sink.wait_for(target)
    return float(outcome.stdout)


def sender(workload):
    """Mail of the second sender is signed."""
    return "news@signed.example" if workload.signed else "news@acme.example"


def write_mail(path: Path, from_: str, octets: int = 4_000):
    """A newsletter of about `octets` as mailers make them: text and HTML, quoted-printable."""
    times = (octets - 576) // 255
    sentence = "Spring is here, and with it bulbs, seeds and tools for your garden =E2=80=93 "
    text = "\n".join(f"{sentence}n=C2=BA {n}." for n in range(times))
    html = "\n".join(
        f'<p style=3D"margin:0"><a href=3D"https://shop.example/offers/{n}">Offer {n}</a>:=\n'
        f" {sentence}.</p>"
        for n in range(times + 1)
    )
    path.write_text(
        f"""From: Acme <{from_}>
To: Readers of the newsletter <{from_}>
Subject: Spring in your garden
Date: Mon, 01 Mar 2027 09:00:00 +0000
Message-ID: <spring@acme.example>
MIME-Version: 1.0
Content-Type: multipart/alternative; boundary="=_part"

--=_part
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

{text}

--=_part
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: quoted-printable

<html><body>
{html}
</body></html>

--=_part--
"""
    )
    return path
