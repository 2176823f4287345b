"""The API does what its document says, whatever it is asked: never an error of its own."""

from support.api import add_source, key_for
from support.fuzzing import digest, fuzz
from support.site import served

# Not that whatever fits the document is accepted: some fields only make sense together.
OPTIONS = (
    "--checks", "all", "--exclude-checks", "positive_data_acceptance",
    "--phases", "coverage,fuzzing", "--max-examples", "3",
)  # fmt: skip


async def test_it_answers_as_documented_whatever_it_is_asked(tmp_path):
    """And what only asks changes nothing."""
    async with served(tmp_path) as site:
        key = await key_for(site, "all")
        await add_source(site)
        await site.subscribe("anna@kund.example", "newsletter")
        base = f"http://127.0.0.1:{site.admin_port}/api"
        given = (f"{base}/openapi.json", base, "--header", f"Authorization: Bearer {key}", *OPTIONS)
        before = await digest(site.store)
        said = await fuzz(tmp_path, *given, "--include-method", "GET")
        assert await digest(site.store) == before
        said += await fuzz(tmp_path, *given, "--include-method", "POST")
        assert "Tested: 4" in said
        assert "Tested: 10" in said
