"""Secrets are where they belong and nowhere else: not in logs, answers, errors, files, metrics.

A gateway runs with secrets that can be recognised, is asked everything, and everything it wrote
is searched.
"""

import base64
import re
import smtplib
import urllib.error
import urllib.request
from contextlib import suppress

import click
import pytest
import typer
from typer.testing import CliRunner

from gatepost.cli import app
from gatepost.cli.later import whole
from gatepost.flow.accept.passwords import hash_password
from support import dkim_keys
from support.consents import granted
from support.private import write_private
from support.program import Program
from support.upstream import Script, UpstreamThread
from support.watching import mail, send, wait_until

AUTH, UPSTREAM, SPARE, HOOK, DATABASE = (
    f"canary-{name}-5hRk2vQxPz81" for name in ("auth", "upstream", "spare", "webhook", "database")
)
MORE = """
[clients.app]
username = "app"
password_hash = "{hash}"
streams = ["receipts"]

[upstreams.spare]
host = "127.0.0.1"
port = 1
username = "spare"
password = {{ env = "CANARY_SPARE" }}

[webhooks.crm]
url = "https://127.0.0.1:1/hook"
secret = "{hook}"
allow_private = true

[[senders.acme.dkim]]
domain = "acme.example"
selector = "gp1"
key = "dkim.pem"
"""
LEFT_OUT = {"serve", "demo", "selftest", "init", "hash-password"}  # run apart, or need a terminal


