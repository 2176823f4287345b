"""The one home of trouble: each reply at each stage, as a table."""

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.flow.transmit import trouble
from gatepost.flow.transmit.trouble import Stage
from gatepost.mail.outcome import Result, Scope
from gatepost.mail.reply import Reply

DELIVERED, DEFERRED, FAILED, UNSENT = (
    Result.DELIVERED, Result.DEFERRED, Result.FAILED, Result.UNSENT,
)  # fmt: skip

TABLE = [
    # before any mail nothing fails a recipient, whatever the code
    *((stage, code, UNSENT, Scope.UPSTREAM)
      for stage in (Stage.CONNECT, Stage.TLS, Stage.EHLO, Stage.AUTH)
      for code in (421, 450, 454, 535, 550, 554)),
    # MAIL: the message
    (Stage.MAIL, 450, DEFERRED, Scope.MESSAGE),
    (Stage.MAIL, 451, DEFERRED, Scope.UPSTREAM),
    (Stage.MAIL, 452, DEFERRED, Scope.UPSTREAM),
    (Stage.MAIL, 454, DEFERRED, Scope.UPSTREAM),
    (Stage.MAIL, 455, DEFERRED, Scope.MESSAGE),
    (Stage.MAIL, 550, FAILED, Scope.MESSAGE),
    (Stage.MAIL, 552, FAILED, Scope.MESSAGE),
    (Stage.MAIL, 555, FAILED, Scope.MESSAGE),
    (Stage.MAIL, 530, DEFERRED, Scope.UPSTREAM),
    (Stage.MAIL, 535, DEFERRED, Scope.UPSTREAM),
    (Stage.MAIL, 503, DEFERRED, Scope.CONNECTION),
    (Stage.MAIL, 421, DEFERRED, Scope.CONNECTION),
    # RCPT: the recipient
    (Stage.RCPT, 450, DEFERRED, Scope.RECIPIENT),
    (Stage.RCPT, 452, DEFERRED, Scope.RECIPIENT),
    (Stage.RCPT, 550, FAILED, Scope.RECIPIENT),
    (Stage.RCPT, 551, FAILED, Scope.RECIPIENT),
    (Stage.RCPT, 552, DEFERRED, Scope.RECIPIENT),  # R5321-8
    (Stage.RCPT, 553, FAILED, Scope.RECIPIENT),
    (Stage.RCPT, 503, DEFERRED, Scope.CONNECTION),
    (Stage.RCPT, 530, DEFERRED, Scope.UPSTREAM),
    (Stage.RCPT, 421, DEFERRED, Scope.CONNECTION),
    # DATA and its end: the message
    (Stage.DATA, 450, DEFERRED, Scope.MESSAGE),
    (Stage.DATA, 451, DEFERRED, Scope.UPSTREAM),
    (Stage.DATA, 452, DEFERRED, Scope.UPSTREAM),
    (Stage.DATA, 554, FAILED, Scope.MESSAGE),
    (Stage.DATA, 503, DEFERRED, Scope.CONNECTION),
    (Stage.DATA, 421, DEFERRED, Scope.CONNECTION),
    (Stage.DOT, 250, DELIVERED, Scope.MESSAGE),
    (Stage.DOT, 252, DELIVERED, Scope.MESSAGE),
    (Stage.DOT, 299, DELIVERED, Scope.MESSAGE),
    (Stage.DOT, 451, DEFERRED, Scope.MESSAGE),
    (Stage.DOT, 452, DEFERRED, Scope.UPSTREAM),
    (Stage.DOT, 550, FAILED, Scope.MESSAGE),
    (Stage.DOT, 552, FAILED, Scope.MESSAGE),
    (Stage.DOT, 599, FAILED, Scope.MESSAGE),
    (Stage.DOT, 421, DEFERRED, Scope.CONNECTION),
    # unknown is temporary
    (Stage.RSET, 550, DEFERRED, Scope.CONNECTION),
    (Stage.DOT, 354, DEFERRED, Scope.MESSAGE),
    (Stage.MAIL, 250, DEFERRED, Scope.MESSAGE),
    (Stage.BLOCK, 250, DEFERRED, Scope.MESSAGE),
    (Stage.RCPT, 199, DEFERRED, Scope.RECIPIENT),
]  # fmt: skip


@pytest.mark.parametrize(("stage", "code", "result", "scope"), TABLE)
def test_each_reply_at_each_stage(stage, code, result, scope):
    reply = Reply(code, "", "said")
    outcome = trouble.outcome(stage, reply)
    assert (outcome.result, outcome.scope) == (result, scope)
    assert outcome.reply is reply


@pytest.mark.parametrize("stage", list(Stage))
def test_every_stage_has_an_outcome_for_every_code(stage):
    for code in range(200, 600):
        result = trouble.outcome(stage, Reply(code, "", "")).result
        assert result is not FAILED or code >= 500
        assert result is not DELIVERED or (stage is Stage.DOT and code < 300)


def test_421_to_mail_on_a_used_connection_costs_no_attempt():
    reply = Reply(421, "4.7.0", "that was enough")
    assert trouble.outcome(Stage.MAIL, reply, used=True).result is UNSENT
    assert trouble.outcome(Stage.RCPT, reply, used=True).result is DEFERRED


