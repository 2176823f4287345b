"""What `make fuzz` throws at each door, and what must hold for all of it.

A `Target` has octets to try and a check that raises where an invariant breaks. The octets are
the whole example (how they are cut follows from them), so that a find is one file. Here are the
pure doors; those with sockets are in `support.rubbish_wire`.
"""

import logging
import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hypothesis import strategies as st

from gatepost.cli import listfile
from gatepost.cli.desk import Refusal
from gatepost.config import ConfigErrors, load, sample
from gatepost.consent.tokens import ADDRESS_TOKEN_LENGTH, TOKEN_LENGTH, Claim, Purpose, Ring
from gatepost.feedback.bounces import find_bounces, judge_all
from gatepost.feedback.complaints import find_complaint, find_reported_copy
from gatepost.feedback.unsubscribes import is_automatic, tokens_in_subject
from gatepost.mail.message import normalize, scan
from support import command, invariants, program, reports
from support.mime_trees import FRAGMENTS, HOSTILE
from support.mutations import mutated

TESTS = Path(__file__).parents[1]


@dataclass(frozen=True)
class Target:
    """One door. What was found there is kept in `folder`."""

    name: str
    octets: st.SearchStrategy
    check: Callable[[bytes], None]
    folder: Path
    suffix: str = ".bin"
    per_round: int = 100

    def found(self):
        """Everything that was ever found here."""
        return sorted(self.folder.glob(f"*{self.suffix}"))


@st.composite
def spoilt(draw, originals, fragments, most=8):
    """One of `originals` after some mutations."""
    octets = draw(st.sampled_from(originals))
    for _ in range(draw(st.integers(0, most))):
        start = draw(st.integers(0, len(octets)))
        stop = min(len(octets), start + draw(st.integers(0, 60)))
        match draw(st.sampled_from(["cut", "double", "insert", "octet", "end"])):
            case "cut":
                octets = octets[:start] + octets[stop:]
            case "double":
                octets = octets[:stop] + octets[start:]
            case "insert":
                octets = octets[:start] + draw(fragments) + octets[start:]
            case "octet":
                octets = octets[:start] + draw(st.binary(min_size=1, max_size=2)) + octets[stop:]
            case "end":
                octets = octets[:stop]
    return octets[:20_000]


# config.toml: loads, or says what is wrong with which key

_VALUES = st.sampled_from([
    b"-1", b"0", b"1e400", b"nan", b"99999999999999999999", b"true", b'""', b'"\\u0000"', b"[]", b"{}",
    b'"18 months"', b'"1 b"', b'"-5 MB"', b'"9999999 years"', b'"5000/h"', b"1979-05-27", b"[[]]",
    b'{ env = "X" }', b'{ file = "x" }', b"{ env = 1 }", b'"http://["', b'"https://x:99999"', b'"@"',
    b'"::/0"', b'["10.0.0.0/33"]', b'"\xc3\xa5"', b'"xn--a"', b"\xff", b"'''", b'"""', b"\n", b" = ",
    b"\n[smtp]\n", b"\n[[smtp]]\n", b"\n[server.x]\n", b"\n[streams.x]\n", b"\n[upstreams.x]\n", b"\n#",
    b"\n[clients]\nx = 1\n", b"\n[senders.x.y]\n", b'\n[store]\nurl = "postgresql://"\n', b".", b"\r",
])  # fmt: skip


def _configurations():
    lines = (line.removeprefix("# ") for line in sample().splitlines())
    bare = sample().encode(), "\n".join(lines).encode()
    filled = program.CONFIG.format(
        http_port=8025,
        smtp_port=2525,
        admin_port=8026,
        upstream_port=1025,
        store_url="",
        connections=9,
    )
    return [*bare, command.CONFIG.encode(), filled.encode()]


