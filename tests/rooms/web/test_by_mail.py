"""/privacy and /manage: a link by mail, and not a word about the address (SO-14)."""

import re
from datetime import timedelta

from gatepost.consent.tokens import Claim, Purpose, stream_tag
from support.site import served
from support.visiting import visiting

TYPED = {"sender": "acme", "address": "Anna@Example.org"}
LINK = re.compile(rb"https://mail\.example\.org(/(?:privacy|p)/[\w-]{49})")


async def dossier(subject, sender, language):
    return f"<!doctype html><style>p{{color:red}}</style><p>{subject} {sender} {language}</p>"


def link_in(letter):
    return LINK.search(letter.replace(b"=\r\n", b"")).group(1).decode()


async def test_the_link_goes_to_the_mailbox_and_shows_what_is_stored(tmp_path):
    async with (
        served(tmp_path, letters=True, dossier=dossier) as site,
        visiting(site.url) as client,
    ):
        subject = await site.subscribe("anna@example.org", "newsletter")
        answer = await client.post("/privacy?lang=de", data=TYPED)
        assert answer.status_code == 200
        assert "anna" not in answer.text.lower()
        (letter,) = await site.mailed()
        assert b"\r\nTo: <Anna@Example.org>\r\n" in letter
        page = await client.get(link_in(letter))
        assert f"<p>{subject} acme en</p>" in page.text
        policy = page.headers["content-security-policy"]
        assert "style-src 'sha256-" in policy
        assert "unsafe" not in policy
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["referrer-policy"] == "no-referrer"


async def test_a_known_and_an_unknown_address_get_the_same_answer(tmp_path):
    async with (
        served(tmp_path, letters=True, dossier=dossier) as site,
        visiting(site.url) as client,
    ):
        await site.subscribe("anna@example.org", "newsletter")
        await site.subscribe("other@example.org", "foreign")  # known, but to another sender
        for page in ("privacy", "manage"):
            answers = [
                await client.post(f"/{page}", data={"sender": "acme", "address": address})
                for address in ("anna@example.org", "nobody@example.org", "other@example.org")
            ]
            assert len({(one.status_code, one.text) for one in answers}) == 1
        letters = await site.mailed()
        assert len(letters) == 2
        assert all(b"\r\nTo: <anna@example.org>\r\n" in letter for letter in letters)


async def test_the_link_to_choose_by(tmp_path):
    async with (
        served(tmp_path, letters=True) as site,
        visiting(site.url) as client,
    ):
        await site.subscribe("anna@example.org", "events")
        await client.post("/manage", data=TYPED)
        (letter,) = await site.mailed()
        page = await client.get(link_in(letter))
        assert 'value="events" checked' in page.text


async def test_no_address_gets_more_than_a_few_letters(tmp_path):
    async with (
        served(tmp_path, letters=True) as site,
        visiting(site.url) as client,
    ):
        site.let_no_rate_recover()
        await site.subscribe("anna@example.org", "newsletter")
        answers = {(await client.post("/manage", data=TYPED)).text for _ in range(6)}
        assert len(answers) == 1
        await site.subscribe("bo@example.org", "newsletter")
        await client.post("/manage", data={**TYPED, "address": "bo@example.org"})
        letters = await site.mailed()
        assert len(letters) == 3  # two for her, one for the last one asked
        assert sum(b"To: <Anna@Example.org>" in letter for letter in letters) == 2


async def test_no_network_asks_for_ever(tmp_path):
    async with (
        served(tmp_path, letters=True, proxies=("127.0.0.0/8",)) as site,
        visiting(site.url) as client,
    ):
        site.let_no_rate_recover()
        asked = {"X-Forwarded-For": "203.0.113.7"}
        codes = [
            (await client.post("/manage", data=TYPED, headers=asked)).status_code for _ in range(40)
        ]
        assert codes == [200] * 30 + [429] * 10
        other = {"X-Forwarded-For": "203.0.113.8"}
        assert (await client.post("/manage", data=TYPED, headers=other)).status_code == 200


