"""Bounds hold whatever clients do: memory, the disk, and a turn for everybody."""

import asyncio
import os
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.consents import granted
from support.program import CONFIG, Program
from support.scale import scale
from support.smtp_talk import connected
from support.upstream import UpstreamThread
from support.watching import copies, memory_watched, request, rows, send, wait_until

MB = 1_000_000
IDLE = scale(200, 1000)
LARGE, LARGE_OCTETS = scale(12, 100), scale(8 * MB, 25 * MB)
RECIPIENTS = 10_000
COPIES = scale(24, 200)
# What the loads may add to the memory that the program takes when it is idle, some 130 MB:
# the budget of `[limits] memory`, and what the work itself takes.
BUDGET = scale(64 * MB, 200 * MB)
ALLOWED = BUDGET + 60 * MB
LIMITS = f"""[limits]
memory = "{BUDGET // MB} MB"
message_size = "{BUDGET // MB // 4} MB"
connections_per_client = {IDLE + 100}
"""


def large(subject, stream="office", octets=LARGE_OCTETS):
    head = (
        f"From: news@acme.example\r\nSubject: {subject}\r\nX-Gatepost-Stream: {stream}\r\n"
        "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=bb\r\n\r\n"
        "--bb\r\nContent-Type: text/plain\r\n\r\nThe pictures are attached.\r\n"
        "--bb\r\nContent-Type: application/octet-stream\r\n"
        "Content-Transfer-Encoding: base64\r\n\r\n"
    )
    line = b"Z2F0" * 19 + b"\r\n"
    return head.encode() + line * (octets // len(line)) + b"--bb--\r\n"


@pytest.fixture
def start(tmp_path):
    """Starts the program with these limits, and an upstream where none is given."""

    @contextmanager
    def running(upstream_port, limits=LIMITS, folder=tmp_path, consents=(), **more):
        config = CONFIG.replace("[limits]\n", limits)
        gateway = Program(folder, upstream_port=upstream_port, config=config, **more)
        if consents:
            gateway.record({address: [granted()] for address in consents})
        with gateway:
            yield gateway

    return running


async def submit(gateway, content, *recipients, source="127.0.0.1"):
    async with connected(gateway.smtp_port, source=source) as talk:
        return await talk.mail(content, *recipients)


def test_idle_connections_take_little_memory(start):
    async def sit():
        async with asyncio.TaskGroup() as group:
            enough, seated = asyncio.Event(), asyncio.Semaphore(0)

            async def idle():
                async with connected(gateway.smtp_port) as talk:
                    await talk.say("MAIL FROM:<news@acme.example>", "RCPT TO:<b@example.org>")
                    seated.release()
                    await enough.wait()

            for _ in range(IDLE):
                group.create_task(idle())
            for _ in range(IDLE):
                await seated.acquire()
            answer = await submit(gateway, b"Subject: x\r\n\r\nx\r\n", "b@example.org")
            enough.set()
        return answer

    with start(1) as gateway, memory_watched(gateway.process.pid) as most:
        before = most()
        assert asyncio.run(sit()).code in {250, 550}
        assert most() - before < 30 * MB


def test_large_messages_at_once_wait_for_their_share(start):
    """Also: a small one of somebody else is answered while they wait."""

    async def flood():
        tasks = [
            asyncio.create_task(submit(gateway, content, f"r{n}@example.org")) for n in range(LARGE)
        ]
        small = b"From: a@acme.example\r\nX-Gatepost-Stream: office\r\n\r\nsmall\r\n"
        async with connected(gateway.smtp_port) as other:
            assert (await other.mail(small, "small@example.org")).status == "250 2.0.0"
        waiting = sum(not task.done() for task in tasks)
        return waiting, [answer.status for answer in await asyncio.gather(*tasks)]

    content = large("Flood")
    with start(1) as gateway, memory_watched(gateway.process.pid) as most:
        before = most()
        waiting, answers = asyncio.run(flood())
        assert answers == ["250 2.0.0"] * LARGE
        assert waiting
        assert most() - before < ALLOWED
        assert len(rows(gateway)) == LARGE + 1
        assert not list((gateway.folder / "data").glob("tmp*"))


def test_copies_of_a_large_message_are_made_as_room_allows(start):
    people = [f"p{number}@example.org" for number in range(COPIES)]
    with (
        UpstreamThread() as upstream,
        start(upstream.port, consents=people, connections=20) as gateway,
        memory_watched(gateway.process.pid) as most,
    ):
        before = most()
        assert send(gateway, people, large("Large", "newsletter"))[0] == 250
        wait_until(lambda: len(upstream.messages) >= COPIES, gateway, scale(120, 600))
        assert most() - before < ALLOWED
        assert copies(upstream) == dict.fromkeys(people, 1)


def test_ten_thousand_recipients_in_one_message(start):
    async def campaign():
        async with connected(gateway.smtp_port) as talk:
            await talk.say("MAIL FROM:<news@acme.example>")
            names = [f"n{number}@example.org" for number in range(RECIPIENTS)]
            for first in range(0, RECIPIENTS, 500):
                await talk.say(*(f"RCPT TO:<{name}>" for name in names[first : first + 500]))
            assert (await talk.say("RCPT TO:<more@example.org>")).status == "452 4.5.3"
            await talk.say("DATA")
            await talk.send(
                b"From: news@acme.example\r\nSubject: Many\r\nX-Gatepost-Stream: office\r\n\r\n"
                b"Hello\r\n.\r\n"
            )
            return await talk.answer()

    with start(1) as gateway, memory_watched(gateway.process.pid) as most:
        before = most()
        assert asyncio.run(campaign()).status == "250 2.0.0"
        assert most() - before < ALLOWED
        listed = gateway.run("queue", "list").stdout.splitlines()
        assert len(listed) == RECIPIENTS + 1


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", folder], check=True)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_452_before_the_disk_is_full_and_again_250_after(small_disk):
    limits = '[limits]\nmessage_size = "8 MB"\nmin_free_disk = "16 MB"\n'
    config = CONFIG.replace('[limits]\nmin_free_disk = "1 MB"\n', limits)
    taken = []

    def offer():
        code, said = send_or_be_refused(gateway, large("Fill", octets=2 * MB), len(taken))
        if code == 250:
            taken.append(f"r{len(taken)}@example.org")
        return code, said

    with UpstreamThread() as upstream:
        gateway = Program(small_disk, upstream_port=upstream.port, config=config)
        gateway.record({"anna@example.org": [granted()]})
        with gateway:
            letter = b"From: news@acme.example\r\nSubject: Hi\r\n\r\nHello\r\n"
            assert send(gateway, ["anna@example.org"], letter)[0] == 250
            (copy,) = wait_until(lambda: upstream.messages, gateway)
            link = next(
                line.split(b"<")[1].split(b">")[0]
                for line in copy.content.replace(b"\r\n ", b" ").splitlines()
                if line.startswith(b"List-Unsubscribe:")
            ).decode()
            ballast = small_disk / "ballast"
            ballast.write_bytes(b"x" * 20 * MB)
            answers = [offer()]
            while answers[-1][0] == 250:
                answers.append(offer())
            code, said = answers[-1]
            assert (code, said[:5]) == (452, "4.3.1")
            assert free(small_disk) > 8 * MB  # the reserve is there
            assert request("POST", link, "List-Unsubscribe=One-Click") == 200
            ballast.unlink()
            wait_until(lambda: offer()[0] == 250, gateway)
            expected = len(taken) + 1
            wait_until(lambda: len(upstream.messages) == expected, gateway)
        assert copies(upstream) == dict.fromkeys([*taken, "anna@example.org"], 1)


def free(folder: Path):
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def send_or_be_refused(gateway, content, number):
    """The first reply that is no "yes", or the last."""

    async def talk_it_through():
        async with connected(gateway.smtp_port) as talk:
            for line in (
                f"MAIL FROM:<news@acme.example> SIZE={len(content)}",
                f"RCPT TO:<r{number}@example.org>",
            ):
                answer = await talk.say(line)
                if answer.code != 250:
                    return answer
            await talk.say("DATA")
            await talk.send(content + b".\r\n")
            return await talk.answer()

    answer = asyncio.run(talk_it_through())
    return answer.code, answer.text
