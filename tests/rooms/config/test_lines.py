"""Lines: on which one each key stands."""

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from gatepost.config.lines import lines_of_keys

TEXT = '''\
# a comment with [brackets] and key = value
top = 1
"quoted.key" = """
not_a_key = 1
[not_a_table]
"""  # and a comment

[server]
list = [
  "a", # ] not the end
  'b = c',
]
inline = { x = "]", y = 2 }
a.b.c = 3

[[smtp]]
port = 1
[[smtp]]
port = 2
[[smtp.deep]]
x = 1

[senders.acme]
name = 'it''s not'
[[senders.acme.dkim]]
key = "1"
[[senders.acme.dkim]]
key = """\\""""""
last = true'''


def test_each_key_has_its_line():
    lines = lines_of_keys(TEXT.replace("'it''s not'", "'its not'"))
    assert lines["top",] == 2
    assert lines["quoted.key",] == 3
    assert ("not_a_key",) not in lines
    assert ("not_a_table",) not in lines
    assert lines["server",] == 8
    assert lines["server", "list"] == 9
    assert lines["server", "inline"] == 13
    assert lines["server", "a", "b", "c"] == 14
    assert lines["smtp", 0] == 16
    assert lines["smtp", 0, "port"] == 17
    assert lines["smtp", 1, "port"] == 19
    assert lines["smtp", 1, "deep", 0, "x"] == 21
    assert lines["senders",] == 23
    assert lines["senders", "acme", "dkim", 1, "key"] == 28
    assert lines["senders", "acme", "dkim", 1, "last"] == 29


@given(st.text(alphabet="ab\"'[]{}=.,#\n\\ 1", max_size=200))
def test_it_never_raises_and_finds_every_top_key_of_what_is_toml(text):
    lines = lines_of_keys(text)
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return
    assert all((key,) in lines for key in table)
    assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())
