"""A short run of what `make fuzz` does for longer, and everything that it ever found."""

from hypothesis import HealthCheck, given, settings

import fuzz
from support.invariants import check
from support.mime_trees import HOSTILE
from support.mutations import mutated

short = settings(deadline=None, max_examples=120, suppress_health_check=list(HealthCheck))


@short
@given(mutated())
def test_mutated_mails(octets):
    check(octets)


@short
@given(HOSTILE)
def test_hostile_octets(octets):
    check(octets)


def test_what_was_found_stays_mended():
    for path in sorted(fuzz.FOUND.glob("*.eml")):
        check(path.read_bytes())


def test_a_broken_invariant_is_noticed_and_made_small(monkeypatch):
    def refuse_nul(octets):
        assert b"\0" not in octets

    monkeypatch.setattr(fuzz, "check", refuse_nul)
    assert fuzz.fuzz(HOSTILE, 1) == b"\0"


def test_a_find_is_kept_under_its_own_name(tmp_path):
    kept = fuzz.keep(b"From: x\r\n\r\n", tmp_path)
    assert kept.read_bytes() == b"From: x\r\n\r\n"
    assert fuzz.keep(b"From: x\r\n\r\n", tmp_path) == kept
