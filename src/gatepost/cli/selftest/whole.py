"""The whole program, in this process and a temporary folder, with the user's senders and streams.

In: settings. Out: listeners on free ports of loopback, a store, an inbox that plays upstream.
Of the user's installation only the configuration and the keys to sign with are read; nobody is
mailed, and nothing is left behind.

*Fails:* `OSError`, `StoreUnavailable`, `WiringError`, `TextsError` from entering.
*Known limits:* listeners' certificates, clients and classification are not part of the test.
"""

import asyncio
import contextlib
import http.client
import io
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from pydantic import SecretStr

from gatepost.app.gateway import Gateway
from gatepost.cli.demo.inbox import Inbox
from gatepost.config import Settings
from gatepost.config.gateway import SmtpSettings, UpstreamSettings
from gatepost.config.parties import ClientSettings
from gatepost.store.engine import Store

HOST = "127.0.0.1"
CLIENT = "selftest"
_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What the recipients' pages answered."""

    status: int
    headers: Mapping[str, str]  # by lower-case name
    body: str


class Whole:
    """The running program; a context manager. `inbox` holds what upstream got."""

    def __init__(self, settings: Settings) -> None:
        self._given = settings
        self._stack = contextlib.ExitStack()
        self._log = io.StringIO()
        self._started = threading.Event()
        self._trouble: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        """Starts everything; the log is kept, to be shown if something goes wrong."""
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="gatepost-selftest-")))
            self.inbox = stack.enter_context(Inbox(folder / "inbox"))
            self._settings = _in_folder(self._given, folder, self.inbox.port)
            stack.enter_context(contextlib.redirect_stderr(self._log))
            self._thread.start()
            stack.callback(self._end)
            self._started.wait()
            if self._trouble is not None:
                raise self._trouble
            self.store = stack.enter_context(Store.open("", folder / "data"))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Ends everything, and removes the folder."""
        self._stack.close()

    @property
    def log(self) -> str:
        """The last lines of the program's log."""
        return "\n".join(self._log.getvalue().splitlines()[-8:])

    @property
    def smtp_port(self) -> int:
        """Where mail is taken."""
        return self._gateway.smtp[0].port

    def wait_for(self, condition: Callable[[], Any]) -> Any:
        """What `condition` gives once it gives something; its last word after a while."""
        deadline = time.monotonic() + _SECONDS
        while not (found := condition()) and time.monotonic() < deadline:
            time.sleep(0.02)
        return found

    def ask(self, method: str, path: str, body: bytes = b"", kind: str = "") -> Answer:
        """Asks the recipients' pages, as a mail client or a scanner would."""
        pages = self._gateway.pages
        connection = http.client.HTTPConnection(HOST, pages.port if pages else 0, timeout=_SECONDS)
        headers = {"User-Agent": "Gatepost selftest"} | ({"Content-Type": kind} if kind else {})
        try:
            connection.request(method, path, body or None, headers)
            answer = connection.getresponse()
            named = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, named, answer.read().decode("utf-8", "replace"))
        finally:
            connection.close()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._ending = asyncio.get_running_loop(), asyncio.Event()
        try:
            self._gateway = Gateway(self._settings)
            await self._gateway.start()
        except BaseException as error:  # noqa: BLE001  raised again, where it is waited for
            self._trouble = error
            return
        finally:
            self._started.set()
        await self._ending.wait()
        await self._gateway.stop()

    def _end(self) -> None:
        if self._trouble is None:
            self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join()


def _in_folder(settings: Settings, folder: Path, upstream_port: int) -> Settings:
    """The settings with every door, every way out and all data in `folder` or on loopback."""
    sink = UpstreamSettings(host=HOST, port=upstream_port)
    door = {"address": HOST, "port": 0}
    client = ClientSettings.model_validate(
        {"networks": [f"{HOST}/32"], "streams": [*settings.streams], "trust_headers": True}
    )
    changes: dict[str, Any] = {
        "server": settings.server.model_copy(update={"data_dir": folder / "data", "workers": 1}),
        "smtp": (SmtpSettings(address=HOST, port=0),),
        "http": settings.http.model_copy(update=door),
        "admin": settings.admin.model_copy(update=door),
        "limits": settings.limits.model_copy(update={"min_free_disk": 0}),
        "store": settings.store.model_copy(update={"url": SecretStr("")}),
        "upstream": sink,
        "upstreams": dict.fromkeys(settings.upstreams, sink),
        "clients": {CLIENT: client},
        "classify": (),
    }
    return settings.model_copy(update=changes)
