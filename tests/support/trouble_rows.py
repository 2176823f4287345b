"""Everything an upstream can do to a mail, and what comes of it: one row for each.

`ROWS` is what `tests/program/test_upstream_from_hell.py` plays through the running program, and
what `docs/troubles.md` shows (`troubles_page`).

Each upstream misbehaves towards the first mail that it gets; then comes a second, ordinary one.
A row says what the first comes to: the recipient's `state`; `reply`, with which the reply on
record begins; whether the attempt was `counted`; when the next one is `due`; over which
connection the `second` mail came (1: the same, 0: it waits, too); and the `status` in the
delivery report, if there is one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from support.upstream_script import EXTENSIONS, Drip, Drop, Endless, Hang, Raw, Reset, Slow, Step

SOON, LATER, NOW, NEVER = "15 s, doubling", "30 min, then 2 h", "when upstream is back", ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One trouble. `does` says in words what upstream does; `script` are fields of `Script`.

    `route` are further settings of the upstream, `timeouts` those that are shortened, and
    `certificate` the one that upstream shows. `to` are the recipients.
    """

    name: str
    does: str
    state: str = "deferred"
    reply: str = ""
    counted: bool = True
    due: str = NEVER
    second: int = 2
    status: str = ""
    steps: Mapping[str, Step | Sequence[Step]] = field(default_factory=dict)
    script: Mapping[str, object] = field(default_factory=dict)
    route: Mapping[str, object] = field(default_factory=dict)
    timeouts: Sequence[str] = ()
    certificate: str = ""
    extra: int = 0  # further recipients of the same mail, who have no trouble of their own
    octets: int = 0  # to be added to the mail
    text: str = "Hello"
    recipient: str = "person"


def delivered(name: str, does: str, **more: object) -> Row:
    return Row(
        **{"name": name, "does": does, "state": "delivered", "reply": "250", "second": 1} | more
    )  # type: ignore[arg-type]


def failed(name: str, does: str, reply: str, status: str, **more: object) -> Row:
    given = {"state": "failed", "reply": reply, "status": status, "second": 1}
    return Row(**{"name": name, "does": does} | given | more)  # type: ignore[arg-type]


def away(name: str, does: str, reply: str, **more: object) -> Row:
    """Upstream lets nobody in: the circuit opens, and the mail waits as if nobody had tried."""
    given = {"state": "ready", "reply": reply, "counted": False, "due": NOW, "second": 0}
    return Row(**{"name": name, "does": does} | given | more)  # type: ignore[arg-type]


def put_off(name: str, does: str, reply: str, due: str, **more: object) -> Row:
    return Row(**{"name": name, "does": does, "reply": reply, "due": due} | more)  # type: ignore[arg-type]


LONG = b"250-" + b"x" * 10_000_000
SSH = b"SSH-2.0-OpenSSH_9\r\n"
BINARY = b"\0\xff\x16\x03\x01\r\n\x80"
CLOSED = "451 4.4.2 upstream closed the connection"
LATE = "451 4.4.2 upstream did not finish the "
GARBLED = "451 4.5.0 upstream's replies do not match our commands"
UNREACHED = "451 4.4.1 "
NO_TLS = "454 4.7.5 no TLS with upstream"


def _cut_short(step: Step) -> tuple[str, ...]:
    """The limit that is shortened where nothing else ends it; an answer may take its time."""
    return ("connect",) if isinstance(step, Hang | Drip) else ()


