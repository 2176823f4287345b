"""RK-7: keys are changed while mail flows; several keys, of several domains, all sign."""

import json
import re
import signal
import smtplib
import time

import dkim

from gatepost.cli.signature import signatures
from support.consents import granted
from support.program import Program
from support.treatments import HEAD, message
from support.upstream import UpstreamThread

LETTER = message(b"hello\r\n", head=HEAD)


def until(condition):
    for _ in range(2400):
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come to that")


def submit(gateway, upstream, raw=LETTER):
    """One mail, and the copy that came of it."""
    count = len(upstream.taken)
    with smtplib.SMTP("127.0.0.1", gateway.smtp_port, timeout=60) as client:
        client.sendmail("news@acme.example", ["anna@kund.example"], raw)
    until(lambda: len(upstream.taken) > count)
    return upstream.taken[-1].content


def reload(gateway, *tables):
    """Puts these tables below what the program began with, and has it read them."""
    gateway.config.write_text("\n".join([gateway.plain, *tables]))
    count = gateway.log().count("configuration reloaded")
    gateway.process.send_signal(signal.SIGHUP)
    until(lambda: gateway.log().count("configuration reloaded") > count)


def selectors(copy):
    return [one.selector for one in signatures(copy)]


def test_from_no_key_to_several_without_a_restart(tmp_path):
    with UpstreamThread() as upstream, Program(tmp_path, upstream_port=upstream.port) as gateway:
        gateway.plain = gateway.config.read_text()
        gateway.record({"anna@kund.example": [granted()]})
        records, tables = {}, []
        for domain, selector in [
            ("acme.example", "one"),
            ("acme.example", "two"),
            ("feedback.example", "fb"),
        ]:
            words = ["dkim", "generate", domain, "--selector", selector, "--json"]
            made = json.loads(gateway.run(*words).stdout)
            records[f"{made['name']}.".encode()] = made["record"].encode()
            tables.append(made["config"].replace("senders.NAME", "senders.acme"))

        def verify(copy):
            return [
                dkim.DKIM(copy).verify(idx=at, dnsfunc=lambda name, timeout=5: records[name])
                for at in range(len(selectors(copy)))
            ]

        assert selectors(submit(gateway, upstream)) == []
        assert "no DKIM key" in gateway.log()
        reload(gateway, tables[0])
        first = submit(gateway, upstream)
        assert selectors(first) == ["one"]
        reload(gateway, tables[1])
        second = submit(gateway, upstream)
        assert selectors(second) == ["two"]
        assert verify(first) == verify(second) == [True]  # the old record is still there
        reload(gateway, *tables)
        again = re.sub(rb"(?s)Received: .*?\r\n(?=\S)", b"", first)  # else it would be a loop
        third = submit(gateway, upstream, again)  # our own older signature is replaced
        assert sorted(selectors(third)) == ["fb", "one", "two"]
        assert verify(third) == [True] * 3
