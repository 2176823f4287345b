import pytest

from support.command import OTHER, Site


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.delenv("GATEPOST_CONFIG", raising=False)
    return Site(tmp_path)


@pytest.fixture
def two_senders(tmp_path, monkeypatch):
    monkeypatch.delenv("GATEPOST_CONFIG", raising=False)
    return Site(tmp_path, OTHER)
