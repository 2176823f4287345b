"""Connecting: TLS in its four ways, AUTH, and upstreams that do not let us in."""

import socket
import ssl

import pytest

from gatepost.flow.transmit.route import Route, Timeouts, Tls
from gatepost.mail.outcome import Result, Scope
from support.certificates import make_certificate, server_context
from support.patience import PATIENCE_SECONDS
from support.sending import Sending, make_copy
from support.upstream import Drop, Hang, Raw, Script, Upstream


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("good"), "127.0.0.1")


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("foreign"), "other.example")


@pytest.fixture(scope="module")
def expired(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("expired"), "127.0.0.1", days=-1)


def script(tls, pair, **more) -> Script:
    return Script(tls=tls, context=server_context(*pair), **more)


async def send_one(script: Script, **route):
    async with Upstream(script) as up, Sending(up, **route) as sending:
        ((outcome,),) = await sending.send(make_copy())
        return outcome, up, sending


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_verified_tls(tls, good):
    outcome, up, _ = await send_one(script(tls, good), tls=Tls(tls), ca_file=str(good[0]))
    assert outcome.result is Result.DELIVERED
    assert up.messages[0].secure


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
@pytest.mark.parametrize("kind", ["foreign", "expired", "unknown"])
async def test_rx_7_a_certificate_that_does_not_hold_keeps_mail_here(tls, kind, request, good):
    pair = good if kind == "unknown" else request.getfixturevalue(kind)
    trusted = "" if kind == "unknown" else str(pair[0])
    outcome, up, sending = await send_one(script(tls, pair), tls=Tls(tls), ca_file=trusted)
    assert (outcome.result, outcome.scope) == (Result.UNSENT, Scope.UPSTREAM)
    assert (outcome.reply.code, outcome.reply.enhanced) == (454, "4.7.5")
    assert up.messages == []
    assert not sending.pool.healthy


async def test_starttls_demanded_and_not_offered():
    outcome, up, _ = await send_one(Script(), tls=Tls.STARTTLS)
    assert outcome.result is Result.UNSENT
    assert outcome.reply.enhanced == "4.7.5"
    assert not any(line.startswith("MAIL") for _, line in up.commands)


async def test_opportunistic_tls_takes_any_certificate(foreign):
    outcome, up, _ = await send_one(script("starttls", foreign), tls=Tls.OPPORTUNISTIC)
    assert outcome.result is Result.DELIVERED
    assert up.messages[0].secure


@pytest.mark.parametrize(
    "step", ["454 4.7.0 no TLS today", Drop(), Drop("220 ready"), Raw(b"x\r\n")]
)
async def test_opportunistic_tls_falls_back_to_plain(step, good):
    outcome, up, _ = await send_one(
        script("starttls", good, steps={"STARTTLS": step}), tls=Tls.OPPORTUNISTIC
    )
    assert outcome.result is Result.DELIVERED
    assert not up.messages[0].secure


async def test_opportunistic_tls_not_offered_is_plain():
    outcome, up, _ = await send_one(Script(), tls=Tls.OPPORTUNISTIC)
    assert outcome.result is Result.DELIVERED
    assert up.connections == 1


async def test_auth():
    users = Script(users={"relay": "s3cret"}, require_auth=True)
    outcome, up, _ = await send_one(users, username="relay", password="s3cret")
    assert outcome.result is Result.DELIVERED
    assert up.messages[0].user == "relay"


async def test_auth_refused_is_upstreams_trouble_and_fails_nobody():
    users = Script(users={"relay": "s3cret"})
    outcome, _up, sending = await send_one(users, username="relay", password="wrong")
    assert (outcome.result, outcome.scope) == (Result.UNSENT, Scope.UPSTREAM)
    assert (outcome.reply.code, outcome.reply.enhanced) == (535, "5.7.8")
    assert sending.health[0] == (False, outcome.reply)


async def test_auth_not_offered():
    outcome, _, _ = await send_one(Script(), username="relay", password="s3cret")
    assert outcome.result is Result.UNSENT
    assert "AUTH" in outcome.reply.text


