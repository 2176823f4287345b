"""Commands of the program, run in this process: quicker than starting it a hundred times.

site = Site(tmp_path)                      # a configuration and an empty store
answer = site.run("consent", "show", "a@kund.example", "--json")
answer.status, answer.out, answer.err, answer.json
"""

import json
from dataclasses import dataclass

from typer.testing import CliRunner

from gatepost.cli import app
from gatepost.store.engine import Store
from support.engines import store_url

CONFIG = """
[server]
public_url = "https://mail.example.org"
data_dir = "./data"

[clients.crm]
networks = ["127.0.0.1/32"]
streams = ["newsletter", "club", "receipts"]

[senders.acme]
name = "Acme AB"
postal_address = "Storgatan 1, 111 22 Stockholm, Sweden"
contact = "kontakt@acme.example"
from = ["@acme.example"]

[streams.newsletter]
kind = "bulk"
title = "Monthly newsletter"
sender = "acme"

[streams.club]
kind = "bulk"
title = "Letter to members"
sender = "acme"
double_opt_in = true

[streams.receipts]
kind = "transactional"
sender = "acme"
"""
OTHER = """
[senders.other]
name = "Other Ltd"
postal_address = "1 High Street, London"
contact = "post@other.example"
from = ["@other.example"]

[streams.foreign]
kind = "bulk"
title = "Of somebody else"
sender = "other"
"""


@dataclass(frozen=True)
class Answer:
    """How a command ended, and what it wrote."""

    status: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


class Site:
    """A folder with a configuration, and commands that use it; `bare` without a store."""

    def __init__(self, folder, more="", config=CONFIG, *, bare=False):
        self.folder = folder
        self.config = folder / "config.toml"
        url = "" if bare else store_url(folder)
        self.config.write_text(config + more + (f'\n[store]\nurl = "{url}"\n' if url else ""))

    def run(self, *words, given=None):
        result = CliRunner().invoke(
            app, ["--config", str(self.config), *map(str, words)], input=given
        )
        assert "Traceback" not in result.output
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception  # the runner would make a status of it
        return Answer(result.exit_code, result.stdout, result.stderr)

    def octets(self, *words):
        """What a command wrote, octet for octet."""
        result = CliRunner().invoke(app, ["--config", str(self.config), *map(str, words)])
        assert result.exit_code == 0, result.output
        return result.stdout_bytes

    def ok(self, *words, given=None):
        answer = self.run(*words, given=given)
        assert answer.status == 0, answer
        return answer

    def refused(self, *words, status=2, given=None):
        answer = self.run(*words, given=given)
        assert answer.status == status, answer
        return answer.err

    def file(self, name, text, encoding="utf-8"):
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
        return path

    def store(self):
        return Store.open(store_url(self.folder), self.folder / "data")

    def add_source(self, name="web", *words):
        text = self.file(
            "text.txt", "I want the newsletter of Acme AB, and can say no at any time.\n"
        )
        return self.ok(
            "source", "add", name, "--sender", "acme", "--kind", "form", "--text-file", text,
            "--attest", "voluntary,informed,specific,states-withdrawal", *words,
        )  # fmt: skip

    def add_source_anew(self, *words, status):
        """The same text again, with other words about it; what was said on stderr."""
        return self.refused(
            "source", "add", "web", "--text-file", self.folder / "text.txt", *words, status=status
        )

    def grant(self, address, *words, stream="newsletter", basis="form-checkbox"):
        return self.run(
            "consent", "grant", address, "--source", "web", "--basis", basis,
            "--stream", stream, *words,
        )  # fmt: skip

    def standing(self, address, stream="newsletter"):
        shown = self.run("consent", "show", address, "--json").json
        return next(one for one in shown["standings"] if one["stream"] == stream)

    def kinds(self, address):
        return [
            one["kind"] for one in self.run("consent", "show", address, "--json").json["events"]
        ]
