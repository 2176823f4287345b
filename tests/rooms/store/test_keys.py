"""Keys: made when missing, closed to others, never made anew by mistake."""

import json
import os

import pytest

from gatepost.mail.address import parse
from gatepost.store import keys
from gatepost.store.keys import KeysError


def test_missing_keys_are_made_once(tmp_path):
    first = keys.load(tmp_path / "keys")
    assert keys.load(tmp_path / "keys") == first
    assert len({first.suppression, first.ledger, *first.link_keys.values()}) == 3
    assert first.link_current in first.link_keys
    assert {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "keys").iterdir()} == {
        "suppression.key": 0o600,
        "ledger.key": 0o600,
        "links.json": 0o600,
    }


def test_without_create_missing_keys_are_an_error(tmp_path):
    with pytest.raises(KeysError, match="No such file"):
        keys.load(tmp_path / "keys", create=False)


@pytest.mark.parametrize("name", ["suppression.key", "ledger.key", "links.json"])
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_keys_that_others_can_read_are_refused(tmp_path, name, mode):
    keys.load(tmp_path)
    (tmp_path / name).chmod(mode)
    with pytest.raises(KeysError, match=f"chmod 600 .*{name}"):
        keys.load(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("suppression.key", ""),
        ("suppression.key", "not hex"),
        ("ledger.key", "00" * 31),
        ("links.json", "{"),
        ("links.json", "[]"),
        ("links.json", json.dumps({"current": 1, "keys": {"0": "00" * 32}})),
        ("links.json", json.dumps({"current": 64, "keys": {"64": "00" * 32}})),
        ("links.json", json.dumps({"current": 0, "keys": {"0": "00"}})),
        ("links.json", json.dumps({"current": 0, "compromised": [0], "keys": {"0": "00" * 32}})),
    ],
)
def test_malformed_keys_are_refused(tmp_path, name, content):
    keys.load(tmp_path)
    (tmp_path / name).write_text(content)
    with pytest.raises(KeysError, match=name.replace(".", r"\.")):
        keys.load(tmp_path)


def test_keys_do_not_show(tmp_path):
    made = keys.load(tmp_path)
    shown = repr(made)
    for secret in (made.suppression, made.ledger, *made.link_keys.values()):
        assert secret.hex() not in shown
        assert repr(secret) not in shown


def test_an_address_is_found_by_its_key_only(tmp_path):
    made = keys.load(tmp_path)
    digest = made.address_hash(parse("Kim@Example.ORG"))
    assert digest == made.address_hash(parse("kim@example.org"))
    assert digest != made.address_hash(parse("kim@example.net"))
    assert len(digest) == 16
    other = keys.load(tmp_path / "other")
    assert digest != other.address_hash(parse("kim@example.org"))


def test_a_ring_may_be_rotated_and_a_key_marked(tmp_path):
    made = keys.load(tmp_path)
    ring = json.loads((tmp_path / "links.json").read_text())
    ring["keys"]["1"] = os.urandom(32).hex()
    ring |= {"current": 1, "compromised": [0]}
    (tmp_path / "links.json").write_text(json.dumps(ring))
    again = keys.load(tmp_path)
    assert again.link_keys[0] == made.link_keys[0]
    assert (again.link_current, again.link_compromised) == (1, frozenset({0}))