CONNECTING = (
    away("refused", "refuses connections", "451 4.4.1 upstream is out of reach",
         route={"nobody": True}),
    *(away(f"banner-{name}", f"{does} in place of a greeting", reply,
           steps={"CONNECT": step}, timeouts=_cut_short(step))
      for name, does, step, reply in (
          ("hang", "says nothing", Hang(), UNREACHED),
          ("drip", "sends an octet a second", Drip("220 upstream.example ready", 1.0), UNREACHED),
          ("drop", "closes", Drop(), "451 4.4.1"),
          ("reset", "resets", Reset(), "451 4.4.1"),
          ("421", "says 421", "421 4.3.2 too many connections", "421 4.3.2"),
          ("450", "says 450", Drop("450 4.7.0 come later"), "450 4.7.0"),
          ("521", "says 521", Drop("521 upstream.example takes no mail"), "521"),
          ("554", "says 554", "554 5.7.1 not from your address", "554 5.7.1"),
          ("ssh", "speaks another protocol", Raw(SSH), "451 4."),
          ("binary", "sends binary", Raw(BINARY), "451 4."),
          ("long", "sends 10 MB without a line end", Raw(LONG), "451 4."),
          ("endless", "sends lines without end", Endless(b"220-and so on\r\n"), "451 4."),
      )),
    *(away(f"ehlo-{name}", f"{does} at EHLO", reply,
           steps={"EHLO": step, "HELO": step}, timeouts=_cut_short(step))
      for name, does, step, reply in (
          ("hang", "says nothing", Hang(), UNREACHED),
          ("drop", "closes", Drop(), "451 4."),
          ("reset", "resets", Reset(), "451 4."),
          ("421", "says 421", "421 4.3.2 later", "421 4.3.2"),
          ("451", "says 451", "451 4.3.0 later", "451 4.3.0"),
          ("550", "says 550, and at HELO, too,", "550 5.7.1 not you", "550 5.7.1"),
          ("garbage", "sends garbage", Raw(b"what?\r\n"), "451 4."),
          ("endless", "sends lines without end", Endless(), "451 4."),
      )),
    delivered("ehlo-500", "knows only HELO", steps={"EHLO": "500 5.5.1 what?"}),
    delivered("banner-surplus", "says more than a greeting at once",
              steps={"CONNECT": Raw(b"220 upstream.example\r\n250-what\r\n250 CHUNKING\r\n")}),
)  # fmt: skip

STARTTLS = {"route": {"tls": "starttls"}, "script": {"tls": "starttls"}}
IMPLICIT = {"route": {"tls": "implicit"}, "script": {"tls": "implicit"}}
OPPORTUNISTIC = {"route": {"tls": "opportunistic"}, "script": {"tls": "starttls"}}
LOGIN = {
    "route": {"username": "relay", "password": "s3cret"},
    "script": {"users": {"relay": "s3cret"}, "require_auth": True},
}

SECURING = (
    away("tls-none", "offers no STARTTLS where the route demands it", NO_TLS,
         route={"tls": "starttls"}),
    *(away(f"tls-{name}", f"{does} STARTTLS", reply, steps={"STARTTLS": step},
           timeouts=_cut_short(step), certificate="good", **STARTTLS)
      for name, does, step, reply in (
          ("454", "offers and then refuses (454)", "454 4.7.0 not today", "454 4.7.0"),
          ("550", "offers and then refuses (550)", "550 5.7.0 never", "550 5.7.0"),
          ("hang", "says nothing at", Hang(), UNREACHED),
          ("drop", "closes at", Drop(), NO_TLS),
          ("gone", "says 220 and closes at", Drop("220 go"), NO_TLS),
      )),
    *(away(f"{tls}-{kind}", f'shows {what} (`tls = "{tls}"`)', NO_TLS, certificate=kind, **settings)
      for tls, settings in (("starttls", STARTTLS), ("implicit", IMPLICIT))
      for kind, what in (
          ("expired", "an expired certificate"), ("foreign", "another host's certificate"),
          ("unknown", "a certificate that nobody vouches for"),
      )),
    away("implicit-plain", "speaks no TLS on the port for it", "45",
         route={"tls": "implicit"}),
    delivered("tls-injected", "lets somebody put a reply in front of the TLS handshake",
              steps={"STARTTLS": Raw(b"220 go\r\n250-evil.example\r\n250 CHUNKING\r\n")},
              certificate="good", **STARTTLS),
    delivered("opportunistic-454", "refuses STARTTLS, which was only hoped for",
              steps={"STARTTLS": ["454 4.7.0 not today"]}, certificate="good", second=2,
              **OPPORTUNISTIC),
    delivered("opportunistic-expired", "shows an expired certificate where TLS was only hoped for",
              certificate="expired", **OPPORTUNISTIC),
    *(away(f"auth-{name}", f"{does} AUTH", reply, steps={"AUTH": step}, timeouts=_cut_short(step),
           **LOGIN)
      for name, does, step, reply in (
          ("535", "refuses (535)", "535 5.7.8 wrong", "535 5.7.8"),
          ("454", "puts off (454)", "454 4.7.0 no answer from the directory", "454 4.7.0"),
          ("hang", "says nothing at", Hang(), UNREACHED),
          ("drop", "closes at", Drop(), "45"),
          ("334", "asks for more and more at", "334 bW9yZQ==", "454 4.7.0 upstream did not"),
      )),
    away("auth-none", "offers no AUTH where the route has a username", "454 4.7.0",
         route=LOGIN["route"]),
    put_off("auth-wanted", "wants AUTH (530 to MAIL) where the route has no username",
            "530 5.7.0", SOON, script={"users": {"a": "b"}}, steps={"MAIL": ["530 5.7.0 log in first"]}),
)  # fmt: skip