@st.composite
def configurations(draw):
    """A configuration with lines lost, doubled, moved, given other values, and spoilt."""
    lines = draw(st.sampled_from(_configurations())).split(b"\n")
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, len(lines) - 1))
        key, equals, _ = lines[at].partition(b" = ")
        match draw(st.sampled_from(["value", "value", "lose", "double", "move"])):
            case "value" if equals:
                lines[at] = key + equals + draw(_VALUES)
            case "lose":
                lines.pop(at)
            case "double":
                lines.insert(at, lines[draw(st.integers(0, len(lines) - 1))])
            case "move":
                lines.insert(draw(st.integers(0, len(lines) - 1)), lines.pop(at))
        lines = lines or [b""]
    return draw(spoilt([b"\n".join(lines)], _VALUES, most=2))


def check_configuration(octets):
    path = _folder() / "config.toml"
    path.write_bytes(octets)
    try:
        load(path, {})
    except ConfigErrors as refused:
        errors = refused.errors
    else:
        return
    assert errors
    for error in errors:
        assert error.what
        assert error.cure
        assert error.key or error.line or len(errors) == 1, error


# lists and CSV: every row is taken, or refused with a reason

_CELLS = st.sampled_from([
    b",", b";", b"\t", b'"', b'""', b"\n", b"\r", b"\r\n", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"@", b" ",
    b"a@kund.example", b"\xc3\xa5sa@kund.example", b"=1+1", b"2024-01-01", b"0000-00-00", b"x" * 1000,
    b"2024-01-01T00:00:00+99:00", b"address", b"basis", b"withdrawn_at", b"\xe5", b"\\", b"'", b"|",
    b"\xc2\x85", b"\xe2\x80\xa8", b"99999-01-01", b"explanation", b"source", b"web", b"stream",
])  # fmt: skip
_SHEETS = [
    b"address,basis,event_at\na@kund.example,newsletter-form,2024-01-01\nb@kund.example,,2024-02-30\n",
    b'email;source;stream;categories\r\na@kund.example;web;newsletter;"a;b"\r\n"b@kund.example";;;\r\n',
    b"a@kund.example\nb@kund.example\n# no more\n",
    "address,note\nåsa@kund.example,på\n".encode("utf-16"),
    "Address\twithdrawn_at\nåsa@kund.example\t2024-01-01T10:00:00Z\n".encode("windows-1252"),
]
ENCODINGS = ("utf-8", "windows-1252", "utf-16")
sheets = (
    spoilt(_SHEETS, _CELLS) | st.lists(_CELLS, max_size=40).map(b"".join) | st.binary(max_size=200)
)


def check_sheet(octets):
    path = _folder() / "people.csv"
    path.write_bytes(octets)
    for encoding in ENCODINGS:
        try:
            with listfile.open_sheet(path, encoding) as sheet:
                numbers = [(row.line, row.problem) for row in sheet.records()]
        except Refusal:
            continue
        lines = [number for number, _ in numbers]
        assert lines == sorted(set(lines)), "each row has a line of its own"


def check_import(octets):
    """The commands themselves: what they say adds up, and it is never a traceback."""
    site = _site()
    people = site.file("people.csv", octets)
    flags = ("--source", "web", "--stream", "newsletter", "--basis", "newsletter-form")
    for words in (
        ("consent", "import", people, *flags, "--at", "2024-01-01", "--dry-run"),
        ("audience", "check", "--stream", "newsletter", people, "--json"),
        ("audience", "check", "--stream", "newsletter", people, "--encoding", "utf-16"),
        ("suppression", "import", people, "--sender", "acme"),
    ):
        answer = site.run(*words)
        assert answer.status in {0, 1, 2}, answer
        assert answer.status == 0 or answer.err or answer.out, words


# tokens: nothing opens but what was sealed, for what it was sealed

RING = Ring({0: b"k" * 32, 5: b"l" * 32}, 5)
CLAIM = Claim(1 << 40, 7, 1 << 50)
SEALED = {purpose: RING.seal(purpose, CLAIM) for purpose in Purpose}
FOR_ADDRESS = {purpose: RING.seal_for_address(purpose, CLAIM) for purpose in Purpose}
_TOKENS = [token.encode() for token in (*SEALED.values(), *FOR_ADDRESS.values())]


