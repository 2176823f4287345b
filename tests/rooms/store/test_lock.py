"""The file lock between processes."""

import fcntl
import os
import threading

import pytest

from gatepost.store.lock import FileLock
from gatepost.store.trouble import StoreUnavailable


@pytest.fixture
def path(tmp_path):
    return tmp_path / "lock"


def test_one_at_a_time(path):
    first, second = FileLock(path, patience=300), FileLock(path, patience=300)
    order = []
    first.acquire()

    def wait():
        with second:
            order.append("second")

    thread = threading.Thread(target=wait)
    thread.start()
    order.append("first")
    first.release()
    thread.join()
    assert order == ["first", "second"]


def test_patience_ends(path):
    first, second = FileLock(path, patience=300), FileLock(path, patience=0.05)
    with first, pytest.raises(StoreUnavailable, match="another process"):
        second.acquire()
    second._patience = 300
    with second:
        pass


def test_what_comes_too_late_is_given_back(path):
    first, second = FileLock(path, patience=300), FileLock(path, patience=0.05)
    with first, pytest.raises(StoreUnavailable):
        second.acquire()
    third = FileLock(path, patience=300)
    with third:
        assert not second._held


def test_who_has_waited_for_a_moment_keeps_the_place_for_longer(path):
    busy, patient = FileLock(path, patience=300), FileLock(path, patience=300)
    busy.acquire()
    assert not patient._try(0.0)
    busy.release()
    assert not busy._try(0.0), "the other one stands at the turnstile"
    with patient:
        pass
    with busy:
        pass


def test_who_lets_go_does_not_overtake_who_waits(path):
    """A writer that commits again and again must not starve another process."""
    busy, patient = FileLock(path, patience=300), FileLock(path, patience=300)
    busy.acquire()
    got_it = threading.Event()

    def wait():
        with patient:
            got_it.set()

    thread = threading.Thread(target=wait)
    thread.start()
    probe = os.open(path.with_name("lock.next"), os.O_RDWR)
    while True:  # until the other stands at the turnstile
        try:
            fcntl.flock(probe, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            break
        fcntl.flock(probe, fcntl.LOCK_UN)
    os.close(probe)
    busy.release()
    with busy:
        assert got_it.is_set()
    thread.join()
