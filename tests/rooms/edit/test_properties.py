"""Promise 4 by invariant: whatever the message, the copy is the original but for the edits."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings

from gatepost.flow.edit import apply, plan, undo
from gatepost.flow.edit.leaves import body_leaves
from gatepost.mail.lines import long_lines
from gatepost.mail.message import normalize, scan
from support.mime_trees import HOSTILE, messages
from support.treatments import (
    BULK,
    CHOOSE,
    LEAVE,
    NOT_BULK,
    POLISH,
    SWEDISH,
    TOKENS,
    TREATMENT,
    read,
)

slow = settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))
FOOTERS = pytest.mark.parametrize(
    "treatment",
    [TREATMENT, *(replace(TREATMENT, bulk=replace(BULK, footer=f)) for f in (SWEDISH, POLISH))],
    ids=["ascii", "swedish", "polish"],
)


@slow
@given(HOSTILE)
@pytest.mark.parametrize("treatment", [TREATMENT, NOT_BULK], ids=["bulk", "not-bulk"])
def test_whatever_the_octets_the_plan_can_be_made_and_undone(treatment, octets):
    for raw in (octets, normalize(octets)):
        made = plan(scan(raw), raw, treatment)
        copy = apply(made, TOKENS)
        assert undo(made, copy) == raw
        assert len(copy) == made.size


@FOOTERS
@slow
@given(raw=messages())
def test_an_independent_parser_sees_the_same_tree_and_the_original_words(treatment, raw):
    message = scan(raw)
    made = plan(message, raw, treatment)
    copy = apply(made, TOKENS)
    assert undo(made, copy) == raw
    before, after = list(read(raw).walk()), list(read(copy).walk())
    assert [p.get_content_type() for p in before] == [p.get_content_type() for p in after]
    assert [p.get_filename() for p in before] == [p.get_filename() for p in after]
    footed = {leaf.part.index for leaf in body_leaves(message) if leaf.takes_footer}
    for index, (old, new) in enumerate(zip(before, after, strict=True)):
        if old.is_multipart():
            continue
        if index in footed:
            check_footed(old, new, treatment.bulk.footer)
        else:
            assert old.get_payload(decode=True) == new.get_payload(decode=True)


@slow
@given(raw=messages())
def test_leaves_without_footer_and_links_keep_every_octet(raw):
    message = scan(raw)
    copy = apply(plan(message, raw, TREATMENT), TOKENS)
    bodies = {leaf.part.index for leaf in body_leaves(message) if leaf.takes_footer}
    for old, new in zip(message.parts, scan(copy).parts, strict=True):
        long = next(long_lines(raw, old.start, old.end), None)
        if old.parent >= 0 and not old.children and old.index not in bodies and not long:
            assert copy[new.start : new.end] == raw[old.start : old.end]


@slow
@given(raw=messages())
def test_no_line_of_a_copy_is_too_long(raw):
    assert not list(long_lines(apply(plan(scan(raw), raw, TREATMENT), TOKENS)))


@slow
@given(raw=messages())
def test_a_mail_that_is_not_bulk_keeps_its_body_unless_a_line_is_too_long(raw):
    copy = apply(plan(scan(raw), raw, NOT_BULK), TOKENS)
    if not list(long_lines(raw)):
        assert copy.endswith(raw)


def check_footed(old, new, footer):
    words, said = text_of(old), text_of(new)
    if old.get_content_type() == "text/plain":
        assert said.startswith(words)
        added = said[len(words) :]
        expected = footer.text.strip("\n")
        for marker, url in (("unsubscribe_url", LEAVE), ("preferences_url", CHOOSE)):
            expected = expected.replace("{{" + marker + "}}", url)
        assert added.strip("\r\n").splitlines() == expected.splitlines()
        return
    place = words.rindex("</body>")
    assert said.startswith(words[:place])
    assert said.endswith(words[place:])
    assert LEAVE in said[place : len(said) - len(words) + place]


def text_of(part):
    octets = part.get_payload(decode=True)
    return octets.decode(part.get_content_charset("us-ascii"))