def encoded(text):
    return base64.b64encode(text.encode()).decode()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A gateway that has run, been asked and been broken; what it said, and its secrets."""
    folder = tmp_path_factory.mktemp("secrets")
    patch = pytest.MonkeyPatch()
    patch.setenv("CANARY_SPARE", SPARE)
    patch.setenv("PYTHONASYNCIODEBUG", "1")
    stored = hash_password(AUTH)
    script = Script(users={"relay": UPSTREAM}, require_auth=True,
                    recipients={"bo@example.org": f"550 5.1.1 no {UPSTREAM[:6]}"})  # fmt: skip
    with UpstreamThread(script) as upstream:
        gateway = Program(
            folder, upstream_port=upstream.port, more=MORE.format(hash=stored, hook=HOOK)
        )
        write_private(folder / "upstream.password", UPSTREAM)
        write_private(folder / "dkim.pem", dkim_keys.PEM)
        gateway.config.write_text(
            gateway.config.read_text().replace(
                "[upstream]\n",
                '[upstream]\nusername = "relay"\npassword = { file = "upstream.password" }\n', 1,
            )
        )  # fmt: skip
        gateway.record({"anna@example.org": [granted()], "bo@example.org": [granted()]})
        said = {}
        with gateway:
            made = command(gateway, "apikey", "add", "crm", "--scopes", "consents:read")
            api_key = re.search(r"gpk_\S+", made)[0]
            converse(gateway, api_key)
            wait_until(lambda: upstream.taken, gateway)
            for words in every_command():
                said[words] = command(gateway, *words)
            for words in asked(folder):
                said[words] = command(gateway, *words)
            said["metrics"] = get(gateway, "/metrics")
        said["log"] = gateway.log()
    patch.undo()
    keys = [path.read_text() for path in (folder / "data" / "keys").iterdir()]
    secrets = {AUTH, encoded(AUTH), UPSTREAM, encoded(UPSTREAM), SPARE, HOOK}
    secrets |= {stored.rpartition("$")[2]}
    secrets |= {found for text in keys for found in re.findall(r"[0-9a-f]{64}", text)}
    secrets |= {line for line in dkim_keys.PEM.decode().splitlines() if len(line) == 64}
    secrets |= {api_key, api_key.split("_", 2)[2]}  # a secret may have more of "_"
    assert len(secrets) > 15
    return gateway, said, secrets


def command(gateway, *words):
    """What a command says, on either stream."""
    result = CliRunner().invoke(
        app, ["--config", str(gateway.config), *map(str, words)], input="\n"
    )
    return f"{result.output}\n{result.exception!r}"


def every_command():
    """The words of each command there is, with --json where it has that."""

    def walk(group, words):
        for name, listed in group.commands.items():
            one = whole(listed)
            if isinstance(one, click.Group) or hasattr(one, "commands"):
                yield from walk(one, (*words, name))
            elif name not in LEFT_OUT:
                yield (*words, name)
                if any(option.name == "json" for option in one.params):
                    yield (*words, name, "--json")

    return list(walk(typer.main.get_command(app), ()))


def asked(folder):
    (folder / "list.csv").write_text("address\nanna@example.org\n")
    (folder / "mail.eml").write_bytes(mail("Preview"))
    return [
        ("doctor", "--dns", "127.0.0.1:9", "--json"),
        ("consent", "show", "anna@example.org", "--json"),
        ("consent", "dossier", "anna@example.org", "-o", folder / "dossier.html"),
        ("consent", "export", "-o", folder / "export.csv"),
        ("audience", "check", "--stream", "newsletter", folder / "list.csv", "--json"),
        ("preview", "--stream", "newsletter", folder / "mail.eml"),
        ("ledger", "verify", "--json"),
        ("webhook", "show", "crm", "--json"),
        ("webhook", "test", "crm"),
        ("apikey", "show", "crm", "--json"),
        ("campaign", "show", "1", "--json"),
        ("store", "status", "--json"),
        ("config", "show", "--json"),
    ]


def get(gateway, path, key=""):
    request = urllib.request.Request(f"http://127.0.0.1:{gateway.admin_port}{path}")
    if key:
        request.add_header("Authorization", f"Bearer {key}")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.read().decode()


def converse(gateway, api_key):
    """Passwords right, wrong and cut short; mail; requests with keys right and wrong."""
    with smtplib.SMTP("127.0.0.1", gateway.smtp_port, timeout=60) as client:
        client.login("app", AUTH)
    for words in (
        ["AUTH PLAIN " + encoded(f"\0app\0{AUTH}x")],
        ["AUTH PLAIN " + encoded(f"\0{AUTH}\0app")],  # the password in the place of the name
        ["AUTH LOGIN", encoded("app"), encoded(f"{AUTH}?")],
        ["AUTH PLAIN " + encoded(AUTH)],
        [f"AUTH PLAIN {AUTH}"],
        [f"AUTH {AUTH}"],
        [f"PASS {AUTH}"],
        [encoded(AUTH)],
    ):
        with smtplib.SMTP("127.0.0.1", gateway.smtp_port, timeout=60) as client:
            client.ehlo("x")
            with suppress(smtplib.SMTPException):
                for line in words:
                    client.docmd(line)
    assert send(gateway, ["anna@example.org", "bo@example.org"], mail("Hello"))[0] == 250
    for key in (api_key, api_key[:-1], f"{api_key}x"):
        for path in ("/api/v1/campaigns", f"/api/v1/{key}", f"/api/v1/consents?address={key}"):
            get(gateway, path, key)


def found_in(text, secrets):
    return sorted(secret[:24] for secret in secrets if secret in text)


def test_no_command_says_a_secret(world):
    _, said, secrets = world
    assert len(said) > 90
    assert {
        words: found for words, text in said.items() if (found := found_in(text, secrets))
    } == {}


def test_no_file_but_its_own_holds_a_secret(world):
    gateway, _, secrets = world
    own = {"config.toml", "upstream.password", "dkim.pem", "suppression.key", "ledger.key",
           "links.json"}  # fmt: skip
    searched = [
        path for path in gateway.folder.rglob("*") if path.is_file() and path.name not in own
    ]
    assert len(searched) > 5
    found = {
        path.name: hits
        for path in searched
        if (hits := found_in(path.read_bytes().decode("latin-1"), secrets))
    }
    assert found == {}


BROKEN = [
    ("password = { file", 'password = "%s" # { file'),  # right, but beside an error
    ("password = { file", "password = %s # { file"),
    ("password = { file", 'password = { vault = "%s" } # { file'),
    ("password = { file", 'pasword = "%s" # { file'),
    ("password = { file", 'password = ["%s"] # { file'),
    ("password = { file", 'password = "%s\n# { file'),
    ("password = { env", 'password = { env = "%s" } # { env'),
    ("password_hash = ", 'password_hash = "%s" # '),
    ("password_hash = ", 'password_hash = "$scrypt$%s" # '),
    ("secret = ", 'secret = "whsec_%s!" # '),
    ("secret = ", 'secret = "%.8s" # '),
    ("secret = ", 'secret = { file = "no-such-file", "%s" = 1 } # '),
    ('url = ""', 'url = "mysql://gp:%s@127.0.0.1/gp"'),
    ('url = ""', 'url = "%s"'),
    ('url = ""', 'url = "postgresql://gp:%s@127.0.0.1:1/gp"'),
    ('url = ""', 'url = "postgresql://gp:%s@[::1/gp"'),
    ('url = ""', 'url = "postgresql://gp:%s@127.0.0.1:1/gp?sslmode=x"'),
]


@pytest.mark.parametrize(("place", "wrong"), BROKEN)
def test_no_error_says_a_secret(world, place, wrong, monkeypatch):
    """Each secret in a form that cannot be used, or beside an error, or out of reach."""
    gateway, _, _ = world
    monkeypatch.setenv("CANARY_SPARE", SPARE)
    text = gateway.config.read_text()
    assert place in text
    broken = gateway.folder / "broken.toml"
    wrong = wrong.replace("%s", DATABASE).replace("%.8s", DATABASE[:15])
    broken.write_text(text.replace(place, wrong, 1) + '\n[limits_]\nx = "y"\n')
    for words in (
        ["config", "check"],
        ["queue", "list", "--json"],
        ["doctor", "--dns", "127.0.0.1:9"],
    ):
        result = CliRunner().invoke(app, ["--config", str(broken), *words])
        assert result.exit_code != 0
        shown = result.output + repr(result.exception)
        assert "canary" not in shown, shown
    broken.write_text(text.replace(place, wrong, 1))
    result = CliRunner().invoke(app, ["--config", str(broken), "queue", "list", "--json"])
    shown = result.output + repr(result.exception)
    assert "canary" not in shown, shown
