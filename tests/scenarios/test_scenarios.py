"""Each folder here is a story about the real program: configuration, ledger, SMTP talk, and what
came of it, byte for byte.

    story.md       what it shows, and by which requirement
    config.toml    appended to the configuration of `support/program.py`
    ledger.json    address → facts (see `FACTS`), recorded before anything is said
    talk.smtp      F: from which address (127.0.0.1 if not said) · C: said by the client · S: how
                   the reply begins · M: a file, dot-stuffed, and the final dot
    upstream.json  optional: recipient → reply of upstream to its RCPT
    *.eml          what is sent
    expected.txt   every transaction that reaches upstream, in the order of recipients, then the
                   verdict of each recipient; ids, tokens and times are written as words

With `GATEPOST_WRITE_SCENARIOS=1` the expected files are written instead of compared; read them
before they are committed.
"""

import json
import os
import re
import time
from base64 import b64decode
from pathlib import Path

import pytest
from sqlalchemy import text

from support import consents
from support.program import Program
from support.smtp_lines import Lines
from support.upstream import Script, UpstreamThread

HERE = Path(__file__).parent
STORIES = sorted(path.parent for path in HERE.glob("*/story.md"))
FACTS = {
    "granted": consents.granted,
    "withdrawn": consents.withdrawn,
    "complained": consents.complained,
    "suppressed": consents.suppressed,
}
SENT = "Mon, 01 Mar 2027 09:00:00"  # the date of all mails here
AS_WORDS = (
    (re.compile(r"/(u|p)/[A-Za-z0-9_-]{49}"), r"/\1/TOKEN"),
    (re.compile(r"http://127\.0\.0\.1:\d+/"), "http://LINKS/"),
    (re.compile(r"\b[0-9a-hjkmnp-tv-z]{13}\b(?=[;@>])"), "ID"),
    (re.compile(rf"(?!{SENT})\w{{3}}, \d{{1,2}} \w{{3}} 20\d\d [\d:]{{8}} \+0000"), "DATE"),
    (re.compile(r"--=_[0-9a-f]+"), "--BOUNDARY"),
    (re.compile(r'"=_[0-9a-f]+"'), '"BOUNDARY"'),
)
BASE64 = re.compile(r"(?<=\r\n\r\n)(?:[A-Za-z0-9+/]{76}\r\n)+[A-Za-z0-9+/=]+(?=\r\n)")


@pytest.mark.parametrize("story", STORIES, ids=lambda path: path.name)
def test_story(story, tmp_path):
    replies = read_json(story / "upstream.json")
    script = Script(recipients=replies) if replies else None
    with UpstreamThread(script) as upstream:
        more = (story / "config.toml").read_text() if (story / "config.toml").exists() else ""
        gateway = Program(tmp_path, upstream_port=upstream.port, more=more)
        gateway.record(
            {
                address: [FACTS[name](**details) for name, details in facts]
                for address, facts in read_json(story / "ledger.json").items()
            }
        )
        with gateway:
            speak(story, gateway.smtp_port)
            wait_until_finished(gateway)
            told = what_came_of_it(upstream, gateway)
            if os.environ.get("GATEPOST_WRITE_SCENARIOS"):
                (story / "expected.txt").write_bytes(told.encode())
            expected = (story / "expected.txt").read_bytes().decode()
            for _ in range(600):  # what is refused at RCPT is put on record after the reply
                if told == expected:
                    break
                time.sleep(0.1)
                told = what_came_of_it(upstream, gateway)
    assert told.splitlines() == expected.splitlines()


def what_came_of_it(upstream, gateway):
    return "".join(sorted(tell(message) for message in upstream.messages)) + read_verdicts(gateway)


def read_json(path):
    return json.loads(path.read_text()) if path.exists() else {}


def speak(story, port):
    lines = [line.partition(": ") for line in (story / "talk.smtp").read_text().splitlines()]
    source = next((rest for kind, _, rest in lines if kind == "F"), "127.0.0.1")
    with Lines(port, source) as connection:
        for kind, _, rest in lines:
            match kind:
                case "C":
                    connection.say(rest)
                case "S":
                    reply = connection.hear()
                    assert reply.startswith(rest), (
                        f"{story.name}: expected {rest!r}, heard {reply!r}"
                    )
                case "M":
                    connection.send_content((story / rest).read_bytes())
                case "" | "F":
                    continue
                case _:
                    raise AssertionError(f"{story.name}: what is {kind!r}?")


def wait_until_finished(gateway, seconds=120):
    """Until nothing is to be sent any more, except what waits for its next attempt."""
    moving = text("SELECT count(*) FROM recipient WHERE state IN ('ready', 'sending')")
    untold = text("SELECT count(*) FROM recipient WHERE state = 'failed' AND reported_ms IS NULL")
    with gateway.store() as store:
        for _ in range(seconds * 10):
            if not store.read_now(
                lambda tx: (
                    tx.connection.execute(moving).scalar() + tx.connection.execute(untold).scalar()
                )
            ):
                return
            time.sleep(0.1)
    raise AssertionError(f"mail is still moving:\n{gateway.log()[-2000:]}")


def read_verdicts(gateway):
    query = text("SELECT address, verdict, reason, rule, state FROM recipient ORDER BY id")
    with gateway.store() as store:
        rows = store.read_now(lambda tx: tx.connection.execute(query).all())
    return "".join(
        f"{row.address}: {row.verdict} {row.reason}, by rule {row.rule}; {row.state}\n"
        for row in rows
    )


def tell(message):
    lines = [f"MAIL {message.mail_from} {message.mail_parameters}".rstrip()]
    for recipient, parameters in zip(message.recipients, message.recipient_parameters, strict=True):
        lines.append(f"RCPT {recipient} {parameters}".rstrip())
    content = message.content.decode("utf-8", "backslashreplace")
    # Where lines break depends on the tokens: `tests/rooms/edit` looks at these byte for byte.
    content = BASE64.sub(lambda match: f"(base64)\r\n{b64decode(match.group()).decode()}", content)
    content = content.replace("=\r\n", "")
    body = "\n".join(f"| {line}".rstrip(" ") for line in content.split("\r\n"))
    told = "\n".join(lines) + "\n" + body + "\n\n"
    told = re.sub(r"SIZE=\d+", "SIZE=N", told)
    for pattern, word in AS_WORDS:
        told = pattern.sub(word, told)
    return told
