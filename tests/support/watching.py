"""What tests of the running program wait for and look at."""

import http.client
import smtplib
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import text

from support.patience import PATIENCE_SECONDS

MAIL = (
    b"From: Acme <news@acme.example>\r\nTo: news@acme.example\r\nSubject: %s\r\n"
    b"Message-ID: <spring@acme.example>\r\nDate: Mon, 01 Mar 2027 09:00:00 +0000\r\n%s\r\nHello\r\n"
)


def mail(subject, *header_lines):
    """A small message; each subject is a campaign of its own."""
    return MAIL % (subject.encode(), b"".join(f"{line}\r\n".encode() for line in header_lines))


def send(gateway, recipients, content, *, mail_from="news@acme.example", mail_options=(),
         rcpt_options=(), source="127.0.0.1"):  # fmt: skip
    """Submits `content`; the final reply as (code, text)."""
    with smtplib.SMTP(
        "127.0.0.1", gateway.smtp_port, timeout=PATIENCE_SECONDS, source_address=(source, 0)
    ) as client:
        client.ehlo("mailer.example")
        code, said = client.mail(mail_from, list(mail_options))
        assert code == 250, said
        for recipient in recipients:
            code, said = client.rcpt(recipient, list(rcpt_options))
            assert code == 250, said
        code, said = client.data(content)
    return code, said.decode()


def wait_until(holds, gateway=None, seconds=PATIENCE_SECONDS):
    """Returns what `holds()` does as soon as that is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = holds()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("it did not happen" + (f":\n{gateway.log()[-4000:]}" if gateway else ""))


def request(method, link, body=None):
    """The status of a request, as a mail client's server makes it."""
    parts = urlsplit(link)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=PATIENCE_SECONDS)
    headers = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
    connection.request(method, parts.path, body, headers)
    status = connection.getresponse().status
    connection.close()
    return status


def rows(gateway):
    """(address, state, reason) of every recipient there ever was."""
    query = text("SELECT address, state, reason FROM recipient ORDER BY id")
    with gateway.store() as store:
        return [tuple(row) for row in store.read_now(lambda tx: tx.connection.execute(query).all())]


def states(gateway, among=None):
    """How many recipients are in each state."""
    return Counter(
        state for address, state, _ in rows(gateway) if among is None or address in among
    )


def copies(upstream):
    """How many copies upstream took, by recipient."""
    return Counter(
        address
        for message in list(upstream.messages)
        if message.taken
        for address in message.recipients
    )


def child_processes(process):
    """The ids of the processes that `process` started and that still run."""
    found = []
    for task in Path(f"/proc/{process.pid}/task").iterdir():
        with suppress(OSError):  # a thread that has ended just now left its children to another
            found += map(int, (task / "children").read_text().split())
    return sorted(found)


def lives(pid):
    """Whether a process still has a thread, and with it its files and locks.

    What is left otherwise is a name that nobody has asked after yet.
    """
    try:
        stats = [stat.read_text() for stat in Path(f"/proc/{pid}/task").glob("*/stat")]
    except OSError:  # one has ended just now
        return lives(pid)
    return any(stat.rpartition(")")[2].split()[0] not in "ZX" for stat in stats)


def listens(pid, port):
    """Whether a process has a socket of its own that listens on `port`."""
    lines = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    wanted = {
        f"socket:[{line[9]}]"
        for line in lines
        if line[3] == "0A" and int(line[1].rpartition(":")[2], 16) == port
    }
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):  # closed since
            if str(descriptor.readlink()) in wanted:
                return True
    return False


def memory(pid):
    """The memory of a process's own, in bytes: without pages of files that it maps."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("RssAnon:"))
    return int(line.split()[1]) * 1024


@contextmanager
def memory_watched(pid):
    """Yields a function that says the most memory the process had since the beginning."""
    seen, over = [memory(pid)], threading.Event()

    def watch():
        while not over.wait(0.005):
            seen[0] = max(seen[0], memory(pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield lambda: seen[0]
    finally:
        over.set()
        watcher.join()