@st.composite
def tokens(draw):
    """A token with some of its bits turned, or spoilt, or what only has its length."""
    kind = draw(st.sampled_from(["bits", "spoilt", "length"]))
    if kind == "spoilt":
        return draw(spoilt(_TOKENS, FRAGMENTS, most=3))
    if kind == "length":
        size = draw(st.sampled_from([TOKEN_LENGTH, ADDRESS_TOKEN_LENGTH]))
        return draw(st.binary(min_size=size, max_size=size))
    token = bytearray(draw(st.sampled_from(_TOKENS)))
    for _ in range(draw(st.integers(1, 3))):
        token[draw(st.integers(0, len(token) - 1))] ^= 1 << draw(st.integers(0, 7))
    return bytes(token)


def check_token(octets):
    for text in {octets.decode("latin-1"), octets.decode("utf-8", "replace"), octets.decode("utf-8", "surrogateescape")}:  # fmt: skip
        for purpose in Purpose:
            opened = RING.open(purpose, text)
            assert (opened is not None) is (text == SEALED[purpose])
            opened = RING.open_from_address(purpose, text)
            assert (opened is not None) is (text.lower() == FOR_ADDRESS[purpose])
        RING.is_compromised(text)


# returns: what mail says about mail is read without trouble, whatever it is

_BACK = [
    reports.dsn(), reports.EXCHANGE, reports.QMAIL, reports.ABSENCE, reports.LETTER,
    reports.dsn(copy=reports.original(unsubscribe="x" * 49, return_path="y" * 60 + "@b.example")),
    reports.arf(reports.original(unsubscribe="x" * 49)), reports.leaving("z" * 60),
]  # fmt: skip
_WORDS = FRAGMENTS | st.sampled_from([
    b"Status: 5.1.1\r\n", b"Action: failed\r\n", b"Final-Recipient: rfc822; ", b"5.", b"4.2.2", b"550 ",
    b"Feedback-Type: ", b"message/delivery-status", b"message/rfc822", b"message/feedback-report",
    b"multipart/report", b"Diagnostic-Code: smtp; ", b"=?utf-8?q?=ff?=", b"List-Unsubscribe: <", b">",
    b"Original-Rcpt-To: ", b"Auto-Submitted: ", b"Subject: ", b"\xc3\xa5@\xc3\xa5.example",
])  # fmt: skip
returns = spoilt(_BACK, _WORDS) | mutated()


def check_return(octets):
    logging.getLogger("flufl.bounce").disabled = True  # as the program does
    for raw in {octets, normalize(octets)}:
        message = scan(raw)
        bounces = find_bounces(message)
        if bounces:
            judge_all(bounces)
        find_complaint(message)
        find_reported_copy(message)
        tokens_in_subject(message)
        is_automatic(message, "a@b.example")


PURE = (
    Target("mutated mails", mutated(), invariants.check, TESTS / "mails" / "found", ".eml", 500),
    Target("hostile octets", HOSTILE, invariants.check, TESTS / "mails" / "found", ".eml", 500),
    Target(
        "config.toml", configurations(), check_configuration, TESTS / "found" / "config", ".toml"
    ),
    Target("lists and CSV", sheets, check_sheet, TESTS / "found" / "sheets", ".csv", 300),
    Target("imports", sheets, check_import, TESTS / "found" / "sheets", ".csv", 20),
    Target("tokens", tokens(), check_token, TESTS / "found" / "tokens", ".bin", 500),
    Target("returned mail", returns, check_return, TESTS / "found" / "returns", ".eml", 300),
)


def pieces(octets):
    """The same octets cut at places that follow from them."""
    chance = random.Random(octets)
    cuts = sorted(chance.sample(range(len(octets) + 1), min(len(octets), chance.randint(1, 12))))
    return [octets[a:b] for a, b in zip([0, *cuts], [*cuts, len(octets)], strict=True) if a < b]


@cache
def _folder():
    return Path(_scratch().name)


@cache
def _scratch():
    return tempfile.TemporaryDirectory(prefix="gatepost-fuzz-")


@cache
def _site():
    folder = _folder() / "site"
    folder.mkdir()
    site = command.Site(folder)
    site.add_source("web", "--streams", "newsletter,club")
    return site


def leave_nothing():
    """Removes what the checks wrote."""
    if _scratch.cache_info().currsize:
        _scratch().cleanup()
        for made in (_site, _folder, _scratch):
            made.cache_clear()
