import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gatepost.flow.accept.clients import ClientTable
from gatepost.flow.accept.server import Listener
from gatepost.flow.accept.tls import server_context
from gatepost.mail.client import Client
from support.certificates import make_certificate
from support.recording_handler import RecordingHandler

LOOPBACK = Client(name="local", networks=(ip_network("127.0.0.1/32"),))


@pytest.fixture
def handler() -> RecordingHandler:
    return RecordingHandler()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("certificate"), "localhost", "127.0.0.1")


@pytest.fixture
def server_tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    return server_context(*certificate)


@pytest.fixture
def client_tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate[0]))


@pytest_asyncio.fixture
async def listen(handler: RecordingHandler) -> AsyncIterator[Callable[..., Awaitable[Listener]]]:
    """Start a listener with these settings; stopped at the end of the test."""
    async with AsyncExitStack() as stack:

        async def start(clients: Any = (LOOPBACK,), **settings: Any) -> Listener:
            settings = {"hostname": "relay.example.org", "handler": handler} | settings
            listener = Listener(clients=ClientTable(clients), **settings)
            await listener.start()
            stack.push_async_callback(listener.stop, 0.0)
            return listener

        yield start


@pytest.fixture
def at_once(monkeypatch):
    """Delays are noted, not waited for."""
    slept = []
    real = asyncio.sleep

    async def sleep(seconds, *_):
        if seconds >= 1:
            slept.append(seconds)
        await real(0)

    monkeypatch.setattr("gatepost.flow.accept.secured.asyncio.sleep", sleep)
    return slept
