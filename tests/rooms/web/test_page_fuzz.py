"""The recipients' pages, whatever they are asked: no error, no redirect, and looking changes nothing."""

import json

from gatepost.consent.tokens import Claim, Purpose
from support.api import key_for
from support.fuzzing import digest, fuzz
from support.signups import add_form, token_of
from support.site import served
from support.visiting import visiting

SAFE = ("GET", "HEAD", "OPTIONS", "PROPFIND", "TRACE", "SEARCH")
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance",
    "response_headers_conformance", "unsupported_method", "allow_header_conformance",
)  # fmt: skip
TEXT = {"type": "string", "maxLength": 60}
ALWAYS = {
    name: {"required": True, "schema": {"type": "string", "pattern": pattern}}
    for name, pattern in {
        "content-security-policy": "default-src 'none'",
        "referrer-policy": "^no-referrer$",
        "x-content-type-options": "^nosniff$",
        "x-robots-tag": "noindex",
        "cache-control": "^no-store$|immutable",
    }.items()
}
ANSWERS = {
    str(status): {
        "description": "",
        "headers": ALWAYS,
        "content": {} if status == 204 else {"text/html": {}, "text/plain": {}, "text/css": {}},
    }
    for status in (200, 204, 400, 404, 405, 410, 413, 422, 429)
}


def document(tokens, fields):
    """What the pages are, as OpenAPI. They publish none: they are for people, by links."""

    def operation(path, form):
        asked = "sender" if path in ("/privacy", "/manage") else "lang"
        given = [{"name": asked, "in": "query", "schema": TEXT}]
        if "{" in path:
            schema = {"anyOf": [{"enum": tokens}, TEXT | {"minLength": 1}]}
            given.append({"name": "token", "in": "path", "required": True, "schema": schema})
        found = {"parameters": given, "responses": ANSWERS}
        if form:
            shape = {"schema": {"type": "object", "properties": fields}}
            kinds = ("application/x-www-form-urlencoded", "multipart/form-data")
            found["requestBody"] = {"content": dict.fromkeys(kinds, shape)}
        return found

    looks = ["/u/{token}", "/p/{token}", "/c/{token}", "/subscribe/{token}", "/privacy", "/manage"]
    only = ["/privacy/{token}", "/static/{token}", "/healthz", "/readyz", "/robots.txt"]
    paths = {path: {"get": operation(path, form=False)} for path in looks + only}
    for path in looks:
        paths[path]["post"] = operation(path, form=True)
    return {"openapi": "3.0.3", "info": {"title": "pages", "version": "1"}, "paths": paths}


async def every_token(site):
    """Links of every kind, all of them good."""
    subject = await site.subscribe("anna@example.org", "newsletter", "events")
    tomorrow = int(site.store.now().timestamp()) + 86_400
    stored = site.ring.seal(Purpose.DOSSIER, Claim(subject, 0, tomorrow))
    return [*(site.token(subject, purpose=kind) for kind in "upc"), stored, "web"]


async def test_the_pages_answer_whatever_they_are_asked(tmp_path):
    async with served(tmp_path, letters=True) as site:
        await site.store.write(add_form)
        form = {"enum": [await token_of(site)]}
        fields = {
            "action": {"enum": ["save", "nothing", "undo", "x"]}, "page": {"enum": ["1"]},
            "on": TEXT, "shown": {"enum": ["newsletter", "events", "foreign"]}, "back": TEXT,
            "address": {"anyOf": [TEXT, {"enum": ["anna@example.org", "new@example.org"]}]},
            "sender": {"enum": ["acme", "other", "nobody"]}, "stream": TEXT, "homepage": TEXT,
            "form": {"anyOf": [form, TEXT]}, "List-Unsubscribe": {"enum": ["One-Click"]},
        }  # fmt: skip
        path = tmp_path / "pages.json"
        path.write_text(json.dumps(document(await every_token(site), fields)))
        options = ("--checks", ",".join(CHECKS), "--phases", "coverage,fuzzing",
                   "--max-examples", "6")  # fmt: skip
        before = await digest(site.store)
        said = await fuzz(tmp_path, path, site.url, *options, "--include-method", "GET")
        assert "Tested: 11" in said
        assert await digest(site.store) == before
        said = await fuzz(tmp_path, path, site.url, *options, "--include-method", "POST")
        assert "Tested: 6" in said
        assert await digest(site.store) != before


async def test_looking_changes_nothing(tmp_path):
    """R8058-14: every method that is safe, on every path of both listeners, with good links.

    With what would make a careless program take it for a POST.
    """
    tempting = {
        "X-HTTP-Method-Override": "POST", "X-Method-Override": "POST", "Sec-Purpose": "prefetch",
        "Content-Type": "application/x-www-form-urlencoded",
    }  # fmt: skip
    query = "?List-Unsubscribe=One-Click&action=nothing&page=1&_method=POST&address=a@example.org"
    async with served(tmp_path, letters=True) as site:
        await site.store.write(add_form)
        tokens = await every_token(site)
        key = await key_for(site, "all")
        steps = ["u", "p", "c", "privacy", "subscribe"]
        paths = [f"/{step}/{token}" for step in steps for token in tokens]
        paths += ["/privacy", "/manage", "/", "/healthz", "/readyz", "/robots.txt", "/favicon.ico"]
        admin = f"http://127.0.0.1:{site.admin_port}"
        headers = tempting | {"Authorization": f"Bearer {key}"}
        before = await digest(site.store)
        async with visiting(headers=headers) as client:
            api = (await client.get(f"{admin}/api/openapi.json")).json()["paths"]
            urls = [f"{site.url}{path}{query}" for path in paths]
            urls += [f"{admin}/api{path.replace('{number}', '1')}" for path in api]
            others = ("/metrics", "/healthz", "/readyz", "/", "/api", "/api/docs", "/api/nothing")
            urls += [f"{admin}{path}" for path in others]
            for url in urls:
                for method in SAFE:
                    body = b"List-Unsubscribe=One-Click&action=nothing"
                    answer = await client.request(method, url, content=body)
                    where = method, url, answer.status_code
                    assert answer.status_code in (200, 204, 400, 401, 404, 405, 410, 422), where
                    assert (answer.status_code == 405) is ("allow" in answer.headers) or (
                        method == "OPTIONS"
                    ), where
                    assert answer.headers["x-content-type-options"] == "nosniff", where
                    assert answer.headers["referrer-policy"] == "no-referrer", where
                    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert await digest(site.store) == before
        assert site.withdrawn == []


async def test_allow_names_every_method_of_a_path(tmp_path):
    """RFC 9110 section 10.2.1; a path of ours has one route per method."""
    async with served(tmp_path, letters=True) as site, visiting() as client:
        key = await key_for(site, "all")
        client.headers["Authorization"] = f"Bearer {key}"
        admin = f"http://127.0.0.1:{site.admin_port}"
        for url, methods in {
            f"{site.url}/u/x": "GET, HEAD, OPTIONS, POST",
            f"{site.url}/p/x": "GET, HEAD, OPTIONS, POST",
            f"{site.url}/static/x": "GET, HEAD, OPTIONS",
            f"{site.url}/readyz": "GET, HEAD, OPTIONS",
            f"{admin}/api/v1/suppressions": "GET, POST",
            f"{admin}/api/v1/campaigns/7/stop": "POST",
        }.items():
            answer = await client.put(url)
            assert (url, answer.status_code) == (url, 405)
            assert answer.headers["allow"] == methods
