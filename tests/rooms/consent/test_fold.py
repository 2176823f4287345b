"""Folding facts: the same set of facts gives the same standing, in whatever order."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.consent.evidence import EventKind, Fact, TextState
from gatepost.consent.fold import decode, encode, fold, fold_all
from gatepost.consent.standing import NOTHING_KNOWN

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def day(number):
    return T0 + timedelta(days=number)


def fact(kind, number, **rest):
    return Fact(kind=EventKind(kind), at=day(number), **rest)


facts = st.builds(
    Fact,
    kind=st.sampled_from(EventKind),
    at=st.integers(0, 9).map(day),
    basis=st.sampled_from(["", "form-checkbox", "purchase", "double-opt-in"]),
    source=st.sampled_from(["", "web", "shop"]),
    text_state=st.sampled_from(TextState),
    text_version=st.sampled_from(["", "1", "2"]),
    actor=st.sampled_from(["recipient", "staff", "import", "system"]),
    explanation=st.sampled_from(["", "rang us"]),
    confirmed_at=st.none() | st.integers(0, 9).map(day),
    last_activity_at=st.none() | st.integers(0, 9).map(day),
    categories=st.sampled_from([(), ("shoes",), ("shoes", "hats"), ("hats", "shoes")]),
    bought=st.booleans(),
    welcome_due=st.booleans(),
)


@given(
    st.lists(facts, max_size=12).flatmap(
        lambda all_: st.tuples(st.just(all_), st.permutations(all_))
    )
)
def test_order_of_recording_does_not_matter(both):
    one, other = both
    assert fold_all(one) == fold_all(other)


@given(st.lists(facts, max_size=8))
def test_folding_again_changes_nothing(all_):
    standing = fold_all(all_)
    assert fold_all(all_, standing) == standing


@given(st.lists(facts, max_size=8))
def test_a_standing_can_be_written_down(all_):
    standing = fold_all(all_)
    text = encode(standing)
    assert text.isascii()
    assert decode(text) == standing
    assert encode(decode(text)) == text


@pytest.mark.parametrize(
    "text", ["", "[]", "7", '"x"', "{", '{"q":1}', '{"w":"x"}', '{"g":[{"z":1}]}', '{"g":[7]}',
             '{"g":[{"b":"x"}]}', '{"g":7}', '{"w":999999999999999999999}', '{"g":[{"a":1,"t":"?"}]}'],
)  # fmt: skip
def test_other_texts_are_refused(text):
    with pytest.raises(ValueError):
        decode(text)


def test_nothing_known_is_written_shortly():
    assert encode(NOTHING_KNOWN) == "{}"


def test_a_grant_keeps_its_circumstances():
    standing = fold_all([
        fact("granted", 1, basis="customer", source="shop", text_version="3", actor="recipient",
             text_state=TextState.VALID, bought=True, informed=True, could_decline=True,
             categories=("shoes", "hats"), welcome_due=True),
    ])  # fmt: skip
    (grant,) = standing.grants
    assert (grant.basis, grant.source, grant.text_version) == ("customer", "shop", "3")
    assert grant.soft_opt_in
    assert grant.own_act
    assert grant.welcome_due
    assert grant.categories == ("hats", "shoes")
    assert not grant.lifts_withdrawal


@pytest.mark.parametrize("missing", ["bought", "informed", "could_decline"])
def test_soft_opt_in_needs_all_three(missing):  # WP-8
    flags = {"bought": True, "informed": True, "could_decline": True, missing: False}
    assert not fold_all([fact("granted", 1, basis="customer", **flags)]).grants[0].soft_opt_in


def test_the_latest_of_each_kind_is_kept():  # A1
    grants = fold_all(
        [fact("granted", n, basis="purchase", source="shop") for n in (3, 9, 1)]
    ).grants
    assert [grant.at for grant in grants] == [day(9)]


def test_a_later_grant_of_another_worth_hides_nothing():
    standing = fold_all(
        [
            fact("granted", 1, basis="form-checkbox", source="web", text_state=TextState.VALID),
            fact("granted", 5, basis="form-checkbox", source="web", text_state=TextState.INVALID),
        ]
    )
    assert {grant.text_state for grant in standing.grants} == {TextState.VALID, TextState.INVALID}


def test_a_grant_without_a_basis_is_none():  # HS-5
    assert fold_all([fact("granted", 1)]) == NOTHING_KNOWN


def test_a_transfer_is_a_merger_whatever_it_says():  # HS-23
    assert fold_all([fact("transferred", 1, basis="form-checkbox")]).grants[0].basis == "merger"


def test_the_latest_withdrawal_counts():
    assert fold_all([fact("withdrawn", n) for n in (3, 7, 5)]).withdrawn_at == day(7)


def test_engagement_and_activity_are_two_clocks():  # X2
    standing = fold_all([fact("engaged", 5), fact("engaged", 4, last_activity_at=day(3))])
    assert standing.engaged_at == day(5)
    assert standing.active_at == day(3)


def test_a_request_is_pending():  # JU-17
    standing = fold_all([fact("requested", 2, source="web")])
    assert standing.requested_at == day(2)
    (grant,) = standing.evidence()
    assert grant.pending
    assert grant.basis == "double-opt-in"
    assert grant.confirmed_at is None


def test_a_confirmation_confirms_what_was_asked_for():  # JU-17: effective when confirmed
    standing = fold_all(
        [
            fact("requested", 2, source="web", text_version="4", text_state=TextState.VALID),
            fact("confirmed", 3, source="web", actor="recipient"),
        ]
    )
    confirmed = [grant for grant in standing.evidence() if not grant.pending]
    (grant,) = confirmed
    assert grant.effective_at == day(3)
    assert grant.text_version == "4"
    assert grant.lifts_withdrawal
    assert grant.own_act


def test_a_confirmation_speaks_for_its_source_only():
    standing = fold_all(
        [
            fact("requested", 2, source="web"),
            fact("requested", 2, source="shop"),
            fact("confirmed", 3, source="web"),
        ]
    )
    assert {one.source for one in standing.evidence() if one.confirmed_at} == {"web"}


def test_a_new_request_does_not_undo_an_earlier_confirmation():
    standing = fold_all(
        [
            fact("requested", 1, source="web", text_state=TextState.VALID),
            fact("confirmed", 2, source="web"),
            fact("requested", 5, source="web", text_state=TextState.VALID),
        ]
    )
    assert any(one.effective_at == day(2) and not one.pending for one in standing.evidence())


def test_a_confirmation_without_source_does_not_confirm_what_came_later():
    standing = fold_all([fact("confirmed", 2), fact("requested", 5, source="web")])
    assert all(grant.pending for grant in standing.evidence())


def test_a_complete_confirmation_needs_no_request():
    standing = fold_all([fact("confirmed", 4, basis="double-opt-in", source="web")])
    assert [grant.confirmed_at for grant in standing.evidence()] == [day(4)]


def test_coming_back_renews_what_was_there():  # HR-5
    standing = fold_all(
        [
            fact("granted", 1, basis="purchase", source="shop"),
            fact("withdrawn", 2),
            fact("resubscribed", 3, actor="recipient"),
        ]
    )
    renewed = next(grant for grant in standing.evidence() if grant.lifts_withdrawal)
    assert renewed.effective_at == day(3)
    assert renewed.at == day(1)  # the purchase does not grow younger


def test_coming_back_confirms_no_request():  # JU-17
    standing = fold_all([fact("requested", 1, source="web"), fact("resubscribed", 2)])
    assert all(grant.pending for grant in standing.evidence())


@pytest.mark.parametrize(
    ("actor", "basis", "explanation", "lifts"),
    [
        ("recipient", "form-checkbox", "", True),
        ("staff", "written", "letter of 3 May", True),
        ("staff", "written", "", False),
        ("staff", "written", "   ", False),
        ("staff", "", "rang us", False),
        ("import", "written", "", False),
        ("import", "written", "letters 2026", True),
    ],
)
def test_staff_needs_basis_and_explanation(actor, basis, explanation, lifts):  # HR-4, HR-8
    standing = fold(
        NOTHING_KNOWN,
        fact("resubscribed", 2, actor=actor, basis=basis, explanation=explanation),
    )
    assert [grant.lifts_withdrawal for grant in standing.grants] == [lifts]


def test_a_grant_never_lifts_a_withdrawal():
    standing = fold_all([fact("granted", 9, basis="written", actor="recipient", explanation="x")])
    assert not standing.grants[0].lifts_withdrawal


def test_the_welcome_mail_counts_until_the_person_leaves():  # JU-18
    standing = fold_all([fact("granted", 1, basis="form-checkbox", welcome_due=True)])
    assert not standing.is_welcomed
    standing = fold(standing, fact("welcomed", 2))
    assert standing.is_welcomed
    assert not fold(standing, fact("withdrawn", 3)).is_welcomed


@pytest.mark.parametrize(
    "kind", ["bounced", "complained", "suppressed", "suppression-lifted", "text-shown", "erased"]
)
def test_other_facts_say_nothing_about_consent(kind):
    assert fold(NOTHING_KNOWN, fact(kind, 1, basis="written", scope="all")) == NOTHING_KNOWN
