"""The reckoning of `make soak`, on books that were cooked."""

import json

from support.soak_books import Row, Taken, read_book, reckon

NEWS = "News 1"
ANN, BOB = "ann@good.example", "bob@good.example"


def taken(address=ANN, at=10.0, *, answered=True):
    return Taken(NEWS, address, at - 1, at, answered)


def account(acknowledged=((NEWS, ANN),), states=("delivered",), copies=(), left=(), upsets=()):
    rows = [Row(*key, state) for key, state in zip(acknowledged, states, strict=False)]
    return reckon(set(acknowledged), rows, list(copies), dict(left), list(upsets))


def test_all_is_well():
    found = account([(NEWS, ANN), (NEWS, BOB)], ["delivered", "dropped"], [taken()])
    assert found.sound
    assert (found.accepted, found.copies, found.duplicates) == (2, 1, 0)
    assert found.states == {"delivered": 1, "dropped": 1}


def test_what_was_acknowledged_and_is_not_there_is_lost():
    assert account(states=()).lost == [(NEWS, ANN, "no row")]


def test_what_never_ends_is_lost():
    for state in ("ready", "sending", "deferred", "held"):
        assert account(states=[state]).lost == [(NEWS, ANN, state)]
    assert not account(states=["quarantined"]).lost


def test_what_upstream_never_took_is_lost():
    assert account().lost == [(NEWS, ANN, "delivered to nobody")]
    assert account(copies=[taken(BOB)]).lost == [(NEWS, ANN, "delivered to nobody")]


def test_a_duplicate_needs_a_lost_answer():
    twice = [taken(), taken(at=20.0)]
    assert not account(copies=twice).sound
    assert account(copies=twice, upsets=[15.0]).sound
    assert not account(copies=twice, upsets=[25.0]).sound
    assert account(copies=[taken(answered=False), taken(at=20.0)]).sound
    assert not account(copies=[taken(), taken(at=20.0, answered=False)]).sound
    assert len(account(copies=[*twice, taken(at=30.0)], upsets=[15.0]).unexplained) == 1


def test_a_copy_after_a_withdrawal_is_late():
    assert account(copies=[taken()], left={ANN: 8.5}).sound
    assert account(copies=[taken()], left={ANN: 7.5}).late == [taken()]
    assert account(copies=[taken()], left={BOB: 7.5}).sound


def test_the_book_is_read(tmp_path):
    message = {
        "subject": NEWS, "recipients": [ANN, BOB], "mail_from": "r@b.example", "link": "http://x/u/y",
        "began": 1.0, "ended": 2.0, "reply": "250 ok", "line": [1, 7],
    }  # fmt: skip
    lines = [
        message,
        message | {"recipients": [ANN], "ended": 8.0, "reply": ""},
        message | {"recipients": [ANN], "ended": 9.0, "reply": "451 4.3.0 not now"},
        message | {"subject": "Undelivered: News 1"},
        {"closed": [1, 7], "at": 5.0}, {"closed": [2, 7], "at": 9.0}, {"mood": "calm", "at": 0.0},
        message | {"ended": 30.0, "line": [2, 7]},
    ]  # fmt: skip
    path = tmp_path / "book"
    path.write_text("\n".join(map(json.dumps, lines)) + '\n{"subj')
    book = read_book(path)
    assert [(copy.address, copy.ended, copy.answered) for copy in book.copies] == [
        (ANN, 2.0, False), (BOB, 2.0, False), (ANN, 8.0, False), (ANN, 30.0, True), (BOB, 30.0, True),
    ]  # fmt: skip
    assert book.links[BOB] == ("http://x/u/y", "r@b.example")
    assert book.moods == {"calm": 1}
