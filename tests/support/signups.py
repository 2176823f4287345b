"""Sign-up forms for tests: a source with a valid text, what the page says, and what it sends."""

import re
from datetime import timedelta
from email import message_from_bytes, policy

from gatepost.consent.tokens import Claim, Purpose
from gatepost.store import sources
from gatepost.store.sources import Attestations
from gatepost.store.tables import mail as tables
from gatepost.web.signup import tag_of
from support.submissions import rows_of

TEXT = (
    "Yes, Acme AB may send me what I have ticked by e-mail.\n"
    "I can withdraw at any time, with the link in every mail."
)
VALID = Attestations(voluntary=True, informed=True, specific=True, states_withdrawal=True)


def add_form(tx, name="web", *, streams=("newsletter", "club"), kind="form", text=TEXT, **more):
    """A source whose text is valid and active; in a transaction."""
    sources.add_source(tx, name, sender=more.pop("sender", "acme"), kind=kind, streams=streams)
    if text:
        sources.add_text(tx, name, text, attestations=more.pop("attestations", VALID), **more)


async def token_of(site, name="web", *, age=timedelta(seconds=30), version=""):
    """The hidden field of a form that was shown that long ago."""
    text = await site.store.read(lambda tx: sources.find_text(tx, name, version))
    shown = site.store.now() - age
    return site.ring.seal(Purpose.FORM, Claim(int(shown.timestamp()), tag_of(text), 0))


async def filled(site, *streams, address="anna@example.org", **more):
    """What a browser sends for that form, half a minute after it was shown."""
    token = more.pop("token", None) or await token_of(site, more.pop("name", "web"))
    return {"form": token, "stream": list(streams), "address": address, "homepage": "", **more}


def letters(store):
    """Every letter in the spool, read as mail, in the order of writing."""
    kept = {row["submission"]: row["data"] for row in rows_of(store, tables.content)}
    heads = sorted(rows_of(store, tables.submission), key=lambda row: row["received_ms"])
    return [
        message_from_bytes(kept[row["id"]], policy=policy.default)
        for row in heads
        if row["id"] in kept and row["client"] == "gatepost"
    ]


def words(letter):
    """What the plain part says, without its line breaks."""
    return " ".join(letter.get_body(("plain",)).get_content().split())


def path_in(letter, step):
    """The path of the link below `/c/` or `/u/` in the plain part."""
    found = re.search(rf"https?://[^/\s]+(/{step}/\S+)", letter.get_body(("plain",)).get_content())
    return found.group(1)


def boxes(page):
    """The check boxes of the form: name to whether it is ticked."""
    found = re.findall(r'<input type="checkbox"[^>]* name="stream" value="([^"]*)"([^>]*)>', page)
    return {name: " checked" in rest for name, rest in found}


def hidden(page, name):
    """The values of a hidden field."""
    return re.findall(rf'<input type="hidden" name="{name}" value="([^"]*)"', page)
