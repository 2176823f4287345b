"""Each folder of tests/bad_configs holds a config.toml and the complete text of its errors."""

from pathlib import Path

import pytest

from gatepost.config import ConfigErrors, load

FOLDERS = sorted((Path(__file__).parents[2] / "bad_configs").iterdir())


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_bad_config_gets_every_error_with_its_cure(folder, monkeypatch):
    monkeypatch.chdir(folder)
    with pytest.raises(ConfigErrors) as caught:
        load(Path("config.toml"), {})
    assert str(caught.value) + "\n" == (folder / "expected").read_text("utf-8")


def test_there_is_one_for_each_kind_of_error():
    assert len(FOLDERS) >= 25


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_no_error_is_without_a_cure_and_none_shows_a_secret(folder, monkeypatch):
    monkeypatch.chdir(folder)
    with pytest.raises(ConfigErrors) as caught:
        load(Path("config.toml"), {})
    assert all(error.what and error.cure and error.file for error in caught.value.errors)
    assert "hunter2" not in str(caught.value)
