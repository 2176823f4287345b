"""`gatepost selftest`: it passes where all is well, and each fault is found by its own check."""

import dkim
import pytest

from gatepost.cli.findings import Mark
from gatepost.cli.selftest.claims import (
    Copy,
    body_findings,
    header_findings,
    signature_findings,
)
from gatepost.cli.signature import signatures, trouble_with
from gatepost.flow.edit import Signer
from gatepost.mail.sender import Sender
from support.command import CONFIG, Site
from support.dkim_keys import KEY, KEYS, NOW, PEM, RECORDS
from support.name_server import NameServer, quoted
from support.treatments import NOT_BULK, TOKENS, message, multipart, part, plan_of

SENDER = Sender(
    name="acme",
    legal_name="Acme AB",
    postal_address="Storgatan 1, 111 22 Stockholm",
    public_url="https://mail.example.org",
)
RAW = multipart("alternative", part(b"hello"), part(b"<p>hello</p>", "text/html"))


def copy_of(raw=RAW, keys=KEYS[:1], **treatment):
    return Signer(keys).prepare(plan_of(raw, **treatment)).sign(TOKENS, NOW)


def keys_of(signature):
    known = {(key.domain, key.selector): key.key.public_key() for key in KEYS}
    return known.get((signature.domain, signature.selector), "unknown")


def bad(findings):
    return [one.about for one in findings if one.mark is not Mark.GOOD]


# the command


def test_a_signed_stream_passes_every_check(tmp_path):
    site = Site(tmp_path, bare=True)
    made = site.ok("dkim", "generate", "acme.example", "--json").json
    site = Site(tmp_path, more="\n" + made["config"] + "\n", bare=True)
    said = site.ok("selftest", "--stream", "newsletter", "--json").json
    assert said["ok"]
    assert {one["mark"] for one in said["checks"]} == {"good"}
    about = {one["about"].removeprefix("newsletter: ") for one in said["checks"]}
    assert {
        "DKIM signature of acme.example, selector gp1",
        "a valid signature covers both unsubscribe headers",
        "one click, as Gmail posts it",
        "one click, as Yahoo posts it",
        "a link scanner opens every link and changes nothing",
        "a second mail to one who left does not go out",
    } <= about
    assert not (tmp_path / "data").exists()


def test_without_a_key_it_says_that_the_headers_count_for_nothing(tmp_path):
    out = Site(tmp_path).ok("selftest").out
    assert "unsigned: the one-click headers count for nothing" in out
    assert "newsletter: one click, as Gmail posts it: 200" in out
    assert "club: one click" in out


@pytest.mark.parametrize("policy", ["reject", "quarantine"])
def test_whatever_becomes_of_those_who_left(tmp_path, policy):
    config = CONFIG.replace('kind = "bulk"', f'kind = "bulk"\non_ineligible = "{policy}"')
    Site(tmp_path, config=config).ok("selftest", "--stream", "newsletter")


def test_links_without_https_fail(tmp_path):
    config = CONFIG.replace("https://mail.example.org", "http://127.0.0.1:8025")
    answer = Site(tmp_path, config=config).run("selftest", "--stream", "newsletter", "--json")
    assert answer.status == 1
    assert [one["about"] for one in answer.json["checks"] if one["mark"] == "bad"] == [
        "newsletter: List-Unsubscribe"
    ]


def test_streams_that_are_no_bulk_are_not_tested(tmp_path):
    Site(tmp_path).refused("selftest", "--stream", "receipts")
    config = CONFIG.partition("[senders")[0].replace('"newsletter", "club", "receipts"', '"office"')
    config += '[streams.office]\nkind = "personal"\n'
    assert "no bulk stream" in Site(tmp_path, config=config).refused("selftest")


def test_a_mail_that_was_received_is_judged_by_what_dns_publishes(tmp_path):
    site = Site(tmp_path)
    file = site.file("received.eml", copy_of())
    records = {(name.decode(), "TXT"): [quoted(text.decode())] for name, text in RECORDS.items()}
    with NameServer(records) as server:
        words = ["selftest", "--received", file, "--dns", f"127.0.0.1:{server.port}", "--json"]
        said = site.ok(*words).json
        assert {one["mark"] for one in said["checks"]} == {"good"}
        file.write_bytes(copy_of().replace(b"hello", b"hullo"))
        assert site.run(*words).status == 1
    with NameServer({}) as server:
        words = ["selftest", "--received", file, "--dns", f"127.0.0.1:{server.port}"]
        assert "DNS has no record for its key" in site.run(*words).out


# signatures


