"""The shipped config.toml and docs/configuration.md are what the models say, and complete."""

import tomllib
from pathlib import Path

import pytest

from gatepost.config import load, reference, sample, shape, write_sample
from gatepost.config.parties import StreamDefaults
from gatepost.config.shape import Holds

TOP = Path(__file__).parents[3]
TABLES = [table for table in shape.tables() if table.section is not StreamDefaults]
SETTINGS = [
    (table.heading, key)
    for table in TABLES
    for key in shape.keys_of(table.section).values()
    if key.holds is Holds.VALUE
]


def test_the_shipped_config_is_the_sample():
    assert (TOP / "config.toml").read_text("utf-8") == sample()


def test_the_shipped_reference_is_generated():
    assert (TOP / "docs" / "configuration.md").read_text("utf-8") == reference()


@pytest.mark.parametrize(("heading", "key"), SETTINGS, ids=lambda part: getattr(part, "name", part))
def test_every_setting_is_documented_with_meaning_and_default(heading, key):
    text = (TOP / "docs" / "configuration.md").read_text("utf-8")
    section = text.partition(f"\n## `{heading}`\n")[2].partition("\n## ")[0]
    (row,) = [line for line in section.splitlines() if line.startswith(f"| `{key.name}` |")]
    meaning, form, default = (cell.strip() for cell in row.split(" | ")[1:4])
    assert meaning
    assert form
    assert default


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.heading)
def test_every_setting_is_in_the_sample(table):
    if table.key.name == "upstreams":
        return  # the same settings as [upstream], which is there
    lines = {line.removeprefix("# ").partition(" =")[0] for line in sample().splitlines()}
    assert {key.name for key in shape.keys_of(table.section).values() if not key.section} <= (
        lines | {"from", "subject", "recipients_at_least"}
    )


def test_the_sample_works_out_of_the_box(tmp_path):
    write_sample(tmp_path / "config.toml")
    loaded = load(tmp_path / "config.toml", {})
    assert set(loaded.streams) == {"newsletter", "receipts", "office"}
    assert (loaded.upstream.host, loaded.upstream.port) == ("127.0.0.1", 1025)


def test_the_sample_with_everything_uncommented_is_toml():
    text = "\n".join(
        line.removeprefix("# ") if line.startswith(("# [", "# lifetime", "# key")) else line
        for line in sample().splitlines()
    )
    tables = tomllib.loads(text)
    assert tables["consent"]["bases"]["purchase"] == {"lifetime": "1 year"}
    assert tables["senders"]["acme"]["dkim"] == [{"key": "dkim/acme.pem"}]


def test_the_sample_is_never_written_over_a_file(tmp_path):
    (tmp_path / "config.toml").write_text("mine")
    with pytest.raises(FileExistsError):
        write_sample(tmp_path / "config.toml")
    assert (tmp_path / "config.toml").read_text() == "mine"


def test_the_sample_fits_the_screen():
    assert max(map(len, sample().splitlines())) <= 100
