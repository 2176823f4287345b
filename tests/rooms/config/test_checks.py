"""Checks between settings: what they let through, and what needs real files to be seen.

What they find in a text alone is in tests/bad_configs.
"""

import os
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from gatepost.config import ConfigErrors, load
from support import dkim_keys
from support.certificates import make_certificate
from support.private import write_private

BEGINNING = """
[server]
public_url = "https://mail.example.org"

[senders.acme]
name = "Acme AB"
postal_address = "Storgatan 1, 111 22 Stockholm, Sweden"
from = ["@acme.example"]
"""
STREAM = '\n[streams.newsletter]\nkind = "bulk"\nsender = "acme"\n'
HASH = "$scrypt$ln=15,r=8,p=1$c2FsdHNhbHRzYWx0c2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g"
USER = f'username = "crm"\npassword_hash = "{HASH}"\n'


@pytest.fixture
def keys_in_error(tmp_path):
    def _keys(text):
        path = tmp_path / "config.toml"
        path.write_text(BEGINNING + text)
        try:
            load(path, {})
        except ConfigErrors as caught:
            return {error.key: error.what for error in caught.errors}
        return {}

    return _keys


def encrypted(key):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x" * 8))


def plain(key):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


# --- certificates ---------------------------------------------------------------------------

IMPLICIT = '[[smtp]]\ntls = "implicit"\ncertificate = "{}"\nkey = "{}"\n'


def test_a_certificate_and_its_key_load(keys_in_error, tmp_path):
    certificate, key = make_certificate(tmp_path, "relay.example.org")
    assert not keys_in_error(IMPLICIT.format(certificate.name, key.name))


def test_a_certificate_and_the_key_of_another_do_not(keys_in_error, tmp_path):
    certificate, _ = make_certificate(tmp_path, "relay.example.org")
    _, key = make_certificate(tmp_path, "other.example.org")
    found = keys_in_error(IMPLICIT.format(certificate.name, key.name))
    assert list(found) == ["smtp[1].certificate"]


def test_a_key_with_a_password_is_refused_without_asking_on_the_terminal(tmp_path):
    certificate, key = make_certificate(tmp_path, "relay.example.org")
    key.write_bytes(encrypted(load_pem_private_key(key.read_bytes(), None)))
    path = tmp_path / "config.toml"
    path.write_text(BEGINNING + IMPLICIT.format(certificate.name, key.name))
    code = (
        "import sys\nfrom pathlib import Path\nfrom gatepost.config import ConfigErrors, load\n"
        "try: load(Path(sys.argv[1]), {})\nexcept ConfigErrors as errors: print(errors)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        env=os.environ,
    )
    assert "smtp[1].certificate" in done.stdout
    assert "PEM pass phrase" not in done.stdout + done.stderr


# --- keys to sign with ----------------------------------------------------------------------

DKIM = '[[senders.acme.dkim]]\ndomain = "acme.example"\nselector = "gp1"\nkey = "dkim.pem"\n'


@pytest.mark.parametrize(
    ("key", "what"),
    [
        (plain(rsa.generate_private_key(65537, 1024)), ""),
        (plain(rsa.generate_private_key(65537, 2048)), ""),
        (encrypted(rsa.generate_private_key(65537, 2048)), "without a password"),
        (plain(ec.generate_private_key(ec.SECP256R1())), "not an RSA key"),
    ],
    ids=["RK-1 shortest", "RK-1 better", "encrypted", "elliptic"],
)
def test_dkim_keys_are_rsa_and_readable(keys_in_error, tmp_path, key, what):
    write_private(tmp_path / "dkim.pem", key)
    found = keys_in_error(DKIM)
    assert what in found.get("senders.acme.dkim[1].key", "")
    assert bool(found) == bool(what)


def test_a_dkim_key_that_receivers_ignore_is_refused(keys_in_error, tmp_path):
    made = subprocess.run(
        ["openssl", "genrsa", "-traditional", "768"], capture_output=True, check=True
    )
    write_private(tmp_path / "dkim.pem", made.stdout)
    assert list(keys_in_error(DKIM)) == ["senders.acme.dkim[1].key"]


# --- clients --------------------------------------------------------------------------------

STREAMS = 'streams = ["newsletter"]\n'


