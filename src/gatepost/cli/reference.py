"""docs/commands.md, made from the commands themselves: every one, its options, an example.

Out: the page's text. A test keeps the page in step, and parses every example.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import typer.main

from gatepost.cli.desk import Status
from gatepost.cli.later import whole
from gatepost.consent.bases import BUILT_IN, Strength
from gatepost.consent.columns import NAMES, PRESETS

EXAMPLES: Mapping[str, str] = {
    "init": "gatepost init /etc/gatepost",
    "serve": "gatepost serve --workers 2",
    "demo": "gatepost demo --keep",
    "config check": "gatepost --config /etc/gatepost/config.toml config check",
    "source add": (
        "gatepost source add web-form --sender acme --kind form --streams newsletter \\\n"
        "  --text-file consent.sv.txt --language sv --picture form.png \\\n"
        "  --url https://acme.example/nyhetsbrev \\\n"
        "  --attest voluntary,informed,specific,states-withdrawal"
    ),
    "source activate": (
        "gatepost source activate web-form --version 2 --attest voluntary,states-withdrawal"
    ),
    "source attest": "gatepost source attest web-form --version 2 --attest informed,specific",
    "source check": (
        "gatepost source check --text-file consent.sv.txt --sender acme --language sv"
    ),
    "source list": "gatepost source list --json",
    "source show": "gatepost source show web-form",
    "consent show": "gatepost consent show anna@kund.example --json",
    "consent grant": (
        "gatepost consent grant anna@kund.example --source web-form --basis form-checkbox \\\n"
        '  --stream newsletter --at 2024-03-01T10:00:00Z --note "form 4711"'
    ),
    "consent withdraw": "gatepost consent withdraw anna@kund.example --all --sender acme",
    "consent erase": "gatepost consent erase anna@kund.example --dry-run",
    "consent dossier": (
        "gatepost consent dossier anna@kund.example -o anna.html --language sv --sender acme"
    ),
    "consent export": "gatepost consent export --sender acme -o acme.zip",
    "consent receipt": "gatepost consent receipt anna@kund.example -o receipt.txt",
    "consent expiring": 'gatepost consent expiring --within "60 days" --stream newsletter --csv',
    "consent import": (
        "gatepost consent import subscribers.csv --source web-form --stream newsletter \\\n"
        "  --basis newsletter-form --map event_at=Signup --dry-run"
    ),
    "audience check": (
        "gatepost audience check --stream newsletter list.csv --eligible eligible.csv"
    ),
    "quarantine list": "gatepost quarantine list --stream newsletter",
    "quarantine show": "gatepost quarantine show 17 --raw",
    "quarantine release": 'gatepost quarantine release 17 18 --reason "confirmed by telephone"',
    "quarantine delete": "gatepost quarantine delete --all --stream newsletter --yes",
    "queue list": "gatepost queue list --state deferred --json",
    "queue retry": "gatepost queue retry --all",
    "queue hold": 'gatepost queue hold 21 22 --note "wrong picture"',
    "queue delete": "gatepost queue delete 21 22",
    "campaign list": "gatepost campaign list --limit 10",
    "campaign show": "gatepost campaign show 3 --json",
    "campaign stop": 'gatepost campaign stop 3 --note "sent too early"',
    "complaint list": "gatepost complaint list --open --sender acme",
    "complaint show": "gatepost complaint show 7 --json",
    "complaint answer": 'gatepost complaint answer 7 --note "old list, taken out"',
    "complaint close": 'gatepost complaint close 7 --note "they were told on the telephone"',
    "sender list": "gatepost sender list",
    "sender freeze": 'gatepost sender freeze acme --note "complaints"',
    "sender thaw": "gatepost sender thaw acme",
    "sender remove": "gatepost sender remove acme",
    "suppression add": "gatepost suppression add anna@kund.example --sender acme --scope bulk",
    "suppression remove": "gatepost suppression remove anna@kund.example --sender acme",
    "suppression list": "gatepost suppression list --sender acme --json",
    "suppression import": "gatepost suppression import blocked.csv --sender acme --scope all",
    "suppression export": "gatepost suppression export suppressed.csv --sender acme",
    "apikey add": (
        "gatepost apikey add crm --scopes withdrawals:write,audience:check \\\n"
        '  --senders acme --expires "1 year"'
    ),
    "apikey list": "gatepost apikey list --json",
    "apikey revoke": "gatepost apikey revoke crm",
    "webhook list": "gatepost webhook list --dead --json",
    "webhook retry": "gatepost webhook retry --name crm",
    "webhook delete": "gatepost webhook delete 0c4v9kq2m1x7z",
    "webhook test": "gatepost webhook test crm",
    "retention run": "gatepost retention run --dry-run",
    "ledger verify": "gatepost ledger verify --json",
    "ledger head": "gatepost ledger head",
    "ledger rebuild": "gatepost ledger rebuild --dry-run",
    "store status": "gatepost store status --check",
    "store upgrade": "gatepost store upgrade",
    "store rollback": "gatepost store rollback --to 0011 --dry-run",
    "store migrate-to": "gatepost store migrate-to postgresql://gatepost@db.example/gatepost",
    "keys list": "gatepost keys list",
    "keys rotate": "gatepost keys rotate --compromised 0",
    "dkim generate": "gatepost dkim generate acme.example --selector gp2",
    "dkim show": "gatepost dkim show",
    "doctor": "gatepost doctor --dns 192.0.2.53",
    "preview": "gatepost preview letter.eml --stream newsletter --to anna@kund.example",
    "selftest": "gatepost selftest --stream newsletter",
    "hash-password": "gatepost hash-password",
}

_NOT_OURS = {"install_completion", "show_completion"}
_STATUSES = {
    Status.DONE: "done",
    Status.NO: (
        "the answer is no: a check failed, some rows were refused, nothing of that name was found"
    ),
    Status.BAD_USE: "bad usage, a configuration or a file that cannot be used",
    Status.OUT_OF_REACH: "the store or upstream is out of reach; also whatever nobody foresaw",
}
_STRENGTHS = {
    Strength.EXPLICIT: "explicit consent",
    Strength.SOFT_OPT_IN: "existing customer, with `--bought --informed --could-decline`",
    Strength.IMPLIED: "implied consent, for streams that require no more",
    Strength.UNVERIFIED: "never enough alone",
    Strength.FORBIDDEN: "never counts",
}
_HEAD = """\
# Commands

