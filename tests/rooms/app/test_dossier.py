"""The dossier as it is read: complete, in five languages, and harmless whatever it quotes."""

import base64
import json
import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from gatepost.app import dossier as making
from gatepost.app.texts import LANGUAGES, Texts
from gatepost.consent.bases import Bases
from gatepost.consent.evidence import EventKind, Fact, TextState
from gatepost.flow.decide.policy import Policy
from gatepost.mail.address import parse
from gatepost.mail.duration import Duration
from gatepost.mail.sender import Sender
from gatepost.mail.stream import Kind, Stream
from gatepost.store import dossier as gathering
from gatepost.store import ledger, people, sources
from gatepost.store.engine import Store

AT = datetime(2024, 2, 29, 9, 30, 5, tzinfo=UTC)
ANNA = parse("Anna@kund.example")
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)> {{ 7*7 }} %(name)s'
PICTURE = b"\x89PNG\r\n\x1a\n-not-really"
POLICY = Policy(
    streams={
        "news": Stream(name="news", kind=Kind.BULK, sender="acme", title={"": "Monthly <b>"}),
        "foreign": Stream(name="foreign", kind=Kind.BULK, sender="other"),
    },
    senders={
        name: Sender(name=name, legal_name=f"{name} & Co", postal_address="1 Street", public_url="")
        for name in ("acme", "other")
    },
    bases=Bases.built_in(),
)
BODY = "Ja, jag vill ha nyhetsbrev från acme & Co.\nJag kan återkalla det när som helst."


def fact(kind, days=0, **more):
    told = {"sender": "acme", "stream": "news"} | more
    return Fact(kind=EventKind(kind), at=AT + timedelta(days=days), **told)


def on_form(**more):
    return {
        "basis": "form-checkbox", "source": "web", "text_version": "1",
        "text_state": TextState.VALID, "actor": "recipient", "method": "form",
        "url": "https://acme.example/?a=<i>", "ip": "192.0.2.7", "user_agent": HOSTILE,
        "note": HOSTILE,
    } | more  # fmt: skip


def add_source(tx, name="web", *, picture=True, **more):
    sources.add_source(tx, name, sender="acme", kind="form", description=HOSTILE, **more)
    said = sources.Attestations(
        voluntary=True, informed=True, specific=True, states_withdrawal=True, names_company=True
    )
    sources.add_text(tx, name, BODY, language="sv", attestations=said)
    if picture:
        sources.add_picture(
            tx, name, "1", name="<form>.png", media_type="image/png", content=PICTURE
        )


def made(store, *facts, sender="", before=None, address=ANNA):
    def write(tx):
        if before:
            before(tx)
        return people.record(tx, address, facts)

    subject = store.write_now(write)
    store.write_now(ledger.seal)
    return read(store, subject, sender)


def read(store, subject, sender=""):
    return store.read_now(
        lambda tx: making.gather(
            tx, subject, POLICY, address="Anna@kund.example", sender=sender,
            kept_for=Duration(months=24),
        )
    )  # fmt: skip


@pytest.fixture(scope="module")
def texts():
    return Texts()


@pytest.fixture
def plain(tmp_path):
    with Store.open("", tmp_path / "data") as opened:
        yield opened


