"""The interpreter's own test mails: edited, undone, and seen alike by its parser."""

import os

import pytest

from gatepost.flow.edit import Signer, apply, undo
from gatepost.flow.edit.leaves import body_leaves
from gatepost.mail.lines import normalize
from gatepost.mail.message import scan
from support import interpreter_mails
from support.treatments import CORPUS_TREATMENT, NOT_BULK, plan_of, read, tokens_for

MAILS = interpreter_mails.find()


def test_in_ci_they_are_there():
    assert len(MAILS) >= 40 or not os.environ.get("CI"), "install libpython3.x-testsuite"


@pytest.mark.parametrize("treatment", [CORPUS_TREATMENT, NOT_BULK], ids=["bulk", "not-bulk"])
@pytest.mark.parametrize("path", MAILS, ids=lambda path: path.stem)
def test_edits_can_be_undone_and_leave_the_rest_as_it_was(path, treatment):
    for raw in (path.read_bytes(), normalize(path.read_bytes())):
        made = plan_of(raw, treatment)
        copy = apply(made, tokens_for(treatment))
        assert undo(made, copy) == raw
        assert len(copy) == made.size == Signer([]).prepare(made).size
        before, after = list(read(raw).walk()), list(read(copy).walk())
        assert [p.get_content_type() for p in after] == [p.get_content_type() for p in before]
        assert [p.get_filename() for p in after] == [p.get_filename() for p in before]
        for old, new in zip(before, after, strict=True):
            if not old.is_multipart() and old.get_content_maintype() != "text":
                assert new.get_payload(decode=True) == old.get_payload(decode=True)


@pytest.mark.parametrize("path", MAILS, ids=lambda path: path.stem)
def test_leaves_that_are_not_edited_are_octet_for_octet_the_same(path):
    raw = normalize(path.read_bytes())
    made = plan_of(raw, CORPUS_TREATMENT)
    copy = apply(made, tokens_for(CORPUS_TREATMENT))
    old, new = scan(raw), scan(copy)
    assert [part.media for part in new.parts] == [part.media for part in old.parts]
    bodies = {leaf.part.index for leaf in body_leaves(old)}
    for one, other in zip(old.leaves(), new.leaves(), strict=True):
        if one.index not in bodies and one.parent >= 0:
            assert new.raw[other.start : other.end] == raw[one.start : one.end]
