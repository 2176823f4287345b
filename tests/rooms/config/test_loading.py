"""Loading: files, their merging, secrets, defaults; and whatever is in a file, an answer."""

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gatepost.config import ConfigErrors, find, load, sample, to_streams
from gatepost.config.sample import toml
from gatepost.mail.duration import Duration
from support.private import write_private

SERVER = '[server]\npublic_url = "https://mail.example.org"\n'
PARTIES = """
[senders.acme]
name = "Acme AB"
postal_address = "Storgatan 1, 111 22 Stockholm, Sweden"
from = ["@acme.example"]

[streams.newsletter]
kind = "bulk"
sender = "acme"
"""


@pytest.fixture
def write(tmp_path):
    def _write(text, name="config.toml"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        write_private(file, text)
        return tmp_path / "config.toml"

    return _write


def errors_of(path, environ=None):
    with pytest.raises(ConfigErrors) as caught:
        load(path, environ or {})
    return {error.key: error for error in caught.value.errors}


def test_the_smallest_file_has_all_defaults(write):
    loaded = load(write(SERVER), {})
    assert loaded.server.public_url == "https://mail.example.org"
    assert loaded.server.hostname
    assert [(listener.address, listener.port) for listener in loaded.smtp] == [("127.0.0.1", 2525)]
    assert (loaded.http.port, loaded.admin.port) == (8025, 8026)
    assert loaded.limits.message_size == 50_000_000
    assert loaded.limits.recipients_per_message == 10_000
    assert (loaded.upstream.host, loaded.upstream.port) == ("127.0.0.1", 1025)
    assert loaded.upstream.rate is None
    assert loaded.upstream.retry_for == Duration(seconds=5 * 86400)
    assert loaded.store.url.get_secret_value() == ""
    assert loaded.consent.implied_lifetime == Duration(months=24)
    assert loaded.retention.evidence == Duration(months=24)
    assert loaded.links.lifetime is None
    assert loaded.complaints.freeze_rate == 0.003
    assert loaded.bulk_detection.mode == "observe"
    assert loaded.log.addresses == "hashed"
    assert not loaded.streams
    assert not loaded.clients


def test_settings_are_frozen(write):
    loaded = load(write(SERVER), {})
    with pytest.raises(ValueError, match="frozen"):
        loaded.server.workers = 2


def test_relative_paths_start_from_the_file(write, tmp_path, monkeypatch):
    path = write(SERVER + 'data_dir = "var"\n')
    monkeypatch.chdir(tmp_path.parent)
    assert load(path, {}).server.data_dir == tmp_path / "var"
    assert load(path.relative_to(tmp_path.parent), {}).server.data_dir == tmp_path / "var"


def test_an_absolute_path_stays(write):
    assert load(write(SERVER + 'data_dir = "/srv/gatepost"\n'), {}).server.data_dir == Path(
        "/srv/gatepost"
    )


def test_a_bom_and_dos_line_ends_are_taken(write):
    text = b"\xef\xbb\xbf" + SERVER.replace("\n", "\r\n").encode()
    assert load(write(text), {}).server.public_url == "https://mail.example.org"


def test_a_link_base_loses_its_slash_and_keeps_its_path(write):
    text = '[server]\npublic_url = "https://mail.example.org/mail/"\n'
    assert load(write(text), {}).server.public_url == "https://mail.example.org/mail"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "[::1]", "x.localhost"])
def test_plain_http_is_for_loopback(write, host):
    assert load(write(f'[server]\npublic_url = "http://{host}:8025"\n'), {})


# --- which file ---------------------------------------------------------------------------


def test_the_given_path_comes_first(tmp_path):
    given_path = tmp_path / "mine.toml"
    assert find(given_path, {"GATEPOST_CONFIG": "other.toml"}) == given_path