This page is written from the commands themselves; a test keeps it in step with them.

`gatepost COMMAND --help` says the same on the terminal. Every command makes what an embedded
`data_dir` lacks, and works beside a running `gatepost serve`: what it records holds at once,
and the running gateway follows within a second. On a terminal lists are tables; elsewhere they
are plain aligned text, and with `--json` they are JSON, times in ISO 8601 and UTC.
`gatepost --install-completion` teaches the shell to complete commands and options.
"""
_IMPORT = """\
## Files to import

CSV with a heading, in UTF-8 (or `--encoding`); comma, semicolon or tab between the fields. Only
`address` is required. Columns are found by these names, without regard to case, blanks, hyphens
and underscores; `--map name=column` says where else to look, and what a flag gives
(`--basis`, `--at`, `--source`, `--stream`) holds for rows that do not say it themselves:

{names}

Times are ISO 8601; without a zone they are UTC, and a date is its first moment; `31.12.2025 10:00`
is understood, too. `explanation` is for rows about somebody who left and came back. `categories`
are words with commas, semicolons or bars between them.

Who left is recorded first, from the whole file, then what people agreed to. A row is refused,
and written with its line and the reason to the rejects file, where

- its address is none, a time is none, is in the future, or the confirmation is before the act;
- its basis, stream, source or text version does not exist, or the source does not collect for
  that stream;
- a basis that could count comes without the time of the act: nothing is taken for explicit
  consent that has no evidence;
- the person left before, and neither `explanation` nor `note` says how they came back; the row has
  an `explanation`, and its act is older than the leaving; or they were erased;
- it cannot be read: bytes that are not in the encoding, a quote without an end, a field of more
  than 128 KB, another number of fields than the heading has.

`double-opt-in` without `confirmed_at` is a request that waits for its confirmation. A basis that
never counts is recorded, so that the reason stands on record. The same row twice adds nothing.
An import that broke off goes on where it was when the same command is given again.

Presets ({presets})
know where those programs' English-language exports keep addresses, times and the word on who
left. They take no creation date for consent, and refuse rows that the
program itself would not mail. What an export does not say has to come from flags.

## Bases

| basis | what it is worth |
| --- | --- |
"""


def commands_page() -> str:
    """The text of docs/commands.md."""
    from gatepost.cli import app  # noqa: PLC0415  this module is part of what it describes

    root = typer.main.get_command(app)
    parts = [_HEAD, _statuses(), "## For every command\n", _options(root)]
    for path, command in commands(root):
        parts.append(_command(path, command))
    names = ", ".join(f"`{name}`" for name in NAMES)
    presets = ", ".join(f"`{name}`" for name in PRESETS)
    bases = "".join(f"| `{row.name}` | {_STRENGTHS[row.strength]} |\n" for row in BUILT_IN)
    parts.append(_IMPORT.format(names=names, presets=presets) + bases)
    return "\n".join(parts)


def commands(group: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every command below `group` that does something, with the words that call it."""
    for name, listed in group.commands.items():
        words, command = f"{path} {name}".strip(), whole(listed)
        if hasattr(command, "commands"):
            yield from commands(command, words)
        else:
            yield words, command


def _statuses() -> str:
    rows = "".join(f"| {status.value} | {text} |\n" for status, text in _STATUSES.items())
    return f"| exit status | meaning |\n| --- | --- |\n{rows}"


def _command(path: str, command: Any) -> str:
    words = " ".join(line.strip() for line in (command.help or "").splitlines() if line.strip())
    return f"## gatepost {path}\n\n{words}\n\n```\n{EXAMPLES[path]}\n```\n\n{_options(command)}"


def _options(command: Any) -> str:
    rows = [_option(param) for param in command.params if param.name not in _NOT_OURS]
    if not rows:
        return ""
    return "| argument, option | meaning |\n| --- | --- |\n" + "".join(rows)


def _option(param: Any) -> str:
    if param.param_type_name == "argument":
        spelled = f"`{param.metavar or param.name.upper()}`"
    else:
        spelled = ", ".join(f"`{name}`" for name in param.opts)
        if not param.is_flag:
            spelled += f" {param.metavar or 'N'}".replace("|", "\\|")
    meaning = (param.help or "").replace("|", "\\|")
    return f"| {spelled} | {meaning}{' Required.' if _is_missed(param) else ''} |\n"


def _is_missed(param: Any) -> bool:
    return bool(param.required) and param.param_type_name == "option"
