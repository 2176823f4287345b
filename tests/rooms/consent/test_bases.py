"""The table of bases (HS-1 to HS-26, WP-8, WP-12)."""

import pytest

from gatepost.consent.bases import Bases, Strength
from gatepost.mail.duration import parse

TABLE = {
    Strength.EXPLICIT: "form-checkbox newsletter-form double-opt-in written paper-form",
    Strength.SOFT_OPT_IN: "customer",
    Strength.IMPLIED: "form purchase contract donation volunteering membership ad-conversion "
    "badge-scan business-card merger",
    Strength.UNVERIFIED: "friends-family employer-list in-person",
    Strength.FORBIDDEN: "purchased-list rented-list borrowed-list third-party-list member-list "
    "former-company other-brand-form lead-vendor enrichment organiser-list inbound-mail found",
}


def test_every_basis_has_exactly_one_strength():  # HS-3, HS-4
    names = [(basis.name, basis.strength) for basis in Bases.built_in()]
    assert dict(names) == {
        name: strength for strength, text in TABLE.items() for name in text.split()
    }
    assert len(names) == len(dict(names))


@pytest.mark.parametrize("name", [*TABLE[Strength.IMPLIED].split(), "customer"])
def test_implied_bases_end(name):  # HS-7, HS-8, HS-9
    assert str(Bases.built_in().find(name).lifetime) == "2 years"
    assert str(Bases.built_in(parse("6 months")).find(name).lifetime) == "6 months"


@pytest.mark.parametrize("name", TABLE[Strength.EXPLICIT].split())
def test_explicit_bases_do_not_end_by_themselves(name):
    assert Bases.built_in(parse("6 months")).find(name).lifetime is None


def test_membership_lasts_while_active():  # HS-10
    assert [basis.name for basis in Bases.built_in() if basis.while_active] == ["membership"]


def test_a_merger_asks_for_a_new_confirmation():  # HS-23
    assert [basis.name for basis in Bases.built_in() if basis.reconfirm] == ["merger"]


@pytest.mark.parametrize("text", ["1 year", "2 years", "24 months", "730 days", "17519 h"])
def test_a_basis_can_be_made_stricter(text):  # HS-26
    bases = Bases.built_in()
    assert bases.stricter("purchase", lifetime=parse(text)).find("purchase").lifetime == parse(text)
    assert str(bases.find("purchase").lifetime) == "2 years"


@pytest.mark.parametrize("text", ["3 years", "25 months", "731 days"])
def test_a_basis_cannot_be_made_weaker(text):  # HS-26
    with pytest.raises(ValueError, match='"2 years" or less'):
        Bases.built_in().stricter("purchase", lifetime=parse(text))
    with pytest.raises(ValueError, match='"2 years" or less'):
        Bases.built_in(parse(text))


def test_an_explicit_basis_can_be_given_an_end():  # L-DE-6
    bases = Bases.built_in().stricter("written", lifetime=parse("4 years"))
    assert str(bases.find("written").lifetime) == "4 years"
    with pytest.raises(ValueError, match='"4 years" or less'):
        bases.stricter("written", lifetime=parse("5 years"))


def test_what_never_counts_has_no_lifetime():  # HS-14
    for name in ("purchased-list", "in-person"):
        with pytest.raises(ValueError, match="never counts"):
            Bases.built_in().stricter(name, lifetime=parse("1 day"))


def test_an_unknown_basis_is_named_with_the_known_ones():
    assert Bases.built_in().find("telepathy") is None
    with pytest.raises(ValueError, match="no basis: write one of form-checkbox"):
        Bases.built_in().stricter("telepathy", lifetime=parse("1 day"))
