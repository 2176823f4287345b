"""A verdict in words: every reason that one person can meet has some."""

import pytest

from gatepost.app import telling
from gatepost.consent.evidence import TextState
from gatepost.mail.verdict import Reason
from support.cases import ASKED, LEFT, bulk, granted, judge, person, suppressed


@pytest.mark.parametrize(
    ("someone", "stream", "said", "helps"),
    [
        (person(granted(10)), bulk(), "form-checkbox given on 2026-06-05 through web", ""),
        (person(), bulk(), "nothing on record", "new consent"),
        (person(granted(10), LEFT), bulk(), "left on 2026-06-10", "--explanation"),
        (person(ASKED), bulk(), "asked for on 2026-06-10 through web, and not confirmed", "own"),
        (person(granted(10, text_state=TextState.INVALID)), bulk(), "no valid consent", "activate"),
        (person(granted(10, text_state=TextState.NONE)), bulk(), "nobody can verify", "activate"),
        (person(granted(10, basis="purchase")), bulk(), "not strong enough", "new consent"),
        (person(granted(10, basis="found")), bulk(), "never counts", "new consent"),
        (person(granted(10, channels="sms")), bulk(), "other channels", "covers"),
        (
            person(granted(10, categories=("shoes",))),
            bulk(categories=frozenset({"hats"})),
            "limited to shoes",
            "covers",
        ),
        (suppressed("bulk", "complaint"), bulk(), "complained", "only the person"),
        (suppressed("all", "hard-bounce"), bulk(), "hard-bounce", "confirmation"),
        (
            suppressed("all", "manual"),
            bulk(),
            "since 2026-06-10: suppressed by hand",
            "suppression remove",
        ),
    ],
)
def test_what_stands_and_what_would_help(someone, stream, said, helps):
    verdict = judge(someone, stream)
    grant = next(iter(someone.standing.grants), None)
    assert said in telling.why(verdict, grant, stream)
    assert helps in telling.cure(verdict)
    assert bool(helps) is bool(telling.cure(verdict))


def test_every_reason_that_bulk_mail_to_one_person_can_meet_has_words():
    of_the_message = {
        "transactional", "service", "personal", "override", "sender-frozen", "paused",
        "campaign-stopped", "sender-mismatch", "open-recipients", "undeclared-bulk", "unmodifiable",
    }  # fmt: skip
    told = {reason.value for reason in telling._TOLD}
    assert told == {reason.value for reason in Reason} - of_the_message
