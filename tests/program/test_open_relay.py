"""No open relay (promise 6): the real program, strangers, and everything they have tried elsewhere."""

import socket

import pytest

from support.consents import granted, withdrawn
from support.ports import free_port
from support.program import Program
from support.smtp_lines import Lines
from support.upstream import UpstreamThread
from support.watching import mail, rows, send, wait_until

STRANGER, TRUSTED, PLAIN = "127.0.0.9", "127.0.0.1", "127.0.0.40"
MORE = """
[[smtp]]
port = {returns}
role = "returns"

[clients.plain]
networks = ["127.0.0.40", "10.0.0.0/8", "::ffff:127.0.0.0/104"]
streams = ["newsletter", "receipts"]
default_stream = "newsletter"

[clients.app]
username = "app"
password_hash = "$scrypt$ln=4,r=8,p=1$vWyVV2c7RXS3ycMNPTcxhQ$4C0SRwKoQkM5Zk8q3hJ8dm7dUqPbqIs9Qkq9x8C1xkM"
streams = ["receipts"]
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with UpstreamThread() as upstream:
        returns = free_port()
        gateway = Program(
            tmp_path_factory.mktemp("relay"),
            upstream_port=upstream.port,
            more=MORE.format(returns=returns),
        )
        gateway.config.write_text(
            gateway.config.read_text().replace(
                'from = ["@acme.example"]',
                'from = ["@acme.example"]\nbounce_domain = "bounce.acme.example"\n'
                'unsubscribe_mailto = "leave@acme.example"',
            )
        )
        gateway.returns_port = returns
        gateway.record({
            "anna@example.org": [granted()],
            "gone@example.org": [granted(), withdrawn()],
        })  # fmt: skip
        with gateway:
            yield gateway, upstream


# What a stranger may ask for: recipients elsewhere, in every disguise
ELSEWHERE = [
    "victim@shop.example",
    "@relay.example.org:victim@shop.example",
    "@relay.example.org,@acme.example:victim@shop.example",
    "victim%shop.example@relay.example.org",
    "victim%shop.example@[127.0.0.1]",
    "victim%shop.example",
    "shop.example!victim",
    "shop.example!victim@relay.example.org",
    '"victim@shop.example"@relay.example.org',
    '"victim@shop.example"',
    '"victim%shop.example"@relay.example.org',
    "victim@shop.example@relay.example.org",
    "victim@shop.example,postmaster@relay.example.org",
    "victim@[192.0.2.1]",
    "victim@[IPv6:2001:db8::1]",
    "victim@[127.0.0.1]",
    "victim@127.0.0.1",
    "victim@2130706433",
    "victim@",
    "victim",
    "@shop.example",
    "victim@SHOP.EXAMPLE",
    "victim@shop.example.",
    "victim@relay.example.org",
    "victim@relay.example.org.",
    "postmaster%shop.example@relay.example.org",
    '"postmaster@shop.example"@relay.example.org',
    "postmaster@shop.example",
    "postmaster+x@relay.example.org",
    "abuse@shop.example",
    "anna@example.org",
    "anna@acme.example",
    "victim@bounce.acme.example",
    "complaints%shop.example@bounce.acme.example",
    "leave+victim=shop.example@acme.example",
    "leave+" + "a" * 60 + "@acme.example",
    "a" * 60 + "@bounce.acme.example",
    "<victim@shop.example>",
    "victim@shop.example>\tORCPT=rfc822;postmaster@relay.example.org",
]


@pytest.mark.parametrize("source", [STRANGER])
@pytest.mark.parametrize("path", ELSEWHERE)
def test_strangers_relay_nothing_on_either_port(world, source, path):
    gateway, upstream = world
    before = len(rows(gateway)), len(upstream.messages)
    with Lines(gateway.smtp_port, source) as lines:
        said = ["EHLO x", "MAIL FROM:<news@acme.example>", f"RCPT TO:<{path}>", "DATA"]
        answers = [hear(lines, line) for line in said]
        assert [one[:1] for one in answers] == ["2", "5", "5", "5"], answers
        assert answers[1].startswith("530 5.7.0") or answers[1].startswith("550 5.7.1")
    with Lines(gateway.returns_port, source) as lines:
        assert hear(lines, "EHLO x").startswith("250")
        assert hear(lines, "MAIL FROM:<news@acme.example>").startswith("250")
        answer = hear(lines, f"RCPT TO:<{path}>")
        assert answer[:3] in {"550", "501", "553"}, answer
        assert hear(lines, "DATA").startswith("554")
    assert (len(rows(gateway)), len(upstream.messages)) == before


def hear(lines, said):
    lines.say(said)
    return lines.hear()


@pytest.mark.parametrize(
    "opening",
    [
        ["XCLIENT ADDR=127.0.0.1 NAME=localhost LOGIN=app"],
        ["XFORWARD ADDR=127.0.0.1 NAME=localhost"],
        ["PROXY TCP4 127.0.0.1 127.0.0.1 4711 25"],
        ["EHLO x", "XCLIENT ADDR=127.0.0.1"],
        ["EHLO x", "XFORWARD ADDR=127.0.0.1"],
        ["EHLO x", "PROXY TCP4 127.0.0.1 127.0.0.1 4711 25"],
        ["EHLO x", "AUTH EXTERNAL YXBw"],
        ["EHLO x", "AUTH ANONYMOUS"],
        ["EHLO [127.0.0.1]"],
        ["EHLO localhost"],
        ["EHLO relay.example.org"],
        ["HELO relay.example.org"],
        ["EHLO x", "ETRN shop.example"],
        ["EHLO x", "TURN"],
    ],
)
def test_who_one_claims_to_be_counts_for_nothing(world, opening):
    gateway, upstream = world
    before = len(upstream.messages)
    with Lines(gateway.smtp_port, STRANGER) as lines:
        for line in opening:
            hear(lines, line)
        hear(lines, "EHLO x")
        for sender in (
            "<news@acme.example> AUTH=app",
            "<>",
            "<root@localhost>",
            "<postmaster@relay.example.org>",
        ):
            assert hear(lines, f"MAIL FROM:{sender}")[:9] in {"530 5.7.0", "550 5.7.1"}
    assert len(upstream.messages) == before


def test_the_binary_proxy_header_is_no_command(world):
    gateway, _ = world
    header = (
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01\x12\x34\0\x19"
        b"EHLO x\r\nMAIL FROM:<news@acme.example>\r\nRCPT TO:<victim@shop.example>\r\nDATA\r\n"
    )
    with socket.create_connection(
        ("127.0.0.1", gateway.smtp_port), 20, source_address=(STRANGER, 0)
    ) as link:
        link.sendall(header + b"QUIT\r\n")
        said = b""
        while octets := link.recv(4096):
            said += octets
    assert b"354" not in said
    assert b"250 2.1" not in said


def test_a_pipelined_stranger_gets_nothing_through(world):
    gateway, _ = world
    before = len(rows(gateway))
    with Lines(gateway.smtp_port, STRANGER) as lines:
        lines.send_raw(
            b"EHLO x\r\nMAIL FROM:<news@acme.example>\r\nRCPT TO:<victim@shop.example>\r\n"
            b"RCPT TO:<postmaster>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\nNOOP\r\n"
        )
        answers = [lines.hear() for _ in range(5)]
    assert [one[:3] for one in answers[1:]] == ["530", "503", "503", "503"]
    assert len(rows(gateway)) == before


HEADERS = [
    "X-Gatepost-Stream: receipts",
    "X-Gatepost-Override: the boss said so",
    "x-gatepost-override: the boss said so",
    "X-Gatepost-Campaign: spring",
    "Received: from relay.example.org by localhost with ESMTPA; Mon, 01 Mar 2027 09:00:00 +0000",
    "X-Gatepost-Override:\r\n\tfolded",
]


@pytest.mark.parametrize("header", HEADERS)
def test_headers_of_a_client_without_trust_change_nothing(world, header):
    """The stream stays the default, consent counts, and nobody sees the header."""
    gateway, upstream = world
    number, before = len(rows(gateway)), len(upstream.messages)
    code, said = send(
        gateway, ["gone@example.org", "nobody@example.org", "anna@example.org"],
        mail(f"Untrusted {HEADERS.index(header)}", header), source=PLAIN,
    )  # fmt: skip
    assert code == 250, said
    wait_until(lambda: len(upstream.messages) > before, gateway)
    assert [(address, reason) for address, _, reason in rows(gateway)[number:]] == [
        ("gone@example.org", "withdrawn"),
        ("nobody@example.org", "no-consent"),
        ("anna@example.org", "consented"),
    ]
    (message,) = upstream.messages[before:]
    assert b"x-gatepost" not in message.content.lower()


def test_a_stranger_with_the_headers_of_a_trusted_client_is_a_stranger(world):
    gateway, _ = world
    with Lines(gateway.smtp_port, STRANGER) as lines:
        hear(lines, "EHLO x")
        assert hear(lines, "MAIL FROM:<news@acme.example>").startswith("530")


@pytest.mark.parametrize(
    "spelling",
    [
        "GONE@example.org",
        "gone@EXAMPLE.ORG",
        '"gone"@example.org',
        '"g\\one"@example.org',
        "@relay.example.org:gone@example.org",
        "@a.example,@b.example:gone@Example.Org",
    ],
)
def test_no_spelling_gets_round_a_withdrawal(world, spelling):
    gateway, _ = world
    number = len(rows(gateway))
    with Lines(gateway.smtp_port, TRUSTED) as lines:
        said = ["EHLO x", "MAIL FROM:<news@acme.example>", f"RCPT TO:<{spelling}>", "DATA"]
        assert [hear(lines, line)[:3] for line in said] == ["250", "250", "250", "354"]
        lines.send_content(mail("Spelled in another way"))
        assert lines.hear().startswith("250")
    ((_, state, reason),) = rows(gateway)[number:]
    assert (state, reason) == ("dropped", "withdrawn")


@pytest.mark.parametrize(
    "parameters",
    [
        "\r", "\rRCPT TO:<victim@shop.example>", " SIZE=1\x00", " ORCPT=rfc822;a\rb", " X=\x7f",
        "\x0bORCPT=rfc822;b", " NOTIFY=NEVER ORCPT=rfc822;" + "x" * 600, "> <victim@shop.example",
        " \u2028RCPT TO:<victim@shop.example>", "\x85", " BODY=8BITMIME", " NOTIFY=NEVER\x0cX",
    ],
    ids=repr,
)  # fmt: skip
def test_nothing_can_be_glued_to_a_path(world, parameters):
    gateway, _ = world
    number = len(rows(gateway))
    with Lines(gateway.smtp_port, TRUSTED) as lines:
        hear(lines, "EHLO x")
        for command in ("MAIL FROM:<news@acme.example>", "RCPT TO:<anna@example.org>"):
            assert hear(lines, command + (parameters if command[0] == "R" else ""))[:1] in "25"
        answer = hear(lines, "DATA")
    assert answer.startswith("554"), answer  # there is no recipient
    assert len(rows(gateway)) == number


def test_of_upstream_no_command_but_ours_was_heard(world):
    """After all of the above."""
    _, upstream = world
    assert not upstream.violations
    heard = " ".join(line for _, line in upstream.commands)
    assert "victim" not in heard
    assert {line.split(":")[0].split(" ")[0] for _, line in upstream.commands} <= {
        "EHLO", "MAIL", "RCPT", "DATA", "RSET", "NOOP", "QUIT",
    }  # fmt: skip
