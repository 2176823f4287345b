"""The ring of link keys: a new one at any time, the old ones for ever (R8058-15, HR-5)."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from gatepost.consent.tokens import Claim, Purpose, Ring
from gatepost.store import keys, link_keys
from gatepost.store.keys import KeysError
from gatepost.store.link_keys import RingFull, UnknownKey

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
CLAIM = Claim(1, 2, 3)


def ring_in(folder):
    found = link_keys.read(folder)
    return Ring(found.keys, found.current, found.compromised)


def test_a_new_key_seals_and_the_old_one_opens(tmp_path):
    keys.load(tmp_path)
    before = ring_in(tmp_path).seal(Purpose.PREFERENCES, CLAIM)
    seen = link_keys.version(tmp_path)
    ring = link_keys.rotate(tmp_path, NOW)
    assert (ring.current, sorted(ring.keys), ring.made) == (1, [0, 1], {1: NOW})
    assert link_keys.version(tmp_path) != seen
    after = ring_in(tmp_path)
    assert after.open(Purpose.PREFERENCES, before) == CLAIM
    assert after.seal(Purpose.PREFERENCES, CLAIM) != before
    assert (tmp_path / "links.json").stat().st_mode & 0o777 == 0o600
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["ledger.key", "links.json", "suppression.key"]


def test_a_compromised_key_lets_people_leave_only(tmp_path):
    keys.load(tmp_path)
    old = ring_in(tmp_path)
    leave, choose = (old.seal(p, CLAIM) for p in (Purpose.UNSUBSCRIBE, Purpose.PREFERENCES))
    ring = link_keys.rotate(tmp_path, NOW, compromised=0)
    assert [ring.state(number) for number in sorted(ring.keys)] == ["compromised", "current"]
    new = ring_in(tmp_path)
    assert new.open(Purpose.UNSUBSCRIBE, leave) == CLAIM
    assert new.open(Purpose.PREFERENCES, choose) is None
    link_keys.rotate(tmp_path, NOW)
    assert link_keys.read(tmp_path).compromised == {0}


def test_ids_end_with_a_word_about_it(tmp_path):
    keys.load(tmp_path)
    for _ in range(63):
        link_keys.rotate(tmp_path, NOW)
    assert link_keys.read(tmp_path).current == 63
    with pytest.raises(RingFull, match="all 64 ids are taken"):
        link_keys.rotate(tmp_path, NOW)
    with pytest.raises(RingFull):
        link_keys.rotate(tmp_path, NOW, compromised=63)  # nothing could take its place
    assert link_keys.read(tmp_path).compromised == frozenset()
    assert link_keys.rotate(tmp_path, NOW, compromised=5).compromised == {5}


def test_who_rotate_at_once_lose_no_key(tmp_path):
    keys.load(tmp_path)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: link_keys.rotate(tmp_path, NOW), range(24)))
    assert sorted(link_keys.read(tmp_path).keys) == list(range(25))


def test_no_key_is_marked_that_is_not_there(tmp_path):
    keys.load(tmp_path)
    with pytest.raises(UnknownKey, match="no link key has the id 7"):
        link_keys.rotate(tmp_path, NOW, compromised=7)
    assert link_keys.read(tmp_path).current == 0


@pytest.mark.parametrize("content", ["{", "[]", json.dumps({"current": 0, "keys": {}})])
def test_a_broken_ring_is_not_written_over(tmp_path, content):
    keys.load(tmp_path)
    (tmp_path / "links.json").write_text(content)
    with pytest.raises(KeysError, match=r"links\.json"):
        link_keys.rotate(tmp_path, NOW)
    assert (tmp_path / "links.json").read_text() == content


def test_keys_do_not_show(tmp_path):
    keys.load(tmp_path)
    ring = link_keys.rotate(tmp_path, NOW)
    assert not any(key.hex() in repr(ring) or repr(key) in repr(ring) for key in ring.keys.values())
