"""What holds for every octet string whatsoever: the scanner takes it apart, the editor gives it back."""

from dataclasses import replace

from gatepost.flow.edit import Signer, apply, plan, undo
from gatepost.mail.lines import long_lines
from gatepost.mail.message import normalize, scan
from support.dkim_keys import KEYS, NOW
from support.treatments import BULK, CORPUS_TREATMENT, NOT_BULK, POLISH, TREATMENT, tokens_for

TREATMENTS = {
    "corpus": CORPUS_TREATMENT,
    "polish": replace(TREATMENT, bulk=replace(BULK, footer=POLISH, footer_always=True, mailto="")),
    "not bulk": NOT_BULK,
    "kept": replace(TREATMENT, keep_signatures=True),
}
ONE_PAIR = ("list-unsubscribe", "list-unsubscribe-post", "list-id", "list-help")


def check(octets):
    """All of it, for `octets` as they are and as they come from the door."""
    for raw in {octets, normalize(octets)}:
        check_scan(raw)
        for treatment in TREATMENTS.values():
            check_edit(raw, treatment)


def check_scan(raw):
    message = scan(raw)
    for part in message.parts:
        assert part.start <= part.header_end <= part.body_start <= part.end <= len(raw)
        at = part.start
        for field in part.fields:
            assert at == field.start < field.value_start <= field.end
            at = field.end
        for child in (message.parts[index] for index in part.children):
            assert child.parent == part.index
            assert part.body_start <= child.start
            assert child.end <= part.end
        for one, other in zip(part.children, part.children[1:], strict=False):
            assert message.parts[one].end < message.parts[other].start


def check_edit(raw, treatment):
    message = scan(raw)
    made = plan(message, raw, treatment)
    copy = apply(made, tokens_for(treatment))
    assert len(copy) == made.size
    assert undo(made, copy) == raw
    assert made.eight_bit == (not copy.isascii())
    again = scan(copy)
    if treatment.bulk and raw == normalize(raw):
        for name in ONE_PAIR:
            assert len(again.fields(name)) == 1
        assert not again.fields("bcc")
        assert not list(long_lines(again.raw, 0, again.root.header_end))
    prepared = Signer(KEYS[:1] if treatment is CORPUS_TREATMENT else []).prepare(made)
    signed = prepared.sign(tokens_for(treatment), NOW)
    assert len(signed) == prepared.size
    assert signed.endswith(copy)