def test_the_own_verifier_agrees_with_dkimpy():
    domain, selector = b"acme.example", b"gp1"
    raw = message(b"a  b \t\r\n\r\n c\t d  \r\n\r\n\r\n")
    for way in [(b"relaxed", b"relaxed"), (b"simple", b"simple"), (b"relaxed", b"simple")]:
        for one in (raw, message(b""), RAW):
            copy = dkim.sign(one, selector, domain, PEM, canonicalize=way) + one
            [signature] = signatures(copy)
            assert trouble_with(copy, signature, KEY.public_key()) == ""
            changed = copy.replace(b"Subject: News", b"Subject: Olds")
            assert "header" in trouble_with(changed, signature, KEY.public_key())
            assert "body" in trouble_with(copy + b"more\r\n", signature, KEY.public_key())
            assert "key" in trouble_with(copy, signature, KEYS[1].key.public_key())


def test_ours_are_accepted_and_nothing_can_be_added():
    copy = copy_of(keys=KEYS)
    for one in signatures(copy):
        assert trouble_with(copy, one, keys_of(one)) == ""
        for field in (b"From: x@evil.example", b"List-Unsubscribe: <https://evil.example/>"):
            added = copy.replace(b"Received:", field + b"\r\nReceived:", 1)
            assert trouble_with(added, one, keys_of(one)) != ""


def test_a_signature_that_limits_itself_or_cannot_be_read_is_none():
    copy = copy_of().replace(b"v=1;", b"v=1; l=5;", 1)
    assert "whole" in trouble_with(copy, signatures(copy)[0], KEY.public_key())
    copy = copy_of().replace(b"bh=", b"bh=!", 1)
    assert trouble_with(copy, signatures(copy)[0], KEY.public_key()) != ""
    copy = copy_of().replace(b"h=From:", b"h=X-From:").replace(b":From:", b":X-From:")
    assert "From" in trouble_with(copy, signatures(copy)[0], KEY.public_key())


def test_a_signature_of_another_domain_or_without_the_pair_is_not_enough():
    assert bad(signature_findings(Copy(copy_of()), keys_of)) == []
    elsewhere = copy_of().replace(b"news@acme.example", b"news@acme.test")
    assert "DKIM signature of acme.example, selector gp1" in bad(
        signature_findings(Copy(elsewhere), keys_of)
    )
    plain = copy_of(treatment=NOT_BULK)
    assert bad(signature_findings(Copy(plain), keys_of)) == [
        "a valid signature covers both unsubscribe headers"
    ]
    foreign = copy_of(raw=RAW.replace(b"news@acme.example", b"news@acme.test"))
    assert bad(signature_findings(Copy(foreign), keys_of)) == [
        "a valid signature is of the From domain"
    ]


# headers and texts


def test_a_copy_of_ours_has_what_receivers_want():
    copy = Copy(copy_of())
    assert bad(header_findings(copy)) == []
    assert bad(body_findings(copy, SENDER)) == []


@pytest.mark.parametrize(
    ("old", "new", "about"),
    [
        (b"<https://", b"<http://", "List-Unsubscribe"),
        (b"List-Unsubscribe: ", b"List-Unsubscribe: <https://other.example/>, ", "List-Unsubscribe"),
        (b"List-Unsubscribe: ", b"List-Unsubscribe: <mailto:a@b.example>\r\nList-Unsubscribe: ", "List-Unsubscribe"),
        (b"List-Unsubscribe: ", b"List-Unsubscribe:\r\n ", "List-Unsubscribe"),
        (b"List-Unsubscribe-Post: ", b"X-Post: ", "List-Unsubscribe-Post"),
        (b"=One-Click", b"=one-click", "List-Unsubscribe-Post"),
        (b"Subject: ", b"Subject: a\r\nSubject: ", "header fields that may occur once"),
        (b"From: ", b"From: a@acme.example, ", "From has one address"),
        (b"<n1@acme.example>", b"<n1>", "Message-ID"),
        (b"Date: ", b"X-Date: ", "Date"),
        (b"List-Id: ", b"X-List-Id: ", "List-Id"),
        (b"Subject: ", b"Subject: " + b"x" * 999, "no line is over 998 octets"),
    ],
)  # fmt: skip
def test_each_fault_of_a_header_is_found(old, new, about):
    content = copy_of(keys=[])
    assert old in content
    assert about in bad(header_findings(Copy(content.replace(old, new, 1))))


@pytest.mark.parametrize(
    ("old", "new", "about"),
    [
        (b"Leave: https://mail", b"Leave: https://male", None),
        (b"\nAcme AB", b"\nAcme", "name and postal address in the text"),
        (b"Storgatan 1", b"Storgatan 2", "name and postal address in the text"),
    ],
)
def test_each_fault_of_a_text_is_found(old, new, about):
    content = copy_of(keys=[])
    assert old in content
    found = bad(body_findings(Copy(content.replace(old, new)), SENDER))
    assert about in found if about else found == []
    nothing = content.replace(b"https://mail.example.org/", b"https://else.example/")
    assert "a way out in the text" in bad(body_findings(Copy(nothing), SENDER))
    assert "a way out in the HTML" in bad(body_findings(Copy(nothing), SENDER))
