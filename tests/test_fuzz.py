"""A short run of what `make fuzz` does for longer, and everything that it ever found."""

import pytest
from hypothesis import strategies as st

import fuzz
from support.mime_trees import HOSTILE
from support.rubbish import Target
from support.rubbish_wire import leave_nothing
from support.scale import scale

# As many of each as are worth a second or two.
EXAMPLES = {
    "mutated mails": 120, "hostile octets": 120, "config.toml": 60, "lists and CSV": 100, "imports": 4,
    "tokens": 300, "returned mail": 120, "SMTP sessions": 60, "HTTP requests": 40,
    "SMTP behind a balancer": 60,
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def clean():
    yield
    leave_nothing()


@pytest.mark.parametrize("target", fuzz.TARGETS, ids=lambda target: target.name)
def test_nothing_is_found_in_a_short_run(target):
    assert fuzz.fuzz(target, 1, EXAMPLES[target.name] * scale(1, 10)) is None


@pytest.mark.parametrize("target", fuzz.TARGETS, ids=lambda target: target.name)
def test_what_was_found_stays_mended(target):
    for path in target.found():
        target.check(path.read_bytes())


def refuse_nul(octets):
    assert b"\0" not in octets


def test_a_broken_invariant_is_noticed_and_made_small(tmp_path):
    target = Target("hostile octets", HOSTILE, refuse_nul, tmp_path)
    assert fuzz.fuzz(target, 1, 500) == b"\0"


def test_a_find_ends_the_run_and_is_kept(tmp_path, monkeypatch, capsys):
    target = Target("octets", st.binary(), refuse_nul, tmp_path / "found", ".bin")
    monkeypatch.setattr(fuzz, "TARGETS", (target,))
    assert fuzz.main(60) == 1
    (kept,) = target.found()
    assert kept.read_bytes() == b"\0"
    assert str(kept) in capsys.readouterr().out


def test_a_find_is_kept_under_its_own_name(tmp_path):
    kept = fuzz.keep(b"From: x\r\n\r\n", tmp_path)
    assert kept.read_bytes() == b"From: x\r\n\r\n"
    assert fuzz.keep(b"From: x\r\n\r\n", tmp_path) == kept