async def test_no_password_in_clear_text_when_tls_was_hoped_for():
    users = Script(users={"relay": "s3cret"})
    outcome, up, _ = await send_one(
        users, username="relay", password="s3cret", tls=Tls.OPPORTUNISTIC
    )
    assert outcome.result is Result.UNSENT
    assert "clear text" in outcome.reply.text
    assert not any(line.startswith("AUTH") for _, line in up.commands)


async def test_auth_over_starttls(good):
    outcome, up, _ = await send_one(
        script("starttls", good, users={"relay": "s3cret"}),
        tls=Tls.STARTTLS, ca_file=str(good[0]), username="relay", password="s3cret",
    )  # fmt: skip
    assert outcome.result is Result.DELIVERED
    assert (up.messages[0].secure, up.messages[0].user) == (True, "relay")


@pytest.mark.parametrize(
    ("steps", "code"),
    [
        ({"CONNECT": "554 5.3.2 no mail here"}, 554),
        ({"CONNECT": "421 4.3.2 later"}, 421),
        ({"CONNECT": Drop()}, 451),
        ({"CONNECT": Hang()}, 451),
        ({"CONNECT": Raw(b"SSH-2.0-OpenSSH_9\r\n")}, 451),
        ({"CONNECT": Raw(b"x" * 100_000)}, 451),
        ({"EHLO": "421 4.3.2 later"}, 421),
        ({"EHLO": "451 4.3.2 later"}, 451),
        ({"EHLO": "550 5.7.1 you no", "HELO": "550 5.7.1 you no"}, 550),
        ({"EHLO": Drop()}, 451),
        ({"EHLO": Hang()}, 451),
        ({"EHLO": Drop("250 upstream.example")}, 451),
    ],
)
async def test_whatever_is_said_before_mail_fails_nobody(steps, code):
    patience = 1.0 if Hang() in steps.values() else PATIENCE_SECONDS
    outcome, up, sending = await send_one(Script(steps=steps), timeouts=Timeouts.all(patience))
    if outcome.scope is Scope.CONNECTION:  # it closed when it saw MAIL
        assert steps["EHLO"] == Drop("250 upstream.example")
        return
    assert (outcome.result, outcome.scope) == (Result.UNSENT, Scope.UPSTREAM)
    assert outcome.reply.code == code
    assert outcome.reply.text
    assert not sending.pool.healthy
    assert up.messages == []


async def test_nobody_listens():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with Sending(unused.getsockname()[1]) as sending:
            ((outcome,),) = await sending.send(make_copy())
            assert (outcome.result, outcome.scope) == (Result.UNSENT, Scope.UPSTREAM)
            assert outcome.reply.enhanced == "4.4.1"


def test_the_password_is_not_shown():
    route = Route(name="x", host="h", port=25, ehlo="e", username="relay", password="s3cret")
    assert "s3cret" not in repr(route)


@pytest.mark.parametrize("tls", [Tls.STARTTLS, Tls.OPPORTUNISTIC])
async def test_rs5_what_upstream_says_before_its_tls_counts_for_nothing(good, tls):
    """Whoever sits in between can add replies to the clear text; none is taken for a later one."""
    said = (
        b"220 ready\r\n250-evil.example\r\n250 AUTH PLAIN\r\n235 2.7.0 welcome\r\n550 5.1.1 no\r\n"
    )
    outcome, up, _ = await send_one(
        script("starttls", good, users={"relay": "s3cret"}, steps={"STARTTLS": Raw(said)}),
        tls=tls, ca_file=str(good[0]), username="relay", password="s3cret",
    )  # fmt: skip
    assert outcome.result is Result.DELIVERED
    (message,) = up.messages
    assert message.secure
    assert message.user == "relay"


@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_rx_7_an_upstream_of_yesterday_gets_nothing(good, version):
    settings = script("implicit", good)
    settings.context.set_ciphers("ALL:@SECLEVEL=0")
    settings.context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    settings.context.maximum_version = ssl.TLSVersion[version]
    outcome, up, _ = await send_one(settings, tls=Tls.IMPLICIT, ca_file=str(good[0]))
    assert outcome.result is not Result.DELIVERED
    assert up.messages == []