def _lost(stage: str, name: str) -> tuple[Row, ...]:
    """The ways in which a connection ends at `stage`, or is as good as ended."""
    doubt = stage in {"CONTENT", "DOT"}
    due = LATER if doubt else SOON
    what = {"CONTENT": "in the middle of the content", "DOT": "at the end of the content"}
    at = what.get(stage, f"at {stage}")
    limit = {"MAIL": "mail", "RCPT": "rcpt", "DATA": "data"}.get(stage, "dot")
    return (
        put_off(f"{name}-drop", f"closes {at}", CLOSED, due, steps={stage: [Drop()]}),
        put_off(f"{name}-reset", f"resets {at}", CLOSED, due, steps={stage: [Reset()]}),
        put_off(f"{name}-hang", f"says nothing {at}", LATE, due, steps={stage: [Hang()]},
                timeouts=(limit,)),
        put_off(f"{name}-drip", f"sends an octet a second {at}", LATE, due,
                steps={stage: [Drip("250 2.0.0 some time", 1.0)]}, timeouts=(limit,)),
        put_off(f"{name}-421", f"says 421 and closes {at}", "421 4.3.2", SOON,
                steps={stage: ["421 4.3.2 going down"]}),
        put_off(f"{name}-garbage", f"sends garbage {at}", GARBLED, due,
                steps={stage: [Raw(b"what?\r\n")]}),
        put_off(f"{name}-binary", f"sends binary {at}", GARBLED, due, steps={stage: [Raw(BINARY)]}),
        put_off(f"{name}-long", f"sends 10 MB without a line end {at}", GARBLED, due,
                steps={stage: [Raw(LONG)]}),
        put_off(f"{name}-endless", f"sends lines without end {at}", GARBLED, due,
                steps={stage: [Endless()]}),
    )  # fmt: skip


LOSING = tuple(
    row
    for stage in ("MAIL", "RCPT", "DATA", "CONTENT", "DOT")
    for row in _lost(stage, stage.lower())
)


def _says(stage: str, reply: str, due: str, *, second: int, more: str = "") -> Row:
    code = reply[:3]
    at = "the end of the content" if stage == "DOT" else stage
    return put_off(f"{stage.lower()}-{code}{more}", f"says {reply} to {at}", reply[:9].rstrip(), due,
                   second=second, steps={stage: [reply]})  # fmt: skip


def _refuses(stage: str, reply: str, status: str, name: str = "") -> Row:
    at = "the end of the content" if stage == "DOT" else stage
    return failed(name or f"{stage.lower()}-{reply[:3]}", f"says {reply} to {at}", reply[:9], status,
                  steps={stage: [reply]})  # fmt: skip


REFUSING = (
    _says("MAIL", "450 4.1.8 sender's domain not found", LATER, second=1),
    *(_says("MAIL", reply, SOON, second=2) for reply in (
        "451 4.3.0 broken", "452 4.3.1 disk full", "454 4.7.0 directory away", "503 5.5.1 what?",
    )),
    _refuses("MAIL", "550 5.7.1 not this sender", "5.7.1"),
    _refuses("MAIL", "552 5.3.4 too large", "5.3.4"),
    _says("RCPT", "450 4.2.1 busy", LATER, second=1),
    _says("RCPT", "451 4.7.1 greylisted, come again", LATER, second=1),
    _says("RCPT", "452 4.2.2 mailbox full", LATER, second=1),
    _says("RCPT", "552 5.2.2 mailbox full", LATER, second=1),
    _says("RCPT", "503 5.5.1 what?", SOON, second=2),
    _refuses("RCPT", "550 5.1.1 nobody", "5.1.1"),
    _refuses("RCPT", "551 5.1.6 moved", "5.1.6"),
    _refuses("RCPT", "553 5.1.3 what a name", "5.1.3"),
    delivered("rcpt-251", "says 251 to RCPT", steps={"RCPT": ["251 2.1.5 will forward"]}),
    delivered("rcpt-252", "says 252 to RCPT", steps={"RCPT": ["252 2.1.5 will try"]}),
    _says("DATA", "450 4.2.0 not now", LATER, second=1),
    *(_says("DATA", reply, SOON, second=2) for reply in (
        "451 4.3.0 broken", "452 4.3.1 disk full", "503 5.5.1 what?",
    )),
    _refuses("DATA", "554 5.7.1 no", "5.7.1"),
    _says("DOT", "451 4.3.0 filter away", LATER, second=1),
    _says("DOT", "452 4.3.1 disk full", SOON, second=2),
    _refuses("DOT", "550 5.7.1 spam", "5.7.1"),
    _refuses("DOT", "552 5.3.4 too large", "5.3.4"),
    _refuses("DOT", "554 5.6.0 what a mess", "5.6.0"),
    delivered("dot-multi", "says 250 in several lines", steps={"DOT": ["250 2.0.0 one\ntwo\nthree"]}),
    delivered("dot-slow", "takes its time", steps={"DOT": [Slow(2.0)]}),
    delivered("dot-closing", "says 250 and closes", steps={"DOT": [Drop("250 2.0.0 ok")]}, second=2),
)  # fmt: skip

