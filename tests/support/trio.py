"""Three gateways on one PostgreSQL, each with something the matter.

with Trio(tmp_path, server, readers) as trio:
    trio.first                # may be killed
    trio.second, trio.line    # its line to PostgreSQL may be cut
    trio.third                # its clock is ten minutes wrong
    trio.upstream             # takes the mail of all; `trio.sender_of(message)` is the gateway

They have their keys in common, and nothing else but the store.
"""

import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from gatepost.app.holders import holders
from support.consents import granted
from support.program import CONFIG, Program
from support.proxy import Proxy
from support.upstream import Script, Slow, UpstreamThread
from support.watching import send

WRONG_SECONDS = 600
_FAKETIME = "faketime/libfaketime.so.1"


class Patient(Program):
    """A gateway that may take long to start, because others do at the same time."""

    def wait_until_ready(self, seconds=300):
        super().wait_until_ready(seconds)


class WrongClock(Patient):
    """A gateway on a machine whose clock is set ten minutes ahead."""

    def command(self):
        (library,) = Path("/usr/lib").glob(f"*/{_FAKETIME}")  # Debian's package faketime
        fake = (
            f"LD_PRELOAD={library}", f"FAKETIME=+{WRONG_SECONDS}s",
            "FAKETIME_DONT_FAKE_MONOTONIC=1", "NO_FAKE_STAT=1",
        )  # fmt: skip
        return ["env", *fake, *super().command()]


class Trio:
    """The gateways, their upstream, and the line that can be cut."""

    def __init__(self, folder, server, readers, *, upstream_seconds=0.04, connections=2):
        self._folder = folder
        self._server = server
        self._readers = readers
        self._slow = Script(steps={"DOT": Slow(upstream_seconds, "250 2.0.0 ok")})
        self._connections = connections
        self._stack = ExitStack()

    def __enter__(self):
        with ExitStack() as stack:
            url = self._server.database()
            stack.callback(self._server.drop, url)
            self.upstream = stack.enter_context(UpstreamThread(self._slow))
            self.line = stack.enter_context(Proxy(self._server.port))
            cuttable = url.replace(f":{self._server.port}/", f":{self.line.port}/")
            self.first = self._gateway("first", url)
            self.second = self._gateway("second", cuttable)
            self.third = self._gateway("third", url, WrongClock)
            self.all = (self.first, self.second, self.third)
            self.first.record({reader: [granted()] for reader in self._readers})
            for other in self.all[1:]:
                keys = Path("data", "keys")
                (other.folder / "data").mkdir(mode=0o700)
                shutil.copytree(self.first.folder / keys, other.folder / keys)
            with ThreadPoolExecutor() as together:
                for _ in together.map(stack.enter_context, self.all):
                    pass
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *given):
        return self._stack.__exit__(*given)

    def _gateway(self, name, url, kind=Patient):
        folder = self._folder / name
        folder.mkdir()
        config = CONFIG.replace("relay.example.org", f"{name}.example.org")
        return kind(
            folder,
            upstream_port=self.upstream.port,
            store_url=url,
            connections=self._connections,
            config=config,
        )

    def sender_of(self, message):
        """Which gateway sent a message."""
        (name,) = {
            words.removeprefix("EHLO ").partition(".")[0]
            for connection, words in list(self.upstream.commands)
            if connection == message.connection and words.startswith("EHLO ")
        }
        return getattr(self, name)

    def send_somewhere(self, first_choice, recipients, content):
        """Submits to the first that takes it, as behind one address; the reply, and who gave it."""
        turn = self.all.index(first_choice)
        for gateway in (*self.all[turn:], *self.all[:turn]):
            try:
                return send(gateway, recipients, content), gateway
            except ConnectionRefusedError:
                continue
        raise AssertionError("none of them is there")


def holder_of(gateway):
    """The name under which a gateway holds rows of the spool."""
    return holders(gateway.folder / "data")[0]
