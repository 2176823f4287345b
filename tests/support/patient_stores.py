"""Stores that wait for each other as long as they must.

    wait_for_long(monkeypatch)

Else a machine that stands still for ten seconds keeps somebody waiting for too long, and a test
that is about something else fails.
"""

from gatepost.store import connection, engine, health
from support.patience import PATIENCE_SECONDS


def wait_for_long(monkeypatch):
    """For stores that are opened from now on."""
    for module in (health, connection, engine):
        monkeypatch.setattr(module, "PATIENCE_SECONDS", PATIENCE_SECONDS)