@pytest.mark.parametrize(
    "networks",
    ['"0.0.0.0/0"', '"::/0"', '"0.0.0.0/1", "128.0.0.0/1"', '"::ffff:0.0.0.0/96"'],
)
@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.1"])
def test_everybody_without_a_username_is_an_open_relay(keys_in_error, networks, address):
    listener = f'[[smtp]]\naddress = "{address}"\n'
    client = f"[clients.crm]\nnetworks = [{networks}]\n{STREAMS}"
    assert "open relay" in keys_in_error(listener + STREAM + client)["clients.crm.networks"]


@pytest.mark.parametrize(
    ("listener", "client"),
    [
        ('address = "127.0.0.1"\n', 'networks = ["0.0.0.0/0"]\n'),
        ('address = "::1"\n', 'networks = ["::/0"]\n'),
        ('address = "localhost"\n', 'networks = ["0.0.0.0/0"]\n'),
        ('address = "0.0.0.0"\n', 'networks = ["0.0.0.0/0"]\n' + USER),
        ('address = "0.0.0.0"\n', 'networks = ["192.0.2.0/24"]\n'),
        ('address = "0.0.0.0"\nrole = "returns"\n', 'networks = ["0.0.0.0/0"]\n'),
    ],
    ids=["loopback", "loopback v6", "localhost", "username", "narrow", "returns"],
)
def test_no_open_relay(keys_in_error, listener, client):
    assert not keys_in_error(f"[[smtp]]\n{listener}{STREAM}[clients.crm]\n{client}{STREAMS}")


def test_a_listener_for_others_opens_nothing_to_everybody(keys_in_error):
    listeners = '[[smtp]]\naddress = "0.0.0.0"\nclients = ["shop"]\n'
    crm = f'[clients.crm]\nnetworks = ["0.0.0.0/0"]\n{STREAMS}'
    shop = f'[clients.shop]\nnetworks = ["192.0.2.0/24"]\n{STREAMS}'
    assert not keys_in_error(listeners + STREAM + crm + shop)


def test_a_username_tells_equal_networks_apart(keys_in_error):
    crm = f'[clients.crm]\nnetworks = ["127.0.0.1"]\n{USER}{STREAMS}'
    shop = f'[clients.shop]\nnetworks = ["127.0.0.1"]\n{STREAMS}'
    assert not keys_in_error(STREAM + crm + shop)


def test_nested_networks_are_no_trouble(keys_in_error):
    crm = f'[clients.crm]\nnetworks = ["10.0.0.0/8"]\n{STREAMS}'
    shop = f'[clients.shop]\nnetworks = ["10.1.0.0/16"]\n{STREAMS}'
    assert not keys_in_error(STREAM + crm + shop)


# --- listeners and returns ------------------------------------------------------------------

RETURNS = '[[smtp]]\nport = 25\nrole = "returns"\n'


@pytest.mark.parametrize(
    ("one", "other", "collide"),
    [
        ('address = "127.0.0.1"\nport = 25', 'address = "127.0.0.2"\nport = 25', False),
        ('address = "127.0.0.1"\nport = 25', 'address = "127.0.0.1"\nport = 26', False),
        ('address = "127.0.0.1"\nport = 0', 'address = "127.0.0.1"\nport = 0', False),
        ('address = "127.0.0.1"\nport = 25', 'address = "::1"\nport = 25', False),
        ('address = "0.0.0.0"\nport = 25', 'address = "::"\nport = 25', False),
        ('address = "127.0.0.1"\nport = 25', 'address = "127.0.0.1"\nport = 25', True),
        ('address = "127.0.0.1"\nport = 25', 'address = "localhost"\nport = 25', True),
        ('address = "::1"\nport = 25', 'address = "::"\nport = 25', True),
        ('address = "0.0.0.0"\nport = 25', 'address = "192.0.2.1"\nport = 25', True),
        ("port = 25", "port = 8025", True),
    ],
)
def test_listeners_that_collide(keys_in_error, one, other, collide):
    found = keys_in_error(f"[[smtp]]\n{one}\n[[smtp]]\n{other}\n")
    assert bool(found) == collide
    assert all("already" in what for what in found.values())