def test_r5321_19_only_the_basic_code_decides():
    lies = trouble.read(550, "4.7.1 come again")
    assert (lies.enhanced, lies.text) == ("", "4.7.1 come again")
    assert trouble.outcome(Stage.RCPT, lies).result is FAILED
    assert trouble.outcome(Stage.RCPT, trouble.read(450, "5.1.1 never")).result is DEFERRED


@pytest.mark.parametrize(
    ("text", "enhanced", "rest"),
    [
        ("5.1.1 nobody", "5.1.1", "nobody"),
        ("5.1.1  nobody\n5.1.1 here", "5.1.1", "nobody\nhere"),
        ("5.1.1", "5.1.1", ""),
        ("nobody", "", "nobody"),
        ("5.1.1000 no code", "", "5.1.1000 no code"),
        ("5.1.1nobody", "", "5.1.1nobody"),
        ("bell\x07 and\r nul\0", "", "bell  and nul "),
        ("", "", ""),
    ],
)
def test_read_takes_the_enhanced_code_from_each_line(text, enhanced, rest):
    assert trouble.read(550, text) == Reply(550, enhanced, rest)


@given(st.integers(200, 599), st.text())
def test_read_never_raises_and_keeps_the_reply_clean(code, text):
    reply = trouble.read(code, text)
    assert reply.code == code
    assert not {"\r", "\0"} & set(reply.text)
    assert reply.enhanced == "" or reply.enhanced[0] == str(code)[0]


class Answered(Exception):
    def __init__(self, code, message):
        super().__init__(code, message)
        self.code, self.message = code, message


@pytest.mark.parametrize(
    ("stage", "error", "code", "enhanced"),
    [
        (Stage.CONNECT, TimeoutError("late"), 451, "4.4.1"),
        (Stage.CONNECT, ConnectionRefusedError("refused"), 451, "4.4.1"),
        (Stage.CONNECT, Answered(554, "5.7.1 go away"), 554, "5.7.1"),
        (Stage.CONNECT, Answered(-1, "no SMTP"), 451, "4.3.0"),
        (Stage.CONNECT, ssl.SSLError(1, "bad certificate"), 454, "4.7.5"),
        (Stage.TLS, ConnectionResetError("cut"), 454, "4.7.5"),
        (Stage.AUTH, Answered(535, "5.7.8 wrong"), 535, "5.7.8"),
        (Stage.AUTH, ValueError("no mechanism"), 454, "4.7.0"),
        (Stage.EHLO, KeyError("what"), 451, "4.3.0"),
    ],
)
def test_exceptions_become_replies(stage, error, code, enhanced):
    reply = trouble.reply_for(stage, error)
    assert (reply.code, reply.enhanced) == (code, enhanced)
    assert reply.text
    assert trouble.outcome(stage, reply).result is UNSENT


def test_rq_3_a_lost_connection_is_a_451():
    outcome = trouble.interrupted(trouble.LOST, begun=True)
    assert (outcome.result, outcome.reply.code) == (DEFERRED, 451)
    assert trouble.interrupted(trouble.LOST, begun=False).result is UNSENT


def test_a_lost_answer_is_told_as_a_doubt():
    outcome = trouble.interrupted(trouble.LOST, begun=True, in_doubt=True)
    assert outcome.in_doubt
    assert "may have arrived" in outcome.reply.text
    assert not trouble.interrupted(trouble.LOST, begun=True).in_doubt


@pytest.mark.parametrize(
    "reply",
    [
        trouble.LOST,
        trouble.GARBLED,
        trouble.timed_out(Stage.DOT, 600),
        trouble.reply_for(Stage.CONNECT, ConnectionRefusedError("refused")),
        trouble.reply_for(Stage.CONNECT, TimeoutError("late")),
        trouble.reply_for(Stage.TLS, ConnectionResetError("cut")),
        trouble.reply_for(Stage.AUTH, ValueError("no mechanism")),
        trouble.reply_for(Stage.EHLO, KeyError("what")),
        trouble.NO_TLS_FOR_PASSWORD,
    ],
)
def test_words_in_upstreams_stead_are_known_as_ours(reply):
    assert trouble.is_own_word(str(reply))


@pytest.mark.parametrize("said", ["451 4.3.0 later", "550 5.1.1 nobody", "421 4.3.2 bye", ""])
def test_words_of_upstream_are_not_ours(said):
    assert not trouble.is_own_word(said)


@pytest.mark.parametrize(
    "reply",
    [
        trouble.NO_EIGHT_BIT,
        trouble.NO_UTF8_ADDRESS,
        trouble.NO_UTF8_HEADER,
        trouble.BAD_SENDER,
        trouble.BAD_RECIPIENT,
        trouble.too_large(3954, 2000),
    ],
)
def test_rd_2_our_own_refusals_are_known_as_such(reply):
    assert trouble.is_own_refusal(str(reply))


@pytest.mark.parametrize(
    "said", ["552 5.3.4 message too large", "554 5.6.3 no", "550 5.1.1 nobody", ""]
)
def test_rd_2_what_upstream_says_is_not_ours(said):
    assert not trouble.is_own_refusal(said)
