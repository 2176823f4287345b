"""After the tour, with `--keep`: everything goes on running, and copies are named as they come.

In: the parts of the tour. Out: what to try, then a line per copy, until Ctrl-C.

*Fails:* `RelayError` if the relay ends by itself.
"""

import time
from email import message_from_bytes

from rich.markup import escape

from gatepost.cli.demo.inbox import Inbox, Received
from gatepost.cli.demo.letter import Letter
from gatepost.cli.demo.mailing import FROM
from gatepost.cli.demo.relay import HOST, Relay
from gatepost.cli.demo.stage import Stage
from gatepost.mail.fields import decode_words

_READER = "double-opt-in-001@example.net"
_STRANGER = "stranger-001@example.net"


def keep_running(stage: Stage, inbox: Inbox, relay: Relay) -> None:
    """Says what can be tried, and waits; only an interruption or the relay's end ends it."""
    stage.step("It is all still running: try it")
    stage.pairs([
        ("the relay", f"{HOST}:{relay.smtp_port}", "SMTP, no password on loopback"),
        ("the pages", relay.pages, "for recipients"),
        ("metrics", f"http://{HOST}:{relay.admin_port}/metrics", ""),
        ("the inbox", str(inbox.received[-1].file.parent) if inbox.received else "empty", ""),
    ])  # fmt: skip
    stage.gap()
    stage.say("Open a recipient's link in a browser:")
    stage.command(_sample_link(inbox))
    stage.gap()
    stage.say(f"Send a mail to somebody who wants it ({_READER}), or not ({_STRANGER}):")
    stage.command(
        f"swaks --server {HOST}:{relay.smtp_port} --from {FROM} \\\n"
        f"      --to {_READER} --header 'Subject: Hello'"
    )
    stage.gap()
    stage.say("Ask the ledger, and the report:")
    stage.command(
        f"gatepost --config {relay.config} \\\n      consent show {_READER}\n"
        f"gatepost --config {relay.config} campaign list"
    )
    stage.gap()
    stage.say("Ctrl-C ends it. Copies that arrive from now on:", style="bold")
    shown = len(inbox.received)
    while True:
        relay.check_alive()
        for received in inbox.received[shown:]:
            stage.say(_arrival(received))
            shown += 1
        time.sleep(0.2)


def _sample_link(inbox: Inbox) -> str:
    return Letter(inbox.received[-1].content).one_click_url if inbox.received else "(no copy came)"


def _arrival(received: Received) -> str:
    subject = decode_words(str(message_from_bytes(received.content).get("Subject", "")))
    return f"[green]+[/] {escape(', '.join(received.recipients))}: {escape(subject)}"
