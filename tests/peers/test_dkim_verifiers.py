"""Two verifiers that know nothing of each other agree on every signed copy: dkimpy, Mail::DKIM.

Mail::DKIM is Debian's libmail-dkim-perl; it asks a real name server for the keys.
"""

import subprocess
from pathlib import Path

import pytest

from gatepost.flow.edit import Signer
from gatepost.flow.edit.seven_bit import seven_bit
from gatepost.mail.lines import normalize
from support.dkim_keys import KEYS, NOW, RECORDS, verify
from support.name_server import NameServer, quoted
from support.treatments import NOT_BULK, TOKENS, TREATMENT, plan_of

HERE = Path(__file__).parent
MAILS = sorted((HERE.parent / "mails").glob("*.eml"))
DRIVER = HERE.parent / "support" / "verify_dkim.pl"
ALL_PASS = {(key.domain, key.selector): "pass" for key in KEYS}


def sign(plan):
    return Signer(KEYS).prepare(plan).sign(TOKENS, NOW)


def ask_perl(files):
    """What Mail::DKIM says: file → (domain, selector) → result."""
    records = {(name.decode(), "TXT"): [quoted(text.decode())] for name, text in RECORDS.items()}
    with NameServer(records) as server:
        done = subprocess.run(
            ["perl", DRIVER, str(server.port), *files],
            capture_output=True, text=True, timeout=500, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = {file: {} for file in files}
    for line in done.stdout.splitlines():
        file, domain, selector, result = line.split("\t")
        # What the mailer's own signatures are worth is not ours to say.
        if (domain, selector) in ALL_PASS:
            found[Path(file)][domain, selector] = result
    return found


@pytest.mark.parametrize("kind", ["bulk", "not-bulk", "seven-bit"])
def test_both_accept_every_copy_of_the_corpus(kind, tmp_path):
    files = []
    for path in MAILS:
        plan = plan_of(normalize(path.read_bytes()), NOT_BULK if kind == "not-bulk" else TREATMENT)
        if kind == "seven-bit":
            converted = plan.eight_bit and seven_bit(plan)
            if not converted:
                continue
            plan = converted
        copy = sign(plan)
        assert verify(copy, 0)
        assert verify(copy, 1)
        files.append(tmp_path / path.name)
        files[-1].write_bytes(copy)
    assert len(files) > 3
    found = ask_perl(files)
    assert {file.name: said for file, said in found.items() if said != ALL_PASS} == {}


def test_both_refuse_a_changed_copy(tmp_path):
    copy = sign(plan_of(normalize(MAILS[0].read_bytes())))
    changes = {
        "body": copy + b"more\r\n",
        "link": copy.replace(TOKENS["unsubscribe"], b"Z" * 49, 1),
        "field": copy.replace(b"Received:", b"Subject: another\r\nReceived:", 1),
    }
    files = []
    for name, changed in changes.items():
        assert changed != copy
        assert not verify(changed)
        files.append(tmp_path / name)
        files[-1].write_bytes(changed)
    for said in ask_perl(files).values():
        assert said.keys() == ALL_PASS.keys()
        assert all(result.startswith("fail") for result in said.values())
