"""The upstream of `make soak`: a process of its own, in one mood after the other.

    python -m support.soak_upstream --port 2526 --book FILE --seed 7

Each complete message is a line of JSON in the book, written before the answer: subject,
recipients, times, link and reply; so is each connection that it closed in a mood. It is killed and
started again on the same port; SIGUSR1 makes it calm for good.
"""

import argparse
import asyncio
import json
import random
import re
import signal
import time
from pathlib import Path

from support.upstream import Drop, Hang, Script, Slow, Upstream
from support.upstream_conversation import Conversation

# How often each mood comes; it lasts for a few seconds.
MOODS = {"calm": 5, "4yz": 2, "hang-ups": 2, "slow dots": 2, "away": 1, "hanging": 1}
NOT_NOW = "451 4.3.0 not now"
_LINK = re.compile(rb"List-Unsubscribe: <(http://[^>]+)>")


class Moods:
    """What happens at each event, as the mood is; in place of a script's `steps`."""

    def __init__(self, chance, book):
        self._chance, self._book = chance, book
        self.mood = "calm"

    async def change(self, calm):
        """Changes its mood until `calm` is set."""
        while not calm.is_set():
            self.mood = self._chance.choices(list(MOODS), list(MOODS.values()))[0]
            self._book.write(json.dumps({"mood": self.mood, "at": time.time()}) + "\n")
            try:
                await asyncio.wait_for(calm.wait(), self._chance.uniform(1, 4))
            except TimeoutError:
                continue
        self.mood = "calm"

    def get(self, event):
        if event == "EHLO":
            return None
        dice = self._chance.random()
        match self.mood:
            case "4yz" if event in {"MAIL", "RCPT", "DOT"} and dice < 0.2:
                return NOT_NOW
            case "hang-ups" if dice < 0.05:
                return Drop("250 2.0.0 ok" if dice < 0.01 and event == "DOT" else "")
            case "slow dots" if event == "DOT" and dice < 0.5:
                return Slow(dice * 2, "250 2.0.0 taken at last")
            case "away" if event == "CONNECT":
                return "421 4.3.2 not today"
            case "hanging" if event == "DOT" and dice < 0.02:
                return Hang()
        return None


class Denied:
    """Nobody has an address that begins like this; in place of a script's `recipients`."""

    def get(self, address):
        return "550 5.1.1 no such user" if address.startswith("nobody") else None


async def serve(port, path, seed):
    with path.open("a", buffering=1) as book:
        moods = Moods(random.Random(seed), book)
        upstream = Upstream(Script(steps=moods, recipients=Denied()), port=port)
        calm = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, calm.set)
        _note_ends(book, seed)

        def note(message):
            book.write(json.dumps(entry(message, seed)) + "\n")
            upstream.messages.clear()
            upstream.commands.clear()
            if upstream.violations:
                book.write(json.dumps({"violations": upstream.violations}) + "\n")

        upstream.on_message = note
        async with upstream:
            print(f"port {upstream.port}", flush=True)
            await moods.change(calm)
            await asyncio.Event().wait()


def entry(message, life):
    """What the books need of a message."""
    head = message.content.partition(b"\r\n\r\n")[0].replace(b"\r\n ", b" ")
    subject = re.search(rb"(?mi)^Subject: (.*?)\r?$", head)
    link = _LINK.search(head)
    return {
        "subject": subject[1].decode("utf-8", "replace") if subject else "",
        "recipients": message.recipients,
        "mail_from": message.mail_from,
        "link": link[1].decode() if link else "",
        "began": message.content_began,
        "ended": message.ended,
        "reply": message.reply,
        "line": [life, message.connection],
    }


def _note_ends(book, life):
    """Answers may be lost with a connection that we close while more comes in."""
    close = Conversation.close

    def noted(conversation):
        book.write(json.dumps({"closed": [life, conversation.number], "at": time.time()}) + "\n")
        close(conversation)

    Conversation.close = noted


def main():
    parser = argparse.ArgumentParser(description="an upstream in one mood after the other")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--book", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    asyncio.run(serve(options.port, options.book, options.seed))


if __name__ == "__main__":
    main()
