"""The ring in force follows the file, in every process that looks at it."""

from datetime import UTC, datetime

from structlog.testing import capture_logs

from gatepost.app.link_keys import LinkKeys
from gatepost.consent.tokens import Claim, Purpose
from gatepost.store import keys, link_keys

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
CLAIM = Claim(1, 2, 3)


def test_a_new_key_is_known_to_all_at_once(tmp_path):
    made = keys.load(tmp_path / "keys")
    one, other = LinkKeys(tmp_path, made), LinkKeys(tmp_path, made)
    assert one() is one()
    old = one().seal(Purpose.UNSUBSCRIBE, CLAIM)
    with capture_logs() as logged:
        link_keys.rotate(tmp_path / "keys", NOW)
        new = one().seal(Purpose.PREFERENCES, CLAIM)
        assert other().open(Purpose.PREFERENCES, new) == CLAIM
    assert other().open(Purpose.UNSUBSCRIBE, old) == CLAIM
    assert [line["event"] for line in logged] == ["link keys reloaded"] * 2


def test_a_file_that_cannot_be_used_changes_nothing(tmp_path):
    made = keys.load(tmp_path / "keys")
    ring = LinkKeys(tmp_path, made)
    token = ring().seal(Purpose.UNSUBSCRIBE, CLAIM)
    path = tmp_path / "keys" / "links.json"
    good = path.read_text()
    with capture_logs() as logged:
        path.write_text("{")
        assert ring().open(Purpose.UNSUBSCRIBE, token) == CLAIM
        assert ring().open(Purpose.UNSUBSCRIBE, token) == CLAIM
        path.unlink()
        assert ring().open(Purpose.UNSUBSCRIBE, token) == CLAIM
    assert [line["log_level"] for line in logged] == ["error"] * 2
    keys.replace(path, good)
    assert ring().open(Purpose.UNSUBSCRIBE, token) == CLAIM


def test_links_of_a_moment_are_made_with_one_look(tmp_path, monkeypatch):
    made = keys.load(tmp_path / "keys")
    ring, now = LinkKeys(tmp_path, made), [1000.0]
    monkeypatch.setattr("gatepost.app.link_keys.time.monotonic", lambda: now[0])
    before = ring.recent()
    link_keys.rotate(tmp_path / "keys", NOW)
    assert ring.recent() is before
    assert ring().open(Purpose.UNSUBSCRIBE, before.seal(Purpose.UNSUBSCRIBE, CLAIM)) == CLAIM
    now[0] += 0.06
    assert ring.recent() is ring()
    assert ring.recent() is not before