class Seen(HTMLParser):
    """Every tag with its attributes, and all words."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.words = [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.mark.parametrize("language", LANGUAGES)
def test_whatever_it_quotes_stays_text_and_nothing_is_fetched(plain, texts, language):
    found = made(plain, fact("granted", **on_form()), before=add_source)
    html = making.render(found, texts, language, POLICY)
    seen = Seen(html)
    assert not seen.all("script")
    assert [one["src"].partition(",")[0] for one in seen.all("img")] == ["data:image/png;base64"]
    assert not seen.all("link")
    assert not [attrs for _, attrs in seen.tags if any(name.startswith("on") for name in attrs)]
    assert HOSTILE in "".join(seen.words)
    assert all(one["href"].startswith("#") for one in seen.all("a"))
    assert seen.all("html") == [{"lang": language, "dir": "ltr"}]


def test_its_own_policy_allows_its_style_and_its_pictures_alone(plain, texts):
    html = making.render(made(plain, fact("granted")), texts, "en", POLICY)
    (policy,) = [
        one["content"] for one in Seen(html).all("meta")
        if one.get("http-equiv") == "Content-Security-Policy"
    ]  # fmt: skip
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert html.count("<style>") == 1
    assert "style=" not in html


def test_texts_are_there_word_for_word_with_hash_language_and_picture(plain, texts):
    """JU-21, JU-25, JU-28, L-DE-4: the very declaration, printable at any time."""
    found = made(plain, fact("granted", **on_form()), before=add_source)
    html = making.render(found, texts, "en", POLICY)
    assert BODY.replace("&", "&amp;") in html
    (wording,) = found.wordings
    assert wording.sha256 in html
    assert base64.b64encode(PICTURE).decode() in html
    assert '<blockquote lang="sv"' in html


def test_what_is_missing_is_marked(plain, texts):
    def prepare(tx):
        add_source(
            tx, picture=False, reconstructed=True,
            attested_by="Head of sales", attested_why="old paper files",
        )  # fmt: skip

    found = made(plain, fact("granted", **on_form(url="", ip="", user_agent="")), before=prepare)
    html = making.render(found, texts, "en", POLICY)
    assert ">no picture<" in html
    assert "reconstructed by Head of sales, because old paper files" in html
    assert html.count("not recorded") >= 4
    (consent,) = making.as_json(found)["consents"]
    assert set(consent["marks"]) >= {"no-picture", "reconstructed"}


def test_every_word_is_in_the_language_of_the_reader(plain, texts):
    found = made(plain, fact("granted", **on_form()), fact("withdrawn", 3), before=add_source)
    pages = {tag: making.render(found, texts, tag, POLICY) for tag in LANGUAGES}
    assert "29 februari 2024, 09:30:05 UTC" in pages["sv"]
    assert "29. Februar 2024, 09:30:05 UTC" in pages["de"]
    assert "29 February 2024, 09:30:05 UTC" in pages["en"]
    assert "När samlades adressen in?" in pages["sv"]
    assert "Hvornår blev adressen indsamlet?" in pages["da"]
    for tag in set(LANGUAGES) - {"en"}:
        assert "recorded" not in "".join(Seen(pages[tag]).words)


def test_nothing_is_held_about_a_stranger(plain, texts):
    found = plain.read_now(lambda tx: gathering.nothing_held(tx, ANNA))
    html = making.render(found, texts, "en", POLICY)
    assert "Nothing is held about this address" in html
    assert not making.as_json(found)["held"]


def test_a_dossier_about_one_sender_says_nothing_of_another(plain, texts):
    found = made(
        plain,
        fact("granted", **on_form()),
        fact("granted", 1, sender="other", stream="foreign", basis="purchased-list"),
        fact("suppressed", 2, sender="other", stream="", scope="all", suppression="manual"),
        sender="acme", before=add_source,
    )  # fmt: skip
    html = making.render(found, texts, "en", POLICY)
    assert "other &amp; Co" not in html
    assert "foreign" not in html
    assert "purchased" not in html
    assert "acme &amp; Co" in html
    assert found.blocked == ()


def test_an_erased_person_gets_what_must_be_kept(plain, texts):
    found = made(
        plain, fact("granted", **on_form()), fact("engaged", 1, note="opened"),
        Fact(kind=EventKind.ERASED, at=AT + timedelta(days=9), rule="request", extent="rest",
             due=AT + timedelta(days=700)),
        before=add_source,
    )  # fmt: skip
    html = making.render(found, texts, "en", POLICY)
    assert "data was erased on 9 March 2024" in html
    assert "at the person's request" in html
    assert "The evidence is kept until 29 January 2026" in html
    assert "opened" not in html
    assert len(found.consents) == 1


def test_an_altered_event_is_told_in_red(plain, texts):
    found = made(plain, fact("granted", **on_form()), before=add_source)
    plain.write_now(
        lambda tx: tx.cursor.execute(
            "UPDATE event_payload SET payload = replace(payload, 'form-checkbox', 'written-contract')"
            " WHERE event = (SELECT max(id) FROM event)"
        )
    )
    (subject,) = plain.read_now(
        lambda tx: [
            row[0] for row in tx.cursor.execute("SELECT id FROM subject WHERE address IS NOT NULL")
        ]
    )
    assert found.is_intact
    again = read(plain, subject)
    assert not again.is_intact
    assert "altered: the seal does not hold" in making.render(again, texts, "en", POLICY)


def test_json_holds_the_same_for_programs(plain):
    found = made(plain, fact("granted", **on_form()), before=add_source)
    values = json.loads(json.dumps(making.as_json(found), default=str))
    (consent,) = values["consents"]
    asked = {one["question"]: one for one in consent["answers"]}
    assert asked["ip"]["answer"][0] == {"what": "ip", "value": "192.0.2.7"}
    assert asked["picture"]["asked_by"] == ["JU-25", "JU-27"]
    assert base64.b64decode(values["texts"][0]["pictures"][0]["content"]) == PICTURE
    assert [one["kind"] for one in values["events"]] == ["granted"]
    assert values["intact"]


def test_headings_descend_one_by_one_and_every_table_has_its_headers(plain, texts):
    found = made(plain, fact("granted", **on_form()), fact("withdrawn", 3), before=add_source)
    seen = Seen(making.render(found, texts, "en", POLICY))
    levels = [int(tag[1]) for tag, _ in seen.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert len(seen.all("caption")) == len(seen.all("table"))
    assert all("scope" in one for one in seen.all("th"))
    ids = [attrs["id"] for _, attrs in seen.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {one["href"][1:] for one in seen.all("a")} <= set(ids)
