"""What README, guides and pages show is right: links lead somewhere, commands parse, TOML loads."""

import json
import re
import shlex
import tomllib
from itertools import takewhile

import pytest
import typer.main

from gatepost.cli import app
from gatepost.cli.reference import commands
from gatepost.config import ConfigErrors, load
from support.certificates import make_certificate
from support.dkim_keys import PEM
from support.documents import DOCUMENTS, TOP, blocks, code_words, links, name_of, prose
from support.private import write_private

COMMANDS = dict(commands(typer.main.get_command(app)))
NOUNS = {path.split()[0] for path in COMMANDS}

# Tables that a fragment of a configuration may leave out, each by the name it would have.
REST = {
    ("server",): '[server]\npublic_url = "https://mail.example.org"\n',
    ("clients",): '[clients.mailer]\nnetworks = ["127.0.0.1/32"]\nstreams = ["newsletter"]\n',
    ("senders", "acme"): (
        '[senders.acme]\nname = "Acme AB"\npostal_address = "Storgatan 1, 111 22 Stockholm"\n'
        'contact = "kontakt@acme.example"\nfrom = ["@acme.example"]\n'
    ),
    ("streams", "newsletter"): (
        '[streams.newsletter]\nkind = "bulk"\ntitle = "Monthly newsletter"\nsender = "acme"\n'
    ),
    ("streams", "receipts"): '[streams.receipts]\nkind = "transactional"\nsender = "acme"\n',
}


def each(language):
    return [
        pytest.param(block, id=f"{name_of(document)}-{number}")
        for document in DOCUMENTS
        for number, block in enumerate(blocks(document, language))
    ]


# links


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_a_relative_link_leads_to_a_file(document):
    targets = [target for target in links(document) if "://" not in target]
    paths = [target.partition("#")[0] for target in targets]
    assert not [path for path in paths if path and not (document.parent / path).exists()]


def test_readme_leads_to_every_page():
    reached = {(TOP / target).resolve() for target in links(TOP / "README.md")}
    assert not [
        name_of(page)
        for page in DOCUMENTS
        if page.name != "README.md" and page.resolve() not in reached
    ]


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_fences_are_closed(document):
    assert "```" not in prose(document)


# configuration


def has(given, path):
    for name in path:
        if not isinstance(given, dict) or name not in given:
            return False
        given = given[name]
    return True


def fill_in(folder, fragment):
    """Writes `fragment` with what it leaves out, and the files and variables it names."""
    given = tomllib.loads(fragment)
    (folder / "conf.d").mkdir()
    (folder / "config.toml").write_text(fragment)
    for path, text in REST.items():
        if not has(given, path):
            (folder / "conf.d" / f"{'-'.join(path)}.toml").write_text(text)
    for rule in given.get("classify", []):  # a rule of a client that another block defines
        if not has(given, ("clients", rule["client"])):
            (folder / "conf.d" / "clients.toml").write_text(
                f'[clients.{rule["client"]}]\nnetworks = ["127.0.0.1/32"]\n'
                f'streams = ["receipts", "{rule["stream"]}"]\n'
            )
    for listener in given.get("smtp", []):
        if "certificate" in listener:
            certificate, key = make_certificate(folder, "gatepost.example.org")
            (folder / listener["certificate"]).parent.mkdir(exist_ok=True)
            certificate.rename(folder / listener["certificate"])
            key.rename(folder / listener["key"])
    for sender in given.get("senders", {}).values():
        for key in sender.get("dkim", []):
            (folder / key["key"]).parent.mkdir(exist_ok=True)
            write_private(folder / key["key"], PEM)
    for name in re.findall(r'\{ file = "([^"]+)" \}', fragment):
        write_private(folder / name, "correct-horse")
    return dict.fromkeys(re.findall(r'\{ env = "([^"]+)" \}', fragment), "correct-horse")


@pytest.mark.parametrize("fragment", each("toml"))
def test_a_configuration_that_is_shown_loads(fragment, tmp_path):
    environment = fill_in(tmp_path, fragment)
    try:
        load(tmp_path / "config.toml", environment)
    except ConfigErrors as errors:
        pytest.fail(str(errors))


@pytest.mark.parametrize("text", each("json"))
def test_json_that_is_shown_is_json(text):
    json.loads(text)


# commands


def shown_in_shell():
    """Every `gatepost …` of a shell block, whole."""
    for document in DOCUMENTS:
        for block in blocks(document, "sh"):
            for line in block.replace("\\\n", " ").splitlines():
                match = re.match(r"(?:sudo -u gatepost )?gatepost (.*)", line)
                if match:
                    words = list(takewhile(lambda word: word != ">>", shlex.split(match[1])))
                    yield pytest.param(words, id=f"{name_of(document)}: {' '.join(words[:3])}")


def spoken_of():
    """Every `gatepost …` between backticks; often without its arguments."""
    for document in DOCUMENTS:
        for word in dict.fromkeys(code_words(document)):
            match = re.match(r"gatepost (?=[a-z])([^…]*)", word)
            if match:
                yield pytest.param(match[1].split(), id=f"{name_of(document)}: {match[1]}")


def command_of(words):
    """The command's path, the command, and what is behind its name."""
    for length in (2, 1):
        path = " ".join(words[:length])
        if path in COMMANDS:
            return path, COMMANDS[path], words[length:]
    raise AssertionError(f"there is no command gatepost {' '.join(words)}")


@pytest.mark.parametrize("words", [*shown_in_shell()])
def test_a_command_line_that_is_shown_is_understood(words):
    path, command, rest = command_of(words)
    assert not command.make_context(path, list(rest)).args


@pytest.mark.parametrize("words", [*spoken_of()])
def test_a_command_that_is_spoken_of_exists(words):
    if len(words) == 1 and words[0] in NOUNS:
        return
    _, command, rest = command_of(words)
    options = {name for param in command.params for name in param.opts}
    assert {word for word in rest if word.startswith("--")} <= options


# pictures


def test_every_picture_is_shown_and_light():
    """Pictures of pages come from `make screenshots`; a page of them loads on a phone, too."""
    shown = {
        (document.parent / target).resolve() for document in DOCUMENTS for target in links(document)
    }
    pictures = set((TOP / "docs" / "img").iterdir())
    assert pictures <= shown
    assert not [path.name for path in pictures if path.stat().st_size > 60_000]


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_a_picture_says_what_is_to_be_seen(document):
    assert not [alt for alt in re.findall(r"!\[([^\]]*)\]\(", prose(document)) if len(alt) < 20]
