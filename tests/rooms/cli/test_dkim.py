"""`gatepost dkim`: a key that is nobody else's, and a record that fits it."""

import re
import stat

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from gatepost.flow.edit import DkimKey, Signer, load_key
from gatepost.flow.edit.dkim_record import (
    public_key,
    record_strings,
    record_text,
    zone_line,
)
from support.command import CONFIG, Site
from support.treatments import TOKENS, message, plan_of


def table_of(answer):
    return answer.out[answer.out.index("[[senders") :]


def test_a_key_is_made_and_its_record_and_table_are_shown(tmp_path):
    site = Site(tmp_path)
    answer = site.ok("dkim", "generate", "acme.example")
    path = tmp_path / "dkim" / "acme.example.gp1.pem"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key = load_key(path.read_bytes())
    assert key.key_size == 2048
    assert zone_line("acme.example", "gp1", record_text(key)) in answer.out
    assert all(len(one) <= 255 for one in re.findall(r'"([^"]*)"', answer.out))
    Site(tmp_path, more=f"\n{table_of(answer)}\n")  # the table can be pasted as it is
    shown = site.ok("dkim", "show", "--json").json
    assert [(one["sender"], one["selector"], one["bits"]) for one in shown] == [
        ("acme", "gp1", 2048)
    ]
    assert "".join(shown[0]["strings"]) == shown[0]["record"] == record_text(key)


def test_what_is_published_verifies_what_is_signed(tmp_path):
    site = Site(tmp_path)
    made = site.ok("dkim", "generate", "acme.example", "--selector", "s1", "--json").json
    key = DkimKey(
        "acme.example", "s1", load_key((tmp_path / "dkim" / "acme.example.s1.pem").read_bytes())
    )
    copy = Signer([key]).prepare(plan_of(message(b"x\r\n"))).sign(TOKENS, 1_700_000_000)
    records = {f"{made['name']}.".encode(): "".join(made["strings"]).encode()}
    assert dkim.verify(copy, dnsfunc=lambda name, timeout=5: records[name])


def test_nothing_is_written_over(tmp_path):
    site = Site(tmp_path)
    file = site.file("old.pem", "precious")
    assert "exists already" in site.refused(
        "dkim", "generate", "acme.example", "-o", file, status=1
    )
    assert file.read_text() == "precious"


def test_rk_7_a_new_key_has_a_new_selector(tmp_path):
    site = Site(tmp_path)
    site = Site(tmp_path, more="\n" + table_of(site.ok("dkim", "generate", "acme.example")))
    assert "already" in site.refused(
        "dkim", "generate", "acme.example", "--selector", "gp1", "-o", "x.pem", status=1
    )
    second = site.ok("dkim", "generate", "acme.example")
    assert 'selector = "gp2"' in second.out


def test_a_key_can_be_made_before_there_is_a_configuration(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    site = Site(tmp_path, config="[nonsense\n")
    answer = site.ok("dkim", "generate", "blåbär.example")
    domain = "blåbär.example".encode("idna").decode()
    assert (tmp_path / "dkim" / f"{domain}.gp1.pem").exists()
    assert "[[senders.NAME.dkim]]" in answer.out
    assert f'domain = "{domain}"' in answer.out


def test_the_sender_is_found_by_its_addresses(tmp_path):
    site = Site(tmp_path, config=CONFIG.replace('"@acme.example"', '"@*.acme.example"'))
    assert "[[senders.acme.dkim]]" in site.ok("dkim", "generate", "acme.example").out
    assert "[[senders.NAME.dkim]]" in site.ok("dkim", "generate", "other.example").out


def test_without_keys_show_says_how_to_get_one(tmp_path):
    assert "dkim generate" in Site(tmp_path).ok("dkim", "show").out
    assert Site(tmp_path).ok("dkim", "show", "--json").json == []


@pytest.mark.parametrize("words", [("no domain",), ("acme.example", "--bits", "512"),
                                   ("acme.example", "--selector", "a b")])  # fmt: skip
def test_what_cannot_be(tmp_path, words):
    Site(tmp_path).refused("dkim", "generate", *words)
    assert not (tmp_path / "dkim").exists()


@pytest.mark.parametrize(
    "text", ["", "v=DKIM1; p=", "v=DKIM1; k=ed25519; p=AAAA", "v=DKIM1; p=!!", "p=AAAA", "v=spf1"]
)
def test_a_record_without_a_key_is_none(text):
    with pytest.raises(ValueError, match=r".+"):
        public_key(text)


def test_a_record_is_read_as_it_was_written():
    key = rsa.generate_private_key(65537, 4096)
    text = record_text(key)
    assert public_key(text).public_numbers() == key.public_key().public_numbers()
    assert public_key(text.replace("; ", " ;\t ")) is not None
    assert len(record_strings(text)) == 3