def test_with_a_returns_listener_mail_may_come_back(keys_in_error):
    sender = 'bounce_domain = "b.acme.example"\nunsubscribe_mailto = "leave@acme.example"\n'
    assert not keys_in_error(sender + RETURNS + STREAM + 'return_path = "verp"\n')


def test_a_listener_is_bound_to_a_stream_of_its_clients(keys_in_error):
    listener = '[[smtp]]\nclients = ["crm"]\nstream = "receipts"\n'
    receipts = '[streams.receipts]\nkind = "transactional"\nsender = "acme"\n'
    crm = '[clients.crm]\nnetworks = ["127.0.0.1"]\n'
    narrow = crm + STREAMS
    wide = crm + 'streams = ["newsletter", "receipts"]\n'
    assert "crm" in keys_in_error(listener + STREAM + receipts + narrow)["smtp[1].stream"]
    assert not keys_in_error(listener + STREAM + receipts + wide)


# --- streams --------------------------------------------------------------------------------


def test_a_sender_of_bulk_needs_name_and_address_others_do_not(keys_in_error):
    """ME-3."""
    beta = '[senders.beta]\nfrom = ["@beta.example"]\n'
    kind = '[streams.orders]\nkind = "{}"\nsender = "beta"\n'
    assert not keys_in_error(beta + kind.format("transactional"))
    assert set(keys_in_error(beta + kind.format("bulk"))) == {
        "senders.beta.name",
        "senders.beta.postal_address",
    }


def test_a_short_quarantine_does_not_blame_a_release_nobody_wrote(keys_in_error):
    assert not keys_in_error(STREAM + '[quarantine]\nkeep = "1 h"\n')


# --- bounds of law --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("2 years", True), ("24 months", True), ("731 days", True), ("10 years", True),
        ("730 days", False), ("23 months", False),
    ],
)  # fmt: skip
def test_evidence_is_kept_for_two_years_at_least(keys_in_error, text, fits):
    """JU-23, ME-6: also over a leap day."""
    assert bool(keys_in_error(f'[retention]\nevidence = "{text}"\n')) != fits


@pytest.mark.parametrize(
    ("text", "fits"),
    [("unlimited", True), ("never", True), ("60 days", True), ("1 year", True), ("59 days", False)],
)
def test_links_work_for_sixty_days_at_least(keys_in_error, text, fits):
    """ME-2, L-CA-4."""
    assert bool(keys_in_error(f'[links]\nlifetime = "{text}"\n')) != fits


@pytest.mark.parametrize(
    ("text", "fits"),
    [("2 years", True), ("730 days", True), ("6 months", True), ("731 days", False)],
)
def test_implied_consent_lasts_two_years_at_most(keys_in_error, text, fits):
    """HS-7, HS-26."""
    assert bool(keys_in_error(f'[consent]\nimplied_lifetime = "{text}"\n')) != fits


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640, 0o440, 0o644, 0o604, 0o660, 0o602, 0o620])
def test_a_secret_that_others_can_read_or_change_is_refused(keys_in_error, tmp_path, mode):
    """A group of the service's own may read; nobody else, and nobody else may write."""
    certificate, key = make_certificate(tmp_path, "localhost")
    secret = write_private(tmp_path / "secret", "correct-horse")
    dkim = write_private(tmp_path / "dkim.pem", dkim_keys.PEM)
    for path in (key, secret, dkim):
        path.chmod(mode)
    found = keys_in_error(
        DKIM + IMPLICIT.format(certificate.name, key.name)
        + '[upstream]\nusername = "u"\npassword = { file = "secret" }\n'
    )  # fmt: skip
    fine = mode in {0o600, 0o400, 0o640, 0o440}
    assert set(found) == (
        set() if fine else {"smtp[1].key", "upstream.password", "senders.acme.dkim[1].key"}
    )
    assert all("not safe" in what for what in found.values())


def test_the_cure_for_an_open_key_is_the_command(tmp_path):
    write_private(tmp_path / "secret", "correct-horse").chmod(0o644)
    path = tmp_path / "config.toml"
    path.write_text(BEGINNING + '[upstream]\nusername = "u"\npassword = { file = "secret" }\n')
    with pytest.raises(ConfigErrors) as caught:
        load(path, {})
    (error,) = caught.value.errors
    assert f"chmod 600 {tmp_path / 'secret'}" in error.cure
    assert "correct-horse" not in str(caught.value)
