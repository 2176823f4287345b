"""Everybody who comes to the gateways of `make soak`: good clients, people who leave, and bad ones.

    with Crowd(house, chance) as crowd: ...
    crowd.acknowledged, crowd.withdrawals, crowd.tried

Each is a thread that goes on until the end. Who gets no answer notes nothing and comes again with
another mail; nobody waits for a gateway that is away.
"""

import base64
import http.client
import random
import smtplib
import socket
import time
from collections import Counter
from contextlib import suppress
from functools import partial

from support.reports import arf, dsn, original
from support.rubbish import pieces
from support.rubbish_wire import LINES_SAID
from support.shift import Shift
from support.smtp_lines import Lines
from support.watching import mail, request, send

STRANGER = "127.0.0.9"  # no client: clients are 127.0.0.0/30
ONE_CLICK = b"List-Unsubscribe=One-Click"
MOST_RECIPIENTS = 2000
COMMANDS = (
    ("queue", "list", "--json"), ("consent", "show", "{reader}"), ("campaign", "list", "--json"),
    ("audience", "check", "--stream", "newsletter", "{list}"), ("retention", "run"),
    ("consent", "withdraw", "{reader}", "--all"), ("store", "status"),
)  # fmt: skip


class Crowd(Shift):
    """`house` has `gateways`, `readers`, `links()`, `returns_port`, `folder`."""

    def __init__(self, house, seed):
        self.house = house
        self.acknowledged = set()  # (subject, address)
        self.withdrawals = {}  # address → when it was answered
        self.tried = Counter()  # bad inputs, by kind
        self.done = Counter()  # what good ones did
        self.strangers_served = []
        self.tracebacks = []
        self._numbers = iter(range(1, 10**9))
        works = [
            self.send_receipts, self.send_receipts, self.send_receipts, self.send_news,
            self.send_news, self.send_large, self.leave, self.bounce, self.run_commands,
            self.talk_rubbish, self.drip, self.relay, self.guess, self.ask_rubbish,
        ]  # fmt: skip
        super().__init__(
            partial(self._try, work, random.Random(f"{seed} {n}")) for n, work in enumerate(works)
        )

    def _try(self, work, chance):
        try:
            work(chance)
        except ConnectionRefusedError:
            self.done["nobody there"] += 1
            self.over.wait(0.3)
        except AssertionError:
            self.done["told to come again"] += 1  # at MAIL or RCPT
            self.over.wait(0.1)
        except (OSError, smtplib.SMTPException, http.client.HTTPException):
            self.done["without an answer"] += 1
            self.over.wait(0.1)

    def _number(self):
        with self.door:
            return next(self._numbers)

    def _submit(self, chance, subject, people, content):
        code, _ = send(chance.choice(self.house.gateways), people, content)
        if code == 250:
            with self.door:
                self.acknowledged.update((subject, address) for address in people)
                self.done["submissions"] += 1
        else:
            self.done[f"answered {code}"] += 1

    # good ones

    def send_receipts(self, chance):
        number = self._number()
        name = "nobody" if chance.random() < 0.02 else "buyer"
        people = [f"{name}{number}.{n}@shop.example" for n in range(chance.choice([1, 1, 1, 3]))]
        subject = f"Receipt {number}"
        self._submit(chance, subject, people, mail(subject, "X-Gatepost-Stream: receipts"))
        self.over.wait(chance.uniform(0, 0.1))

    def send_news(self, chance):
        count = int(min(MOST_RECIPIENTS, len(self.house.readers)) ** chance.random())
        people = chance.sample(self.house.readers, max(1, count))
        if chance.random() < 0.2:
            people[0] = f"stranger{self._number()}@good.example"  # never agreed to anything
        stream = "offers" if chance.random() < 0.1 else "newsletter"
        subject = f"News {self._number()}"
        self._submit(chance, subject, people, mail(subject, f"X-Gatepost-Stream: {stream}"))
        self.over.wait(chance.uniform(0.2, 1.5))

    def send_large(self, chance):
        number = self._number()
        people = [f"friend{number}.{n}@good.example" for n in range(chance.randint(1, 3))]
        body = (b"Z2F0" * 19 + b"\r\n") * (chance.randint(300_000, 6_000_000) // 78)
        subject = f"Letter {number}"
        self._submit(chance, subject, people, mail(subject, "X-Gatepost-Stream: office") + body)
        self.over.wait(chance.uniform(0.5, 3))

    def leave(self, chance):
        """One click on a link that came with a copy; on any of the gateways."""
        links = self.house.links()
        left = [address for address in links if address not in self.withdrawals]
        self.over.wait(chance.uniform(0.3, 1.2))
        if not left:
            return
        address = chance.choice(left)
        gateway = chance.choice(self.house.gateways)
        path = links[address][0].partition("/u/")[2]
        link = f"http://127.0.0.1:{gateway.http_port}/u/{path}"
        if request("POST", link, ONE_CLICK) == 200:
            self.withdrawals[address] = time.time()
            self.done["one-click withdrawals"] += 1

    def bounce(self, chance):
        """A bounce or a complaint about a copy comes back to the returns listener."""
        self.over.wait(chance.uniform(0.5, 2))
        links = self.house.links()
        if not links:
            return
        address = chance.choice(list(links))
        link, path = links[address]
        if chance.random() < 0.5:
            content, to = dsn(recipient=address), path
        else:
            token = link.partition("/u/")[2]
            content, to = arf(original(unsubscribe=token)), "fbl@bounce.acme.example"
        with smtplib.SMTP("127.0.0.1", self.house.returns_port, timeout=60) as client:
            client.sendmail("", [to], content)
        self.done["bounces and complaints"] += 1

    def run_commands(self, chance):
        self.over.wait(chance.uniform(1, 5))
        reader = chance.choice(self.house.readers)
        people = self.house.folder / "list.txt"
        people.write_text("\n".join(chance.sample(self.house.readers, 50)))
        words = [word.format(reader=reader, list=people) for word in chance.choice(COMMANDS)]
        ran = chance.choice(self.house.gateways).run(*words, check=False)
        if "Traceback" in ran.stderr + ran.stdout:
            self.tracebacks.append((words, ran.stderr[-2000:]))
        if words[1] == "withdraw" and ran.returncode == 0:
            self.withdrawals.setdefault(reader, time.time())
        self.done["commands" if ran.returncode in (0, 1) else "commands in trouble"] += 1

    # bad ones

    def _port(self, chance):
        return chance.choice(self.house.gateways).smtp_port

    def _connect(self, port, source=STRANGER):
        return socket.create_connection(("127.0.0.1", port), 20, source_address=(source, 0))

    def talk_rubbish(self, chance):
        said = b"".join(chance.choices(LINES_SAID, k=chance.randint(1, 20)))
        at = chance.randrange(len(said))
        said = said[:at] + chance.randbytes(chance.randint(0, 9)) + said[at:]
        with self._connect(self._port(chance), chance.choice([STRANGER, "127.0.0.2"])) as line:
            for piece in pieces(said):
                line.sendall(piece)
            line.shutdown(socket.SHUT_WR)
            with suppress(OSError):
                while line.recv(65536):
                    pass
        self.tried["SMTP rubbish"] += 1
        self.over.wait(0.02)

    def drip(self, chance):
        """Slow-loris: many lines, an octet now and then."""
        lines = [self._connect(self._port(chance)) for _ in range(20)]
        try:
            for _ in range(chance.randint(2, 8)):
                for line in lines:
                    with suppress(OSError):
                        line.sendall(b"E")
                if self.over.wait(0.5):
                    break
        finally:
            for line in lines:
                line.close()
        self.tried["slow lines"] += len(lines)

    def relay(self, chance):
        """A stranger who would like to send mail to somebody else."""
        with Lines(self._port(chance), STRANGER) as talk:
            for said in (
                "EHLO stranger.example",
                "MAIL FROM:<news@acme.example>",
                chance.choice(["RCPT TO:<victim@far.example>", "RCPT TO:<victim%far.example@relay.example.org>"]),
            ):  # fmt: skip
                talk.say(said)
                answer = talk.hear()
            if answer.startswith("2"):
                self.strangers_served.append(said)
        self.tried["stranger relays"] += 1
        self.over.wait(0.1)

    def guess(self, chance):
        with Lines(self._port(chance), STRANGER) as talk:
            talk.say("EHLO stranger.example")
            talk.hear()
            for _ in range(2):
                word = base64.b64encode(b"\0app\0%x" % chance.getrandbits(40)).decode()
                talk.say(f"AUTH PLAIN {word}")
                if talk.hear().startswith("2"):
                    self.strangers_served.append(word)
                self.tried["wrong passwords"] += 1
        self.over.wait(0.3)

    def ask_rubbish(self, chance):
        gateway = chance.choice(self.house.gateways)
        token = base64.urlsafe_b64encode(chance.randbytes(36)).decode() + "A"
        page = chance.choice(["u", "p", "c"])
        status = request("GET", f"http://127.0.0.1:{gateway.http_port}/{page}/{token}")
        if status >= 500 and status != 503:
            raise RuntimeError(f"a made-up link was answered with {status}")
        self.tried["made-up links"] += 1
        with self._connect(gateway.http_port) as line:
            line.sendall(b"GET /" + chance.randbytes(30) + b" HTTP/1.1\r\n" + chance.randbytes(50))
            line.shutdown(socket.SHUT_WR)
            with suppress(OSError):
                line.recv(65536)
        self.tried["HTTP rubbish"] += 1
        self.over.wait(0.1)
