"""`gatepost preview`: the copy as it would be, every edit, and nothing done."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import dkim
import pytest

from gatepost.flow.edit import Slot
from gatepost.mail.lines import normalize
from support.command import CONFIG, Site
from support.treatments import (
    CORPUS_CONFIG,
    CORPUS_TREATMENT,
    HEAD,
    copy_of,
    message,
    multipart,
    part,
)

MAILS = sorted((Path(__file__).parents[2] / "mails").glob("*.eml"))
LETTER = message("Hej på dig\r\n".encode(), "text/plain; charset=utf-8", "8bit")
TO = "anna@kund.example"


def shown(site, file, *words, stream="newsletter"):
    return site.ok("preview", file, "--stream", stream, "--to", TO, "--json", *words).json


def octets(text):
    """The bytes that JSON spells."""
    return re.sub(rb"\\x([0-9a-f]{2})", lambda m: bytes([int(m[1], 16)]), text.encode())


def rebuilt(content, edits):
    """What making `edits` in `content` gives."""
    pieces, at = [], 0
    for edit in edits:
        deleted = octets(edit["deleted"])
        assert content[edit["offset"] :].startswith(deleted)
        pieces += content[at : edit["offset"]], octets(edit["inserted"])
        at = edit["offset"] + len(deleted)
    return b"".join([*pieces, content[at:]])


@pytest.mark.parametrize("path", MAILS, ids=lambda path: path.stem)
def test_the_edits_are_all_there_is_between_message_and_copy(path, tmp_path):
    site = Site(tmp_path, bare=True)
    said = shown(site, path)
    content = normalize(path.read_bytes())
    assert len(content) == said["size"]
    if b"\\x" in content:
        return  # JSON could mean either
    copy = octets(said["copy"])
    assert len(copy) == said["copy_size"]
    assert rebuilt(content, said["edits"]) == copy
    assert b"\r\nList-Unsubscribe: <https://mail.example.org/u/" in copy
    assert not (tmp_path / "data").exists()


@pytest.fixture(scope="module")
def corpus_site(tmp_path_factory):
    """The configuration by which the stored copies were made."""
    return Site(tmp_path_factory.mktemp("corpus"), config=CORPUS_CONFIG)


@pytest.mark.parametrize("path", MAILS, ids=lambda path: path.stem)
def test_it_shows_exactly_the_stored_copy(path, corpus_site):
    """With the links and the trace of this preview put into the stored copy's treatment.

    `rooms/edit/test_corpus.py` compares what the treatment makes with `mails/expected`.
    """
    copy = corpus_site.octets("preview", path, "--stream", "newsletter", "--to", TO, "--raw")
    field = rb"\r\nList-Unsubscribe: <https://mail.example.org/u/(.{49})>, <mailto:[^>]*?(\w{60})[^>]*>\r\n"
    leave, mailto = re.search(field, copy).groups()
    choose = re.search(rb"\r\nList-Help: <https://mail.example.org/p/(.{49})>\r\n", copy)[1]
    trace = re.match(rb"Received: .*?\r\n(?:[ \t].*?\r\n)*", copy)[0]
    at = trace.rpartition(b"\t")[2].strip()
    treatment = replace(
        CORPUS_TREATMENT, received=trace, date=at, message_id=b"<0000000000001@relay.example.org>"
    )
    tokens = {Slot.UNSUBSCRIBE: leave, Slot.PREFERENCES: choose, Slot.MAILTO: mailto}
    assert copy == copy_of(normalize(path.read_bytes()), treatment, tokens)


def test_signatures_are_among_the_edits_and_verify(tmp_path):
    site = Site(tmp_path)
    made = site.ok("dkim", "generate", "acme.example", "--json").json
    site = Site(tmp_path, more="\n" + made["config"] + "\n")
    file = site.file("letter.eml", LETTER)
    said = shown(site, file)
    assert said["signed_by"] == ["gp1._domainkey.acme.example"]
    assert said["edits"][0]["inserted"].startswith("DKIM-Signature: ")
    record = made["record"].encode()
    assert dkim.verify(octets(said["copy"]), dnsfunc=lambda name, timeout=5: record)


def test_people_see_it_too(tmp_path):
    site = Site(tmp_path)
    file = site.file("letter.eml", message(b"hi\r\n", head=HEAD + b"List-Id: <old.example>\r\n"))
    out = site.ok("preview", file, "--stream", "newsletter", "--to", TO).out
    assert "nobody: the sender has no DKIM key" in out
    assert "- List-Id: <old.example>" in out
    assert "+ List-Unsubscribe-Post: List-Unsubscribe=One-Click" in out
    assert "  hi\n" in out


def test_what_is_left_alone_is_said_with_the_reason(tmp_path):
    site = Site(tmp_path)
    signed = multipart("signed", part(b"x"), part(b"y", "application/pgp-signature"))
    said = shown(site, site.file("signed.eml", signed))
    assert any("signed" in note for note in said["left_alone"]) or said["edits"]
    body = signed.partition(b"\r\n\r\n")[2]
    assert octets(said["copy"]).endswith(body)


def test_mail_that_is_not_bulk_keeps_its_body(tmp_path):
    site = Site(tmp_path)
    said = shown(site, site.file("letter.eml", LETTER), stream="receipts")
    assert octets(said["copy"]).endswith(LETTER.partition(b"\r\n\r\n")[2])
    assert "List-Unsubscribe" not in said["copy"]


def test_for_a_poorer_upstream(tmp_path):
    site = Site(tmp_path)
    said = shown(site, site.file("letter.eml", LETTER), "--seven-bit")
    assert not said["eight_bit"]
    assert said["copy"].isascii()
    assert rebuilt(LETTER, said["edits"]).decode() == said["copy"]
    signed = multipart("signed", part("å".encode()), part(b"y", "application/pgp-signature"))
    assert "cannot get" in site.refused(
        "preview", site.file("signed.eml", signed), "--stream", "newsletter", "--to", TO,
        "--seven-bit", status=1,
    )  # fmt: skip


def test_raw_is_the_copy_and_nothing_else(tmp_path):
    site = Site(tmp_path)
    file = site.file("letter.eml", LETTER)
    words = ["preview", file, "--stream", "newsletter", "--to", TO]
    done = subprocess.run(
        [sys.executable, "-m", "gatepost", "--config", site.config, *words, "--raw"],
        capture_output=True, timeout=300, check=True,
    )  # fmt: skip
    assert done.stdout.startswith(b"Received: ")
    assert "Hej på dig\r\n".encode() in done.stdout


@pytest.mark.parametrize(
    "words",
    [
        ("--stream", "nothing", "--to", TO),
        ("--stream", "newsletter", "--to", "nobody"),
        ("--stream", "newsletter", "--to", TO, "--client", "stranger"),
    ],
)
def test_what_cannot_be_is_refused(words, tmp_path):
    site = Site(tmp_path)
    site.refused("preview", site.file("letter.eml", LETTER), *words)


def test_a_signature_that_is_to_be_kept_is_not_broken_for_a_poorer_upstream(tmp_path):
    config = CONFIG.replace("[clients.crm]", "[clients.crm]\nkeep_dkim = true")
    site = Site(tmp_path, config=config)
    signed = site.file("signed.eml", b"DKIM-Signature: v=1; d=other.example; b=x\r\n" + LETTER)
    words = ("--stream", "newsletter", "--to", TO, "--seven-bit")
    site.ok("preview", site.file("plain.eml", LETTER), *words)
    assert "cannot get" in site.refused("preview", signed, *words, status=1)
