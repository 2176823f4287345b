"""`gatepost keys`: what there is, and a new one."""

from support.command import Site


def test_a_key_is_made_and_listed_without_being_shown(tmp_path):
    site = Site(tmp_path)
    first = site.ok("keys", "list", "--json").json
    assert [(one["id"], one["state"]) for one in first] == [(0, "current")]
    assert "key 1 from now on" in site.ok("keys", "rotate").out
    marked = site.ok("keys", "rotate", "--compromised", "0", "--json").json
    assert marked == {"current": 2, "compromised": [0]}
    after = site.ok("keys", "list", "--json").json
    assert [(one["id"], one["state"]) for one in after] == [
        (0, "compromised"), (1, "old"), (2, "current"),
    ]  # fmt: skip
    assert all(set(one) == {"id", "state", "made_at"} for one in after)
    assert after[1]["made_at"]