LYING = (
    failed("wrong-class", "says 550 with an enhanced code of success", "550 2.0.0", "5.0.0",
           steps={"RCPT": ["550 2.0.0 nobody"]}),
    failed("temporary-class", "says 550 with a temporary enhanced code", "550 4.7.1", "5.0.0",
           steps={"DOT": ["550 4.7.1 come again"]}),
    failed("no-class", "says 550 without enhanced code", "550 nobody", "5.0.0",
           steps={"RCPT": ["550 nobody"]}),
    put_off("permanent-class", "says 450 with a permanent enhanced code", "450 5.1.1", LATER,
            second=1, steps={"RCPT": ["450 5.1.1 nobody"]}),
    delivered("refused-class", "says 250 with an enhanced code of refusal", reply="250 5.1.1",
              steps={"DOT": ["250 5.1.1 nobody"]}),
    *(put_off(f"{stage.lower()}-{code}", f"says {code} to {stage}", GARBLED, SOON,
              steps={stage: [f"{code} what"]})
      for stage, code in (("MAIL", "354"), ("RCPT", "354"), ("DATA", "250"), ("MAIL", "220"),
                          ("RCPT", "221"))),
    put_off("dot-354", "says 354 to the end of the content", GARBLED, LATER,
            steps={"DOT": ["354 more"]}),
    put_off("dot-221", "says 221 to the end of the content", GARBLED, LATER,
            steps={"DOT": ["221 2.0.0 bye"]}),
    put_off("data-early", "says 354 and 250 before it has the content", GARBLED, SOON,
            steps={"DATA": [Raw(b"354 go\r\n250 2.0.0 ok\r\n")]}),
    put_off("mail-many", "answers MAIL twice", GARBLED, SOON,
            steps={"MAIL": [Raw(b"250 ok\r\n250 ok\r\n")]}),
    put_off("rcpt-many", "answers RCPT twice", GARBLED, SOON,
            steps={"RCPT": [Raw(b"250 ok\r\n250 ok\r\n")]}),
    delivered("dot-many", "answers the end of the content twice", second=2,
              steps={"DOT": [Raw(b"250 2.0.0 ok\r\n550 5.7.1 no\r\n")]}),
    *(put_off(f"{stage.lower()}-none", f"forgets to answer {stage}", "451 4.", SOON,
              steps={stage: [Raw(b"")]}, timeouts=("mail", "rcpt", "data", "dot"))
      for stage in ("MAIL", "RCPT")),
    put_off("data-none", "forgets to answer DATA", LATE, SOON, steps={"DATA": [Raw(b"")]},
            timeouts=("data",)),
    put_off("dot-none", "forgets to answer the end of the content", LATE, LATER,
            steps={"DOT": [Raw(b"")]}, timeouts=("dot",)),
    put_off("rset-refused", "refuses RSET (502) after a recipient was refused (450)", "450 4.2.1",
            LATER, script={"extensions": ()}, second=2,
            steps={"RCPT": ["450 4.2.1 busy"], "RSET": ["502 5.5.1 what?"]}),
    put_off("quit-hang", "says nothing at QUIT", "452 4.3.1", SOON,
            steps={"MAIL": ["452 4.3.1 disk full"], "QUIT": [Hang()]}),
)  # fmt: skip