def test_then_the_variable(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("config.toml").write_text(SERVER)
    assert find(None, {"GATEPOST_CONFIG": "other.toml"}) == Path("other.toml")


def test_then_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("config.toml").write_text(SERVER)
    assert find(None, {}) == Path("config.toml")
    assert find(None, {"GATEPOST_CONFIG": ""}) == Path("config.toml")


def test_none_anywhere_is_an_error_with_a_cure(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gatepost.config.loading.PLACES", (Path("config.toml"), tmp_path / "etc"))
    with pytest.raises(ConfigErrors, match="gatepost init"):
        find(None, {})


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(ConfigErrors, match="No such file"):
        load(tmp_path / "config.toml", {})


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(ConfigErrors, match="cannot be read"):
        load(tmp_path, {})


# --- conf.d -------------------------------------------------------------------------------


def test_further_files_add_tables_keys_and_list_entries(write):
    write(
        '[[smtp]]\nport = 25\nrole = "returns"\n[limits]\nmessage_size = "1 MB"\n', "conf.d/b.toml"
    )
    write('[[smtp]]\nport = 587\n[senders.acme]\ncontact = "k@acme.example"\n', "conf.d/a.toml")
    write("this is not read", "conf.d/c.toml.bak")
    loaded = load(write(SERVER + "\n[[smtp]]\nport = 2525\n" + PARTIES), {})
    assert [listener.port for listener in loaded.smtp] == [2525, 587, 25]
    assert loaded.limits.message_size == 1_000_000
    assert loaded.senders["acme"].contact == "k@acme.example"


def test_errors_in_list_entries_point_into_the_file_they_are_from(write, tmp_path):
    write("\n\n[[smtp]]\nport = -1\n", "conf.d/a.toml")
    error = errors_of(write(SERVER + "[[smtp]]\nport = 2525\n"))["smtp[2].port"]
    assert (error.file, error.line) == (tmp_path / "conf.d/a.toml", 4)


def test_an_empty_list_and_a_list_are_given_twice_too(write):
    write("[http]\ntrusted_proxies = []\n", "conf.d/a.toml")
    found = errors_of(write(SERVER + '[http]\ntrusted_proxies = ["127.0.0.1"]\n'))
    assert "given already" in found["http.trusted_proxies"].what


def test_a_key_given_twice_does_not_hide_the_other_errors(write):
    write("[server]\nworkers = 2\n", "conf.d/a.toml")
    found = errors_of(write(SERVER + 'workers = 1\n[log]\nformat = "x"\n'))
    assert set(found) == {"server.workers", "log.format"}


# --- secrets ------------------------------------------------------------------------------


def test_a_secret_from_the_environment(write):
    text = SERVER + '[upstream]\nusername = "relay"\npassword = { env = "UPSTREAM_PASSWORD" }\n'
    loaded = load(write(text), {"UPSTREAM_PASSWORD": "hunter2"})
    assert loaded.upstream.password.get_secret_value() == "hunter2"
    assert "hunter2" not in repr(loaded)


def test_a_secret_from_a_file_loses_its_line_end(write):
    write(b"hunter2 \n", "secrets/upstream")
    text = SERVER + '[upstream]\nusername = "relay"\npassword = { file = "secrets/upstream" }\n'
    assert load(write(text), {}).upstream.password.get_secret_value() == "hunter2 "


@pytest.mark.parametrize("reference", ['{ env = "NOT_SET" }', '{ file = "absent" }'])
def test_an_unused_password_need_not_be_there(write, reference):
    loaded = load(write(f"{SERVER}[upstream]\npassword = {reference}\n"), {})
    assert loaded.upstream.password.get_secret_value() == ""


@given(secret=st.text(st.characters(categories=["L", "N", "P"]), min_size=9, max_size=90))
@settings(
    max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
def test_a_wrong_secret_is_never_shown(write, secret):
    secret = f"s3cret{secret}"
    text = (
        f"{SERVER}[store]\nurl = {toml('mysql://' + secret)}\n[clients.crm]\n"
        f"password_hash = {toml(secret)}\npasword_hash = {toml(secret)}\n"
        f"[upstream]\nusername = 'x'\npassword = [{toml(secret)}]\n"
    )
    found = errors_of(write(text))
    assert {"store.url", "clients.crm.password_hash", "upstream.password"} <= set(found)
    assert "s3cret" not in "\n".join(str(error) for error in found.values())


# --- stream defaults ----------------------------------------------------------------------


def test_defaults_lie_under_each_stream(write):
    text = (
        SERVER
        + PARTIES
        + 'release_within = "1 h"\n[streams.offers]\n'
        + (
            '[stream_defaults]\nkind = "bulk"\nsender = "acme"\nlanguage = "sv"\n'
            'release_within = "2 h"\nrequires = "implied"\n'
        )
    )
    streams = to_streams(load(write(text), {}))
    assert streams["newsletter"].release_within == timedelta(hours=1)
    assert streams["offers"].release_within == timedelta(hours=2)
    assert [stream.language for stream in streams.values()] == ["sv", "sv"]
    assert not streams["offers"].requires_explicit
    assert streams["offers"].is_bulk


def test_a_wrong_default_is_told_once_and_where_it_stands(write):
    text = (
        SERVER
        + '[stream_defaults]\nmode = "off"\n'
        + PARTIES
        + ('[streams.offers]\nkind = "bulk"\nsender = "acme"\n')
    )
    assert list(errors_of(write(text))) == ["stream_defaults.mode"]


def test_a_default_that_fails_a_check_is_told_where_it_stands(write):
    text = (
        SERVER
        + '[stream_defaults]\nsender = "acne"\nkind = "bulk"\n[streams.offers]\n'
        + (
            '[streams.news]\n[senders.acme]\nname = "A"\npostal_address = "B"\nfrom = ["@a.example"]\n'
        )
    )
    error = errors_of(write(text))["stream_defaults.sender"]
    assert error.line == 4
    assert error.value == '"acne"'


# --- whatever is in the file, an answer -----------------------------------------------------


@given(content=st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
@settings(
    max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
def test_any_bytes_load_or_are_explained(write, content):
    assert all(error.what and error.cure for error in errors_in(write(content)))


def errors_in(path):
    """The errors that loading gives, () if it loads; anything else is raised."""
    try:
        load(path, {})
    except ConfigErrors as caught:
        return caught.errors
    return ()


TOML_VALUES = st.recursive(
    st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "bulk", "acme", "crm", "1 h", "0 MB", "5/h", "::/0", "@x.example", "\0"])
    | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "env", "file", "kind", "from"]), inner, max_size=3)
    ),
    max_leaves=6,
)
SAMPLE_LINES = [line for line in sample().splitlines() if line and not line.startswith("#")]


@given(
    replaced=st.dictionaries(st.integers(0, len(SAMPLE_LINES) - 1), TOML_VALUES, max_size=4),
    dropped=st.sets(st.integers(0, len(SAMPLE_LINES) - 1), max_size=4),
)
@settings(
    max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
def test_the_sample_with_wrong_values_loads_or_is_explained(write, replaced, dropped):
    lines = []
    for number, line in enumerate(SAMPLE_LINES):
        key, equals, _ = line.partition(" = ")
        if number in replaced and equals:
            lines.append(f"{key} = {toml(replaced[number])}".replace("\0", "\\u0000"))
        elif number not in dropped:
            lines.append(line)
    errors = errors_in(write("\n".join(lines)))
    keys = [(error.key, error.what) for error in errors]
    assert len(keys) == len(set(keys))
    assert all(error.line or error.key == "server.public_url" for error in errors)


def test_a_nest_beyond_measure_is_explained(write):
    assert errors_of(write("x = " + "[" * 100_000))[""].what.startswith("this is not TOML")
