"""Signatures, checked by an independent verifier, over many shapes (RK-1..8, R8058-10)."""

import binascii
import re
import tracemalloc
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings

from gatepost.flow.edit import Signer, Slot, apply, dkim, load_key, undo
from support.dkim_keys import KEY, KEYS, NOW, verify
from support.mime_trees import messages
from support.treatments import (
    HEAD,
    NOT_BULK,
    TOKENS,
    TREATMENT,
    message,
    multipart,
    part,
    plan_of,
    with_bulk,
)


def sign(raw, treatment=TREATMENT, keys=KEYS[:1], values=TOKENS):
    made = plan_of(raw, treatment)
    prepared = Signer(keys).prepare(made)
    copy = prepared.sign(values, NOW)
    assert len(copy) == prepared.size
    assert copy.endswith(apply(made, values))
    assert undo(made, copy[-made.size :]) == raw
    return copy


def signed_names(copy):
    return re.search(rb"h=([^;]*);", copy).group(1).decode().split(":")


HTML = b"<html><body> a \t b </body></html>\r\n\r\n\r\n"
SHAPES = [
    message(b"Hello\r\n"),
    message(b""),
    message(b"\r\n\r\n  \r\n"),
    message(b"a  b\t\tc   \r\n \t\r\nd\r\n\r\n\r\n"),
    message(b"a {{unsubscribe_url}}  b{{preferences_url}}"),
    message(
        b"a =20=\r\n {{unsubscribe_url}}  b{{preferences_url}} {{sender_identity}}",
        encoding="quoted-printable",
    ),
    message(binascii.b2a_base64(b"x {{unsubscribe_url}} {{sender_identity}}"), encoding="base64"),
    message(HTML, "text/html"),
    message("å\r\n".encode("latin-1"), "text/plain; charset=iso-8859-1", "8bit"),
    multipart("alternative", part(b"plain"), part(HTML, "text/html")),
    multipart(
        "mixed",
        part(binascii.b2a_base64(HTML), "text/html", "base64"),
        part(b"AAAA\r\n" * 500, "image/png"),
    ),
    message(b"x" * 3000),
    HEAD,
    HEAD + b"no separator\r\n",
    b"From: a@acme.example\r\n\r\nx\r\n",
    message(b"x", head=b"Received: a\r\nReceived: b\r\nTo: x@y.example\r\n" + HEAD),
    message(b"x", head=HEAD + b"Cc:  folded\r\n\t value \r\n"),
]


@pytest.mark.parametrize(
    "treatment", [TREATMENT, NOT_BULK, with_bulk(mailto="", headers_only=True)]
)
@pytest.mark.parametrize("raw", SHAPES)
def test_an_independent_verifier_accepts_each_copy(raw, treatment):
    copy = sign(raw, treatment)
    assert verify(copy)
    assert max(map(len, copy.split(b"\r\n"))) <= 998


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(messages())
def test_any_tree(raw):
    assert verify(sign(raw))


def test_two_copies_of_one_plan_have_signatures_of_their_own():
    prepared = Signer(KEYS[:1]).prepare(plan_of(SHAPES[4]))
    one = prepared.sign(TOKENS, NOW)
    other = prepared.sign({**TOKENS, Slot.UNSUBSCRIBE: b"Z" * 49}, NOW)
    assert verify(one)
    assert verify(other)
    assert prepared.sign(TOKENS, NOW) == one
    assert not verify(one.replace(TOKENS[Slot.UNSUBSCRIBE], b"Z" * 49, 1))
    assert not verify(one[: one.rindex(b"Leave:")] + other[other.rindex(b"Leave:") :])


def test_several_keys_sign_each_for_itself():
    copy = sign(SHAPES[0], keys=KEYS)
    assert copy.count(b"DKIM-Signature:") == 2
    assert verify(copy, 0)
    assert verify(copy, 1)


def test_rk_6_own_signatures_stand_above_the_trace_and_older_ones():
    older = b"DKIM-Signature: v=1; d=other.example; b=abc\r\n"
    copy = sign(message(b"x", head=older + HEAD))
    assert copy.startswith(b"DKIM-Signature: v=1;")
    assert copy.index(b"Received:") < copy.index(older)
    assert verify(copy)


def test_rk_3_and_4_what_is_signed_in_bulk_mail():
    names = signed_names(sign(SHAPES[0]))
    for name in (
        "From",
        "To",
        "Subject",
        "Date",
        "Content-Type",
        "List-Unsubscribe",
        "List-Unsubscribe-Post",
    ):
        assert names.count(name) == 2  # once more than present
    for name in (
        "Cc",
        "Message-ID",
        "Reply-To",
        "MIME-Version",
        "Content-Transfer-Encoding",
        "List-Id",
        "List-Help",
        "Feedback-ID",
    ):
        assert names.count(name) == 1


def test_other_mail_may_still_pass_through_a_mailing_list():
    names = signed_names(sign(SHAPES[0], NOT_BULK))
    assert not [name for name in names if name.startswith("List-")]
    assert names.count("From") == 2
    assert "Cc" not in names


@pytest.mark.parametrize("added", [b"From: b@evil.example\r\n", b"Subject: b\r\n", b"List-Unsubscribe: <https://evil.example/>\r\n",
                                   b"Content-Type: text/html\r\n", b"Cc: b@evil.example\r\n"])  # fmt: skip
def test_rk_4_a_field_cannot_be_added(added):
    copy = sign(SHAPES[0])
    at = copy.index(b"Received:")
    assert not verify(copy[:at] + added + copy[at:])


def test_times_are_given_never_read():
    prepared = Signer(KEYS[:1], lifetime=864_000).prepare(plan_of(SHAPES[0]))
    copy = prepared.sign(TOKENS, 3_000_000_000)
    assert b"t=3000000000;" in copy
    assert b"x=3000864000;" in copy
    assert len(copy) == prepared.size


def test_without_keys_a_copy_is_what_apply_makes():
    made = plan_of(SHAPES[0])
    assert Signer([]).prepare(made).sign(TOKENS, NOW) == apply(made, TOKENS)


def test_keys_are_checked():
    pem = KEY.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    assert load_key(pem).private_numbers() == KEY.private_numbers()
    locked = KEY.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"x"),
    )
    curve = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for bad in (locked, curve, b"", b"nonsense"):
        with pytest.raises(ValueError, match=r".+"):
            load_key(bad)
    for selector in ("s", "2028", "gp1.news", "_x.y"):
        assert replace(KEYS[0], selector=selector).selector == selector
    for domain in ("", "-", "a..b", "a.", ".a", "a;b", "a\r\nb", "å.example", "a b"):
        with pytest.raises(ValueError, match="host names"):
            replace(KEYS[0], domain=domain)


@pytest.mark.parametrize("raw", SHAPES)
def test_a_text_is_hashed_in_pieces_as_it_is_in_one(raw, monkeypatch):
    whole = sign(raw)
    monkeypatch.setattr(dkim, "_LARGE", 3)
    assert sign(raw) == whole
    assert verify(whole)


def test_signing_a_large_text_takes_a_few_times_its_size():
    """One object per word of 25 MB was more than a gigabyte."""
    line = b"a few words,  and  some\tmore, on a line of ordinary length \r\n"
    raw = message(line * 20_000)
    plan = plan_of(raw)
    tracemalloc.start()
    try:
        prepared = Signer(KEYS[:1]).prepare(plan)
        assert tracemalloc.get_traced_memory()[1] < 4 * len(raw)
    finally:
        tracemalloc.stop()
    assert verify(prepared.sign(TOKENS, NOW))