LIMITED = (
    delivered("most-two", "takes two recipients in one transaction (452), the mail has five",
              script={"most_recipients": 2}, extra=4),
    failed("one-of-three", "refuses one of three recipients (550)", "550 5.1.1", "5.1.1",
           steps={"RCPT": ["550 5.1.1 nobody"]}, extra=2),
    failed("size", "takes mail of 2000 octets only, and says so", "552 5.3.4", "5.3.4",
           script={"extensions": ("SIZE 2000", "8BITMIME", "PIPELINING")}, octets=3000),
    delivered("no-8bit", "takes no 8-bit content", script={"extensions": ("PIPELINING",)},
              text="Grüße"),
    failed("no-utf8", "takes no addresses beyond ASCII", "550 5.6.7", "5.6.7",
           script={"extensions": ("PIPELINING", "8BITMIME")}, recipient="åsa"),
    delivered("no-pipelining", "offers no PIPELINING",
              script={"extensions": tuple(e for e in EXTENSIONS if e != "PIPELINING")}),
    delivered("chunking", "offers CHUNKING", script={"extensions": (*EXTENSIONS, "CHUNKING")}),
    delivered("changing", "offers more on the first connection than on the second", second=2,
              steps={"EHLO": ["250 upstream.example\nPIPELINING\nCHUNKING\n8BITMIME"],
                     "DOT": [Drop("250 2.0.0 ok")]},
              script={"extensions": ()}),
    delivered("one-per-connection", "takes one mail per connection (421 to the second MAIL)",
              steps={"MAIL": [None, "421 4.7.0 enough"]}, second=2),
)  # fmt: skip

GROUPS = {
    "Connecting": CONNECTING,
    "TLS and AUTH": SECURING,
    "A connection that ends": LOSING,
    "Refusals": REFUSING,
    "Replies that are wrong": LYING,
    "What upstream does not take": LIMITED,
}
ROWS = [row for rows in GROUPS.values() for row in rows]


def troubles_page() -> str:
    """`docs/troubles.md`."""
    parts = [_HEAD]
    for title, rows in GROUPS.items():
        lines = [f"## {title}\n\n{_COLUMNS}", *map(_line, rows)]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


_HEAD = """\
# When upstream is in trouble

What Gatepost makes of everything that an upstream can do. The tables are written from the rows in
`tests/support/trouble_rows.py`; each is played through the running program by
`tests/program/test_upstream_from_hell.py` (`make docs` writes this page anew).

Each row is a mail that meets the trouble, and a second one behind it. *Recipient* is the
[state](states.md) that the recipient of the first is in; *on record* is how the reply begins that
`gatepost queue list`, the log and reports show; *again* is when the next attempt is due; *second
mail* is how the one behind it goes.

* An attempt that was none counts as none: while upstream lets nobody in, mail is `ready` and waits.
  It is given up only when `retry_for` is over.
* What upstream says of a mail is put off as RFC 5321 has it: 30 minutes, then two to three
  hours. What it says of itself, and a connection that ends, is no fault of the mail's: that is
  tried again after 15 seconds, then after pauses that double up to two hours.
* A copy whose content was out when the connection ended may have arrived. It keeps the long pauses,
  and its reply says so: this is the only way in which anybody can get a mail twice.
* Upstream is *away* when the only connection cannot be made, or when three in a row ended in
  trouble. The log says so once (`upstream is away`), `gatepost_upstream_up` is 0, and new mail is
  accepted as ever. It is asked again over one connection after 1 second, 2, 4 and so on up to 5
  minutes. Where only connecting had failed, being let in is enough; else one copy is sent, that of
  mail that is not bulk first, and the rest follows when it has been answered. Connections come
  back one, two, four …
* While others stand, a connection that upstream does not want (421, 452) means that fewer are
  wanted: the others carry on, and one more is asked for after such a pause.
* Each upstream is judged by itself, and by each worker and each gateway for itself.
"""

_COLUMNS = """\
| upstream | recipient | on record | again | second mail |
| --- | --- | --- | --- | --- |"""

_SECOND = {0: "waits, too", 1: "over the same connection", 2: "over another connection"}


def _line(row: Row) -> str:
    reply = f"`{row.reply.strip()}…`" if row.state != "delivered" else ""
    status = f", reported as {row.status}" if row.status else ""
    return f"| {row.does} | `{row.state}`{status} | {reply} | {row.due} | {_SECOND[row.second]} |"
