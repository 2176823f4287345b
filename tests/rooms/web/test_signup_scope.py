"""What a source limits consent to is on record of whoever signs up there (JU-13, JU-14)."""

from gatepost.consent.evidence import EventKind
from gatepost.mail.address import parse
from gatepost.store import people, sources
from support.signups import TEXT, VALID, filled, letters, path_in
from support.site import served
from support.visiting import visiting

ANNA = parse("anna@example.org")


def limited(tx, *channels):
    """A form for consent about shoes, through those channels."""
    sources.add_source(
        tx, "web", sender="acme", kind="form", streams=("newsletter", "club"),
        channels=channels, categories=("shoes",),
    )  # fmt: skip
    sources.add_text(tx, "web", TEXT, attestations=VALID)


async def recorded(site):
    history = await site.store.read(lambda tx: people.history(tx, ANNA))
    return [event.fact for event in history.events] if history else []


async def test_a_sign_up_and_its_confirmation_are_worth_what_the_source_asks_for(tmp_path):
    async with (
        served(tmp_path, letters=True) as site,
        visiting(site.url) as client,
    ):
        await site.store.write(lambda tx: limited(tx, "e-mail", "sms"))
        await client.post("/subscribe/web", data=await filled(site, "newsletter", "club"))
        (letter,) = (one for one in letters(site.store) if "confirm" in one["Subject"])
        assert (await client.post(path_in(letter, "c"))).status_code == 200
        found = await recorded(site)
        kinds = {fact.kind for fact in found}
        assert kinds == {EventKind.REQUESTED, EventKind.GRANTED, EventKind.CONFIRMED}
        assert {(fact.channels, fact.categories) for fact in found} == {("", ("shoes",))}


async def test_a_form_for_other_channels_collects_no_mail(tmp_path):
    async with served(tmp_path) as site, visiting(site.url) as client:
        await site.store.write(lambda tx: limited(tx, "sms"))
        answer = await client.post("/subscribe/web", data=await filled(site, "newsletter"))
        assert answer.status_code == 404
        assert await recorded(site) == []
