"""The scripted upstream itself, as others use it: beside a program, and as a process."""

import json
import smtplib
import subprocess
import sys
from pathlib import Path

from support.upstream import Script, UpstreamThread

TESTS = Path(__file__).parents[2]
MAIL = "From: s@acme.example\r\nSubject: x\r\n\r\n.dot\r\nend\r\n"


def test_in_a_thread_with_an_ordinary_client():
    script = Script(recipients={"no@one.example": "550 5.1.1 no"}, users={"u": "p"})
    with UpstreamThread(script) as upstream, smtplib.SMTP("127.0.0.1", upstream.port) as client:
        client.login("u", "p")
        refused = client.sendmail("s@acme.example", ["a@one.example", "no@one.example"], MAIL)
        assert refused == {"no@one.example": (550, b"5.1.1 no")}
        (message,) = upstream.messages
        assert message.content == MAIL.encode()
        assert (message.mail_from, message.recipients) == ("s@acme.example", ["a@one.example"])
        assert message.user == "u"
        assert message.began <= message.content_began <= message.ended


def test_as_a_process_that_stores_what_it_gets(tmp_path):
    script = tmp_path / "script.json"
    script.write_text(json.dumps({"steps": {"MAIL": ["451 4.3.0 once", None]}}))
    command = [sys.executable, "-m", "support.upstream", "--dir", tmp_path, "--script", script]
    with subprocess.Popen(command, cwd=TESTS, stdout=subprocess.PIPE, text=True) as process:
        try:
            port = int(process.stdout.readline().removeprefix("port "))
            with smtplib.SMTP("127.0.0.1", port) as client:
                assert client.docmd("MAIL FROM:<s@acme.example>")[0] == 451
                client.sendmail("s@acme.example", ["a@one.example"], MAIL)
        finally:
            process.terminate()
    assert (tmp_path / "000001.eml").read_bytes() == MAIL.encode()
    envelope = json.loads((tmp_path / "000001.json").read_text())
    assert (envelope["mail_from"], envelope["recipients"]) == ("s@acme.example", ["a@one.example"])
