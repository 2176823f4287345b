"""Password hashes, and the memory of right passwords."""

import asyncio

import pytest

from gatepost.flow.accept import passwords
from gatepost.flow.accept.passwords import Overloaded, Passwords, hash_password, verify


def test_hash_and_verify():
    stored = hash_password("blåbär")
    assert stored.startswith("$scrypt$ln=15,r=8,p=1$")
    assert stored != hash_password("blåbär")
    assert verify("blåbär".encode(), stored)
    assert not verify(b"other", stored)


@pytest.mark.parametrize(
    "stored",
    [
        "", "plain", "$2b$12$abc",
        "$scrypt$ln=15,r=8,p=1$c2FsdHNhbHRzYWx0",
        "$scrypt$ln=30,r=8,p=1$c2FsdHNhbHRzYWx0$c2FsdHNhbHRzYWx0c2FsdHNhbHRzYWx0",
        "$scrypt$ln=15,r=8,p=1$c2E$c2FsdHNhbHRzYWx0c2FsdHNhbHRzYWx0",
        "$scrypt$ln=15,r=8,p=1$A$c2FsdHNhbHRzYWx0c2FsdHNhbHRzYWx0",
    ],
)  # fmt: skip
def test_what_is_no_hash(stored):
    with pytest.raises(ValueError, match="password hash"):
        passwords.check_form(stored)


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def counted(monkeypatch):
    """How often scrypt ran."""
    calls = []
    real = passwords.verify

    def verify_and_count(password, stored):
        calls.append(stored)
        return real(password, stored)

    monkeypatch.setattr(passwords, "verify", verify_and_count)
    return calls


async def test_right_credentials_are_remembered_for_a_while(counted):
    clock = Clock()
    checker = Passwords(remember_seconds=300, clock=clock)
    stored = hash_password("right")
    assert await checker.check(b"app", b"right", stored)
    assert await checker.check(b"app", b"right", stored)
    assert len(counted) == 1
    assert not await checker.check(b"app", b"wrong", stored)
    assert not await checker.check(b"app", b"wrong", stored)
    assert len(counted) == 3  # wrong ones are worked for each time
    clock.now += 301
    assert await checker.check(b"app", b"right", stored)
    assert len(counted) == 4
    assert not await checker.check(b"app", b"right", hash_password("changed"))
    checker.close()


async def test_unknown_names_cost_the_same_work(counted):
    checker = Passwords()
    assert not await checker.check(b"nobody", b"right", "")
    assert not await checker.check(b"nobody", b"right", "")
    assert len(counted) == 2
    assert all(stored.startswith("$scrypt$ln=15,r=8,p=1$") for stored in counted)
    checker.close()


async def test_memory_holds_no_password_and_is_bounded(monkeypatch):
    monkeypatch.setattr(passwords, "_MAX_REMEMBERED", 3)
    monkeypatch.setattr(passwords, "_COST", (4, 8, 1))
    checker = Passwords()
    stored = hash_password("hunter2")
    for number in range(5):
        assert await checker.check(b"app%d" % number, b"hunter2", stored)
    assert len(checker._until) == 3
    assert b"hunter2" not in b"".join(checker._until)
    checker.close()


async def test_too_many_at_once_are_put_off(monkeypatch):
    monkeypatch.setattr(passwords, "_MAX_WAITING", 1)
    checker = Passwords()
    stored = hash_password("right")
    first = asyncio.create_task(checker.check(b"app", b"right", stored))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await checker.check(b"other", b"right", stored)
    assert await first
    checker.close()
