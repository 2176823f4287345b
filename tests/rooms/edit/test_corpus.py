"""Every mail of the corpus, as a bulk copy and as any other, signed, and undone."""

from pathlib import Path

import pytest

from gatepost.flow.edit import Signer, apply, undo
from gatepost.flow.edit.leaves import body_leaves
from gatepost.flow.edit.placeholders import find_placeholders
from gatepost.mail.lines import MAX_LINE_OCTETS, normalize
from gatepost.mail.message import scan
from support.dkim_keys import KEYS, NOW, verify
from support.treatments import (
    CORPUS_TOKENS,
    CORPUS_TREATMENT,
    LEAVE,
    NOT_BULK,
    TOKENS,
    TREATMENT,
    body_of,
    copy_of,
    plan_of,
    read,
)

MAILS = sorted((Path(__file__).parents[2] / "mails").glob("*.eml"))
# Those whose text cannot or must not take a footer, or already says it all.
WITHOUT_FOOTER = {
    "plain-base64-broken", "plain-unknown-charset", "plain-hz", "plain-utf-16", "plain-utf-7",
    "html-unknown-charset", "base64-padding-inside", "uuencoded",
    "delivery-report", "read-receipt", "abuse-report", "digest", "form-data", "message-partial",
    "forwarded-alone", "boundary-missing", "boundary-not-at-all", "part-without-empty-line",
    "pgp-mime-signed", "pgp-inline", "pgp-inline-base64", "pgp-inline-qp", "pgp-encrypted",
    "pgp-encrypted-mangled", "smime-opaque", "smime-signed", "smime-by-name",
    "signed-inside-mixed",
}  # fmt: skip


def name_of(path):
    return path.stem.partition("-")[2]


def test_every_mail_says_why_it_is_there():
    assert len(MAILS) >= 120
    for path in MAILS:
        why = path.with_suffix(".why").read_text(encoding="utf-8")
        assert why.strip()
        assert why.count("\n") == 1


@pytest.mark.parametrize("treatment", [TREATMENT, NOT_BULK], ids=["bulk", "not-bulk"])
@pytest.mark.parametrize("path", MAILS, ids=name_of)
def test_the_promises_hold(path, treatment):
    raw = normalize(path.read_bytes())
    made = plan_of(raw, treatment)
    prepared = Signer(KEYS[:1]).prepare(made)
    signed = prepared.sign(TOKENS, NOW)
    assert len(signed) == prepared.size
    assert verify(signed)
    copy = signed[-made.size :]
    assert undo(made, copy) == raw
    assert max(map(len, copy.split(b"\r\n"))) <= MAX_LINE_OCTETS
    before, after = list(read(raw).walk()), list(read(copy).walk())
    assert [p.get_content_type() for p in before] == [p.get_content_type() for p in after]
    for old, new in zip(before, after, strict=True):
        if not old.is_multipart() and (old.get_content_maintype() != "text" or old.get_filename()):
            assert old.get_payload(decode=True) == new.get_payload(decode=True)


@pytest.mark.parametrize("path", MAILS, ids=name_of)
def test_every_reader_of_a_bulk_copy_finds_the_way_out(path):
    raw = normalize(path.read_bytes())
    made = plan_of(raw, CORPUS_TREATMENT)
    copy = apply(made, CORPUS_TOKENS)
    assert read(copy)["List-Unsubscribe"].startswith(f"<{LEAVE}>")
    if name_of(path) in WITHOUT_FOOTER:
        assert made.notes
        assert body_of(copy) == body_of(raw)
    else:
        seen = [scan(copy).text(leaf.part) for leaf in body_leaves(scan(copy))]
        assert any(LEAVE in text for text in seen)
        spellings = CORPUS_TREATMENT.bulk.placeholders
        assert not any(find_placeholders(text.encode(), spellings) for text in seen)


@pytest.mark.parametrize("path", MAILS, ids=name_of)
def test_the_copy_is_the_stored_one_octet_for_octet(path):
    expected = (path.parent / "expected" / path.name).read_bytes()
    assert copy_of(normalize(path.read_bytes()), CORPUS_TREATMENT, CORPUS_TOKENS) == expected


def test_every_stored_copy_belongs_to_a_mail():
    stored = sorted(path.name for path in (MAILS[0].parent / "expected").iterdir())
    assert stored == [path.name for path in MAILS]


@pytest.mark.parametrize("path", MAILS, ids=name_of)
def test_the_scanner_agrees_with_the_standard_library(path):
    raw = normalize(path.read_bytes())
    assert [part.media for part in scan(raw).parts] == list(kinds_of(read(raw)))


def kinds_of(part):
    yield part.get_content_type().partition(" (")[0]  # the library keeps comments
    if part.get_content_maintype() == "multipart" and part.is_multipart():
        for child in part.get_payload():
            yield from kinds_of(child)
