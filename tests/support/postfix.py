"""A private Postfix from Debian's package: own folders, own port on loopback, no daemon of the machine.

    with Postfix(tmp_path, settings={...}) as postfix:
        postfix.port      # its smtpd
        postfix.maildirs  # as upstream: every accepted recipient has a Maildir of that name

Postfix insists on being started by root and on owning its folders.
"""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from tempfile import mkdtemp

from support.ports import free_port

MASTER = """
{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 1 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix:
    """One instance; a context manager that starts and stops it."""

    def __init__(self, *, hostname="mx.example.test", settings=None, mailboxes=()):
        self.port = free_port()
        # Postfix wants every parent folder passable for its own user, which pytest's are not.
        self.folder = Path(mkdtemp(prefix="gatepost-postfix-", dir="/tmp"))
        self.folder.chmod(0o755)
        self.maildirs = self.folder / "mail"
        self.log = self.folder / "log" / "postfix.log"
        self._mailboxes = mailboxes
        self._settings = self._base(hostname) | self._inbox() | (settings or {})

    def _base(self, hostname):
        return {
            "compatibility_level": "3.6",
            "myhostname": hostname,
            "mydestination": "",
            "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4",
            "mynetworks": "127.0.0.0/8",
            "queue_directory": self.folder / "queue",
            "data_directory": self.folder / "data",
            "maillog_file": self.log,
            "maillog_file_prefixes": self.folder,
            "alias_maps": "",
            "alias_database": "",
            "local_recipient_maps": "",
            "smtputf8_enable": "yes",
            "smtpd_peername_lookup": "no",
            "disable_dns_lookups": "yes",
            "smtp_host_lookup": "native",
        }

    def _inbox(self):
        if not self._mailboxes:
            return {}
        domains = {address.rpartition("@")[2] for address in self._mailboxes}
        return {
            "virtual_mailbox_domains": " ".join(sorted(domains)),
            "virtual_mailbox_base": self.maildirs,
            "virtual_mailbox_maps": f"texthash:{self.folder}/mailboxes",
            "virtual_uid_maps": "static:65534",
            "virtual_gid_maps": "static:65534",
        }

    def __enter__(self):
        for name, mode in (
            ("queue", 0o755),
            ("data", 0o755),
            ("etc", 0o755),
            ("log", 0o777),
            ("mail", 0o777),
        ):
            (self.folder / name).mkdir()
            (self.folder / name).chmod(mode)
        shutil.chown(self.folder / "data", "postfix")
        etc = self.folder / "etc"
        (etc / "main.cf").write_text(
            "".join(f"{key} = {value}\n" for key, value in self._settings.items())
        )
        (etc / "master.cf").write_text(MASTER.format(port=f"127.0.0.1:{self.port}"))
        (self.folder / "mailboxes").write_text(
            "".join(f"{address} {address}/\n" for address in self._mailboxes)
        )
        self._command("start")
        self._wait_for_port()
        return self

    def __exit__(self, *exception):
        try:
            self._command("stop")
        finally:
            if exception[0] is None:
                shutil.rmtree(self.folder, ignore_errors=True)

    def flush(self):
        """Try everything in the queue again, now."""
        self._command("flush")

    def inbox(self, address):
        """The messages that arrived for `address`, as bytes in the order of arrival."""
        folder = self.maildirs / address / "new"
        if not folder.is_dir():
            return []
        return [
            path.read_bytes()
            for path in sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        ]

    def queue_is_empty(self):
        listing = subprocess.run(
            ["postqueue", "-c", self.folder / "etc", "-j"], capture_output=True, check=True
        )
        return not listing.stdout.strip()

    def _command(self, word):
        outcome = subprocess.run(
            ["postfix", "-c", self.folder / "etc", word],
            capture_output=True, text=True, timeout=300, check=False, env={"PATH": os.environ["PATH"]},
        )  # fmt: skip
        if outcome.returncode:
            log = self.log.read_text() if self.log.exists() else ""
            raise RuntimeError(f"postfix {word}: {outcome.stderr}{outcome.stdout}\n{log}")

    def _wait_for_port(self):
        for _ in range(600):
            with socket.socket() as probe:
                probe.settimeout(1)
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)
        raise RuntimeError(f"Postfix did not open its port:\n{self.log.read_text()}")
