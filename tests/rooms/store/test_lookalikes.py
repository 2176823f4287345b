"""One address spelled in two ways: who left as one of them has left as both."""

import unicodedata
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.consent.evidence import EventKind, Fact
from gatepost.consent.leaving import has_left
from gatepost.consent.standing import STRANGER
from gatepost.mail.address import AddressError, parse
from gatepost.store import people, withdrawing
from gatepost.store.withdrawals import withdrawals_after, withdrawals_mark
from gatepost.store.withdrawing import Leaving
from support.consents import granted, withdrawn

COMPOSED, COMBINING = "jos\u00e9@kund.example", "jose\u0301@kund.example"
SPELLINGS = [(COMPOSED, COMBINING), (COMBINING, COMPOSED)]
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def found(store, *texts, exactly=False):
    addresses = [parse(text) for text in texts]
    known = store.read_now(
        lambda tx: people.look_up(tx, addresses, "newsletter", "acme", exactly=exactly)
    )
    return [known.get(address.key, STRANGER) for address in addresses]


def record(store, text, *facts):
    return store.write_now(lambda tx: people.record(tx, parse(text), facts))


@pytest.mark.parametrize(("one", "other"), SPELLINGS)
def test_a_withdrawal_holds_for_both(store, one, other):
    left_at = LONG_AGO + timedelta(days=1)
    ours = record(store, one, granted(at=LONG_AGO))
    record(store, other, withdrawn(at=left_at))
    (person,) = found(store, one)
    assert (person.subject, person.standing.withdrawn_at) == (ours, left_at)
    assert has_left(person)
    assert all(map(has_left, found(store, one, other)))


@pytest.mark.parametrize(("one", "other"), SPELLINGS[:1])
@pytest.mark.parametrize("kind", [EventKind.COMPLAINED, EventKind.SUPPRESSED, EventKind.ERASED])
def test_so_do_complaints_suppressions_and_erasures(store, one, other, kind):
    scope = {"scope": "all", "suppression": "manual"} if kind is EventKind.SUPPRESSED else {}
    record(store, other, Fact(kind=kind, at=LONG_AGO, sender="acme", **scope))
    (person,) = found(store, one)
    (theirs,) = found(store, other)
    assert person.subject == 0
    assert (person.suppressions, person.erased_at) == (theirs.suppressions, theirs.erased_at)
    assert person.suppressions or person.erased_at


@pytest.mark.parametrize(("one", "other"), SPELLINGS)
def test_copies_in_hand_to_either_are_held_back(store, one, other):
    """The other spelling may be known, or come up with the very withdrawal."""
    number = record(store, one, granted(at=LONG_AGO))
    mark = store.read_now(withdrawals_mark)
    for _ in range(2):
        also = record(store, other, withdrawn(at=LONG_AGO))
        later, endings = store.read_now(lambda tx: withdrawals_after(tx, mark))
        told = {(ending.subject, ending.sender, ending.stream) for ending in endings}
        assert told == {(who, "acme", "newsletter") for who in (number, also)}
        assert later >= mark


@pytest.mark.parametrize(("one", "other"), SPELLINGS[:1])
def test_consent_holds_for_the_one_that_gave_it(store, one, other):
    record(store, other, granted(at=LONG_AGO))
    assert found(store, one) == [STRANGER]


@pytest.mark.parametrize(("one", "other"), SPELLINGS[:1])
def test_who_comes_back_later_has_come_back(store, one, other):
    record(store, other, withdrawn(at=LONG_AGO))
    back = Fact(kind=EventKind.RESUBSCRIBED, at=LONG_AGO + timedelta(days=1), sender="acme",
                stream="newsletter", basis="newsletter-form", actor="recipient")  # fmt: skip
    record(store, one, back)
    (person,) = found(store, one)
    assert person.standing.evidence()[0].effective_at > person.standing.withdrawn_at


@pytest.mark.parametrize(("one", "other"), SPELLINGS[:1])
def test_what_is_on_record_of_one_keeps_nothing_off_the_record_of_the_other(store, one, other):
    for text in (other, one):
        leaving = Leaving(parse(text), "newsletter", "acme")
        assert store.write_now(
            lambda tx, leaving=leaving: withdrawing.withdraw(tx, [leaving], actor="mailer", method="api")
        ) == [True]  # fmt: skip
    assert all(person.subject for person in found(store, one, other, exactly=True))


@given(st.text(min_size=1, max_size=8), st.sampled_from(["NFC", "NFD"]))
def test_lookalikes_find_each_other(local, form):
    try:
        address = parse(f"{unicodedata.normalize(form, local)}@kund.example")
    except AddressError:
        return
    for other in address.lookalikes:
        assert other != address.key
        assert address.key in {*parse(other).lookalikes, *address.lookalikes, address.key}
        assert set(parse(other).lookalikes) <= {address.key, *address.lookalikes}