async def test_no_other_link_opens_what_is_stored(tmp_path):
    async with (
        served(tmp_path, letters=True, dossier=dossier) as site,
        visiting(site.url) as client,
    ):
        subject = await site.subscribe("anna@example.org", "newsletter")
        for purpose in "upcm":
            answer = await client.get(f"/privacy/{site.token(subject, purpose=purpose)}")
            assert (purpose, answer.status_code) == (purpose, 404)
        tag = stream_tag("sender:acme")
        gone = site.store.now() - timedelta(seconds=1)
        late = Claim(subject, tag, int(gone.timestamp()))
        old = await client.get(f"/privacy/{site.ring.seal(Purpose.DOSSIER, late)}")
        assert old.status_code == 410
        assert "works for one day" in old.text
        assert "privacy?sender=acme" in old.text
        for method in ("GET", "POST"):
            for other in "up":
                token = site.ring.seal(Purpose.DOSSIER, late)
                answer = await client.request(method, f"/{other}/{token}")
                assert answer.status_code == 404


async def test_whose_page_it_is(tmp_path):
    async with (
        served(tmp_path, letters=True) as site,
        visiting(site.url) as client,
    ):
        choice = (await client.get("/privacy")).text
        assert "Acme AB" in choice
        assert "Other Ltd" in choice
        assert "<form" not in choice
        assert "sender=acme" in choice
        assert "Other Ltd" not in (await client.get("/privacy?sender=acme")).text
        unknown = await client.get("/privacy?sender=nobody")
        assert "<form" not in unknown.text
        evil = await client.post("/manage", data=TYPED, headers={"Host": "evil.example"})
        assert "evil.example" not in evil.text


async def test_what_is_no_address_is_asked_for_again(tmp_path):
    async with (
        served(tmp_path, letters=True) as site,
        visiting(site.url) as client,
    ):
        for typed in ("", "anna", "anna@", '"><script>@x', "a" * 400 + "@example.org"):
            answer = await client.post("/manage", data={"sender": "acme", "address": typed})
            assert answer.status_code == 400
            assert "This is no e-mail address" in answer.text
            assert "<script" not in answer.text
        assert (await client.post("/manage", content=b"\xff")).status_code == 400


async def test_without_a_way_to_write_there_are_no_forms(tmp_path):
    async with served(tmp_path) as site, visiting(site.url) as client:
        subject = await site.subscribe("anna@example.org", "newsletter")
        for path in ("/privacy", "/manage"):
            assert (await client.get(path)).status_code == 404
            assert (await client.post(path, data=TYPED)).status_code == 404
        assert "privacy?" not in (await client.get(f"/u/{site.token(subject)}")).text


async def test_a_store_that_is_not_ready_says_so(tmp_path):
    async with (
        served(tmp_path, letters=True) as site,
        visiting(site.url) as client,
    ):
        site.missing = "the store is out of reach"
        answer = await client.post("/manage", data=TYPED)
        assert answer.status_code == 503
        assert "retry-after" in answer.headers


async def test_what_is_stored_is_shown_ten_times_in_a_row_and_no_more(tmp_path):
    """Each time the records of all mail are read, and others want to read as well."""
    async with (
        served(tmp_path, letters=True, dossier=dossier) as site,
        visiting(site.url) as client,
    ):
        site.let_no_rate_recover()
        subject = await site.subscribe("anna@example.org", "newsletter")
        until = int(site.store.now().timestamp()) + 3600
        claim = Claim(subject, stream_tag("sender:acme"), until)
        path = f"/privacy/{site.ring.seal(Purpose.DOSSIER, claim)}"
        codes = [(await client.get(path)).status_code for _ in range(12)]
        assert codes == [200] * 10 + [429] * 2
